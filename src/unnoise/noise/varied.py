"""Gaussian noise that is neither white nor alike everywhere, drawn from a wide law.

For training what is to cope with noise of any kind: its level depends on the light, on the channel and on the place,
and its grain is smooth, in brightness and colour each by its own measure, as demosaicing, noise reduction and scaling
leave it. `camera` makes the noise of one kind of device with more care.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from scipy import ndimage

from unnoise.noise.base import Noise, check, level
from unnoise.spec import Range

_DARKEST = 0.03  # light below this counts as this: no power of it becomes infinite
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Varied(Noise):
    """Additive Gaussian noise: mean x, root mean square `sd` over the picture, variance and grain as stated.

    The variance at light x is in proportion to (1 - share) + share * x^power, each term divided by its mean over the
    picture, times the gain of the channel and of the place.

    Args:
        sd: root mean square deviation over the picture (8-bit units); a range from above 0 is drawn from by its
            logarithm, so that faint and strong noise are met alike often.
        share: of the variance that depends on the light, 0 to 1.
        power: of the light, -2 to 4: 1 is photons, 2 is speckle, below 0 is noise of the shadows, as a tone curve makes
            it.
        smooth: blur of the noise's brightness, deviation in pixels, 0 to 10.
        smooth_color: the same of its colour.
        color: level of its colour as a multiple of what independent channels have, 0 to 10.
        channels: spread of the channels' levels: each is multiplied by e^u, u uniform between -channels and channels,
            0 to 2.
        uneven: the same of the places in a picture, by a smooth field, 0 to 2.
        rows: deviation of what all pixels of a row share, as a share of `sd`, 0 to 1.
    """

    name: ClassVar[str] = "varied"
    sd: float | Range
    share: float | Range = 0
    power: float | Range = 1
    smooth: float | Range = 0
    smooth_color: float | Range = 0
    color: float | Range = 1
    channels: float | Range = 0
    uneven: float | Range = 0
    rows: float | Range = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        check(self, "sd", 0)
        check(self, "power", -2, 4)
        for field, high in {"share": 1, "smooth": 10, "smooth_color": 10, "color": 10, "rows": 1}.items():
            check(self, field, 0, high)
        check(self, "channels", 0, 2)
        check(self, "uneven", 0, 2)

    def draw(self, rng: np.random.Generator) -> Noise:
        """Settle the level by its logarithm, and the rest evenly."""
        settled = self
        if isinstance(self.sd, Range) and self.sd.low > 0:
            drawn = math.exp(rng.uniform(math.log(self.sd.low), math.log(self.sd.high)))
            settled = replace(self, sd=min(max(drawn, self.sd.low), self.sd.high))
        return super(Varied, settled).draw(rng)

    def apply(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Add it."""
        noise = self._grain(image.shape, rng)
        gains = self._gains(image, rng)
        if gains is not None:
            noise *= gains
        if self.rows:
            noise += np.float32(self.rows) * rng.standard_normal((len(image), 1, 1), dtype=np.float32)  # type: ignore[arg-type]
        return image + np.float32(level(self.sd)) * noise

    def _grain(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Draw noise of deviation 1 before the blur of brightness and colour, which keep their deviations."""
        noise = rng.standard_normal(shape, dtype=np.float32)
        if shape[2] != 3:
            return blurred(noise, float(self.smooth))  # type: ignore[arg-type]
        if not (self.smooth or self.smooth_color or self.color != 1):
            return noise
        luma = (noise @ _LUMA)[:, :, None]
        colour = blurred(noise - luma, float(self.smooth_color))  # type: ignore[arg-type]
        return blurred(luma, float(self.smooth)) + np.float32(self.color) * colour  # type: ignore[arg-type]

    def _gains(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
        """Return by what the deviation is multiplied, of mean square 1, `[H, W, C]` or broadcast; None for 1."""
        variance = np.ones((1, 1, image.shape[2]), np.float32)
        share = np.float32(self.share)  # type: ignore[arg-type]
        if share:
            grown = np.maximum(image, np.float32(_DARKEST)) ** np.float32(self.power)  # type: ignore[arg-type]
            variance = 1 - share + share / grown.mean() * grown
        if self.channels:
            spread = rng.uniform(-1, 1, image.shape[2]).astype(np.float32)
            variance = variance * np.exp(2 * np.float32(self.channels) * spread)  # type: ignore[arg-type]
        if self.uneven:
            field = smooth_field(image.shape[:2], rng)[:, :, None]
            variance = variance * np.exp(2 * np.float32(self.uneven) * field)  # type: ignore[arg-type]
        if variance.size == image.shape[2] and (variance == 1).all():
            return None
        return np.sqrt(variance / variance.mean())


def blurred(noise: np.ndarray, width: float) -> np.ndarray:
    """Blur white noise `[H, W, C]` by a Gaussian of that deviation in pixels, at its own deviation again."""
    if not width:
        return noise
    impulse = np.zeros(2 * math.ceil(4 * width) + 1, np.float32)
    impulse[len(impulse) // 2] = 1
    left = float(np.square(ndimage.gaussian_filter1d(impulse, width, truncate=3)).sum())  # of the variance, by one axis
    return ndimage.gaussian_filter(noise, (width, width, 0), truncate=3) / np.float32(left)


def smooth_field(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw a smooth field `[H, W]` in [-1, 1]: a 3x3 grid of uniform values, interpolated linearly."""
    grid = rng.uniform(-1, 1, (3, 3)).astype(np.float32)
    down, across = (np.linspace(0, 2, side, dtype=np.float32) for side in shape)
    weights = [np.maximum(0, 1 - np.abs(place[:, None] - np.arange(3, dtype=np.float32))) for place in (down, across)]
    return weights[0] @ grid @ weights[1].T
