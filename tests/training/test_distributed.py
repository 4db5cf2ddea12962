"""Distributed training: two processes give the result of one, also after an interruption."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch  # noqa: TID253
import yaml

from unnoise.denoisers import pytorch
from unnoise.errors import UnnoiseError
from unnoise.training import compatibility, distributed, dry_run, recipe as recipes, run_folder, trainer
from unnoise.training.recipe import Recipe

MakeRecipe = Callable[..., Recipe]
TORCHRUN = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--master-addr=127.0.0.1"]


@pytest.fixture(scope="module")
def make(three_pictures: Path) -> MakeRecipe:
    """Return a function that makes a recipe of 12 steps on three small pictures, with dotted changes."""
    stages = [{"until": 0.5, "patch": 16, "batch": 4}, {"until": 1, "patch": 24, "batch": 2}]
    train = {"steps": 12, "warmup": 4, "checkpoint_every": 4, "precision": "fp32", "stages": stages}
    base = {
        "name": "tiny",
        "network": "resunet:widths=4/8,blocks=1/1",
        "noise": "gaussian:0..50",
        "data": {"train": [f"images:{three_pictures}"], "validation": [f"images:{three_pictures}"]},
        "train": train,
        "validation": {"noise": ["gaussian:25"], "every": 3, "crop": 24, "patches": 5},
    }
    return lambda changes=None: recipes.load(base, changes)


def call(*words: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python with a timeout that suffices for two processes."""
    path = os.pathsep.join(sys.path)
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", **environment}
    command = [sys.executable, *words]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=folder, timeout=120
    )


