"""The restoration framework from end to end: its data, its two trainings, its tables and figures.

    python benchmarks/methods/restoration_framework.py [--data ../shared/data] [--out runs/framework]

STL-10 could not be obtained. 96x96 crops of the folder `photos`, in STL-10's layout, replace it: training crops from
five photographs in six, test crops from every sixth. All results but those on CIFAR-100 are measured on them; STL-10's
images were scaled down, and may be easier or harder.

The trainings are `unnoise train recipes/unet.json` and `recipes/vae.json`, the U-Net a quarter as wide as the
framework's own; they take about eleven and five minutes on one core, are resumed if interrupted, and not repeated. The
rest takes about ten minutes.
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

from unnoise import api, datasets, denoisers, noise
from unnoise.datasets import stl10
from unnoise.evaluation import report
from unnoise.evaluation.benchmark import noisy_pairs
from unnoise.evaluation.metrics import psnr
from unnoise.training import restoration_config

CHANGES = {  # run -> changes of its recipe
    "unet": ["network=unet:width=16", "validation.every=270", "train.workers=0"],
    "vae": ["validation.every=90", "train.workers=0"],
}
TERMS = "96x96 crops of photographs in the layout of STL-10; CID22 (CC BY-SA 4.0), GB82 (CC0), CLIC 2025 (Unsplash)"
CROPS = {"train": 20, "test": 12}  # of each photograph
SHOWN = (155, 200, 255)  # test images in the figures


@dataclass(frozen=True)
class Line:
    """One model on one noise; PSNR in dB."""

    model: str
    noise: str
    images: int
    psnr_in: float
    psnr_out: float
    gain: float
    ssim_in: float
    ssim_out: float


def write_data(photos: Path, folder: Path) -> None:
    """Crop the photographs and write both parts, unless they exist."""
    if all((folder / stl10.file_name(part)).exists() for part in CROPS):
        return
    dataset, rng = datasets.make(f"images:{photos}", channels=3), np.random.default_rng(0)
    order = rng.permutation(len(dataset)).tolist()
    parts = {"train": [index for position, index in enumerate(order) if position % 6], "test": order[::6]}
    folder.mkdir(parents=True, exist_ok=True)
    for part, indices in parts.items():
        crops = (random_crop(np.asarray(dataset[index]), rng) for index in indices for _ in range(CROPS[part]))
        stl10.write(crops, folder / stl10.file_name(part))
        print(f"{part}: {CROPS[part]} crops of each of {len(indices)} photographs", file=sys.stderr)


def random_crop(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return 96x96 pixels at a random position."""
    top, left = (int(rng.integers(side - stl10.SIDE + 1)) for side in image.shape[:2])
    return image[top : top + stl10.SIDE, left : left + stl10.SIDE]


def train(run: str) -> Path:
    """Train by the command line, unless that is done; return the model."""
    folder = Path("runs") / run  # the default of the recipe
    model = folder / f"{run}.safetensors"
    if not model.exists():
        command = ["train", f"recipes/{run}.json", *CHANGES[run], f"data_licence={TERMS}"]
        command += ["--resume"] * folder.exists()
        print("unnoise", *command, file=sys.stderr)
        subprocess.run([*common.UNNOISE, *command], check=True, stdout=sys.stderr)
    return model


def measure(name: str, dataset: str, weights: Path) -> Iterator[Line]:
    """Measure a model as the framework's mode "test" does, with the scores of input and output in one row."""
    config = {"model": name, "dataset": dataset, "mode": "test", "load_weight_path": str(weights), "device": "cpu"}
    rows = iter(api.measure(config))
    for before, after in zip(rows, rows, strict=True):
        gain = after.psnr - before.psnr
        yield Line(name, after.noise, after.images, before.psnr, after.psnr, gain, before.ssim, after.ssim)


def sheets(models: dict[str, Path]) -> Iterator[tuple[str, np.ndarray]]:
    """Draw the same images with each noise: the truth, noisy, and denoised by each model."""
    opened = {name: denoisers.make(path) for name, path in models.items()}
    dataset = datasets.make(f"{restoration_config.DATA['STL10']}#test", size=restoration_config.SIZE)
    for spec in restoration_config.NOISES:
        rows, captions = [], []
        for index, (noisy, clean, _) in enumerate(noisy_pairs(dataset, noise.make(spec))):
            if index in SHOWN:
                images = {"noisy": noisy, **{name: model(noisy) for name, model in opened.items()}}
                rows.append({"truth": clean, **images})
                captions.append(", ".join(f"{name} {psnr(clean, image):.2f} dB" for name, image in images.items()))
        yield spec, report.sheet(rows, captions=captions)


def main() -> None:
    """Write the data, train, draw the figures, and print the tables."""
    parser = common.parser(__doc__, data=True)
    parser.add_argument("--out", type=Path, default=Path("runs/framework"))
    arguments = parser.parse_args()
    stand_in = arguments.out / "data"
    write_data(arguments.data / "photos", stand_in / "stl10_binary")
    os.environ["UNNOISE_DATA"] = str(stand_in)
    models = {name: train(run) for name, run in restoration_config.MODELS.items()}
    for spec, sheet in sheets(models):
        target = arguments.out / f"{spec.partition(':')[0]}.png"
        common.save_image(sheet, target)
    for dataset, folder, title in (
        ("STL10", stand_in, "Crops of photographs in STL-10's layout, not trained on"),
        ("Cifar100", arguments.data, "The test part of CIFAR-100; nothing of it was trained on"),
    ):
        os.environ["UNNOISE_DATA"] = str(folder)
        lines = [line for name, weights in models.items() for line in measure(name, dataset, weights)]
        print(f"{title}:\n\n{report.markdown(lines, decimals={'ssim_in': 4, 'ssim_out': 4})}\n")


if __name__ == "__main__":
    main()
