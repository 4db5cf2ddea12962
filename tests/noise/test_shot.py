"""The noise of raw files is measured as it was drawn."""

from __future__ import annotations

import numpy as np
import pytest

from unnoise.noise import shot
from unnoise.noise.shot import ShotNoise

SPAN = 14488


def scene(brightest: float) -> np.ndarray:
    """Patches of ten brightnesses, with edges, `[400, 600]`."""
    levels = np.linspace(0, brightest, 24).reshape(4, 6)
    return np.random.default_rng(1).permuted(levels).repeat(100, axis=0).repeat(100, axis=1)


def noisy(light: np.ndarray, gain: float, read: float, *, lowest: float = -np.inf) -> np.ndarray:
    """Electrons of `gain` counts and read noise, rounded to counts, as a signal."""
    rng = np.random.default_rng(2)
    counts = gain * rng.poisson(light * SPAN / gain) + read * rng.standard_normal(light.shape)
    return (np.maximum(np.rint(counts), lowest) / SPAN).astype(np.float32)


@pytest.mark.parametrize("brightest", [0.8, 0.02])
@pytest.mark.parametrize(("gain", "read"), [(1, 3), (8, 20), (30, 60)])
def test_gain_and_read_noise_are_found(gain: float, read: float, brightest: float) -> None:
    found = shot.measure([noisy(scene(brightest), gain, read)], 1 / SPAN, clipped_black=False)
    assert found is not None
    variance = read**2 + 1 / 12
    for light in (0, brightest / 4, brightest):  # in counts
        expected = np.sqrt(gain * light * SPAN + variance)
        assert found.sigma(light) * SPAN == pytest.approx(expected, rel=0.1 if light else 0.2)


def test_texture_is_not_taken_for_noise() -> None:
    """All patches but three have a fine texture, as strong as the noise."""
    texture = 0.008 * np.random.default_rng(4).standard_normal((400, 600))
    plain = np.isin(scene(0.8), np.linspace(0, 0.8, 24)[[3, 12, 20]])
    light = np.clip(scene(0.8) + texture * ~plain, 0, 0.99)
    found = shot.measure([noisy(light, 4, 10)], 1 / SPAN, clipped_black=False)
    assert found is not None
    for level in (0.1, 0.5):
        assert found.sigma(level) * SPAN == pytest.approx(np.sqrt(4 * level * SPAN + 100), rel=0.15)


@pytest.mark.parametrize("level", [0.0, 0.3])
def test_a_flat_field_has_the_noise_of_its_light(level: float) -> None:
    found = shot.measure([noisy(np.full((300, 300), level), 10, 30)], 1 / SPAN, clipped_black=False)
    assert found is not None
    assert found.sigma(level) * SPAN == pytest.approx(np.sqrt(10 * level * SPAN + 900), rel=0.05)


def test_values_cut_off_at_black_do_not_count() -> None:
    found = shot.measure([noisy(scene(0.5), 8, 20, lowest=0)], 1 / SPAN, clipped_black=True)
    assert found is not None
    assert found.sigma(0.25) * SPAN == pytest.approx(np.sqrt(8 * 0.25 * SPAN + 400), rel=0.1)


def test_without_noise_that_of_rounding_remains() -> None:
    still = np.linspace(0, 0.9, 600)[None].repeat(400, axis=0)
    found = shot.measure([(np.rint(still * SPAN) / SPAN).astype(np.float32)], 1 / SPAN, clipped_black=False)
    assert found is not None
    assert found.b >= 1 / 12 / SPAN**2
    assert found.sigma(0.5) * SPAN < 1


@pytest.mark.parametrize("size", [(2, 2), (7, 30)])
def test_too_few_pixels_have_no_measure(size: tuple[int, int]) -> None:
    assert shot.measure([np.zeros(size, np.float32)], 1 / SPAN, clipped_black=False) is None


def test_saturated_pixels_have_no_measure() -> None:
    assert shot.measure([np.ones((100, 100), np.float32)], 1 / SPAN, clipped_black=False) is None


def test_the_law_in_one_line() -> None:
    assert str(ShotNoise(2e-4, 3e-6)) == "variance 0.0002 x + 3e-06"


def test_planes_are_measured_together() -> None:
    """A plane without flat parts gets what the others show."""
    rough = scene(0.5) * np.random.default_rng(1).uniform(0.5, 1, scene(0.5).shape)
    planes = [noisy(light, 8, 20) for light in (scene(0.5), rough[:-1], scene(0.2))]
    found = shot.measure(planes, 1 / SPAN, clipped_black=False)
    assert found is not None
    assert found.sigma(0.3) == pytest.approx(ShotNoise(8 / SPAN, (20 / SPAN) ** 2).sigma(0.3), rel=0.1)


@pytest.mark.parametrize("iso", [800, 3200, 25600])
def test_a_typical_camera_is_among_published_ones(iso: int) -> None:
    """Gains at ISO 100 of Nikon D850, Canon 5D IV, Sony A7S II, IMX686, IMX385; read noise of 1 to 5 electrons."""
    gains = np.array([2.6e-5, 1.5e-5, 6.0e-6, 1.4e-4, 6.0e-5]) * iso / 100
    found = shot.typical(iso)
    assert found.a == pytest.approx(np.median(gains))
    assert ShotNoise(gains.min(), gains.min() ** 2).sigma(0.1) < found.sigma(0.1)
    assert found.sigma(0.1) < ShotNoise(gains.max(), (5 * gains.max()) ** 2).sigma(0.1)