def train(recipe: Recipe, folder: Path, *words: str, by: list[str] | None = None) -> list[str]:
    """Train by the command line, and return the lines it prints."""
    folder.mkdir(exist_ok=True)
    (folder / "asked.yaml").write_text(yaml.safe_dump(recipe.model_dump()))
    done = call(*(by or []), "-m", "unnoise", "train", "asked.yaml", "--out", "run", *words, folder=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def log(folder: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def assert_alike(folder: Path, other: Path) -> None:
    """Assert that two runs have the same log and weights, up to rounding of sums."""
    assert len(log(folder)) == len(log(other)) == 4
    for line, expected in zip(log(folder), log(other), strict=True):
        assert line.pop("precision", None) == expected.pop("precision", None)
        assert line == pytest.approx(expected, rel=1e-4)
    models = [pytorch.load(one / "tiny.safetensors")[0].state_dict() for one in (folder, other)]
    torch.testing.assert_close(models[0], models[1], rtol=1e-3, atol=1e-4)


@pytest.fixture(scope="module")
def alone(make: MakeRecipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the run of one process."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    trainer.train(make(), folder)
    return folder


def test_two_processes_learn_what_one_does(make: MakeRecipe, alone: Path, tmp_path: Path) -> None:
    assert train(make(), tmp_path, by=TORCHRUN) == ["run/tiny.safetensors"], "one of them talks"
    assert_alike(tmp_path / "run", alone)
    assert "2 x 1 cores" in pytorch.load(tmp_path / "run" / "tiny.safetensors")[1].trained
    assert {path.name for path in alone.iterdir()} == {path.name for path in (tmp_path / "run").iterdir()}


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_run_of_two_that_is_killed_is_ended_by_one(make: MakeRecipe, alone: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"""
import os, signal
from unnoise.training import recipe, trainer
kill = lambda event: os.kill(os.getpid(), signal.SIGKILL) if event.step == 9 else None
trainer.train(recipe.load({make({"train.devices": 2}).model_dump()}), "run", on_progress=kill)
""")
    assert call("script.py", folder=tmp_path).returncode == -signal.SIGKILL
    assert torch.load(tmp_path / "run" / run_folder.CHECKPOINT, weights_only=True)["progress"]["step"] == 8
    trainer.train(make(), tmp_path / "run", resume=True)
    assert_alike(tmp_path / "run", alone)


def test_a_run_of_one_that_is_broken_off_is_ended_by_two(make: MakeRecipe, alone: Path, tmp_path: Path) -> None:
    def stop(event: trainer.ProgressEvent) -> None:
        if event.step == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer.train(make(), tmp_path / "run", on_progress=stop)
    train(make(), tmp_path, "--resume", "train.devices=2")
    assert_alike(tmp_path / "run", alone)


@pytest.mark.slow
def test_an_error_is_printed_once(make: MakeRecipe, tmp_path: Path) -> None:
    (tmp_path / "asked.yaml").write_text(yaml.safe_dump(make({"data.train": ["images:nowhere"]}).model_dump()))
    done = call("-m", "unnoise", "train", "asked.yaml", "train.devices=2", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("unnoise: no data at 'nowhere'") == len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.parametrize("size", [1, 2, 4])
def test_no_patch_is_left_out_or_made_twice(size: int) -> None:
    batches = [
        [list(itertools.islice(taken, 8 // size)) for _ in range(3)]
        for taken in (distributed.rank_indices(16, 8, rank, size) for rank in range(size))
    ]
    for number, together in enumerate(zip(*batches, strict=True)):
        assert sorted(itertools.chain(*together)) == list(range(16 + 8 * number, 24 + 8 * number))


SLURM = {"SLURM_NTASKS": "32", "SLURM_NNODES": "4", "SLURM_JOB_NAME": "denoise", "SLURM_PROCID": "0"}
ELASTIC = {"TORCHELASTIC_RUN_ID": "x", "LOCAL_WORLD_SIZE": "8", "WORLD_SIZE": "16"}


@pytest.mark.parametrize(
    ("environment", "found"), [({}, (3, 1)), (SLURM, (8, 4)), (ELASTIC, (8, 2)), (SLURM | ELASTIC, (8, 2))]
)
def test_who_begins_them_says_how_many(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], found: tuple[int, int]
) -> None:
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    assert distributed.counts(3, 1) == found


@pytest.mark.parametrize(
    ("environment", "nodes", "why"),
    [
        ({}, 4, "train.nodes is 4: start the training on all machines with srun or torchrun"),
        (SLURM | {"SLURM_NTASKS": "31"}, 1, "31 processes do not divide evenly"),
    ],
)
def test_what_cannot_be_begun(monkeypatch: pytest.MonkeyPatch, environment: dict, nodes: int, why: str) -> None:
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    with pytest.raises(UnnoiseError, match=why):
        distributed.counts(8, nodes)


def test_the_recipe_is_the_same_on_any_number(make: MakeRecipe) -> None:
    assert compatibility.alone(make({"train.devices": 8, "train.nodes": 4})) == make()


def test_a_batch_that_cannot_be_shared(make: MakeRecipe) -> None:
    with pytest.raises(UnnoiseError, match=r"train.stages: batch 2 must be a multiple of 4, the number of processes"):
        dry_run.check(make({"train.devices": 2, "train.nodes": 2}))


SHIPPED = Path(__file__).resolve().parent.parent.parent / "recipes"


@pytest.mark.parametrize(
    ("name", "count"), [("color-large-8", "8, 8 on each of 1"), ("color-large-32", "32, 8 on each of 4")]
)
def test_a_dry_run_tells_what_would_be_run(make: MakeRecipe, name: str, count: str, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"data.exclude": None, "init_from": None}
    changes |= {f"data.{part}": getattr(make().data, part) for part in ("train", "validation")}
    recipe = recipes.load(SHIPPED / f"{name}.yaml", changes)
    stages = [stage.model_dump() | {"patch": 32} for stage in recipe.train.stages]
    lines = dry_run.check(recipes.load(recipe.model_dump(), {"train.stages": stages}))
    assert f"processes: {count} machines" in lines
    assert any("for each process, 32x32 pixels" in line for line in lines)
    assert list(tmp_path.iterdir()) == []
