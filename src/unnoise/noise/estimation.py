"""Blind noise estimation: the kind of noise in an image, and the sigma to denoise it with.

In the flattest 8x8 blocks of a picture, the high frequencies of the discrete cosine transform hold little but noise.
The blocks are chosen by their low frequencies, which white noise affects equally everywhere, so that the choice is not
biased to weak noise (Ponomarenko et al., "An automatic approach to lossy compression of AVIRIS images", IGARSS 2007).
They are grouped by brightness, which reveals signal-dependent noise.

This is done on the image averaged down by 1, 2, 4 and 8, each sigma multiplied by that factor: the *profile*. That of
white noise is flat. The noise of cameras, correlated over a few pixels by demosaicing, filters and JPEG, is weak at the
finest scale, rises at once, and then levels off; image content keeps rising. A profile that bends is therefore noise;
if texture hides the bend, the profile of the color differences may show it. A denoiser for white noise does best on
correlated noise with a sigma far above that of the finest scale.

Impulses are removed from the blocks first (`impulses.py`), since there may be other noise beside them. Where JPEG has
smoothed flat areas, they no longer show the noise that remains elsewhere. Its block grid does (`blockiness.py`).

The constants were chosen on the PolyU development pairs, and on images of BSDS500's training part and of `photos`,
clean and with added noise; no test set was used.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from unnoise import interruption
from unnoise.noise import blockiness, impulses

BEND = 0.5
"""By how much, in natural logarithms, a profile exceeds a straight line before its noise counts as correlated."""
RISE = 1.8
"""Or: minimum ratio of scale 2 to scale 1 ..."""
EARLY = 1.5 / 255
"""... if scale 2 also exceeds the geometric mean of this and scale 4: image content rises later ..."""
PLAIN = 2 / 255
"""... and this."""
MOTTLED = 0.25
"""Or, below `FAINT`: by how much, in logarithms, scale 4 of the color differences exceeds scales 2 and 8 ..."""
MOTTLES = 4 / 255
"""... and their sigma there."""
CORRELATED_GAIN = 3.0
"""Sigma to denoise correlated noise with, as a multiple of sigma at scale 4."""
LARGEST = 15 / 255
"""Largest sigma for correlated noise: what looks stronger is mostly image content."""
VISIBLE = 1 / 3 / 255
"""White noise below this is quantization to 8 bits, or none; a weaker JPEG grid is ignored."""
BLOCKY = 8.0
"""Sigma to denoise JPEG artifacts with, as a multiple of the strength of the block grid."""
FAINT = 2.5 / 255
"""Below this, what grows with the scale by more than half is image content, not noise."""
GROWTH = 0.55
"""Minimum exponent of the variance as a power of the signal for signal-dependent noise."""
ALIGNED = 0.85
"""Minimum correlation of that fit, both axes logarithmic."""
DARK = 0.02
"""Smaller signal values count as this, since rounding and read noise do not vanish."""
BESIDE = 3 / 255
"""Minimum sigma of noise beside impulses for the kind "mixed"."""

_SCALES = (1, 2, 4, 8)
_SIDE = 8  # of a block, pixels
_BLOCKS = 4096  # looked at per scale, on a grid over the picture that does not follow JPEG's own blocks
_SHADES = 8  # groups of equal brightness, each with flat blocks of its own: neither sky nor shadow decides alone
_FLATTEST = 0.05  # of the blocks of a group
_FLATTEST_OF_MANY = 0.01  # where more blocks are looked at
_BIAS = 0.988  # of the median of the blocks' deviations, on white noise
_CLIPPED = 0.05  # of a block's pixels: from here on, what was cut off is missed

_ORDER = np.add.outer(np.arange(_SIDE), np.arange(_SIDE))
_COSINES = np.cos(np.pi / _SIDE * np.outer(np.arange(_SIDE), np.arange(_SIDE) + 0.5)) * np.sqrt(2 / _SIDE)
_COSINES[0] /= np.sqrt(2)
_COSINES = _COSINES.astype(np.float32)  # orthonormal DCT-II, `scipy.fft.dctn` without its long import
_LOW, _HIGH = (_ORDER > 0) & (_ORDER < _SIDE), _ORDER >= _SIDE


_EVIDENCE = {
    "none": "the flattest parts of the image show no noise",
    "gaussian": "the flattest parts of the image show white noise, equally strong everywhere",
    "signal-dependent": "the flattest parts of the image show white noise, stronger where it is brighter",
    "impulse": "single pixels differ from all of their neighbors",
    "correlated": "the noise remains where pixels are averaged, as that of cameras and JPEG does",
    "mixed": "single pixels differ from all of their neighbors, and the others are noisy, too",
    "other": "the estimated noise level is that of no simpler kind of noise",
}
"""Kind of noise -> what it was recognized by, unless an estimate has a reason of its own."""


@dataclass(frozen=True)
class NoiseEstimate:
    """The noise in an image; sigmas are standard deviations in [0, 1] units.

    Attributes:
        kind: "none", "gaussian" (white, the same everywhere), "signal-dependent" (white, stronger where it is
            brighter), "impulse" (salt and pepper), "correlated" (from cameras and JPEG), "mixed" (impulses and
            other noise), or "other" (found by the learned estimator alone).
        sigma: the sigma to call a denoiser for white Gaussian noise with, impulses not included; 0 for no noise.
        profile: sigma at scales 1, 2, 4 and 8; shorter for small images, or with impulses.
        impulses: fraction of the pixels replaced by impulses, 0 to 1.
        exponent: for signal-dependent noise, the variance grows with this power of the signal: 1 for Poisson noise, 2
            for speckle; 0 for all other kinds.
        sigma_at_white: sigma of signal-dependent noise at white; 0 for all other kinds.
        model: the suggested bundled model; None if there is no noise, or if no model was selected.
        level: the noise level by the learned estimator; None if it was not asked.
        limit: the level below which noise is ignored.
        reason: why it is of that kind, in one line in which `{level}` and `{limit}` stand for these; "" for what its
            kind is recognized by.
    """

    kind: str
    sigma: float
    profile: tuple[float, ...]
    impulses: float = 0.0
    exponent: float = 0.0
    sigma_at_white: float = 0.0
    model: str | None = None
    level: float | None = None
    limit: float | None = None
    reason: str = ""

    @property
    def explanation(self) -> str:
        """Why the noise is of that kind, in one line, with levels in 8-bit units."""
        levels = {name: f"{255 * (getattr(self, name) or 0):.2g}/255" for name in ("level", "limit")}
        return (self.reason or _EVIDENCE[self.kind]).format(**levels)

    def sigma_at(self, light: np.ndarray) -> np.ndarray:
        """Return sigma of signal-dependent noise at the values `light`, float32, the same shape."""
        return np.float32(self.sigma_at_white) * np.maximum(light, np.float32(DARK)) ** np.float32(self.exponent / 2)

    def sigma_map(self, light: np.ndarray) -> np.ndarray:
        """Return sigma for each pixel of an image `[H, W, C]`, the root mean square over its channels, `[H, W]`."""
        return np.sqrt(np.mean(self.sigma_at(light) ** 2, axis=2))

    def scaled(self, factor: float) -> NoiseEstimate:
        """Return the estimate for the image multiplied by `factor`."""
        return replace(
            self,
            sigma=factor * self.sigma,
            profile=tuple(factor * level for level in self.profile),
            sigma_at_white=factor * self.sigma_at_white,
            level=None if self.level is None else factor * self.level,
            limit=None if self.limit is None else factor * self.limit,
        )

    def __str__(self) -> str:
        """Describe the noise in one line, in 8-bit units."""
        if self.kind == "none":
            return "no noise"
        text = f"{self.kind} noise"
        if self.impulses:
            text += f", {100 * self.impulses:.1f} % impulses"
        if self.kind != "impulse":
            text += f", sigma {255 * self.sigma:.1f}"
        if self.kind == "correlated":
            text += f" for denoising ({255 * self.profile[0]:.1f} at the finest scale)"
        return text + (f"; suggested model: {self.model}" if self.model else "")


def estimate_noise(pixels: np.ndarray) -> NoiseEstimate:
    """Estimate the kind and the sigma of the noise in an image.

    Args:
        pixels: float32 `[H, W, C]`, nominally in [0, 1]; blocks with NaN or infinity are ignored.
    """
    blocks = _blocks(pixels)
    lost, share = impulses.find(blocks)
    if share:
        level = _level(_shades(impulses.without(blocks, lost))[1])
        return NoiseEstimate("impulse" if level < BESIDE else "mixed", level, (level,), share)
    scales = list(_scales(pixels))
    profile = _profile(scales)
    finest = profile[0] if profile else 0.0
    rises = len(profile) > 1 and profile[1] > 1.5 * finest
    brightness, variance = _shades(blocks)
    mean = float(np.sqrt(variance.mean())) / _BIAS if variance.size else 0.0
    growth, white = _growth(brightness, variance)
    if mean > (2 * FAINT if rises else FAINT) and growth > GROWTH:
        return NoiseEstimate("signal-dependent", mean, profile, exponent=growth, sigma_at_white=white)
    smeared = _smeared(profile)
    if smeared is None and finest < FAINT and len(scales) == len(_SCALES) and pixels.shape[2] >= 3 and _mottled(scales):
        smeared = finest
    if smeared is not None:
        return NoiseEstimate("correlated", smeared, profile)
    if finest < VISIBLE or (finest < FAINT and rises):
        grid = blockiness.measure(pixels)
        if grid > VISIBLE:
            return NoiseEstimate("correlated", min(BLOCKY * grid, LARGEST), profile)
        return NoiseEstimate("none", 0.0, profile)
    return NoiseEstimate("gaussian", finest, profile)


def estimate_sigma(pixels: np.ndarray) -> float:
    """Return sigma of white Gaussian noise in an image `[H, W, C]`, in [0, 1] units: that of the finest scale."""
    return max(_profile(itertools.islice(_scales(pixels), 1)), default=0.0)


def noise_against_signal(pixels: np.ndarray, shades: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of the flattest blocks of each brightness, and their noise variance; for white noise.

    Args:
        pixels: float32 `[H, W, C]`, linear or not, in any range.
        shades: number of brightness groups; fewer if the image has fewer than 8 blocks for each.

    Returns:
        Two arrays `[C, shades]`, empty for an image smaller than a block.
    """
    brightness, variance = _shades(_blocks(pixels, 16 * _BLOCKS), count=shades, flattest=_FLATTEST_OF_MANY)
    return brightness, variance / _BIAS**2


