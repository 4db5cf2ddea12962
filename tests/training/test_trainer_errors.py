"""Training: what it refuses, in one line, and what it leaves behind then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch  # noqa: TID253

from unnoise import io
from unnoise.denoisers import pytorch
from unnoise.errors import UnnoiseError
from unnoise.training import recipe as recipes, trainer
from unnoise.training.recipe import Recipe

MakeRecipe = Callable[..., Recipe]


@pytest.fixture
def make(tmp_path: Path, rng: np.random.Generator) -> MakeRecipe:
    """Return a function that makes a recipe of 6 steps on one random picture, with dotted changes."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    io.from_array(rng.integers(256, size=(24, 20, 3), dtype=np.uint8)).save(folder / "only.png")
    train = {"steps": 6, "precision": "fp32", "checkpoint_every": 2, "stages": [{"until": 1, "patch": 8, "batch": 1}]}
    base = {"name": "tiny", "network": "resunet:widths=4/8,blocks=1/1", "noise": "gaussian:25", "train": train}

    def make(changes: dict[str, Any] | None = None) -> Recipe:
        return recipes.load({**base, "data": {"train": [f"images:{folder}"]}}, changes)

    return make


def refusal(recipe: Recipe, folder: Path, *, resume: bool = False) -> str:
    """Return the one line in which a training is refused."""
    with pytest.raises(UnnoiseError) as caught:
        trainer.train(recipe, folder, resume=resume)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_run_is_not_overwritten(make: MakeRecipe, tmp_path: Path) -> None:
    trainer.train(make(), tmp_path / "run")
    before = contents(tmp_path / "run")
    line = refusal(make(), tmp_path / "run")
    assert "already contains a run: resume it, or choose another folder" in line
    assert contents(tmp_path / "run") == before


def test_another_recipe_does_not_go_on_with_a_run(make: MakeRecipe, tmp_path: Path) -> None:
    trainer.train(make(), tmp_path / "run")
    before = contents(tmp_path / "run")
    line = refusal(make({"train.steps": 7}), tmp_path / "run", resume=True)
    assert "holds a run of another recipe: see" in line
    assert contents(tmp_path / "run") == before


def test_resuming_what_was_never_begun_begins(make: MakeRecipe, tmp_path: Path) -> None:
    assert trainer.train(make(), tmp_path / "run", resume=True).exists()


def test_a_value_left_to_its_default_is_the_same_recipe(make: MakeRecipe, tmp_path: Path) -> None:
    recipe = make()
    trainer.train(recipe, tmp_path / "run")
    path = tmp_path / "run" / "recipe.yaml"
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if "ema" not in line))
    trainer.train(recipe, tmp_path / "run", resume=True)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"data.channels": 1}, "the network has 3 channels and data.channels is 1"),
        ({"train.stages": [{"until": 1, "patch": 10, "batch": 1}]}, "a patch of 10: resunet takes multiples of 4"),
        (
            {"train.stages": [{"until": 0.5, "patch": 8, "batch": 1}, {"until": 1, "patch": 24, "batch": 1}]},
            "'only.png', 20x24 pixels, is smaller than a patch of 24",
        ),
        ({"data.train": ["images:nowhere"]}, "no data at 'nowhere'"),
        ({"data.validation": ["images:nowhere"]}, "no data at 'nowhere'"),
        ({"data.exclude": "nowhere.txt"}, "no data at 'nowhere.txt'"),
    ],
)
def test_what_does_not_fit_is_told_before_anything_is_written(
    make: MakeRecipe, tmp_path: Path, changes: dict[str, Any], why: str
) -> None:
    assert why in refusal(make(changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_compiler_that_does_not_work_is_told_before_anything_is_written(
    make: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("no compiler found\nand more about it")

    monkeypatch.setattr(torch, "compile", refuse)
    line = refusal(make({"train.compile": True}), tmp_path / "run")
    assert line == "train.compile: PyTorch's compiler does not work here: no compiler found"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("clip", [0.5, None])
def test_a_loss_that_is_no_number_ends_the_run(
    make: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clip: float | None, late: bool
) -> None:
    monkeypatch.setattr(trainer._Run, "_reads_late", late)  # as on a GPU
    recipe = make({"train.learning_rate": 1e30, "train.warmup": 0, "train.clip": clip, "train.checkpoint_every": 1})
    line = refusal(recipe, tmp_path / "run")
    assert line.startswith("the loss is no longer a number at step ")
    assert line.endswith(": lower train.learning_rate")
    left, _ = pytorch.load(tmp_path / "run" / "tiny.safetensors")
    assert all(value.isfinite().all() for value in left.state_dict().values()), "as of the last checkpoint"
    state = torch.load(tmp_path / "run" / trainer.CHECKPOINT, weights_only=True)
    assert all(torch.isfinite(value).all() for value in state["network"].values()), "no checkpoint of ruins"


def test_a_level_that_no_number_says_cannot_be_told_to_a_network(make: MakeRecipe, tmp_path: Path) -> None:
    line = refusal(make({"noise": "poisson:30"}), tmp_path / "run")
    assert line == "resunet is told the noise level, and 'poisson:30' has no single one"


def test_limited_gradients(make: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    norms: list[float] = []
    clip = trainer.Fabric.clip_gradients

    def measure(fabric: Any, network: torch.nn.Module, *rest: Any, **options: Any) -> Any:
        before = clip(fabric, network, *rest, **options)
        norms.append(torch.nn.utils.get_total_norm([one.grad for one in network.parameters()]).item())
        return before

    monkeypatch.setattr(trainer.Fabric, "clip_gradients", measure)
    trainer.train(make({"train.clip": 1e-3}), tmp_path / "limited")
    assert norms == pytest.approx([1e-3] * 6, rel=0.01)
    norms.clear()
    trainer.train(make({"train.clip": None}), tmp_path / "free")
    assert all(norm > 2e-3 for norm in norms)
