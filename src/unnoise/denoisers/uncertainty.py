"""The expected error of a denoised image at each pixel, computed from the image itself.

What a denoiser gets wrong is fine structure near the noise level: much in grass, little in sky. The expected squared
error, as a multiple of the noise variance, is therefore a function of sigma and of the structure in the denoised image
relative to the noise: the energy of its gradients, near and far, and of its Laplacian. The logarithm of this function
is a polynomial of degree two, fitted by `python benchmarks/quality/uncertainty.py fit` to the true errors of a model
on the training part of BSDS500 (a generalized linear model with logarithmic link, Nelder and Wedderburn 1972). A model
that was calibrated in this way has the coefficients on its card. Evaluation costs a few blurs and no further run of
the network; maps from a second run (of the divergence, or of the denoised image with new noise) were hardly sharper.

For other denoisers the map has the same form, scaled to their mean squared error. That is Stein's unbiased risk
estimate (Stein, Annals of Statistics 9(6), 1981), which needs no clean image, on the center of the image, with one
random probe of the divergence (Ramani, Blu, Unser, IEEE TIP 17(9), 2008): two more runs on a crop.

All of this is for white Gaussian noise. If a denoiser was set to signal-dependent noise, sigma is that of each pixel;
nothing was fitted to this case, but the calibration holds there as well.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from unnoise.denoisers.base import MIN_SIGMA, Denoiser, Sigma
from unnoise.units import FULL_SCALE

FITTED_SIGMAS = (5 / 255, 75 / 255)
"""Range of sigma that was fitted to; values beyond are clipped to it."""
DEFAULT_COEFFICIENTS = {
    1: (
        *(-1.513, 0.1398, 0.0009025, 0.2341, -0.1445),
        *(-0.05539, 0.0499, 0.05375, 0.07239, -0.04741),
        *(-0.01638, -0.0423, -0.01633, -0.05365, 0.03321),
    ),
    3: (
        *(-2.232, 0.1457, 0.06417, 0.1443, -0.1453),
        *(-0.0556, 0.03531, 0.06459, 0.06527, -0.04033),
        *(-0.001063, -0.03412, -0.02715, -0.009619, 0.1192),
    ),
}
"""Number of channels -> coefficients for denoisers without their own; those of the bundled gray and color models."""
GRAIN = 1.5
"""Grain of photographs in 8-bit units, which is removed together with the noise, up to a quarter of sigma.

