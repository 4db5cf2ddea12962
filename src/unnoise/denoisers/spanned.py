"""A denoiser at the range of values that a picture uses: 12 bits within 16, counts of photons, radiance."""

from __future__ import annotations

from typing import Any

import numpy as np

from unnoise.denoisers.base import Denoiser, Sigma

_BITS = (8, 10, 12, 14)  # of sensors, whose numbers come in 16 bits
_USUAL = (1 / 16, 4)  # floats whose bright end lies between are taken as they are: 1 is white


def span(pixels: np.ndarray, dtype: np.dtype[Any]) -> float:
    """Return what is white in a picture.

    Of 16-bit integers, it is the largest number of the fewest bits, 8 to 16, that hold them all; of 32-bit integers and
    floats, 1, or where that would be black or far too bright a power of two above all but a thousandth.

    Args:
        pixels: `[H, W, C]`, integers divided by the largest of their type.
        dtype: of the samples of the file.

    >>> span(np.full((8, 8, 1), 3000 / 65535, np.float32), np.dtype(np.uint16)) * 65535
    4095.0
    >>> span(np.full((8, 8, 1), 3000, np.float32), np.dtype(np.float32))
    4096.0
    """
    if dtype.itemsize == 1:
        return 1.0
    if dtype.itemsize == 2:
        full = np.iinfo(dtype).max
        top = float(max(pixels.max(), -pixels.min())) * full
        return next(((2**bits - 1) / full for bits in _BITS if 0 < top < 2**bits - 0.5), 1.0)
    seen = pixels.reshape(-1)[:: pixels.size // 10**6 | 1]
    finite = np.abs(seen[np.isfinite(seen)])
    top = float(np.quantile(finite, 0.999)) if finite.size else 0.0
    if top == 0 or _USUAL[0] <= top <= _USUAL[1]:
        return 1.0
    return float(2.0 ** np.ceil(np.log2(top)))


class Spanned(Denoiser):
    """A denoiser that is shown pictures with their white at 1, and gives them back at theirs.

    Args:
        inside: does the work; its facts are those of this one, levels are told as shares of white.
        white: of the picture, as `span` returns it.
    """

    def __init__(self, inside: Denoiser, white: float) -> None:
        self.inside, self.white, self.title = inside, np.float32(white), str(inside)
        self.channels, self.multiple_of = inside.channels, inside.multiple_of
        self.halo, self.wants_sigma, self.margin = inside.halo, inside.wants_sigma, inside.margin

    def __call__(self, noisy: np.ndarray, sigma: Sigma | None = None) -> np.ndarray:
        """Clean a picture; see `Denoiser`."""
        return self.run(self.checked(noisy), sigma)

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Clean one picture."""
        return self.inside(noisy / self.white, sigma) * self.white
