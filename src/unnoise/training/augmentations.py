"""What is done to clean pictures before there is noise in them: more kinds of picture than there are files."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pyvips
from PIL import Image
from scipy import ndimage

from unnoise.noise import camera

MAX_GAIN = 6.0
"""Largest gain of stretching: beyond it, noise and JPEG blocks would look like image content."""
BLURS = (0.5, 4.0)
"""Standard deviations of the blur, pixels: point spread functions of microscopes are sampled at 1 to 4 pixels."""


@dataclass(frozen=True)
class Darkening:
    """offset + factor * x^power of a picture x in [0, 1], or of its negative: bright detail on a dark ground.

    Attributes:
        factor: from 0.2 to 1, drawn by its logarithm.
        power: from 1 to 3.
        offset: 0, or, of half of them, up to 0.08: the black level of a sensor, or stray light.
        negative: whether x is 1 - picture.
    """

    factor: float
    power: float
    offset: float
    negative: bool

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Darkening:
        """Draw one."""
        factor, power = math.exp(rng.uniform(math.log(0.2), 0)), float(rng.uniform(1, 3))
        return cls(factor, power, max(0.0, float(rng.uniform(-0.08, 0.08))), bool(rng.random() < 0.3))

    def apply(self, picture: np.ndarray) -> np.ndarray:
        """Return the darkened picture, float32 in [0, 1]."""
        light = 1 - picture if self.negative else picture
        dark = np.float32(self.offset) + np.float32(self.factor) * light ** np.float32(self.power)
        return np.minimum(dark, 1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Mosaicing:
    """A picture as `denoisers.mosaic` gives it to a network: seen by a Bayer sensor, its noise stabilized.

    Red is in the corner. The values are sqrt(x + offset) of the light x behind the filters, scaled to [0, 1]: the
    generalized Anscombe transform of a sensor whose variance is in proportion to x + offset.

    Attributes:
        gains: of the white balance, `[3]`.
        matrix: of the colors, `[3, 3]`.
        exposure: of the brightest light, from 0.2 to 1, drawn by its logarithm.
        offset: variance of the read noise over that of the shot noise at x = 1, from 1e-4 to 1, drawn by its logarithm:
            electrons of read noise, squared, over those of the brightest pixel.
    """

    gains: np.ndarray
    matrix: np.ndarray
    exposure: float
    offset: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Mosaicing:
        """Draw one."""
        gains, matrix = camera.draw_colors(rng)
        exposure, offset = np.exp(rng.uniform(np.log([0.2, 1e-4]), [0, 0]))
        return cls(gains, matrix, float(exposure), float(offset))

    def apply(self, picture: np.ndarray) -> np.ndarray:
        """Return the mosaic `[H, W, 1]` of a picture `[H, W, 3]`, float32 in [0, 1]."""
        light = camera.sensor_light(camera.linear(picture), self.gains, self.matrix)
        counts = np.float32(self.exposure) * camera.mosaic(light, (0, 0))
        dark = math.sqrt(self.offset)
        curve = (np.sqrt(counts + np.float32(self.offset)) - np.float32(dark)) / (math.sqrt(1 + self.offset) - dark)
        return np.minimum(curve, 1).astype(np.float32)


def stretch_contrast(picture: np.ndarray, black: float, white: float) -> np.ndarray:
    """Stretch a picture's brightness until some of it is black or white, as print, glare and deep shadow are.

    Args:
        picture: in [0, 1], float32 `[H, W, C]`.
        black: the share of all values that becomes black.
        white: the share that becomes white; where the picture would be stretched more than `STEEPEST`, fewer do.
    """
    lowest, highest = np.quantile(picture, [black, 1 - white])
    gain = min(1 / max(highest - lowest, 1e-6), MAX_GAIN)
    return np.clip((picture - (lowest + highest) / 2) * gain + 0.5, 0, 1).astype(np.float32)


def blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
    """Blur a picture `[H, W, C]` by a Gaussian of standard deviation `sigma` in pixels, as out of focus."""
    return ndimage.gaussian_filter(picture, (sigma, sigma, 0), mode="reflect")


def dithered(picture: np.ndarray, colors: int) -> np.ndarray:
    """Return a picture `[H, W, 1 or 3]` in [0, 1] with so few colours, by error diffusion (Floyd, Steinberg, 1976).

    Two are black and white; more are chosen to fit the picture.
    """
    pixels = np.rint(picture * 255).astype(np.uint8)
    shown = Image.fromarray(pixels[:, :, 0] if picture.shape[2] == 1 else pixels)
    if colors > 2:  # a palette is one of colours
        shown = shown.convert("RGB")
        few = shown.quantize(colors=colors, dither=Image.Dither.NONE)
        shown = shown.quantize(palette=few, dither=Image.Dither.FLOYDSTEINBERG)
    else:
        shown = shown.convert("1")
    made = np.asarray(shown.convert("L" if picture.shape[2] == 1 else "RGB"), np.float32) / 255
    return made.reshape(picture.shape)


def rescaled(patch: np.ndarray, scale: float) -> np.ndarray:
    """Bring a square `[scale * n, scale * n, C]` to n pixels a side: the mean of 2x2, or cubic interpolation."""
    if scale == 2:
        return (patch[::2, ::2] + patch[1::2, ::2] + patch[::2, 1::2] + patch[1::2, 1::2]) / 4
    wide = pyvips.Image.new_from_array(np.ascontiguousarray(patch)).resize(1 / scale, kernel="cubic").numpy()
    return np.clip(wide.reshape(round(len(patch) / scale), -1, patch.shape[2]), 0, 1)
