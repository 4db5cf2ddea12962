"""Batches made on a device: the same patches as on the CPU, with noise of the same distribution."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch  # noqa: TID253

from tests.fakes import InMemory
from unnoise import noise
from unnoise.denoisers import pytorch
from unnoise.errors import UnnoiseError
from unnoise.training import recipe as recipes, trainer
from unnoise.training.batches import DevicePatches, apply_noise, check_noise
from unnoise.training.patches import Patches

CPU = torch.device("cpu")


def pictures(*, channels: int = 3, stored: type = np.uint8) -> InMemory:
    rng = np.random.default_rng(0)
    values = [rng.integers(0, 256, (20 + 3 * one, 31 - one, channels)).astype(stored) for one in range(4)]
    items = values if stored is np.uint8 else [one / np.float32(255) for one in values]
    return InMemory(*items, items[1])


def make(patches: Patches, first: int, count: int) -> dict[str, torch.Tensor]:
    return DevicePatches(patches.dataset, CPU).make(patches, first, count)


def correlation(batch: np.ndarray, axis: int) -> float:
    """Return the correlation of the noise between neighbors along an axis."""
    last = batch.shape[axis]
    one, other = (np.take(batch, range(start, last - 1 + start), axis).ravel() for start in (0, 1))
    return np.corrcoef(one, other)[0, 1]


def run(recipe: recipes.Recipe, folder: Path) -> dict[str, torch.Tensor]:
    return pytorch.load(trainer.train(recipe, folder))[0].state_dict()


@pytest.mark.parametrize("turn", [True, False])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("stored", [np.uint8, np.float32])
def test_the_patches_are_those_that_processors_make(turn: bool, channels: int, stored: type) -> None:
    patches = Patches(pictures(channels=channels, stored=stored), noise.make("gaussian:0..50"), 8, seed=3, turn=turn)
    batch = make(patches, 5, 40)
    for index in range(40):
        expected = patches[5 + index]
        np.testing.assert_allclose(batch["clean"][index], expected["clean"], atol=1e-6)
        np.testing.assert_array_equal(batch["sigma"][index], expected["sigma"])


def test_a_place_that_stays_is_found_again() -> None:
    patches = Patches(pictures(), noise.make("gaussian:10"), 8, per_picture=3)
    batch = make(patches, 0, 30)
    np.testing.assert_allclose(batch["clean"], np.stack([patches[index]["clean"] for index in range(30)]), atol=1e-6)


def test_grey_and_stretched_ones_are_the_same_and_stay_grey() -> None:
    patches = Patches(pictures(), noise.make("gaussian:25"), 8, gray=0.4, stretch=0.6)
    batch = make(patches, 0, 60)
    stretches, grays = 0, 0
    for index in range(60):
        plan, _ = patches.plan(index)
        np.testing.assert_allclose(batch["clean"][index], patches[index]["clean"], atol=1e-5)
        stretches += plan.stretch is not None
        alike = {bool((one[index] == one[index, :1]).all()) for one in (batch["noisy"], batch["clean"])}
        assert alike == {plan.gray}
        grays += plan.gray
    assert min(stretches, grays, 60 - stretches, 60 - grays) > 10


def test_a_batch_depends_on_its_number_alone() -> None:
    patches = Patches(pictures(), noise.make("gaussian:25"), 8, seed=1)
    first, other = make(patches, 0, 6), make(patches, 6, 6)
    assert torch.equal(make(patches, 0, 6)["noisy"], first["noisy"])
    difference = (first["noisy"] - first["clean"]) - (other["noisy"] - other["clean"])
    assert difference.abs().mean() > 0.1 / 255, "other noise"


def test_the_second_shot_has_noise_of_its_own() -> None:
    batch = make(Patches(pictures(), noise.make("gaussian:25"), 8, target="second"), 0, 6)
    assert set(batch) == {"noisy", "second", "sigma"}
    assert (batch["noisy"] - batch["second"]).std().item() == pytest.approx(2**0.5 * 25 / 255, rel=0.1)
    alone = make(Patches(pictures(), noise.make("gaussian:25"), 8, target="none"), 0, 6)
    assert set(alone) == {"noisy", "sigma"}


@pytest.mark.parametrize(
    "spec",
    [
        "gaussian:25",
        "uniform:40",
        "speckle:60",
        "poisson:20",
        "salt-pepper:0.3",
        "salt-pepper:0.3,independent=true",
        "poisson:30 + gaussian:10",
        "salt-pepper:0.2 + gaussian:25 + clip",
    ],
)
def test_noise_has_the_moments_that_it_has_on_processors(spec: str) -> None:
    """Mean and deviation at three shades, and correlation of neighbors and channels."""
    made = noise.make(spec)
    shades = np.repeat(np.array([0.2, 0.5, 0.9], np.float32), 64)[:, None, None] * np.ones((1, 96, 3), np.float32)
    images = torch.from_numpy(shades.transpose(2, 0, 1).copy())[None].repeat(4, 1, 1, 1)
    chance = torch.Generator().manual_seed(0)
    noisy = apply_noise(images, [made] * 4, chance).numpy()
    expected = np.stack([made(shades, seed).transpose(2, 0, 1) for seed in range(4)])
    for shade in range(3):
        rows = slice(64 * shade, 64 * (shade + 1))
        ours, theirs = noisy[:, :, rows], expected[:, :, rows]
        deviation = theirs.std()
        assert abs(ours.mean() - theirs.mean()) < 0.03 * deviation
        assert ours.std() == pytest.approx(deviation, rel=0.03)
        for axis in (1, 3):
            assert correlation(ours, axis) == pytest.approx(correlation(theirs, axis), abs=0.03)


def test_each_picture_has_its_own_noise() -> None:
    specs = ["gaussian:0", "salt-pepper:1", "gaussian:50", "gaussian:10 + clip", "gaussian:50"]
    images = torch.full((5, 3, 32, 32), 0.95)
    noisy = apply_noise(images, [noise.make(spec) for spec in specs], torch.Generator().manual_seed(0))
    assert torch.equal(noisy[0], images[0])
    assert set(noisy[1].unique().tolist()) == {0.0, 1.0}
    assert noisy[3].max() == 1
    for strong in (noisy[2], noisy[4]):
        assert strong.std().item() == pytest.approx(50 / 255, rel=0.1)
        assert strong.max() > 1
    assert not torch.equal(noisy[2], noisy[4])
    assert torch.equal(images, torch.full((5, 3, 32, 32), 0.95)), "what was given stays as it is"


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("jpeg:50", "data.on_device supports clip, gaussian, .*, not 'jpeg'"),
        ("gaussian:10 | gaussian:5 + camera:800", ", not 'camera'"),
        (None, "needs a noise"),
    ],
)
def test_a_noise_that_it_cannot_make_is_refused(spec: str | None, why: str) -> None:
    with pytest.raises(UnnoiseError, match=why):
        check_noise(spec and noise.make(spec))


def test_pairs_are_refused() -> None:
    with pytest.raises(UnnoiseError, match="clean images only"):
        DevicePatches(InMemory(*((one, one) for one in pictures().items)), CPU)


def test_a_training_on_its_batches_learns_the_same_each_time(three_pictures: Path, tmp_path: Path) -> None:
    tree = {
        "name": "tiny",
        "network": "resunet:widths=4/8,blocks=1/1",
        "noise": "gaussian:0..50",
        "data": {"train": [f"images:{three_pictures}"], "on_device": True},
        "train": {"steps": 30, "precision": "fp32", "stages": [{"until": 1, "patch": 16, "batch": 4}], "warmup": 2},
        "validation": {"every": 15},
    }
    first, again = (run(recipes.load(tree), tmp_path / str(number)) for number in range(2))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    elsewhere = run(recipes.load(tree, {"data.on_device": False}), tmp_path / "elsewhere")
    assert any(not torch.equal(first[key], elsewhere[key]) for key in first), "its noise is drawn otherwise"
    with pytest.raises(UnnoiseError, match="not 'jpeg'"):
        trainer.train(recipes.load(tree, {"noise": "jpeg:50"}), tmp_path / "refused")
    assert not (tmp_path / "refused").exists()
