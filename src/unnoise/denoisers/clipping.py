"""What files cut off at black and white, made up for behind a denoiser that only knows whole noise.

Noise of deviation s on a value x, cut off below 0, has the mean s g(x / s) with g(u) = u Phi(u) + phi(u), Phi and phi
the normal distribution and its density (Foi, "Clipped noisy images: Heteroskedastic modeling and practical denoising",
Signal Processing 89(12), 2009). A denoiser takes that mean for the picture. Here g is inverted, as far as there are as
many values at 0 around as such noise would leave there: where a level is told that the noise does not have, as for the
smeared noise of cameras, there are none, and nothing is darkened. At white it is the same upside down.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.special import ndtr

REACH = 7
"""Half the side of the squares, in pixels, in which values at 0 and 1 are counted."""

_LEAST = 1e-4  # share of values at 0, below which nothing is made up for
_FINE, _FAR = 1024, 4  # the tables' steps for a deviation, and where they end: noise so far from 0 loses nothing
_FAINT = 1e-6  # no noise, in a map of levels


def _tables() -> tuple[np.ndarray, np.ndarray]:
    """Return, over the mean that was left, by how much it is too high, and the share at 0, in units of the deviation.

    Values below 0 there are none: means below g(0) are taken for 0.
    """
    value = np.linspace(0, _FAR, 4 * _FINE)
    left = value * ndtr(value) + np.exp(-(value**2) / 2) / np.sqrt(2 * np.pi)
    mean = np.arange(_FAR * _FINE) / _FINE
    value = np.interp(mean, left, value)
    return np.append(mean - value, 0).astype(np.float32), np.append(ndtr(-value), 0).astype(np.float32)


_EXCESS, _SHARE = _tables()


def reach(halo: int | None) -> int | None:
    """Return how far an input pixel reaches, in pixels, where that was `halo` before; None stays everywhere.

    >>> reach(92)
    99
    """
    return None if halo is None else halo + REACH


def correct_clipping(noisy: np.ndarray, clean: np.ndarray, sigma: float | np.ndarray) -> np.ndarray:
    """Return a clean picture without the bias of noise that was cut off.

    Args:
        noisy: the picture as it was found, float32 `[H, W, C]`, cut off where it is exactly 0 or 1.
        clean: what a denoiser made of it, the same shape.
        sigma: deviation of the noise before it was cut off, [0, 1] units: a number, a map `[H, W]`, or `[H, W, C]`.
    """
    black, white = noisy == 0, noisy == 1
    deviation = np.maximum(np.asarray(sigma, np.float32), np.float32(_FAINT))
    if deviation.ndim == 2:
        deviation = deviation[:, :, None]
    made = clean
    if black.any():
        made = made - _excess(black, clean, deviation)
    if white.any():
        made = made + _excess(white, 1 - clean, deviation)
    return made


def _excess(cut: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Return how far the mean of noise that was cut off at 0 stands above the value that it was put on."""
    place = np.rint(np.clip(mean * (_FINE / deviation), 0, _FAR * _FINE)).astype(np.int32)
    found, expected = (
        ndimage.uniform_filter(share, 2 * REACH + 1, axes=(0, 1)) for share in (cut.astype(np.float32), _SHARE[place])
    )
    return np.clip(found / np.maximum(expected, _LEAST), 0, 1) * (expected > _LEAST) * _EXCESS[place] * deviation
