"""Noise of a sensor as it is in raw files: independent in each pixel, of a variance that is linear in the light.

Photons arrive independently, so that the variance of their number equals its mean; reading them out adds a constant
(Janesick, "Photon Transfer", SPIE Press 2007). DNG's NoiseProfile states the same two numbers (DNG 1.6).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unnoise.noise import calibration, estimation


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


def measure(plane: np.ndarray, step: float, *, clipped_black: bool) -> ShotNoise | None:
    """Measure the noise in the pixels behind filters of one color: that of the flattest blocks of each brightness.

    Args:
        plane: float32 `[h, w]`, linear, black at 0 and white at 1, not clipped at black.
        step: difference of two neighboring values of the file, whose rounding is part of the noise.
        clipped_black: whether the file holds no values below black, as those of some cameras.

    Returns:
        The noise; None if there are too few blocks that are not saturated.
    """
    whole = np.where(plane < 1, plane, np.float32(np.nan))
    if not np.isfinite(whole).any():
        return None
    # The fit of a line wants brightnesses on a scale of about 1, also of a night. Zeros count as clipped there, and are
    # not where the black level is above the lowest value: one is added.
    scale = float(np.nanquantile(whole, 0.99)) or 1.0
    scale = scale if scale > step else 1.0
    light, variance = estimation.noise_against_signal((whole / scale + (0 if clipped_black else 1))[..., None])
    if not variance.size or not (variance > 0).any():
        return None
    variance = np.maximum(variance, (step / scale) ** 2 / 12)  # less is left where rounding gives equal values
    slope, start = calibration.line(light.ravel() - (0 if clipped_black else 1), variance.ravel())
    return ShotNoise(scale * slope, max(scale**2 * start, step**2 / 12))
