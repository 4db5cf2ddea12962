"""PSNR and SSIM against their definitions and against scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from unnoise.errors import UnnoiseError
from unnoise.evaluation.metrics import psnr, ssim, to_8_bit


@pytest.fixture
def noisy(photograph: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return photograph + 0.1 * rng.standard_normal(photograph.shape, dtype=np.float32)


def ssim_by_definition(truth: np.ndarray, picture: np.ndarray) -> float:
    """Compute Wang et al. (TIP 2004), equation 13, in 11x11 Gaussian windows that lie within the picture."""
    x, y = truth.astype(np.float64), picture.astype(np.float64)
    profile = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(profile, profile)[:, :, None] / profile.sum() ** 2

    def mean(values: np.ndarray) -> np.ndarray:
        return ndimage.correlate(values, window)[5:-5, 5:-5]

    mx, my = mean(x), mean(y)
    vx, vy, vxy = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    return float(((2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean())


@pytest.mark.parametrize(("error", "decibels"), [(0.1, 20), (0.01, 40), (1, 0), (0.5, 6.0206)])
def test_psnr_of_a_constant_error(error: float, decibels: float) -> None:
    truth = np.zeros((4, 5, 3), np.float32)
    assert psnr(truth, truth + np.float32(error), rounded=False) == pytest.approx(decibels, abs=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_psnr_is_over_all_pixels_and_channels(photograph: np.ndarray, noisy: np.ndarray, channels: int) -> None:
    truth, picture = photograph[:, :, :channels], noisy[:, :, :channels]
    error = np.mean((truth.astype(np.float64) - picture) ** 2)
    assert psnr(truth, picture, rounded=False) == pytest.approx(-10 * np.log10(error))
    assert psnr(truth, picture, rounded=False) == pytest.approx(peak_signal_noise_ratio(truth, picture, data_range=1))
    assert psnr(truth, picture) == psnr(truth, to_8_bit(picture))
    assert psnr(truth, picture) > psnr(truth, picture, rounded=False)  # clipping takes errors away


def test_a_figure_is_measured_on_8_bits() -> None:
    truth = np.arange(256, dtype=np.float32).reshape(16, 16, 1) / 255
    nearly = truth + np.float32(0.4 / 255)
    assert psnr(truth, nearly) == np.inf
    assert psnr(truth, nearly, rounded=False) == pytest.approx(20 * np.log10(255 / 0.4), abs=1e-3)
    assert psnr(truth, truth) == np.inf
    np.testing.assert_array_equal(to_8_bit(np.array([-0.5, 0.29, 1.5], np.float32)) * 255, [0, 74, 255])
    assert to_8_bit(nearly).dtype == np.float64


@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_is_that_of_its_authors(photograph: np.ndarray, noisy: np.ndarray, channels: int) -> None:
    truth, picture = photograph[:, :, :channels], noisy[:, :, :channels]
    assert ssim(truth, picture, rounded=False) == pytest.approx(ssim_by_definition(truth, picture), abs=1e-7)
    assert ssim(truth, picture) == pytest.approx(ssim_by_definition(truth, to_8_bit(picture)), abs=1e-7)
    theirs = structural_similarity(truth, picture, data_range=1, channel_axis=2, gaussian_weights=True)
    assert ssim(truth, picture, rounded=False) == pytest.approx(theirs, abs=1e-3)  # theirs corrects for sample size


def test_ssim_of_equal_and_of_flat_pictures(photograph: np.ndarray) -> None:
    assert ssim(photograph, photograph, rounded=False) == pytest.approx(1)
    a, b, c1 = 0.2, 0.6, 0.01**2
    flat = np.ones((11, 11, 1), np.float32)
    expected = (2 * a * b + c1) / (a * a + b * b + c1)
    assert ssim(a * flat, b * flat) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("measure", [psnr, ssim])
def test_pictures_of_different_shape_are_refused(measure) -> None:
    with pytest.raises(UnnoiseError, match=r"different shape cannot be compared: \(16, 16, 3\) and \(16, 16, 1\)"):
        measure(np.zeros((16, 16, 3)), np.zeros((16, 16, 1)))


def test_ssim_of_a_small_picture_is_refused() -> None:
    with pytest.raises(UnnoiseError, match="needs at least 11x11 pixels, got 30x10"):
        ssim(np.zeros((10, 30, 1)), np.zeros((10, 30, 1)))
