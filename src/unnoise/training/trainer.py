"""The training loop: one for every task, on Lightning Fabric.

Each step depends only on the recipe and on the number of the step, so a resumed run ends with the weights of an
uninterrupted one (unless `train.minutes` ends both early). Several processes may share the steps, see `distributed`.
Files are written by `run_folder`, validation is done by `validation`.
"""

from __future__ import annotations

import copy
import dataclasses
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning_fabric import Fabric
from torch.utils.data import default_collate

from unnoise import networks
from unnoise.denoisers import pytorch, training_weights
from unnoise.denoisers.base import Denoiser
from unnoise.denoisers.model_card import Card
from unnoise.errors import UnnoiseError
from unnoise.networks.base import check_compiler
from unnoise.noise import Noise
from unnoise.noise.base import Choice
from unnoise.training import (
    averaging,
    batches,
    compatibility,
    data,
    distributed,
    gradients,
    losses,
    run_folder,
    tasks,
)
from unnoise.training.optimizers import OPTIMIZERS
from unnoise.training.recipe import Recipe, Stage
from unnoise.training.reporting import Reporter
from unnoise.training.run_folder import RunFolder
from unnoise.training.schedules import SCHEDULES
from unnoise.training.state import Callback, ProgressEvent, TrainingState
from unnoise.training.validation import Validator

NOTHING_LEARNED = (
    "the model is no better than its input: validation %s is %.3g, that of the unchanged noisy pixels %.3g; train "
    "longer or on more images, or check whether the task can handle this noise"
)
PLATEAU = "stopped at step %d: validation %s has not improved in %d validations (train.patience)"
VALIDATE_EVERY = 2000
"""Steps between validations where the recipe does not say."""
REPORT_EVERY = 20
"""Steps between progress events."""
log = logging.getLogger(__name__)
logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it reports the precision at every start


def train(
    recipe: Recipe,
    folder: str | Path | None = None,
    *,
    resume: bool = False,
    device: str | None = None,
    on_progress: Callback = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
) -> Path:
    """Run a recipe to its end.

    With several processes on one machine, each of them runs the calling script from the top.

    Args:
        recipe: what to run.
        folder: of the run; `runs/NAME` by default.
        resume: continue from the folder's checkpoint.
        device: "cpu" or "cuda"; None for a GPU if there is one.
        on_progress: called every few steps, in the first process; the training ends early where it returns True.
        clock: returns the seconds that `train.minutes` counts; `time.process_time` counts the time of this process
            alone, for a machine that others use.

    Returns:
        The `.safetensors` file of the trained model.

    Raises:
        UnnoiseError: the folder holds a run and `resume` is not set, or it holds a run of another recipe; parts of the
            recipe do not fit together; its data cannot be read; the device does not exist; the loss is not finite.
    """
    device, path = pytorch.device(device), Path(folder or Path("runs") / recipe.name)
    recipe = run_folder.with_precision(recipe, path, device)
    settings, files = recipe.train, RunFolder(path, recipe)
    fabric = distributed.start(device, settings.devices, settings.nodes, settings.precision)
    with distributed.raise_on_all_ranks(fabric):
        if distributed.is_rank_zero():
            files.check(resume=resume)
        trainer = Trainer(recipe, files, fabric, on_progress, clock)
    try:
        return trainer.fit(resume=resume)
    except Exception:
        files.discard()
        raise


class _StepValues(NamedTuple):
    """Values of a step that are still on the device."""

    step: int
    sigma: torch.Tensor
    norm: torch.Tensor
    values: dict[str, torch.Tensor]


