"""Recipe values that are `auto`, chosen from the training images.

`network`, `task`, `loss`, `summary`, `data.channels`, `train.steps`, `train.stages`, `train.learning_rate` and
`validation.every` may be `auto`. `model` names a trained model to fine-tune. `recipes/own_pictures.yaml` sets all of
them to `auto`; other values are kept.
"""

from __future__ import annotations

import collections
import copy
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from unnoise import datasets, denoisers
from unnoise.datasets.base import Dataset, as_float
from unnoise.denoisers.model_card import Card
from unnoise.errors import UnnoiseError
from unnoise.optional import require

AUTO = "auto"
KEYS = {
    None: ("network", "task", "loss", "summary"),
    "data": ("channels",),
    "train": ("steps", "stages", "learning_rate"),
    "validation": ("every",),
}
"""Keys that may be `auto`, by section."""
MAX_ESTIMATES = 16
"""Largest number of images, evenly spaced, whose noise is estimated."""
PATCH, BATCH, UNIT = 64, 16, 16
"""Side of patches in pixels, patches per step, and a multiple of the side that suits all networks and tasks here."""
STEPS, FINE_TUNING = (1000, 600, 10_000), (400, 300, 3000)
"""Steps for one megapixel, least and most steps, from scratch and in fine-tuning; they grow with the root of the
megapixels."""
VALIDATIONS = 10
"""Number of validations of a training."""
MIN_CORRELATION, MIN_SHARE, PIECES = 0.5, 0.3, 4
"""Noise has lines if the pieces of each line are correlated by this much, with this share of sigma."""
MIN_DEVIATION = 1e-4
"""Standard deviation of lines, as a share of white, below which they are invisible."""
SMALL = "widths=16/32/64,blocks=1/1/1,told=false"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DatasetSummary:
    """Properties of training images.

    Attributes:
        count: number of images.
        megapixels: total of all images.
        side: shortest side of any image, in pixels.
        channels: 1 or 3; color images whose pixels are all gray count as 1.
        kind: most frequent kind of noise, see `NoiseEstimate`.
        sigma: median noise level, in 8-bit units relative to white.
        lines: "row" or "column" if the noise has such lines, else "".
        given: "none" for single images, "second" for pairs of noisy shots, "clean" for pairs of noisy and clean images.
    """

    count: int
    megapixels: float
    side: int
    channels: int
    kind: str
    sigma: float
    lines: str
    given: str

    def __str__(self) -> str:
        """Describe it in one line."""
        kinds = {"none": "noisy images", "second": "scenes with two shots", "clean": "pairs of noisy and clean images"}
        lines = f", along {self.lines}s" if self.lines else ""
        level = f", sigma {self.sigma:.1f}" if self.sigma else ""
        color = "gray" if self.channels == 1 else "color"
        size = f"{self.count} {kinds[self.given]}, {color}, {self.megapixels:.2g} megapixels"
        return f"{size}; noise: {self.kind}{lines}{level}"


def has_auto(tree: Mapping[str, Any]) -> bool:
    """Return whether a recipe's tree of keys has a value that is `auto`, or names a model to fine-tune."""
    sections = ((tree if section is None else tree.get(section), keys) for section, keys in KEYS.items())
    return "model" in tree or any(
        isinstance(values, Mapping) and values.get(key) == AUTO for values, keys in sections for key in keys
    )


