"""How well a camera is calibrated: known noise is put into frames, and found again.

    python benchmarks/quality/calibration.py [--data ../shared/data]

First out of flat and dark frames: ten flats at five exposures, the brightest of them saturated, behind a lens that
darkens the corners, on pixels that differ by 2 %, and four darks; 512x512 pixels of 16 bits. Then blindly, out of each
picture of Kodak24: there the deviation of the noise at a shade is compared.
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
from unnoise.datasets.base import as_float
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
SHADES = (0.2, 0.5, 0.8)


@dataclass(frozen=True)
class Transfer:
    """What is found in flats and darks, and its errors in percent; NaN where the truth is 0."""

    camera: str
    found: str
    gain_error: float
    read_error: float
    rows_error: float


@dataclass(frozen=True)
class Blind:
    """Errors of the noise's deviation at three shades, in percent: mean over pictures, and mean of their sizes."""

    camera: str
    pictures: int
    bias_dark: float
    bias_middle: float
    bias_bright: float
    error_dark: float
    error_middle: float
    error_bright: float


def transfer(spec: str, folder: Path) -> Transfer:
    """Take frames with a camera, and calibrate it by them."""
    camera, rng = noise.make(spec), np.random.default_rng(0)
    black = vars(camera)["black"] / 255
    down, across = np.mgrid[0:SIDE, 0:SIDE] / SIDE - 0.5
    seen = (1 - 0.6 * (down**2 + across**2)) * (1 + 0.02 * rng.standard_normal((SIDE, SIDE)))
    names = []
    for shot in range(14):
        exposure = EXPOSURES[shot // 2] if shot < 10 else 0
        light = (black + exposure * seen)[:, :, None].astype(np.float32)
        counts = np.rint(np.clip(camera(light, rng), 0, 1) * 65535).astype(np.uint16)
        names.append(folder / f"{shot}.tif")
        io.from_array(counts).save(names[-1], overwrite=True)
    found = calibration.calibrate(names[:10], names[10:]).noise
    errors = [_percent(vars(found)[field], vars(camera)[field]) for field in ("peak", "read", "rows")]
    return Transfer(spec, str(found), *errors)


def blind(spec: str, pictures: datasets.Dataset, folder: Path) -> Blind:
    """Put the noise into each picture, grey, and find it in that alone."""
    camera, errors = noise.make(spec), []
    for index in range(len(pictures)):
        clean = as_float(pictures[index])  # type: ignore[arg-type]
        counts = np.rint(np.clip(camera(clean, index), 0, 1) * 65535).astype(np.uint16)
        io.from_array(counts).save(folder / "picture.tif", overwrite=True)
        found = calibration.blind(folder / "picture.tif").noise
        errors.append([_percent(_deviation(found, shade), _deviation(camera, shade)) for shade in SHADES])
    return Blind(spec, len(pictures), *np.mean(errors, axis=0).tolist(), *np.abs(errors).mean(axis=0).tolist())


def _deviation(one: noise.Noise, shade: float) -> float:
    return float(one(np.full((256, 256, 1), shade, np.float32), 0).std())


def _percent(found: float, truth: float) -> float:
    return 100 * (found / truth - 1) if truth else float("nan")


def main() -> None:
    """Print both tables."""
    parser = common.parser(__doc__, data=True)
    folder = parser.parse_args().data
    with tempfile.TemporaryDirectory() as place:
        print(report.markdown([transfer(spec, Path(place)) for spec in CAMERAS]), end="\n\n")
        pictures = datasets.make(f"images:{folder / 'kodak24'}", channels=1)
        print(report.markdown([blind(spec, pictures, Path(place)) for spec in CAMERAS[1:]]))


if __name__ == "__main__":
    main()
