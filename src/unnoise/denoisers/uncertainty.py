"""How sure a clean picture is: the error to be expected at each pixel, told from what stands around it.

What a denoiser gets wrong is fine structure near the noise: much in grass, little in sky. So the expected square of
the error, as a multiple of the noise's variance, is a function of the level and of the structure that the clean
picture shows, also measured against the noise: the energy of its gradients, near and far, and of its Laplacian. The
logarithm of that function is a polynomial of second degree, fitted by `python benchmarks/quality/uncertainty.py fit`
to the true errors of the shipped models on BSDS500's training part (a generalised linear model with logarithmic link,
Nelder and Wedderburn 1972). That costs a few blurs, and no further run of the network; maps from a second run (of the
divergence, or of the clean picture made noisy again) were hardly sharper.

Of other denoisers the map has the same form and another height: their mean square error, told without truth by Stein's
estimate (Stein, Annals of Statistics 9(6), 1981) on the middle of the picture, with one random probe of the divergence
(Ramani, Blu, Unser, IEEE TIP 17(9), 2008): one more run on a piece.

All of this is for white Gaussian noise. Where it grows with the light by a law that the denoiser was told, the level is
that of each pixel; that was not fitted to, and holds by itself.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from unnoise.denoisers.base import MIN_SIGMA, Denoiser, Sigma
from unnoise.units import FULL_SCALE

LEVELS = (5 / 255, 75 / 255)
"""Levels that were fitted to; beyond them, the nearest serves."""
FITTED = {1: ("gray", "color", "color-fast"), 3: ("color", "color-fast")}
"""Channels -> models whose errors were fitted to, or are as those."""
COEFFICIENTS = {
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
"""Channels -> the polynomial of `terms`."""
GRAIN = 1.5
"""Grain of photographs, 8-bit units, which goes with the noise wherever it is; up to a quarter of that.

BSDS500, of JPEGs, hardly has any. It is the root mean square that was missing in the smoothest tenth of photographs
of scikit-image (astronaut, coffee, chelsea, rocket), each by itself, at sigma 15.
"""
STRONGEST = 1e4
"""A level above this, [0, 1] units, counts as this: squares leave the range of numbers."""
_NEAR, _FAR, _FINE = 1.0, 4.0, 1.5  # deviations of the blurs, pixels
_RATIO = (1e-3, 4.0)  # of the squared error to the variance of the noise
_PIECE = 512  # side of what Stein's estimate looks at, pixels
_PROBE = 0.05  # size of its probe, as a share of the noise


def expected_error(clean: np.ndarray, sigma: Sigma) -> np.ndarray:
    """Return the expected error of the shipped model for pictures of so many channels, as if it had cleaned this one.

    Args:
        clean: the clean picture, float32 `[H, W, C]`.
        sigma: the noise that was in it, [0, 1] units, a number or a map `[H, W]`.

    Returns:
        Root mean square error over the channels, float32 `[H, W]` in 8-bit units.
    """
    if np.max(sigma) < MIN_SIGMA:
        return np.zeros(clean.shape[:2], np.float32)
    sigma = np.clip(sigma, MIN_SIGMA, STRONGEST)
    coefficients = COEFFICIENTS[1 if clean.shape[2] == 1 else 3]
    ratio = np.exp(sum(one * term for one, term in zip(coefficients, features(clean, sigma), strict=True)))
    grain = np.minimum(GRAIN / FULL_SCALE, sigma / 4)
    return (FULL_SCALE * np.sqrt(sigma**2 * np.clip(ratio, *_RATIO) + grain**2)).astype(np.float32)


def estimate_error(denoiser: Denoiser, noisy: np.ndarray, clean: np.ndarray, sigma: float) -> np.ndarray:
    """Return the expected error of what a denoiser has made.

    Args:
        denoiser: who did it; asked again where it is none of `FITTED`.
        noisy: what it was given, float32 `[H, W, C]`; pixels that are not finite have no error.
        clean: what it made of it, the same shape.
        sigma: the level of the noise, [0, 1] units; of noise that grows with the light, the denoiser knows it better.

    Returns:
        As `expected_error`.
    """
    finite = np.asarray((np.isfinite(noisy) & np.isfinite(clean)).all(axis=2))
    filled = np.where(finite[:, :, None], clean, np.float32(clean[finite].mean() if finite.any() else 0))
    sigma = min(sigma, STRONGEST)
    found = expected_error(filled, sigma if denoiser.signal_noise is None else denoiser.signal_noise.sigma_map(filled))
    if sigma >= MIN_SIGMA and finite.any() and str(denoiser) not in FITTED.get(clean.shape[2], FITTED[3]):
        middle = tuple(slice((side - _PIECE) // 2 if side > _PIECE else 0, None) for side in clean.shape[:2])
        piece = tuple(slice(one.start, one.start + _PIECE) for one in middle)
        if finite[piece].all():
            mean = float(np.mean((found[piece] / FULL_SCALE) ** 2))
            found *= np.float32(np.sqrt(mean_square_error(denoiser, noisy[piece], sigma) / mean))
    return np.where(finite, found, np.float32(0))


def mean_square_error(denoiser: Denoiser, noisy: np.ndarray, sigma: float) -> float:
    """Estimate a denoiser's mean square error on a picture without truth, at least a thousandth of the noise's.

    Args:
        denoiser: any; it is run twice.
        noisy: float32 `[H, W, C]`, finite.
        sigma: deviation of its white Gaussian noise, [0, 1] units.
    """
    size = np.float32(_PROBE * sigma)
    signs = np.where(np.random.default_rng(0).random(noisy.shape) < 0.5, np.float32(-1), np.float32(1))
    clean = denoiser(noisy, sigma)
    divergence = float(np.mean(signs * (denoiser(noisy + size * signs, sigma) - clean), dtype=np.float64) / size)
    error = float(np.mean((clean - noisy) ** 2, dtype=np.float64)) - sigma**2 + 2 * sigma**2 * divergence
    return max(error, _RATIO[0] * sigma**2)


def features(clean: np.ndarray, sigma: Sigma) -> list[np.ndarray | float]:
    """Return what the polynomial is of: 1, the four measures, and their products, each `[H, W]` or a number."""
    variance = sigma**2
    slopes = np.mean([ndimage.sobel(clean, axis) ** 2 for axis in (0, 1)], axis=(0, 3)) / 32  # sums of two axes
    curved = ndimage.laplace(clean.mean(axis=2)) ** 2
    near, far, fine = (
        np.log(ndimage.gaussian_filter(energy, width) / variance + 1e-3)
        for energy, width in ((slopes, _NEAR), (slopes, _FAR), (curved, _FINE))
    )
    level = np.log(np.clip(sigma, *LEVELS) * FULL_SCALE / 25)
    measures = [near, far, fine, level]
    products = [one * other for index, one in enumerate(measures) for other in measures[index:]]
    return [1.0, *measures, *products]
