"""The bundled models and classical filters on standard test sets, beside published results.

    python benchmarks/quality/test_sets.py [--data FOLDER] [--sets cbsd68 set12] [--limit 5] [--models color wavelet]

The sets are folders in the data, as far as they exist: cbsd68, kodak24 and mcmaster in color, bsd68 and set12 in gray.
Noise is Gaussian, sigma 15, 25 and 50, not clipped; every method is given sigma; PSNR is over all channels after
rounding to 8 bits. It is `unnoise evaluate`, set by set. Non-local means takes two seconds a megapixel: for a quick run
give `--models`, or take only the first images (`--limit`). `--json FILE` writes the rows as JSON lines.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common
import numpy as np
from quality import published

from unnoise import datasets, denoisers, io, noise
from unnoise.datasets.base import Dataset
from unnoise.datasets.split import Subset
from unnoise.denoisers.base import Denoiser
from unnoise.evaluation import benchmark, report

CHANNELS = {"cbsd68": 3, "kodak24": 3, "mcmaster": 3, "bsd68": 1, "set12": 1}
SIGMAS = (15, 25, 50)
CLASSICAL = ("nlm", "wavelet", "tv", "bilateral")


@dataclass(frozen=True)
class Line:
    """One model on one test set; PSNR in dB."""

    model: str
    data: str
    images: int
    sigma_15: float
    sigma_25: float
    sigma_50: float
    seconds_per_megapixel: float


def models_for(channels: int, names: Iterable[str] | None = None) -> dict[str, Denoiser]:
    """Return the models to measure on images of 1 or 3 channels.

    Args:
        channels: 3 leaves out gray models, which would denoise each channel alone.
        names: of models, filters or files; None for bundled models that take sigma, and the classical filters.
    """
    opened = {name: denoisers.make(name, engine="onnx") for name in names or (*denoisers.bundled_models(), *CLASSICAL)}
    applicable = {name: model for name, model in opened.items() if channels == 1 or model.channels != 1}
    return applicable if names else {name: model for name, model in applicable.items() if model.wants_sigma}


def test_set(folder: Path, limit: int | None = None) -> Dataset:
    """Open a test set, or its first images, with the channels that its name implies."""
    dataset = datasets.make(f"images:{folder}", channels=CHANNELS[folder.name])
    return Subset(dataset, range(min(limit, len(dataset)))) if limit else dataset


def measure(
    folder: Path, models: dict[str, Denoiser], sigmas: Iterable[int], *, limit: int | None, seed: int
) -> list[benchmark.Row]:
    """Measure models on one test set; a row for each sigma and model."""
    rows = benchmark.evaluate(
        models,
        test_set(folder, limit),
        [noise.make(f"gaussian:{sigma}") for sigma in sigmas],
        data=folder.name,
        seed=seed,
        with_ssim=False,
        progress=lambda text: print(f"{folder.name}, {text}", end="\r", file=sys.stderr),
    )
    return list(rows)


def lines(rows: Iterable[benchmark.Row]) -> list[Line]:
    """Put the noise levels into columns: a line for each test set and model."""
    groups: dict[tuple[str, str], list[benchmark.Row]] = {}
    for row in rows:
        groups.setdefault((row.model, row.data), []).append(row)
    result = []
    for (model, data), group in groups.items():
        psnrs = {row.noise: row.psnr for row in group}
        seconds = float(np.mean([row.seconds_per_megapixel for row in group]))
        sigma_15, sigma_25, sigma_50 = (psnrs.get(f"gaussian:{sigma}", math.nan) for sigma in SIGMAS)
        result.append(Line(model, data, group[0].images, sigma_15, sigma_25, sigma_50, seconds))
    return result


def main() -> None:
    """Print the measured table, and below it published results."""
    parser = common.parser(__doc__, data=True)
    parser.add_argument("--sets", nargs="+", choices=CHANNELS, default=list(CHANNELS))
    parser.add_argument("--models", nargs="+", help="bundled ones and classical filters by default")
    parser.add_argument("--limit", type=int, help="number of images of each set; all by default")
    parser.add_argument("--noise-seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="file for the rows, as `unnoise evaluate --json` prints them")
    arguments = parser.parse_args()
    sets = [name for name in arguments.sets if (arguments.data / name).is_dir()]
    if not sets:
        parser.error(f"none of {', '.join(arguments.sets)} is in {arguments.data}")
    if arguments.json:
        io.check_target(arguments.json, overwrite=True)
    rows = []
    for name in sets:
        models = models_for(CHANNELS[name], arguments.models)
        rows += measure(arguments.data / name, models, SIGMAS, limit=arguments.limit, seed=arguments.noise_seed)
    if not rows:
        parser.error(f"gray models are not measured on {', '.join(sets)}")
    if arguments.json:
        arguments.json.write_text("".join(json.dumps(dataclasses.asdict(row)) + "\n" for row in rows), encoding="utf-8")
    print("Measured by this run:\n")
    print(report.markdown(lines(rows)))
    print("\nPublished by others, not measured here:\n")
    print(report.markdown([row for row in published.QUALITY if row.data in sets]))


if __name__ == "__main__":
    common.run(main)
