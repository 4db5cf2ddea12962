"""The training loop: one for every task, on Lightning Fabric.

A run has a folder: `recipe.yaml` (what was run), `checkpoint.pt` (to go on from), `NAME.safetensors` (the averaged
weights as of the checkpoint, with their card), `log.jsonl` (a line per look) and `losses.png` (the log, drawn). What a
step sees depends on the recipe and the step's number alone, so a run that is resumed ends with the weights of an
unbroken one (unless `train.minutes` cuts both short). Several processes may share the steps, see `processes`: then the
first of them writes the folder, which all read.
"""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning_fabric import Fabric
from torch.optim.swa_utils import get_ema_multi_avg_fn
from torch.utils.data import default_collate

from unnoise import datasets, networks, noise
from unnoise._version import __version__
from unnoise.datasets.base import Dataset
from unnoise.denoisers import pytorch, training_weights
from unnoise.denoisers.model_card import Card
from unnoise.errors import UnnoiseError
from unnoise.evaluation import report
from unnoise.evaluation.benchmark import evaluate
from unnoise.io.atomic import atomic_write, remove_stale
from unnoise.networks.base import check_compiler
from unnoise.training import batches, distributed, losses, recipe as recipes, tasks
from unnoise.training.optimizers import OPTIMIZERS
from unnoise.training.patches import Patches
from unnoise.training.recipe import Recipe, Stage
from unnoise.training.schedules import SCHEDULES
from unnoise.training.state import ProgressEvent, TrainingState

CHECKPOINT, LOG, LOSSES = "checkpoint.pt", "log.jsonl", "losses.png"
NOTHING_LEARNED = (
    "the model does not beat its input: judged by %s on what was held back, it reaches %.3g, and noisy pixels as they "
    "are %.3g; train longer, on more pictures, or see which noise the task cannot handle"
)
VALIDATE_EVERY = 2000  # steps, where the recipe does not say
log = logging.getLogger(__name__)
logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it tells the precision whenever it starts


