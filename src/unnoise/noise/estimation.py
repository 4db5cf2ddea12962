"""White noise and impulses in an image: their strength, and how the noise depends on the brightness.

In the flattest 8x8 blocks of an image, the high frequencies of the discrete cosine transform hold little but noise.
The blocks are chosen by their low frequencies, which white noise affects equally everywhere, so that the choice is not
biased to weak noise (Ponomarenko et al., "An automatic approach to lossy compression of AVIRIS images", IGARSS 2007).
They are grouped by brightness, which shows how the variance of the noise grows with the signal: by the photon transfer
model, in a straight line (Foi et al., "Practical Poissonian-Gaussian noise modeling and fitting for single-image raw
data", IEEE TIP 17(10), 2008).

Whether the noise is white at all is not decided here but by a network, see `denoisers.noise_estimation`. Impulses are
removed from the blocks first (`impulses.py`), since there may be other noise beside them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from unnoise import interruption
from unnoise.noise import impulses

FLATTEST = 0.05
"""Fraction of the blocks of a brightness group that are measured: few enough to be flat, and, of 4096 blocks in 8
groups, 25 of them, whose median has an error of 4 % ..."""
FLATTEST_OF_MANY = 0.01
"""... and the same where 16 times as many blocks are looked at."""
TEXTURE = 1.4
"""Variances above the fitted line by this factor come from texture."""
CLIPPED = 0.05
"""Fraction of the pixels of a block at 0 or 1, from which the variance that is cut off is missed."""

_SIDE = 8  # of a block, pixels
_BLOCKS = 4096  # looked at, on a grid over the image that does not follow JPEG's own blocks
_SHADES = 8  # groups of equal brightness, each with flat blocks of its own: neither sky nor shadow decides alone

_ORDER = np.add.outer(np.arange(_SIDE), np.arange(_SIDE))
_COSINES = np.cos(np.pi / _SIDE * np.outer(np.arange(_SIDE), np.arange(_SIDE) + 0.5)) * np.sqrt(2 / _SIDE)
_COSINES[0] /= np.sqrt(2)
_COSINES = _COSINES.astype(np.float32)  # orthonormal DCT-II, `scipy.fft.dctn` without its long import
_LOW, _HIGH = (_ORDER > 0) & (_ORDER < _SIDE), _ORDER >= _SIDE
_ROUNDING = 1e-20  # above the variance of constant blocks after a transform in float32
# The median of a chi-square distribution, relative to its mean (Wilson and Hilferty, PNAS 17, 1931).
_MEDIAN = (1 - 2 / (9 * int(_HIGH.sum()))) ** 3

_EVIDENCE = {
    "none": "the flattest parts of the image show no noise",
    "gaussian": "the flattest parts of the image show white noise, equally strong everywhere",
    "signal-dependent": "the flattest parts of the image show white noise, stronger where it is brighter",
    "impulse": "single pixels differ from all of their neighbors",
    "correlated": "neighboring pixels share noise, with a correlation of {correlation:.2f}",
    "mixed": "single pixels differ from all of their neighbors, and the others are noisy, too",
    "other": "the estimated noise level is {level}",
}
"""Kind of noise -> what it was recognized by, unless an estimate has a reason of its own."""


@dataclass(frozen=True)
class NoiseEstimate:
    """The noise in an image; sigmas and levels are standard deviations in [0, 1] units.

    Attributes:
        kind: "none", "gaussian" (white, the same everywhere), "signal-dependent" (white, stronger where it is
            brighter), "impulse" (salt and pepper), "correlated" (between neighboring pixels, as from cameras and JPEG),
            "mixed" (impulses and other noise), or "other" (of no simpler kind, such as
            white noise in a part of the image).
        sigma: the sigma to call a denoiser for white Gaussian noise with, impulses not included; 0 for no noise.
        level: standard deviation of the noise, by the learned estimator; None if it was not asked.
        correlation: of the noise between neighboring pixels, -1 to 1, by the learned estimator; None likewise.
        impulses: fraction of the pixels replaced by impulses, 0 to 1.
        line: for signal-dependent noise, slope and intercept of its variance as a function of signal^power, and the
            least variance; zeros for all other kinds.
        power: 1 for the noise of photons, 2 for speckle.
        model: the suggested bundled model; None if there is no noise, or if no model was selected.
        limit: the level below which noise is ignored.
        reason: why it is of that kind, in one line in which `{level}` and `{limit}` stand for these; "" for what its
            kind is recognized by.
    """

    kind: str
    sigma: float
    level: float | None = None
    correlation: float | None = None
    impulses: float = 0.0
    line: tuple[float, float, float] = (0.0, 0.0, 0.0)
    power: int = 1
    model: str | None = None
    limit: float | None = None
    reason: str = ""

    @property
    def explanation(self) -> str:
        """Why the noise is of that kind, in one line, with levels in 8-bit units."""
        levels = {name: f"{255 * (getattr(self, name) or 0):.2g}/255" for name in ("level", "limit")}
        return (self.reason or _EVIDENCE[self.kind]).format(**levels, correlation=self.correlation or 0)

    def sigma_at(self, light: np.ndarray) -> np.ndarray:
        """Return sigma of signal-dependent noise at the values `light`, float32, the same shape."""
        slope, start, least = map(np.float32, self.line)
        return np.sqrt(np.maximum(slope * np.maximum(light, 0) ** self.power + start, least))

    def sigma_map(self, light: np.ndarray) -> np.ndarray:
        """Return sigma for each pixel of an image `[H, W, C]`, the root mean square over its channels, `[H, W]`."""
        return np.sqrt(np.mean(self.sigma_at(light) ** 2, axis=2))

    def scaled(self, factor: float) -> NoiseEstimate:
        """Return the estimate for the image multiplied by `factor`."""
        level, limit = (None if one is None else factor * one for one in (self.level, self.limit))
        slope, start, least = self.line
        line = (factor ** (2 - self.power) * slope, factor**2 * start, factor**2 * least)
        return replace(self, sigma=factor * self.sigma, level=level, limit=limit, line=line)

    def __str__(self) -> str:
        """Describe the noise in one line, in 8-bit units."""
        if self.kind == "none":
            return "no noise"
        text = f"{self.kind} noise"
        if self.impulses:
            text += f", {100 * self.impulses:.1f} % impulses"
        if self.kind == "correlated" and self.level is not None:
            text += f", level {255 * self.level:.1f}, correlation {self.correlation or 0:.2f}"
        elif self.kind != "impulse":
            text += f", sigma {255 * self.sigma:.1f}"
        return text + (f"; suggested model: {self.model}" if self.model else "")


def estimate_white_noise(pixels: np.ndarray) -> NoiseEstimate:
    """Estimate white noise in an image: "gaussian" or "signal-dependent", "impulse" or "mixed".

    It is signal-dependent if a line of the variance over the brightness, or its square, explains most of what the
    variance of the flattest blocks varies by.

    Args:
        pixels: float32 `[H, W, C]`, nominally in [0, 1]; blocks with NaN or infinity are ignored.
    """
    blocks = _blocks(pixels)
    lost, share = impulses.find(blocks)
    if share:
        level = _level(_shades(impulses.without(blocks, lost))[1])
        return NoiseEstimate("mixed", level, impulses=share)
    light, variance = noise_against_signal(pixels)
    light, variance = light[variance > 0], variance[variance > 0]  # a border or a clipped sky shows no noise
    explained, power = max((_explained(light**power, variance), power) for power in (1, 2))
    slope, start = fit_line(light**power, variance)
    if slope > 0 and explained > 0.5:
        line = (slope, start, 0.05 * float(np.median(variance)))
        return NoiseEstimate("signal-dependent", float(np.sqrt(variance.mean())), line=line, power=power)
    return NoiseEstimate("gaussian", _level(_shades(blocks)[1]))


def estimate_sigma(pixels: np.ndarray) -> float:
    """Return sigma of white Gaussian noise in an image `[H, W, C]`, in [0, 1] units; 0 if it is smaller than 8x8."""
    return _level(_shades(_blocks(pixels))[1])


def equivalent_sigma(level: float, correlation: float) -> float:
    """Return sigma of white noise that is as strong at low frequencies as correlated noise.

    That is what a denoiser for white noise is to be given to remove correlated noise. The autocorrelation of noise that
    was blurred by a Gaussian is a Gaussian, correlation^(d^2) at the distance d; its sum over all pixels, by which low
    frequencies are stronger than those of white noise, is the square of Jacobi's theta function.

    Args:
        level: standard deviation of the noise.
        correlation: of the noise between neighboring pixels; below 0 counts as 0.
    """
    distance = np.arange(1, 21)
    return level * (1 + 2 * float((np.clip(correlation, 0, 0.97) ** (distance**2)).sum()))


def noise_against_signal(pixels: np.ndarray, shades: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of the flattest blocks of each brightness, and their noise variance; for white noise.

    Args:
        pixels: float32 `[H, W, C]`, linear or not, in any range.
        shades: number of brightness groups; fewer if the image has fewer than 8 blocks for each.

    Returns:
        Two arrays `[C, shades]`, empty for an image smaller than a block.
    """
    return _shades(_blocks(pixels, 16 * _BLOCKS), count=shades, flattest=FLATTEST_OF_MANY)


