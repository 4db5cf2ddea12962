"""The datasets and patches that a recipe names."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from unnoise import datasets, noise
from unnoise.datasets.base import Dataset
from unnoise.datasets.split import Subset
from unnoise.errors import UnnoiseError
from unnoise.training.patches import Patches

if TYPE_CHECKING:
    from unnoise.training.recipe import Data, Recipe, Stage
    from unnoise.training.tasks import Task

log = logging.getLogger(__name__)


def open_datasets(data: Data, patch: int) -> tuple[Dataset, Dataset | None]:
    """Open the training and the validation dataset of a recipe.

    Args:
        data: the recipe's section.
        patch: side of the largest patches, in pixels; held-out parts of images are at least as large.

    Raises:
        UnnoiseError: the data do not exist or cannot be read.
    """
    training = _open(data, data.train)
    if data.validation_split:
        return datasets.split(training, data.validation_split, patch)
    return training, _open(data, data.validation) if data.validation else None


def make_patches(recipe: Recipe, task: Task, dataset: Dataset, stage: Stage) -> Patches:
    """Return the patches of a dataset that a stage of a recipe trains or validates on."""
    data = recipe.data
    return Patches(
        dataset,
        noise.make(recipe.noise) if recipe.noise else None,
        stage.patch,
        seed=recipe.train.seed,
        per_picture=data.patches_per_picture,
        turn=data.augment,
        target=task.target,
        gray=data.gray_probability,
        stretch=data.stretch_probability,
        halve=data.halve_probability,
        enlarge=data.enlarge_probability,
        darken=data.darken_probability,
        dither=data.dither_probability,
        blur=data.blur_probability,
        mosaic=data.mosaic,
    )


def _open(data: Data, specs: list[str]) -> Dataset:
    dataset = datasets.make(
        specs, channels=data.channels, exclude=data.exclude, size=data.size, white=data.normalize_white
    )
    return without_damaged(dataset) if data.skip_damaged else dataset


def damage(dataset: Dataset, index: int) -> str:
    """Return why an item cannot be trained on, or "" if it can be read and is finite."""
    try:
        item = dataset[index]
    except UnnoiseError as error:
        return str(error)
    pictures = item if isinstance(item, tuple) else (item,)
    if any(one.dtype.kind == "f" and not np.isfinite(one).all() for one in pictures):
        return f"'{dataset.label(index)}' holds NaN or infinite values"
    return ""


def without_damaged(dataset: Dataset) -> Dataset:
    """Return a dataset without the items that cannot be read or hold NaN; each is named in the log.

    Raises:
        UnnoiseError: that are all of them.
    """
    reasons = [damage(dataset, index) for index in range(len(dataset))]
    for reason in filter(None, reasons):
        log.warning("skipped: %s", reason)
    kept = [index for index, reason in enumerate(reasons) if not reason]
    if not kept:
        raise UnnoiseError(f"every image is damaged: {reasons[0]}" if reasons else "there are no images")
    return dataset if len(kept) == len(dataset) else Subset(dataset, kept)
