"""What makes a dense autoencoder good at digits: its code, its layers, their nodes, its loss; and what it leaves.

    python benchmarks/methods/digits.py study [--epochs 20]
    python benchmarks/methods/digits.py compare MODEL.safetensors... [--sheet FILE.png] [--labels 3 8]

`study` varies one thing at a time around the network of recipes/digits_autoencoder.yaml. All networks learn at once,
from the very same batches in the same order, with the recipe's optimizer; the first row is what `unnoise train` makes
of the recipe in so many epochs. Twenty of them take about 20 minutes on one core.

`compare` judges models that were trained, and draws digits: noisy, as each model cleans them, and the truth.

Both judge on the 10,000 test digits, all with the same noise, which are not tuned with. `bce` and `mse` are means over
all pixels; for `bce` the truth itself, being grey in places, has 0.0581, and what leaves [0, 1] counts as 0 or 1, which
is hard on networks that were not trained by it. PSNR is the mean over the digits, in dB, each rounded to 8 bits.
`seconds` is what a training takes by itself on one thread: its steps and the preparation of its batches; for a trained
model it is what its log says, looks at the test digits included.
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

from unnoise import datasets, io, networks, noise
from unnoise.datasets.mnist import Mnist
from unnoise.denoisers import pytorch
from unnoise.evaluation import report
from unnoise.evaluation.metrics import psnr
from unnoise.networks import Network
from unnoise.training import losses, recipe as recipes
from unnoise.training.optimizers import OPTIMIZERS
from unnoise.training.patches import Patches
from unnoise.training.recipe import Recipe

RECIPE = Path(__file__).resolve().parent.parent / "recipes" / "digits_autoencoder.yaml"
STUDY = {
    "the recipe": [("autoencoder:64", "bce")],
    "code size": [(f"autoencoder:{code}", "bce") for code in (16, 32, 128, 256)],
    "number of layers": [(f"autoencoder:64,hidden={nodes}", "bce") for nodes in ("128", "256/128", "512/256/128")],
    "nodes per layer": [(f"autoencoder:64,hidden={nodes}", "bce") for nodes in (256, 512)],
    "symmetry": [("autoencoder:64,hidden=256,decoder=none", "bce")],
    "loss": [("autoencoder:64", "mse")],
}
DIGITS, ZOOM = 10, 2  # how many a figure shows, and how large


@dataclass(frozen=True)
class Row:
    """One network, trained and judged; see the top of this file for the units."""

    what: str
    network: str
    loss: str
    epochs: float
    parameters: int
    bce: float
    mse: float
    psnr_noisy: float
    psnr: float
    seconds: float


class Learner:
    """A network on its way, with what it has cost so far."""

    def __init__(self, network: str, loss: str, recipe: Recipe) -> None:
        torch.manual_seed(recipe.train.seed)
        self.network, self.loss = networks.make(network), losses.make(loss)
        self.optimizer = OPTIMIZERS.make(recipe.train.optimizer).build(self.network.parameters())
        self.optimizer.param_groups[0]["lr"] = recipe.train.learning_rate
        self.seconds = 0.0

    def step(self, batch: dict[str, torch.Tensor]) -> None:
        start = time.process_time()
        loss = self.loss(self.network(batch["noisy"]), batch["clean"])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.seconds += time.process_time() - start


def look(recipe: Recipe, data: list[str]) -> Patches:
    """Return digits as the recipe sees them."""
    dataset = datasets.make(data, channels=1)
    size, seed = recipe.train.stages[0].patch, recipe.train.seed
    return Patches(dataset, noise.make(recipe.noise), size, seed, recipe.data.per_picture, recipe.data.turn)


class Judge:
    """The test digits with their noise, and what they say of a network."""

    def __init__(self, recipe: Recipe) -> None:
        patches = look(recipe, recipe.data.validation)
        self.batch = default_collate([patches[index] for index in range(patches.epoch)])
        self.psnr_noisy = self._psnr(self.batch["noisy"])

    @torch.no_grad()
    def __call__(self, network: Network) -> dict[str, float]:
        network.eval()
        clean = torch.cat([network(part) for part in self.batch["noisy"].split(500)])
        errors = {name: losses.make(name)(clean, self.batch["clean"]).item() for name in ("bce", "mse")}
        return {**errors, "psnr_noisy": self.psnr_noisy, "psnr": self._psnr(clean)}

    def _psnr(self, pictures: torch.Tensor) -> float:
        pairs = zip(self.batch["clean"].numpy(), pictures.numpy(), strict=True)
        return float(np.mean([psnr(truth, picture) for truth, picture in pairs]))


def study(epochs: int) -> list[Row]:
    """Train all networks of the study side by side."""
    recipe = recipes.load(RECIPE)
    members = [(what, network, loss) for what, pairs in STUDY.items() for network, loss in pairs]
    learners = [Learner(network, loss, recipe) for _, network, loss in members]
    patches, size = look(recipe, recipe.data.train), recipe.train.stages[0].batch
    steps = -(-epochs * patches.epoch // size)
    loader = DataLoader(patches, batch_size=size, sampler=range(steps * size))  # type: ignore[arg-type]
    preparing, before = 0.0, time.process_time()
    for step, batch in enumerate(loader, 1):
        preparing += time.process_time() - before
        for learner in learners:
            learner.step(batch)
        if step * size // patches.epoch > (step - 1) * size // patches.epoch:
            print(f"epoch {step * size // patches.epoch} of {epochs}", file=sys.stderr)
        before = time.process_time()
    judge, rows = Judge(recipe), []
    for facts, one in zip(members, learners, strict=True):
        seconds = one.seconds + preparing
        rows.append(Row(*facts, epochs, one.network.parameter_count, **judge(one.network), seconds=seconds))
    return rows


def compare(models: list[Path]) -> list[Row]:
    """Judge trained models; the time of those that have the log of their run beside them is told."""
    judge, rows = Judge(recipes.load(RECIPE)), []
    for path in models:
        network, card = pytorch.load(path)
        recipe = recipes.load(yaml.safe_load(card.recipe))
        log, seconds = path.parent / "log.jsonl", math.nan
        if log.exists():
            seconds = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])["seconds"]
        facts = card.name, str(network), recipe.loss, recipe.train.epochs or math.nan, network.parameter_count
        rows.append(Row(*facts, **judge(network), seconds=seconds))
    return rows


def sheet(models: list[Path], labels: list[int]) -> np.ndarray:
    """Draw the first test digits, or the first of some labels: noisy, as each model cleans them, and the truth."""
    recipe = recipes.load(RECIPE)
    dataset = datasets.make(recipe.data.validation[0], channels=1)
    if not isinstance(dataset, Mnist):
        raise TypeError("only mnist has labels")
    wanted = (index for index in range(len(dataset)) if not labels or dataset.labels[index] in labels)
    shown = list(itertools.islice(wanted, DIGITS))
    spoil = noise.make(recipe.noise)
    truth = [dataset[index].astype(np.float32) / 255 for index in shown]
    noisy = [spoil(picture, np.random.default_rng((0, index))) for picture, index in zip(truth, shown, strict=True)]
    rows = {"noisy": noisy}
    for path in models:
        network, card = pytorch.load(path)
        denoiser = pytorch.TorchDenoiser(network)
        rows[card.name] = [denoiser(picture) for picture in noisy]
    rows["truth"] = truth
    names = [f"{dataset.labels[index]} #{index}" for index in shown]
    captions = [
        name if name == "truth" else f"{name}, {np.mean([*map(psnr, truth, pictures)]):.1f} dB on these"
        for name, pictures in rows.items()
    ]
    return report.sheet(
        [dict(zip(names, pictures, strict=True)) for pictures in rows.values()], captions=captions, zoom=ZOOM
    )


def main() -> None:
    """Print a table, and draw a sheet where one is asked for."""
    parser = common.parser(__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("study").add_argument("--epochs", type=int, default=20)
    comparing = verbs.add_parser("compare")
    comparing.add_argument("models", type=Path, nargs="+")
    comparing.add_argument("--sheet", type=Path, help="PNG file to draw digits in")
    comparing.add_argument("--labels", type=int, nargs="+", default=[], help="which digits; the first ten if not told")
    arguments = parser.parse_args()
    rows = study(arguments.epochs) if arguments.verb == "study" else compare(arguments.models)
    decimals = {"epochs": 0, "bce": 4, "mse": 4, "seconds": 0}
    print(report.markdown(rows, decimals=decimals))
    if arguments.verb == "compare" and arguments.sheet:
        drawn = sheet(arguments.models, arguments.labels)
        io.from_array(np.rint(drawn * 255).astype(np.uint8)).save(arguments.sheet, overwrite=True)


if __name__ == "__main__":
    main()
