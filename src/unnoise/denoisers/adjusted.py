"""A denoiser adjusted by hand: how much is taken out of brightness and color, detail brought back, grain added.

Brightness is the mean of the color channels, and color their differences from it: the first axis of an orthonormal
opponent space, and the plane across it. Both are parts of the difference between the noisy and the denoised image.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, fields

import numpy as np

from unnoise.denoisers import detail
from unnoise.denoisers.base import Denoiser, Sigma, channel_count
from unnoise.denoisers.grouped import Grouped
from unnoise.denoisers.noise_estimation import estimate_noise
from unnoise.errors import UnnoiseError
from unnoise.io.value_range import ValueRange
from unnoise.noise.estimation import NoiseEstimate

_SEEDED_BY = (slice(0, 16), slice(0, 256))  # rows and columns: samples of a large image begin with them, too
_ROWS = 256  # for which grain is made at once


@dataclass(frozen=True)
class Adjustments:
    """What is adjusted; the defaults change nothing.

    Attributes:
        luma: share of what is removed that is taken out of the brightness.
        color: the same of the color.
        detail: share of the structure in the brightness of what is removed that is brought back.
        grain: standard deviation of an achromatic grain that is added, as a share of that of the noise.

    Raises:
        UnnoiseError: a share is not between 0 and 1.
    """

    luma: float = 1.0
    color: float = 1.0
    detail: float = 0.0
    grain: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        for share in fields(self):
            value = getattr(self, share.name)
            if not 0 <= value <= 1:
                raise UnnoiseError(f"{share.name} must be between 0 and 1, got {value:g}")

    @property
    def changed(self) -> dict[str, float]:
        """Those that are not at their default."""
        return {share.name: value for share in fields(self) if (value := getattr(self, share.name)) != share.default}

    def applied_to(self, denoiser: Denoiser, sigma: Sigma | None, pixels: np.ndarray, values: ValueRange) -> Denoiser:
        """Return the adjusted denoiser of an image.

        Args:
            denoiser: as `Denoiser.resolve` returns it.
            sigma: the same, or what the caller gave for a denoiser that takes none; in the values of the image.
            pixels: the image or windows of it, float32 `[H, W, C]`.
            values: its value range.
        """
        if not self.changed or (sigma is not None and not np.any(sigma)):
            return denoiser
        found = denoiser.estimate
        if sigma is not None and found is None:
            level = float(np.sqrt(np.mean(np.square(sigma))))
            found = NoiseEstimate("gaussian", level, level)
        elif found is None and (self.detail or self.grain):
            normal = pixels if values.is_unit else values.without_outliers(pixels)
            found = estimate_noise(normal).scaled(1.0 if values.is_unit else values.contrast)
        gray = channel_count(pixels[:, :, :3]) == 1
        seed = zlib.crc32(np.ascontiguousarray(pixels[_SEEDED_BY]).tobytes())
        return Adjusted(denoiser, self, found, values, gray=gray, seed=seed)


class Adjusted(Denoiser):
    """A denoiser set to one image, with adjustments; grain is added by `add_grain`, which knows the position.

    Args:
        inside: the denoiser, resolved.
        adjustments: what is adjusted.
        noise: the noise of the image; None if it is not needed.
        values: the value range of the image: outliers get no grain.
        gray: whether the channels of the image are equal.
        seed: of the grain.
    """

    def __init__(
        self,
        inside: Denoiser,
        adjustments: Adjustments,
        noise: NoiseEstimate | None,
        values: ValueRange,
        *,
        gray: bool,
        seed: int,
    ) -> None:
        self.inside, self.adjustments, self.noise, self.values = inside, adjustments, noise, values
        self.gray, self.seed = gray, seed
        self.adopt(inside.info)
        self.estimate, self.signal_noise = inside.estimate, None
        if self.halo is not None and adjustments.detail:
            self.halo += detail.REACH

    def __call__(self, noisy: np.ndarray, sigma: Sigma | None = None) -> np.ndarray:
        """Denoise an image, and adjust the result."""
        noisy = self.checked(noisy)
        return self._adjust(noisy, self.inside(noisy, sigma))

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Denoise one image."""
        return self(noisy, sigma)

    def release(self) -> None:
        """Give memory back; see `Denoiser`."""
        self.inside.release()

    def _adjust(self, noisy: np.ndarray, clean: np.ndarray) -> np.ndarray:
        shares = self.adjustments
        if shares.luma == shares.color == 1 and not shares.detail:
            return clean
        present = self._present(noisy) & np.isfinite(clean)
        removed = np.where(present, noisy, 0) - np.where(present, clean, 0)
        colors = removed[:, :, :3]
        brightness = colors.mean(axis=2, keepdims=True)
        left = (1 - np.float32(shares.luma)) * brightness + (1 - np.float32(shares.color)) * (colors - brightness)
        impulses = self.noise is not None and self.noise.kind in ("impulse", "mixed")  # which look like structure
        if shares.detail and shares.luma and not impulses:
            found = detail.structure(brightness[:, :, 0], self._level(clean), self._correlation)
            left += np.float32(shares.detail * shares.luma) * found[:, :, None]
        result = clean.copy()
        result[:, :, :3] += left
        if clean.shape[2] > 3:  # black ink
            result[:, :, 3:] += (1 - np.float32(shares.luma)) * removed[:, :, 3:]
        if shares.luma == 0:  # without the rounding of floats
            keep = np.ones_like(present) if shares.color == 0 or noisy.shape[2] == 1 else np.zeros_like(present)
            keep[:, :, 3:] = True
            result = np.where(keep, noisy, result)
        return np.where(present, result, clean)

    def _present(self, noisy: np.ndarray) -> np.ndarray:
        """Return where an image has values, and no outliers."""
        return np.isfinite(noisy if self.values.is_unit else self.values.without_outliers(noisy))

    @property
    def _correlation(self) -> float:
        known = self.noise is not None and self.noise.kind in ("correlated", "other")
        return (self.noise.correlation or 0.0) if known and self.noise is not None else 0.0

    def _level(self, clean: np.ndarray) -> float | np.ndarray:
        """Return the standard deviation of the noise in the brightness: a number, or a map `[H, W]`.

        Independent noise of three channels is less in their mean. Correlated noise is taken as the same in all, which
        brings back less.
        """
        if self.noise is None:
            return 0.0
        independent = self.noise.kind in ("gaussian", "signal-dependent") and clean.shape[2] >= 3 and not self.gray
        share = 3**-0.5 if independent else 1.0
        if self.noise.kind == "signal-dependent" and self.values.is_unit:
            return share * self.noise.sigma_map(np.nan_to_num(clean[:, :, :3]))
        return share * self.level

    @property
    def level(self) -> float:
        """Standard deviation of the noise in a channel."""
        return 0.0 if self.noise is None else self.noise.sigma or self.noise.level or 0.0

    def grain(self, noisy: np.ndarray, result: np.ndarray, origin: tuple[int, int]) -> None:
        """Add grain to the result in place; see `add_grain`."""
        deviation = np.float32(self.adjustments.grain * self.level)
        if not deviation:
            return
        for top in range(0, result.shape[0], _ROWS):
            rows = slice(top, top + _ROWS)
            there = self._present(noisy[rows]) & np.isfinite(result[rows])
            grain = deviation * white_noise(there.shape[:2], (origin[0] + top, origin[1]), self.seed)
            result[rows] += np.where(there, grain[:, :, None], 0)


