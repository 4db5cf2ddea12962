"""A recipe whose values are taken from the pictures it is for: what says `auto` is settled here.

`network`, `task`, `loss`, `summary`, `data.channels`, and of `train` the `steps`, `stages` and `learning_rate` may say
`auto`, and so may `validation.every`. `model` names a trained model to go on from. `recipes/own_pictures.yaml` says
`auto` to all of them; what somebody states stays as it is.
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
from unnoise.noise import estimation
from unnoise.optional import require

AUTO = "auto"
KEYS = {
    None: ("network", "task", "loss", "summary"),
    "data": ("channels",),
    "train": ("steps", "stages", "learning_rate"),
    "validation": ("every",),
}
"""What may say so, by section."""
LOOKED_AT = 16
"""Pictures, evenly over all of them, of which the noise is found."""
PATCH, BATCH, UNIT = 64, 16, 16
"""Side and number of the patches of a step; sides are multiples of the last, which networks here take in every task."""
STEPS, FINE_TUNING = (1000, 600, 10_000), (400, 300, 3000)
"""Steps on one megapixel, which grow with the root of the megapixels, and their limits; and from a trained model on."""
LOOKS = 10
"""Validations of a training."""
SHARED, LOUD, PIECES = 0.5, 0.3, 4
"""Noise runs along lines if pieces of a line rise and fall together, by this correlation, and by so much of sigma."""
UNSEEN = 1e-4
"""Deviation of lines, as a share of white, below which nobody sees them."""
SMALL = "widths=16/32/64,blocks=1/1/1,told=false"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DatasetSummary:
    """What was found in pictures to learn from.

    Attributes:
        count: how many there are.
        megapixels: of all of them.
        side: the shortest of any.
        channels: 1 or 3; pictures in colour that are grey in all pixels count as grey.
        kind: of their noise, see `estimation.NoiseReport`; that of most of them.
        sigma: its level, median, in 8-bit units of what is white.
        lines: "row" or "column" where noise runs along these, else "".
        given: "none" where there are single pictures, "second" where there are two shots, "clean" where pairs.
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
        """Tell it in a line."""
        of = {"none": "noisy pictures", "second": "scenes, two shots each", "clean": "pairs of noisy and clean"}
        lines = f", along {self.lines}s" if self.lines else ""
        level = f", level {self.sigma:.1f}" if self.sigma else ""
        colours = "grey" if self.channels == 1 else "colour"
        size = f"{self.count} {of[self.given]} in {colours}, {self.megapixels:.2g} megapixels"
        return f"{size}; noise: {self.kind}{lines}{level}"


def has_auto(tree: Mapping[str, Any]) -> bool:
    """Say whether a recipe's tree of keys leaves anything to be settled."""
    sections = ((tree if section is None else tree.get(section), keys) for section, keys in KEYS.items())
    return "model" in tree or any(
        isinstance(values, Mapping) and values.get(key) == AUTO for values, keys in sections for key in keys
    )


