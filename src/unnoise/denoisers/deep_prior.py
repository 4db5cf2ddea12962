"""Deep Image Prior: a network is fitted to one noisy image, and stopped before it fits the noise.

Ulyanov, Vedaldi, Lempitsky, "Deep Image Prior", CVPR 2018, arXiv:1711.10925: a convolutional hourglass network maps
fixed random input to the image; structure is fitted long before noise. As in the paper, the input is jittered, and the
result is an exponential moving average of the outputs. Early stopping needs no clean image: a fraction of the pixels is
held out, and the output that predicts these best is kept. Their noise is independent of that of the other pixels, so
their error stops falling once noise is being fitted (as in Yaman et al., "Zero-Shot Self-Supervised Learning", ICLR
2022). This works for any noise that is independent between pixels, and fails for correlated noise.

The network is narrower than that of the paper (32 features instead of 128), to run on processors; it is still slow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from unnoise import interruption
from unnoise.denoisers.base import Sigma
from unnoise.denoisers.per_image import PerImageDenoiser

if TYPE_CHECKING:
    import torch

LEVELS = 4  # of halving; fewer for small images
INPUTS = 16  # random input channels
JITTER = 1 / 30  # standard deviation of the noise added to them at each step; they are in 0 to 0.1
MIN_SIDE = 4  # smallest output of the network, pixels; a smaller image is a crop of it
SKIPS = 4  # features of each skip connection
HELD_OUT = 0.03  # fraction of the pixels
VALIDATE_EVERY = 10  # steps
DECAY = 0.98  # of the moving average of outputs, per step
PATIENCE = 0.35  # fraction of the steps without a better output after which training stops


@dataclass(frozen=True)
class DeepPrior(PerImageDenoiser):
    """A network fitted to the image at hand, with early stopping on held-out pixels; minutes per image.

    Args:
        steps: maximum number of training steps; training stops early if the held-out pixels are no longer predicted
            better.
        width: features of the network.
        seed: seed of its initial weights and its input.
    """

    name = "deep_prior"
    steps: int = 1500
    width: int = 32

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Fit the image, normalized to mean 0 and standard deviation 1."""
        mean, scale = float(noisy.mean()), float(noisy.std())
        if scale == 0 or noisy.shape[:2] == (1, 1):
            return noisy.copy()  # nothing to fit
        return (mean + scale * self._fit((noisy - mean) / scale)).astype(np.float32)

    def _fit(self, noisy: np.ndarray) -> np.ndarray:
        import torch

        from unnoise.networks.base import bf16_pays

        generator = torch.Generator().manual_seed(self.seed)
        autocast = torch.autocast("cpu", torch.bfloat16, enabled=bf16_pays("cpu"))
        height, width, channels = noisy.shape
        levels = max(0, min(LEVELS, int(math.log2(max(min(height, width) / MIN_SIDE, 1)))))
        rows, columns = (max(side + -side % 2**levels, MIN_SIDE) for side in (height, width))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = _hourglass(channels, self.width, levels)
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        target = torch.from_numpy(noisy.transpose(2, 0, 1).copy())[None]
        fitted = (torch.rand(target.shape, generator=generator) >= HELD_OUT).float()
        fixed = 0.1 * torch.rand((1, INPUTS, rows, columns), generator=generator)
        fixed = fixed.contiguous(memory_format=torch.channels_last)
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
        mean = torch.zeros_like(target)
        best, best_error, best_step = mean, math.inf, 0
        for step in range(self.steps):
            interruption.check()
            jitter = JITTER * torch.randn(fixed.shape, generator=generator)
            with autocast:
                output = network(fixed + jitter)[:, :, :height, :width].float()
            loss = (fitted * (output - target) ** 2).sum() / fitted.sum().clamp(min=1)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            mean = mean.lerp(output.detach(), max(1 - DECAY, 1 / (step + 1)))
            if step % VALIDATE_EVERY == VALIDATE_EVERY - 1 or step == self.steps - 1:
                error = float(((1 - fitted) * (mean - target) ** 2).sum())
                if error < best_error:
                    best, best_error, best_step = mean, error, step
                elif step - best_step > PATIENCE * self.steps:
                    break
        return best[0].permute(1, 2, 0).numpy()


def _hourglass(channels: int, width: int, levels: int) -> torch.nn.Module:
    """Return a network from `[1, INPUTS, H, W]` to `[1, channels, H, W]`; sides are multiples of 2 ** levels."""
    import torch
    from torch import nn

    border = "reflect" if levels else "replicate"  # a side of one pixel cannot be reflected

    def block(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
        mode = border if kernel > 1 else "zeros"
        convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, padding_mode=mode, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2))

    class Level(nn.Module):
        """Half the size, the levels below, and back, with a skip connection."""

        def __init__(self, inputs: int, depth: int) -> None:
            super().__init__()
            self.skip = block(inputs, SKIPS, 1)
            self.down = nn.Sequential(block(inputs, width, stride=2), block(width, width))
            self.below = Level(width, depth - 1) if depth > 1 else nn.Identity()
            self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
            self.join = nn.Sequential(block(width + SKIPS, width), block(width, width, 1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.join(torch.cat([self.up(self.below(self.down(x))), self.skip(x)], dim=1))

    body = Level(INPUTS, levels) if levels else block(INPUTS, width)
    return nn.Sequential(body, nn.Conv2d(width, channels, 1))