def add_grain(denoiser: Denoiser, noisy: np.ndarray, result: np.ndarray, origin: tuple[int, int]) -> np.ndarray:
    """Return a result with the grain of its denoiser, if that has any.

    Args:
        denoiser: as `DenoiseOptions.resolve` returns it.
        noisy: the image or a part of it, float32 `[H, W, C]`.
        result: its result.
        origin: row and column of the part in the image: the grain at a pixel depends on nothing else.
    """
    members = denoiser.members if isinstance(denoiser, Grouped) else ()
    grained = [(slice(None), denoiser), *((member.group, member.denoiser) for member in members)]
    adjusted = [(group, one) for group, one in grained if isinstance(one, Adjusted) and one.adjustments.grain]
    if adjusted:
        result = result.copy()
    for group, one in adjusted:
        one.grain(noisy[:, :, group], result[:, :, group], origin)
    return result


def white_noise(shape: tuple[int, int], origin: tuple[int, int], seed: int) -> np.ndarray:
    """Return normal random numbers, float32 `[H, W]`, each of which depends on its position and the seed alone.

    Positions are hashed by SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), and made normal by Box and Muller's method.
    """
    rows = (np.arange(shape[0], dtype=np.uint64) + np.uint64(origin[0]))[:, None]
    columns = np.arange(shape[1], dtype=np.uint64) + np.uint64(origin[1])
    start = np.uint64(seed * (2**33 + 1) % 2**64)
    bits = (rows << np.uint64(32) | columns) * np.uint64(0x9E3779B97F4A7C15) + start
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        bits = (bits ^ bits >> np.uint64(shift)) * np.uint64(factor)
    bits ^= bits >> np.uint64(31)
    high, low = (bits >> np.uint64(32)).astype(np.float64), (bits & np.uint64(2**32 - 1)).astype(np.float64)
    radius = np.sqrt(-2 * np.log((high + 0.5) / 2**32))
    return (radius * np.cos(2 * np.pi * low / 2**32)).astype(np.float32)
