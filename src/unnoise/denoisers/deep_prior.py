"""Deep Image Prior: a fresh network learns one noisy picture, and is stopped before it has learned the noise.

Ulyanov, Vedaldi, Lempitsky, "Deep Image Prior", CVPR 2018, arXiv:1711.10925: an hourglass of convolutions is fed with
fixed random numbers and fitted to the picture; shapes come out long before noise does. As there, the input is jittered,
and the result is a running mean of the outputs. When to stop is found without truth: a share of the pixels is held
back, and the output is kept that predicts these best. They are noisy, but their noise is not that of the others, so
that their error stops falling when noise is being learned (as in Yaman et al., "Zero-Shot Self-Supervised Learning",
ICLR 2022). That holds for any noise of pixels on their own, and fails for noise that neighbours share.

It is narrower than the authors' network (32 features, not 128), for processors; it is slow all the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from unnoise.denoisers.base import Sigma
from unnoise.denoisers.per_image import PerImageDenoiser

if TYPE_CHECKING:
    import torch

LEVELS = 4  # of halving; fewer for small pictures
INPUTS = 16  # random planes that the network is fed with
JITTER = 1 / 30  # deviation of what is added to them at each step; they lie in 0 to 0.1
SMALLEST = 4  # side, pixels, that the network makes; a smaller picture is a part of that
SKIPS = 4  # features that each level hands across
HELD_BACK = 0.03  # share of the pixels
EVERY = 10  # steps between looks at them
MEMORY = 0.98  # of the running mean of outputs, per step
PATIENCE = 0.35  # share of the steps that may pass without a better output


@dataclass(frozen=True)
class DeepPrior(PerImageDenoiser):
    """A network that learns the picture at hand and no other, stopped by held-back pixels; minutes a picture.

    Args:
        steps: of learning, at most; it stops earlier where the held-back pixels have long been predicted worse.
        width: features of the network.
        seed: of its first weights and its input.
    """

    name = "deep_prior"
    steps: int = 1500
    width: int = 32

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Learn the picture, its values brought to mean 0 and deviation 1."""
        middle, spread = float(noisy.mean()), float(noisy.std())
        if spread == 0 or noisy.shape[:2] == (1, 1):
            return noisy.copy()  # there is nothing to learn
        return (middle + spread * self._learn((noisy - middle) / spread)).astype(np.float32)

    def _learn(self, noisy: np.ndarray) -> np.ndarray:
        import torch

        from unnoise.networks.base import bf16_pays

        generator = torch.Generator().manual_seed(self.seed)
        half = torch.autocast("cpu", torch.bfloat16, enabled=bf16_pays("cpu"))
        height, width, channels = noisy.shape
        levels = max(0, min(LEVELS, int(math.log2(max(min(height, width) / SMALLEST, 1)))))
        tall, wide = (max(side + -side % 2**levels, SMALLEST) for side in (height, width))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = _hourglass(channels, self.width, levels)
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        target = torch.from_numpy(noisy.transpose(2, 0, 1).copy())[None]
        seen = (torch.rand(target.shape, generator=generator) >= HELD_BACK).float()
        fixed = 0.1 * torch.rand((1, INPUTS, tall, wide), generator=generator)
        fixed = fixed.contiguous(memory_format=torch.channels_last)
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
        mean = torch.zeros_like(target)
        best, lowest, found = mean, math.inf, 0
        for step in range(self.steps):
            jitter = JITTER * torch.randn(fixed.shape, generator=generator)
            with half:
                made = network(fixed + jitter)[:, :, :height, :width].float()
            loss = (seen * (made - target) ** 2).sum() / seen.sum().clamp(min=1)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            weight = max(1 - MEMORY, 1 / (step + 1))
            mean = mean.lerp(made.detach(), weight)
            if step % EVERY == EVERY - 1 or step == self.steps - 1:
                missed = float(((1 - seen) * (mean - target) ** 2).sum())
                if missed < lowest:
                    best, lowest, found = mean, missed, step
                elif step - found > PATIENCE * self.steps:
                    break
        return best[0].permute(1, 2, 0).numpy()


def _hourglass(channels: int, width: int, levels: int) -> torch.nn.Module:
    """Return a network from `[1, INPUTS, H, W]` to `[1, channels, H, W]`; sides are multiples of 2 ** levels."""
    import torch
    from torch import nn

    around = "reflect" if levels else "replicate"  # a side of one pixel has no reflection

    def block(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
        padding = {"padding": kernel // 2, "padding_mode": around if kernel > 1 else "zeros"}
        convolution = nn.Conv2d(inputs, outputs, kernel, stride, **padding, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2))

    class Level(nn.Module):
        """Half the size, what lies below, and back, with a skip beside."""

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
