"""Every recipe in `recipes/` runs: two steps, on pictures made here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unnoise import image_io, recipe as recipes, training
from unnoise.denoisers import checkpoint

SHIPPED = sorted((Path(__file__).resolve().parent.parent / "recipes").iterdir())


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_two_steps(path: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    (tmp_path / "pictures").mkdir()
    image_io.from_array(rng.integers(256, size=(40, 36, 3), dtype=np.uint8)).save(tmp_path / "pictures" / "a.png")
    pictures = [f"images:{tmp_path / 'pictures'}"]
    halves = [{"until": 0.5, "patch": 16, "batch": 2}, {"until": 1, "patch": 32, "batch": 1}]
    small = {"train.steps": 2, "train.minutes": None, "train.workers": 0, "train.stages": halves, "validation.crop": 32}
    data = {"data.train": pictures, "data.validation": pictures, "data.exclude": None, "start": None}
    recipe = recipes.load(path, {**small, **data})
    looks: list[training.Look] = []
    network, card = checkpoint.load(training.train(recipe, tmp_path / "run", watch=looks.append))
    assert [look.step for look in looks if look.validated] == [2]
    assert set(recipe.validation.noise) <= set(looks[-1].values)
    assert all(map(np.isfinite, looks[-1].values.values()))
    assert (card.name, card.network, card.channels) == (recipe.name, str(network), recipe.data.channels)