def resolve_auto(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe's tree of keys with all that says `auto` taken from its pictures.

    Args:
        tree: as it stands in the file, with what the caller changed; `data.train` names the pictures.

    Raises:
        UnnoiseError: there are no pictures, or they are too small to learn from; or there is no such model.
    """
    tree = copy.deepcopy(dict(tree))
    data, train, validation = (dict(tree.get(key) or {}) for key in ("data", "train", "validation"))
    if not data.get("train"):
        raise UnnoiseError("name the pictures to learn from: data.train=images:FOLDER")
    card = _begin(tree)
    found = summarize(_opened(data))
    _fill(data, "channels", card.channels if card else found.channels)
    _fill(tree, "task", _task(found, tree))
    _fill(tree, "loss", "l1" if found.kind in ("impulse", "mixed") else "mse")
    _fill(tree, "network", _told_nothing(card) if card else _fresh(data.get("channels", 3), str(tree.get("task"))))
    _fill(tree, "summary", f"learned from {found}")
    middle, least, most = FINE_TUNING if card else STEPS
    _fill(train, "steps", int(min(max(middle * math.sqrt(found.megapixels), least), most)))
    _fill(train, "stages", [{"until": 1, "patch": _patch(found, data), "batch": BATCH}])
    _fill(train, "learning_rate", 3e-4 if card else 2e-3)
    _fill(validation, "every", max(1, int(train["steps"]) // LOOKS) if isinstance(train.get("steps"), int) else None)
    _warn(found, str(tree.get("task", "supervised")))
    return {**tree, "data": data, "train": train, "validation": validation}


def summarize(dataset: Dataset) -> DatasetSummary:
    """Find what is to be known of pictures, or of pairs of them, before learning from them.

    Args:
        dataset: with what is white in the pictures at 1.
    """
    items = [_first(dataset[index]) for index in range(len(dataset))]
    grey = all(
        one.shape[2] == 1 or np.array_equal(one, np.repeat(one[:, :, :1], one.shape[2], axis=2)) for one in items
    )
    some = items[:: max(1, math.ceil(len(items) / LOOKED_AT))]
    reports = [estimation.estimate_noise(one[:, :, :3]) for one in some]
    (kind, _), *_ = collections.Counter(report.kind for report in reports).most_common(1)
    sigma = float(np.median([report.sigma for report in reports]))
    paired = isinstance(dataset[0], tuple)
    return DatasetSummary(
        count=len(items),
        megapixels=sum(one.shape[0] * one.shape[1] for one in items) / 1e6,
        side=min(min(one.shape[:2]) for one in items),
        channels=1 if grey else 3,
        kind=kind,
        sigma=255 * sigma,
        lines=lines(some),
        given=("second" if "_shot1" in dataset.label(0) else "clean") if paired else "none",
    )


def lines(pictures: list[np.ndarray]) -> str:
    """Say whether noise runs along "row" or "column", so that whole lines are brighter or darker; "" if neither.

    A line's offset shows in all its pieces, while the picture differs from piece to piece: the differences between
    lines are taken for each of `PIECES` pieces, and correlated.

    Args:
        pictures: float32 `[H, W, C]`.
    """
    for name, turned in (("row", pictures), ("column", [one.swapaxes(0, 1) for one in pictures])):
        shares = [_shared(one.mean(axis=2)) for one in turned if min(one.shape[:2]) >= 4 * PIECES]
        if shares and np.median(shares) > 0:
            return name
    return ""


def _shared(picture: np.ndarray) -> float:
    """Return by how much rows differ as wholes, as a share of how pixels do, `[H, W]`; 0 where they do not."""
    steps = np.diff(picture, axis=0)
    limit = 3 * np.median(np.abs(steps)) / 0.6745 + 1e-9  # edges count as little as noise
    steps = np.clip(steps, -limit, limit)
    pieces = np.stack([piece.mean(axis=1) for piece in np.array_split(steps, PIECES, axis=1)])
    if pieces.std(axis=1).min() < UNSEEN:
        return 0.0
    together = np.corrcoef(pieces)[np.triu_indices(PIECES, 1)].mean()
    share = pieces.mean(axis=0).std() / steps.std()
    return float(share) if together > SHARED and share > LOUD else 0.0


def _first(item: np.ndarray | tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return as_float(item[0] if isinstance(item, tuple) else item)


def _opened(data: Mapping[str, Any]) -> Dataset:
    """Open the pictures as the training will, but in the colours that they have."""
    how = {key: data.get(key) for key in ("exclude", "size")}
    return datasets.make(data["train"], **how, white=bool(data.get("white")))


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
    """Return a small network; for N2V2, one that does not hand the picture to its end."""
    return f"resunet:channels={channels},{SMALL}{',through=false' if 'fill=median' in task else ''}"


def _patch(found: DatasetSummary, data: Mapping[str, Any]) -> int:
    """Return the side of patches that fit into the pictures, also where a part of each is held back."""
    side = found.side // 2 if data.get("hold_back") and found.count < datasets.MIN_FOR_WHOLE_SPLIT else found.side
    if side < UNIT:
        raise UnnoiseError(f"pictures of {found.side} pixels are too small to learn from: {2 * UNIT} are the least")
    return min(PATCH, side // UNIT * UNIT)


def _begin(tree: dict[str, Any]) -> Card | None:
    """Put the model that is named in the place of `start`; return its card, or None where none is named."""
    if name := tree.pop("model", None):
        tree["start"] = str(name)
    if not tree.get("start") or tree.get("network") != AUTO:
        return None
    require("torch", extra="train")
    from unnoise.denoisers import pytorch

    return pytorch.load(denoisers.training_weights(str(tree["start"])))[1]


def _told_nothing(card: Card) -> str:
    """Return the network of a model, as one that guesses the level where that one is told."""
    if not card.wants_sigma:
        return card.network
    return f"{card.network}{',' if ':' in card.network else ':'}told=false,guess=true"


def _warn(found: DatasetSummary, task: str) -> None:
    """Tell what the pictures have that no task can handle which learns from single ones."""
    if found.kind == "none":
        log.warning("no noise is found in these pictures: there may be nothing to learn")
    elif found.kind == "correlated" and not task.startswith(("supervised", "noise2noise")):
        log.warning(
            "the noise is shared by pixels that touch, as cameras and JPEG make it: %s keeps much of it; two shots of "
            "each scene (pairs:FOLDER of NAME_shot1 and NAME_shot2), or the model photo as it ships, do not",
            task.partition(":")[0],
        )
