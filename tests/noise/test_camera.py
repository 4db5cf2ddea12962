"""Camera noise: variances on the sensor, exact tone curve, correlation, and no shift of the mean."""

from __future__ import annotations

import math

import numpy as np
import pytest

from unnoise import noise
from unnoise.errors import UnnoiseError
from unnoise.noise.camera import Camera, demosaic, linear, mosaic, toned

SIDE = 256


def flat(value: float, channels: int = 3) -> np.ndarray:
    return np.full((SIDE, SIDE, channels), value, np.float32)


def autocorrelation(plane: np.ndarray, lag: int) -> float:
    return float(np.corrcoef(plane[:, lag:].ravel(), plane[:, :-lag].ravel())[0, 1])


@pytest.mark.parametrize(("iso", "light"), [(400, 0.5), (12800, 0.1), (12800, 0.0)])
def test_sensor_noise_has_the_variance_of_shot_and_read_noise(iso: int, light: float) -> None:
    shot = 1e-6 * iso
    read = math.exp(2.18 * math.log(shot) + 1.20)
    drawn = Camera(iso).sensor_noise(flat(light, 4), np.random.default_rng(0))
    assert drawn.var() == pytest.approx(shot * light + read, rel=0.02)
    assert abs(drawn.mean()) < 4 * drawn.std() / drawn.size**0.5


def test_row_noise_is_shared_by_the_cells_of_a_row() -> None:
    rng = np.random.default_rng(0)
    read = math.exp(2.18 * math.log(1e-6 * 6400) + 1.20)
    rows = Camera(6400, rows=3).sensor_noise(flat(0, 1), rng).mean(axis=1)
    assert rows.var() == pytest.approx(9 * read + read / SIDE, rel=0.3)


def test_tone_curve_and_its_inverse_cancel() -> None:
    values = np.linspace(0, 1, 4097, dtype=np.float32)
    np.testing.assert_allclose(toned(linear(values)), values, atol=2e-6)
    assert linear(np.array([0.5])).item() == pytest.approx(0.21404, abs=1e-5)


@pytest.mark.parametrize("phase", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_demosaicing_keeps_what_was_seen_and_finds_a_linear_ramp(phase: tuple[int, int]) -> None:
    down, across = np.mgrid[0:16, 0:16].astype(np.float32)
    picture = np.stack([down, across, down + across], axis=2)
    seen = mosaic(picture, np.array(phase))
    filled = demosaic(seen, np.array(phase))
    np.testing.assert_allclose(filled[1:-1, 1:-1], picture[1:-1, 1:-1], atol=1e-5)
    assert np.all((filled == seen).any(axis=2))


def test_more_sensitivity_is_more_noise_and_grey_keeps_its_mean() -> None:
    errors = [noise.make(f"camera:{iso}")(flat(0.5), 1) - 0.5 for iso in (100, 1600, 12800)]
    deviations = [error.std() for error in errors]
    assert deviations[0] < deviations[1] / 2 < deviations[2] / 4
    assert all(np.abs(error.mean(axis=(0, 1))).max() < 0.5 / 255 for error in errors[:2])


def test_demosaicing_and_smoothing_correlate_neighbours() -> None:
    plain = noise.make("camera:3200")(flat(0.5), 0)[:, :, 1]
    smooth = noise.make("camera:3200,smooth=1")(flat(0.5), 0)[:, :, 1]
    alone = noise.make("camera:3200")(flat(0.5, 1), 0)[:, :, 0]
    assert abs(autocorrelation(alone, 1)) < 0.05 < 0.3 < autocorrelation(plain, 1) < autocorrelation(smooth, 1)


def test_colour_is_smoothed_by_its_own_measure() -> None:
    noisy = noise.make("camera:3200,smooth_color=3")(flat(0.5), 0)
    luma = noisy @ np.array([0.299, 0.587, 0.114], np.float32)
    assert autocorrelation(noisy[:, :, 0] - luma, 4) > 0.4 > 0.2 > autocorrelation(luma, 4)


def test_range_of_sensitivity_is_drawn_by_its_logarithm() -> None:
    drawn = noise.make("camera:iso=100..10000,smooth=0..1")
    rng = np.random.default_rng(0)
    isos = [vars(drawn.draw(rng))["iso"] for _ in range(4000)]
    assert 100 <= min(isos) < 120 < 8000 < max(isos) <= 10000
    assert np.median(isos) == pytest.approx(1000, rel=0.1)


def test_result_stays_in_range_and_its_spec_is_its_name() -> None:
    rough = noise.make("camera:51200,rows=1")
    noisy = rough(np.random.default_rng(0).random((33, 47, 3), dtype=np.float32), 0)
    assert noisy.shape == (33, 47, 3)
    assert 0 <= noisy.min() <= noisy.max() <= 1
    assert noise.make(str(rough)) == rough


@pytest.mark.parametrize("spec", ["camera", "camera:0", "camera:100,smooth=-1"])
def test_what_no_camera_has_is_refused(spec: str) -> None:
    with pytest.raises(UnnoiseError, match="camera"):
        noise.make(spec)