def resolve_auto(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe's tree of keys with all `auto` values chosen from its training images.

    Args:
        tree: the keys of the file with overrides; `data.train` must be set.

    Raises:
        UnnoiseError: there are no images or they are too small, or the model does not exist.
    """
    tree = copy.deepcopy(dict(tree))
    data, train, validation = (dict(tree.get(key) or {}) for key in ("data", "train", "validation"))
    if not data.get("train"):
        raise UnnoiseError("name the training images: data.train=images:FOLDER")
    card = _begin(tree)
    found = summarize(_open(data))
    _fill(data, "channels", card.channels if card else found.channels)
    _fill(tree, "task", _task(found, tree))
    _fill(tree, "loss", "l1" if found.kind in ("impulse", "mixed") else "mse")
    _fill(tree, "network", _without_sigma(card) if card else _fresh(data.get("channels", 3), str(tree.get("task"))))
    _fill(tree, "summary", f"trained on {found}")
    typical, least, most = FINE_TUNING if card else STEPS
    _fill(train, "steps", int(min(max(typical * math.sqrt(found.megapixels), least), most)))
    _fill(train, "stages", [{"until": 1, "patch": _patch(found, data), "batch": BATCH}])
    _fill(train, "learning_rate", 3e-4 if card else 2e-3)
    _fill(
        validation, "every", max(1, int(train["steps"]) // VALIDATIONS) if isinstance(train.get("steps"), int) else None
    )
    _warn(found, str(tree.get("task", "supervised")))
    return {**tree, "data": data, "train": train, "validation": validation}


def summarize(dataset: Dataset) -> DatasetSummary:
    """Measure the properties of images, or of pairs of images.

    Args:
        dataset: images whose white is 1.
    """
    items = [_first(dataset[index]) for index in range(len(dataset))]
    gray = all(
        one.shape[2] == 1 or np.array_equal(one, np.repeat(one[:, :, :1], one.shape[2], axis=2)) for one in items
    )
    some = items[:: max(1, math.ceil(len(items) / MAX_ESTIMATES))]
    reports = [denoisers.estimate_noise(one[:, :, :3]) for one in some]
    (kind, _), *_ = collections.Counter(report.kind for report in reports).most_common(1)
    sigma = float(np.median([report.sigma for report in reports]))
    paired = isinstance(dataset[0], tuple)
    return DatasetSummary(
        count=len(items),
        megapixels=sum(one.shape[0] * one.shape[1] for one in items) / 1e6,
        side=min(min(one.shape[:2]) for one in items),
        channels=1 if gray else 3,
        kind=kind,
        sigma=255 * sigma,
        lines=lines(some),
        given=("second" if "_shot1" in dataset.label(0) else "clean") if paired else "none",
    )


def lines(pictures: list[np.ndarray]) -> str:
    """Return "row" or "column" if whole rows or columns are brighter or darker by noise, else "".

    The offset of a line is the same in all its pieces, while the image content differs: differences between lines are
    computed for each of `PIECES` pieces and correlated.

    Args:
        pictures: float32 `[H, W, C]`.
    """
    for name, turned in (("row", pictures), ("column", [one.swapaxes(0, 1) for one in pictures])):
        shares = [_row_share(one.mean(axis=2)) for one in turned if min(one.shape[:2]) >= 4 * PIECES]
        if shares and np.median(shares) > 0:
            return name
    return ""


def _row_share(picture: np.ndarray) -> float:
    """Return the deviation of whole rows of `[H, W]` as a share of that of pixels; 0 if rows have no offsets."""
    steps = np.diff(picture, axis=0)
    limit = 3 * np.median(np.abs(steps)) / 0.6745 + 1e-9  # limits the influence of edges
    steps = np.clip(steps, -limit, limit)
    pieces = np.stack([piece.mean(axis=1) for piece in np.array_split(steps, PIECES, axis=1)])
    if pieces.std(axis=1).min() < MIN_DEVIATION:
        return 0.0
    correlation = np.corrcoef(pieces)[np.triu_indices(PIECES, 1)].mean()
    share = pieces.mean(axis=0).std() / steps.std()
    return float(share) if correlation > MIN_CORRELATION and share > MIN_SHARE else 0.0


def _first(item: np.ndarray | tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return as_float(item[0] if isinstance(item, tuple) else item)


def _open(data: Mapping[str, Any]) -> Dataset:
    """Open the images as the training does, but with the channels that they have."""
    exclude, size, white = data.get("exclude"), data.get("size"), bool(data.get("normalize_white"))
    return datasets.make(data["train"], exclude=exclude, size=size, white=white)


def _fill(section: dict[str, Any], key: str, value: Any) -> None:
    if section.get(key) == AUTO:
        section[key] = value


def _task(found: DatasetSummary, tree: Mapping[str, Any]) -> str:
    if tree.get("noise") or found.given == "clean":
        return "supervised"
    if found.given == "second":
        return "noise2noise"
    return f"noise2void:fill=median,hide={found.lines}" if found.lines else "neighbor2neighbor"


def _fresh(channels: int, task: str) -> str:
    """Return a small network; for N2V2, one without the global skip connection."""
    return f"resunet:channels={channels},{SMALL}{',through=false' if 'fill=median' in task else ''}"


def _patch(found: DatasetSummary, data: Mapping[str, Any]) -> int:
    """Return the side of patches that fit into the images, also where some rows of each are held out."""
    side = (
        found.side // 2 if data.get("validation_split") and found.count < datasets.MIN_FOR_WHOLE_SPLIT else found.side
    )
    if side < UNIT:
        raise UnnoiseError(
            f"the shortest side of the training images is {found.side} pixels: at least {2 * UNIT} are needed"
        )
    return min(PATCH, side // UNIT * UNIT)


def _begin(tree: dict[str, Any]) -> Card | None:
    """Move `model` to `init_from`; return the card of the model, or None if there is none or the network is given."""
    if name := tree.pop("model", None):
        tree["init_from"] = str(name)
    if not tree.get("init_from") or tree.get("network") != AUTO:
        return None
    require("torch", extra="train")
    from unnoise.denoisers import pytorch

    return pytorch.load(denoisers.training_weights(str(tree["init_from"])))[1]


def _without_sigma(card: Card) -> str:
    """Return the network of a model, with a sigma estimator instead of the sigma input if it has one."""
    if not card.wants_sigma:
        return card.network
    return f"{card.network}{',' if ':' in card.network else ':'}told=false,guess=true"


def _warn(found: DatasetSummary, task: str) -> None:
    """Warn of noise that tasks on single images cannot handle."""
    if found.kind == "none":
        log.warning("no noise was found in the training images: there may be nothing to learn")
    elif found.kind == "correlated" and not task.startswith(("supervised", "noise2noise")):
        log.warning(
            "the noise is correlated between neighboring pixels, as cameras and JPEG make it: %s keeps much of it; use "
            "two shots of each scene (pairs:FOLDER with NAME_shot1 and NAME_shot2), or the bundled model photo",
            task.partition(":")[0],
        )