def fit_line(light: np.ndarray, variance: np.ndarray) -> tuple[float, float]:
    """Fit variance = slope * light + start, where the error of each variance is proportional to it.

    Values far above the line come from texture and are left out. If the light hardly varies, or the slope is not
    positive, the slope is 0.
    """
    seen = variance > 0
    if not seen.any():
        return 0.0, 0.0
    light, variance = light[seen].astype(np.float64), variance[seen].astype(np.float64)
    flat = 0.0, float(np.median(variance))
    fitted, (slope, start) = variance, flat
    for _ in range(10):
        kept = variance < TEXTURE * fitted
        if kept.sum() < 4 or np.ptp(light[kept]) < 0.05:
            return flat
        weight = 1 / fitted[kept] ** 2
        middle = np.average(light[kept], weights=weight)
        level = np.average(variance[kept], weights=weight)
        away = weight * (light[kept] - middle)
        slope = (away * variance[kept]).sum() / (away * light[kept]).sum()
        start = level - slope * middle
        fitted = np.maximum(slope * light + start, 0.05 * flat[1])
    return (float(slope), float(start)) if slope > 0 else flat


def _explained(light: np.ndarray, variance: np.ndarray) -> float:
    """Return the squared correlation of two arrays; 0 if one of them is constant."""
    if not (len(light) > 1 and np.ptp(light) and np.ptp(variance)):
        return 0.0
    return float(np.corrcoef(light, variance)[0, 1]) ** 2


