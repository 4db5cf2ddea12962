"""The restoration framework's config.json -> a recipe.

The framework trains a U-Net or a VAE on STL-10 or CIFAR-100, on pictures of 128x128 with one of three noises each, and
is run by one flat file of settings. The file is taken as it is, misspellings included; what it leaves out, or sets to
null, has the default that stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unnoise.errors import UnnoiseError
from unnoise.spec import unknown

SIZE = 128
"""Side of the squares that all pictures are resized to, in pixels."""
NOISES = ("gaussian:25.5 + clip", "salt-pepper:0.03", "uniform:51 + clip")
"""One is drawn for each picture: Gaussian of deviation 0.1, 3 % of the pixels lost, uniform of +-0.2."""
MODELS = {"U-net": "unet", "VAE": "vae"}
DATA = {"STL10": "stl10:stl10_binary", "Cifar100": "cifar100:cifar100/cifar-100-python"}
"""What the framework calls the data -> where they are found, from here or under the data root."""
TERMS = {
    "STL10": "STL-10 (Coates, Ng, Lee, AISTATS 2011; no licence stated), or what was put in its place in its layout",
    "Cifar100": "CIFAR-100 (Krizhevsky, 2009; no licence stated, free for research with citation)",
}

_SAME = {"save_weigth_path": "save_weight_path", "load_weigth_path": "load_weight_path", "datset": "dataset"}
_CHOICES = {"model": [*MODELS], "dataset": [*DATA], "device": ["cpu", "cuda"], "mode": ["train", "test"]}
_PATHS = ["save_weight_path", "load_weight_path"]
_NUMBERS: dict[str, tuple[float, float, bool]] = {  # default, least, whether only whole numbers
    "epoches": (20, 1, True),
    "batch_size": (4, 1, True),
    "learning_rate": (0.001, 0, False),
    "train_size": (0.9, 0, False),
    "num_workers": (2, 0, True),
    "b1": (0.9, 0, False),
    "b2": (0.999, 0, False),
    "weight_decay": (0, 0, False),
    "lambda_reconstruction": (1, 0, False),
    "lambda_ssim": (0.2, 0, False),
    "lambda_total_variation": (0.001, 0, False),
    "lambda_kl": (0.00002, 0, False),  # of the order of 1 / values in a picture; see `losses.KL`
}
_LOSSES = {"lambda_reconstruction": "l1", "lambda_ssim": "ssim", "lambda_total_variation": "tv", "lambda_kl": "kl"}
KEYS = [*_CHOICES, *_PATHS, *_SAME, *_NUMBERS]
"""All keys of a config.json, right and wrong spellings."""


@dataclass(frozen=True)
class Job:
    """What a config.json asks for.

    Attributes:
        recipe: the training as a recipe's tree of keys.
        mode: "train", or "test" to measure what was trained.
        device: "cpu" or "cuda"; None for whatever there is.
        folder: of the run; None for the usual one.
        weights: model file to begin from, or to test; None for fresh weights.
        test: dataset spec of the pictures to be judged on.
    """

    recipe: dict[str, Any]
    mode: str
    device: str | None
    folder: str | None
    weights: str | None
    test: str


def is_config(tree: Mapping[str, Any]) -> bool:
    """Whether a file's keys are those of the framework, and not those of a recipe."""
    return not {"network", "data", "train"} & set(tree) and bool(set(KEYS) & set(tree))


def read(tree: Mapping[str, Any], changes: Mapping[str, Any] | None = None) -> Job:
    """Turn a config.json into a job.

    Args:
        tree: its keys; `model` and `dataset` must be there.
        changes: keys that are set anew.

    Raises:
        UnnoiseError: an unknown key or value, a key that is missing or stands twice.
    """
    stated = {key: value for key, value in (_right(tree) | _right(changes or {})).items() if value is not None}
    chosen = {key: _choose(key, stated[key], names) for key, names in _CHOICES.items() if key in stated}
    for key in ("model", "dataset"):
        if key not in chosen:
            raise UnnoiseError(f"config: the key '{key}' is missing: choose one of {', '.join(_CHOICES[key])}")
    numbers = {key: _number(key, stated.get(key, rule[0])) for key, rule in _NUMBERS.items()}
    name, data = MODELS[chosen["model"]], DATA[chosen["dataset"]]
    folder, weights = (_path(key, stated[key]) if key in stated else None for key in _PATHS)
    if weights is not None and Path(weights).is_dir():
        weights = str(Path(weights) / f"{name}.safetensors")  # as a run leaves it there
    mode = chosen.get("mode", "train")
    if mode == "test" and weights is None:
        raise UnnoiseError("config: the mode 'test' needs a model: name it in load_weight_path")
    return Job(
        recipe=_recipe(name, data, numbers, weights if mode == "train" else None) | {"terms": TERMS[chosen["dataset"]]},
        mode=mode,
        device=chosen.get("device"),
        folder=folder,
        weights=weights,
        test=f"{data}#test",
    )


