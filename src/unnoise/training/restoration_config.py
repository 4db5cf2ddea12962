"""Translation of the restoration framework's config.json to a recipe.

The framework trains a U-Net or a VAE on STL-10 or CIFAR-100, on images of 128x128 pixels with one of three noises each.
Its settings are one flat file, which is read as it is, misspelled keys included; keys that are missing or null have the
defaults below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from unnoise.errors import UnnoiseError
from unnoise.spec import unknown

SIZE = 128
"""Side of the squares that all images are resized to, in pixels."""
NOISES = ("gaussian:25.5 + clip", "salt-pepper:0.03", "uniform:51 + clip")
"""One is drawn for each image: Gaussian noise of deviation 0.1, 3 % salt-and-pepper, uniform noise of +-0.2."""
MODELS = {"U-net": "unet", "VAE": "vae"}
DATA = {"STL10": "stl10:stl10_binary", "Cifar100": "cifar100:cifar100/cifar-100-python"}
"""Dataset name of the framework -> dataset spec."""
LICENCES = {
    "STL10": "STL-10 (Coates, Ng, Lee, AISTATS 2011; no licence stated), or other images in its layout",
    "Cifar100": "CIFAR-100 (Krizhevsky, 2009; no licence stated, free for research with citation)",
}

_SAME = {"save_weigth_path": "save_weight_path", "load_weigth_path": "load_weight_path", "datset": "dataset"}
_CHOICES = {"model": [*MODELS], "dataset": [*DATA], "device": ["cpu", "cuda"], "mode": ["train", "test"]}
_PATHS = ["save_weight_path", "load_weight_path"]
_NUMBERS: dict[str, tuple[float, float, bool]] = {  # default, minimum, integers only
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
    "lambda_kl": (0.00002, 0, False),  # of the order of 1 / (pixels * channels); see `losses.KL`
}
_LOSSES = {"lambda_reconstruction": "l1", "lambda_ssim": "ssim", "lambda_total_variation": "tv", "lambda_kl": "kl"}
KEYS = [*_CHOICES, *_PATHS, *_SAME, *_NUMBERS]
"""All keys of a config.json, in correct and misspelled form."""


@dataclass(frozen=True)
class Config:
    """The contents of a config.json.

    Attributes:
        recipe: the training as a recipe's tree of keys.
        mode: "train", or "test" to measure a trained model.
        device: "cpu" or "cuda"; None for a GPU if there is one.
        folder: of the run; None for the default.
        weights: model file to begin from or to test; None for random weights.
        test: dataset spec of the test images.
    """

    recipe: dict[str, Any]
    mode: Literal["train", "test"]
    device: str | None
    folder: str | None
    weights: str | None
    test: str


def is_config(tree: Mapping[str, Any]) -> bool:
    """Return whether keys are those of a config.json, and not of a recipe."""
    return not {"network", "data", "train"} & set(tree) and bool(set(KEYS) & set(tree))


def read(tree: Mapping[str, Any], changes: Mapping[str, Any] | None = None) -> Config:
    """Read the keys of a config.json.

    Args:
        tree: the keys; `model` and `dataset` are required.
        changes: keys that override them.

    Raises:
        UnnoiseError: an unknown key or value, or a key that is missing or given twice.
    """
    given = {key: value for key, value in (_normalize(tree) | _normalize(changes or {})).items() if value is not None}
    chosen = {key: _choose(key, given[key], names) for key, names in _CHOICES.items() if key in given}
    for key in ("model", "dataset"):
        if key not in chosen:
            raise UnnoiseError(f"config: the key '{key}' is missing: choose one of {', '.join(_CHOICES[key])}")
    numbers = {key: _number(key, given.get(key, rule[0])) for key, rule in _NUMBERS.items()}
    name, data = MODELS[chosen["model"]], DATA[chosen["dataset"]]
    folder, weights = (_path(key, given[key]) if key in given else None for key in _PATHS)
    if weights is not None and Path(weights).is_dir():
        weights = str(Path(weights) / f"{name}.safetensors")  # the model file of a run
    mode: Literal["train", "test"] = "test" if chosen.get("mode") == "test" else "train"
    if mode == "test" and weights is None:
        raise UnnoiseError("config: mode 'test' needs a model: set load_weight_path")
    return Config(
        recipe=_recipe(name, data, numbers, weights if mode == "train" else None)
        | {"data_licence": LICENCES[chosen["dataset"]]},
        mode=mode,
        device=chosen.get("device"),
        folder=folder,
        weights=weights,
        test=f"{data}#test",
    )


def _recipe(name: str, data: str, numbers: Mapping[str, Any], start: str | None) -> dict[str, Any]:
    """Return the recipe; other keys have the recipe's own defaults."""
    training, validation = _parts(numbers["train_size"])
    optimizer = ",".join(f"{key}={_spell(numbers[key])}" for key in ("b1", "b2", "weight_decay"))
    return {
        "name": name,
        "summary": "Gaussian, salt-and-pepper or uniform noise in small color images",
        "network": name,
        "noise": " | ".join(NOISES),
        "loss": _loss(name, numbers),
        "init_from": start,
        "data": {
            "train": [f"{data}#train{training}"],
            "validation": [f"{data}#train{validation}"] if validation else [],
            "size": SIZE,
            "patches_per_picture": 1,
            "augment": False,
        },
        "train": {
            "epochs": numbers["epoches"],
            "stages": [{"until": 1, "patch": SIZE, "batch": numbers["batch_size"]}],
            "optimizer": f"adam:{optimizer}",
            "learning_rate": numbers["learning_rate"],
            "workers": numbers["num_workers"],
        },
        "validation": {"patches": 256 if validation else 0},
    }


