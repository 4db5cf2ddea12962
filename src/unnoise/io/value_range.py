"""The value range of an image: which value is black, which is white, and how large a noise level of 255 is.

Networks are trained on images from black at 0 to white at 1. Files hold much else: 12 bits within 16, Hounsfield units
from -1024, counts of photons, reflectances from -1 to 1, with hot pixels and nodata values among them. `estimate_range`
finds the range that the values use, from order statistics, so that it moves with a shift or a scale of the image, and
so that no single pixel, constant block of nodata or saturated star moves it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unnoise.errors import UnnoiseError

BITS = (8, 10, 12, 14, 16)
"""Bit depths of image sensors and file formats, which unsigned integers are taken to have."""
OUTLIERS = 1e-3
"""Share of the values at either end that may be outliers: about that of defective pixels of an image sensor."""
OVERSHOOT = 1.25
"""How far above the full scale noise may lift values: 2.5 standard deviations of noise of sigma 25/255."""
UNIT_SIZE = (1 / 16, 4 * OVERSHOOT)
"""Floats up to these are taken to be of the usual convention, white at 1, with highlights of up to two stops above."""
BEYOND = 1.0
"""How far outside of the range a value may lie before it is an outlier, as a fraction of `white - black`."""
_SAMPLES = 1 << 20  # values that the statistics are taken from


@dataclass(frozen=True)
class ValueRange:
    """Black and white of an image, in its own units.

    Attributes:
        black: the value that is shown to networks as 0.
        white: the value that is shown to networks as 1; larger than `black`.
        full_scale: what 255 is in the 8-bit units of noise levels: 1 for floats of the usual convention, 4095 for 12
            bits. Unlike `white - black` it is the same for a noisy image and its clean one.

    Raises:
        UnnoiseError: black is not below white, or one of them is not finite.
    """

    black: float = 0.0
    white: float = 1.0
    full_scale: float = 1.0

    def __post_init__(self) -> None:
        """Check the order."""
        if not (np.isfinite([self.black, self.white]).all() and self.black < self.white):
            raise UnnoiseError(
                f"a value range is two finite numbers, the smaller first, not {self.black:g} {self.white:g}"
            )

    @classmethod
    def given(cls, black: float, white: float, dtype: np.dtype[Any]) -> ValueRange:
        """Return the range of an image with samples of a type, whose black and white are known.

        >>> ValueRange.given(0, 4095, np.dtype(np.uint16)).white * 65535
        4095.0
        """
        top = 1.0 if dtype.kind == "f" else float(np.iinfo(dtype).max)
        if not black < white:
            return cls(black, white)  # which says what is wrong
        return cls(black / top, white / top, (white - black) / top)

    @property
    def is_unit(self) -> bool:
        """Whether values are in [0, 1] as they are."""
        return (self.black, self.white, self.full_scale) == (0.0, 1.0, 1.0)

    def normalize(self, pixels: np.ndarray) -> np.ndarray:
        """Return float32 values with black at 0 and white at 1; what overflows is infinite."""
        black, white = np.float32(self.black), np.float32(self.white)
        with np.errstate(over="ignore", invalid="ignore"):
            normalized = pixels - black
            normalized /= white - black  # in place, since images may be large
        return normalized  # white itself becomes 1 exactly, as detectors of clipping need

    def without_outliers(self, pixels: np.ndarray) -> np.ndarray:
        """Return `normalize` with infinity in place of outliers, which estimators of the noise pass over."""
        normalized = np.asarray(self.normalize(pixels))
        present = (normalized >= -BEYOND) & (normalized <= 1 + BEYOND)
        normalized[~present] = np.inf  # in place: images may be large
        return normalized

    def restore(self, normalized: np.ndarray) -> np.ndarray:
        """Return the values of `normalize` in the image's own units."""
        return normalized * np.float32(self.white - self.black) + np.float32(self.black)

    @property
    def contrast(self) -> float:
        """`white - black` as a share of the full scale: a level in one unit times or by this is one in the other."""
        return (self.white - self.black) / self.full_scale


