"""The restoration framework from end to end: its data, its two trainings, its tables and its sheets.

    python benchmarks/methods/restoration_framework.py [--data ../shared/data] [--out runs/framework]

STL-10 could not be obtained. In its place stand 96x96 crops of the folder `photos`, written in STL-10's own layout: of
five photographs in six for the training part, of every sixth for the test part. All numbers but those on CIFAR-100
rest on them; STL-10's own pictures were scaled down, and may be easier or harder.

The trainings are `unnoise train recipes/unet.json` and `recipes/vae.json`, the U-Net a quarter as wide as the
framework's own; they take about eleven and five minutes on one core, go on where they were broken off, and are left out
where their models are there already. The rest takes about ten minutes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common
import numpy as np

from unnoise import api, datasets, denoisers, io, noise
from unnoise.datasets import stl10
from unnoise.evaluation import report
from unnoise.evaluation.benchmark import noisy_pairs
from unnoise.evaluation.metrics import psnr
from unnoise.training import restoration_config

CHANGES = {  # run -> what differs from its recipe
    "unet": ["network=unet:width=16", "validation.every=270", "train.workers=0"],
    "vae": ["validation.every=90", "train.workers=0"],
}
TERMS = "96x96 crops of photographs in the layout of STL-10; CID22 (CC BY-SA 4.0), GB82 (CC0), CLIC 2025 (Unsplash)"
CROPS = {"train": 20, "test": 12}  # of each photograph
SHOWN = (155, 200, 255)  # pictures of the test part


@dataclass(frozen=True)
class Line:
    """One model under one noise; PSNRs in dB."""

    model: str
    noise: str
    images: int
    psnr_in: float
    psnr_out: float
    gain: float
    ssim_in: float
    ssim_out: float


def write_data(photos: Path, folder: Path) -> None:
    """Cut the photographs and write both parts, unless they are there."""
    if all((folder / stl10.file_name(part)).exists() for part in CROPS):
        return
    pictures, rng = datasets.make(f"images:{photos}", channels=3), np.random.default_rng(0)
    order = rng.permutation(len(pictures)).tolist()
    parts = {"train": [one for place, one in enumerate(order) if place % 6], "test": order[::6]}
    folder.mkdir(parents=True, exist_ok=True)
    for part, chosen in parts.items():
        crops = (crop(np.asarray(pictures[one]), rng) for one in chosen for _ in range(CROPS[part]))
        stl10.write(crops, folder / stl10.file_name(part))
        print(f"{part}: {CROPS[part]} crops of each of {len(chosen)} photographs", file=sys.stderr)


def crop(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cut 96x96 pixels from a random place."""
    top, left = (int(rng.integers(side - stl10.SIDE + 1)) for side in picture.shape[:2])
    return picture[top : top + stl10.SIDE, left : left + stl10.SIDE]


def train(run: str) -> Path:
    """Train by the command line, unless it is done; return the model."""
    folder = Path("runs") / run  # as the recipe says
    model = folder / f"{run}.safetensors"
    if not model.exists():
        command = ["unnoise", "train", f"recipes/{run}.json", *CHANGES[run], f"terms={TERMS}"]
        command += ["--resume"] * folder.exists()
        print(*command, file=sys.stderr)
        subprocess.run([sys.executable, "-m", *command], check=True, stdout=sys.stderr)
    return model


def measure(name: str, dataset: str, weights: Path) -> Iterator[Line]:
    """Measure a model as the framework's mode "test" does, and put what went in beside what came out."""
    config = {"model": name, "dataset": dataset, "mode": "test", "load_weight_path": str(weights), "device": "cpu"}
    rows = iter(api.measure(config))
    for before, after in zip(rows, rows, strict=True):
        gain = after.psnr - before.psnr
        yield Line(name, after.noise, after.images, before.psnr, after.psnr, gain, before.ssim, after.ssim)


def sheets(models: dict[str, Path]) -> Iterator[tuple[str, np.ndarray]]:
    """Draw the same pictures under each noise: the truth, what goes in, and what each model makes of it."""
    opened = {name: denoisers.make(path) for name, path in models.items()}
    pictures = datasets.make(f"{restoration_config.DATA['STL10']}#test", size=restoration_config.SIZE)
    for spec in restoration_config.NOISES:
        rows, captions = [], []
        for index, (noisy, clean, _) in enumerate(noisy_pairs(pictures, noise.make(spec))):
            if index in SHOWN:
                out = {"noisy": noisy, **{name: model(noisy) for name, model in opened.items()}}
                rows.append({"truth": clean, **out})
                captions.append(", ".join(f"{name} {psnr(clean, one):.2f} dB" for name, one in out.items()))
        yield spec, report.sheet(rows, captions=captions)


def main() -> None:
    """Do whatever is not done yet, and print the tables."""
    parser = common.parser(__doc__, data=True)
    parser.add_argument("--out", type=Path, default=Path("runs/framework"))
    arguments = parser.parse_args()
    stand_in = arguments.out / "data"
    write_data(arguments.data / "photos", stand_in / "stl10_binary")
    os.environ["UNNOISE_DATA"] = str(stand_in)
    models = {name: train(run) for name, run in restoration_config.MODELS.items()}
    for spec, sheet in sheets(models):
        target = arguments.out / f"{spec.partition(':')[0]}.png"
        io.from_array(np.rint(sheet * 255).astype(np.uint8)).save(target, overwrite=True)
    for dataset, place, title in (
        ("STL10", stand_in, "Crops of photographs in STL-10's layout, not trained on"),
        ("Cifar100", arguments.data, "The test part of CIFAR-100; nothing of it was trained on"),
    ):
        os.environ["UNNOISE_DATA"] = str(place)
        lines = [line for name, weights in models.items() for line in measure(name, dataset, weights)]
        print(f"{title}:\n\n{report.markdown(lines, decimals={'ssim_in': 4, 'ssim_out': 4})}\n")


if __name__ == "__main__":
    main()
