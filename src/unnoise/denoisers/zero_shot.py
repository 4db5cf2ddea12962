"""Zero-Shot Noise2Noise: a tiny network learns one noisy picture, in seconds, without any other.

Mansour, Heckel, "Zero-Shot Noise2Noise: Efficient Image Denoising without any Data", CVPR 2023, arXiv:2303.11253. The
means of the two diagonals of all 2x2 squares are two half-size pictures of the same scene with noise of their own: a
network that makes one of the other learns the scene (equations 3 to 6 there: the symmetric residual loss, and that the
two halves of the clean picture are to be the clean halves). The network tells the noise, which is taken off.

It holds for noise of mean 0 that pixels have on their own, of any distribution and level; noise that neighbours share,
as developed photographs have, passes for picture, and impulses, whose mean is not 0, are smeared. What differs from the
authors: it learns from squares of the picture, which bounds its time however large that is, and the learning rate falls
by a cosine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from unnoise.denoisers.base import Sigma
from unnoise.denoisers.per_image import PerImageDenoiser

if TYPE_CHECKING:
    import torch

SQUARE = 64  # side of what is learned from at each step, pixels
RATE = 3e-3  # of learning, at first
STRIP = 512  # rows that are cleaned at a time
REACH = 2  # of the network, pixels


@dataclass(frozen=True)
class ZeroShot(PerImageDenoiser):
    """A network of three layers that learns the picture at hand and no other; seconds a picture.

    Args:
        steps: of learning.
        width: features of the network.
        seed: of its first weights, and of the squares.
    """

    name = "zero_shot"
    steps: int = 1000
    width: int = 48

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Learn the noise of the picture, its values brought to a range of like size, and take it off."""
        middle, spread = float(noisy.mean()), 4 * float(noisy.std())
        if spread == 0 or min(noisy.shape[:2]) < 4:
            return noisy.copy()
        return (middle + spread * self._learn((noisy - middle) / spread)).astype(np.float32)

    def _learn(self, noisy: np.ndarray) -> np.ndarray:
        import torch

        picture = torch.from_numpy(noisy.transpose(2, 0, 1).copy())[None]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = _network(noisy.shape[2], self.width)
        rng = np.random.default_rng(self.seed)
        optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        for _ in range(self.steps):
            square = picture
            for axis in (2, 3):
                length = min(SQUARE, picture.shape[axis] // 2 * 2)
                square = square.narrow(axis, int(rng.integers(picture.shape[axis] - length + 1)), length)
            optimizer.zero_grad(set_to_none=True)
            _loss(network, square).backward()
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
    """Return the means of the two diagonals of each 2x2 square: `[B, C, H, W]`, both even, to two of half the size."""
    corner, right = picture[:, :, ::2, ::2], picture[:, :, ::2, 1::2]
    below, across = picture[:, :, 1::2, ::2], picture[:, :, 1::2, 1::2]
    return (corner + across) / 2, (right + below) / 2


def _loss(network: torch.nn.Module, square: torch.Tensor) -> torch.Tensor:
    """Return the residual and the consistency loss of one square."""
    one, other = halves(square)
    clean_one, clean_other = one - network(one), other - network(other)
    half_one, half_other = halves(square - network(square))
    pairs = ((clean_one, other), (clean_other, one), (clean_one, half_one), (clean_other, half_other))
    return sum(((made - wanted) ** 2).mean() for made, wanted in pairs) / 2  # type: ignore[return-value]


def _network(channels: int, width: int) -> torch.nn.Module:
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, width, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, channels, 1),
    )
