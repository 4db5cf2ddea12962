"""Zero-Shot Noise2Noise: a small network is trained on one noisy image, in seconds.

Mansour, Heckel, "Zero-Shot Noise2Noise: Efficient Image Denoising without any Data", CVPR 2023, arXiv:2303.11253. The
means of the two diagonals of all 2x2 squares are two half-size images of the same scene with independent noise: a
network that predicts one from the other learns the scene (equations 3 to 6: the symmetric residual loss and the
consistency loss). The network predicts the noise, which is subtracted.

This works for zero-mean noise that is independent between pixels, of any distribution and sigma. Correlated noise, as
in developed photographs, is kept as image content; impulses, whose mean is not 0, are smeared. Unlike in the paper,
training uses random crops of the image, so that its time does not depend on the image size, and a cosine schedule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from unnoise import interruption
from unnoise.denoisers.base import Sigma
from unnoise.denoisers.per_image import PerImageDenoiser

if TYPE_CHECKING:
    import torch

CROP = 64  # side of the crop for each training step, pixels
LEARNING_RATE = 3e-3  # initial
STRIP = 512  # rows that are denoised at a time
REACH = 2  # halo of the network, pixels


@dataclass(frozen=True)
class ZeroShot(PerImageDenoiser):
    """A network of three layers trained on the image at hand; seconds per image.

    Args:
        steps: training steps.
        width: features of the network.
        seed: seed of its initial weights and of the crops.
    """

    name = "zero_shot"
    steps: int = 1000
    width: int = 48

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Train on the normalized image, and subtract the predicted noise."""
        mean, scale = float(noisy.mean()), 4 * float(noisy.std())
        if scale == 0 or min(noisy.shape[:2]) < 4:
            return noisy.copy()
        return (mean + scale * self._fit((noisy - mean) / scale)).astype(np.float32)

    def _fit(self, noisy: np.ndarray) -> np.ndarray:
        import torch

        picture = torch.from_numpy(noisy.transpose(2, 0, 1).copy())[None]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = _network(noisy.shape[2], self.width)
        rng = np.random.default_rng(self.seed)
        optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        for _ in range(self.steps):
            interruption.check()
            crop = picture
            for axis in (2, 3):
                length = min(CROP, picture.shape[axis] // 2 * 2)
                crop = crop.narrow(axis, int(rng.integers(picture.shape[axis] - length + 1)), length)
            optimizer.zero_grad(set_to_none=True)
            _loss(network, crop).backward()
            optimizer.step()
            schedule.step()
        clean = []
        with torch.inference_mode():
            for top in range(0, noisy.shape[0], STRIP):
                above = min(top, REACH)
                strip = picture[:, :, top - above : top + STRIP + REACH]
                clean.append((strip - network(strip))[:, :, above : above + STRIP])
        return torch.cat(clean, dim=2)[0].permute(1, 2, 0).numpy()


def halves(picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the means of the two diagonals of each 2x2 square: `[B, C, H, W]` to two of half the size; H, W even."""
    corner, right = picture[:, :, ::2, ::2], picture[:, :, ::2, 1::2]
    below, across = picture[:, :, 1::2, ::2], picture[:, :, 1::2, 1::2]
    return (corner + across) / 2, (right + below) / 2


def _loss(network: torch.nn.Module, crop: torch.Tensor) -> torch.Tensor:
    """Return the sum of the residual and the consistency loss of a crop."""
    first, second = halves(crop)
    clean_first, clean_second = first - network(first), second - network(second)
    half_first, half_second = halves(crop - network(crop))
    pairs = ((clean_first, second), (clean_second, first), (clean_first, half_first), (clean_second, half_second))
    return sum(((output - target) ** 2).mean() for output, target in pairs) / 2  # type: ignore[return-value]


def _network(channels: int, width: int) -> torch.nn.Module:
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, width, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, channels, 1),
    )
