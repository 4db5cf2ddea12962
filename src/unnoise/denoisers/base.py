"""The contract of everything that takes a noisy array and returns a clean one.

A denoiser states facts (`channels`, `multiple_of`, `halo`, `wants_sigma`); what stands here turns any picture into one
that fits them, and back. Members only write `run`.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod

import numpy as np
from scipy import ndimage

from unnoise.denoisers import clipping
from unnoise.errors import UnnoiseError
from unnoise.noise import estimation
from unnoise.noise.estimation import NoiseEstimate

Sigma = float | np.ndarray

MIN_SIGMA = 1e-6
"""A level below this, [0, 1] units, counts as 0: nobody can see it, and its square is soon no number any more."""

_SMOOTH = 1.5  # deviation of the blur that the light is read off, pixels


class Denoiser(ABC):
    """A function from noisy pictures to clean ones, and facts about it.

    Attributes:
        channels: channels that `run` takes; None for any number.
        multiple_of: `run` takes heights and widths that are multiples of this.
        halo: how far, in pixels, an input pixel can reach into the output; None when it reaches everywhere.
        wants_sigma: whether the noise level matters; where it is not told, it is estimated.
        margin: mirrored pixels that `run` is given beyond each border; for networks, to which the world ends in zeros.
        corrects_clipping: whether `run` has learned only noise that was never clipped, so that clipping at black and
            white is corrected after it (see `clipping`).
        signal_noise: signal-dependent noise that it is fitted to; None for noise of one level.
        name: what it is called, which is its `str`, too; "" where nobody has named it.
    """

    name: str = ""
    channels: int | None = None
    multiple_of: int = 1
    halo: int | None = None
    wants_sigma: bool = False
    margin: int = 0
    corrects_clipping: bool = False
    signal_noise: NoiseEstimate | None = None

    def __str__(self) -> str:
        """Return what it is called; members that the small language spells return their spec."""
        return self.name

    def __call__(self, noisy: np.ndarray, sigma: Sigma | None = None) -> np.ndarray:
        """Clean a picture.

        Args:
            noisy: float32 `[H, W, C]`, nominally in [0, 1]; grey, RGB, or CMYK. NaN and infinity are left where they
                are.
            sigma: noise deviation in [0, 1] units, a number or a map `[H, W]`; None to estimate it where it matters.

        Returns:
            The clean picture, float32 `[H, W, C]`.

        Raises:
            UnnoiseError: the array has another shape than `[H, W, C]`, or channels that the denoiser cannot take, or
                `sigma` is neither a level nor a map of levels of that size.
        """
        noisy = self.checked(noisy)
        finite = np.isfinite(noisy)
        if not finite.all():
            middle = np.median(noisy[finite]) if finite.any() else np.float32(0)
            return np.where(finite, self(np.where(finite, noisy, middle), sigma), noisy)
        denoiser, told = self.resolve(noisy, sigma)
        if told is not None and not np.any(told):
            return noisy.copy()  # there is no noise to take out
        return denoiser._denoise(noisy, told)

    @abstractmethod
    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Clean a finite float32 picture `[H, W, channels]` whose sides are multiples of `multiple_of`."""

    def resolve(self, noisy: np.ndarray, sigma: Sigma | None = None) -> tuple[Denoiser, Sigma | None]:
        """Return who is to clean a picture, and the level to tell it.

        It is asked once, with the whole picture: all tiles of it are then cleaned alike.

        Args:
            noisy: float32 `[H, W, C]`.
            sigma: as for a call.
        """
        if not self.wants_sigma:
            return self, None
        if sigma is None:
            found = estimation.estimate_noise(noisy[:, :, :3])
            return self.for_noise(found), found.sigma
        return self, _checked_level(noisy, sigma)

    def for_noise(self, found: NoiseEstimate) -> Denoiser:
        """Return the denoiser as it serves what was found in a picture.

        Noise that grows with the light has another level at each pixel, and a network is told a map of levels.
        """
        if not self.corrects_clipping or found.kind != "signal-dependent":
            return self
        fitted = copy.copy(self)
        fitted.signal_noise = found
        if self.signal_noise is None and fitted.halo is not None:
            fitted.halo += round(4 * _SMOOTH)  # as far as SciPy's filter reaches
        return fitted

    @staticmethod
    def checked(noisy: np.ndarray) -> np.ndarray:
        """Return a picture as float32; raise UnnoiseError unless it is `[H, W, C]`, and has pixels."""
        noisy = np.asarray(noisy, dtype=np.float32)
        if noisy.ndim != 3 or 0 in noisy.shape:
            raise UnnoiseError(f"a picture is an array [H, W, C], not one of shape {noisy.shape}")
        return noisy

    def _denoise(self, noisy: np.ndarray, told: Sigma | None) -> np.ndarray:
        if self.signal_noise is not None:
            told = self.signal_noise.sigma_map(ndimage.gaussian_filter(noisy, (_SMOOTH, _SMOOTH, 0)))
        clean = self._fit_channels(noisy, told)
        if not self.corrects_clipping or told is None:
            return clean
        return clipping.correct_clipping(
            noisy, clean, told if self.signal_noise is None else self.signal_noise.sigma_at(clean)
        )

    def _fit_channels(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        have = noisy.shape[2]
        if self.channels in (None, have):
            return self._fit_size(noisy, sigma)
        if self.channels == 1:
            if channel_count(noisy) == 1:
                return np.repeat(self._fit_size(noisy[:, :, :1], sigma), have, axis=2)
            return np.concatenate([self._fit_size(noisy[:, :, c : c + 1], sigma) for c in range(have)], axis=2)
        if have == 1:
            # Three copies share one noise: it is as strong in their mean as independent noise of sqrt(3) the level.
            told = None if sigma is None else sigma * math.sqrt(self.channels)
            clean = self._fit_size(np.repeat(noisy, self.channels, axis=2), told)
            return clean.mean(axis=2, keepdims=True)
        if have == 4 and self.channels == 3:  # inks: a colour picture in the negative, and a grey one
            inks, black = 1 - noisy[:, :, :3], 1 - noisy[:, :, 3:]
            return 1 - np.concatenate([self._fit_size(inks, sigma), self._fit_channels(black, sigma)], axis=2)
        raise UnnoiseError(f"this model takes pictures of {self.channels} channels, not of {have}")

    def _fit_size(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        height, width = noisy.shape[:2]
        margin = self.margin + -self.margin % self.multiple_of  # which keeps the grid where it was
        tall, wide = ((margin, margin + -side % self.multiple_of) for side in (height, width))
        if any((*tall, *wide)):
            noisy = np.pad(noisy, (tall, wide, (0, 0)), mode="symmetric")
            if isinstance(sigma, np.ndarray):
                sigma = np.pad(sigma, (tall, wide), mode="symmetric")
        clean = self.run(noisy, sigma)[margin : margin + height, margin : margin + width]
        return np.asarray(clean, dtype=np.float32)


def channel_count(pixels: np.ndarray) -> int:
    """Count the channels of a picture `[H, W, C]`; 1 where it is grey, kept as three channels that are alike."""
    channels = pixels.shape[2]
    return 1 if channels == 3 and (pixels == pixels[:, :, :1]).all() else channels


def _checked_level(noisy: np.ndarray, sigma: Sigma) -> Sigma:
    """Return a level that is told, what nobody can see of it as 0; raise UnnoiseError where it is none."""
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
        told = np.asarray(sigma, dtype=np.float32)
    if told.shape not in ((), noisy.shape[:2]) or not (np.isfinite(told) & (told >= 0)).all():
        height, width = noisy.shape[:2]
        raise UnnoiseError(f"a noise level is a number of at least 0, or a map of such, [{height}, {width}] here")
    faint = told < MIN_SIGMA
    if told.shape:
        return np.where(faint, np.float32(0), told)
    return 0.0 if faint else float(sigma)
