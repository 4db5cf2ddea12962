"""Training: the loss falls, logs and checkpoints are written, and a resumed run equals an uninterrupted one."""

from __future__ import annotations

import itertools
import json
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch  # noqa: TID253

from unnoise import datasets, io, networks, noise
from unnoise.denoisers import pytorch
from unnoise.errors import UnnoiseError
from unnoise.training import recipe as recipes, run_folder, trainer
from unnoise.training.patches import Patches
from unnoise.training.recipe import Recipe
from unnoise.training.trainer import ProgressEvent

MakeRecipe = Callable[..., Recipe]
RESUNET, DNCNN = "resunet:widths=4/8,blocks=1/1", "dncnn:depth=3,width=4"


@pytest.fixture(scope="module")
def make(three_pictures: Path) -> MakeRecipe:
    """Return a function that makes a recipe of 20 steps on three small pictures, with dotted changes."""
    data = {"train": [f"images:{three_pictures}"], "validation": [f"images:{three_pictures}"]}
    stages = [{"until": 0.5, "patch": 16, "batch": 2}, {"until": 1, "patch": 24, "batch": 1}]
    fixed = {"warmup": 4, "checkpoint_every": 7, "precision": "fp32", "stages": stages}
    validation = {"noise": ["gaussian:25"], "every": 5, "crop": 24}
    base = {"name": "tiny", "network": RESUNET, "noise": "gaussian:0..50", "data": data, "validation": validation}

    def make(changes: dict[str, Any] | None = None, *, steps: int = 20) -> Recipe:
        return recipes.load({**base, "train": {"steps": steps, **fixed, "warmup": min(4, steps)}}, changes)

    return make


def stop_at(step: int) -> Callable[[ProgressEvent], None]:
    """Return a callback that interrupts the run, as Ctrl-C does."""

    def watch(event: ProgressEvent) -> None:
        if event.step == step:
            raise KeyboardInterrupt

    return watch


def weights(model: Path) -> dict[str, torch.Tensor]:
    return pytorch.load(model)[0].state_dict()


def log(folder: Path, *, without: str = "") -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != without} for line in lines]


def assert_same_run(folder: Path, other: Path) -> None:
    """Assert that two runs have the same weights, averaged and not, bit for bit, and the same log except for times."""
    states = [torch.load(one / run_folder.CHECKPOINT, weights_only=True) for one in (folder, other)]
    for part in ("network", "average"):
        torch.testing.assert_close(states[0][part], states[1][part], rtol=0, atol=0)
    models = [weights(one / "tiny.safetensors") for one in (folder, other)]
    torch.testing.assert_close(models[0], models[1], rtol=0, atol=0)
    assert log(folder, without="seconds") == log(other, without="seconds")


def test_it_learns(make: MakeRecipe, tmp_path: Path) -> None:
    changes = {"network": "resunet:widths=16/16,blocks=1/1", "train.learning_rate": 0.01, "validation.every": 40}
    changes |= {"noise": "gaussian:50", "validation.noise": ["gaussian:50"]}
    trainer.train(make(changes, steps=120), tmp_path / "run")
    lines = log(tmp_path / "run")
    assert lines[-1]["loss"] < 0.7 * lines[0]["loss"]
    assert lines[-1]["gaussian:50"] > 20 * math.log10(255 / 50) + 4, "a gain of 4 dB over the noisy pictures"


def test_what_a_run_leaves(make: MakeRecipe, tmp_path: Path) -> None:
    recipe, seen = make({"loss": "0.5*l1 + 0.5*mse", "data_licence": "ours"}), []
    model = trainer.train(recipe, tmp_path / "run", on_progress=seen.append)
    assert model == tmp_path / "run" / "tiny.safetensors"
    names = {path.name for path in model.parent.iterdir()}
    assert names == {"recipe.yaml", "checkpoint.pt", "log.jsonl", "losses.png", "samples.png", "tiny.safetensors"}
    assert recipes.load(model.parent / "recipe.yaml") == recipe
    network, card = pytorch.load(model)
    assert (card.name, card.network, card.noise, card.data_licence) == ("tiny", RESUNET, "gaussian:0..50", "ours")
    assert (card.channels, card.multiple_of, card.halo) == (network.channels, network.multiple_of, network.halo)
    assert card.wants_sigma
    assert card.trained.startswith("20 steps in ")
    lines = log(model.parent)
    assert [line["step"] for line in lines] == [5, 10, 15, 20] == [event.step for event in seen if event.validated]
    for line in lines:
        assert line.pop("precision") == "fp32"
        assert set(line) == {"step", "epoch", "seconds", "loss", "l1", "mse", "psnr", "learning_rate", "gaussian:25"}
        assert all(map(math.isfinite, line.values()))
        assert line["loss"] == pytest.approx(0.5 * line["l1"] + 0.5 * line["mse"])
    assert (seen[-1].share, seen[-1].seconds_left) == (1, 0)


