"""Automatic recipes: the summary of the data, the resulting settings, and training without clean images."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from unnoise import datasets, denoisers, io, noise
from unnoise.cli import main
from unnoise.denoisers import pytorch
from unnoise.errors import UnnoiseError
from unnoise.evaluation.metrics import psnr
from unnoise.training import auto_recipe, recipe as recipes, run_folder, trainer, validation
from unnoise.training.recipe import Recipe

OWN = Path(__file__).resolve().parent.parent.parent / "recipes" / "own_pictures.yaml"
TINY = "resunet:channels=1,widths=8/16,blocks=1/1,told=false"


def soft(seed: int, side: int = 96, *, channels: int = 1) -> np.ndarray:
    """Return a smooth image, float32 `[side, side, channels]` from 0.1 to 0.9."""
    rng = np.random.default_rng(seed)
    picture = ndimage.gaussian_filter(rng.standard_normal((side, side, channels)), (5, 5, 0), mode="wrap")
    picture = (picture - picture.min()) / np.ptp(picture)
    return (0.1 + 0.8 * picture).astype(np.float32)


def save(pictures: list[np.ndarray], folder: Path, *, white: int = 4095) -> str:
    """Write images as 16-bit TIFF files with 12-bit values; return them as a dataset."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, one in enumerate(pictures):
        counts = np.clip(np.rint(one * white), 0, white).astype(np.uint16)
        io.from_array(counts).save(folder / f"{index}.tif")
    return f"images:{folder}"


def noisy(spec: str, count: int = 3, side: int = 96, *, channels: int = 1) -> list[np.ndarray]:
    return [noise.make(spec)(soft(index, side, channels=channels), index) for index in range(count)]


def own(data: str | list[str], **changes: Any) -> Recipe:
    short = {"train.warmup": None}
    return recipes.load(
        OWN, {"data.train": data, **short, **{key.replace("__", "."): one for key, one in changes.items()}}
    )


