"""The base class of denoisers: a noisy array in, a clean array out.

A denoiser states facts (`channels`, `multiple_of`, `halo`, `wants_sigma`) and implements `run`. The base class adapts
any image to these facts: channels, padding, non-finite values, noise estimation.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from dataclasses import fields
from typing import Self

import numpy as np
from scipy import ndimage

from unnoise.denoisers import clipping
from unnoise.denoisers.info import DenoiserInfo, ErrorModel
from unnoise.denoisers.noise_estimation import estimate_noise
from unnoise.errors import UnnoiseError
from unnoise.noise.estimation import NoiseEstimate

Sigma = float | np.ndarray

MIN_SIGMA = 1e-6
"""A smaller sigma, in [0, 1] units, counts as 0: it is invisible, and its square soon underflows."""

_SMOOTHING = 1.5  # sigma of the blur from which signal-dependent noise is computed, pixels


class Denoiser(ABC):
    """A function from noisy images to clean ones, and its facts.

    Subclasses set the facts as class or instance attributes; one that wraps another denoiser adopts its `info`.

    Attributes:
        name: its name, which `str` returns as well; may be "".
        channels: number of channels that `run` takes; None for any number.
        multiple_of: `run` takes heights and widths that are multiples of this.
        halo: distance in pixels up to which an input pixel affects the output; None if it affects all of it.
        tile: longest side of the tiles that an image is cut into without their margin, in pixels; None for the default,
            and for a denoiser without `halo` for images that are blended of tiles only if they are very large.
        wants_sigma: whether `run` uses sigma; if the caller gives none, it is estimated.
        margin: reflected pixels added beyond each border before `run`, for networks, which pad with zeros.
        corrects_clipping: whether `run` was trained on noise that was never clipped, so that clipping at black and
            white has to be corrected after it (see `clipping`).
        error_model: coefficients of its expected error, see `uncertainty`; None if they have not been fitted.
        mosaic: whether it denoises the mosaics of raw files, and no images.
        signal_noise: signal-dependent noise that it is set to remove; None for noise of the same sigma everywhere.
        estimate: the noise found in the image that it was resolved for; None if none was estimated.
    """

    name: str = ""
    channels: int | None = None
    multiple_of: int = 1
    halo: int | None = None
    tile: int | None = None
    wants_sigma: bool = False
    margin: int = 0
    corrects_clipping: bool = False
    error_model: ErrorModel | None = None
    mosaic: bool = False
    signal_noise: NoiseEstimate | None = None
    estimate: NoiseEstimate | None = None

    def __str__(self) -> str:
        """Return the name; denoisers with a spec return their spec."""
        return self.name

    @property
    def info(self) -> DenoiserInfo:
        """The facts of this denoiser, gathered from its attributes."""
        facts = {fact.name: getattr(self, fact.name) for fact in fields(DenoiserInfo)}
        return DenoiserInfo(**{**facts, "name": str(self)})

    def adopt(self, info: DenoiserInfo) -> None:
        """Set all facts of this denoiser."""
        for fact in fields(info):
            setattr(self, fact.name, getattr(info, fact.name))

    def __call__(self, noisy: np.ndarray, sigma: Sigma | None = None) -> np.ndarray:
        """Denoise an image.

        Args:
            noisy: float32 `[H, W, C]`, nominally in [0, 1]; gray, RGB, or CMYK. NaN and infinity are kept in place.
            sigma: standard deviation of the noise in [0, 1] units, a number or a map `[H, W]`; None to estimate it if
                it is used.

        Returns:
            The denoised image, float32 `[H, W, C]`.

        Raises:
            UnnoiseError: the array is not `[H, W, C]` or has an unsupported number of channels, or `sigma` is neither
                a non-negative number nor a map of these.
        """
        noisy = self.checked(noisy)
        finite = np.isfinite(noisy)
        if not finite.all():
            median = np.median(noisy[finite]) if finite.any() else np.float32(0)
            return np.where(finite, self(np.where(finite, noisy, median), sigma), noisy)
        denoiser, sigma = self.resolve(noisy, sigma)
        if sigma is not None and not np.any(sigma):
            return noisy.copy()  # no noise to remove
        return denoiser._denoise(noisy, sigma)

    @abstractmethod
    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Denoise a finite float32 image `[H, W, channels]` whose sides are multiples of `multiple_of`."""

    def release(self) -> None:  # noqa: B027  (most hold none)
        """Give the memory that is held for the next call back to the system; it may be called at any time."""

    def resolve(self, noisy: np.ndarray, sigma: Sigma | None = None) -> tuple[Denoiser, Sigma | None]:
        """Return the denoiser for an image and the sigma to call it with.

        Call it once with the whole image, so that all of its tiles are denoised alike.

        Args:
            noisy: float32 `[H, W, C]`.
            sigma: as for a call.
        """
        if self.mosaic:
            raise UnnoiseError(f"the model '{self}' denoises raw files of cameras only: use auto for images")
        if not self.wants_sigma:
            return self, None
        if sigma is None:
            estimate = estimate_noise(noisy)
            return self.for_noise(estimate).with_estimate(estimate), estimate.sigma
        return self, _checked_sigma(noisy, sigma)

    def for_noise(self, estimate: NoiseEstimate) -> Denoiser:
        """Return this denoiser set to the estimated noise.

        For signal-dependent noise, a network gets a map of sigma in place of a number.
        """
        if not self.corrects_clipping or estimate.kind != "signal-dependent":
            return self
        fitted = copy.copy(self)
        fitted.signal_noise = estimate
        if self.signal_noise is None and fitted.halo is not None:
            fitted.halo += round(4 * _SMOOTHING)  # the radius of SciPy's filter
        return fitted

    def with_estimate(self, estimate: NoiseEstimate) -> Self:
        """Return this denoiser with the noise found in the image that it was resolved for."""
        resolved = copy.copy(self)
        object.__setattr__(resolved, "estimate", estimate)  # filters are frozen
        return resolved

    def for_mosaics(self) -> Self:
        """Return this denoiser for images that are mosaics: it denoises what it is given, also if `mosaic` is set."""
        bare = copy.copy(self)
        object.__setattr__(bare, "mosaic", False)  # filters are frozen
        return bare

    @staticmethod
    def checked(noisy: np.ndarray) -> np.ndarray:
        """Return an image as float32; raise UnnoiseError unless it is `[H, W, C]` and not empty."""
        noisy = np.asarray(noisy, dtype=np.float32)
        if noisy.ndim != 3 or 0 in noisy.shape:
            raise UnnoiseError(f"expected an array [H, W, C] that is not empty, got shape {noisy.shape}")
        return noisy

    def _denoise(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        if self.signal_noise is not None:
            sigma = self.signal_noise.sigma_map(ndimage.gaussian_filter(noisy, (_SMOOTHING, _SMOOTHING, 0)))
        clean = self._fit_channels(noisy, sigma)
        if not self.corrects_clipping or sigma is None:
            return clean
        return clipping.correct_clipping(
            noisy, clean, sigma if self.signal_noise is None else self.signal_noise.sigma_at(clean)
        )

    def _fit_channels(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        channels = noisy.shape[2]
        if self.channels in (None, channels):
            return self._fit_size(noisy, sigma)
        if self.channels == 1:
            if channel_count(noisy) == 1:
                return np.repeat(self._fit_size(noisy[:, :, :1], sigma), channels, axis=2)
            return np.concatenate([self._fit_size(noisy[:, :, c : c + 1], sigma) for c in range(channels)], axis=2)
        if channels == 1:
            # Three copies share their noise: in their mean it is as strong as independent noise of sqrt(3) sigma.
            scaled = None if sigma is None else sigma * math.sqrt(self.channels)
            clean = self._fit_size(np.repeat(noisy, self.channels, axis=2), scaled)
            return clean.mean(axis=2, keepdims=True)
        if channels == 4 and self.channels == 3:  # CMYK: the negative of a color image, and one of a gray image
            inks, black = 1 - noisy[:, :, :3], 1 - noisy[:, :, 3:]
            return 1 - np.concatenate([self._fit_size(inks, sigma), self._fit_channels(black, sigma)], axis=2)
        raise UnnoiseError(f"this model takes images of {self.channels} channels, got {channels}")

    def _fit_size(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        height, width = noisy.shape[:2]
        margin = self.margin + -self.margin % self.multiple_of  # keeps the grid in place
        rows, columns = ((margin, margin + -side % self.multiple_of) for side in (height, width))
        if any((*rows, *columns)):
            noisy = np.pad(noisy, (rows, columns, (0, 0)), mode="symmetric")
            if isinstance(sigma, np.ndarray):
                sigma = np.pad(sigma, (rows, columns), mode="symmetric")
        clean = self.run(noisy, sigma)[margin : margin + height, margin : margin + width]
        return np.asarray(clean, dtype=np.float32)


def channel_count(pixels: np.ndarray) -> int:
    """Count the channels of an image `[H, W, C]`; three equal channels (gray stored as RGB) count as 1."""
    channels = pixels.shape[2]
    return 1 if channels == 3 and (pixels == pixels[:, :, :1]).all() else channels


def _checked_sigma(noisy: np.ndarray, sigma: Sigma) -> Sigma:
    """Return sigma with invisible values set to 0; raise UnnoiseError if it is invalid."""
    with np.errstate(over="ignore"):  # too large values become infinite and are rejected
        values = np.asarray(sigma, dtype=np.float32)
    if values.shape not in ((), noisy.shape[:2]) or not (np.isfinite(values) & (values >= 0)).all():
        height, width = noisy.shape[:2]
        raise UnnoiseError(f"sigma must be a non-negative number, or a map [{height}, {width}] of such numbers")
    invisible = values < MIN_SIGMA
    if values.shape:
        return np.where(invisible, np.float32(0), values)
    return 0.0 if invisible else float(sigma)
