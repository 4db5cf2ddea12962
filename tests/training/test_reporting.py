"""What is shown while a network is trained, what ends a training early, and sweeps."""

from __future__ import annotations

import csv
import importlib.util
import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch  # noqa: TID253
from lightning_fabric import Fabric  # noqa: TID253

import unnoise
from tests.fakes import Call
from unnoise import io, networks
from unnoise.errors import UnnoiseError
from unnoise.training import dry_run, gradients, losses, recipe as recipes, reporting, run_folder, sweep, tasks, trainer
from unnoise.training.recipe import Recipe
from unnoise.training.state import ProgressEvent
from unnoise.training.validation import SIDE

MakeRecipe = Callable[..., Recipe]
NETWORK = "resunet:widths=4/8,blocks=1/1"


@pytest.fixture(scope="module")
def tree(three_pictures: Path) -> dict[str, Any]:
    """Return a recipe of 12 steps with a validation every three."""
    data = {"train": [f"images:{three_pictures}"], "validation": [f"images:{three_pictures}"]}
    train = {"steps": 12, "precision": "fp32", "checkpoint_every": 4,
             "stages": [{"until": 1, "patch": 16, "batch": 4}]}  # fmt: skip
    validation = {"noise": ["gaussian:25"], "every": 3, "crop": 24, "patches": 4}
    return {
        "name": "tiny", "network": NETWORK, "noise": "gaussian:0..50", "data": data, "train": train,
        "validation": validation,
    }  # fmt: skip


@pytest.fixture
def make(tree: dict[str, Any]) -> MakeRecipe:
    return lambda **changes: recipes.load(tree, {key.replace("__", "."): value for key, value in changes.items()})


