"""JPEG blockiness: measured at any offset of the grid, and zero without one."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data

from unnoise import noise
from unnoise.noise.blockiness import SMOOTH, measure
from unnoise.noise.estimation import VISIBLE


def blocks(step: float, size: int = 160) -> np.ndarray:
    """Return a smooth image with blocks of 8x8 that are alternately brighter and darker."""
    y, x = np.mgrid[:size, :size]
    odd = (y // 8 + x // 8) % 2
    return (0.4 + 0.01 * x / size + step * odd)[:, :, None].repeat(3, axis=2).astype(np.float32)


@pytest.fixture
def coffee() -> np.ndarray:
    return data.coffee().astype(np.float32) / 255


@pytest.mark.parametrize("step", [1 / 255, 2 / 255, 5 / 255])
def test_the_step_across_the_grid_is_measured(step: float) -> None:
    assert measure(blocks(step)) == pytest.approx(step, rel=0.1)


@pytest.mark.parametrize(("top", "left"), [(0, 0), (3, 0), (0, 5), (7, 7)])
def test_the_grid_may_begin_anywhere(top: int, left: int) -> None:
    assert measure(blocks(0.01)[top:, left:]) == pytest.approx(measure(blocks(0.01)), rel=0.05)


def test_edges_of_the_picture_are_no_grid() -> None:
    assert measure(blocks(2 * SMOOTH)) < 0.1 / 255


def test_stripes_are_no_grid() -> None:
    striped = np.tile(blocks(0.01)[:1], (160, 1, 1))
    assert measure(striped) == measure(striped.transpose(1, 0, 2)) == 0


def test_small_pictures_are_judged_where_that_can_be(rng: np.random.Generator) -> None:
    assert measure(blocks(0.01, size=32)) == pytest.approx(0.01, rel=0.1)
    assert measure(blocks(0.01, size=31)) == 0
    grain = rng.normal(0.5, 0.005, (40, 40, 3)).astype(np.float32)
    assert measure(grain) == 0


def test_large_pictures_are_measured_alike() -> None:
    large = np.tile(blocks(0.01), (12, 12, 1))
    assert large.shape[0] * large.shape[1] > 3 * 2**20
    assert measure(large) == pytest.approx(measure(blocks(0.01)), rel=0.1)


def test_holes_are_passed_over() -> None:
    picture = blocks(0.01)
    picture[30:60, 40], picture[100, 10:90], picture[101, 10:90] = np.nan, np.inf, -np.inf
    picture[120, 50] = np.inf, -np.inf, 0
    assert measure(picture) == pytest.approx(measure(blocks(0.01)), rel=0.05)
    assert measure(np.full((200, 200, 3), np.nan, np.float32)) == 0


def test_more_of_it_stands_out_at_a_lower_quality(coffee: np.ndarray) -> None:
    found = [measure(noise.make(f"jpeg:{quality} + quantize:8")(coffee, 0)) for quality in (95, 80, 60)]
    assert measure(coffee) < VISIBLE and found[0] < VISIBLE < found[1] < found[2]


@pytest.mark.parametrize("spec", ["gaussian:5", "gaussian:50", "poisson:30", "salt-pepper:0.1"])
def test_noise_has_no_grid(spec: str, coffee: np.ndarray) -> None:
    assert measure(noise.make(f"{spec} + clip + quantize:8")(coffee, 0)) == 0
