"""Raw files denoised before development, and developed images denoised: PSNR in dB, at most 60 for an image.

    python benchmarks/quality/raw.py [--data ../shared/data] [--images 24] [--iso 800 3200 12800 25600]

The first images of Kodak24 and of BSDS500's validation part are taken back to linear light and given to five sensors
(`sensors.py`). `mosaic_noisy` and `mosaic` compare mosaics before and after; all others are those of the development by
LibRaw, against that of the mosaic without noise: of the noisy mosaic; by LibRaw with its own noise reduction, FBDD (its
wavelets, `noise_thr`, end the process with rawpy 0.28); of the noisy mosaic, then denoised by `auto` (the ordinary
path); of planes denoised by BM3D after variance stabilization (`nan` where it is not installed); of the planes denoised
one by one by `gray`; and of the mosaic denoised by what `unnoise` takes for raw files. The noise is measured in the
mosaic. `shift` is the largest change of a flat field at 0, 1 and 20 % of white, in percent of white.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[above]) for above in (1, 2)]  # benchmarks/ and tests

import common
import numpy as np
import rawpy
from sensors import SENSORS, Sensor

from tests.io import raw_files as files
from unnoise import datasets, denoisers
from unnoise.denoisers.base import Denoiser
from unnoise.evaluation import report
from unnoise.io import raw
from unnoise.pipeline import raw_files
from unnoise.pipeline.process import DenoiseOptions

GAMMA = 2.2
EXPOSURE = 0.9
FLAT = (0.0, 0.01, 0.2)


@dataclass(frozen=True)
class Row:
    """Mean PSNR in dB."""

    sensor: str
    iso: int
    mosaic_noisy: float
    mosaic: float
    noisy: float
    fbdd: float
    ordinary: float
    bm3d: float
    gray: float
    raw: float
    shift: float


class Denoisers:
    """What is compared."""

    def __init__(self) -> None:
        self.auto, self.gray = denoisers.make("auto"), denoisers.make("gray")
        self.bm3d = denoisers.make("bm3d") if "bm3d" in denoisers.DENOISERS else None


def file_of(sensor: Sensor, mosaic: np.ndarray) -> bytes:
    """Return a DNG."""
    return files.dng(mosaic, black=[sensor.black] * 4, white=sensor.white)


def denoised(file: bytes, denoiser: Denoiser) -> raw_files.CleanRaw:
    """Denoise a raw file."""
    options = DenoiseOptions(denoiser)
    return raw_files.denoise(raw_files.open_checked(file, ".dng", options), options, "the image")


def scores(sensor: Sensor, iso: int, image: np.ndarray, models: Denoisers, seed: int) -> dict[str, float]:
    """Return the scores of one image in [0, 1], float32 `[H, W, 3]`."""
    light = EXPOSURE * image.astype(np.float64) ** GAMMA * files.NEUTRAL  # what passes the filters
    seen = files.mosaic_of(light, black=[0] * 4, white=1)
    mosaic = sensor.noisy(seen, iso, np.random.default_rng(seed))
    file, true = file_of(sensor, mosaic), sensor.black + seen * (sensor.white - sensor.black)
    best = denoised(file, models.auto)

    def developed(one: np.ndarray) -> np.ndarray:
        return as_image(raw.develop(best.source, one))

    wanted, noisy = developed(np.rint(true).astype(np.uint16)), developed(mosaic)
    mode = rawpy.FBDDNoiseReductionMode.Full
    images = {
        "noisy": noisy,
        "fbdd": by_libraw(file, fbdd_noise_reduction=mode),
        "ordinary": common.denoise_blind(models.auto, noisy),
        "gray": developed(denoised(file, models.gray).mosaic),
        "raw": developed(best.mosaic),
    }
    if models.bm3d is not None:
        images["bm3d"] = developed(denoised(file, models.bm3d).mosaic)
    result = {name: common.capped_psnr(wanted, one) for name, one in images.items()}
    span = sensor.white - sensor.black
    for name, one in (("mosaic_noisy", mosaic), ("mosaic", best.mosaic)):
        result[name] = common.capped_psnr(true / span, one / span)
    return {"bm3d": float("nan"), **result}


def shift(sensor: Sensor, iso: int, models: Denoisers) -> float:
    """Return the largest change of the mean of a flat field, in percent of white."""
    changes = []
    for level in FLAT:
        mosaic = sensor.noisy(np.full((384, 384), level), iso, np.random.default_rng(0))
        clean = denoised(file_of(sensor, mosaic), models.auto).mosaic
        changes.append(abs(clean.mean(dtype=np.float64) - mosaic.mean(dtype=np.float64)))
    return 100 * max(changes) / (sensor.white - sensor.black)


def by_libraw(file: bytes, **options: object) -> np.ndarray:
    """Develop a file by LibRaw with its noise reduction."""
    with rawpy.imread(io.BytesIO(file)) as image:
        return as_image(image.postprocess(use_camera_wb=True, no_auto_bright=True, adjust_maximum_thr=0, **options))


def as_image(samples: np.ndarray) -> np.ndarray:
    """Return 8-bit samples in [0, 1]."""
    return samples.astype(np.float32) / 255


def main() -> None:
    """Print the table."""
    parser = common.parser(__doc__, data=True)
    parser.add_argument("--images", type=int, default=24, help="how many of each set")
    parser.add_argument("--iso", type=int, nargs="+", default=[800, 3200, 12800, 25600])
    arguments = parser.parse_args()
    sets = [datasets.make(f"images:{arguments.data / name}") for name in ("kodak24", "bsds500/val")]
    models, rows = Denoisers(), []
    for sensor in SENSORS:
        for iso in arguments.iso:
            found = [
                scores(sensor, iso, common.clean_image(images, index), models, index)
                for images in sets
                for index in range(min(arguments.images, len(images)))
            ]
            rows.append(row(sensor.name, iso, lambda name, found=found: np.mean([one[name] for one in found]),
                            shift(sensor, iso, models)))  # fmt: skip
            print(rows[-1], file=sys.stderr, flush=True)
    each = [asdict(one) for one in rows]
    rows.append(row("mean", 0, lambda name: np.mean([one[name] for one in each]), max(one.shift for one in rows)))
    print(report.markdown(rows))


def row(sensor: str, iso: int, value: Callable[[str], float], largest: float) -> Row:
    """Return a row of what `value` returns for the name of each column."""
    columns = [name for name in Row.__annotations__ if name not in ("sensor", "iso", "shift")]
    return Row(sensor, iso, *(float(value(name)) for name in columns), largest)


if __name__ == "__main__":
    common.run(main)
