"""Learning without clean pictures: the same network and the same time, with and without them.

    python benchmarks/quality/self_supervised.py [PART...] [--data ../shared/data] [--seconds 300] [--out runs/own]

Every picture of BSDS500 train is spoilt once, or twice where a task wants two shots, and written to files; these are
all that is learned from, turned and cut. All have the network, loss and schedule of `BASE`, and the same seconds of
processor time on one thread (of this process, since others use the machine, too). They are judged on BSD68, which none
has seen.

Then noisy photographs as cameras make them: PolyU's single shots of half of the scenes, learned from by the tasks that
want nothing else, judged on the other half by the mean of many shots; `photo` beside them is the one that ships, which
has learned from all scenes (see benchmarks/quality/folds.py for what it is worth on others).

`grid` is the share of the error's energy that is a checkerboard: of each 2x2 pixels, the difference of the diagonals;
a quarter, if the error were white. A training that is there already is not repeated, and one that was broken off goes
on: set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common
import folds
import numpy as np

from unnoise import datasets, denoisers, io, noise
from unnoise.datasets.base import as_float
from unnoise.denoisers.base import Denoiser
from unnoise.evaluation import report
from unnoise.evaluation.benchmark import noisy_pairs
from unnoise.evaluation.metrics import psnr
from unnoise.training import recipe as recipes, trainer

NOISES = ("gaussian:25", "poisson:30")
NETWORK = "resunet:widths=16/32/64,blocks=1/1/1,told=false"
BASE: dict[str, Any] = {
    "network": NETWORK,
    "loss": "mse",
    "train": {
        "steps": 10**6,
        "stages": [{"until": 1, "patch": 64, "batch": 16}],
        "warmup": 50,
        "ema": 0.995,
        "precision": "auto",
        "checkpoint_every": 100,
    },
    "validation": {"every": 10**6},
}
TASKS: dict[str, dict[str, Any]] = {
    "supervised": {"task": "supervised"},
    "noise2noise": {"task": "noise2noise"},
    "neighbor2neighbor": {"task": "neighbor2neighbor"},
    "noise2void": {"task": "noise2void"},
    "noise2void, as N2V2": {"task": "noise2void:fill=median", "network": f"{NETWORK},through=false"},
}
CAMERA = ("neighbor2neighbor", "noise2void")


@dataclass(frozen=True)
class Result:
    """What one task reached: steps made, seconds of the processor, PSNR in dB on BSD68, and the grid in its error."""

    task: str
    noise: str
    steps: int
    seconds: float
    psnr: float
    grid: float


@dataclass(frozen=True)
class Real:
    """What one model makes of PolyU's other scenes: mean PSNR in dB."""

    model: str
    learned_from: str
    pairs: int
    psnr: float