def train(
    recipe: Recipe,
    folder: str | Path | None = None,
    *,
    resume: bool = False,
    device: str | None = None,
    on_progress: Callable[[ProgressEvent], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
) -> Path:
    """Run a recipe to its end.

    Args:
        recipe: what to run.
        folder: of the run; `runs/NAME` by default.
        resume: go on from the folder's checkpoint.
        device: "cpu" or "cuda"; None for a GPU where there is one.
        on_progress: called every few steps.
        clock: tells the seconds that `train.minutes` counts; `time.process_time` for those of this process alone, on a
            machine that others use.

    Returns:
        The `.safetensors` file of the trained model.

    With several processes on one machine, the script that calls this is run by each of them, from the top.

    Raises:
        UnnoiseError: the folder holds a run already and `resume` is not set, or it holds another recipe's run; parts of
            the recipe do not fit together, or its data cannot be read; there is no such device; the loss is no longer
            a number.
    """
    folder, settings = Path(folder or Path("runs") / recipe.name), recipe.train
    fabric = distributed.start(pytorch.device(device), settings.devices, settings.nodes, settings.precision)
    with distributed.raise_on_all_ranks(fabric):
        if distributed.is_rank_zero():
            _check_folder(folder, recipe, resume=resume)
        run = _Run(recipe, folder, fabric, on_progress, clock)
    return run.fit(resume=resume)


def check(recipe: Recipe) -> list[str]:
    """Check all that a training needs, GPUs and other machines left out; nothing is written, nothing begun.

    Returns:
        What would be run, a line each.

    Raises:
        UnnoiseError: as `train`.
    """
    settings = recipe.train
    count = settings.devices * settings.nodes
    run = _Run(recipe, Path(), Fabric(accelerator="cpu", devices=1), lambda _: None, time.monotonic)
    recipes.check_fit(recipe, run.average, count, run.task.shrinks)
    weights = sum(one.numel() for one in run.bare.parameters())
    validation = "none" if run.validation is None else f"{len(run.validation)} pictures"
    end = f"{settings.steps} steps" if settings.steps else f"{settings.epochs:g} epochs"
    limit = f", or {settings.minutes:g} minutes" if settings.minutes else ""
    lines = [
        f"network: {run.average}, {weights} weights",
        f"data: {len(run.training)} pictures, {run.epoch} patches an epoch; validation: {validation}",
        f"processes: {count}, {settings.devices} on each of {settings.nodes} machines",
    ]
    for stage in settings.stages:
        each = f"{stage.batch // count} for each process, " if count > 1 else ""
        lines.append(f"until {stage.until:.0%}: {stage.batch} patches a step, {each}{stage.patch}x{stage.patch} pixels")
    return [*lines, f"end: {end}{limit}"]


class _Values(NamedTuple):
    """What a step has to tell, on the device still."""

    step: int
    sigma: torch.Tensor
    norm: torch.Tensor
    values: dict[str, torch.Tensor]


class _Run:
    """One training: its network, optimizer, average and clock."""

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        fabric: Fabric,
        on_progress: Callable[[ProgressEvent], None],
        clock: Callable[[], float],
    ) -> None:
        self.recipe, self.folder, self.fabric, self.on_progress, self.clock = recipe, folder, fabric, on_progress, clock
        self.task, self.loss = tasks.TASKS.make(recipe.task), losses.make(recipe.loss)
        self.schedule = SCHEDULES.make(recipe.train.schedule)
        torch.manual_seed(recipe.train.seed)
        network = networks.make(recipe.network)
        recipes.check_fit(recipe, network, fabric.world_size, self.task.shrinks)
        self.before = pytorch.initialize_from(network, training_weights(recipe.start)) if recipe.start else ""
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(network).to(fabric.device).requires_grad_(False).eval()
        self.begun = copy.deepcopy(self.average) if recipe.train.stay else None
        self.training, self.validation = self._datasets()
        self.held = batches.DevicePatches(self.training, fabric.device) if recipe.data.on_device else None
        self.epoch = self._patches(self.training, recipe.train.stages[0]).epoch
        self.bare = distributed.synchronized(fabric, network)
        self.progress = TrainingState()
        self.unread: list[_Values] = []

    def fit(self, *, resume: bool) -> Path:
        """Train to the end of the schedule and save the model."""
        if self.recipe.train.compile:
            check_compiler(self.fabric.device)
            self.bare.compile(dynamic=False)
        optimizer = OPTIMIZERS.make(self.recipe.train.optimizer).build(self.bare.parameters())
        self.network, self.optimizer = self.fabric.setup(self.bare, optimizer)
        self.network.mark_forward_method("forward_train")
        if distributed.is_rank_zero():
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "recipe.yaml").write_text(recipes.dump(self.recipe), encoding="utf-8")
        if resume:
            self._restore()
        self.network.train()
        self._started = self.clock() - self.progress.seconds
        for stage in self.recipe.train.stages:
            if self._share() < stage.until:
                self._run_stage(stage)
        self._checkpoint()
        if distributed.is_rank_zero():
            report.draw_losses(self.folder / LOG, self.folder / LOSSES)
        self.fabric.barrier()
        best, left = self.progress.best, self.progress.input
        if best is not None and left is not None and best >= left and distributed.is_rank_zero():
            log.warning(NOTHING_LEARNED, self.task.judged, best, left)
        return self._model()

    def _datasets(self) -> tuple[Dataset, Dataset | None]:
        data = self.recipe.data
        how = {"channels": data.channels, "exclude": data.exclude, "size": data.size, "white": data.white}
        training = datasets.make(data.train, **how)
        validation = datasets.make(data.validation, **how) if data.validation else None
        largest = max(self.recipe.train.stages, key=lambda stage: stage.patch)
        if data.hold_back:
            training, validation = datasets.split(training, data.hold_back, largest.patch)
        patches = self._patches(training, largest)
        if data.on_device:
            batches.check_noise(patches.noise)
        patches.check()
        if patches.are_whole:
            self.average.margin = 0  # it learns what the world is like at a border
        if validation is not None and self.recipe.validation.items:
            self._patches(validation, largest).check()
        return training, validation

    def _patches(self, dataset: Dataset, stage: Stage) -> Patches:
        data, seed = self.recipe.data, self.recipe.train.seed
        spoil = noise.make(self.recipe.noise) if self.recipe.noise else None
        return Patches(
            dataset, spoil, stage.patch, seed, data.per_picture, data.turn, self.task.target, data.gray, data.stretch
        )

    def _run_stage(self, stage: Stage) -> None:
        patches, workers = self._patches(self.training, stage), self.recipe.train.workers
        for batch in batches.iterate_batches(
            patches, self.held, self.fabric, self.progress.samples, stage.batch, workers
        ):
            self._step(batch)
            self.progress.samples += stage.batch
            self.progress.seconds = self.clock() - self._started
            if self.recipe.train.minutes:  # by which all of them end
                self.progress.seconds = self.fabric.broadcast(self.progress.seconds)
            self._report(stage)
            if self._share() >= stage.until:
                break

    def _step(self, batch: dict[str, torch.Tensor]) -> None:
        settings = self.recipe.train
        batch = {key: _channels_last(value) for key, value in batch.items()}
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate * self._rate()
        # What a network draws depends on the step, as its batch does, and no two processes draw the same.
        torch.manual_seed(settings.seed + self.progress.step + 1_000_003 * self.fabric.global_rank)
        with self.fabric.autocast():
            values = self.task.step(self.network, self.loss, batch)  # type: ignore[arg-type]
        self.optimizer.zero_grad()
        self.fabric.backward(values["loss"])
        limit = settings.clip or math.inf  # then the norm is only measured
        norm = self.fabric.clip_gradients(self.network, self.optimizer, max_norm=limit, error_if_nonfinite=False)
        values = {key: value.detach() for key, value in values.items()}
        self.unread.append(_Values(self.progress.step + 1, batch["sigma"], torch.as_tensor(norm), values))
        if not self._reads_late:
            self._read()
        self.optimizer.step()
        self.progress.step += 1
        self._update_ema()

    @property
    def _reads_late(self) -> bool:
        """Whether values are asked for now and then, since a GPU would have to be waited for after every step."""
        return self.fabric.device.type != "cpu"

    def _read(self) -> None:
        """Sum the values of the steps since it was last done, and see that all of them are numbers."""
        for step, sigma, norm, values in self.unread:
            if not torch.isfinite(values["loss"] + norm):
                raise UnnoiseError(self._why_not_finite(sigma, step))
            for key, value in distributed.mean(self.fabric, values).items():
                self.progress.sums[key] = self.progress.sums.get(key, 0.0) + value
            self.progress.summed += 1
        self.unread.clear()

    def _why_not_finite(self, sigma: torch.Tensor, step: int) -> str:
        if self.average.wants_sigma and sigma.isnan().any():
            what = f"'{self.recipe.noise}'" if self.recipe.noise else "that of the pairs"
            return f"{self.average.name} is told the noise level, and {what} has no single one"
        return f"the loss is no longer a number at step {step}: lower train.learning_rate"

    @torch.no_grad()
    def _update_ema(self) -> None:
        """Move the average towards the weights and statistics; slowly at the end, at once in the beginning."""
        step = self.progress.step
        decay = min(self.recipe.train.ema, (1 + step) / (10 + step))
        pairs = list(zip(_tensors(self.average), _tensors(self.network), strict=True))
        learned = [pair for pair in pairs if pair[0].is_floating_point()]
        get_ema_multi_avg_fn(decay)([mean for mean, _ in learned], [now for _, now in learned], None)
        for mean, now in pairs:
            if not mean.is_floating_point():
                mean.copy_(now)

    def _export_weights(self) -> networks.Network:
        """Return the network whose weights are kept: the average, or what lies between the start and that."""
        if self.begun is None:
            return self.average
        kept, stay = copy.deepcopy(self.average), self.recipe.train.stay
        for now, begun in zip(_tensors(kept), _tensors(self.begun), strict=True):
            if now.is_floating_point():
                now.lerp_(begun, stay)
        return kept

    def _share(self) -> float:
        """Return how much of the schedule is done, by steps, epochs or minutes, 0 to 1."""
        settings, progress = self.recipe.train, self.progress
        by_steps = progress.step / settings.steps if settings.steps else 0.0
        by_epochs = progress.samples / (self.epoch * settings.epochs) if settings.epochs else 0.0
        by_time = progress.seconds / (60 * settings.minutes) if settings.minutes else 0.0
        return min(1.0, max(by_steps, by_epochs, by_time))

    def _rate(self) -> float:
        """Return the learning rate as a share of its peak: a linear warm-up, then the schedule."""
        warm = min(1.0, (self.progress.step + 1) / max(1, self.recipe.train.warmup))
        return warm * self.schedule(self._share(), self.progress.samples // self.epoch)

    def _report(self, stage: Stage) -> None:
        """Report, validate and write a checkpoint where it is time."""
        progress, step, share = self.progress, self.progress.step, self._share()
        last = share >= 1
        due = last or self._is_due(stage)
        kept = step % self.recipe.train.checkpoint_every == 0
        if due or kept or step % 20 == 0:
            self._read()
        if due or step % 20 == 0:
            values = {key: total / progress.summed for key, total in progress.sums.items()}
            values["learning_rate"] = self.optimizer.param_groups[0]["lr"]
            if due and self.validation is not None:
                distributed.broadcast_buffers(self.fabric, self.average)
                values |= self._validation_loss(self.validation, stage) | self._validate(self.validation)
                self._update_best(values)
            seconds_left = progress.seconds * (1 - share) / max(share, 1e-9)
            if distributed.is_rank_zero():
                self.on_progress(ProgressEvent(step, share, seconds_left, values, validated=due))
            if due:
                epoch = round(progress.samples / self.epoch, 3)
                self._log({"step": step, "epoch": epoch, "seconds": round(progress.seconds, 1), **values})
                progress.sums, progress.summed = {}, 0
        if kept and not last:
            self._checkpoint()

    def _is_due(self, stage: Stage) -> bool:
        """Say whether this step is one of those after which progress is judged."""
        every, samples = self.recipe.validation.every, self.progress.samples
        if every is None and self.recipe.train.epochs:
            return samples // self.epoch > (samples - stage.batch) // self.epoch
        return self.progress.step % (every or VALIDATE_EVERY) == 0

    @torch.no_grad()
    def _validation_loss(self, validation: Dataset, stage: Stage) -> dict[str, float]:
        """Take the task's values, of the averaged weights, over patches that are the same every time.

        Each process takes whole batches, in turn.
        """
        patches, items = self._patches(validation, stage), self.recipe.validation.items
        torch.manual_seed(self.recipe.train.seed)  # what a task draws is the same every time, too
        sums: dict[str, float] = {}
        for start in range(0, items, stage.batch)[self._rank_slice()]:
            batch = default_collate([patches[index] for index in range(start, min(start + stage.batch, items))])
            with self.fabric.autocast():
                values = self.task.step(self.average, self.loss, self.fabric.to_device(batch))
            for key, value in values.items():
                sums[key] = sums.get(key, 0.0) + value.item() * len(batch["noisy"])
        totals = distributed.total(self.fabric, sums)
        return {f"validation_{key}": total / items for key, total in totals.items()}

    def _rank_slice(self) -> slice:
        """Return what this process takes of a sequence that all share."""
        return slice(self.fabric.global_rank, None, self.fabric.world_size)

    def _update_best(self, values: dict[str, float]) -> None:
        """Keep the weights as the model where they are the best that validation has seen."""
        judged, progress = values.get(f"validation_{self.task.judged}"), self.progress
        if judged is not None and (progress.best is None or judged < progress.best):
            progress.best, progress.input = judged, values.get("validation_input")
            if distributed.is_rank_zero() and self.recipe.validation.keep == "best":
                pytorch.save(self._export_weights(), self._card(), self._model())

    def _validate(self, validation: Dataset) -> dict[str, float]:
        bf16 = self.fabric.strategy.precision.precision == "bf16-mixed"
        model = {self.recipe.name: pytorch.TorchDenoiser(self._export_weights(), self._card(), bf16=bf16)}
        settings = self.recipe.validation
        noises: list[noise.Noise | None] = [noise.make(spec) for spec in settings.noise]
        if not noises and isinstance(validation[0], tuple) and self.task.target == "clean":
            noises = [None]
        how = {"seed": self.recipe.train.seed, "crop": settings.crop, "with_ssim": False, "only": self._rank_slice()}
        rows = list(evaluate(model, validation, noises, **how))
        sums = distributed.total(self.fabric, {row.noise or "pairs": row.psnr * row.images for row in rows})
        return {name: total / len(validation) for name, total in sums.items()}

    def _log(self, values: dict[str, float]) -> None:
        if distributed.is_rank_zero():
            with (self.folder / LOG).open("a", encoding="utf-8") as log:
                log.write(json.dumps(values) + "\n")

    def _state(self) -> dict[str, Any]:
        return {"network": self.network, "average": self.average, "optimizer": self.optimizer}

    def _checkpoint(self) -> None:
        """Write the checkpoint, and the model as it is by now."""
        path = self.folder / CHECKPOINT
        with atomic_write(path) if distributed.is_rank_zero() else contextlib.nullcontext(path) as temporary:
            self.fabric.save(temporary, {**self._state(), "progress": vars(self.progress)})  # written by rank zero
        if distributed.is_rank_zero() and self.recipe.validation.keep == "last":
            pytorch.save(self._export_weights(), self._card(), self._model())

    def _restore(self) -> None:
        """Go back to the checkpoint, or to the start where there is none yet; the log goes back with it."""
        if self.fabric.broadcast((self.folder / CHECKPOINT).exists()):
            rest = self.fabric.load(self.folder / CHECKPOINT, self._state(), weights_only=True)
            self.progress = TrainingState(**rest["progress"])
        if distributed.is_rank_zero():
            remove_stale([self.folder])
            log = self.folder / LOG
            lines = log.read_text(encoding="utf-8").splitlines(keepends=True) if log.exists() else []
            kept = [line for line in lines if json.loads(line)["step"] <= self.progress.step]
            log.write_text("".join(kept), encoding="utf-8")

    def _model(self) -> Path:
        return self.folder / f"{self.recipe.name}.safetensors"

    def _card(self) -> Card:
        hours, machine = self.progress.seconds / 3600, distributed.hardware_name(self.fabric)
        return Card(
            name=self.recipe.name,
            summary=self.recipe.summary,
            network=str(self.average),
            channels=self.average.channels,
            multiple_of=self.average.multiple_of,
            halo=self.average.halo,
            wants_sigma=self.average.wants_sigma,
            margin=self.average.margin,
            noise=self.recipe.noise or "",
            task=self.recipe.task,
            recipe=recipes.dump(self.recipe),
            terms=self.recipe.terms,
            trained=f"{self.before}{self.progress.step} steps in {hours:.2f} hours on {machine}",
            version=__version__,
        )


def _check_folder(folder: Path, recipe: Recipe, *, resume: bool) -> None:
    """Refuse a folder that holds a run, unless it is this recipe's and goes on."""
    path = folder / "recipe.yaml"
    if path.exists() and not resume:
        raise UnnoiseError(f"'{folder}' already contains a run: resume it, or choose another folder")
    if path.exists() and recipes.alone(recipes.load(path)) != recipes.alone(recipe):
        raise UnnoiseError(f"'{folder}' holds a run of another recipe: see {path}")


def _tensors(module: torch.nn.Module) -> list[torch.Tensor]:
    return [*module.parameters(), *module.buffers()]


def _channels_last(value: torch.Tensor) -> torch.Tensor:
    return value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value
