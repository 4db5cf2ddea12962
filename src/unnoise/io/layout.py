"""What the samples of a pixel are: gray, color or ink; data of other kinds; transparency; missing values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DATA, ASSOCIATED, UNASSOCIATED = 0, 1, 2
"""Types of extra samples, as EXTRASAMPLES of TIFF 6.0 (Adobe, 1992, page 31) has them: data ("unspecified"), alpha by
which the colors are multiplied, and alpha by which they are not."""


@dataclass(frozen=True)
class Layout:
    """The samples of a pixel in a file, in their order.

    Only samples that are declared as alpha are transparency. All others are measurements, such as the channels of a
    microscope or the bands of a satellite, and are denoised.

    Attributes:
        base: samples of the image itself: 1 for gray, 3 for RGB, 4 for CMYK.
        extras: the type of each sample after these, `DATA`, `ASSOCIATED` or `UNASSOCIATED`.
        nodata: the sample value that stands for a missing one; None where there is no such value.
    """

    base: int
    extras: tuple[int, ...] = ()
    nodata: float | None = None

    @property
    def samples(self) -> int:
        """Number of samples of a pixel."""
        return self.base + len(self.extras)

    @property
    def channels(self) -> list[int]:
        """Positions of the samples that are denoised."""
        return [*range(self.base), *(self.base + at for at, kind in enumerate(self.extras) if kind == DATA)]

    @property
    def alphas(self) -> list[int]:
        """Positions of the samples that are transparency."""
        return [self.base + at for at, kind in enumerate(self.extras) if kind != DATA]

    @property
    def groups(self) -> tuple[slice, ...]:
        """The `channels` that are denoised together: those of a color image are one group, data channels one each.

        >>> Layout(3, (DATA, UNASSOCIATED, DATA)).groups
        (slice(0, 3, None), slice(3, 4, None), slice(4, 5, None))
        """
        count = len(self.channels)
        return slice(0, self.base), *(slice(at, at + 1) for at in range(self.base, count))

    @property
    def has_data(self) -> bool:
        """Whether there are channels beside those of a gray, RGB or CMYK image."""
        return DATA in self.extras


def layout_of_array(channels: int, alpha: bool | None = None) -> Layout:
    """Return the layout of an array `[H, W, C]`.

    Args:
        channels: C.
        alpha: whether the last channel is alpha; None for the convention that four channels are RGBA.

    Raises:
        ValueError: alpha is all that there is.

    >>> layout_of_array(4).extras, layout_of_array(2).extras, layout_of_array(4, alpha=False).base
    ((2,), (0,), 1)
    """
    alpha = channels == 4 if alpha is None else alpha
    count = channels - alpha
    if count < 1:
        raise ValueError("an image has at least one channel beside alpha")
    base = 3 if count == 3 else 1
    return Layout(base, (*[DATA] * (count - base), *[UNASSOCIATED] * alpha))


def nodata_as(nodata: float, dtype: np.dtype) -> np.generic | None:
    """Return a nodata value as a sample of a type; None if no sample can have this value."""
    if dtype.kind == "f":
        limits = np.finfo(dtype)
        return dtype.type(nodata if np.isinf(nodata) else np.clip(nodata, limits.min, limits.max))
    limits = np.iinfo(dtype)
    return dtype.type(int(nodata)) if limits.min <= nodata <= limits.max and nodata == int(nodata) else None
