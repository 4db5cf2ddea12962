"""Noise is found: white noise at its level, correlated noise as such, and none where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from skimage import data

from unnoise import datasets, denoisers, estimation, noise
from unnoise.datasets.base import as_float
from unnoise.metrics import psnr

PICTURES = {"astronaut": data.astronaut, "coffee": data.coffee, "camera": data.camera, "chelsea": data.chelsea}


def clean(name: str) -> np.ndarray:
    return np.atleast_3d(PICTURES[name]()).astype(np.float32) / 255


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("sd", [5, 15, 25, 50])
def test_white_noise_is_measured(name: str, sd: int) -> None:
    report = estimation.inspect(noise.make(f"gaussian:{sd}")(clean(name), 0))
    assert report.kind == "white"
    assert 255 * report.sigma == pytest.approx(sd, rel=0.08, abs=0.5)
    assert report.sigma == report.profile[0]


def test_pure_noise_has_a_flat_profile(rng: np.random.Generator) -> None:
    profile = estimation.inspect(0.5 + 0.1 * rng.standard_normal((1024, 1024, 1)).astype(np.float32)).profile
    np.testing.assert_allclose(profile, 0.1, rtol=0.06)


@pytest.mark.parametrize("sd", [10, 25])
def test_flat_blocks_beat_the_wavelet_median(sd: int) -> None:
    from skimage.restoration import estimate_sigma

    noisy = [noise.make(f"gaussian:{sd}")(clean(name), 0) for name in PICTURES]
    ours = [255 * estimation.estimate_sigma(picture) for picture in noisy]
    theirs = [255 * estimate_sigma(picture, channel_axis=2, average_sigmas=True) for picture in noisy]
    assert np.abs(np.subtract(ours, sd)).mean() < np.abs(np.subtract(theirs, sd)).mean()


@pytest.mark.parametrize("blur", [0.7, 1.0])
def test_noise_smeared_over_pixels_is_correlated(blur: float, rng: np.random.Generator) -> None:
    white = rng.standard_normal((512, 512, 3)).astype(np.float32)
    smeared = ndimage.gaussian_filter(white, (blur, blur, 0))
    smeared *= 6 / 255 / smeared.std()
    flat = np.full_like(white, 0.5) + np.linspace(0, 0.2, 512, dtype=np.float32)[:, None]
    report = estimation.inspect(flat + smeared)
    assert report.kind == "correlated"
    assert 6 / 255 < report.sigma <= estimation.LARGEST
    assert report.profile[0] < 5 / 255 < report.profile[2]


def test_clean_pictures_are_nearly_clean() -> None:
    levels = {name: 255 * estimation.inspect(clean(name)).sigma for name in PICTURES}
    assert max(levels.values()) < 3, levels


@pytest.mark.parametrize("value", [0.0, 0.13, 1.0])
def test_constant_picture_has_no_noise(value: float) -> None:
    report = estimation.inspect(np.full((64, 48, 3), value, np.float32))
    assert (report.kind, report.sigma, str(report)) == ("none", 0.0, "no noise")


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 5), (8, 8), (9, 30), (3000, 8), (17, 16)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size(size: tuple[int, int], channels: int, rng: np.random.Generator) -> None:
    report = estimation.inspect(rng.random((*size, channels), dtype=np.float32))
    assert np.isfinite(report.sigma) and report.sigma >= 0


def test_holes_are_passed_over(rng: np.random.Generator) -> None:
    picture = noise.make("gaussian:20")(clean("astronaut"), 0)
    whole = estimation.estimate_sigma(picture)
    picture[100:140, 100:140], picture[200, ::50], picture[201, ::50] = np.nan, np.inf, -np.inf
    assert estimation.inspect(picture).sigma == pytest.approx(whole, rel=0.05)
    assert estimation.inspect(np.full((32, 32, 1), np.nan, np.float32)).sigma == 0


def test_report_speaks_in_8_bit_units() -> None:
    report = estimation.NoiseReport("correlated", 12 / 255, (1 / 255, 2 / 255, 4 / 255, 8 / 255))
    assert str(report) == "correlated noise, to be cleaned at level 12.0 (1.0 at the finest scale)"


@pytest.mark.skipif("color" not in denoisers.shipped(), reason="needs the shipped model")
def test_camera_noise_gains(data_root: Path) -> None:
    pairs, model = datasets.make(f"pairs:{data_root}/polyu"), denoisers.make("color")
    gains = []
    for index in range(0, len(pairs), 10):
        noisy, truth = (as_float(picture) for picture in pairs[index])
        level = estimation.inspect(noisy).sigma
        noisy, truth = noisy[:192, :192], truth[:192, :192]
        gains.append(psnr(truth, model(noisy, level)) - psnr(truth, noisy))
    assert np.mean(gains) > 1
