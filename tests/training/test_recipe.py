"""Recipes: one schema, read from YAML or JSON, changed by dotted overrides; typos get a suggestion."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from unnoise import io
from unnoise.errors import UnnoiseError
from unnoise.training import compatibility, recipe as recipes
from unnoise.training.recipe import Recipe

SHIPPED = sorted((Path(__file__).resolve().parent.parent.parent / "recipes").iterdir())
SMALLEST = {
    "name": "tiny",
    "network": "dncnn:depth=3",
    "noise": "gaussian:0..50",
    "data": {"train": ["images:pictures"]},
    "train": {"steps": 10},
}


def refusal(source: Any, overrides: dict[str, Any] | None = None) -> str:
    """Return the one-line error for an invalid recipe."""
    with pytest.raises(UnnoiseError) as caught:
        recipes.load(source, overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_there_are_recipes() -> None:
    assert SHIPPED


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_recipe_loads_and_round_trips(path: Path, tmp_path: Path) -> None:
    io.from_array(np.random.default_rng(0).integers(256, size=(64, 64), dtype=np.uint8)).save(tmp_path / "a.png")
    taken_from_pictures = {"data.train": [f"images:{tmp_path}"]} if path.stem == "own_pictures" else {}
    recipe = recipes.load(path, taken_from_pictures)
    assert path.stem.startswith(recipe.name)  # color_finish makes color
    assert recipe.summary
    assert recipe.data_licence, "the model's card says what it learned from"
    again = tmp_path / "again.yaml"
    again.write_text(recipes.dump(recipe), encoding="utf-8")
    assert recipes.load(again) == recipe
    assert recipes.dump(recipes.load(again)) == recipes.dump(recipe)


@pytest.mark.parametrize(("suffix", "write"), [(".yaml", yaml.safe_dump), (".json", json.dumps)])
def test_files_and_mappings_say_the_same(tmp_path: Path, suffix: str, write: Any) -> None:
    path = tmp_path / f"recipe{suffix}"
    path.write_text(write(SMALLEST), encoding="utf-8")
    assert recipes.load(path) == recipes.load(str(path)) == recipes.load(SMALLEST)


def test_defaults_are_stated_in_what_is_written() -> None:
    recipe = recipes.load(SMALLEST)
    assert (recipe.loss, recipe.task, recipe.data.channels, recipe.train.precision) == ("l1", "supervised", 3, "auto")
    assert yaml.safe_load(recipes.dump(recipe))["train"]["learning_rate"] == recipe.train.learning_rate


def test_specs_are_written_in_one_way() -> None:
    recipe = recipes.load(SMALLEST, {"network": "dncnn:depth=17,channels=1", "validation.noise": ["gaussian:sd=5.0"]})
    assert recipe.network == "dncnn:channels=1"
    assert recipe.validation.noise == ["gaussian:5"]


def test_what_stays_needs_a_start() -> None:
    assert "train.start_weight needs initial weights" in refusal(SMALLEST, {"train.start_weight": 0.5})


def test_the_best_needs_something_to_judge_by() -> None:
    best = {"validation.keep": "best"}
    assert "validation.keep: best needs validation.patches" in refusal(SMALLEST, best)
    assert "validation.keep: best needs validation.patches" in refusal(SMALLEST, {**best, "validation.patches": 4})
    assert (
        recipes.load(SMALLEST, {**best, "validation.patches": 4, "data.validation_split": 0.1}).validation.keep
        == "best"
    )
    both = {"data.validation_split": 0.1, "data.validation": ["images:others"]}
    assert "either data.validation or data.validation_split" in refusal(SMALLEST, both)


def test_a_recipe_does_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        recipes.load(SMALLEST).name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("train.steps", "5000", 5000),
        ("train.learning_rate", "2e-3", 0.002),
        ("train.grad_clip", "null", None),
        ("data.train", "[images:a, images:b]", ["images:a", "images:b"]),
        ("data.exclude", "list.txt", "list.txt"),
        ("validation.noise", "['gaussian:5', 'poisson:30 + clip']", ["gaussian:5", "poisson:30 + clip"]),
        ("loss", "0.5*l1 + 0.5*mse", "0.5*l1 + 0.5*mse"),
        ("train.precision", "bf16", "bf16"),
    ],
)
def test_dotted_overrides(key: str, text: str, value: Any) -> None:
    def find(recipe: Recipe) -> Any:
        found: Any = recipe
        for part in key.split("."):
            found = getattr(found, part)
        return found

    before = copy.deepcopy(SMALLEST)
    assert find(recipes.load(SMALLEST, {key: text})) == value
    assert find(recipes.load(SMALLEST, {key: value})) == value
    assert before == SMALLEST, "the caller's mapping is left as it is"


@pytest.mark.parametrize(
    ("key", "wrong", "right"),
    [
        ("sumary", "sumary", "summary"),
        ("train.stepz", "train.stepz", "train.steps"),
        ("train.learning-rate", "train.learning-rate", "train.learning_rate"),
        ("validation.evry", "validation.evry", "validation.every"),
        ("trian.steps", "trian", "train"),
        ("steps", "steps", "train.steps"),
    ],
)
def test_a_typo_is_refused_with_the_right_spelling(key: str, wrong: str, right: str) -> None:
    assert refusal(SMALLEST, {key: 5}) == f"unknown key '{wrong}': did you mean '{right}'?"


def test_a_typo_is_reported_before_the_missing_key() -> None:
    tree = {("netwrok" if key == "network" else key): value for key, value in SMALLEST.items()}
    assert refusal(tree) == "unknown key 'netwrok': did you mean 'network'?"


def test_a_typo_in_a_stage() -> None:
    stages = [{"until": 1, "pach": 64, "batch": 2}]
    assert refusal(SMALLEST, {"train.stages": stages}) == (
        "unknown key 'train.stages.pach': did you mean 'train.stages.patch'?"
    )


def test_an_unknown_key_that_resembles_none_lists_them_all() -> None:
    line = refusal(SMALLEST, {"xyzzy": 1})
    for key in ("data.train", "train.stages.patch", "validation.crop", "data_licence"):
        assert f" {key}" in line


@pytest.mark.parametrize("key", ["name", "network", "data", "train"])
def test_a_missing_key_is_named(key: str) -> None:
    assert refusal({other: value for other, value in SMALLEST.items() if other != key}) == f"the key '{key}' is missing"


def test_a_missing_inner_key_is_named_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump({**SMALLEST, "data": {"channels": 1}}))
    assert refusal(path) == f"{path}: the key 'data.train' is missing"


def test_a_training_has_one_length() -> None:
    assert refusal({**SMALLEST, "train": {}}) == "train: set train.steps or train.epochs"
    both = refusal(SMALLEST, {"train.epochs": 2})
    assert both == "train: train.steps and train.epochs are both set: set one of them to null"


def test_a_run_is_continued_by_its_recipe_or_a_longer_one() -> None:
    run = recipes.load(SMALLEST, {"train.precision": "bf16"})
    for change in ({}, {"train.steps": 11}, {"train.devices": 2}, {"train.warmup": 200}):
        assert compatibility.can_resume(recipes.load(SMALLEST, {"train.precision": "bf16", **change}), run)
    for change in ({"train.steps": 9}, {"train.steps": None, "train.epochs": 3}, {"train.minutes": 5},
                   {"train.seed": 1}, {"train.precision": "fp32"}, {"loss": "mse"}):  # fmt: skip
        assert not compatibility.can_resume(recipes.load(SMALLEST, {"train.precision": "bf16", **change}), run)
    unrecorded = recipes.load(SMALLEST)
    assert compatibility.can_resume(run, unrecorded), "a run of an earlier version"


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("network", "dncn", "network: unknown network 'dncn': did you mean 'dncnn'?"),
        ("noise", "gausian:5", "did you mean 'gaussian'?"),
        ("noise", "gaussian:-5", "sd must be a number of at least 0"),
        ("validation.noise", ["gausian:5"], "validation.noise: unknown noise 'gausian'"),
        ("loss", "l1 +", "loss: cannot read 'l1 +'"),
        ("task", "supervize", "did you mean 'supervised'?"),
        ("name", "My Model", "name: String should match"),
        ("data.channels", 2, "data.channels: Input should be 1 or 3"),
        ("data.train", [], "data.train: List should have at least 1 item"),
        ("train.steps", "many", "train.steps: Input should be a valid integer"),
        ("train.steps", 0, "train.steps: Input should be greater than or equal to 1"),
        ("train.ema", 1, "train.ema: Input should be less than 1"),
        ("train.seed", -1, "train.seed: Input should be greater than or equal to 0"),
        ("train.stages", [], "the stages' `until` must increase"),
        ("train.steps.x", 1, "cannot set 'train.steps.x': 'steps' is not a section"),
        ("train.steps", "[1", "'train.steps' is not YAML or JSON"),
    ],
)
def test_an_invalid_value_is_reported_with_its_key(key: str, value: Any, why: str) -> None:
    assert why in refusal(SMALLEST, {key: value})


@pytest.mark.parametrize("ends", [[0.5], [0.5, 0.4, 1], [0.5, 0.5, 1], [1, 0.5], [0.5, 1.5], [0, 1]])
def test_stages_end_one_after_the_other(ends: list[float]) -> None:
    line = refusal(SMALLEST, {"train.stages": [{"until": end, "patch": 8, "batch": 1} for end in ends]})
    assert line.startswith("train")
    if all(0 < end <= 1 for end in ends):
        assert "the stages' `until` must increase, and the last must be 1" in line


def test_stages_in_order_are_taken() -> None:
    stages = [{"until": end, "patch": 8, "batch": 1} for end in (0.25, 0.5, 1)]
    assert [stage.until for stage in recipes.load(SMALLEST, {"train.stages": stages}).train.stages] == [0.25, 0.5, 1]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot read the recipe"),
        (b"", "must be a mapping"),
        (b"- a\n- b\n", "must be a mapping"),
        (b"a: [1\nb: 2\n", "is not YAML or JSON"),
        (b"\xff\xfe\x00\x01", "is not YAML or JSON: it is not text"),
        (b"!!python/object/apply:os.system [exit]", "is not YAML or JSON"),
    ],
)
def test_a_file_that_is_no_recipe(tmp_path: Path, content: bytes | None, why: str) -> None:
    path = tmp_path / "r.yaml"
    if content is not None:
        path.write_bytes(content)
    line = refusal(path)
    assert why in line
    assert str(path) in line
