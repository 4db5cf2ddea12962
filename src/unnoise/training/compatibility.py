"""Whether parts of a recipe fit together, and whether a recipe goes on with a run."""

from __future__ import annotations

import math

from unnoise import networks
from unnoise.errors import UnnoiseError
from unnoise.training.recipe import Recipe, Train

WARMUP = 200
"""Steps of the warm-up where a recipe does not say, of a training that is long enough."""


def alone(recipe: Recipe) -> Recipe:
    """Return the recipe for one process, which learns the same."""
    train = recipe.train.model_copy(update={"devices": 1, "nodes": 1})
    return recipe.model_copy(update={"train": train})


def can_resume(recipe: Recipe, run: Recipe) -> bool:
    """Return whether a recipe continues a run: the same, except for texts and processes, or a longer training.

    Args:
        recipe: the recipe to continue with.
        run: that of the run.
    """
    lengths = [(of.train.steps or 0, of.train.epochs or 0, of.train.minutes or math.inf) for of in (recipe, run)]
    free = {"devices", "nodes", "steps", "epochs", "minutes", "log"}
    if run.train.precision == "auto":  # a run of a version that did not record it
        free.add("precision")
    trains = [of.train.model_dump(exclude=free) | {"warmup": _warmup(of)} for of in (recipe, run)]
    rests = [of.model_dump(exclude={"train", "summary", "data_licence"}) for of in (recipe, run)]
    longer = all(new >= old for new, old in zip(*lengths, strict=True))
    return longer and trains[0] == trains[1] and rests[0] == rests[1]


def _warmup(recipe: Recipe) -> int:
    return WARMUP if recipe.train.warmup is None else recipe.train.warmup


def check_fit(recipe: Recipe, network: networks.Network, processes: int = 1, shrinks: int = 1) -> None:
    """Check that network, channels, patches and batches fit together.

    Args:
        recipe: the recipe.
        network: its network.
        processes: number of training processes.
        shrinks: how many times smaller than a patch the input of the network is.

    Raises:
        UnnoiseError: they do not.
    """
    channels = 1 if recipe.data.mosaic else recipe.data.channels
    if network.channels != channels:
        made = "the patches of data.mosaic have 1" if recipe.data.mosaic else f"data.channels is {channels}"
        raise UnnoiseError(f"the network has {network.channels} channels and {made}")
    for stage in recipe.train.stages:
        if stage.patch % (unit := network.multiple_of * shrinks):
            raise UnnoiseError(
                f"train.stages: patch {stage.patch} must be a multiple of {unit} for {network.name} and this task"
            )
        if stage.batch % processes:
            raise UnnoiseError(
                f"train.stages: batch {stage.batch} must be a multiple of {processes}, the number of processes"
            )
        if stage.batch // processes % (parts := recipe.train.accumulate):
            raise UnnoiseError(
                f"train.accumulate: {stage.batch // processes} patches of a process do not divide into {parts} parts"
            )


def count_steps(settings: Train, epoch: int) -> int:
    """Return the steps of the whole schedule, without the limit of `train.minutes`.

    Args:
        settings: the recipe's section.
        epoch: number of patches in an epoch.
    """
    start = steps = 0.0
    if settings.steps:
        return settings.steps
    for stage in settings.stages:
        steps += (stage.until - start) * epoch * (settings.epochs or 0) / stage.batch
        start = stage.until
    return math.ceil(steps)