def with_rows(picture: np.ndarray, deviation: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((len(picture), 1, 1)) * deviation
    return (picture + rows + 0.04 * rng.standard_normal(picture.shape)).astype(np.float32)


def test_what_is_stated_stays_and_the_rest_is_found(tmp_path: Path) -> None:
    data = save(noisy("gaussian:20"), tmp_path)
    found, stated = own(data), own(data, train__steps=7, task="noise2void:fill=median", network=TINY, loss="l1")
    assert (found.task, found.loss, found.data.channels) == ("neighbor2neighbor", "mse", 1)
    assert found.network == "resunet:channels=1,widths=16/32/64,blocks=1/1/1,told=false"
    assert found.summary.startswith("trained on 3 noisy images, gray, 0.028 megapixels; noise: gaussian, sigma ")
    assert (found.train.stages[0].patch, found.validation.every) == (48, found.train.steps // 10)  # type: ignore[operator]
    assert (stated.train.steps, stated.task, stated.loss) == (7, "noise2void:fill=median", "l1")
    assert stated.network == TINY
    assert recipes.load(found.model_dump()) == found, "what is settled is settled"


def test_a_recipe_that_leaves_nothing_open_is_left_alone() -> None:
    assert not auto_recipe.has_auto(
        {"network": "dncnn", "train": {"precision": "auto", "steps": 3}, "data": {"train": ["x:y"]}}
    )
    assert auto_recipe.has_auto({"network": "dncnn", "train": {"steps": "auto"}})
    assert auto_recipe.has_auto({"network": "dncnn", "model": "gray"})


def test_without_pictures_the_line_says_what_to_name() -> None:
    with pytest.raises(UnnoiseError, match=r"^name the training images: data\.train=images:FOLDER$"):
        recipes.load(OWN)


def test_more_data_is_learned_from_for_longer(tmp_path: Path) -> None:
    few = own(save(noisy("gaussian:20", 1, 128), tmp_path / "few"))
    many = auto_recipe.resolve_auto(
        {"network": "auto", "data": {"train": [save([np.zeros((1600, 1600, 1))], tmp_path / "many")]},
         "train": {"steps": "auto"}}
    )  # fmt: skip
    assert few.train.steps == 600
    assert many["train"]["steps"] == 1600


@pytest.mark.parametrize(("channels", "expected"), [(1, 1), (3, 3)])
def test_channels_are_those_of_the_pictures(tmp_path: Path, channels: int, expected: int) -> None:
    data = save(noisy("gaussian:20", channels=channels), tmp_path)
    assert own(data).data.channels == expected


def test_grey_in_three_channels_is_grey(tmp_path: Path) -> None:
    assert own(save([np.repeat(one, 3, axis=2) for one in noisy("gaussian:20")], tmp_path)).data.channels == 1


def test_small_pictures_get_small_patches_and_tiny_ones_are_refused(tmp_path: Path) -> None:
    assert own(save(noisy("gaussian:20", 2, 40), tmp_path / "a")).train.stages[0].patch == 16
    assert own(save(noisy("gaussian:20", 12, 40), tmp_path / "b")).train.stages[0].patch == 32
    with pytest.raises(
        UnnoiseError, match="the shortest side of the training images is 24 pixels: at least 32 are needed"
    ):
        own(save(noisy("gaussian:20", 2, 24), tmp_path / "c"))


@pytest.mark.parametrize("turned", [False, True])
def test_noise_along_lines_is_found_and_hidden_from(tmp_path: Path, turned: bool) -> None:
    pictures = [with_rows(soft(index), 0.04, index) for index in range(3)]
    if turned:
        pictures = [one.swapaxes(0, 1) for one in pictures]
    assert auto_recipe.lines(pictures) == ("column" if turned else "row")
    recipe = own(save(pictures, tmp_path))
    assert recipe.task == f"noise2void:fill=median,hide={'column' if turned else 'row'}"
    assert recipe.network.endswith("told=false,through=false")


def test_pictures_are_not_taken_for_noise_along_lines(photograph: np.ndarray) -> None:
    assert auto_recipe.lines([photograph]) == ""
    assert auto_recipe.lines([np.tile(np.linspace(0, 1, 96)[:, None, None], (1, 96, 1)).astype(np.float32)]) == ""
    assert auto_recipe.lines(noisy("gaussian:5")) == ""
    assert auto_recipe.lines(noisy("poisson:30")) == ""


def test_lost_pixels_are_learned_by_the_median(tmp_path: Path) -> None:
    assert own(save(noisy("salt-pepper:0.1"), tmp_path)).loss == "l1"


def test_two_shots_are_learned_from_each_other(tmp_path: Path) -> None:
    for index, shot in ((0, 1), (0, 2), (1, 1), (1, 2)):
        one = noise.make("gaussian:20")(soft(index), shot)
        io.from_array(one).save(tmp_path / f"{index}_shot{shot}.tif")
    assert own(f"pairs:{tmp_path}").task == "noise2noise"


def test_correlated_noise_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = auto_recipe.DatasetSummary(1, 1.0, 64, 3, "correlated", 5.0, "", "none")
    auto_recipe._warn(found, "neighbor2neighbor")
    assert "the noise is correlated between neighboring pixels" in caplog.text
    caplog.clear()
    own(save(noisy("gaussian:20"), tmp_path / "noisy"))
    auto_recipe._warn(dataclasses.replace(found, given="second"), "noise2noise")
    assert caplog.text == ""
    own(save([soft(0)], tmp_path / "clean"))
    assert "no noise was found" in caplog.text


@pytest.mark.parametrize(
    ("model", "network"),
    [("photo", "resunet:told=false"), ("gray", "resunet:channels=1,told=false,guess=true")],
)
def test_a_shipped_model_is_gone_on_from(tmp_path: Path, model: str, network: str) -> None:
    recipe = own(save(noisy("gaussian:20"), tmp_path / "data"), model=model, train__steps=1, validation__patches=1)
    assert (recipe.init_from, recipe.network, recipe.data.channels) == (model, network, 1 if model == "gray" else 3)
    assert recipe.train.learning_rate == 3e-4
    quick = recipe.model_dump() | {
        "train": {**recipe.train.model_dump(), "stages": [{"until": 1, "patch": 16, "batch": 1}]}
    }
    network_, card = pytorch.load(trainer.train(recipes.load(quick), tmp_path / "run"))
    before = pytorch.load(denoisers.training_weights(model))[1]
    assert card.trained.startswith(f"{before.trained}, then 1 steps")
    assert str(network_) == network


@pytest.mark.parametrize("task", ["neighbor2neighbor", "noise2void"])
def test_it_learns_without_the_truth_and_the_main_job_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    save(noisy("gaussian:25", 4), tmp_path / "noisy")
    network = f"{TINY},through=false" if task == "noise2void" else TINY
    changes = [
        "train.steps=150",
        "validation.patches=16",
        "train.learning_rate=0.01",
        f"network={network}",
        f"task={task}",
    ]
    run(["train", str(OWN), f"data.train=images:{tmp_path / 'noisy'}", *changes])
    model = Path("runs/own/own.safetensors")
    assert "is no better than its input" not in caplog.text
    run(["train", str(OWN), f"data.train=images:{tmp_path / 'noisy'}", *changes, "--resume"])  # there is nothing left
    run(["noisy", "--model", str(model), "-o", "clean"])
    before, after = (
        [psnr(soft(i), io.read(Path(where) / f"{i}.tif").pixels * 65535 / 4095) for i in range(4)]
        for where in ("noisy", "clean")
    )
    assert io.read(Path("clean/0.tif")).dtype == np.uint16
    assert np.mean(after) > np.mean(before) + 4


def run(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main(words)
    assert ended.value.code == 0


def test_the_best_is_kept_and_a_model_that_learns_nothing_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = iter([0.5, 0.3, 0.2, 0.4])
    loss = validation.Validator.patch_values

    def scripted(self: Any, *rest: Any) -> dict[str, float]:
        return {**loss(self, *rest), "validation_pair": next(judged), "validation_input": 0.2}

    monkeypatch.setattr(validation.Validator, "patch_values", scripted)
    recipe = own(save(noisy("gaussian:25"), tmp_path / "a"), network=TINY, train__steps=8, validation__every=2,
                 train__ema=0, validation__patches=2)  # fmt: skip
    steps: dict[int, Any] = {}
    follow = trainer.Trainer._update_ema

    def record(self: Any) -> None:
        follow(self)
        steps[self.progress.step] = {key: value.clone() for key, value in self.average.state_dict().items()}

    monkeypatch.setattr(trainer.Trainer, "_update_ema", record)
    with caplog.at_level(logging.WARNING):
        network, card = pytorch.load(trainer.train(recipe, tmp_path / "run"))
    assert card.trained.startswith("6 steps")
    kept = network.state_dict()
    assert all((kept[key] == value).all() for key, value in steps[6].items())
    assert "the model is no better than its input: validation pair" in caplog.text
    lines = [json.loads(line) for line in (tmp_path / "run" / run_folder.LOG).read_text().splitlines()]
    assert [line["validation_pair"] for line in lines] == [0.5, 0.3, 0.2, 0.4]


def test_what_was_held_back_is_judged_alike_every_time(tmp_path: Path) -> None:
    recipe = own(save(noisy("gaussian:25"), tmp_path / "a"), network=TINY, train__steps=4, validation__every=1,
                 train__learning_rate=1e-12, task="noise2void", validation__patches=2)  # fmt: skip
    trainer.train(recipe, tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / run_folder.LOG).read_text().splitlines()]
    assert len({line["validation_input"] for line in lines}) == 1
    assert len({line["input"] for line in lines}) == 4
    _, held = datasets.split(datasets.make(recipe.data.train, white=True), 0.1, recipe.train.stages[0].patch)
    assert len(held) == 3