@pytest.mark.parametrize("late", [False, True])
def test_a_line_of_the_log_is_the_mean_since_the_one_before(
    make: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    monkeypatch.setattr(trainer.Trainer, "_reads_late", late)  # as on a GPU
    for every in (1, 5):
        trainer.train(make({"data.validation": [], "validation.every": every}), tmp_path / str(every))
    losses = np.array([line["loss"] for line in log(tmp_path / "1")])
    assert [line["loss"] for line in log(tmp_path / "5")] == pytest.approx(losses.reshape(4, 5).mean(axis=1))


def test_the_learning_rate_warms_up_and_falls_as_a_cosine(make: MakeRecipe, tmp_path: Path) -> None:
    rates: list[float] = []
    recipe = make({"data.validation": [], "validation.every": 1, "train.learning_rate": 0.004})
    trainer.train(recipe, tmp_path / "run", on_progress=lambda event: rates.append(event.values["learning_rate"]))
    expected = [0.002 * min(1, (step + 1) / 4) * (1 + math.cos(math.pi * step / 20)) for step in range(20)]
    assert rates == pytest.approx(expected)


def test_epochs_end_the_training_and_lower_the_rate(make: MakeRecipe, tmp_path: Path) -> None:
    seen: list[ProgressEvent] = []
    epochs = {"train.steps": None, "train.epochs": 3, "train.schedule": "exponential:0.5", "train.warmup": 0}
    changes = {
        "data.patches_per_picture": 4,
        "train.stages": [{"until": 1, "patch": 16, "batch": 3}],
        "validation.every": None,
    }
    trainer.train(make(epochs | changes), tmp_path / "run", on_progress=seen.append)
    lines = log(tmp_path / "run")
    assert [(line["step"], line["epoch"]) for line in lines] == [(4, 1), (8, 2), (12, 3)], "12 patches by threes"
    assert [line["learning_rate"] for line in lines] == pytest.approx([2e-3, 1e-3, 5e-4])
    assert seen[-1].share == 1


def test_the_validation_loss_is_that_of_the_average_on_the_same_patches(make: MakeRecipe, tmp_path: Path) -> None:
    changes = {"loss": "0.5*l1 + 0.5*mse", "validation.patches": 5, "validation.every": 10, "noise": "gaussian:50"}
    recipe = make(changes | {"train.stages": [{"until": 1, "patch": 16, "batch": 2}]})
    network, _ = pytorch.load(trainer.train(recipe, tmp_path / "run"))
    dataset = datasets.make(recipe.data.validation)
    patches = [Patches(dataset, noise.make("gaussian:50"), 16)[index] for index in range(5)]
    noisy, clean, sigma = (torch.tensor(np.stack([one[key] for one in patches])) for key in ("noisy", "clean", "sigma"))
    with torch.no_grad():
        error = network(noisy, sigma) - clean
    first, last = log(tmp_path / "run")
    assert last["validation_mse"] == pytest.approx(error.square().mean().item(), rel=1e-5)
    assert last["validation_l1"] == pytest.approx(error.abs().mean().item(), rel=1e-5)
    assert last["validation_loss"] == pytest.approx(0.5 * (last["validation_l1"] + last["validation_mse"]))
    assert first["validation_loss"] > last["validation_loss"]


@pytest.mark.parametrize(("size", "margin"), [(24, 0), (32, 8)])
def test_a_network_that_learned_from_whole_pictures_is_given_no_margin(
    make: MakeRecipe, tmp_path: Path, size: int, margin: int
) -> None:
    stages = [{"until": 1, "patch": 24, "batch": 2}]
    model = trainer.train(make({"data.size": size, "train.stages": stages}, steps=2), tmp_path / "run")
    network, card = pytorch.load(model)
    assert network.margin == card.margin == pytorch.TorchDenoiser(network).margin == margin


def test_pairs_are_learned_as_they_are(tmp_path: Path, photograph: np.ndarray) -> None:
    for index in range(2):
        clean = photograph[40 * index :][:40, :40]
        for ending, picture in (("clean", clean), ("noisy", clean / 2)):
            pixels = np.rint(picture * 255).astype(np.uint8)
            io.from_array(pixels).save(tmp_path / f"{index}_{ending}.png")
    stages = [{"until": 1, "patch": 16, "batch": 2}]
    recipe = {"name": "tiny", "network": DNCNN, "data": {"train": [f"pairs:{tmp_path}"]}}
    train = {"steps": 90, "stages": stages, "learning_rate": 0.02, "precision": "fp32", "ema": 0, "grad_clip": None}
    recipe["data"]["validation"] = [f"pairs:{tmp_path}"]
    loaded = recipes.load({**recipe, "train": train, "validation": {"every": 30, "noise": []}})
    _, card = pytorch.load(trainer.train(loaded, tmp_path / "run"))
    lines = log(tmp_path / "run")
    assert lines[-1]["loss"] < 0.6 * lines[0]["loss"], "it learns to double"
    assert lines[-1]["pairs"] > lines[0]["pairs"] + 1, "in dB, on the whole pictures"
    assert card.noise == ""


@pytest.mark.parametrize(("network", "ema"), [(RESUNET, 0.3), (DNCNN, 0.999)])
def test_the_average_follows_the_weights(
    make: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: str, ema: float
) -> None:
    steps: list[dict[str, torch.Tensor]] = []
    follow = trainer.Trainer._update_ema

    def record(run: trainer.Trainer) -> None:
        steps.append({name: value.detach().clone() for name, value in run.network.state_dict().items()})
        follow(run)

    monkeypatch.setattr(trainer.Trainer, "_update_ema", record)
    recipe = make({"network": network, "train.ema": ema, "train.seed": 3})
    average, _ = pytorch.load(trainer.train(recipe, tmp_path / "run"))
    torch.manual_seed(3)
    expected = networks.make(network).state_dict()
    for step, now in enumerate(steps, start=1):
        decay = min(ema, (1 + step) / (10 + step))
        for name, value in now.items():  # weights, and the statistics that belong to them
            expected[name] = decay * expected[name] + (1 - decay) * value if value.is_floating_point() else value
    torch.testing.assert_close(dict(average.state_dict()), dict(expected), check_stride=False)


@pytest.mark.parametrize(
    ("network", "precision", "optimizer"),
    [(RESUNET, "fp32", "adamw"), (RESUNET, "fp32", "muon"), (DNCNN, "fp32", "adamw"), (RESUNET, "auto", "adamw")],
)
def test_a_resumed_run_ends_as_an_unbroken_one(
    make: MakeRecipe, tmp_path: Path, network: str, precision: str, optimizer: str
) -> None:
    recipe = make({"network": network, "train.precision": precision, "train.optimizer": optimizer})
    trainer.train(recipe, tmp_path / "unbroken")
    for step in (5, 10, 15, 20):  # before and between checkpoints, at the change of stages, before the last one
        with pytest.raises(KeyboardInterrupt):
            trainer.train(recipe, tmp_path / "broken", resume=step > 5, on_progress=stop_at(step))
    trainer.train(recipe, tmp_path / "broken", resume=True)
    assert_same_run(tmp_path / "broken", tmp_path / "unbroken")
    trainer.train(recipe, tmp_path / "broken", resume=True)  # nothing is left to do
    assert_same_run(tmp_path / "broken", tmp_path / "unbroken")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_run_ends_as_an_unbroken_one(make: MakeRecipe, tmp_path: Path) -> None:
    recipe = make({"train.precision": "bf16"})
    trainer.train(recipe, tmp_path / "unbroken")
    code = f"""
import os, signal
from unnoise.training import recipe, trainer
kill = lambda event: os.kill(os.getpid(), signal.SIGKILL) if event.step == 15 else None
trainer.train(recipe.load({recipe.model_dump()}), {str(tmp_path / "killed")!r}, on_progress=kill)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGKILL, "", "")
    assert pytorch.load(tmp_path / "killed" / "tiny.safetensors")[1].trained.startswith("14 steps")
    trainer.train(recipe, tmp_path / "killed", resume=True)
    assert_same_run(tmp_path / "killed", tmp_path / "unbroken")


def test_a_checkpoint_is_whole_or_not_there(make: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, save, calls = make(), trainer.Fabric.save, itertools.count()

    def break_off(fabric: Any, path: Path, state: dict[str, Any]) -> None:
        if next(calls) == 2:
            path.write_bytes(b"half a checkpoint")
            raise KeyboardInterrupt
        save(fabric, path, state)

    trainer.train(recipe, tmp_path / "unbroken")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(trainer.Fabric, "save", break_off)
        trainer.train(recipe, tmp_path / "broken")
    assert torch.load(tmp_path / "broken" / run_folder.CHECKPOINT, weights_only=True)["progress"]["step"] == 14
    _, card = pytorch.load(tmp_path / "broken" / "tiny.safetensors")
    assert card.trained.startswith("14 steps"), "a run that is broken off leaves the model that it has"
    trainer.train(recipe, tmp_path / "broken", resume=True)
    assert_same_run(tmp_path / "broken", tmp_path / "unbroken")
    assert len(list((tmp_path / "broken").iterdir())) == 6


def test_minutes_end_the_schedule(make: MakeRecipe, tmp_path: Path) -> None:
    clock = map(float, itertools.count(1000)).__next__  # a second a step
    recipe = make({"train.minutes": 0.5, "validation.every": 6}, steps=1_000_000)
    with pytest.raises(KeyboardInterrupt):
        trainer.train(recipe, tmp_path / "run", on_progress=stop_at(18), clock=clock)
    seen: list[ProgressEvent] = []
    trainer.train(recipe, tmp_path / "run", resume=True, on_progress=seen.append, clock=clock)
    last = seen[-1]
    assert (last.step, last.share, last.validated) == (30, 1, True), "what came before the resumption counts"
    assert last.values["learning_rate"] < 0.01 * recipe.train.learning_rate
    assert [line["step"] for line in log(tmp_path / "run")] == [6, 12, 18, 24, 30]


@pytest.fixture
def two_minutes() -> Iterator[None]:
    """Fail if it hangs."""

    def give_up(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(120)
    yield
    signal.alarm(0)


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="needs SIGALRM")
@pytest.mark.usefixtures("two_minutes")
def test_what_is_drawn_does_not_depend_on_who_draws(make: MakeRecipe, tmp_path: Path) -> None:
    # JPEG noise comes from libvips, which does not survive a fork.
    changes = {"network": DNCNN, "noise": "gaussian:0..50 + jpeg:30..90", "data.validation": []}
    changes["train.stages"] = [{"until": 1, "patch": 16, "batch": 2}]
    models = [trainer.train(make({**changes, "train.workers": n}, steps=4), tmp_path / str(n)) for n in (0, 1)]
    torch.testing.assert_close(weights(models[0]), weights(models[1]), rtol=0, atol=0)


@pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason="needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's compiler uses what PyTorch deprecates
def test_a_compiled_network_learns_the_same(make: MakeRecipe, tmp_path: Path) -> None:
    changes = {"data.validation": [], "train.stages": [{"until": 1, "patch": 16, "batch": 2}]}
    models = [
        weights(trainer.train(make({**changes, "train.compile": flag}, steps=4), tmp_path / str(flag)))
        for flag in (False, True)
    ]
    torch.testing.assert_close(models[0], models[1], rtol=1e-3, atol=1e-4)


def test_a_list_of_starts_gives_each_part_its_weights(make: MakeRecipe, tmp_path: Path) -> None:
    estimator = {"network": "noise_estimator:widths=4/6,codes=2", "loss": "noise_level", "data.validation": []}
    parts: dict[str, dict[str, object]] = {"denoiser": {}, "levels": estimator}
    files = [str(trainer.train(make(changes), tmp_path / name)) for name, changes in parts.items()]
    network = RESUNET.replace("resunet", "blind") + ",estimator=4/6,codes=2"
    changes = {"network": network, "init_from": files, "train.learning_rate": 1e-12}
    joined, card = pytorch.load(trainer.train(make(changes, steps=1), tmp_path / "joined"))
    for name, file in zip(parts, files, strict=True):
        state = getattr(joined, name).state_dict()
        for key, value in pytorch.load(file)[0].state_dict().items():
            torch.testing.assert_close(state[key], value)
    assert card.trained.count("20 steps in ") == 2


def test_what_is_kept_stays_between_the_start_and_what_was_learned(make: MakeRecipe, tmp_path: Path) -> None:
    first = trainer.train(make(steps=2), tmp_path / "first")
    kept = {
        stay: weights(
            trainer.train(make({"init_from": str(first), "train.start_weight": stay}, steps=3), tmp_path / str(stay))
        )
        for stay in (0.0, 0.25, 1.0)
    }
    torch.testing.assert_close(kept[1.0], weights(first))
    between = {key: value.lerp(weights(first)[key], 0.25) for key, value in kept[0.0].items()}
    torch.testing.assert_close(kept[0.25], between)
    assert any(not torch.equal(kept[0.0][key], kept[1.0][key]) for key in between)


def test_a_run_begins_from_a_model(make: MakeRecipe, tmp_path: Path) -> None:
    first = trainer.train(make(steps=2), tmp_path / "first")
    still = {"init_from": str(first), "train.learning_rate": 1e-12}
    second = trainer.train(make(still, steps=1), tmp_path / "second")
    torch.testing.assert_close(weights(second), weights(first))
    assert pytorch.load(second)[1].trained.startswith(f"{pytorch.load(first)[1].trained}, then 1 steps")
    with pytest.raises(UnnoiseError, match=r"cannot be initialized from .*: weights of resunet.* do not fit dncnn"):
        trainer.train(make({"init_from": str(first), "network": DNCNN}, steps=1), tmp_path / "third")
