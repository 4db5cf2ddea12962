"""Patches: a dataset seen through random crops, turns and noise, as many as one likes.

Item n depends on (seed, n) and on nothing else, whatever process makes it: a run that was broken off goes on with the
very patches that it would have seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unnoise.datasets.base import Dataset, as_float
from unnoise.errors import UnnoiseError
from unnoise.noise import Noise


@dataclass(frozen=True)
class Patches:
    """An endless sequence of square training patches.

    Attributes:
        dataset: clean pictures, or pairs of noisy and clean ones.
        noise: what spoils a clean picture; None for pairs.
        size: side of a patch in pixels.
        seed: seeds crops, turns and noise.
    """

    dataset: Dataset
    noise: Noise | None
    size: int
    seed: int = 0

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """Make patch `index`.

        Returns:
            `noisy` and `clean`, float32 `[C, size, size]`, and `sigma`, the noise deviation in [0, 1] units
            `[1, 1, 1]` (NaN where no single number says it).
        """
        rng = np.random.default_rng((self.seed, index))
        patches = self._cut(self._pictures(int(rng.integers(len(self.dataset)))), rng)
        sigma: float | None = None
        if self.noise is None:
            noisy, clean = patches
        else:
            clean = patches[-1]
            noise = self.noise.draw(rng)
            noisy, sigma = noise(clean, rng), noise.sigma
        return {
            "noisy": noisy.transpose(2, 0, 1).copy(),
            "clean": clean.transpose(2, 0, 1).copy(),
            "sigma": np.full((1, 1, 1), np.nan if sigma is None else sigma, dtype=np.float32),
        }

    def check(self) -> None:
        """Read every picture of the dataset, so that what is wrong with one is told now and not when it is drawn.

        Raises:
            UnnoiseError: a picture cannot be read, or is smaller than a patch.
        """
        for index in range(len(self.dataset)):
            self._pictures(index)

    def _pictures(self, index: int) -> tuple[np.ndarray, ...]:
        item = self.dataset[index]
        pictures = item if isinstance(item, tuple) else (item,)
        height, width = pictures[0].shape[:2]
        if min(height, width) < self.size:
            label = self.dataset.label(index)
            raise UnnoiseError(f"'{label}', {width}x{height} pixels, is smaller than a patch of {self.size}")
        return pictures

    def _cut(self, pictures: tuple[np.ndarray, ...], rng: np.random.Generator) -> list[np.ndarray]:
        """Cut the same square from each picture and turn it to one of its eight orientations."""
        height, width = pictures[0].shape[:2]
        top = int(rng.integers(height - self.size + 1))
        left = int(rng.integers(width - self.size + 1))
        turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))
        patches = [np.rot90(picture[top : top + self.size, left : left + self.size], turns) for picture in pictures]
        return [as_float(patch[:, ::-1] if mirrored else patch) for patch in patches]
