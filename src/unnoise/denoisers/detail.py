"""Structure in what a denoiser took out: the coefficients of the residual that are above its noise.

The residual is decomposed by the undecimated wavelet transform with the B3 spline (Starck and Murtagh, "Astronomical
Image and Data Analysis", 2nd ed., 2006). Its coefficients are shrunk by soft thresholding (Donoho, 1995) with the
threshold of BayesShrink, var_noise / sigma_signal (Chang, Yu and Vetterli, "Adaptive wavelet thresholding for image
denoising and compression", IEEE Transactions on Image Processing 9, 2000), where the variance of the signal is that of
a window around each coefficient, less that of the noise. The latter follows from the noise level at each scale.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from scipy import ndimage

SCALES = 3
REACH = 2 * (2**SCALES - 1) + 4 * 2 ** (SCALES - 1)
"""Pixels that decide about one of the result: of the filters of all scales, and of half a window."""

_B3 = np.array([1, 4, 6, 4, 1], np.float64) / 16
_WINDOW = np.full(9, 1 / 9)  # of every coefficient, of every second one, of every fourth one
_CERTAIN = 1.3  # the variance of a window has to exceed that of the noise by this factor: it varies by chance


def structure(residual: np.ndarray, sigma: float | np.ndarray, correlation: float = 0.0) -> np.ndarray:
    """Return the structure in a residual of one channel.

    Args:
        residual: noisy image less its denoised one, float32 `[H, W]`.
        sigma: standard deviation of the noise in the residual, in its units; a number, or a map `[H, W]`.
        correlation: of the noise between neighboring pixels, 0 to 1.

    Returns:
        What is above the noise, float32 `[H, W]`, of mean near 0; all of it where sigma is 0.
    """
    smooth, kept = residual.astype(np.float32), np.zeros(residual.shape, np.float32)
    for scale, gain in enumerate(gains(round(min(max(correlation, 0.0), 0.95), 2))):
        coarser = _smoothed(smooth, scale)
        coefficients, noise = smooth - coarser, np.square(gain * np.asarray(sigma, np.float32))
        energy = _filtered(np.square(coefficients), _spread(_WINDOW, scale))
        signal = np.maximum(energy - _CERTAIN * noise, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            threshold = np.where(noise > 0, noise / np.sqrt(signal), np.float32(0))  # infinite where there is no signal
        kept += np.sign(coefficients) * np.maximum(np.abs(coefficients) - threshold, 0)
        smooth = coarser
    return kept


@functools.cache
def gains(correlation: float = 0.0) -> tuple[float, ...]:
    """Return the standard deviation of the coefficients of each scale, of noise whose own is 1.

    Correlated noise is taken as white noise that was blurred by a Gaussian, whose correlation between neighbors is
    exp(-1 / (4 s^2)) for one of s pixels.
    """
    side = 128
    power = np.ones((side, side))
    if correlation > 0:
        frequency = np.fft.fftfreq(side)
        blur = np.exp(-2 * (math.pi * frequency) ** 2 * (-1 / (4 * math.log(correlation))))
        power = np.outer(blur, blur) ** 2
        power /= power.mean()
    impulse, found = np.zeros((side, side)), []
    impulse[side // 2, side // 2] = 1
    for scale in range(SCALES):
        coarser = _smoothed(impulse, scale)
        found.append(float(np.sqrt(np.mean(power * np.abs(np.fft.fft2(impulse - coarser)) ** 2))))
        impulse = coarser
    return tuple(found)


def _smoothed(image: np.ndarray, scale: int) -> np.ndarray:
    return _filtered(image, _spread(_B3, scale))


def _spread(kernel: np.ndarray, scale: int) -> np.ndarray:
    """Return a kernel with zeros between its values."""
    wide = np.zeros((len(kernel) - 1) * 2**scale + 1)
    wide[:: 2**scale] = kernel
    return wide


def _filtered(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Filter rows and columns; not by running sums, which would make tiles differ from the whole."""
    return ndimage.correlate1d(ndimage.correlate1d(image, kernel, axis=0, mode="reflect"), kernel, 1, mode="reflect")
