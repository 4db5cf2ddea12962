"""Classical filters as denoisers, from scikit-image and SciPy.

Those that use sigma derive their parameters from it by the rule of their authors or of scikit-image's documentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage
from skimage import restoration

from unnoise import interruption
from unnoise.denoisers.base import Denoiser, Sigma
from unnoise.errors import UnnoiseError
from unnoise.spec import HasSpec

_TILE = 1024
"""Longest side of the tiles of filters that take much memory, or seconds for each megapixel, in pixels."""
_BALANCE = 9
"""Side of the window in which the adaptive median compares the numbers of white and black pixels."""


def _level(sigma: Sigma | None) -> float:
    """Return sigma as one number, the mean of a map."""
    return float(np.mean(sigma)) if sigma is not None else 0.0


def _check_positive(filter_: HasSpec, field: str) -> None:
    """Raise UnnoiseError unless a field is a finite number above 0."""
    value: Any = getattr(filter_, field)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise UnnoiseError(f"{filter_.name}: {field} must be a number above 0, got '{value}'")


def _check_window(filter_: HasSpec, field: str) -> None:
    """Raise UnnoiseError unless a field is a positive odd integer, the side of a window."""
    value: Any = getattr(filter_, field)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1 or value % 2 == 0:
        raise UnnoiseError(f"{filter_.name}: {field} must be a positive odd integer, got '{value}'")


@dataclass(frozen=True)
class Median(HasSpec, Denoiser):
    """Median of a square window, channel by channel.

    Args:
        size: side of the window, in pixels; odd.
    """

    name = "median"
    size: int = 3

    def __post_init__(self) -> None:
        """Check the arguments."""
        _check_window(self, "size")

    @property
    def halo(self) -> int:  # type: ignore[override]
        """Half the window."""
        return self.size // 2

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Filter."""
        return ndimage.median_filter(noisy, size=(self.size, self.size, 1), mode="mirror")


