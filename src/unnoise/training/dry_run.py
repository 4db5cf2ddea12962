"""What a recipe would do, found by computing one step and writing nothing."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from lightning_fabric import Fabric

from unnoise.training import compatibility
from unnoise.training.recipe import Recipe
from unnoise.training.run_folder import RunFolder
from unnoise.training.trainer import Trainer


def check(recipe: Recipe, device: str | None = None) -> list[str]:
    """Check all that a training needs, except GPUs and other machines, by one step on two patches of each noise.

    Nothing is written, and the step is computed on the processor.

    Args:
        recipe: the recipe.
        device: as for `trainer.train`.

    Returns:
        A description of the training, one line for each part.

    Raises:
        UnnoiseError: as `trainer.train`.
    """
    settings = recipe.train
    count = settings.devices * settings.nodes
    fabric = Fabric(accelerator="cpu", devices=1)
    trainer = Trainer(recipe, RunFolder(Path(), recipe), fabric, lambda _: None, time.monotonic)
    compatibility.check_fit(recipe, trainer.average, count, trainer.task.shrinks)
    trainer.try_step()
    weights = sum(one.numel() for one in trainer.bare.parameters())
    validation = "none" if trainer.validator is None else f"{len(trainer.validator.dataset)} images"
    end = f"{settings.steps} steps" if settings.steps else f"{settings.epochs:g} epochs"
    limit = f", or {settings.minutes:g} minutes" if settings.minutes else ""
    patience = f", or {settings.patience} validations without improvement" if settings.patience else ""
    lines = [
        f"network: {trainer.average}, {weights} weights",
        f"data: {len(trainer.dataset)} images, {trainer.epoch} patches per epoch; validation: {validation}",
        f"device: {_device(device)}; precision: {settings.precision}",
        f"processes: {count}, {settings.devices} on each of {settings.nodes} machines",
    ]
    for stage in settings.stages:
        each = f"{stage.batch // count} for each process, " if count > 1 else ""
        parts = f"in {settings.accumulate} parts, " if settings.accumulate > 1 else ""
        lines.append(
            f"until {stage.until:.0%}: {stage.batch} patches a step, {each}{parts}{stage.patch}x{stage.patch} pixels"
        )
    return [*lines, f"end: {end}{limit}{patience}"]


def _device(wanted: str | None) -> str:
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        return "cuda, which this machine does not have"
    return wanted or ("cuda" if available else "cpu")
