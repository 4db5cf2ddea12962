"""The dense autoencoder for digits: ablation of its code size, layers and loss, and evaluation of trained models.

    python benchmarks/methods/digits.py study [--epochs 20]
    python benchmarks/methods/digits.py compare MODEL.safetensors... [--sheet FILE.png] [--labels 3 8]

`study` varies one hyperparameter at a time of recipes/digits_autoencoder.yaml. All networks are trained side by side on
the same batches with the recipe's optimizer; the first row equals `unnoise train` with that number of epochs. 20 epochs
take about 20 minutes on one core.

`compare` evaluates trained models, and draws digits: noisy, denoised by each model, and the truth.

Both evaluate on the 10,000 test digits with the same noise, which are not tuned on. `bce` and `mse` are means over all
pixels; `bce` of the truth itself is 0.0581, since some of its pixels are gray, and values are clipped to [0, 1] for it,
which penalizes networks trained with another loss. PSNR in dB is the mean over the digits, each rounded to 8 bits.
`seconds` is the time of one training alone on one thread: its steps and the preparation of its batches; for a trained
model it is read from its log, validation included.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common
import numpy as np
import torch
import yaml
from torch.utils.data import DataLoader, default_collate

from unnoise import datasets, networks, noise
from unnoise.datasets.mnist import Mnist
from unnoise.denoisers import pytorch
from unnoise.errors import UnnoiseError
from unnoise.evaluation import report
from unnoise.evaluation.metrics import psnr
from unnoise.networks import Network
from unnoise.training import losses, recipe as recipes
from unnoise.training.optimizers import OPTIMIZERS
from unnoise.training.patches import Patches
from unnoise.training.recipe import Recipe

RECIPE = common.ROOT / "recipes" / "digits_autoencoder.yaml"
STUDY = {
    "recipe": [("autoencoder:64", "bce")],
    "code size": [(f"autoencoder:{code}", "bce") for code in (16, 32, 128, 256)],
    "number of layers": [(f"autoencoder:64,hidden={nodes}", "bce") for nodes in ("128", "256/128", "512/256/128")],
    "nodes per layer": [(f"autoencoder:64,hidden={nodes}", "bce") for nodes in (256, 512)],
    "symmetry": [("autoencoder:64,hidden=256,decoder=none", "bce")],
    "loss": [("autoencoder:64", "mse")],
}
DIGITS, ZOOM = 10, 2  # digits in a figure, and their enlargement


@dataclass(frozen=True)
class Row:
    """One trained network and its scores; units are given at the top of this file."""

    variant: str
    network: str
    loss: str
    epochs: float
    parameters: int
    bce: float
    mse: float
    psnr_noisy: float
    psnr: float
    seconds: float


def noise_of(recipe: Recipe) -> noise.Noise:
    """Return the noise of the recipe."""
    if recipe.noise is None:
        raise UnnoiseError(f"{RECIPE.name} must have a noise")
    return noise.make(recipe.noise)


class Training:
    """A network in training, and the processor seconds of its steps."""

    def __init__(self, network: str, loss: str, recipe: Recipe) -> None:
        torch.manual_seed(recipe.train.seed)
        self.network, self.loss = networks.make(network), losses.make(loss)
        self.optimizer = OPTIMIZERS.make(recipe.train.optimizer).build(self.network.parameters())
        self.optimizer.param_groups[0]["lr"] = recipe.train.learning_rate
        self.seconds = 0.0

    def step(self, batch: dict[str, torch.Tensor]) -> None:
        """Make one step on a batch."""
        start = time.process_time()
        loss = self.loss(self.network(batch["noisy"]), batch["clean"])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.seconds += time.process_time() - start


def patches_of(recipe: Recipe, data: list[str]) -> Patches:
    """Return noisy and clean digits as the recipe prescribes."""
    dataset = datasets.make(data, channels=1)
    size, seed = recipe.train.stages[0].patch, recipe.train.seed
    return Patches(dataset, noise_of(recipe), size, seed, recipe.data.patches_per_picture, recipe.data.augment)


class Evaluation:
    """Scores a network on the noisy test digits."""

    def __init__(self, recipe: Recipe) -> None:
        patches = patches_of(recipe, recipe.data.validation)
        self.batch = default_collate([patches[index] for index in range(patches.epoch)])
        self.psnr_noisy = self._psnr(self.batch["noisy"])

    @torch.no_grad()
    def __call__(self, network: Network) -> dict[str, float]:
        """Return the columns of `Row` from `bce` to `psnr`."""
        network.eval()
        denoised = torch.cat([network(part) for part in self.batch["noisy"].split(500)])
        errors = {name: losses.make(name)(denoised, self.batch["clean"]).item() for name in ("bce", "mse")}
        return {**errors, "psnr_noisy": self.psnr_noisy, "psnr": self._psnr(denoised)}

    def _psnr(self, images: torch.Tensor) -> float:
        pairs = zip(self.batch["clean"].numpy(), images.numpy(), strict=True)
        return float(np.mean([psnr(truth, image) for truth, image in pairs]))


def study(epochs: int) -> list[Row]:
    """Train all networks of the study side by side."""
    recipe = recipes.load(RECIPE)
    variants = [(name, network, loss) for name, pairs in STUDY.items() for network, loss in pairs]
    trainings = [Training(network, loss, recipe) for _, network, loss in variants]
    patches, size = patches_of(recipe, recipe.data.train), recipe.train.stages[0].batch
    steps = -(-epochs * patches.epoch // size)
    loader = DataLoader(patches, batch_size=size, sampler=range(steps * size))  # type: ignore[arg-type]
    preparing, start = 0.0, time.process_time()
    for step, batch in enumerate(loader, 1):
        preparing += time.process_time() - start
        for training in trainings:
            training.step(batch)
        if step * size // patches.epoch > (step - 1) * size // patches.epoch:
            print(f"epoch {step * size // patches.epoch} of {epochs}", file=sys.stderr)
        start = time.process_time()
    evaluation, rows = Evaluation(recipe), []
    for variant, training in zip(variants, trainings, strict=True):
        network, seconds = training.network, training.seconds + preparing
        rows.append(Row(*variant, epochs, network.parameter_count, **evaluation(network), seconds=seconds))
    return rows


def compare(models: list[Path]) -> list[Row]:
    """Evaluate trained models; seconds are NaN for those without the log of their run beside them."""
    evaluation, rows = Evaluation(recipes.load(RECIPE)), []
    for path in models:
        network, card = pytorch.load(path)
        recipe = recipes.load(yaml.safe_load(card.recipe))
        log, seconds = path.parent / "log.jsonl", math.nan
        if log.exists():
            seconds = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])["seconds"]
        row = Row(
            card.name, str(network), recipe.loss, recipe.train.epochs or math.nan, network.parameter_count,
            **evaluation(network), seconds=seconds,
        )  # fmt: skip
        rows.append(row)
    return rows


def sheet(models: list[Path], labels: list[int]) -> np.ndarray:
    """Draw the first test digits, or the first of some labels: noisy, denoised by each model, and the truth."""
    recipe = recipes.load(RECIPE)
    dataset = datasets.make(recipe.data.validation[0], channels=1)
    if not isinstance(dataset, Mnist):
        raise TypeError("only mnist has labels")
    matching = (index for index in range(len(dataset)) if not labels or dataset.labels[index] in labels)
    indices = list(itertools.islice(matching, DIGITS))
    model = noise_of(recipe)
    truth = [dataset[index].astype(np.float32) / 255 for index in indices]
    noisy = [model(digit, np.random.default_rng((0, index))) for digit, index in zip(truth, indices, strict=True)]
    rows = {"noisy": noisy}
    for path in models:
        network, card = pytorch.load(path)
        denoiser = pytorch.TorchDenoiser(network)
        rows[card.name] = [denoiser(digit) for digit in noisy]
    rows["truth"] = truth
    names = [f"{dataset.labels[index]} #{index}" for index in indices]
    captions = [
        name if name == "truth" else f"{name}, {np.mean([*map(psnr, truth, digits)]):.1f} dB on these"
        for name, digits in rows.items()
    ]
    return report.sheet(
        [dict(zip(names, digits, strict=True)) for digits in rows.values()], captions=captions, zoom=ZOOM
    )


def main() -> None:
    """Print a table, and draw a figure with `--sheet`."""
    parser = common.parser(__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("study").add_argument("--epochs", type=int, default=20)
    comparing = verbs.add_parser("compare")
    comparing.add_argument("models", type=Path, nargs="+")
    comparing.add_argument("--sheet", type=Path, help="PNG file to draw digits in")
    comparing.add_argument("--labels", type=int, nargs="+", default=[], help="which digits to draw; any by default")
    arguments = parser.parse_args()
    rows = study(arguments.epochs) if arguments.verb == "study" else compare(arguments.models)
    decimals = {"epochs": 0, "bce": 4, "mse": 4, "seconds": 0}
    print(report.markdown(rows, decimals=decimals))
    if arguments.verb == "compare" and arguments.sheet:
        common.save_image(sheet(arguments.models, arguments.labels), arguments.sheet)


if __name__ == "__main__":
    main()
