"""Denoise the mosaic of a raw file.

The noise is stabilized first, see `stabilized`. The network `raw` is given the whole mosaic of a Bayer sensor, as an
image of one channel: the pixels of its 2x2 cells are the first features of a `resunet`, so that it sees what the colors
have in common. It was trained with red in the corner of the cells; for other patterns, the mosaic is extended by a row
or a column. Other denoisers are given each plane by itself, as a gray image at half size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np

from unnoise.denoisers import stabilized
from unnoise.denoisers.base import Denoiser
from unnoise.denoisers.bayer import Bayer
from unnoise.noise.shot import ShotNoise

Planes = list[np.ndarray]
"""Signals of the planes, float32 `[h, w]` each, linear, black at 0 and white at 1, not clipped; from left to right and
from top to bottom: four of a Bayer pattern, whose sizes may differ by a row or a column, or one."""


class MosaicDenoiser(ABC):
    """A function from noisy planes to clean ones."""

    @abstractmethod
    def __call__(
        self,
        planes: Planes,
        noises: Sequence[ShotNoise],
        pattern: str,
        progress: Callable[[float], None] = lambda _: None,
    ) -> Planes:
        """Denoise a mosaic.

        Args:
            planes: the planes.
            noises: the noise in each of them.
            pattern: names of their filters, such as "RGGB", or "gray".
            progress: called with the fraction that is done.

        Returns:
            The denoised planes, of the same shapes.
        """

    @abstractmethod
    def __str__(self) -> str:
        """Return the name, for reports."""


class PlaneByPlane(MosaicDenoiser):
    """Denoises each plane by itself, as a gray image.

    Args:
        inside: denoises it.
    """

    def __init__(self, inside: Denoiser) -> None:
        self.inside = inside

    def __call__(
        self,
        planes: Planes,
        noises: Sequence[ShotNoise],
        pattern: str,
        progress: Callable[[float], None] = lambda _: None,
    ) -> Planes:
        """Denoise a mosaic."""
        clean = []
        for number, (plane, noise) in enumerate(zip(planes, noises, strict=True)):
            part = lambda done, before=number: progress((before + done) / len(planes))  # noqa: E731
            clean += stabilized.denoise(self.inside, [plane], [noise], progress=part)
        progress(1.0)
        return clean

    def __str__(self) -> str:
        """Return the name of the model inside; "auto" is `gray` here."""
        return "gray" if self.inside.name == "auto" else str(self.inside)


class BayerNetwork(MosaicDenoiser):
    """Denoises the planes of a Bayer sensor together.

    Args:
        inside: a network for mosaics (`DenoiserInfo.mosaic`).
    """

    def __init__(self, inside: Denoiser) -> None:
        self.inside = inside.for_mosaics()

    def __call__(
        self,
        planes: Planes,
        noises: Sequence[ShotNoise],
        pattern: str,
        progress: Callable[[float], None] = lambda _: None,
    ) -> Planes:
        """Denoise a mosaic."""
        clean = stabilized.denoise(self.inside, planes, noises, Bayer(pattern, planes), progress)
        progress(1.0)
        return clean

    def __str__(self) -> str:
        """Return the name of the network."""
        return str(self.inside)
