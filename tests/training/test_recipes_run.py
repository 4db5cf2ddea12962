"""Every recipe in `recipes/` runs for two steps on generated data of the same kinds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from unnoise import io, networks
from unnoise.datasets import stl10
from unnoise.denoisers import pytorch
from unnoise.optional import require
from unnoise.training import recipe as recipes, trainer
from unnoise.training.recipe import Recipe

SHIPPED = sorted((Path(__file__).resolve().parent.parent.parent / "recipes").iterdir())
SIDE, RNG = 64, np.random.default_rng(0)


def random(*shape: int) -> np.ndarray:
    return RNG.integers(256, size=shape, dtype=np.uint8)


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + b"".join(side.to_bytes(4, "big") for side in array.shape) + array.tobytes()


def write_images(folder: Path) -> str:
    io.from_array(random(SIDE, SIDE + 8, 3)).save(folder / "a.png", overwrite=True)
    return f"images:{folder}"


def write_pairs(folder: Path) -> str:
    for ending in ("noisy", "clean"):
        io.from_array(random(SIDE, SIDE + 8, 3)).save(folder / f"a_{ending}.png", overwrite=True)
    return f"pairs:{folder}"


def write_mnist(folder: Path) -> str:
    for part in ("train", "t10k"):
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(random(3, 28, 28)))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(np.arange(3, dtype=np.uint8)))
    return f"mnist:{folder}"


def write_stl10(folder: Path) -> str:
    for part in ("train", "test"):
        stl10.write(random(20, 96, 96, 3), folder / stl10.file_name(part))
    return f"stl10:{folder}"


def write_cifar100(folder: Path) -> str:
    for part in ("train", "test"):
        (folder / f"{part}.bin").write_bytes(random(20, 2 + 3072).tobytes())
    return f"cifar100:{folder}"


def write_table(folder: Path) -> str:
    pyarrow = require("pyarrow", extra="tables")
    parquet = require("pyarrow.parquet", extra="tables")
    bytes_of = [io.encode(io.from_array(random(SIDE, SIDE, 3)), ".png") for _ in range(4)]
    column = [{"bytes": one, "path": f"{index}.png"} for index, one in enumerate(bytes_of)]
    table = pyarrow.table(
        {
            "name": ["a", "b"],
            "noisy": column[:2],
            "clean": column[2:],
            "part": ["train", "validation"],
        }
    )
    parquet.write_table(table, folder / "pairs.parquet")
    return f"table:{folder / 'pairs.parquet'}"


WRITERS: dict[str, Callable[[Path], str]] = {
    "images": write_images,
    "pairs": write_pairs,
    "mnist": write_mnist,
    "stl10": write_stl10,
    "cifar100": write_cifar100,
    "table": write_table,
}


def small_data(specs: list[str], folder: Path) -> list[str]:
    """Write data of the same kinds, and return their specs, of the same parts."""
    made = []
    for spec in specs:
        kind, _, path = spec.partition(":")
        (folder / kind).mkdir(parents=True, exist_ok=True)
        _, mark, part = path.partition("#")
        made.append(WRITERS[kind](folder / kind) + mark + part)
    return made


def shrunk(recipe: Recipe, folder: Path) -> Recipe:
    """Return a recipe with little data and two steps, one in each half of the schedule."""
    unit = networks.make(recipe.network).multiple_of
    patches = [stage.patch if stage.patch <= SIDE else max(unit, SIDE) for stage in recipe.train.stages]
    stages = [{"until": until, "patch": patch, "batch": 2} for until, patch in ((0.5, patches[0]), (1, patches[-1]))]
    changes = {
        "data.train": small_data(recipe.data.train, folder),
        "data.validation": small_data(recipe.data.validation, folder),
        "data.exclude": None,
        "data.size": recipe.data.size and patches[0],
        "init_from": None,
        "train.steps": 2,
        "train.epochs": None,
        "train.minutes": None,
        "train.start_weight": 0,
        "train.warmup": None,
        "train.compile": False,  # which takes a compiler, and a minute
        "train.workers": 0,
        "train.devices": 1,
        "train.nodes": 1,
        "train.stages": stages,
        "validation.crop": 32,
        "validation.patches": min(recipe.validation.patches, 3),
    }
    return recipes.load(recipe.model_dump(), changes)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_two_steps(path: Path, tmp_path: Path) -> None:
    pictures = {"data.train": small_data(["images:own"], tmp_path / "own")} if path.stem == "own_pictures" else {}
    recipe = shrunk(recipes.load(path, pictures), tmp_path)
    looks: list[trainer.ProgressEvent] = []
    network, card = pytorch.load(trainer.train(recipe, tmp_path / "run", on_progress=looks.append))
    assert looks[-1].step == 2
    assert set(recipe.validation.noise) <= set(looks[-1].values)
    assert ("validation_loss" in looks[-1].values) is (recipe.validation.patches > 0)
    assert all(map(np.isfinite, looks[-1].values.values()))
    channels = 1 if recipe.data.mosaic else recipe.data.channels
    assert (card.name, card.network, card.channels) == (recipe.name, str(network), channels)
    assert card.mosaic == recipe.data.mosaic
    assert (tmp_path / "run" / "losses.png").stat().st_size > 1000