def _smeared(profile: tuple[float, ...]) -> float | None:
    """Return sigma to denoise correlated noise with; None if the profile shows none."""
    if len(profile) < len(_SCALES):
        return None
    one, two, four, eight = profile
    if _bend(one, two, eight) > BEND:
        return max(one, min(CORRELATED_GAIN * four, LARGEST))
    return one if two > max(RISE * one, PLAIN) and two**2 > EARLY * four else None


def _bend(one: float, two: float, eight: float) -> float:
    """Return by how much scale 2 exceeds the line through scales 1 and 8, both axes logarithmic."""
    one, two, eight = np.log(np.maximum((one, two, eight), 0.05 / 255))
    return float(two - (2 * one + eight) / 3)


def _growth(brightness: np.ndarray, variance: np.ndarray) -> tuple[float, float]:
    """Return the exponent of the variance as a power of the signal, and sigma at white.

    The exponent is 0 if the fit is poor.
    """
    seen = (brightness > 0) & (variance > 0)
    x, y = np.log(np.maximum(brightness[seen], DARK)), np.log(variance[seen])
    if len(x) < _SHADES // 2 or x.std() < 0.1 or y.std() == 0:
        return 0.0, 0.0
    aligned = np.corrcoef(x, y)[0, 1]
    power = float(aligned * y.std() / x.std()) if aligned > ALIGNED else 0.0
    return power, float(np.exp((y.mean() - power * x.mean()) / 2)) / _BIAS


