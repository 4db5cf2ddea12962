"""Classical filters behind the contract of a denoiser, on scikit-image and SciPy.

Each is told the noise level where it has a use for it, and turns it into its own parameters by the rule that its
authors, or scikit-image's documentation, give.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import ndimage
from skimage import restoration

from unnoise.denoisers.base import Denoiser, Sigma
from unnoise.spec import Spelled


def _level(sigma: Sigma | None) -> float:
    """Take one number from a level or a map of levels."""
    return float(np.mean(sigma)) if sigma is not None else 0.0


@dataclass(frozen=True)
class Median(Spelled, Denoiser):
    """Median of a square window, channel by channel.

    Args:
        size: side of the window, in pixels.
    """

    name: ClassVar[str] = "median"
    size: int = 3

    @property
    def halo(self) -> int:  # type: ignore[override]
        """Half the window."""
        return self.size // 2

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Filter."""
        return ndimage.median_filter(noisy, size=(self.size, self.size, 1), mode="mirror")


@dataclass(frozen=True)
class AdaptiveMedian(Spelled, Denoiser):
    """A median that touches only impulse pixels, in windows that grow until they hold enough sound ones.

    Hwang and Haddad, IEEE TIP 4(4), 1995. A pixel counts as lost when it is at 0 or 1 and differs from the median of
    its neighbours; it becomes the median of the sound pixels in the smallest window that holds any.

    Args:
        largest: side of the largest window, in pixels.
        tolerance: a lost pixel differs from its neighbours by more than this, in 8-bit units.
    """

    name: ClassVar[str] = "adaptive-median"
    largest: int = 19
    tolerance: float = 20.0

    @property
    def halo(self) -> int:  # type: ignore[override]
        """Half the largest window, and that of the detector."""
        return self.largest // 2 + 2

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Replace lost pixels, smallest windows first."""
        clean = noisy.copy()
        for c in range(noisy.shape[2]):
            clean[:, :, c] = self._channel(noisy[:, :, c])
        return clean

    def _channel(self, noisy: np.ndarray) -> np.ndarray:
        extreme = (noisy <= 0) | (noisy >= 1)
        if not extreme.any():
            return noisy
        sound = np.where(extreme, np.nan, noisy)
        lost = extreme & (np.abs(noisy - self._middle(sound, noisy, extreme)) > self.tolerance / 255)
        sound = np.where(lost, np.nan, noisy)
        return np.where(lost, self._middle(sound, noisy, lost), noisy)

    def _middle(self, sound: np.ndarray, noisy: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """Give each wanted pixel the median of the sound ones around it; where there are none it stays as it is."""
        middle, open_ = noisy.copy(), wanted.copy()
        for size in range(3, self.largest + 1, 2):
            rows, columns = np.nonzero(open_)
            if len(rows) == 0:
                break
            padded = np.pad(sound, size // 2, constant_values=np.nan)
            windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size))[rows, columns].reshape(
                len(rows), -1
            )
            held = np.isfinite(windows).any(axis=1)
            middle[rows[held], columns[held]] = np.nanmedian(windows[held], axis=1)
            open_[rows[held], columns[held]] = False
        return middle


@dataclass(frozen=True)
class Bilateral(Spelled, Denoiser):
    """Bilateral filter (Tomasi and Manduchi, ICCV 1998): a mean of near pixels of like value.

    Args:
        spatial: deviation in space, in pixels.
        range: deviation in value, as a multiple of the noise level.
    """

    name: ClassVar[str] = "bilateral"
    spatial: float = 2.0
    range: float = 2.0
    wants_sigma: ClassVar[bool] = True

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Filter."""
        level = self.range * _level(sigma)
        if level == 0:
            return noisy
        low = min(0.0, float(noisy.min()))
        clean = restoration.denoise_bilateral(
            noisy - low, sigma_color=level, sigma_spatial=self.spatial, mode="symmetric", channel_axis=2
        )
        return np.atleast_3d(clean) + low


@dataclass(frozen=True)
class NLM(Spelled, Denoiser):
    """Non-local means (Buades, Coll, Morel, CVPR 2005), scikit-image's fast version.

    Args:
        strength: filter strength as a multiple of the noise level; 0.8 as scikit-image's example of the fast mode.
    """

    name: ClassVar[str] = "nlm"
    strength: float = 0.8
    wants_sigma: ClassVar[bool] = True

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Filter, with patches of 5x5 searched over 13x13."""
        level = _level(sigma)
        if level == 0:
            return noisy
        clean = restoration.denoise_nl_means(
            noisy, patch_size=5, patch_distance=6, h=self.strength * level, sigma=level, fast_mode=True, channel_axis=2
        )
        return np.atleast_3d(clean)


@dataclass(frozen=True)
class Wavelet(Spelled, Denoiser):
    """Wavelet shrinkage (BayesShrink; Chang, Yu, Vetterli, IEEE TIP 9(9), 2000), averaged over four shifts."""

    name: ClassVar[str] = "wavelet"
    wants_sigma: ClassVar[bool] = True

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Shrink the coefficients."""
        level = _level(sigma)
        if level == 0 or min(noisy.shape[:2]) < 2:
            return noisy
        clean = np.zeros_like(noisy)
        for shift in ((0, 0), (0, 1), (1, 0), (1, 1)):
            moved = np.roll(noisy, shift, axis=(0, 1))
            shrunk = restoration.denoise_wavelet(moved, sigma=level, channel_axis=2, rescale_sigma=False)
            clean += np.roll(shrunk, (-shift[0], -shift[1]), axis=(0, 1)) / 4
        return clean


@dataclass(frozen=True)
class TV(Spelled, Denoiser):
    """Total variation (Rudin, Osher, Fatemi, Physica D 60, 1992), by Chambolle's algorithm.

    Args:
        weight: of the variation against the data, as a multiple of the noise level.
    """

    name: ClassVar[str] = "tv"
    weight: float = 1.2
    wants_sigma: ClassVar[bool] = True

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Minimise."""
        level = self.weight * _level(sigma)
        return restoration.denoise_tv_chambolle(noisy, weight=level, channel_axis=2) if level > 0 else noisy
