"""Classical filters behind the contract of a denoiser, on scikit-image and SciPy.

Each is told the noise level where it has a use for it, and turns it into its own parameters by the rule that its
authors, or scikit-image's documentation, give.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage
from skimage import restoration

from unnoise.denoisers.base import Denoiser, Sigma
from unnoise.errors import UnnoiseError
from unnoise.spec import HasSpec

_BALANCE = 9
"""Side of the window in which the adaptive median weighs white against black pixels."""


def _level(sigma: Sigma | None) -> float:
    """Take one number from a level or a map of levels."""
    return float(np.mean(sigma)) if sigma is not None else 0.0


def _check_positive(filter_: HasSpec, field: str) -> None:
    """Raise UnnoiseError unless a field is a finite number above 0."""
    value: Any = getattr(filter_, field)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise UnnoiseError(f"{filter_.name}: {field} must be a number above 0, not '{value}'")


def _check_window(filter_: HasSpec, field: str) -> None:
    """Raise UnnoiseError unless a field is the side of a window that has a middle."""
    value: Any = getattr(filter_, field)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1 or value % 2 == 0:
        raise UnnoiseError(f"{filter_.name}: {field} must be an odd whole number, not '{value}'")


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
    """A median that touches only impulse pixels, in windows that grow until they hold a sound one.

    After Hwang and Haddad, IEEE TIP 4(4), 1995. A pixel counts as lost when it is at 0 or 1, is not part of an area
    that the picture itself holds there, and differs from the median of its neighbours; it becomes the median of the
    sound pixels in the smallest window that holds any.

    Args:
        largest: side of the largest window, in pixels; odd.
        tolerance: a lost pixel differs from its neighbours by more than this, in 8-bit units.
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
        """Half the largest window twice, to detect and to replace, and half that of the balance."""
        return 2 * (self.largest // 2) + _BALANCE // 2

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Replace lost pixels, channel by channel."""
        return np.stack([self._channel(noisy[:, :, c]) for c in range(noisy.shape[2])], axis=2)

    def _channel(self, noisy: np.ndarray) -> np.ndarray:
        side = (noisy >= 1).astype(np.float32) - (noisy <= 0)
        # Impulses are as often white as black: where one of them prevails, it is paper or shadow, and sound.
        suspect = (side != 0) & (side * ndimage.uniform_filter(side, _BALANCE) < 0.5)
        lost = suspect & (np.abs(noisy - self._middle(noisy, suspect)) > self.tolerance / 255)
        return self._middle(noisy, lost)

    def _middle(self, noisy: np.ndarray, lost: np.ndarray) -> np.ndarray:
        """Give each lost pixel the median of those around it that are not; where there are none it stays as it is."""
        middle, left = noisy.copy(), lost.copy()
        for size in range(3, self.largest + 1, 2):
            if not left.any():
                break
            near = ndimage.maximum_filter(~lost, size, mode="constant", cval=0)
            rows, columns = np.nonzero(left & near)
            padded = np.pad(np.where(lost, np.nan, noisy), size // 2, constant_values=np.nan)
            windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size))[rows, columns]
            windows = np.sort(windows.reshape(len(rows), size * size))  # NaN comes last
            count, row = np.isfinite(windows).sum(axis=1), np.arange(len(rows))
            middle[rows, columns] = (windows[row, (count - 1) // 2] + windows[row, count // 2]) / 2
            left[rows, columns] = False
        return middle


@dataclass(frozen=True)
class Bilateral(HasSpec, Denoiser):
    """Bilateral filter (Tomasi and Manduchi, ICCV 1998): a mean of near pixels of like value.

    Args:
        spatial: deviation in space, in pixels.
        range: deviation in value (of a colour: root mean square over its channels), as a multiple of the noise level.
    """

    name = "bilateral"
    spatial: float = 2.0
    range: float = 1.5
    wants_sigma = True

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
        low = min(0.0, float(noisy.min()))
        # scikit-image divides the distance of two colours by 3; this makes it their root mean square difference.
        like = {"channel_axis": -1, "sigma_color": level / 3**0.5} if channels == 3 else {"sigma_color": level}
        picture = (noisy if channels == 3 else noisy[:, :, 0]) - low
        clean = restoration.denoise_bilateral(picture, sigma_spatial=self.spatial, mode="symmetric", **like)
        return clean.reshape(noisy.shape) + low  # it drops sides of one pixel


@dataclass(frozen=True)
class NLM(HasSpec, Denoiser):
    """Non-local means (Buades, Coll, Morel, CVPR 2005), scikit-image's fast version.

    Args:
        strength: filter strength as a multiple of the noise level; 0.8 as scikit-image's example of the fast mode.
    """

    name = "nlm"
    strength: float = 0.8
    wants_sigma = True

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

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Shrink the coefficients."""
        level = _level(sigma)
        if min(noisy.shape[:2]) < 2:
            return noisy.copy()  # nothing to transform
        clean = np.zeros_like(noisy)
        for shift in ((0, 0), (0, 1), (1, 0), (1, 1)):
            moved = np.roll(noisy, shift, axis=(0, 1))
            shrunk = restoration.denoise_wavelet(moved, sigma=level, channel_axis=2, rescale_sigma=False)
            clean += np.roll(shrunk, (-shift[0], -shift[1]), axis=(0, 1)) / 4
        return clean


@dataclass(frozen=True)
class TV(HasSpec, Denoiser):
    """Total variation (Rudin, Osher, Fatemi, Physica D 60, 1992), by Chambolle's algorithm.

    Args:
        weight: of the variation against the data, as a multiple of the noise level.
    """

    name = "tv"
    weight: float = 1.2
    wants_sigma = True

    def __post_init__(self) -> None:
        """Check the arguments."""
        _check_positive(self, "weight")

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Minimise."""
        return restoration.denoise_tv_chambolle(noisy, weight=self.weight * _level(sigma), channel_axis=2)