def range_of(given: tuple[float, float] | None, pixels: np.ndarray, dtype: np.dtype[Any]) -> ValueRange:
    """Return the range that is given, in the values of the file, else that of `estimate_range`."""
    return estimate_range(pixels, dtype) if given is None else ValueRange.given(*given, dtype)


def estimate_range(pixels: np.ndarray, dtype: np.dtype[Any]) -> ValueRange:
    """Find the value range of an image from its values.

    Unsigned integers begin at black 0. Their full scale is the largest number of the fewest bits in `BITS` that
    hold all but the outliers and the peaks of noise (`OVERSHOOT`); 8-bit images always use their whole range.
    Floats and signed integers are from black to white within the outliers, which makes everything behind this
    equivariant to a scale and a shift of the image.

    Args:
        pixels: `[H, W, C]` or any shape; unsigned integers divided by the largest of their type, others as they are.
            NaN and infinity are missing values, as are values masked in a `numpy.ma.MaskedArray`.
        dtype: of the samples of the file.

    Returns:
        The range in the units of `pixels`; (0, 1) where no value is left.

    >>> estimate_range(np.array([0, 1000, 3000]) / 65535, np.dtype(np.uint16)).white * 65535
    4095.0
    >>> estimate_range(np.linspace(-1024, 1000, 10**4), np.dtype(np.float32)).full_scale
    2047.0
    """
    if dtype == np.uint8:
        return ValueRange()
    values = _samples(pixels)
    if not values.size:
        return ValueRange()
    top = 1.0 if dtype.kind == "f" else float(np.iinfo(dtype).max)
    low, high = _robust_ends(values)
    if dtype.kind == "u":
        scale = _bit_scale(high * top) / top
        return ValueRange(0.0, max(scale, high), scale)
    scale = _full_scale(max(high - low, abs(low), abs(high)) * top) / top
    if high - low <= np.finfo(np.float32).eps * max(abs(low), abs(high)):  # one value
        return ValueRange(low - scale / 2, low + scale / 2, scale)
    return ValueRange(low, high, scale)


def _samples(pixels: np.ndarray) -> np.ndarray:
    """Return finite values spread evenly over the image, in float64."""
    values = np.asarray(pixels).reshape(-1)
    step = values.size // _SAMPLES | 1  # odd, so that no channel or column is left out
    values = values[::step]
    if isinstance(pixels, np.ma.MaskedArray):
        values = values[~np.ma.getmaskarray(pixels).reshape(-1)[::step]]
    return values[np.isfinite(values)].astype(np.float64)


def _robust_ends(values: np.ndarray) -> tuple[float, float]:
    """Return the ends of the values without `OUTLIERS`, and without constants that lie apart from all others.

    A nodata value, or a sensor's saturation, is one number that stands for many pixels, further from the others than
    these are from each other.
    """
    for _ in range(2):  # one constant at each end
        lowest, highest = values.min(), values.max()
        inner = values[(values > lowest) & (values < highest)]
        if not inner.size:
            break
        low, high = np.quantile(inner, (OUTLIERS, 1 - OUTLIERS))
        kept = values
        if lowest < low - (high - low):
            kept = kept[kept > lowest]
        if highest > high + (high - low):
            kept = kept[kept < highest]
        if kept.size == values.size:
            break
        values = kept
    low, high = np.quantile(values, (OUTLIERS, 1 - OUTLIERS))
    return float(low), float(high)


def _bit_scale(top: float) -> float:
    """Return the largest number of the fewest bits that hold `top`, without what may be a peak of noise."""
    exponent = np.log2(max(top / OVERSHOOT, 1) + 0.5)
    return 2.0 ** next((bits for bits in BITS if exponent <= bits), int(np.ceil(exponent))) - 1


def _full_scale(size: float) -> float:
    """Return 1 for floats of the usual convention, else the nearest power of two; less one from 8 bits on.

    The nearest by ratio, so that noise, which widens the range of a full one by up to a quarter, does not change it.
    """
    if size == 0 or UNIT_SIZE[0] <= size <= UNIT_SIZE[1]:
        return 1.0
    exponent = int(np.rint(np.log2(size)))
    return 2.0**exponent - (exponent >= BITS[0])
