"""Noise estimation: sigma of white noise, correlated noise recognized, none in noise-free images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from scipy.fft import dctn
from skimage import data

from unnoise import datasets, denoisers, noise
from unnoise.datasets.base import as_float, with_channels
from unnoise.evaluation.metrics import psnr
from unnoise.noise import estimation

PICTURES = {"astronaut": data.astronaut, "coffee": data.coffee, "camera": data.camera, "chelsea": data.chelsea}


def clean(name: str) -> np.ndarray:
    return np.atleast_3d(PICTURES[name]()).astype(np.float32) / 255


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("sd", [5, 15, 25, 50])
def test_white_noise_is_measured(name: str, sd: int) -> None:
    report = estimation.estimate_noise(noise.make(f"gaussian:{sd}")(clean(name), 0))
    assert report.kind == "gaussian"
    assert 255 * report.sigma == pytest.approx(sd, rel=0.08, abs=0.5)
    assert report.sigma == report.profile[0]


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("spec", ["poisson:30", "poisson:100", "speckle:25", "speckle:60"])
def test_noise_that_grows_with_the_light_is_signal_dependent(name: str, spec: str) -> None:
    picture = clean(name)
    noisy = noise.make(f"{spec} + clip + quantize:8")(picture, 0)
    report = estimation.estimate_noise(noisy)
    assert report.kind == "signal-dependent"
    assert report.sigma == pytest.approx((noisy - picture).std(), rel=0.3)
    kind, number = spec.split(":")
    assert report.exponent == pytest.approx(1 if kind == "poisson" else 2, abs=0.35)
    white = float(number) ** -0.5 if kind == "poisson" else float(number) / 255
    assert report.sigma_at_white == pytest.approx(white, rel=0.15)
    darker = np.full(1, 0.3)
    assert report.sigma_at(darker) == pytest.approx(white * (0.3**0.5 if kind == "poisson" else 0.3), rel=0.15)


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("spec", ["salt-pepper:0.01", "salt-pepper:0.3", "salt-pepper:0.1,independent=true"])
def test_lost_pixels_are_counted(name: str, spec: str) -> None:
    report = estimation.estimate_noise(noise.make(spec)(clean(name), 0))
    assert report.kind == "impulse" and 255 * report.sigma < 3
    assert report.impulses == pytest.approx(float(spec.partition(":")[2].partition(",")[0]), rel=0.15)


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("share", [0.05, 0.2])
def test_the_noise_beside_impulses_is_measured(name: str, share: float) -> None:
    report = estimation.estimate_noise(noise.make(f"gaussian:15 + salt-pepper:{share} + clip")(clean(name), 0))
    assert report.kind == "mixed" and report.impulses == pytest.approx(share, rel=0.15)
    assert 255 * report.sigma == pytest.approx(15, rel=0.12)


@pytest.mark.parametrize("sd", [25, 50])
def test_clipped_noise_is_measured_where_it_is_whole(sd: int) -> None:
    ramp = np.tile(np.linspace(0, 1, 512, dtype=np.float32)[:, None, None], (1, 512, 3))
    report = estimation.estimate_noise(noise.make(f"gaussian:{sd} + clip")(ramp, 0))
    assert report.kind == "gaussian" and 255 * report.sigma == pytest.approx(sd, rel=0.12)


def page() -> np.ndarray:
    """Return a black and white page of ruled lines and a block."""
    print_ = np.ones((256, 256, 1), np.float32)
    print_[::9], print_[:, ::13], print_[100:140, 50:90] = 0, 0, 0
    return print_


def test_print_stars_and_saturation_are_no_impulses(rng: np.random.Generator) -> None:
    stars = np.full((256, 256, 1), 0.02, np.float32)
    stars[tuple(rng.integers(0, 256, (2, 2000)))] = 1
    flooded = np.clip(clean("coffee") * 3 - 0.8, 0, 1)
    for picture in (page(), stars, flooded, *map(clean, PICTURES)):
        assert estimation.estimate_noise(picture).impulses == 0


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3])
def test_pepper_is_found_on_a_page_of_print(share: float) -> None:
    report = estimation.estimate_noise(noise.make(f"salt-pepper:{share}")(page(), 0))
    assert report.kind == "impulse"
    assert report.impulses == pytest.approx(share, rel=0.15)


def test_pure_noise_has_a_flat_profile(rng: np.random.Generator) -> None:
    profile = estimation.estimate_noise(0.5 + 0.1 * rng.standard_normal((1024, 1024, 1)).astype(np.float32)).profile
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
    report = estimation.estimate_noise(flat + smeared)
    assert report.kind == "correlated"
    assert 6 / 255 < report.sigma <= estimation.LARGEST
    assert report.profile[0] < 5 / 255 < report.profile[2]


@pytest.mark.parametrize(("name", "iso"), [("coffee", 400), ("chelsea", 800)])
def test_texture_hides_the_noise_of_a_camera_but_not_that_of_its_colours(name: str, iso: int) -> None:
    noisy = noise.make(f"camera:{iso} + jpeg:95 + clip + quantize:8")(clean(name), 0)
    assert estimation.estimate_noise(noisy).kind == "correlated"
    assert estimation.estimate_noise(clean(name)).kind == "none"


@pytest.mark.parametrize("name", ["coffee", "camera"])
def test_what_jpeg_has_left_is_found_by_its_grid(name: str) -> None:
    coarse, fine = (
        estimation.estimate_noise(noise.make(f"jpeg:{quality} + quantize:8")(clean(name), 0)) for quality in (50, 70)
    )
    assert coarse.kind == fine.kind == "correlated"
    assert 3 / 255 < fine.sigma < coarse.sigma <= estimation.LARGEST


def test_noise_that_jpeg_hides_in_what_is_flat_is_found(data_root: Path) -> None:
    pairs = datasets.make(f"pairs:{data_root}/polyu")
    assert {estimation.estimate_noise(as_float(pairs[index][0])).kind for index in range(0, len(pairs), 4)} == {
        "correlated"
    }


def test_clean_pictures_are_nearly_clean() -> None:
    levels = {name: 255 * estimation.estimate_noise(clean(name)).sigma for name in PICTURES}
    assert max(levels.values()) < 3, levels


@pytest.mark.parametrize("value", [0.0, 0.13, 1.0])
def test_constant_picture_has_no_noise(value: float) -> None:
    report = estimation.estimate_noise(np.full((64, 48, 3), value, np.float32))
    assert (report.kind, report.sigma, str(report)) == ("none", 0.0, "no noise")


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 5), (8, 8), (9, 30), (3000, 8), (17, 16)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size(size: tuple[int, int], channels: int, rng: np.random.Generator) -> None:
    report = estimation.estimate_noise(rng.random((*size, channels), dtype=np.float32))
    assert np.isfinite(report.sigma) and report.sigma >= 0


def test_holes_are_passed_over(rng: np.random.Generator) -> None:
    picture = noise.make("gaussian:20")(clean("astronaut"), 0)
    whole = estimation.estimate_sigma(picture)
    picture[100:140, 100:140], picture[200, ::50], picture[201, ::50] = np.nan, np.inf, -np.inf
    assert estimation.estimate_noise(picture).sigma == pytest.approx(whole, rel=0.05)
    assert estimation.estimate_noise(np.full((32, 32, 1), np.nan, np.float32)).sigma == 0


def test_report_speaks_in_8_bit_units() -> None:
    report = estimation.NoiseEstimate("correlated", 12 / 255, (1 / 255, 2 / 255, 4 / 255, 8 / 255))
    assert str(report) == "correlated noise, sigma 12.0 for denoising (1.0 at the finest scale)"
    report = estimation.NoiseEstimate("mixed", 12 / 255, (12 / 255,), impulses=0.0512, model="impulse")
    expected = "mixed noise, 5.1 % impulses, sigma 12.0; suggested model: impulse"
    assert str(report) == expected
    assert str(estimation.NoiseEstimate("impulse", 0.001, (0.001,), impulses=0.3)) == "impulse noise, 30.0 % impulses"


@pytest.mark.skipif("gray" not in denoisers.bundled_models(), reason="needs the shipped models")
@pytest.mark.parametrize(("name", "channels"), [("color", 3), ("gray", 1)])
def test_camera_noise_gains(data_root: Path, name: str, channels: int) -> None:
    pairs, model = datasets.make(f"pairs:{data_root}/polyu", channels=channels), denoisers.make(name)
    gains, shifts = [], []
    for index in range(0, len(pairs), 10):
        noisy, truth = (as_float(picture) for picture in pairs[index])
        level = estimation.estimate_noise(noisy).sigma
        noisy, truth = noisy[:192, :192], truth[:192, :192]
        cleaned = model(noisy, level)
        gains.append(psnr(truth, cleaned) - psnr(truth, noisy))
        shifts.append(np.abs((cleaned - noisy).mean(axis=(0, 1))).max())
    assert np.mean(gains) > 2
    assert max(shifts) < 0.75 / 255


@pytest.mark.skipif("gray" not in denoisers.bundled_models(), reason="needs the shipped models")
@pytest.mark.parametrize(("name", "channels"), [("color", 3), ("gray", 1)])
@pytest.mark.parametrize("shade", [0.1, 0.25, 0.75])
def test_an_overestimated_sigma_does_not_trigger_the_clipping_correction(
    name: str, channels: int, shade: float
) -> None:
    smooth = noise.make("correlated:2.5,smooth=1.2,sigma_factor=4.5")
    noisy = smooth(np.full((96, 96, channels), shade, np.float32), 0)
    cleaned = denoisers.make(name)(noisy, smooth.sigma)
    assert cleaned.std() < 0.3 * noisy.std()
    np.testing.assert_allclose(cleaned.mean(axis=(0, 1)), noisy.mean(axis=(0, 1)), atol=0.75 / 255)


@pytest.mark.skipif("gray" not in denoisers.bundled_models(), reason="needs the shipped models")
@pytest.mark.parametrize(("name", "channels"), [("color", 3), ("gray", 1)])
def test_noise_that_jpeg_has_smeared_is_removed_too(name: str, channels: int, photograph: np.ndarray) -> None:
    clean = with_channels(photograph, channels)
    noisy = noise.make("gaussian:25 + jpeg:60")(clean, 0)
    assert psnr(clean, denoisers.make(name)(noisy, 25 / 255)) > psnr(clean, noisy) + 3


def test_the_transform_of_blocks_is_scipys(rng: np.random.Generator) -> None:
    blocks = rng.random((5, 8, 8), np.float32)
    ours = estimation._COSINES @ blocks @ estimation._COSINES.T
    np.testing.assert_allclose(ours, dctn(blocks, axes=(1, 2), norm="ortho"), atol=1e-5)


def test_a_dither_has_at_most_all_of_its_pixels_replaced() -> None:
    bayer = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) * 16 + 8
    gray = data.camera()[128:384, 128:384]
    dither = bayer[np.ix_(np.arange(256) % 4, np.arange(256) % 4)] < gray
    assert estimation.estimate_noise(dither[:, :, None].astype(np.float32)).impulses == 1