def _loss(name: str, numbers: Mapping[str, Any]) -> str:
    """Return the weighted sum of the losses as a spec; the KL divergence only for the VAE."""
    terms = [f"{_spell(numbers[key])}*{loss}" for key, loss in _LOSSES.items() if numbers[key]]
    terms = [term for term in terms if name == "vae" or not term.endswith("*kl")]
    if not terms:
        raise UnnoiseError(f"config: all losses have weight 0: set one of {', '.join(_LOSSES)} above 0")
    return " + ".join(terms)


def _parts(train_size: float) -> tuple[str, str]:
    """Return the ranges of the training images for training and for validation."""
    if train_size == 1:
        return "", ""
    end = _spell(train_size)
    return f":0..{end}", f":{end}..1" if train_size < 1 else f":{end}.."


def _normalize(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys in their correct spelling."""
    normalized: dict[str, Any] = {}
    for key, given in tree.items():
        value = None if given == "None" else given  # Python's, which the framework's files have for JSON's null
        if key not in KEYS:
            raise UnnoiseError(f"config: {unknown('key', str(key), KEYS)}")
        name = _SAME.get(key, key)
        if value is not None and normalized.get(name) is not None:
            raise UnnoiseError(f"config: '{name}' is given in two spellings: remove one")
        normalized[name] = normalized.get(name) if value is None else value
    return normalized


def _choose(key: str, value: Any, names: list[str]) -> str:
    """Return the name that matches, ignoring case and hyphens."""
    plain = {name.lower().replace("-", ""): name for name in names}
    match = plain.get(str(value).lower().replace("-", ""))
    if match is None:
        raise UnnoiseError(f"config: {unknown(key, str(value), names)}")
    return match


def _path(key: str, value: Any) -> str:
    if not (isinstance(value, str) and value):
        raise UnnoiseError(f"config: {key} must be a path or null, got '{value}'")
    return value


def _number(key: str, value: Any) -> float:
    """Check a number and return it; integers stay integers."""
    _, least, whole = _NUMBERS[key]
    kinds = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value < float("inf"):
        raise UnnoiseError(
            f"config: {key} must be {'an integer' if whole else 'a number'} of at least {least}, got '{value}'"
        )
    if key in ("b1", "b2") and value >= 1:
        raise UnnoiseError(f"config: {key} must be below 1, got {value}")
    if key in ("learning_rate", "train_size") and value == 0:
        raise UnnoiseError(f"config: {key} must be above 0")
    if key == "train_size" and value > 1 and value != int(value):
        raise UnnoiseError(f"config: train_size must be a share of at most 1 or a number of images, got {value}")
    return value


def _spell(number: float) -> str:
    return f"{number:.12g}"