def _recipe(name: str, data: str, numbers: Mapping[str, Any], start: str | None) -> dict[str, Any]:
    """Write the recipe; what is not here has the recipe's own default."""
    training, validation = _parts(numbers["train_size"])
    optimizer = ",".join(f"{key}={_spell(numbers[key])}" for key in ("b1", "b2", "weight_decay"))
    return {
        "name": name,
        "summary": "Gaussian, salt-and-pepper or uniform noise in small colour pictures",
        "network": name,
        "noise": " | ".join(NOISES),
        "loss": _loss(name, numbers),
        "start": start,
        "data": {
            "train": [f"{data}#train{training}"],
            "validation": [f"{data}#train{validation}"] if validation else [],
            "size": SIZE,
            "per_picture": 1,
            "turn": False,
        },
        "train": {
            "epochs": numbers["epoches"],
            "stages": [{"until": 1, "patch": SIZE, "batch": numbers["batch_size"]}],
            "optimizer": f"adam:{optimizer}",
            "learning_rate": numbers["learning_rate"],
            "workers": numbers["num_workers"],
        },
        "validation": {"items": 256 if validation else 0},
    }


def _loss(name: str, numbers: Mapping[str, Any]) -> str:
    """Spell the weighted sum of the losses; only the VAE has a code whose divergence can be told."""
    terms = [f"{_spell(numbers[key])}*{loss}" for key, loss in _LOSSES.items() if numbers[key]]
    terms = [term for term in terms if name == "vae" or not term.endswith("*kl")]
    if not terms:
        raise UnnoiseError(f"config: with no loss nothing is learned: set one of {', '.join(_LOSSES)} above 0")
    return " + ".join(terms)


def _parts(train_size: float) -> tuple[str, str]:
    """Return which stretch of the training pictures is learned from, and which one is watched."""
    if train_size == 1:
        return "", ""
    end = _spell(train_size)
    return f":0..{end}", f":{end}..1" if train_size < 1 else f":{end}.."


def _right(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return each key in its right spelling."""
    right: dict[str, Any] = {}
    for key, value in tree.items():
        if key not in KEYS:
            raise UnnoiseError(f"config: {unknown('key', str(key), KEYS)}")
        name = _SAME.get(key, key)
        if value is not None and right.get(name) is not None:
            raise UnnoiseError(f"config: '{name}' is given twice, in two spellings: leave one out")
        right[name] = right.get(name) if value is None else value
    return right


def _choose(key: str, value: Any, names: list[str]) -> str:
    """Find the name that is meant, whatever its case and hyphens."""
    plain = {name.lower().replace("-", ""): name for name in names}
    found = plain.get(str(value).lower().replace("-", ""))
    if found is None:
        raise UnnoiseError(f"config: {unknown(key, str(value), names)}")
    return found


def _path(key: str, value: Any) -> str:
    if not (isinstance(value, str) and value):
        raise UnnoiseError(f"config: {key} must be a path or null, not '{value}'")
    return value


def _number(key: str, value: Any) -> float:
    """Check a number; whole ones stay whole."""
    _, least, whole = _NUMBERS[key]
    kinds = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value < float("inf"):
        raise UnnoiseError(f"config: {key} must be a {'whole ' * whole}number of at least {least}, not '{value}'")
    if key in ("b1", "b2") and value >= 1:
        raise UnnoiseError(f"config: {key} must lie below 1, not at {value}")
    if key in ("learning_rate", "train_size") and value == 0:
        raise UnnoiseError(f"config: {key} must be above 0")
    if key == "train_size" and value > 1 and value != int(value):
        raise UnnoiseError(
            f"config: train_size must be a share of at most 1 or a whole number of pictures, not {value}"
        )
    return value


def _spell(number: float) -> str:
    return f"{number:.12g}"
