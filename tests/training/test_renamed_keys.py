"""Recipes and cards with key names of earlier versions still load, and so does every bundled file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from unnoise import denoisers
from unnoise.denoisers import ESTIMATOR
from unnoise.denoisers.model_card import KEY, Card
from unnoise.denoisers.onnx import Onnx
from unnoise.denoisers.pytorch import load
from unnoise.errors import UnnoiseError
from unnoise.training import recipe as recipes, recipe_file

ROOT = Path(__file__).resolve().parent.parent.parent
WEIGHTS = ROOT / "src" / "unnoise" / "denoisers" / "weights"
NETWORKS = sorted([*WEIGHTS.glob("*.safetensors"), *(ROOT / "examples" / "models").glob("*.safetensors")])

OLD = """
name: old
network: dncnn:depth=3
noise: gaussian:25
start: color
data:
  train: [images:photos]
  hold_back: 0.1
  per_picture: 3
  white: true
  turn: false
  gray: 0.25
  stretch: 0.5
train:
  steps: 10
  clip: null
  stay: 0.4
  warmup: 5
validation:
  items: 64
  keep: best
terms: our own
"""
NEW = """
name: old
network: dncnn:depth=3
noise: gaussian:25
init_from: color
data:
  train: [images:photos]
  validation_split: 0.1
  patches_per_picture: 3
  normalize_white: true
  augment: false
  gray_probability: 0.25
  stretch_probability: 0.5
train:
  steps: 10
  grad_clip: null
  start_weight: 0.4
  warmup: 5
validation:
  patches: 64
  keep: best
data_licence: our own
"""


def value_of(recipe: recipes.Recipe, dotted: str) -> Any:
    value: Any = recipe
    for key in dotted.split("."):
        value = getattr(value, key)
    return value


def test_an_old_recipe_loads(tmp_path: Path) -> None:
    path = tmp_path / "old.yaml"
    path.write_text(OLD, encoding="utf-8")
    recipe = recipes.load(path)
    assert recipe == recipes.load(yaml.safe_load(NEW)) == recipes.load(yaml.safe_load(OLD))
    written = yaml.safe_load(recipes.dump(recipe))
    for old in recipe_file.RENAMED:
        section, _, key = old.rpartition(".")
        assert key not in (written[section] if section else written), "only the present names are written"


@pytest.mark.parametrize("old", recipe_file.RENAMED)
def test_an_old_name_as_an_override(old: str) -> None:
    new = recipe_file.RENAMED[old]
    value = {"start": "gray", "terms": "theirs", "data.turn": True, "data.white": False}.get(old, 1)
    value = {"data.hold_back": 0.2, "data.gray": 0.125, "data.stretch": 0.125, "train.stay": 0.125}.get(old, value)
    recipe = recipes.load(yaml.safe_load(NEW), {old: value})
    assert recipe == recipes.load(yaml.safe_load(OLD), {new: value})
    assert value_of(recipe, new) == value


def test_a_key_under_both_names_is_refused() -> None:
    tree = yaml.safe_load(OLD)
    tree["train"]["grad_clip"] = 1
    with pytest.raises(UnnoiseError, match=r"^'train.clip' is the old name of 'train.grad_clip': remove one of them$"):
        recipes.load(tree)


def test_an_old_card_loads() -> None:
    text = '{"name": "old", "network": "dncnn", "channels": 3, "noise": "", "terms": "our own"}'
    assert Card.from_metadata({KEY: text}, "old.safetensors").data_licence == "our own"


@pytest.mark.parametrize("path", NETWORKS, ids=lambda path: path.name)
def test_every_bundled_network_loads_with_its_recipe(path: Path) -> None:
    _, card = load(path)
    assert card.data_licence
    recipe = recipes.load(yaml.safe_load(card.recipe))
    trained = "blind" if path.stem == ESTIMATOR else card.name  # the estimator is a part of that
    assert (recipe.name, recipe.data_licence) == (trained, card.data_licence)


@pytest.mark.parametrize("path", sorted(WEIGHTS.glob("*.onnx")), ids=lambda path: path.name)
def test_every_exported_model_loads(path: Path) -> None:
    assert recipes.load(yaml.safe_load(Onnx(path).card.recipe)).name
    if path.stem == ESTIMATOR:
        with pytest.raises(UnnoiseError, match="is not a denoiser"):
            denoisers.make(path)
    else:
        assert denoisers.make(path).channels