def log(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def stop_at(step: int) -> Callable[[ProgressEvent], None]:
    def watch(event: ProgressEvent) -> None:
        if event.step == step:
            raise KeyboardInterrupt

    return watch


def test_pictures_are_drawn_at_every_validation(
    make: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporting, "_REST", 0)
    drawn: list[tuple[int, bytes, bytes]] = []
    checkpoint = trainer.Trainer._checkpoint

    def record(run: trainer.Trainer) -> None:
        drawn.append((len(log(tmp_path / "run")), *(
            (tmp_path / "run" / name).read_bytes() for name in ("losses.png", "samples.png"))))  # fmt: skip
        checkpoint(run)

    monkeypatch.setattr(trainer.Trainer, "_checkpoint", record)
    trainer.train(make(), tmp_path / "run")
    assert [lines for lines, *_ in drawn] == [1, 2, 4], "at steps 4, 8 and 12"
    for index in (1, 2):
        assert len({pictures[index] for pictures in drawn}) == 3, "each is a new picture"


def test_the_samples_are_what_validation_sees(make: MakeRecipe, tmp_path: Path) -> None:
    trainer.train(make(), tmp_path / "run")
    page = io.read(tmp_path / "run" / "samples.png").pixels
    sides = [(min(32, SIDE), min(40, SIDE))] * 3  # of the pictures
    assert page.shape[0] > sum(tall for tall, _ in sides) and page.shape[1] > 3 * sides[0][1]
    assert page.std() > 0.1


def test_drawing_takes_a_limited_share_of_the_time(make: MakeRecipe, tmp_path: Path) -> None:
    """A drawing takes two seconds on this clock, and a validation comes every second of it."""
    files, seconds, drawn = run_folder.RunFolder(tmp_path, make()), [0.0], []
    files.draw_losses = lambda: (drawn.append(seconds[0]), seconds.__setitem__(0, seconds[0] + 2))  # type: ignore
    reporter = reporting.Reporter(files, 0, None, clock=lambda: seconds[0])
    for step in range(1, 61):
        seconds[0] += 1
        reporter.write({"step": step, "loss": 1.0}, lambda: None)  # type: ignore[arg-type, return-value]
    assert drawn == [1, 23, 45], "ten times as long lies between"
    reporter.finish(lambda: None)  # type: ignore[arg-type, return-value]
    assert len(drawn) == 4, "the last line is drawn always"
    reporter.finish(lambda: None)  # type: ignore[arg-type, return-value]
    (tmp_path / "losses.png").touch()
    reporter.finish(lambda: None)  # type: ignore[arg-type, return-value]
    assert len(drawn) == 5


def test_csv_is_the_log_as_a_table(make: MakeRecipe, tmp_path: Path) -> None:
    recipe = make(train__log="csv")
    with pytest.raises(KeyboardInterrupt):
        trainer.train(recipe, tmp_path / "run", on_progress=stop_at(9))
    trainer.train(recipe, tmp_path / "run", resume=True)
    with (tmp_path / "run" / "log.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [{key: str(value) for key, value in line.items()} for line in log(tmp_path / "run")] == rows
    assert [row["step"] for row in rows] == ["3", "6", "9", "12"]


def test_a_run_may_be_resumed_with_other_logs(make: MakeRecipe, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        trainer.train(make(), tmp_path / "run", on_progress=stop_at(9))
    trainer.train(make(train__log=["csv"]), tmp_path / "run", resume=True)
    trainer.train(make(), tmp_path / "unbroken")
    states = [torch.load(tmp_path / one / "checkpoint.pt", weights_only=True) for one in ("run", "unbroken")]
    torch.testing.assert_close(states[0]["average"], states[1]["average"], rtol=0, atol=0)
    assert (tmp_path / "run" / "log.csv").exists() and not (tmp_path / "unbroken" / "log.csv").exists()


@pytest.mark.skipif(not importlib.util.find_spec("tensorboard"), reason="needs unnoise[tensorboard]")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # TensorBoard's own
def test_tensorboard_has_the_curves_and_the_samples(make: MakeRecipe, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    recipe = make(train__log=["tensorboard"])
    with pytest.raises(KeyboardInterrupt):
        trainer.train(recipe, tmp_path / "run", on_progress=stop_at(9))
    trainer.train(recipe, tmp_path / "run", resume=True)
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    lines = log(tmp_path / "run")
    for tag, key in {
        "training/loss": "loss",
        "validation/loss": "validation_loss",
        "psnr/gaussian_25": "gaussian:25",
    }.items():
        seen = [(event.step, event.value) for event in events.Scalars(tag)]
        assert seen == [(line["step"], pytest.approx(line[key], rel=1e-6)) for line in lines], tag
    assert events.Images("samples")


def test_wandb_is_given_all_and_stays_offline(
    make: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, Any]] = []
    run = types.SimpleNamespace(
        log=lambda values, step: calls.append(("log", (step, sorted(values)))),
        finish=lambda: calls.append(("finish", None)),
    )
    fake: Any = types.ModuleType("wandb")
    fake.init = lambda **options: calls.append(("init", options)) or run
    fake.Image = np.shape
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setattr(reporting, "_REST", 0)
    recipe = make(train__log=["wandb"])
    trainer.train(recipe, tmp_path / "run")
    kinds = [kind for kind, _ in calls]
    assert kinds == ["init", *["log", "log"] * 4, "finish"], "values and samples of four validations"
    options = calls[0][1]
    assert options["mode"] == "offline" and options["config"] == recipe.model_dump() and options["name"] == "tiny"
    assert [details[0] for kind, details in calls if kind == "log"] == [3, 3, 6, 6, 9, 9, 12, 12]
    trainer.train(make(train__log=["wandb"], train__steps=15), tmp_path / "run", resume=True)
    resumed = next(details for kind, details in calls[len(kinds) :] if kind == "init")
    assert resumed["id"] == options["id"] and resumed["resume"] == "allow"


def test_a_logger_that_is_not_installed_is_named(
    make: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises((UnnoiseError, ImportError), match="wandb"):
        trainer.train(make(train__log=["wandb"]), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(UnnoiseError, match=r"train\.log.*'csv', 'tensorboard' or 'wandb'"):
        make(train__log=["mlflow"])


def test_callbacks_are_functions(tree: dict[str, Any], tmp_path: Path) -> None:
    seen: list[ProgressEvent] = []
    late: list[int] = []

    def end(event: ProgressEvent) -> bool:
        return event.step >= 6

    model = unnoise.train(
        tree, out=tmp_path / "run", device="cpu", on_progress=[seen.append, end, lambda event: late.append(event.step)]
    )
    assert [event.step for event in seen] == late == [3, 6], "all are called, and one that returns True ends it"
    assert model.exists() and [line["step"] for line in log(tmp_path / "run")] == [3, 6]
    unnoise.train(tree, out=tmp_path / "run", resume=True, on_progress=seen.append)
    unnoise.train(tree, out=tmp_path / "unbroken")
    assert [{**line, "seconds": 0} for line in log(tmp_path / "run")] == [
        {**line, "seconds": 0} for line in log(tmp_path / "unbroken")
    ], "it goes on where it was stopped"


def test_patience_ends_a_training_and_is_resumed(
    make: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    losses_of = {3: 1.0, 6: 0.8, 9: 0.9, 12: 0.85, 15: 0.7, 18: 0.6}

    def judge(run: trainer.Trainer, stage: object) -> dict[str, float]:
        value = losses_of[run.progress.step]
        return {"validation_loss": value}

    monkeypatch.setattr(
        trainer, "Validator", lambda *_: types.SimpleNamespace(
            patch_values=lambda *_: {"validation_loss": losses_of[current[0].progress.step]}, psnr=lambda *_: {},
            samples=lambda _: np.zeros((4, 4, 3)), denoiser=lambda *_: None),
    )  # fmt: skip
    current: list[trainer.Trainer] = []
    fit = trainer.Trainer.fit
    monkeypatch.setattr(trainer.Trainer, "fit", lambda run, **more: current.insert(0, run) or fit(run, **more))
    recipe = make(train__patience=2, train__steps=18)
    trainer.train(recipe, tmp_path / "run")
    assert [line["step"] for line in log(tmp_path / "run")] == [3, 6, 9, 12], "two in a row are not better than 0.8"
    assert "stopped at step 12: validation loss has not improved in 2 validations" in caplog.text
    with pytest.raises(KeyboardInterrupt):
        trainer.train(recipe, tmp_path / "broken", on_progress=stop_at(9))
    trainer.train(recipe, tmp_path / "broken", resume=True)
    assert [line["step"] for line in log(tmp_path / "broken")] == [3, 6, 9, 12], "what came before is counted"
    trainer.train(recipe, tmp_path / "broken", resume=True)
    assert len(log(tmp_path / "broken")) == 4, "it has ended"
    trainer.train(make(train__patience=3, train__steps=18), tmp_path / "patient")
    assert len(log(tmp_path / "patient")) == 6


@pytest.mark.parametrize("network", [NETWORK, "dncnn:depth=3,width=4,norm=false"])
@pytest.mark.parametrize("parts", [2, 4])
def test_gradients_of_parts_are_those_of_the_batch(network: str, parts: int) -> None:
    torch.manual_seed(0)
    batch = {"noisy": torch.rand(4, 3, 16, 16), "clean": torch.rand(4, 3, 16, 16), "sigma": torch.rand(4, 1, 1, 1)}
    fabric, found = Fabric(accelerator="cpu", devices=1), []
    for count in (1, parts):
        torch.manual_seed(1)
        ready = fabric.setup(networks.make(network))
        ready.mark_forward_method("forward_train")
        values = gradients.backward(fabric, ready, tasks.TASKS.make("supervised"), losses.make("mse"), batch, count)
        found.append([*(one.grad for one in ready.parameters()), *(values[key] for key in sorted(values))])
    assert sum(float(one.abs().sum()) for one in found[0]) > 0
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-6)


def test_accumulation_learns_the_same(make: MakeRecipe, tmp_path: Path) -> None:
    for parts in (1, 4):
        trainer.train(make(train__accumulate=parts), tmp_path / str(parts))
    one, four = (log(tmp_path / str(parts))[-1] for parts in (1, 4))
    assert four["loss"] == pytest.approx(one["loss"], rel=1e-3)
    assert four["psnr"] == pytest.approx(one["psnr"], rel=1e-3)
    with pytest.raises(UnnoiseError, match=r"train\.accumulate: 4 patches of a process do not divide into 3 parts"):
        trainer.train(make(train__accumulate=3), tmp_path / "refused")


def test_fp16_needs_a_gpu(make: MakeRecipe, tmp_path: Path) -> None:
    with pytest.raises(UnnoiseError, match=r"train\.precision: fp16 needs a GPU"):
        trainer.train(make(train__precision="fp16"), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


@pytest.mark.gpu
def test_fp16_learns_and_is_resumed_on_a_gpu(make: MakeRecipe, tmp_path: Path) -> None:
    recipe = make(train__precision="fp16")
    trainer.train(recipe, tmp_path / "unbroken")
    with pytest.raises(KeyboardInterrupt):
        trainer.train(recipe, tmp_path / "broken", on_progress=stop_at(9))
    trainer.train(recipe, tmp_path / "broken", resume=True)
    states = [torch.load(tmp_path / one / "checkpoint.pt", weights_only=True) for one in ("broken", "unbroken")]
    assert states[0]["scaler"] == states[1]["scaler"]
    torch.testing.assert_close(states[0]["average"], states[1]["average"], rtol=1e-2, atol=1e-3)


def test_keys_that_make_no_sense_are_refused(make: MakeRecipe) -> None:
    with pytest.raises(UnnoiseError, match=r"train\.patience needs validation\.patches"):
        make(train__patience=2, validation__patches=0)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1", ["1"]),
        ("1e-3, 3e-3", ["1e-3", "3e-3"]),
        ("resunet,dncnn", ["resunet", "dncnn"]),
        ("dncnn:depth=5,width=8,resunet:blocks=1/1", ["dncnn:depth=5,width=8", "resunet:blocks=1/1"]),
        ("[images:a, images:b],[images:c]", ["[images:a, images:b]", "[images:c]"]),
        ('[{"until": 1, "patch": 8, "batch": 2}]', ['[{"until": 1, "patch": 8, "batch": 2}]']),
        ("gaussian:25 | salt-pepper:0.1,gaussian:50", ["gaussian:25 | salt-pepper:0.1", "gaussian:50"]),
    ],
)  # fmt: skip
def test_values_of_a_sweep_are_split(text: str, values: list[str]) -> None:
    assert sweep.split_values(text) == values


def test_a_sweep_trains_every_combination(tree: dict[str, Any], tmp_path: Path, call: Call) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(json.dumps(tree))
    words = ["train", recipe, "train.learning_rate=1e-3,1e30", "loss=l1,mse", "train.steps=6", "-o", tmp_path / "s"]
    status, out, err = call(*words, "--sweep")
    rows = [line.strip("| ").split(" | ") for line in out.splitlines()]
    assert rows[0][:4] == ["train.learning_rate", "loss", "step", "loss"] and rows[0][-1] == "folder"
    assert [row[:2] for row in rows[2:]] == [["1e-3", "l1"], ["1e-3", "mse"], ["1e30", "l1"], ["1e30", "mse"]]
    assert status == 1 and "not finite" in out, "what fails is in the table, and does not end the rest"
    folder = tmp_path / "s" / "learning_rate=1e-3,loss=mse"
    assert rows[3][-1] == str(folder) and (folder / "tiny.safetensors").exists()
    assert rows[3][2:4] == ["6", f"{log(folder)[-1]['loss']:.4g}"]
    assert "2 of 4: train.learning_rate=1e-3 loss=mse" in err
    assert call(*words, "--sweep", "--resume")[1].splitlines()[:4] == out.splitlines()[:4]
    assert call("train", recipe, "--sweep")[2].startswith("unnoise: --sweep needs a key with several values")
    status, _, err = call("train", recipe, "loss=l1,nonsense", "--sweep", "-o", tmp_path / "none")
    assert status == 2 and "nonsense" in err and not (tmp_path / "none").exists(), "all recipes are read first"
    assert "twice" in call("train", recipe, "loss=l1,l1", "--sweep", "-o", tmp_path / "none")[2]


def test_the_device_is_an_option(tree: dict[str, Any], tmp_path: Path, call: Call) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(json.dumps(tree))
    assert "device: cpu; precision: fp32" in call("train", recipe, "--dry-run", "--device", "cpu")[1]
    assert "unknown device 'gpu'" in call("train", recipe, "--device", "gpu")[2]
    if not torch.cuda.is_available():
        assert "device: cuda, which this machine does not have" in "\n".join(dry_run.check(recipes.load(tree), "cuda"))
        assert "device 'cuda' is not available" in call("train", recipe, "--device", "cuda", "-o", tmp_path / "r")[2]
