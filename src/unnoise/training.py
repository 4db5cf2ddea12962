"""The training loop: one for every task, on Lightning Fabric.

A run has a folder: `recipe.yaml` (what was run), `checkpoint.pt` (to go on from), `log.jsonl` (a line per look) and
`NAME.safetensors` (the averaged weights, with their card). What a step sees depends on the recipe and the step's number
alone, so a run that is resumed ends with the weights of an unbroken one.
"""

from __future__ import annotations

import copy
import json
import math
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch.utils.data import DataLoader, Sampler

from unnoise import __version__, datasets, losses, networks, noise, recipe as recipes, tasks
from unnoise.card import Card
from unnoise.datasets.base import Dataset
from unnoise.datasets.patches import Patches
from unnoise.denoisers import checkpoint
from unnoise.errors import UnnoiseError
from unnoise.evaluation import evaluate
from unnoise.recipe import Recipe, Stage

CHECKPOINT = "checkpoint.pt"


@dataclass
class Progress:
    """How far a run is; all of it travels in the checkpoint.

    Attributes:
        step: optimizer steps done.
        samples: patches seen.
        seconds: time spent training, over all resumptions.
    """

    step: int = 0
    samples: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Look:
    """What a watcher of the training is shown now and then.

    Attributes:
        step: optimizer steps done.
        share: of the whole schedule, 0 to 1.
        seconds_left: estimated from the pace so far.
        values: averages since the last look (loss, its parts, psnr), the learning rate, and, on a validation, a PSNR in
            dB by noise.
        validated: whether this is one of the looks that go into the log.
    """

    step: int
    share: float
    seconds_left: float
    values: dict[str, float] = field(default_factory=dict)
    validated: bool = False


def train(
    recipe: Recipe,
    folder: str | Path | None = None,
    *,
    resume: bool = False,
    watch: Callable[[Look], None] = lambda _: None,
) -> Path:
    """Run a recipe to its end.

    Args:
        recipe: what to run.
        folder: of the run; `runs/NAME` by default.
        resume: go on from the folder's checkpoint.
        watch: called every few steps.

    Returns:
        The `.safetensors` file of the trained model.

    Raises:
        UnnoiseError: the folder holds a run already and `resume` is not set, or it holds another recipe's run.
    """
    folder = Path(folder or Path("runs") / recipe.name)
    _claim(folder, recipe, resume=resume)
    # Named, since for "auto" Fabric would autocast on a GPU that is not there.
    accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    fabric = Fabric(accelerator=accelerator, devices=1, precision=_precision(recipe.train.precision))
    return _Run(fabric, recipe, folder, watch).fit(resume=resume)