def shots(data: Path, spec: str, out: Path) -> Path:
    """Write noisy shots of BSDS500 train as 32-bit TIFF, once: alone, in twos, and each with its clean picture."""
    folder = out / "shots" / spec.replace(":", "_")
    if (folder / "done").exists():
        return folder
    for place in ("single", "second", "clean"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    exclude = str(data / "bsds500/exclude_from_training.txt")
    clean, made = datasets.make(f"images:{data}/bsds500/train", channels=1, exclude=exclude), noise.make(spec)
    for index in range(len(clean)):
        picture = as_float(clean[index])  # type: ignore[arg-type]
        rng = np.random.default_rng((1, index))
        first, second = made(picture, rng), made(picture, rng)
        for name, pixels in {
            f"single/{index}.tif": first,
            f"second/{index}_shot1.tif": first,
            f"second/{index}_shot2.tif": second,
            f"clean/{index}_noisy.tif": first,
            f"clean/{index}_clean.tif": picture,
        }.items():
            io.from_array(pixels).save(folder / name, overwrite=True)
    (folder / "done").touch()
    return folder


def source(task: str, folder: Path) -> str:
    """Return where a task finds what it needs among the shots, and no more than that."""
    kinds = {"supervised": f"pairs:{folder}/clean", "noise2noise": f"pairs:{folder}/second"}
    return kinds.get(task, f"images:{folder}/single")


def train(changes: dict[str, Any], channels: int, seconds: float, folder: Path) -> tuple[Denoiser, int, float]:
    """Train, if it is not there; return the model, the steps that it made and the seconds they took."""
    given = {"name": "own", "data": {"train": ["images:."], "channels": channels}, **BASE}
    network = str(changes.get("network", NETWORK)).replace("resunet:", f"resunet:channels={channels},")
    changes = {**changes, "network": network, "train.minutes": seconds / 60}
    if not (folder / trainer.LOSSES).exists():
        trainer.train(recipes.load(given, changes), folder, resume=True, clock=time.process_time)
    last = json.loads((folder / trainer.LOG).read_text(encoding="utf-8").splitlines()[-1])
    return denoisers.make(folder / "own.safetensors"), last["step"], last["seconds"]


def judged(model: Denoiser, data: Path, spec: str) -> tuple[float, float]:
    """Return PSNR on BSD68 and the grid in the error."""
    scores = []
    for noisy, clean, _ in noisy_pairs(datasets.make(f"images:{data}/bsd68"), noise.make(spec)):
        cleaned = model(noisy)
        scores.append((psnr(clean, cleaned), _grid(cleaned - clean)))
    means = np.mean(scores, axis=0)
    return float(means[0]), float(means[1])


def _grid(error: np.ndarray) -> float:
    height, width = (side // 2 * 2 for side in error.shape[:2])
    a, b, c, d = (error[y:height:2, x:width:2] for y in (0, 1) for x in (0, 1))
    return float(((a - b - c + d) ** 2).sum() / 4 / (error[:height, :width] ** 2).sum())


def gaussian_and_poisson(data: Path, noises: tuple[str, ...], seconds: float, out: Path) -> Iterator[Result]:
    """Yield how each task does on each noise."""
    for spec in noises:
        folder = shots(data, spec, out)
        for name, changes in TASKS.items():
            place = out / f"{name} {spec}".replace(",", "").replace(" ", "_").replace(":", "_")
            model, steps, took = train({**changes, "data.train": [source(name, folder)]}, 1, seconds, place)
            yield Result(name, spec, steps, took, *judged(model, data, spec))


def camera(data: Path, seconds: float, out: Path) -> Iterator[Real]:
    """Yield what is made of the single shots of every second scene of PolyU."""
    by_scene = list(folds.scenes(data / "polyu").values())
    everything = [path for files in by_scene for path in files]
    others = [path for index, files in enumerate(by_scene) if index % 2 for path in files]
    seen = [path for path in everything if path not in others and path.stem.endswith("_real")]
    learn = folds.leave_out([path for path in everything if path not in seen], None, out / "learn.txt")
    judge = folds.leave_out([path for path in everything if path not in others], None, out / "judge.txt")
    pairs = [pair[:2] for pair in noisy_pairs(datasets.make(f"pairs:{data}/polyu", exclude=judge), None)]
    yield Real("noisy input", "", len(pairs), float(np.mean([psnr(clean, noisy) for noisy, clean in pairs])))
    for name in CAMERA:
        source = {"data.train": [f"images:{data}/polyu"], "data.exclude": learn}
        model, _, _ = train({**TASKS[name], **source}, 3, seconds, out / f"{name}_polyu")
        yield Real(name, "single shots of the other scenes", len(pairs), _mean(model, pairs))
    for name, told in {"color": "white noise", "photo": "pairs, these among them"}.items():
        yield Real(name, told, len(pairs), _mean(denoisers.make(name, engine="onnx"), pairs))


def _mean(model: Denoiser, pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
    return float(np.mean([psnr(clean, model(noisy)) for noisy, clean in pairs]))


def main() -> None:
    """Print the tables."""
    parser = common.parser(__doc__, data=True)
    parser.add_argument("part", nargs="*", help=f"of {', '.join((*NOISES, 'camera'))}; all by default")
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--out", type=Path, default=Path("runs/own"))
    arguments = parser.parse_args()
    wanted = arguments.part or [*NOISES, "camera"]
    data, out = arguments.data.resolve(), arguments.out.resolve()
    if noises := tuple(spec for spec in NOISES if spec in wanted):
        rows = list(gaussian_and_poisson(data, noises, arguments.seconds, out))
        print(report.markdown(rows, decimals={"grid": 3, "seconds": 0}))
    if "camera" in wanted:
        print("\n" + report.markdown(list(camera(data, arguments.seconds, out))))


if __name__ == "__main__":
    main()
