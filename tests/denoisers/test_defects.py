"""Hot pixels and offsets of rows are removed, and nothing of the image is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage import data

from unnoise.denoisers import bayer, defects
from unnoise.noise.shot import ShotNoise

NOISES = {"low": ShotNoise(2e-5, 1e-8), "high": ShotNoise(1e-3, 2e-5), "dark": ShotNoise(5e-3, 5e-4)}


def light(rows: slice = slice(0, 300), columns: slice = slice(0, 450)) -> np.ndarray:
    """A photograph taken back to linear light, seen through the filters of a sensor, `[H, W]`."""
    linear = (data.chelsea()[rows, columns] / 255) ** 2.2 * (0.5, 0.9, 0.6)
    mosaic = linear[..., 1].copy()
    mosaic[::2, ::2], mosaic[1::2, 1::2] = linear[::2, ::2, 0], linear[1::2, 1::2, 2]
    return mosaic


def noisy(mosaic: np.ndarray, noise: ShotNoise, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    sigma = np.sqrt(noise.a * mosaic + noise.b)
    return (mosaic + sigma * rng.standard_normal(mosaic.shape)).astype(np.float32)


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
def test_noise_and_texture_are_no_defects(noise: ShotNoise) -> None:
    planes = bayer.split(noisy(light(), noise))
    kept, count = defects.without_defects(planes, [noise] * 4)
    assert count <= 1
    assert sum(int((a != b).sum()) for a, b in zip(kept, planes, strict=True)) == count


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
@pytest.mark.parametrize("sign", [1, -1])
def test_hot_and_dead_pixels_are_replaced(noise: ShotNoise, sign: int) -> None:
    truth = light()
    mosaic, rng = noisy(truth, noise), np.random.default_rng(1)
    places = rng.integers(4, 290, 60), rng.integers(4, 440, 60)
    mosaic[places] += np.float32(sign * max(60 * noise.sigma(0.3), 0.6))
    planes, count = defects.without_defects(bayer.split(mosaic), [noise] * 4)
    error = np.abs(bayer.join(planes) - truth)[places]
    assert count >= 54
    assert np.median(error) < 6 * noise.sigma(0.3)


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
@pytest.mark.parametrize("width", [1.1, 1.5, 2.5])  # full width at half maximum, pixels
def test_stars_are_no_defects(noise: ShotNoise, width: float) -> None:
    sky, rng = np.zeros((256, 256)), np.random.default_rng(2)
    fine = np.zeros((256 * 4, 256 * 4))
    fine[rng.integers(0, 1024, 40), rng.integers(0, 1024, 40)] = 1
    sky = ndimage.gaussian_filter(fine, 4 * width / 2.355).reshape(256, 4, 256, 4).sum(axis=(1, 3))
    mosaic = noisy(0.01 + 0.9 * sky / sky.max(), noise)
    _, count = defects.without_defects(bayer.split(mosaic), [noise] * 4)
    assert count <= 1


def offsets_of(mosaic: np.ndarray, noise: ShotNoise) -> np.ndarray:
    planes = bayer.split(mosaic)
    found = np.zeros(len(mosaic))
    found[::2], _ = defects.row_offsets(planes[:2], [noise] * 2)
    found[1::2], _ = defects.row_offsets(planes[2:], [noise] * 2)
    return found


@pytest.mark.parametrize("noise", [NOISES["high"], NOISES["dark"]], ids=["high", "dark"])
@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_offsets_of_rows_are_removed(noise: ShotNoise, strength: float) -> None:
    mosaic = 0.2 * light()
    true = strength * noise.sigma(0) * np.random.default_rng(3).standard_normal(len(mosaic))
    found = offsets_of(noisy(mosaic, noise) + true[:, None].astype(np.float32), noise)
    assert np.std(true - found) < 0.7 * np.std(true)


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
def test_without_offsets_hardly_anything_is_removed(noise: ShotNoise) -> None:
    for seed in range(6):
        assert np.std(offsets_of(noisy(light(), noise, seed), noise)) < 0.05 * noise.sigma(0.2)


def test_a_horizon_is_no_offset() -> None:
    mosaic = np.where(np.arange(200)[:, None] < 101, 0.6, 0.05) * np.ones((200, 300))
    found = offsets_of(noisy(mosaic, NOISES["high"]), NOISES["high"])
    assert np.abs(found).max() < 0.1 * NOISES["high"].sigma(0.2)


def test_small_planes_are_left() -> None:
    planes = bayer.split(np.zeros((4, 4), np.float32))
    assert all((a == b).all() for a, b in zip(defects.corrected(planes, [NOISES["low"]] * 4), planes, strict=True))
