"""The noise of cameras: what light, sensor and development leave in a photograph.

A finished picture is taken back to the sensor (Brooks et al., "Unprocessing Images for Learned Raw Denoising", CVPR
2019, arXiv:1811.11127), the noise arises there, and is developed with the picture: demosaicing, white balance, colour
matrix, tone curve, and the smoothing that cameras call noise reduction; JPEG follows as `+ jpeg:90`. All steps before
the tone curve are linear, so that only the noise has to pass through them: the clean picture comes back as it went in,
whatever the draw.
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
"""Colours of the sensor's cells: red and green, green and blue."""
_BETWEEN = np.outer((1, 2, 1), (1, 2, 1)).astype(np.float32) / 4
_BETWEEN_GREENS = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]], np.float32) / 4
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Camera(Noise):
    """A photograph taken at a sensitivity and developed by the camera; clips to [0, 1].

    Args:
        iso: sensitivity, 1 to 1e5; a range is drawn from by its logarithm, as photographers count. The variance on the
            sensor is 1e-6 iso x + r with x the linear light, and r the read noise that Brooks et al. found to go with
            it.
        rows: deviation of what all cells of a sensor row share, as a share of the read noise's, 0 to 10.
        smooth: blur of the noise's brightness, deviation in pixels, 0 to 10.
        smooth_color: the same of its colour, which cameras blur further.
    """

    name: ClassVar[str] = "camera"
    iso: float | Range
    rows: float | Range = 0
    smooth: float | Range = 0
    smooth_color: float | Range = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        check(self, "iso", 1, 1e5)
        check(self, "rows", 0, 10)
        check(self, "smooth", 0, 10)
        check(self, "smooth_color", 0, 10)

    def draw(self, rng: np.random.Generator) -> Noise:
        """Settle the sensitivity by its logarithm, and the rest evenly."""
        settled = self
        if isinstance(self.iso, Range):
            drawn = math.exp(rng.uniform(math.log(self.iso.low), math.log(self.iso.high)))
            settled = replace(self, iso=min(max(drawn, self.iso.low), self.iso.high))
        return super(Camera, settled).draw(rng)

    def apply(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Take the photograph; what has not three channels comes from a sensor without colours."""
        image = np.clip(image, 0, 1)
        light = linear(image)
        noise = self._colour_sensor(light, rng) if image.shape[2] == 3 else self.sensor_noise(light, rng)
        noise = toned(np.clip(light + noise, 0, 1)) - image
        return np.clip(image + self._smoothed(noise), 0, 1)

    def sensor_noise(self, light: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw the noise of a sensor that sees `light`, `[H, W, C]` in [0, 1]: shot, read and row noise."""
        shot = 1e-6 * float(self.iso)  # type: ignore[arg-type]
        read = math.exp(2.18 * math.log(shot) + 1.20)  # a variance; the line of Brooks et al.
        noise = rng.standard_normal(light.shape, dtype=np.float32) * np.sqrt(shot * light + np.float32(read))
        if self.rows:
            row = rng.standard_normal((light.shape[0], 1, 1), dtype=np.float32)
            noise += row * np.float32(float(self.rows) * math.sqrt(read))  # type: ignore[arg-type]
        return noise

    def _colour_sensor(self, light: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the noise in linear light behind demosaicing, white balance and colour matrix."""
        # Gains of red and blue: daylight to lamp light, after Brooks et al.; the matrix is a turn of saturation.
        gains = np.array([rng.uniform(1.9, 2.4), 1, rng.uniform(1.5, 1.9)], np.float32)
        more = np.float32(rng.uniform(0.2, 0.7))
        matrix = (1 + more) * np.eye(3, dtype=np.float32) - more / 3
        raw = np.maximum(light @ np.linalg.inv(matrix).T.astype(np.float32), 0) / gains
        phase = rng.integers(2, size=2)
        return (demosaic(self.sensor_noise(mosaic(raw, phase), rng), phase) * gains) @ matrix.T

    def _smoothed(self, noise: np.ndarray) -> np.ndarray:
        """Blur the noise, brightness and colour each by its own measure."""
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


def mosaic(raw: np.ndarray, phase: np.ndarray) -> np.ndarray:
    """Keep of `[H, W, 3]` what a Bayer sensor sees, `[H, W, 1]`; `phase` is the cell, (row, column), of its corner."""
    return np.take_along_axis(raw, _cells(raw.shape, phase), axis=2)


def demosaic(seen: np.ndarray, phase: np.ndarray) -> np.ndarray:
    """Fill in what a Bayer sensor `[H, W, 1]` has not seen, bilinearly: `[H, W, 3]`."""
    cells = _cells(seen.shape, phase)
    kernels = (_BETWEEN, _BETWEEN_GREENS, _BETWEEN)
    planes = [
        ndimage.convolve(np.where(cells == colour, seen, 0)[:, :, 0], kernel, mode="mirror")
        for colour, kernel in enumerate(kernels)
    ]
    return np.stack(planes, axis=2)


def _cells(shape: tuple[int, ...], phase: np.ndarray) -> np.ndarray:
    """Return the colour that each cell sees, `[H, W, 1]`."""
    rows, columns = (np.arange(side) + start for side, start in zip(shape[:2], phase, strict=True))
    return np.array(_BAYER)[rows[:, None] % 2, columns[None, :] % 2][:, :, None]


def _blurred(noise: np.ndarray, width: float | Range) -> np.ndarray:
    """Blur `[H, W, C]` by a Gaussian of that deviation in pixels."""
    width = float(width)  # type: ignore[arg-type]
    return ndimage.gaussian_filter(noise, (width, width, 0), truncate=3) if width else noise