BSDS500, made of JPEG files, has hardly any. This is the root mean square that the estimate was short of in the
smoothest tenth of four photographs of scikit-image (astronaut, coffee, chelsea, rocket) at sigma 15.
"""
MAX_SIGMA = 1e4
"""A larger sigma, in [0, 1] units, is reduced to this: squares would overflow."""
REACH = 17
"""How far, in pixels, a pixel of the denoised image affects the map: the far blur and the gradient."""
_NEAR, _FAR, _FINE = 1.0, 4.0, 1.5  # sigmas of the blurs, pixels
_RATIO = (1e-3, 4.0)  # range of squared error / noise variance
_CROP = 512  # side of the crop for Stein's estimate, pixels
_PROBE = 0.05  # size of its probe relative to sigma


def expected_error(clean: np.ndarray, sigma: Sigma, coefficients: Sequence[float] | None = None) -> np.ndarray:
    """Return the expected error of a calibrated model.

    Args:
        clean: the denoised image, float32 `[H, W, C]`.
        sigma: standard deviation of the noise that was in it, [0, 1] units, a number or a map `[H, W]`.
        coefficients: those of the polynomial of `features`; None for the default.

    Returns:
        Root mean squared error over the channels, float32 `[H, W]` in 8-bit units.
    """
    if np.max(sigma) < MIN_SIGMA:
        return np.zeros(clean.shape[:2], np.float32)
    sigma = np.clip(sigma, MIN_SIGMA, MAX_SIGMA)
    if coefficients is None:
        coefficients = DEFAULT_COEFFICIENTS[_model_channels(clean)]
    terms = zip(coefficients, features(clean, sigma), strict=True)
    ratio = np.exp(sum(coefficient * feature for coefficient, feature in terms))
    grain = np.minimum(GRAIN / FULL_SCALE, sigma / 4)
    return (FULL_SCALE * np.sqrt(sigma**2 * np.clip(ratio, *_RATIO) + grain**2)).astype(np.float32)


def estimate_error(
    denoiser: Denoiser, noisy: np.ndarray, clean: np.ndarray, sigma: float, scale: float | None = None
) -> np.ndarray:
    """Return the expected error of a result.

    Args:
        denoiser: the denoiser that made it; it runs again, on a crop, if it has no `error_model` for such images.
        noisy: its input, float32 `[H, W, C]`; non-finite pixels get an error of 0.
        clean: its output, the same shape.
        sigma: standard deviation of the noise, [0, 1] units; the `signal_noise` of the denoiser takes precedence.
        scale: factor of the map, as `center_scale` returns it; None to measure it on the center of these arrays.

    Returns:
        As `expected_error`.
    """
    finite = np.asarray((np.isfinite(noisy) & np.isfinite(clean)).all(axis=2))
    filled = np.where(finite[:, :, None], clean, np.float32(clean[finite].mean() if finite.any() else 0))
    sigma = min(sigma, MAX_SIGMA)
    coefficients = (denoiser.error_model or {}).get(_model_channels(clean))
    pixel_sigma = sigma if denoiser.signal_noise is None else denoiser.signal_noise.sigma_map(filled)
    error = expected_error(filled, pixel_sigma, coefficients)
    if scale is None:
        center = central_region(*clean.shape[:2])
        scale = center_scale(denoiser, noisy[center], clean[center], error[center], sigma)
    error *= np.float32(scale)
    return np.where(finite, error, np.float32(0))


def is_calibrated(denoiser: Denoiser, channels: int) -> bool:
    """Tell whether a denoiser has an `error_model` for images of so many channels."""
    return (1 if channels == 1 else 3) in (denoiser.error_model or {})


def central_region(height: int, width: int) -> tuple[slice, slice]:
    """Return the rows and columns of the crop that the scale of a map is measured on."""
    starts = [(side - _CROP) // 2 if side > _CROP else 0 for side in (height, width)]
    return slice(starts[0], min(starts[0] + _CROP, height)), slice(starts[1], min(starts[1] + _CROP, width))


def center_scale(denoiser: Denoiser, noisy: np.ndarray, clean: np.ndarray, error: np.ndarray, sigma: float) -> float:
    """Return the factor of the map of a denoiser; 1 if it is calibrated, or the crop has non-finite pixels.

    Args:
        denoiser: the denoiser; it runs twice unless it is calibrated.
        noisy: the `central_region` of its input, float32 `[h, w, C]`.
        clean: the same region of its output.
        error: the same region of the map of scale 1.
        sigma: standard deviation of the noise, [0, 1] units.
    """
    sigma = min(sigma, MAX_SIGMA)
    if sigma < MIN_SIGMA or is_calibrated(denoiser, clean.shape[2]):
        return 1.0
    if not (np.isfinite(noisy).all() and np.isfinite(clean).all()):
        return 1.0
    mean = float(np.mean((error / FULL_SCALE) ** 2))
    return float(np.sqrt(mean_square_error(denoiser, noisy, sigma) / mean))


def mean_square_error(denoiser: Denoiser, noisy: np.ndarray, sigma: float) -> float:
    """Return Stein's estimate of the mean squared error of a denoiser, at least a thousandth of the noise variance.

    Args:
        denoiser: the denoiser; it runs twice.
        noisy: float32 `[H, W, C]`, finite.
        sigma: standard deviation of its white Gaussian noise, [0, 1] units.
    """
    size = np.float32(_PROBE * sigma)
    signs = np.where(np.random.default_rng(0).random(noisy.shape) < 0.5, np.float32(-1), np.float32(1))
    clean = denoiser(noisy, sigma)
    divergence = float(np.mean(signs * (denoiser(noisy + size * signs, sigma) - clean), dtype=np.float64) / size)
    error = float(np.mean((clean - noisy) ** 2, dtype=np.float64)) - sigma**2 + 2 * sigma**2 * divergence
    return max(error, _RATIO[0] * sigma**2)


def features(clean: np.ndarray, sigma: Sigma) -> list[np.ndarray | float]:
    """Return the terms of the polynomial: 1, four measures, and their products, each `[H, W]` or a number."""
    variance = sigma**2
    slopes = np.mean([ndimage.sobel(clean, axis) ** 2 for axis in (0, 1)], axis=(0, 3)) / 32  # sum over both axes
    curvature = ndimage.laplace(clean.mean(axis=2)) ** 2
    near, far, fine = (
        np.log(ndimage.gaussian_filter(energy, width) / variance + 1e-3)
        for energy, width in ((slopes, _NEAR), (slopes, _FAR), (curvature, _FINE))
    )
    level = np.log(np.clip(sigma, *FITTED_SIGMAS) * FULL_SCALE / 25)
    measures = [near, far, fine, level]
    products = [first * second for index, first in enumerate(measures) for second in measures[index:]]
    return [1.0, *measures, *products]


def _model_channels(clean: np.ndarray) -> int:
    """Return the number of channels of the error model for an image: CMYK counts as color."""
    return 1 if clean.shape[2] == 1 else 3
