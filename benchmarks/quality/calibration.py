"""Accuracy of camera calibration: noise of a known camera is added to images, and estimated from them.

    python benchmarks/quality/calibration.py [--data ../shared/data]

First from flat and dark frames: ten flats at five exposures, the brightest saturated, with vignetting and a pixel
response non-uniformity of 2 %, and four darks; 512x512 pixels of 16 bits. Then blind, from each image of Kodak24, where
the standard deviations of the noise at three gray levels are compared.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common
import numpy as np

from unnoise import datasets, io, noise
from unnoise.evaluation import report
from unnoise.noise import calibration

CAMERAS = (
    "sensor:60000,read=0.02,rows=0.01,black=1",
    "sensor:15000,read=0.1,rows=0.05,black=1",
    "sensor:2000,read=0.5,rows=0.3,black=4",
    "sensor:500,read=1,black=8",
    "sensor:100,read=2,rows=1,black=8",
)
EXPOSURES = (0.1, 0.3, 0.6, 0.9, 1.3)
SIDE = 512
GRAY_LEVELS = (0.2, 0.5, 0.8)


@dataclass(frozen=True)
class Transfer:
    """Noise estimated from flats and darks, and its errors in percent; NaN where the true value is 0."""

    camera: str
    estimated: str
    gain_error: float
    read_error: float
    rows_error: float


@dataclass(frozen=True)
class Blind:
    """Errors of the noise's standard deviation at three gray levels in percent: mean, and mean of absolute values."""

    camera: str
    images: int
    bias_dark: float
    bias_middle: float
    bias_bright: float
    error_dark: float
    error_middle: float
    error_bright: float


def transfer(spec: str, folder: Path) -> Transfer:
    """Simulate the frames of a camera, and calibrate it from them."""
    camera, rng = noise.make(spec), np.random.default_rng(0)
    black = vars(camera)["black"] / 255
    down, across = np.mgrid[0:SIDE, 0:SIDE] / SIDE - 0.5
    scene = (1 - 0.6 * (down**2 + across**2)) * (1 + 0.02 * rng.standard_normal((SIDE, SIDE)))
    paths = []
    for frame in range(14):
        exposure = EXPOSURES[frame // 2] if frame < 10 else 0
        light = (black + exposure * scene)[:, :, None].astype(np.float32)
        paths.append(folder / f"{frame}.tif")
        _save_16_bit(camera(light, rng), paths[-1])
    estimated = calibration.calibrate(paths[:10], paths[10:]).noise
    errors = [_percent(vars(estimated)[field], vars(camera)[field]) for field in ("peak", "read", "rows")]
    return Transfer(spec, str(estimated), *errors)


def blind(spec: str, images: datasets.Dataset, folder: Path) -> Blind:
    """Add the noise to each image, and estimate it from the noisy image alone."""
    camera, errors = noise.make(spec), []
    for index in range(len(images)):
        _save_16_bit(camera(common.clean_image(images, index), index), folder / "image.tif")
        estimated = calibration.blind(folder / "image.tif").noise
        errors.append([_percent(_deviation(estimated, level), _deviation(camera, level)) for level in GRAY_LEVELS])
    return Blind(spec, len(images), *np.mean(errors, axis=0).tolist(), *np.abs(errors).mean(axis=0).tolist())


def _save_16_bit(pixels: np.ndarray, path: Path) -> None:
    io.from_array(np.rint(np.clip(pixels, 0, 1) * 65535).astype(np.uint16)).save(path, overwrite=True)


def _deviation(model: noise.Noise, level: float) -> float:
    return float(model(np.full((256, 256, 1), level, np.float32), 0).std())


def _percent(estimate: float, truth: float) -> float:
    return 100 * (estimate / truth - 1) if truth else float("nan")


def main() -> None:
    """Print both tables."""
    data = common.parser(__doc__, data=True).parse_args().data
    with tempfile.TemporaryDirectory() as folder:
        print(report.markdown([transfer(spec, Path(folder)) for spec in CAMERAS]), end="\n\n")
        images = datasets.make(f"images:{data / 'kodak24'}", channels=1)
        print(report.markdown([blind(spec, images, Path(folder)) for spec in CAMERAS[1:]]))


if __name__ == "__main__":
    main()