@dataclass(frozen=True)
class AdaptiveMedian(HasSpec, Denoiser):
    """A median that replaces only impulses, in windows that grow until they contain a valid pixel.

    After Hwang and Haddad, IEEE TIP 4(4), 1995. A pixel counts as an impulse if it is 0 or 1, is not in an area that is
    mostly of that value, and differs from the median of its neighbors; it is replaced by the median of the valid pixels
    in the smallest window with any.

    Args:
        largest: side of the largest window, in pixels; odd.
        tolerance: an impulse differs from its neighbors by more than this, in 8-bit units.
    """

    name = "adaptive-median"
    largest: int = 19
    tolerance: float = 20.0

    def __post_init__(self) -> None:
        """Check the arguments."""
        _check_window(self, "largest")
        _check_positive(self, "tolerance")

    @property
    def halo(self) -> int:  # type: ignore[override]
        """Twice half the largest window, to detect and to replace, plus half the window of the balance."""
        return 2 * (self.largest // 2) + _BALANCE // 2

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Replace impulses, channel by channel."""
        return np.stack([self._channel(noisy[:, :, c]) for c in range(noisy.shape[2])], axis=2)

    def _channel(self, noisy: np.ndarray) -> np.ndarray:
        side = (noisy >= 1).astype(np.float32) - (noisy <= 0)
        # Impulses are as often white as black: where one of them prevails, it is paper or shadow, and valid.
        suspect = (side != 0) & (side * ndimage.uniform_filter(side, _BALANCE) < 0.5)
        lost = suspect & (np.abs(noisy - self._filled(noisy, suspect)) > self.tolerance / 255)
        return self._filled(noisy, lost)

    def _filled(self, noisy: np.ndarray, lost: np.ndarray) -> np.ndarray:
        """Replace each lost pixel by the median of the others around it; without any, it is unchanged."""
        filled, left = noisy.copy(), lost.copy()
        for size in range(3, self.largest + 1, 2):
            if not left.any():
                break
            interruption.check()
            near = ndimage.maximum_filter(~lost, size, mode="constant", cval=0)
            rows, columns = np.nonzero(left & near)
            padded = np.pad(np.where(lost, np.nan, noisy), size // 2, constant_values=np.nan)
            windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size))[rows, columns]
            windows = np.sort(windows.reshape(len(rows), size * size))  # NaN comes last
            count, row = np.isfinite(windows).sum(axis=1), np.arange(len(rows))
            filled[rows, columns] = (windows[row, (count - 1) // 2] + windows[row, count // 2]) / 2
            left[rows, columns] = False
        return filled


@dataclass(frozen=True)
class Bilateral(HasSpec, Denoiser):
    """Bilateral filter (Tomasi and Manduchi, ICCV 1998): a mean of near pixels of similar value.

    Args:
        spatial: standard deviation in space, in pixels.
        range: standard deviation in value (of colors: root mean square over the channels), as a multiple of sigma.
    """

    name = "bilateral"
    spatial: float = 2.0
    range: float = 1.5
    wants_sigma = True
    tile = _TILE

    def __post_init__(self) -> None:
        """Check the arguments."""
        _check_positive(self, "spatial")
        _check_positive(self, "range")

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Filter."""
        level = self.range * _level(sigma)
        channels = noisy.shape[2]
        if channels not in (1, 3):
            return np.concatenate([self.run(noisy[:, :, c : c + 1], sigma) for c in range(channels)], axis=2)
        interruption.check()
        low = min(0.0, float(noisy.min()))
        # scikit-image divides the distance of two colors by 3; this makes it their root mean square difference.
        color = channels == 3
        clean = restoration.denoise_bilateral(
            (noisy if color else noisy[:, :, 0]) - low,
            sigma_color=level / 3**0.5 if color else level,
            sigma_spatial=self.spatial,
            mode="symmetric",
            channel_axis=-1 if color else None,
        )
        return clean.reshape(noisy.shape) + low  # it drops sides of one pixel


@dataclass(frozen=True)
class NLM(HasSpec, Denoiser):
    """Non-local means (Buades, Coll, Morel, CVPR 2005), scikit-image's fast version.

    Args:
        strength: filter strength as a multiple of sigma; 0.8 as in scikit-image's example of the fast mode.
    """

    name = "nlm"
    strength: float = 0.8
    wants_sigma = True
    tile = _TILE

    def __post_init__(self) -> None:
        """Check the arguments."""
        _check_positive(self, "strength")

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Filter, with patches of 5x5 searched over 13x13."""
        level = _level(sigma)
        clean = restoration.denoise_nl_means(
            noisy, patch_size=5, patch_distance=6, h=self.strength * level, sigma=level, fast_mode=True, channel_axis=-1
        )
        return clean.reshape(noisy.shape)  # it drops sides of one pixel


@dataclass(frozen=True)
class Wavelet(HasSpec, Denoiser):
    """Wavelet shrinkage (BayesShrink; Chang, Yu, Vetterli, IEEE TIP 9(9), 2000), averaged over four shifts."""

    name = "wavelet"
    wants_sigma = True
    tile = _TILE

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Shrink the coefficients."""
        level = _level(sigma)
        if min(noisy.shape[:2]) < 2:
            return noisy.copy()  # nothing to transform
        clean = np.zeros_like(noisy)
        for shift in ((0, 0), (0, 1), (1, 0), (1, 1)):
            interruption.check()
            moved = np.roll(noisy, shift, axis=(0, 1))
            shrunk = restoration.denoise_wavelet(moved, sigma=level, channel_axis=2, rescale_sigma=False)
            clean += np.roll(shrunk, (-shift[0], -shift[1]), axis=(0, 1)) / 4
        return clean


@dataclass(frozen=True)
class TV(HasSpec, Denoiser):
    """Total variation (Rudin, Osher, Fatemi, Physica D 60, 1992), by Chambolle's algorithm.

    Args:
        weight: weight of the variation relative to the data, as a multiple of sigma.
    """

    name = "tv"
    weight: float = 1.2
    wants_sigma = True
    tile = _TILE

    def __post_init__(self) -> None:
        """Check the arguments."""
        _check_positive(self, "weight")

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Minimize."""
        clean = np.empty_like(noisy)
        for channel in range(noisy.shape[2]):
            interruption.check()
            clean[:, :, channel] = restoration.denoise_tv_chambolle(
                noisy[:, :, channel], weight=self.weight * _level(sigma)
            )
        return clean
