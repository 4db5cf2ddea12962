"""Correction of clipping at black and white, after a denoiser that was trained on unclipped noise.

Noise with standard deviation s at a value x, clipped below 0, has the mean s g(x / s) with g(u) = u Phi(u) + phi(u),
where Phi and phi are the normal distribution and its density (Foi, "Clipped noisy images: Heteroskedastic modeling and
practical denoising", Signal Processing 89(12), 2009). A denoiser returns this biased mean. Here g is inverted, to the
extent that the neighborhood has as many values at 0 as such noise would produce: if sigma is overestimated, as for the
correlated noise of cameras, there are none, and nothing is darkened. White is corrected symmetrically.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.special import ndtr

REACH = 7
"""Radius of the square windows, in pixels, in which values at 0 and 1 are counted."""

_MIN_SHARE = 1e-4  # expected share of values at 0, below which nothing is corrected
_STEPS, _END = 1024, 4  # steps of the tables per sigma, and their end in sigmas, where clipping is negligible
_MIN_SIGMA = 1e-6  # in place of 0 in a map of sigma


def _tables() -> tuple[np.ndarray, np.ndarray]:
    """Return the bias of a clipped mean, and the share of values at 0, as functions of the mean, in units of sigma.

    True values are not negative: means below g(0) count as that of 0.
    """
    value = np.linspace(0, _END, 4 * _STEPS)
    clipped = value * ndtr(value) + np.exp(-(value**2) / 2) / np.sqrt(2 * np.pi)
    mean = np.arange(_END * _STEPS) / _STEPS
    value = np.interp(mean, clipped, value)
    return np.append(mean - value, 0).astype(np.float32), np.append(ndtr(-value), 0).astype(np.float32)


_BIAS, _SHARE = _tables()


def reach(halo: int | None) -> int | None:
    """Return the halo in pixels of a denoiser with this correction, given its own; None stays None.

    >>> reach(92)
    99
    """
    return None if halo is None else halo + REACH


def correct_clipping(noisy: np.ndarray, clean: np.ndarray, sigma: float | np.ndarray) -> np.ndarray:
    """Return a denoised image without the bias of clipped noise.

    Args:
        noisy: the noisy image, float32 `[H, W, C]`, clipped where it is exactly 0 or 1.
        clean: the denoised image, the same shape.
        sigma: standard deviation of the noise before clipping, [0, 1] units: a number, a map `[H, W]`, or `[H, W, C]`.
    """
    black, white = noisy == 0, noisy == 1
    sigma = np.maximum(np.asarray(sigma, np.float32), np.float32(_MIN_SIGMA))
    if sigma.ndim == 2:
        sigma = sigma[:, :, None]
    corrected = clean
    if black.any():
        corrected = corrected - _bias(black, clean, sigma)
    if white.any():
        corrected = corrected + _bias(white, 1 - clean, sigma)
    return corrected


def _bias(clipped: np.ndarray, mean: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Return by how much the mean of noise clipped at 0 exceeds the true value."""
    index = np.rint(np.clip(mean * (_STEPS / sigma), 0, _END * _STEPS)).astype(np.int32)
    observed, expected = (
        ndimage.uniform_filter(share, 2 * REACH + 1, axes=(0, 1))
        for share in (clipped.astype(np.float32), _SHARE[index])
    )
    weight = np.clip(observed / np.maximum(expected, _MIN_SHARE), 0, 1)
    return weight * (expected > _MIN_SHARE) * _BIAS[index] * sigma