def _level(variance: np.ndarray) -> float:
    """Return sigma in the quieter brightness groups of each channel, averaged over the channels.

    Groups without any noise are borders and clipped skies, and left out.
    """
    quiet = [np.quantile(np.sqrt(one[one > 0]), 0.25) for one in variance if (one > 0).any()]
    return float(np.mean(quiet)) if quiet else 0.0


def _shades(blocks: np.ndarray, *, count: int = _SHADES, flattest: float = FLATTEST) -> tuple[np.ndarray, np.ndarray]:
    """Return brightness and noise variance of the flat blocks of each brightness group, both `[C, shades]`.

    Partly clipped blocks show too little noise; they are left out unless there are few others.
    """
    interruption.check()
    total, channels = blocks.shape[:2]
    shades = min(count, max(1, total // 8)) if total else 0
    brightness, variance = np.zeros((2, channels, shades))
    by_shade = np.argsort(blocks.mean(axis=(1, 2, 3)), kind="stable") if total else np.zeros(0, int)
    for channel in range(channels if total else 0):
        low, high, clipped = _measure(blocks[:, channel])
        whole = (clipped <= CLIPPED) | (clipped == 1)
        chosen = by_shade[whole[by_shade]] if whole.sum() >= total / 8 else by_shade
        for shade, group in enumerate(np.array_split(chosen, shades)):
            flat = group[np.argsort(low[group], kind="stable")[: int(np.ceil(flattest * len(group)))]]
            brightness[channel, shade], variance[channel, shade] = blocks[flat, channel].mean(), np.median(high[flat])
    variance[variance < _ROUNDING] = 0
    return brightness, variance / _MEDIAN


def _measure(blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return energy of the low and mean energy of the high frequencies, and the clipped fraction, of `[N, 8, 8]`."""
    parts = []
    for start in range(0, len(blocks), _BLOCKS):  # few at a time, which take little memory
        some = blocks[start : start + _BLOCKS]
        frequencies = (_COSINES @ some @ _COSINES.T) ** 2
        clipped = ((some == 0) | (some == 1)).mean(axis=(1, 2))
        parts.append((frequencies[:, _LOW].sum(axis=1), frequencies[:, _HIGH].mean(axis=1), clipped))
    low, high, share = (np.concatenate(one) for one in zip(*parts, strict=True))
    return low, high, share


def block_bytes(height: int, width: int, channels: int) -> int:
    """Return the bytes of memory of the blocks that `noise_against_signal` looks at in an image of that size."""
    step = _step(height, width, 16 * _BLOCKS)
    return (height // step + 1) * (width // step + 1) * channels * _SIDE**2 * 4


def _step(height: int, width: int, count: int) -> int:
    """Return the distance of blocks on the grid, pixels, for about so many of them."""
    return (
        max(1, int(((height - _SIDE + 1) * (width - _SIDE + 1) / count) ** 0.5)) if min(height, width) >= _SIDE else 1
    )


def _blocks(pixels: np.ndarray, count: int = _BLOCKS) -> np.ndarray:
    """Return finite blocks on a regular grid, `[N, C, 8, 8]`; none for an image smaller than a block."""
    if min(pixels.shape[:2]) < _SIDE:
        return np.zeros((0, pixels.shape[2], _SIDE, _SIDE), np.float32)
    step = _step(pixels.shape[0], pixels.shape[1], count)
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (_SIDE, _SIDE), axis=(0, 1))  # type: ignore[call-overload]
    blocks = windows[::step, ::step].reshape(-1, pixels.shape[2], _SIDE, _SIDE)
    with np.errstate(invalid="ignore"):  # infinities of both signs
        finite = np.isfinite(blocks.sum(axis=(1, 2, 3)))
    return blocks if finite.all() else blocks[finite]
