"""The folder of a run: its recipe, checkpoint, log and model.

`recipe.yaml` (what was run), `checkpoint.pt` (to resume from), `NAME.safetensors` (the model as of the checkpoint, with
its card), `log.jsonl` (a line for each validation), `losses.png` (the log as curves) and `samples.png` (validation
images, noisy, denoised and clean); and what `train.log` names: `log.csv`, `tensorboard/`, `wandb/`. Where several
processes train together, the first writes the folder and all read it.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from lightning_fabric import Fabric
from PIL import Image

from unnoise import networks
from unnoise._version import __version__
from unnoise.denoisers import pytorch
from unnoise.denoisers.model_card import Card
from unnoise.errors import UnnoiseError
from unnoise.evaluation import report
from unnoise.io.atomic import atomic_write, remove_stale
from unnoise.training import compatibility, distributed, recipe as recipes
from unnoise.training.loggers import CSV
from unnoise.training.recipe import Recipe
from unnoise.training.state import TrainingState

CHECKPOINT, LOG, LOSSES, SAMPLES, RECIPE = "checkpoint.pt", "log.jsonl", "losses.png", "samples.png", "recipe.yaml"


class RunFolder:
    """The files of a training run.

    Args:
        path: the folder; it need not exist.
        recipe: that of the run.
    """

    def __init__(self, path: Path, recipe: Recipe) -> None:
        self.path, self.recipe = path, recipe

    @property
    def model(self) -> Path:
        """The model file."""
        return self.path / f"{self.recipe.name}.safetensors"

    def check(self, *, resume: bool) -> None:
        """Refuse a folder that holds a run, unless that is resumed with its recipe, or with a longer training.

        Raises:
            UnnoiseError: it is refused.
        """
        path = self.path / RECIPE
        if path.exists() and not resume:
            raise UnnoiseError(f"'{self.path}' already contains a run: resume it, or choose another folder")
        if path.exists() and not compatibility.can_resume(self.recipe, recipes.load(path)):
            raise UnnoiseError(f"'{self.path}' holds a run of another recipe, or a longer one: see {path}")

    def create(self) -> None:
        """Make the folder and write the recipe into it."""
        if distributed.is_rank_zero():
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / RECIPE).write_text(recipes.dump(self.recipe), encoding="utf-8")

    def discard(self) -> None:
        """Remove the files of a run that failed before its first checkpoint, so that it can be started again."""
        if distributed.is_rank_zero() and not (self.path / CHECKPOINT).exists():
            for name in (RECIPE, LOG, LOSSES, SAMPLES, CSV):
                (self.path / name).unlink(missing_ok=True)
            for name in {"tensorboard", "wandb"} & set(self.recipe.train.log):
                shutil.rmtree(self.path / name, ignore_errors=True)
            with contextlib.suppress(OSError):  # the folder holds something else, or does not exist
                self.path.rmdir()

    @property
    def losses(self) -> Path:
        """The curves of the log."""
        return self.path / LOSSES

    @property
    def log_path(self) -> Path:
        """The log, a line of JSON for each validation."""
        return self.path / LOG

    def log(self, values: dict[str, float]) -> None:
        """Append a line to the log: the values, and the precision of the run."""
        if distributed.is_rank_zero():
            line = {**values, "precision": self.recipe.train.precision}
            with (self.path / LOG).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    def draw_losses(self) -> None:
        """Draw the log's curves."""
        if distributed.is_rank_zero():
            report.draw_losses(self.log_path, self.losses)

    def save_samples(self, page: np.ndarray) -> None:
        """Write the page of samples, uint8 `[H, W, 3]`."""
        with atomic_write(self.path / SAMPLES) as temporary:
            Image.fromarray(page).save(temporary, format="png")

    def save_checkpoint(self, fabric: Fabric, state: dict[str, Any], progress: TrainingState) -> None:
        """Replace the checkpoint; an interruption leaves the old one.

        Args:
            fabric: that of the process; all processes call this.
            state: networks and optimizer by name.
            progress: how far the run is.
        """
        path = self.path / CHECKPOINT
        with atomic_write(path) if distributed.is_rank_zero() else contextlib.nullcontext(path) as temporary:
            fabric.save(temporary, {**state, "progress": vars(progress)})  # only the first process writes

    def restore(self, fabric: Fabric, state: dict[str, Any]) -> TrainingState:
        """Load the checkpoint into `state` and cut the log back to it; without a checkpoint the run starts anew."""
        progress = TrainingState()
        if fabric.broadcast((self.path / CHECKPOINT).exists()):
            rest = fabric.load(self.path / CHECKPOINT, state, weights_only=True)
            progress = TrainingState(**rest["progress"])
        if distributed.is_rank_zero():
            remove_stale([self.path])
            log = self.path / LOG
            lines = log.read_text(encoding="utf-8").splitlines(keepends=True) if log.exists() else []
            kept = [line for line in lines if json.loads(line)["step"] <= progress.step]
            log.write_text("".join(kept), encoding="utf-8")
        return progress

    def save_model(self, network: networks.Network, card: Card) -> None:
        """Write the model file."""
        if distributed.is_rank_zero():
            pytorch.save(network, card, self.model)


def with_precision(recipe: Recipe, path: Path, device: str) -> Recipe:
    """Return the recipe with its precision settled: that of the run in the folder, else by the hardware.

    Args:
        recipe: the recipe; a precision that it states is kept.
        path: folder of the run, which need not exist.
        device: "cpu" or "cuda".
    """
    if recipe.train.precision != "auto":
        return recipe
    precision = distributed.choose_precision(device)
    if (path / RECIPE).exists():
        stored = recipes.load(path / RECIPE).train.precision
        precision = precision if stored == "auto" else stored
    train = recipe.train.model_copy(update={"precision": precision})
    return recipe.model_copy(update={"train": train})


def make_card(recipe: Recipe, network: networks.Network, trained: str) -> Card:
    """Return the card of a network that a recipe trained.

    Args:
        recipe: that of the run.
        network: the trained network.
        trained: steps, hours and hardware of the training.
    """
    return Card(
        name=recipe.name,
        summary=recipe.summary,
        network=str(network),
        channels=network.channels,
        multiple_of=network.multiple_of,
        halo=network.halo,
        reach=getattr(network, "reach", None),
        wants_sigma=network.wants_sigma,
        margin=network.margin,
        mosaic=recipe.data.mosaic,
        noise=recipe.noise or "",
        task=recipe.task,
        recipe=recipes.dump(recipe),
        data_licence=recipe.data_licence,
        trained=trained,
        version=__version__,
    )