class _Run:
    """One training: its network, optimizer, average and clock."""

    def __init__(self, fabric: Fabric, recipe: Recipe, folder: Path, watch: Callable[[Look], None]) -> None:
        self.fabric, self.recipe, self.folder, self.watch = fabric, recipe, folder, watch
        self.task, self.loss = tasks.TASKS.make(recipe.task), losses.make(recipe.loss)
        torch.manual_seed(recipe.train.seed)
        network = networks.make(recipe.network).to(memory_format=torch.channels_last)
        if network.channels != recipe.data.channels:
            raise UnnoiseError(f"the network has {network.channels} channels and the data {recipe.data.channels}")
        optimizer = torch.optim.AdamW(network.parameters(), lr=0.0, weight_decay=recipe.train.weight_decay)
        self.average = copy.deepcopy(network).to(fabric.device).requires_grad_(False).eval()
        self.network, self.optimizer = fabric.setup(network, optimizer)
        self.network.mark_forward_method("forward_train")
        self.progress = Progress()
        self.sums: dict[str, float] = {}
        self.summed = 0

    def fit(self, *, resume: bool) -> Path:
        """Train to the end of the schedule and save the model."""
        training, validation = self._datasets()
        if resume and (self.folder / CHECKPOINT).exists():
            self._restore()
        self.network.train()
        self._clock = time.monotonic() - self.progress.seconds
        for stage in self.recipe.train.stages:
            if self._share() < stage.until:
                self._run_stage(stage, training, validation)
        self._checkpoint()
        return self._save_model()

    def _datasets(self) -> tuple[Dataset, Dataset | None]:
        data = self.recipe.data
        training = datasets.make(data.train, channels=data.channels, exclude=data.exclude)
        if not data.validation:
            return training, None
        return training, datasets.make(data.validation, channels=data.channels, exclude=data.exclude)

    def _run_stage(self, stage: Stage, training: Dataset, validation: Dataset | None) -> None:
        settings = self.recipe.train
        patches = Patches(training, noise.make(self.recipe.noise), stage.patch, settings.seed)
        loader = DataLoader(
            patches,  # type: ignore[arg-type]
            batch_size=stage.batch,
            sampler=_From(self.progress.samples),
            num_workers=settings.workers,
            persistent_workers=settings.workers > 0,
            pin_memory=self.fabric.device.type == "cuda",
        )
        for batch in self.fabric.setup_dataloaders(loader, use_distributed_sampler=False):
            self._step(batch)
            self.progress.samples += stage.batch
            self.progress.seconds = time.monotonic() - self._clock
            self._look(validation)
            if self._share() >= stage.until:
                break

    def _step(self, batch: dict[str, torch.Tensor]) -> None:
        settings = self.recipe.train
        batch = {key: _channels_last(value) for key, value in batch.items()}
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate * self._rate()
        with self.fabric.autocast():
            values = self.task.step(self.network, self.loss, batch)  # type: ignore[arg-type]
        self.optimizer.zero_grad()
        self.fabric.backward(values["loss"])
        if settings.clip is not None:
            self.fabric.clip_gradients(self.network, self.optimizer, max_norm=settings.clip)
        self.optimizer.step()
        self.progress.step += 1
        self._follow()
        for key, value in values.items():
            self.sums[key] = self.sums.get(key, 0.0) + value.item()
        self.summed += 1
        if not math.isfinite(self.sums["loss"]):
            raise UnnoiseError(
                f"the loss is no longer a number at step {self.progress.step}: lower train.learning_rate"
            )

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average towards the weights; slowly at the end, at once in the beginning."""
        step = self.progress.step
        decay = min(self.recipe.train.ema, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.network.parameters()), 1 - decay)
        for mean, now in zip(self.average.buffers(), self.network.buffers(), strict=True):
            mean.copy_(now)

    def _share(self) -> float:
        """Return how much of the schedule is done, by steps or by minutes, 0 to 1."""
        settings = self.recipe.train
        by_time = self.progress.seconds / (60 * settings.minutes) if settings.minutes else 0.0
        return min(1.0, max(self.progress.step / settings.steps, by_time))

    def _rate(self) -> float:
        """Return the learning rate as a share of its peak: a linear warm-up, then half a cosine."""
        warm = min(1.0, (self.progress.step + 1) / max(1, self.recipe.train.warmup))
        return warm * 0.5 * (1 + math.cos(math.pi * self._share()))

    def _look(self, validation: Dataset | None) -> None:
        """Report, validate and write a checkpoint where it is time."""
        step, share, settings = self.progress.step, self._share(), self.recipe.train
        last = share >= 1
        due = last or step % self.recipe.validation.every == 0
        if due or step % 20 == 0:
            values = {key: total / self.summed for key, total in self.sums.items()}
            values["learning_rate"] = self.optimizer.param_groups[0]["lr"]
            if due and validation is not None:
                values.update(self._validate(validation))
            seconds_left = self.progress.seconds * (1 - share) / max(share, 1e-9)
            self.watch(Look(step, share, seconds_left, values, validated=due))
            if due:
                self._log({"step": step, "seconds": round(self.progress.seconds, 1), **values})
                self.sums, self.summed = {}, 0
        if step % settings.checkpoint_every == 0 and not last:
            self._checkpoint()

    def _validate(self, validation: Dataset) -> dict[str, float]:
        model = {
            self.recipe.name: checkpoint.Checkpoint(self.average, bf16=self.fabric._precision.precision != "32-true")
        }
        settings = self.recipe.validation
        noises = [noise.make(spec) for spec in settings.noise]
        rows = evaluate(model, validation, noises, seed=self.recipe.train.seed, crop=settings.crop, with_ssim=False)
        return {row.noise: row.psnr for row in rows}

    def _log(self, values: dict[str, float]) -> None:
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(values) + "\n")

    def _state(self) -> dict[str, Any]:
        return {"network": self.network, "average": self.average, "optimizer": self.optimizer}

    def _checkpoint(self) -> None:
        """Write the checkpoint beside the old one, then put it in its place."""
        path = self.folder / CHECKPOINT
        temporary = path.with_suffix(f".{os.getpid()}")
        self.fabric.save(temporary, {**self._state(), "progress": vars(self.progress)})
        os.replace(temporary, path)

    def _restore(self) -> None:
        rest = self.fabric.load(self.folder / CHECKPOINT, self._state(), weights_only=True)
        self.progress = Progress(**rest["progress"])

    def _save_model(self) -> Path:
        path = self.folder / f"{self.recipe.name}.safetensors"
        checkpoint.save(self.average, self._card(), path)
        return path

    def _card(self) -> Card:
        hours = self.progress.seconds / 3600
        return Card(
            name=self.recipe.name,
            summary=self.recipe.summary,
            network=str(self.average),
            channels=self.average.channels,
            multiple_of=self.average.multiple_of,
            halo=self.average.halo,
            wants_sigma=self.average.wants_sigma,
            noise=self.recipe.noise,
            task=self.recipe.task,
            recipe=recipes.dump(self.recipe),
            terms=self.recipe.terms,
            trained=f"{self.progress.step} steps in {hours:.2f} hours on {_machine(self.fabric)}",
            version=__version__,
        )


class _From(Sampler[int]):
    """The numbers from `start` on, without end."""

    def __init__(self, start: int) -> None:
        self.start = start

    def __iter__(self) -> Iterator[int]:
        index = self.start
        while True:
            yield index
            index += 1


def _claim(folder: Path, recipe: Recipe, *, resume: bool) -> None:
    """Make the folder of a run, or check that it is this recipe's."""
    text, path = recipes.dump(recipe), folder / "recipe.yaml"
    if path.exists():
        if not resume:
            raise UnnoiseError(
                f"'{folder}' holds a run already: go on with --resume, or name another folder with --out"
            )
        if path.read_text(encoding="utf-8") != text:
            raise UnnoiseError(f"'{folder}' holds a run of another recipe: see {path}")
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _precision(wanted: str) -> Any:
    """Choose Fabric's name for the precision."""
    if wanted == "auto":
        cuda = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
        wanted = "bf16" if cuda or torch.ops.mkldnn._is_mkldnn_bf16_supported() else "fp32"
    return {"bf16": "bf16-mixed", "fp32": "32-true"}[wanted]


def _channels_last(value: torch.Tensor) -> torch.Tensor:
    return value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value


def _machine(fabric: Fabric) -> str:
    if fabric.device.type == "cuda":
        return torch.cuda.get_device_name(fabric.device)
    return f"{torch.get_num_threads()} cores ({platform.machine()})"