def _mottled(scales: Sequence[np.ndarray]) -> bool:
    """Return whether the color differences contain correlated noise."""
    differences = [np.stack([blocks[:, 0] - blocks[:, 1], blocks[:, 2] - blocks[:, 1]], axis=1) for blocks in scales]
    _, two, four, eight = np.maximum(_profile(differences), 0.05 / 255) / np.sqrt(2)
    return bool(four > MOTTLES and np.log(four) - np.log(two * eight) / 2 > MOTTLED)


def _profile(scales: Iterable[np.ndarray]) -> tuple[float, ...]:
    """Return sigma at each scale."""
    return tuple(
        scale * _level(_shades(blocks, finest=scale == 1)[1]) for scale, blocks in zip(_SCALES, scales, strict=False)
    )


def _scales(pixels: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the blocks, `[N, C, 8, 8]`, of each scale that has any."""
    for _ in _SCALES:
        if min(pixels.shape[:2]) < _SIDE:
            return
        interruption.check()
        yield _blocks(pixels)
        with np.errstate(invalid="ignore"):  # infinities of both signs
            pixels = _halved(pixels)


def _halved(pixels: np.ndarray) -> np.ndarray:
    """Return the means of 2x2 pixels; an odd last row or column is dropped."""
    height, width = (side // 2 for side in pixels.shape[:2])
    half = np.empty((height, width, pixels.shape[2]), pixels.dtype)
    for top in range(0, height, 64):  # few enough rows to stay in the processor's cache
        rows = pixels[2 * top : 2 * min(top + 64, height), : 2 * width]
        pairs = rows[::2] + rows[1::2]
        np.add(pairs[:, ::2], pairs[:, 1::2], out=half[top : top + 64])
    half /= 4
    return half


def _level(variance: np.ndarray) -> float:
    """Return sigma in the quieter brightness groups of each channel, averaged over the channels."""
    return float(np.quantile(np.sqrt(variance), 0.25, axis=1).mean()) / _BIAS if variance.size else 0.0


def _shades(
    blocks: np.ndarray, *, finest: bool = True, count: int = _SHADES, flattest: float = _FLATTEST
) -> tuple[np.ndarray, np.ndarray]:
    """Return brightness and high-frequency variance of the flat blocks of each brightness group, both `[C, shades]`.

    At the finest scale, partly clipped blocks show too little noise; they are left out unless there are few others.
    """
    total, channels = blocks.shape[:2]
    shades = min(count, max(1, total // 8)) if total else 0
    brightness, variance = np.zeros((2, channels, shades))
    by_shade = np.argsort(blocks.mean(axis=(1, 2, 3)), kind="stable") if total else np.zeros(0, int)
    for channel in range(channels if total else 0):
        chosen = blocks[by_shade, channel]
        clipped = ((chosen == 0) | (chosen == 1)).mean(axis=(1, 2))
        whole = (clipped <= _CLIPPED) | (clipped == 1)
        if finest and whole.sum() >= total / 8:
            chosen = chosen[whole]
        frequencies = (_COSINES @ chosen @ _COSINES.T) ** 2
        low, high = frequencies[:, _LOW].sum(axis=1), frequencies[:, _HIGH].mean(axis=1)
        for shade, group in enumerate(np.array_split(np.arange(len(chosen)), shades)):
            flat = group[np.argsort(low[group], kind="stable")[: int(np.ceil(flattest * len(group)))]]
            brightness[channel, shade], variance[channel, shade] = chosen[flat].mean(), np.median(high[flat])
    return brightness, variance


def _blocks(pixels: np.ndarray, count: int = _BLOCKS) -> np.ndarray:
    """Return finite blocks on a regular grid, `[N, C, 8, 8]`; none for an image smaller than a block."""
    if min(pixels.shape[:2]) < _SIDE:
        return np.zeros((0, pixels.shape[2], _SIDE, _SIDE), np.float32)
    height, width = (side - _SIDE + 1 for side in pixels.shape[:2])
    step = max(1, int((height * width / count) ** 0.5))
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (_SIDE, _SIDE), axis=(0, 1))  # type: ignore[call-overload]
    blocks = windows[::step, ::step].reshape(-1, pixels.shape[2], _SIDE, _SIDE)
    return blocks[np.isfinite(blocks).all(axis=(1, 2, 3))]
