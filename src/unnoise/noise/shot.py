"""Noise of a sensor as it is in raw files: independent in each pixel, of a variance that is linear in the light.

Photons arrive independently, so that the variance of their number equals its mean; reading them out adds a constant
(Janesick, "Photon Transfer", SPIE Press 2007). DNG's NoiseProfile states the same two numbers (DNG 1.6).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from unnoise.noise import estimation

_SHADES = 16
_TYPICAL_GAIN = 2.6e-5
"""White per electron at ISO 100: the median of five sensors, from 6e-6 of a full-frame sensor of large pixels to 1.4e-4
of a phone's (Wei et al., "Physics-based Noise Modeling for Extreme Low-light Photography", IEEE TPAMI 2021; Feng et
al., "Learnability Enhancement for Low-light Raw Denoising", ACM Multimedia 2022)."""
_TYPICAL_READ = 3.0  # electrons of read noise


@dataclass(frozen=True)
class ShotNoise:
    """Variance = a * x + b of a signal x, with black at 0 and white at 1.

    Attributes:
        a: gain, white per electron.
        b: variance without light.
    """

    a: float
    b: float

    def sigma(self, signal: float) -> float:
        """Return the standard deviation at a signal; below black it is that at black."""
        return float(np.sqrt(self.a * max(signal, 0.0) + self.b))

    def __str__(self) -> str:
        """Return the law in one line."""
        return f"variance {self.a:.3g} x + {self.b:.3g}"


def typical(iso: float) -> ShotNoise:
    """Return the noise of a typical camera at a sensitivity, within a factor of 2 in sigma for most."""
    gain = _TYPICAL_GAIN * iso / 100
    return ShotNoise(gain, (_TYPICAL_READ * gain) ** 2)


def measure(planes: Sequence[np.ndarray], step: float, *, clipped_black: bool) -> ShotNoise | None:
    """Measure the noise of a sensor: that of the flattest blocks of each brightness.

    The pixels behind all color filters have the same readout, so that one law holds for them.

    Args:
        planes: the pixels behind each color filter, float32 `[h, w]`, linear, black at 0 and white at 1, not clipped at
            black.
        step: difference of two neighboring values of the file, whose rounding is part of the noise.
        clipped_black: whether the file holds no values below black, as those of some cameras.

    Returns:
        The noise; None if there are too few blocks that are not saturated.
    """
    height = min(len(plane) for plane in planes)
    plane = np.concatenate([plane[:height] for plane in planes], axis=1)
    whole = np.where(plane < 1, plane, np.float32(np.nan))
    if not np.isfinite(whole).any():
        return None
    # The fit of a line wants brightnesses on a scale of about 1, also of a night. Zeros count as clipped there, and are
    # not where the black level is above the lowest value: one is added.
    scale = float(np.nanquantile(whole, 0.99)) or 1.0
    scale = scale if scale > step else 1.0
    light, variance = estimation.noise_against_signal((whole / scale + (0 if clipped_black else 1))[..., None], _SHADES)
    if not variance.size or not (variance > 0).any():
        return None
    floor = (step / scale) ** 2 / 12  # less is left where rounding gives equal values
    light = np.maximum(light.ravel() - (0 if clipped_black else 1), 0)
    slope, start = _law_below(light, np.maximum(variance.ravel(), floor), floor, _tolerance(plane.shape))
    return ShotNoise(scale * slope, scale**2 * start)


def _law_below(light: np.ndarray, variance: np.ndarray, floor: float, tolerance: float) -> tuple[float, float]:
    """Return slope and start of the highest line that no variance is below by more than its error.

    Texture adds to the variance, and is rarely absent at every brightness; nothing takes from it.
    """
    weights = np.stack([light, np.ones_like(light)], axis=1) / variance[:, None]
    bounds = [(0, None), (floor, None)]
    found = optimize.linprog(-weights.sum(axis=0), weights, np.full(len(light), 1 + tolerance), bounds=bounds)
    return (float(found.x[0]), float(found.x[1])) if found.success else (0.0, floor)


def _tolerance(shape: tuple[int, ...]) -> float:
    """Return by how much the lowest variance falls short by chance, as a fraction of it.

    The variance of a shade is the median of its blocks, each the mean of the squares of 28 normal frequencies; of 16
    normal draws, the lowest is 1.77 standard errors below the mean.
    """
    step = max(1, int((shape[0] * shape[1] / 65536) ** 0.5))
    blocks = max(1, math.ceil(0.01 * ((shape[0] - 7) // step) * ((shape[1] - 7) // step) / _SHADES))
    return 1.77 * math.sqrt(math.pi / 2 * 2 / 28 / blocks)
