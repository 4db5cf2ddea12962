"""Denoise the mosaic of a raw file, as the planes of its filters.

`MosaicDenoiser` is what a raw file is denoised by. `PlaneByPlane` is the first one: each plane, at half size, through a
model for gray images. A network that is given the four planes at once sees what they have in common, and takes its
place.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np

from unnoise.denoisers import stabilized
from unnoise.denoisers.base import Denoiser
from unnoise.noise.shot import ShotNoise

Planes = list[np.ndarray]
"""Signals of the planes, float32 `[h, w]` each, linear, black at 0 and white at 1, not clipped; from left to right and
from top to bottom: four of a Bayer pattern, whose sizes may differ by a row or a column, or one."""


class MosaicDenoiser(ABC):
    """A function from noisy planes to clean ones."""

    @abstractmethod
    def __call__(
        self, planes: Planes, noises: Sequence[ShotNoise], progress: Callable[[float], None] = lambda _: None
    ) -> Planes:
        """Denoise a mosaic.

        Args:
            planes: the planes.
            noises: the noise in each of them.
            progress: called with the fraction that is done.

        Returns:
            The denoised planes, of the same shapes.
        """

    @abstractmethod
    def __str__(self) -> str:
        """Return the name, for reports."""


class PlaneByPlane(MosaicDenoiser):
    """Denoises each plane by itself, as a gray image; see `stabilized`.

    Args:
        inside: denoises it; the model "auto" is `gray` here.
    """

    def __init__(self, inside: Denoiser) -> None:
        self.inside = inside

    def __call__(
        self, planes: Planes, noises: Sequence[ShotNoise], progress: Callable[[float], None] = lambda _: None
    ) -> Planes:
        """Denoise a mosaic."""
        clean = []
        for number, (plane, noise) in enumerate(zip(planes, noises, strict=True)):
            part = lambda done, before=number: progress((before + done) / len(planes))  # noqa: E731
            clean.append(stabilized.denoise(self.inside, plane, noise, part))
        progress(1.0)
        return clean

    def __str__(self) -> str:
        """Return the name of the model inside."""
        return "gray" if self.inside.name == "auto" else str(self.inside)
