"""The shipped models and the classical filters on the known test sets, beside what others published.

    python benchmarks/quality/test_sets.py [--data FOLDER] [--sets cbsd68 set12] [--limit 5] [--models color wavelet]

The sets are the folders of these names in the data that are there: cbsd68, kodak24, mcmaster in colour, bsd68 and set12
in grey. Noise is Gaussian, sigma 15, 25 and 50, not clipped; every method is told the level; PSNR is over all channels
after rounding to 8 bits. It is `unnoise evaluate`, set by set. Non-local means takes two seconds a megapixel, so name
the `--models` for a quick look, or take only the first pictures (`--limit`). `--json FILE` keeps the rows, a line each.
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
import published

from unnoise import datasets, denoisers, io, noise
from unnoise.datasets.base import Dataset
from unnoise.denoisers.base import Denoiser
from unnoise.errors import UnnoiseError
from unnoise.evaluation import benchmark, report

CHANNELS = {"cbsd68": 3, "kodak24": 3, "mcmaster": 3, "bsd68": 1, "set12": 1}
SIGMAS = (15, 25, 50)
CLASSICAL = ("nlm", "wavelet", "tv", "bilateral")


@dataclass(frozen=True)
class Line:
    """One model on one test set; PSNRs in dB."""

    model: str
    data: str
    images: int
    sigma_15: float
    sigma_25: float
    sigma_50: float
    seconds_per_megapixel: float


def models_for(channels: int, names: Iterable[str] | None = None) -> dict[str, Denoiser]:
    """Return what is measured on pictures of so many channels.

    Args:
        channels: 3 leaves out models that know grey alone, which would clean colours one by one.
        names: of models, filters or files; None for what ships and is told the level, and the classical filters.
    """
    opened = {name: denoisers.make(name, engine="onnx") for name in names or (*denoisers.bundled_models(), *CLASSICAL)}
    fit = {name: model for name, model in opened.items() if channels == 1 or model.channels != 1}
    return fit if names else {name: model for name, model in fit.items() if model.wants_sigma}


def pictures(folder: Path, limit: int | None = None) -> Dataset:
    """Open a test set by its folder, whose name says how many channels it has."""
    dataset = datasets.make(f"images:{folder}", channels=CHANNELS[folder.name])
    return common.First(dataset, limit) if limit else dataset


def measure(folder: Path, models: dict[str, Denoiser], sigmas: Iterable[int], *, limit: int | None, seed: int) -> list:
    """Measure models on one test set; a row per level and model."""
    measured = benchmark.evaluate(
        models,
        pictures(folder, limit),
        [noise.make(f"gaussian:{sigma}") for sigma in sigmas],
        data=folder.name,
        seed=seed,
        with_ssim=False,
        progress=lambda text: print(f"{folder.name}, {text}", end="\r", file=sys.stderr),
    )
    return list(measured)


def lines(rows: Iterable[benchmark.Row]) -> list[Line]:
    """Put the levels beside each other: a line per test set and model."""
    found: dict[tuple[str, str], list[benchmark.Row]] = {}
    for row in rows:
        found.setdefault((row.model, row.data), []).append(row)
    made = []
    for (model, data), same in found.items():
        levels = {row.noise: row.psnr for row in same}
        seconds = float(np.mean([row.seconds_per_megapixel for row in same]))
        by_level = [levels.get(f"gaussian:{sigma}", math.nan) for sigma in SIGMAS]
        made.append(Line(model, data, same[0].images, *by_level, seconds))
    return made


def main() -> None:
    """Print what is measured here, and below it what others published."""
    parser = common.parser(__doc__, data=True)
    parser.add_argument("--sets", nargs="+", choices=CHANNELS, default=list(CHANNELS))
    parser.add_argument("--models", nargs="+", help="all that ship, and the classical filters, by default")
    parser.add_argument("--limit", type=int, help="pictures of each set")
    parser.add_argument("--noise-seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="file for the rows, as `unnoise evaluate --json` prints them")
    arguments = parser.parse_args()
    there = [name for name in arguments.sets if (arguments.data / name).is_dir()]
    if not there:
        parser.error(f"none of {', '.join(arguments.sets)} is in {arguments.data}")
    if arguments.json:
        io.check_target(arguments.json, overwrite=True)
    rows = []
    for name in there:
        models = models_for(CHANNELS[name], arguments.models)
        rows += measure(arguments.data / name, models, SIGMAS, limit=arguments.limit, seed=arguments.noise_seed)
    if not rows:
        parser.error(f"models of grey pictures are not measured on {', '.join(there)}")
    if arguments.json:
        arguments.json.write_text("".join(json.dumps(dataclasses.asdict(row)) + "\n" for row in rows), encoding="utf-8")
    print("Measured by this run:\n")
    print(report.markdown(lines(rows)))
    print("\nPublished by others, not measured here:\n")
    print(report.markdown([row for row in published.QUALITY if row.data in there]))


if __name__ == "__main__":
    try:
        main()
    except UnnoiseError as error:
        sys.exit(str(error))
