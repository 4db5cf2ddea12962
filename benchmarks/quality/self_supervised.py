"""Training without clean images: the same network, loss and time, with and without them.

    python benchmarks/quality/self_supervised.py [PART...] [--data ../shared/data] [--seconds 300] [--out runs/own]

One noisy shot of every image of BSDS500 train, or two for noise2noise, is written to files, which are the only training
data. All trainings have the network, loss and schedule of `BASE`, and the same processor time on one thread. They are
evaluated on BSD68.

Then real camera noise: the single-image tasks are trained on PolyU's single shots of half of the scenes, and evaluated
on the other half against the mean of many shots. The bundled `photo` beside them is trained on all scenes
(benchmarks/quality/folds.py scores it on held-out ones).

`grid` is the share of the error's energy in a checkerboard, the difference of the diagonals of each 2x2 pixels; 0.25
for white error. Finished trainings are not repeated, and interrupted ones are resumed. Set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

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
from unnoise.denoisers.base import Denoiser
from unnoise.evaluation import report
from unnoise.evaluation.benchmark import noisy_pairs
from unnoise.evaluation.metrics import psnr
from unnoise.training import recipe as recipes

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
    """One task: steps, processor seconds, PSNR in dB on BSD68, and the checkerboard in the error."""

    task: str
    noise: str
    steps: int
    seconds: float
    psnr: float
    grid: float


@dataclass(frozen=True)
class Real:
    """Mean PSNR in dB of one model on PolyU's evaluation scenes."""

    model: str
    trained_on: str
    pairs: int
    psnr: float


def shots(data: Path, spec: str, out: Path) -> Path:
    """Write noisy shots of BSDS500 train as 32-bit TIFF, once: single, in pairs, and each with its clean image."""
    folder = out / "shots" / spec.replace(":", "_")
    if (folder / "done").exists():
        return folder
    for part in ("single", "second", "clean"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    exclude = str(data / "bsds500/exclude_from_training.txt")
    dataset, model = datasets.make(f"images:{data}/bsds500/train", channels=1, exclude=exclude), noise.make(spec)
    for index in range(len(dataset)):
        clean = common.clean_image(dataset, index)
        rng = np.random.default_rng((1, index))
        first, second = model(clean, rng), model(clean, rng)
        for name, pixels in {
            f"single/{index}.tif": first,
            f"second/{index}_shot1.tif": first,
            f"second/{index}_shot2.tif": second,
            f"clean/{index}_noisy.tif": first,
            f"clean/{index}_clean.tif": clean,
        }.items():
            io.from_array(pixels).save(folder / name, overwrite=True)
    (folder / "done").touch()
    return folder


def source(task: str, folder: Path) -> str:
    """Return the part of the shots that a task trains on."""
    kinds = {"supervised": f"pairs:{folder}/clean", "noise2noise": f"pairs:{folder}/second"}
    return kinds.get(task, f"images:{folder}/single")


def train(changes: dict[str, Any], channels: int, seconds: float, folder: Path) -> tuple[Denoiser, int, float]:
    """Train, unless that is done; return the model, its steps and its seconds."""
    base = {"name": "own", "data": {"train": ["images:."], "channels": channels}, **BASE}
    network = str(changes.get("network", NETWORK)).replace("resunet:", f"resunet:channels={channels},")
    changes = {**changes, "network": network, "train.minutes": seconds / 60}
    last = common.train_once(recipes.load(base, changes), folder, clock=time.process_time)
    return denoisers.make(folder / "own.safetensors"), last["step"], last["seconds"]


def scores_on_bsd68(model: Denoiser, data: Path, spec: str) -> tuple[float, float]:
    """Return the mean PSNR in dB on BSD68, and the mean checkerboard in the error."""
    scores = []
    for noisy, clean, _ in noisy_pairs(datasets.make(f"images:{data}/bsd68"), noise.make(spec)):
        denoised = model(noisy)
        scores.append((psnr(clean, denoised), _grid(denoised - clean)))
    means = np.mean(scores, axis=0)
    return float(means[0]), float(means[1])


def _grid(error: np.ndarray) -> float:
    height, width = (side // 2 * 2 for side in error.shape[:2])
    a, b, c, d = (error[y:height:2, x:width:2] for y in (0, 1) for x in (0, 1))
    return float(((a - b - c + d) ** 2).sum() / 4 / (error[:height, :width] ** 2).sum())


def gaussian_and_poisson(data: Path, noises: tuple[str, ...], seconds: float, out: Path) -> Iterator[Result]:
    """Yield the result of each task on each noise."""
    for spec in noises:
        folder = shots(data, spec, out)
        for name, changes in TASKS.items():
            run_folder = out / f"{name} {spec}".replace(",", "").replace(" ", "_").replace(":", "_")
            model, steps, took = train({**changes, "data.train": [source(name, folder)]}, 1, seconds, run_folder)
            yield Result(name, spec, steps, took, *scores_on_bsd68(model, data, spec))


def camera(data: Path, seconds: float, out: Path) -> Iterator[Real]:
    """Yield the results on every second scene of PolyU, of models trained on the single shots of the others."""
    by_scene = list(folds.scenes(data / "polyu").values())
    files = [path for scene in by_scene for path in scene]
    test_files = [path for index, scene in enumerate(by_scene) if index % 2 for path in scene]
    train_files = [path for path in files if path not in test_files and path.stem.endswith("_real")]
    not_train = folds.leave_out([path for path in files if path not in train_files], None, out / "learn.txt")
    not_test = folds.leave_out([path for path in files if path not in test_files], None, out / "judge.txt")
    pairs = common.pairs(datasets.make(f"pairs:{data}/polyu", exclude=not_test))
    yield Real("noisy input", "", len(pairs), float(np.mean([psnr(clean, noisy) for noisy, clean in pairs])))
    for name in CAMERA:
        source = {"data.train": [f"images:{data}/polyu"], "data.exclude": not_train}
        model, _, _ = train({**TASKS[name], **source}, 3, seconds, out / f"{name}_polyu")
        yield Real(name, "single shots of the other scenes", len(pairs), _mean_psnr(model, pairs))
    for name, trained_on in {"color": "white noise", "photo": "pairs, including these"}.items():
        yield Real(name, trained_on, len(pairs), _mean_psnr(denoisers.make(name, engine="onnx"), pairs))


def _mean_psnr(model: Denoiser, pairs: common.Pairs) -> float:
    return float(np.mean([psnr(clean, model(noisy)) for noisy, clean in pairs]))


def main() -> None:
    """Print the tables."""
    parser = common.parser(__doc__, data=True)
    parser.add_argument("part", nargs="*", help=f"of {', '.join((*NOISES, 'camera'))}; all by default")
    parser.add_argument("--seconds", type=float, default=300, help="processor time of each training")
    parser.add_argument("--out", type=Path, default=Path("runs/own"))
    arguments = parser.parse_args()
    selected = arguments.part or [*NOISES, "camera"]
    data, out = arguments.data.resolve(), arguments.out.resolve()
    if noises := tuple(spec for spec in NOISES if spec in selected):
        rows = list(gaussian_and_poisson(data, noises, arguments.seconds, out))
        print(report.markdown(rows, decimals={"grid": 3, "seconds": 0}))
    if "camera" in selected:
        print("\n" + report.markdown(list(camera(data, arguments.seconds, out))))


if __name__ == "__main__":
    main()