class Trainer:
    """One training: its network, average, optimizer, schedule and clock.

    Args:
        recipe: what to run.
        files: the folder of the run.
        fabric: that of the process.
        on_progress: as for `train`.
        clock: as for `train`.

    Raises:
        UnnoiseError: as `train`, before anything is written.
    """

    def __init__(
        self,
        recipe: Recipe,
        files: RunFolder,
        fabric: Fabric,
        on_progress: Callback,
        clock: Callable[[], float],
    ) -> None:
        self.recipe, self.files, self.fabric, self.on_progress, self.clock = recipe, files, fabric, on_progress, clock
        self.task, self.loss = tasks.TASKS.make(recipe.task), losses.make(recipe.loss)
        self.schedule = SCHEDULES.make(recipe.train.schedule)
        torch.manual_seed(recipe.train.seed)
        network = networks.make(recipe.network)
        compatibility.check_fit(recipe, network, fabric.world_size, self.task.shrinks)
        starts = [recipe.init_from] if isinstance(recipe.init_from, str) else recipe.init_from or []
        self.before = "".join(pytorch.initialize_from(network, training_weights(start)) for start in starts)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(network).to(fabric.device).requires_grad_(False).eval()
        self.initial = copy.deepcopy(self.average) if recipe.train.start_weight else None
        self._open_data()
        self.bare = distributed.synchronized(fabric, network)
        self.progress = TrainingState()
        self.unread: list[_StepValues] = []
        self.stopped = False

    def fit(self, *, resume: bool) -> Path:
        """Train to the end of the schedule and save the model.

        Args:
            resume: continue from the folder's checkpoint.

        Returns:
            The model file.
        """
        if self.recipe.train.compile:
            check_compiler(self.fabric.device)
            self.bare.compile(dynamic=False)
        optimizer = OPTIMIZERS.make(self.recipe.train.optimizer).build(self.bare.parameters())
        self.network, self.optimizer = self.fabric.setup(self.bare, optimizer)
        self.network.mark_forward_method("forward_train")
        self.files.create()
        if resume:
            self.progress = self.files.restore(self.fabric, self._state())
        draws = self.validator is not None and "clean" in self.average.export_outputs and not self.recipe.data.mosaic
        samples = self.validator.samples if self.validator and draws else None
        self.reporter = Reporter(self.files, self.progress.step, samples)
        try:
            self.network.train()
            self._started = self.clock() - self.progress.seconds
            for stage in self.recipe.train.stages:
                if self._share() < stage.until and not self._ends_early:
                    self._run_stage(stage)
            self._checkpoint()
            self.reporter.finish(self._denoiser)
        finally:
            self.reporter.close()
        self.fabric.barrier()
        if distributed.is_rank_zero():
            self._warn()
        return self.files.model

    def _warn(self) -> None:
        """Say what is odd about a training that has ended."""
        best, unchanged, stale = self.progress.best, self.progress.input, self.progress.stale
        if best is not None and unchanged is not None and best >= unchanged:
            log.warning(NOTHING_LEARNED, self.task.judged, best, unchanged)
        if self._ends_early and not self.stopped:
            log.warning(PLATEAU, self.progress.step, self.task.judged, stale)

    def try_step(self) -> None:
        """Compute the loss and its gradients for two patches of each alternative of the noise, and change nothing else.

        Raises:
            UnnoiseError: the loss is not finite, or parts of the recipe do not fit together.
        """
        stage = min(self.recipe.train.stages, key=lambda stage: stage.patch)
        patches = data.make_patches(self.recipe, self.task, self.dataset, stage)
        noises = patches.noise.options if isinstance(patches.noise, Choice) else [patches.noise]
        for option in noises:
            some = dataclasses.replace(patches, noise=option)
            batch = default_collate([some[index] for index in range(2)])
            values = self.task.step(self.bare, self.loss, {key: _channels_last(value) for key, value in batch.items()})
            values["loss"].backward()
            if not torch.isfinite(values["loss"]):
                raise UnnoiseError(self._why_not_finite(batch["sigma"], 1, option))
        self.bare.zero_grad()

    def _open_data(self) -> None:
        """Open the datasets and check all their images before the training starts."""
        recipe, stages = self.recipe, self.recipe.train.stages
        largest = max(stages, key=lambda stage: stage.patch)
        self.dataset, held_out = data.open_datasets(recipe.data, largest.patch)
        patches = data.make_patches(recipe, self.task, self.dataset, largest)
        if recipe.data.on_device:
            batches.check_noise(patches.noise)
        patches.check()
        if patches.are_whole:
            self.average.margin = 0  # it has learned from the borders of images
        if held_out is not None and recipe.validation.patches:
            data.make_patches(recipe, self.task, held_out, largest).check()
        self.validator = None
        if held_out is not None:
            self.validator = Validator(recipe, self.task, self.loss, held_out, self.fabric)
        self.on_device = batches.DevicePatches(self.dataset, self.fabric.device) if recipe.data.on_device else None
        self.epoch = data.make_patches(recipe, self.task, self.dataset, stages[0]).epoch
        steps, warmup = compatibility.count_steps(recipe.train, self.epoch), recipe.train.warmup
        if warmup is not None and warmup > steps:
            raise UnnoiseError(f"train.warmup is {warmup} steps and the training only {steps}: lower train.warmup")
        self.warmup = min(compatibility.WARMUP, steps // 10) if warmup is None else warmup

    def _run_stage(self, stage: Stage) -> None:
        patches = data.make_patches(self.recipe, self.task, self.dataset, stage)
        for batch in batches.iterate_batches(
            patches, self.on_device, self.fabric, self.progress.samples, stage.batch, self.recipe.train.workers
        ):
            self._step(batch)
            self.progress.samples += stage.batch
            self.progress.seconds = self.clock() - self._started
            if self.recipe.train.minutes:  # all processes end at the same step
                self.progress.seconds = self.fabric.broadcast(self.progress.seconds)
            self._report(stage)
            if self._share() >= stage.until or self._ends_early:
                break

    def _step(self, batch: dict[str, torch.Tensor]) -> None:
        settings = self.recipe.train
        batch = {key: _channels_last(value) for key, value in batch.items()}
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate * self._rate()
        # Random numbers of the network depend on the step, as the batch does, and differ between processes.
        torch.manual_seed(settings.seed + self.progress.step + 1_000_003 * self.fabric.global_rank)
        self.optimizer.zero_grad()
        values = gradients.backward(self.fabric, self.network, self.task, self.loss, batch, settings.accumulate)
        limit = settings.grad_clip or math.inf  # with no limit the norm is only measured
        norm = self.fabric.clip_gradients(self.network, self.optimizer, max_norm=limit, error_if_nonfinite=False)
        self.unread.append(_StepValues(self.progress.step + 1, batch["sigma"], torch.as_tensor(norm), values))
        if not self._reads_late:
            self._read()
        self.optimizer.step()
        self.progress.step += 1
        self._update_ema()

    @property
    def _reads_late(self) -> bool:
        """Whether values are read every few steps only, because reading after each step would make a GPU wait."""
        return self.fabric.device.type != "cpu"

    def _read(self) -> None:
        """Add up the values of the unread steps and check that they are finite."""
        for step, sigma, norm, values in self.unread:
            scaled = self.recipe.train.precision == "fp16"  # its scaler skips steps whose gradients overflow
            if not torch.isfinite(values["loss"] if scaled else values["loss"] + norm):
                raise UnnoiseError(self._why_not_finite(sigma, step))
            for key, value in distributed.mean(self.fabric, values).items():
                self.progress.sums[key] = self.progress.sums.get(key, 0.0) + value
            self.progress.summed += 1
        self.unread.clear()

    def _why_not_finite(self, sigma: torch.Tensor, step: int, noise: Noise | str | None = None) -> str:
        noise = noise or self.recipe.noise
        if self.average.wants_sigma and sigma.isnan().any():
            what = f"'{noise}'" if noise else "the noise of the pairs"
            return f"{self.average.name} needs sigma, and {what} has no single sigma: use a network without sigma input"
        return f"the loss is not finite at step {step}: lower train.learning_rate"

    def _update_ema(self) -> None:
        """Update the average of the weights, faster in the first steps."""
        step = self.progress.step
        averaging.update(self.average, self.network, min(self.recipe.train.ema, (1 + step) / (10 + step)))

    def _export_weights(self) -> networks.Network:
        """Return the weights of the model: the average, or a mean of that and the initial weights."""
        if self.initial is None:
            return self.average
        return averaging.interpolate(self.average, self.initial, self.recipe.train.start_weight)

    def _share(self) -> float:
        """Return the share of the schedule that is done, by steps, epochs or minutes, 0 to 1."""
        settings, progress = self.recipe.train, self.progress
        by_steps = progress.step / settings.steps if settings.steps else 0.0
        by_epochs = progress.samples / (self.epoch * settings.epochs) if settings.epochs else 0.0
        by_time = progress.seconds / (60 * settings.minutes) if settings.minutes else 0.0
        return min(1.0, max(by_steps, by_epochs, by_time))

    def _rate(self) -> float:
        """Return the learning rate as a share of its peak: a linear warm-up, then the schedule."""
        warm = min(1.0, (self.progress.step + 1) / max(1, self.warmup))
        return warm * self.schedule(self._share(), self.progress.samples // self.epoch)

    def _report(self, stage: Stage) -> None:
        """Report progress, validate and write a checkpoint where it is time."""
        progress, step, share = self.progress, self.progress.step, self._share()
        last = share >= 1
        due = last or self._is_due(stage)
        checkpoint = step % self.recipe.train.checkpoint_every == 0
        event = due or step % REPORT_EVERY == 0
        if event or checkpoint:
            self._read()
        if event:
            values = {key: total / progress.summed for key, total in progress.sums.items()}
            values["learning_rate"] = self.optimizer.param_groups[0]["lr"]
            if due:
                values |= self._validate(stage)
            seconds_left = progress.seconds * (1 - share) / max(share, 1e-9)
            stop = False
            if distributed.is_rank_zero():
                stop = self.on_progress(ProgressEvent(step, share, seconds_left, values, validated=due)) is True
            self.stopped = self.fabric.broadcast(stop)
            if due:
                line = {"step": step, "epoch": round(progress.samples / self.epoch, 3)}
                self.reporter.write({**line, "seconds": round(progress.seconds, 1), **values}, self._denoiser)
                progress.sums, progress.summed = {}, 0
        if checkpoint and not last:
            self._checkpoint()

    @property
    def _ends_early(self) -> bool:
        """Whether the caller has stopped the training, or it has not improved for as long as the recipe allows."""
        patience = self.recipe.train.patience
        return self.stopped or (patience is not None and self.progress.stale >= patience)

    def _is_due(self, stage: Stage) -> bool:
        """Return whether validation follows this step."""
        every, samples = self.recipe.validation.every, self.progress.samples
        if every is None and self.recipe.train.epochs:
            return samples // self.epoch > (samples - stage.batch) // self.epoch
        return self.progress.step % (every or VALIDATE_EVERY) == 0

    def _validate(self, stage: Stage) -> dict[str, float]:
        """Return the values of validation, if there is any, and keep the best model."""
        if self.validator is None:
            return {}
        distributed.broadcast_buffers(self.fabric, self.average)
        values = self.validator.patch_values(self.average, stage)
        card = self._card()
        values |= self.validator.psnr(self._export_weights(), card)
        judged, progress = values.get(f"validation_{self.task.judged}"), self.progress
        progress.stale += 1
        if judged is not None and (progress.best is None or judged < progress.best):
            progress.best, progress.input, progress.stale = judged, values.get("validation_input"), 0
            if self.recipe.validation.keep == "best":
                self.files.save_model(self._export_weights(), card)
        return values

    def _denoiser(self) -> Denoiser:
        assert self.validator is not None
        return self.validator.denoiser(self._export_weights(), self._card())

    def _state(self) -> dict[str, Any]:
        state = {"network": self.network, "average": self.average, "optimizer": self.optimizer}
        scaler = getattr(self.fabric.strategy.precision, "scaler", None)  # of fp16
        return state if scaler is None else {**state, "scaler": scaler}

    def _checkpoint(self) -> None:
        """Write the checkpoint, and the model as of now."""
        self.files.save_checkpoint(self.fabric, self._state(), self.progress)
        if self.recipe.validation.keep == "last":
            self.files.save_model(self._export_weights(), self._card())

    def _card(self) -> Card:
        hours, hardware = self.progress.seconds / 3600, distributed.hardware_name(self.fabric)
        trained = f"{self.before}{self.progress.step} steps in {hours:.2f} hours on {hardware}"
        return run_folder.make_card(self.recipe, self.average, trained)


def _channels_last(value: torch.Tensor) -> torch.Tensor:
    return value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value
