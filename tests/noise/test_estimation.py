"""Sigma of white noise, its dependence on the signal, and impulses."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scipy.fft import dctn
from skimage import data

from unnoise import denoisers, noise
from unnoise.datasets.base import with_channels
from unnoise.evaluation.metrics import psnr
from unnoise.noise import estimation

PICTURES = {"astronaut": data.astronaut, "coffee": data.coffee, "camera": data.camera, "chelsea": data.chelsea}


def clean(name: str) -> np.ndarray:
    return np.atleast_3d(PICTURES[name]()).astype(np.float32) / 255


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("sd", [5, 15, 25, 50])
def test_white_noise_is_measured(name: str, sd: int) -> None:
    report = estimation.estimate_white_noise(noise.make(f"gaussian:{sd}")(clean(name), 0))
    assert report.kind == "gaussian"
    assert 255 * report.sigma == pytest.approx(sd, rel=0.08, abs=0.5)
    assert report.line == (0, 0, 0)


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("spec", ["poisson:30", "poisson:100", "speckle:25", "speckle:60"])
def test_noise_that_grows_with_the_light_is_signal_dependent(name: str, spec: str) -> None:
    picture = clean(name)
    noisy = noise.make(f"{spec} + clip + quantize:8")(picture, 0)
    report = estimation.estimate_white_noise(noisy)
    assert report.kind == "signal-dependent"
    assert report.sigma == pytest.approx((noisy - picture).std(), rel=0.3)
    kind, number = spec.split(":")
    bright, dark = np.full((1, 1, 3), 0.6), np.full((1, 1, 3), 0.3)
    if kind == "poisson":
        assert report.line[0] == pytest.approx(1 / float(number), rel=0.25)
        for light in (bright, dark):
            assert report.sigma_at(light) == pytest.approx((light / float(number)) ** 0.5, rel=0.15)
    assert (report.sigma_map(bright) > 1.2 * report.sigma_map(dark)).all()


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("spec", ["salt-pepper:0.01", "salt-pepper:0.3", "salt-pepper:0.1,independent=true"])
def test_lost_pixels_are_counted(name: str, spec: str) -> None:
    report = estimation.estimate_white_noise(noise.make(spec)(clean(name), 0))
    assert report.kind == "mixed" and 255 * report.sigma < 3, "which is none"
    assert report.impulses == pytest.approx(float(spec.partition(":")[2].partition(",")[0]), rel=0.15)


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("share", [0.05, 0.2])
def test_the_noise_beside_impulses_is_measured(name: str, share: float) -> None:
    report = estimation.estimate_white_noise(noise.make(f"gaussian:15 + salt-pepper:{share} + clip")(clean(name), 0))
    assert report.kind == "mixed" and report.impulses == pytest.approx(share, rel=0.15)
    assert 255 * report.sigma == pytest.approx(15, rel=0.12)


@pytest.mark.parametrize("sd", [25, 50])
def test_clipped_noise_is_measured_where_it_is_whole(sd: int) -> None:
    ramp = np.tile(np.linspace(0, 1, 512, dtype=np.float32)[:, None, None], (1, 512, 3))
    report = estimation.estimate_white_noise(noise.make(f"gaussian:{sd} + clip")(ramp, 0))
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
        assert estimation.estimate_white_noise(picture).impulses == 0


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3])
def test_pepper_is_found_on_a_page_of_print(share: float) -> None:
    report = estimation.estimate_white_noise(noise.make(f"salt-pepper:{share}")(page(), 0))
    assert report.kind == "mixed"
    assert report.impulses == pytest.approx(share, rel=0.15)


@pytest.mark.parametrize("sd", [10, 25])
def test_flat_blocks_beat_the_wavelet_median(sd: int) -> None:
    from skimage.restoration import estimate_sigma

    noisy = [noise.make(f"gaussian:{sd}")(clean(name), 0) for name in PICTURES]
    ours = [255 * estimation.estimate_sigma(picture) for picture in noisy]
    theirs = [255 * estimate_sigma(picture, channel_axis=2, average_sigmas=True) for picture in noisy]
    assert np.abs(np.subtract(ours, sd)).mean() < np.abs(np.subtract(theirs, sd)).mean()


def test_clean_pictures_are_nearly_clean() -> None:
    levels = {name: 255 * estimation.estimate_white_noise(clean(name)).sigma for name in PICTURES}
    assert max(levels.values()) < 3, levels


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 5), (8, 8), (9, 30), (3000, 8), (17, 16)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size(size: tuple[int, int], channels: int, rng: np.random.Generator) -> None:
    report = estimation.estimate_white_noise(rng.random((*size, channels), dtype=np.float32))
    assert np.isfinite(report.sigma) and report.sigma >= 0


def test_holes_are_passed_over(rng: np.random.Generator) -> None:
    picture = noise.make("gaussian:20")(clean("astronaut"), 0)
    whole = estimation.estimate_sigma(picture)
    picture[100:140, 100:140], picture[200, ::50], picture[201, ::50] = np.nan, np.inf, -np.inf
    assert estimation.estimate_white_noise(picture).sigma == pytest.approx(whole, rel=0.05)
    assert estimation.estimate_white_noise(np.full((32, 32, 1), np.nan, np.float32)).sigma == 0


def test_the_estimate_is_described_in_8_bit_units() -> None:
    estimate = estimation.NoiseEstimate("correlated", 12 / 255, 5 / 255, 0.52)
    assert str(estimate) == "correlated noise, level 5.0, correlation 0.52"
    assert estimate.explanation == "neighboring pixels share noise, with a correlation of 0.52"
    estimate = estimation.NoiseEstimate("mixed", 12 / 255, impulses=0.0512, model="impulse")
    assert str(estimate) == "mixed noise, 5.1 % impulses, sigma 12.0; suggested model: impulse"
    assert str(estimation.NoiseEstimate("impulse", 0.001, impulses=0.3)) == "impulse noise, 30.0 % impulses"


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_an_estimate_scales_with_the_image(factor: float) -> None:
    estimate = estimation.NoiseEstimate("signal-dependent", 0.1, 0.12, line=(0.02, 0.001, 0.0001)).scaled(factor)
    assert (estimate.sigma, estimate.level) == pytest.approx((0.1 * factor, 0.12 * factor))
    light = np.linspace(0, 1, 5)
    np.testing.assert_allclose(estimate.sigma_at(factor * light), factor * np.sqrt(0.02 * light + 0.001), rtol=1e-5)


@pytest.mark.parametrize("blur", [0.8, 1.0, 1.5])
def test_blurred_noise_is_at_low_frequencies_as_white_noise_of_the_equivalent_sigma(
    blur: float, rng: np.random.Generator
) -> None:
    smooth = ndimage.gaussian_filter(rng.standard_normal((512, 512)), blur)
    level, correlation = smooth.std(), np.exp(-1 / (4 * blur**2))
    means = smooth.reshape(32, 16, 32, 16).mean(axis=(1, 3))  # of white noise of sigma s, their deviation is s / 16
    assert estimation.equivalent_sigma(level, correlation) == pytest.approx(16 * means.std(), rel=0.15)
    assert estimation.equivalent_sigma(0.1, 0) == estimation.equivalent_sigma(0.1, -0.3) == 0.1


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
    assert estimation.estimate_white_noise(dither[:, :, None].astype(np.float32)).impulses == 1
