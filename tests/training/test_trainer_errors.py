"""Training: its one-line errors, and the files left behind after them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch  # noqa: TID253
import yaml

from unnoise import io
from unnoise.denoisers import pytorch
from unnoise.errors import UnnoiseError
from unnoise.training import distributed, dry_run, recipe as recipes, run_folder, trainer
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
    """Return the one-line error of a training."""
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
    line = refusal(make({"train.seed": 7}), tmp_path / "run", resume=True)
    assert "holds a run of another recipe, or a longer one: see" in line
    assert contents(tmp_path / "run") == before


def test_a_finished_run_is_lengthened_and_not_shortened(make: MakeRecipe, tmp_path: Path) -> None:
    trainer.train(make(), tmp_path / "run")
    model = trainer.train(make({"train.steps": 9}), tmp_path / "run", resume=True)
    assert pytorch.load(model)[1].trained.startswith("9 steps")
    assert recipes.load(tmp_path / "run" / "recipe.yaml").train.steps == 9
    assert [json.loads(line)["step"] for line in (tmp_path / "run" / run_folder.LOG).read_text().splitlines()] == [6, 9]
    assert "or a longer one" in refusal(make(), tmp_path / "run", resume=True)


def test_a_failed_run_does_not_block_its_folder(make: MakeRecipe, tmp_path: Path) -> None:
    refusal(make({"noise": "poisson:30"}), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert trainer.train(make(), tmp_path / "run").exists()


def test_a_run_that_fails_after_a_checkpoint_keeps_it(
    make: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = trainer.Trainer._update_ema

    def fail(run: trainer.Trainer) -> None:
        update(run)
        if run.progress.step == 3:
            raise UnnoiseError("no space left")

    monkeypatch.setattr(trainer.Trainer, "_update_ema", fail)
    assert refusal(make(), tmp_path / "run") == "no space left"
    monkeypatch.undo()
    assert "already contains a run" in refusal(make(), tmp_path / "run")
    assert trainer.train(make(), tmp_path / "run", resume=True).exists()


def test_a_warm_up_longer_than_the_training(make: MakeRecipe, tmp_path: Path) -> None:
    line = refusal(make({"train.warmup": 7}), tmp_path / "run")
    assert line == "train.warmup is 7 steps and the training only 6: lower train.warmup"
    epochs = {"train.warmup": 7, "train.steps": None, "train.epochs": 2.5, "data.patches_per_picture": 2}
    assert "and the training only 5: lower" in refusal(make(epochs), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("noise", ["poisson:30", "gaussian:25 | poisson:30"])
def test_a_dry_run_refuses_a_noise_that_the_network_cannot_use(make: MakeRecipe, noise: str) -> None:
    with pytest.raises(UnnoiseError, match=r"^resunet needs sigma, and 'poisson:30' has no single sigma"):
        dry_run.check(make({"noise": noise}))
    assert dry_run.check(make({"noise": noise, "network": "dncnn:depth=3,width=4"}))


def test_the_precision_is_recorded_and_kept(make: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, chosen = make({"train.precision": "auto"}), iter(["bf16", "fp32"])
    monkeypatch.setattr(distributed, "choose_precision", lambda device: next(chosen))
    for steps in (6, 8):  # resumed where the hardware would choose otherwise
        train = recipe.train.model_copy(update={"steps": steps})
        model = trainer.train(recipe.model_copy(update={"train": train}), tmp_path / "run", resume=True)
        assert recipes.load(tmp_path / "run" / "recipe.yaml").train.precision == "bf16"
        assert recipes.load(yaml.safe_load(pytorch.load(model)[1].recipe)).train.precision == "bf16"
    lines = (tmp_path / "run" / run_folder.LOG).read_text().splitlines()
    assert [json.loads(line)["precision"] for line in lines] == ["bf16", "bf16"]
    assert next(chosen, None) is None


@pytest.mark.parametrize(
    ("capabilities", "precision"),
    [({"avx512_bf16": True}, "bf16"), ({"avx2": True, "amx_bf16": False}, "fp32"), ({"bf16": True}, "bf16")],
)
def test_the_precision_is_what_the_processor_can_do(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], precision: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert distributed.choose_precision("cpu") == precision


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_training_image_with_nan_is_named(make: MakeRecipe, tmp_path: Path, value: float) -> None:
    pixels = np.full((20, 20, 3), 0.5, np.float32)
    pixels[3, 4] = value
    tifffile.imwrite(tmp_path / "pictures" / "broken.tif", pixels, photometric="rgb")
    line = refusal(make(), tmp_path / "run")
    assert "broken.tif" in line
    assert not (tmp_path / "run").exists()


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
        (
            {"train.stages": [{"until": 1, "patch": 10, "batch": 1}]},
            "train.stages: patch 10 must be a multiple of 4 for resunet and this task",
        ),
        (
            {"train.stages": [{"until": 0.5, "patch": 8, "batch": 1}, {"until": 1, "patch": 24, "batch": 1}]},
            "'only.png', 20x24 pixels, is smaller than a patch of 24",
        ),
        ({"data.train": ["images:nowhere"]}, "no data at 'nowhere'"),
        ({"data.validation": ["images:nowhere"]}, "no data at 'nowhere'"),
        ({"data.exclude": "nowhere.txt"}, "no data at 'nowhere.txt'"),
    ],
)
def test_errors_come_before_anything_is_written(
    make: MakeRecipe, tmp_path: Path, changes: dict[str, Any], why: str
) -> None:
    assert why in refusal(make(changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_failing_compiler_is_reported_before_anything_is_written(
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
    monkeypatch.setattr(trainer.Trainer, "_reads_late", late)  # as on a GPU
    recipe = make(
        {"train.learning_rate": 1e30, "train.warmup": 0, "train.grad_clip": clip, "train.checkpoint_every": 1}
    )
    line = refusal(recipe, tmp_path / "run")
    assert line.startswith("the loss is not finite at step ")
    assert line.endswith(": lower train.learning_rate")
    left, _ = pytorch.load(tmp_path / "run" / "tiny.safetensors")
    assert all(value.isfinite().all() for value in left.state_dict().values()), "as of the last checkpoint"
    state = torch.load(tmp_path / "run" / run_folder.CHECKPOINT, weights_only=True)
    assert all(torch.isfinite(value).all() for value in state["network"].values()), "no checkpoint of ruins"


def test_noise_without_a_single_sigma_does_not_suit_a_network_that_needs_sigma(
    make: MakeRecipe, tmp_path: Path
) -> None:
    line = refusal(make({"noise": "poisson:30"}), tmp_path / "run")
    assert line == "resunet needs sigma, and 'poisson:30' has no single sigma: use a network without sigma input"


def test_limited_gradients(make: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    norms: list[float] = []
    clip = trainer.Fabric.clip_gradients

    def measure(fabric: Any, network: torch.nn.Module, *rest: Any, **options: Any) -> Any:
        before = clip(fabric, network, *rest, **options)
        norms.append(torch.nn.utils.get_total_norm([one.grad for one in network.parameters()]).item())
        return before

    monkeypatch.setattr(trainer.Fabric, "clip_gradients", measure)
    trainer.train(make({"train.grad_clip": 1e-3}), tmp_path / "limited")
    assert norms == pytest.approx([1e-3] * 6, rel=0.01)
    norms.clear()
    trainer.train(make({"train.grad_clip": None}), tmp_path / "free")
    assert all(norm > 2e-3 for norm in norms)


def damaged_folder(make: MakeRecipe) -> tuple[Recipe, Path]:
    """Return a recipe, and its folder with a good image, a cut one, a damaged TIFF, and one that holds NaN."""
    recipe = make()
    folder = Path(recipe.data.train[0].removeprefix("images:"))
    (folder / "cut.png").write_bytes((folder / "only.png").read_bytes()[:300])
    (folder / "broken.tif").write_bytes(b"II*\0\xff\xff\xff\xff")
    tifffile.imwrite(folder / "nan.tif", np.full((24, 20, 3), np.nan, np.float32), photometric="rgb")
    return recipe, folder


def test_a_damaged_image_is_named(make: MakeRecipe, tmp_path: Path) -> None:
    recipe, folder = damaged_folder(make)
    for name, reason in (
        ("broken.tif", "damaged"),
        ("cut.png", "damaged"),
        ("nan.tif", "holds NaN or infinite values"),
    ):
        line = refusal(recipe, tmp_path / "run")
        assert name in line and reason in line
        (folder / name).unlink()
    trainer.train(recipe, tmp_path / "run")


def test_damaged_images_can_be_skipped(make: MakeRecipe, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _, folder = damaged_folder(make)
    (folder / "nan.tif").rename(folder / "z.tif")
    trainer.train(make({"data.skip_damaged": True}), tmp_path / "run")
    skipped = [line for line in caplog.messages if line.startswith("skipped: ")]
    assert [name in line for name, line in zip(("broken.tif", "cut.png", "z.tif"), skipped, strict=True)] == [True] * 3
    (folder / "only.png").unlink()
    assert "every image is damaged: " in refusal(make({"data.skip_damaged": True}), tmp_path / "other")
