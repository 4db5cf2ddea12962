"""Textbook noise models; moments are given for the clean value x in [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import ndimage

from unnoise.noise.base import Noise, check, check_flag, level
from unnoise.spec import Range


@dataclass(frozen=True)
class Gaussian(Noise):
    """Additive white Gaussian noise: mean x, standard deviation `sd` (8-bit units)."""

    name: ClassVar[str] = "gaussian"
    sd: float | Range

    def __post_init__(self) -> None:
        """Check the standard deviation."""
        check(self, "sd", 0)

    @property
    def sigma(self) -> float | None:
        """Standard deviation in [0, 1] units; None for a range."""
        return None if isinstance(self.sd, Range) else level(self.sd)

    def apply(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Add the noise."""
        noise = rng.standard_normal(image.shape, dtype=np.float32)
        noise *= np.float32(level(self.sd))
        noise += image
        return noise


@dataclass(frozen=True)
class Correlated(Noise):
    """Additive Gaussian noise that is correlated between pixels: mean x, standard deviation `sd`.

    White noise after a Gaussian blur, scaled back to its standard deviation; the blur wraps around at the borders, so
    that the noise is stationary.

    Args:
        sd: standard deviation of a pixel (8-bit units).
        smooth: standard deviation of the blur in pixels, 0 to 10.
        alike: fraction of the variance that all channels share, 0 to 1.
        sigma_factor: `sigma`, which denoisers are given, as a multiple of `sd`, 0 to 100: a denoiser for white noise
            expects less noise at the coarse scales, where this noise is, and does better with an overestimated sigma.
    """

    name: ClassVar[str] = "correlated"
    sd: float | Range
    smooth: float | Range = 1.0
    alike: float | Range = 0.0
    sigma_factor: float | Range = 1.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        check(self, "sd", 0)
        check(self, "smooth", 0, 10)
        check(self, "alike", 0, 1)
        check(self, "sigma_factor", 0, 100)

    @property
    def sigma(self) -> float | None:
        """Sigma for a denoiser, in [0, 1] units; None for a range."""
        if isinstance(self.sd, Range) or isinstance(self.sigma_factor, Range):
            return None
        return level(self.sd) * self.sigma_factor

    def apply(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Add the noise."""
        alike, width = float(self.alike), float(self.smooth)  # type: ignore[arg-type]
        noise = np.sqrt(np.float32(1 - alike)) * rng.standard_normal(image.shape, dtype=np.float32)
        noise += np.sqrt(np.float32(alike)) * rng.standard_normal((*image.shape[:2], 1), dtype=np.float32)
        impulse = np.zeros(image.shape[:2])
        impulse[0, 0] = 1
        gain = np.linalg.norm(ndimage.gaussian_filter(impulse, width, mode="wrap"))  # of sigma, by the blur
        smooth = ndimage.gaussian_filter(noise, (width, width, 0), mode="wrap")
        return image + smooth * np.float32(level(self.sd) / gain)


@dataclass(frozen=True)
class Uniform(Noise):
    """Additive uniform noise on [-width, width] (8-bit units): mean x, standard deviation `width` / sqrt(3)."""

    name: ClassVar[str] = "uniform"
    width: float | Range

    def __post_init__(self) -> None:
        """Check the width."""
        check(self, "width", 0)

    @property
    def sigma(self) -> float | None:
        """Standard deviation in [0, 1] units; None for a range."""
        return None if isinstance(self.width, Range) else level(self.width) / 3**0.5

    def apply(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Add the noise."""
        unit = rng.random(image.shape, dtype=np.float32)
        return image + np.float32(level(self.width)) * (2 * unit - 1)


@dataclass(frozen=True)
class Speckle(Noise):
    """Multiplicative Gaussian noise, x + x n: mean x, standard deviation x sd (`sd` in 8-bit units: that at white)."""

    name: ClassVar[str] = "speckle"
    sd: float | Range

    def __post_init__(self) -> None:
        """Check the standard deviation."""
        check(self, "sd", 0)

    def apply(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Add noise in proportion to the image."""
        return image + image * np.float32(level(self.sd)) * rng.standard_normal(image.shape, dtype=np.float32)


@dataclass(frozen=True)
class Poisson(Noise):
    """Photon noise, Poisson(peak x) / peak with `peak` photons at white: mean x, variance x / peak.

    Negative values count as black.
    """

    name: ClassVar[str] = "poisson"
    peak: float | Range

    def __post_init__(self) -> None:
        """Check the number of photons."""
        check(self, "peak", 1e-3, 1e9)

    def apply(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw photon counts."""
        return (rng.poisson(np.maximum(image, 0) * float(self.peak)) / float(self.peak)).astype(np.float32)  # type: ignore[arg-type]


@dataclass(frozen=True)
class SaltPepper(Noise):
    """Impulse noise: a `share` of the pixels (0 to 1) is replaced, half of them by white and half by black.

    Args:
        share: probability that a pixel is replaced.
        independent: draw each channel by itself; otherwise all channels of a pixel are replaced together.
    """

    name: ClassVar[str] = "salt-pepper"
    share: float | Range
    independent: bool = False

    def __post_init__(self) -> None:
        """Check the share and the flag."""
        check(self, "share", 0, 1)
        check_flag(self, "independent")

    def apply(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Replace pixels: u < share/2 is pepper, u >= 1 - share/2 is salt."""
        u = rng.random(image.shape if self.independent else (*image.shape[:2], 1), dtype=np.float32)
        half = float(self.share) / 2  # type: ignore[arg-type]
        noisy = np.where(u < half, np.float32(0), image)
        return np.where(u >= 1 - half, np.float32(1), noisy)
