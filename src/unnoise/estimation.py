"""What noise is in a picture: its kind, and the level to denoise at, found from the picture alone.

In the flattest 8x8 blocks of a picture, the high frequencies of the discrete cosine transform hold little but noise.
The blocks are chosen by their low frequencies, on which white noise bears alike everywhere, so that the choice does not
favour weak noise (Ponomarenko et al., "An automatic approach to lossy compression of AVIRIS images", IGARSS 2007).

This is done on the picture averaged down by 1, 2, 4 and 8, each level multiplied by that number: its *profile*. White
noise has a flat one. The noise of cameras, smeared over a few pixels by demosaicing, filters and JPEG, hides at the
finest scale, rises at once, and then rises less; the picture itself goes on rising as steeply. So a profile that bends
is noise. A denoiser for white noise does best on it when it is told far more than the finest scale shows.

The constants behind this (`BEND`, `TOLD`, `LARGEST`) were chosen on the PolyU development pairs, and on clean
pictures of BSDS500's training part and of `photos`; no test set was looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.fft import dctn

BEND = 0.5
"""How far, in natural logarithms, a profile stands above a straight line before its noise counts as correlated."""
TOLD = 3.0
"""What a denoiser for white noise is told of correlated noise, as a multiple of its level at scale 4."""
LARGEST = 15 / 255
"""Correlated noise is not told higher: what looks stronger is mostly picture."""
VISIBLE = 1 / 3 / 255
"""White noise below this is that of rounding to 8 bits, or none."""

_SCALES = (1, 2, 4, 8)
_SIDE = 8  # of a block, pixels
_BLOCKS = 4096  # looked at per scale, on a grid over the picture that does not follow JPEG's own blocks
_SHADES = 8  # groups of equal brightness, each with flat blocks of its own: neither sky nor shadow decides alone
_FLATTEST = 0.05  # of the blocks of a group
_BIAS = 0.988  # of the median of the blocks' deviations, on white noise

_ORDER = np.add.outer(np.arange(_SIDE), np.arange(_SIDE))
_LOW, _HIGH = (_ORDER > 0) & (_ORDER < _SIDE), _ORDER >= _SIDE


@dataclass(frozen=True)
class NoiseReport:
    """What noise is in a picture; levels are standard deviations in [0, 1] units.

    Attributes:
        kind: "none", "white", or "correlated" as cameras make it.
        sigma: the level to tell a denoiser for white Gaussian noise; 0 to leave the picture as it is.
        profile: the level at scales 1, 2, 4 and 8; shorter for a picture too small for them.
    """

    kind: str
    sigma: float
    profile: tuple[float, ...]

    def __str__(self) -> str:
        """Tell it in 8-bit units, in which levels are spelt."""
        if self.kind == "none":
            return "no noise"
        finest = f" ({255 * self.profile[0]:.1f} at the finest scale)" if self.kind == "correlated" else ""
        return f"{self.kind} noise, to be cleaned at level {255 * self.sigma:.1f}{finest}"


def inspect(pixels: np.ndarray) -> NoiseReport:
    """Find kind and level of the noise in a picture.

    Args:
        pixels: float32 `[H, W, C]`, nominally in [0, 1]; blocks that hold NaN or infinity are passed over.
    """
    profile = tuple(_profile(pixels))
    white = profile[0] if profile else 0.0
    if len(profile) == len(_SCALES) and _bend(profile) > BEND:
        return NoiseReport("correlated", max(white, min(TOLD * profile[2], LARGEST)), profile)
    if white < VISIBLE:
        return NoiseReport("none", 0.0, profile)
    return NoiseReport("white", white, profile)


def estimate_sigma(pixels: np.ndarray) -> float:
    """Return the level of white Gaussian noise in a picture `[H, W, C]`, in [0, 1] units: that of its finest scale."""
    return next(_profile(pixels), 0.0)


def _bend(profile: tuple[float, ...]) -> float:
    """Return how far scale 2 stands above the line through scales 1 and 8, both axes logarithmic."""
    one, two, _, eight = np.log(np.maximum(profile, 0.05 / 255))
    return float(two - (2 * one + eight) / 3)


def _profile(pixels: np.ndarray) -> Iterator[float]:
    """Yield the level at each scale that still has a block."""
    for scale in _SCALES:
        if min(pixels.shape[:2]) < _SIDE:
            return
        yield scale * _level(pixels)
        height, width = (side - side % 2 for side in pixels.shape[:2])
        with np.errstate(invalid="ignore"):  # infinities of both signs
            rows = pixels[0:height:2, :width] + pixels[1:height:2, :width]
            pixels = (rows[:, ::2] + rows[:, 1::2]) / 4


def _level(pixels: np.ndarray) -> float:
    """Return the deviation of the high frequencies in flat blocks, mean over the channels."""
    blocks = _blocks(pixels)
    if len(blocks) == 0:
        return 0.0
    frequencies = np.asarray(dctn(blocks, axes=(2, 3), norm="ortho")) ** 2
    low, high = frequencies[:, :, _LOW].sum(axis=2), frequencies[:, :, _HIGH].mean(axis=2)
    by_shade = np.argsort(blocks.mean(axis=(1, 2, 3)), kind="stable")
    levels = []
    for group in np.array_split(by_shade, min(_SHADES, len(blocks))):
        flat = np.argsort(low[group], axis=0, kind="stable")[: int(np.ceil(_FLATTEST * len(group)))]
        levels.append(np.sqrt(np.median(np.take_along_axis(high[group], flat, axis=0), axis=0)))
    return float(np.quantile(levels, 0.25, axis=0).mean()) / _BIAS


def _blocks(pixels: np.ndarray) -> np.ndarray:
    """Cut finite blocks on an even grid, `[N, C, 8, 8]`."""
    height, width = (side - _SIDE + 1 for side in pixels.shape[:2])
    step = max(1, int((height * width / _BLOCKS) ** 0.5))
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (_SIDE, _SIDE), axis=(0, 1))  # type: ignore[call-overload]
    blocks = windows[::step, ::step].reshape(-1, pixels.shape[2], _SIDE, _SIDE)
    return blocks[np.isfinite(blocks).all(axis=(1, 2, 3))]
