"""PSNR and SSIM of arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from unnoise.errors import UnnoiseError


def to_8_bit(picture: np.ndarray) -> np.ndarray:
    """Clip to [0, 1] and round to 8 bits, as published results are; float64 in [0, 1]."""
    return np.rint(np.clip(picture, 0, 1, dtype=np.float64) * 255) / 255


def fits_8_bits(truth: np.ndarray) -> bool:
    """Tell whether an image is within black and white, 0 and 1, so that results can be rounded to 8 bits."""
    known = truth[np.isfinite(truth)]
    return bool(not known.size or (known.min() >= 0 and known.max() <= 1))


def psnr(truth: np.ndarray, picture: np.ndarray, *, rounded: bool = True) -> float:
    """Peak signal-to-noise ratio in dB over all channels, peak 1; infinite for equal images.

    Args:
        truth: `[H, W, C]` in [0, 1]; what is not finite in it is missing, and not compared.
        picture: the same shape.
        rounded: clip and round `picture` to 8 bits first, as for published results; `truth` is used unchanged.

    Raises:
        UnnoiseError: the shapes differ.
    """
    exact, compared = _pair(truth, picture, rounded)
    if not (known := np.isfinite(exact)).all():
        exact, compared = exact[known], compared[known]
    with np.errstate(divide="ignore"):
        return float(peak_signal_noise_ratio(exact, compared, data_range=1))


def ssim(truth: np.ndarray, picture: np.ndarray, *, rounded: bool = True) -> float:
    """Structural similarity, mean over channels, with the Gaussian window of sigma 1.5 of Wang et al. (TIP 2004).

    Args:
        truth: `[H, W, C]` in [0, 1], both sides at least 11 pixels; what is not finite in it counts as equal.
        picture: the same shape.
        rounded: as for `psnr`.

    Raises:
        UnnoiseError: the shapes differ, or a side is shorter than 11 pixels.
    """
    exact, compared = _pair(truth, picture, rounded)
    if not (known := np.isfinite(exact)).all():
        exact, compared = np.where(known, exact, 0), np.where(known, compared, 0)
    if min(truth.shape[:2]) < 11:
        raise UnnoiseError(f"SSIM needs at least 11x11 pixels, got {truth.shape[1]}x{truth.shape[0]}")
    similarity: Any = structural_similarity(
        exact,
        compared,
        data_range=1,
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return float(similarity)


def _pair(truth: np.ndarray, picture: np.ndarray, rounded: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return both in float64; a rounded image is first cast to the truth's type, so that equal levels compare equal."""
    if truth.shape != picture.shape:
        raise UnnoiseError(f"images of different shape cannot be compared: {truth.shape} and {picture.shape}")
    compared = to_8_bit(picture).astype(truth.dtype) if rounded else picture
    return truth.astype(np.float64), compared.astype(np.float64)
