"""Signal-dependent noise is made the same everywhere, and the level of a surface stays."""

from __future__ import annotations

import numpy as np
import pytest

from unnoise.denoisers import stabilized
from unnoise.denoisers.base import Denoiser, Sigma
from unnoise.denoisers.mosaic import PlaneByPlane
from unnoise.denoisers.stabilized import Stabilizer
from unnoise.noise.shot import ShotNoise

NOISES = [ShotNoise(7e-5, 4e-8), ShotNoise(1e-3, 1e-5), ShotNoise(5e-3, 2e-4), ShotNoise(0.0, 1e-4)]
LEVELS = [0.0, 0.001, 0.02, 0.3, 0.9]


class Mean(Denoiser):
    """Knows that the image is flat, and notes sigma."""

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        self.sigma, self.spread = sigma, noisy.std()
        self.ends = np.any((noisy == 0) | (noisy == 1))
        return np.full_like(noisy, noisy.mean(dtype=np.float64))

    wants_sigma = True


def flat(level: float, noise: ShotNoise) -> np.ndarray:
    """Photons and read noise, as the law says, float32 `[600, 500]`."""
    rng = np.random.default_rng(0)
    light = noise.a * rng.poisson(level / noise.a, (600, 500)) if noise.a else np.full((600, 500), level)
    return (light + np.sqrt(noise.b) * rng.standard_normal(light.shape)).astype(np.float32)


@pytest.mark.parametrize("noise", NOISES, ids=str)
@pytest.mark.parametrize("level", LEVELS)
def test_noise_has_the_sigma_that_the_denoiser_is_given(level: float, noise: ShotNoise) -> None:
    model = Mean()
    stabilized.denoise(model, [flat(level, noise)], [noise])
    # Near black, the root of few photons is not that of normal noise: its variance is known to fall short.
    assert model.spread / model.sigma == pytest.approx(1, abs=0.03 if level > 0.02 else 0.2)


@pytest.mark.parametrize("noise", NOISES, ids=str)
@pytest.mark.parametrize("level", LEVELS)
def test_the_mean_of_a_flat_field_stays(level: float, noise: ShotNoise) -> None:
    noisy = flat(level, noise)
    (clean,) = stabilized.denoise(Mean(), [noisy], [noise])
    assert clean.mean(dtype=np.float64) == pytest.approx(noisy.mean(dtype=np.float64), abs=2e-4)


@pytest.mark.parametrize("noise", NOISES, ids=str)
def test_nothing_is_taken_for_clipped(noise: ShotNoise) -> None:
    model, noisy = Mean(), flat(0.3, noise)
    noisy[0, :3] = 0, 1, -0.01
    stabilized.denoise(model, [noisy], [noise])
    assert not model.ends


@pytest.mark.parametrize("noise", NOISES, ids=str)
def test_the_transform_rises_everywhere(noise: ShotNoise) -> None:
    signal = np.linspace(-0.2, 1.5, 5000)
    assert (np.diff(Stabilizer(noise).forward(signal)) > 0).all()


def test_each_plane_has_its_own_noise_and_progress() -> None:
    done: list[float] = []
    planes = [flat(0.3, noise)[: 300 - number] for number, noise in enumerate(NOISES)]
    clean = PlaneByPlane(Mean())(planes, NOISES, "RGGB", done.append)
    assert [plane.shape for plane in clean] == [plane.shape for plane in planes]
    assert [plane.mean() for plane in clean] == pytest.approx([0.3] * 4, abs=1e-3)
    assert done == sorted(done) and done[-1] == 1
