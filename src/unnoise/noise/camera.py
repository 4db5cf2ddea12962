"""The noise of camera images, after the camera's processing.

A processed image is mapped back to the sensor (Brooks et al., "Unprocessing Images for Learned Raw Denoising", CVPR
2019, arXiv:1811.11127), noise is added there and processed with it: demosaicing, white balance, color matrix, tone
curve, and the smoothing that cameras call noise reduction; JPEG follows as `+ jpeg:90`. All steps before the tone curve
are linear, so only the noise has to pass through them: without noise the image is unchanged, whatever the random
numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from scipy import ndimage

from unnoise.noise.base import Noise, check
from unnoise.spec import Range

_BAYER = ((0, 1), (1, 2))
"""Color channels of the sensor's cells: red and green, green and blue."""
_BETWEEN = np.outer((1, 2, 1), (1, 2, 1)).astype(np.float32) / 4
_BETWEEN_GREENS = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]], np.float32) / 4
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Camera(Noise):
    """A photograph at a given ISO, processed by the camera; clips to [0, 1].

    Args:
        iso: sensitivity, 1 to 1e5; ranges are sampled uniformly in its logarithm. The variance on the sensor is
            1e-6 iso x + r with the linear light x, and the read noise variance r that Brooks et al. found for it. So
            noisy are the small sensors of phones; at the same sensitivity, the cameras that Wei et al. calibrated (IEEE
            TPAMI 2021) have a third to a seventeenth of the variance (`noise.shot.typical`).
        rows: standard deviation of the row noise, relative to the read noise, 0 to 10.
        smooth: standard deviation of the blur of the noise in luma, in pixels, 0 to 10.
        smooth_color: the same for chroma, which cameras blur more.
        sharpen: amount of unsharp masking after that, 0 to 5: how much of what a blur of one pixel removes is added.
    """

    name: ClassVar[str] = "camera"
    iso: float | Range
    rows: float | Range = 0
    smooth: float | Range = 0
    smooth_color: float | Range = 0
    sharpen: float | Range = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        check(self, "iso", 1, 1e5)
        check(self, "rows", 0, 10)
        check(self, "smooth", 0, 10)
        check(self, "smooth_color", 0, 10)
        check(self, "sharpen", 0, 5)

    def draw(self, rng: np.random.Generator) -> Noise:
        """Draw the ISO uniformly in its logarithm, and the other ranges uniformly."""
        settled = self
        if isinstance(self.iso, Range):
            drawn = math.exp(rng.uniform(math.log(self.iso.low), math.log(self.iso.high)))
            settled = replace(self, iso=min(max(drawn, self.iso.low), self.iso.high))
        return super(Camera, settled).draw(rng)

    def apply(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Add the noise; images that do not have three channels come from a monochrome sensor."""
        image = np.clip(image, 0, 1)
        light = linear(image)
        noise = self._color_sensor(light, rng) if image.shape[2] == 3 else self.sensor_noise(light, rng)
        noise = toned(np.clip(light + noise, 0, 1)) - image
        noise = self._smoothed(noise)
        if self.sharpen:
            noise += np.float32(self.sharpen) * (noise - _blurred(noise, 1.0))  # type: ignore[arg-type]
        return np.clip(image + noise, 0, 1)

    def sensor_noise(self, light: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw shot, read and row noise of a sensor for `light`, `[H, W, C]` in [0, 1]."""
        shot = 1e-6 * float(self.iso)  # type: ignore[arg-type]
        read = math.exp(2.18 * math.log(shot) + 1.20)  # variance, from the regression of Brooks et al.
        noise = rng.standard_normal(light.shape, dtype=np.float32) * np.sqrt(shot * light + np.float32(read))
        if self.rows:
            row = rng.standard_normal((light.shape[0], 1, 1), dtype=np.float32)
            noise += row * np.float32(float(self.rows) * math.sqrt(read))  # type: ignore[arg-type]
        return noise

    def _color_sensor(self, light: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the noise in linear light after demosaicing, white balance and color matrix."""
        gains, matrix = draw_colors(rng)
        phase = rng.integers(2, size=2)
        counts = mosaic(sensor_light(light, gains, matrix), phase)
        return (demosaic(self.sensor_noise(counts, rng), phase) * gains) @ matrix.T

    def _smoothed(self, noise: np.ndarray) -> np.ndarray:
        """Blur luma and chroma of the noise."""
        if noise.shape[2] != 3:
            return _blurred(noise, self.smooth)
        luma = (noise @ _LUMA)[:, :, None]
        return _blurred(luma, self.smooth) + _blurred(noise - luma, self.smooth_color)


def linear(image: np.ndarray) -> np.ndarray:
    """Return the linear light of sRGB values in [0, 1] (IEC 61966-2-1), float32."""
    image = image.astype(np.float32, copy=False)
    return np.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** np.float32(2.4)).astype(np.float32)


def toned(light: np.ndarray) -> np.ndarray:
    """Return the sRGB values of linear light in [0, 1], float32: the inverse of `linear`."""
    light = light.astype(np.float32, copy=False)
    curve = np.float32(1.055) * light ** np.float32(1 / 2.4) - np.float32(0.055)
    return np.where(light <= 0.0031308, 12.92 * light, curve).astype(np.float32)


def draw_colors(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw the colors of a camera, after Brooks et al.: gains of white balance `[3]`, and a color matrix `[3, 3]`."""
    gains = np.array([rng.uniform(1.9, 2.4), 1, rng.uniform(1.5, 1.9)], np.float32)
    more = np.float32(rng.uniform(0.2, 0.7))
    return gains, (1 + more) * np.eye(3, dtype=np.float32) - more / 3  # the matrix changes the saturation only


def sensor_light(light: np.ndarray, gains: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return the light behind the color filters, `[H, W, 3]`, that is developed to linear light `[H, W, 3]`."""
    return np.maximum(light @ np.linalg.inv(matrix).T.astype(np.float32), 0) / gains


def mosaic(raw: np.ndarray, phase: np.ndarray | tuple[int, int]) -> np.ndarray:
    """Sample `[H, W, 3]` with a Bayer sensor to `[H, W, 1]`; `phase` is the cell, (row, column), of its corner."""
    return np.take_along_axis(raw, _cells(raw.shape, phase), axis=2)


def demosaic(raw: np.ndarray, phase: np.ndarray) -> np.ndarray:
    """Interpolate the samples of a Bayer sensor `[H, W, 1]` bilinearly to `[H, W, 3]`."""
    cells = _cells(raw.shape, phase)
    kernels = (_BETWEEN, _BETWEEN_GREENS, _BETWEEN)
    planes = [
        ndimage.convolve(np.where(cells == channel, raw, 0)[:, :, 0], kernel, mode="mirror")
        for channel, kernel in enumerate(kernels)
    ]
    return np.stack(planes, axis=2)


def _cells(shape: tuple[int, ...], phase: np.ndarray | tuple[int, int]) -> np.ndarray:
    """Return the color channel of each cell, `[H, W, 1]`."""
    rows, columns = (np.arange(side) + start for side, start in zip(shape[:2], phase, strict=True))
    return np.array(_BAYER)[rows[:, None] % 2, columns[None, :] % 2][:, :, None]


def _blurred(noise: np.ndarray, width: float | Range) -> np.ndarray:
    """Blur `[H, W, C]` by a Gaussian with a standard deviation of `width` pixels."""
    width = float(width)  # type: ignore[arg-type]
    return ndimage.gaussian_filter(noise, (width, width, 0), truncate=3) if width else noise
