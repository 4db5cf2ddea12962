"""Clipping is corrected: as theory says, in the bundled models, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from unnoise import denoisers, noise
from unnoise.denoisers import clipping
from unnoise.denoisers.base import Denoiser
from unnoise.denoisers.clipping import correct_clipping
from unnoise.denoisers.model_card import Card
from unnoise.denoisers.tiling import denoise_tiled
from unnoise.evaluation.metrics import psnr
from unnoise.noise.estimation import NoiseEstimate

SIGMA = 0.2


def field(value: float, sigma: float = SIGMA) -> np.ndarray:
    """Return a constant image with noise clipped to [0, 1]."""
    drawn = np.random.default_rng(0).normal(value, sigma, (300, 300, 1))
    return np.clip(drawn, 0, 1).astype(np.float32)


@pytest.mark.parametrize("sigma", [0.05, SIGMA])
@pytest.mark.parametrize("deviations", [0, 0.5, 1, 1.5, 2])
@pytest.mark.parametrize("white", [False, True])
def test_the_mean_of_noise_that_is_cut_off_becomes_what_it_was_put_on(
    deviations: float, sigma: float, white: bool
) -> None:
    value = 1 - deviations * sigma if white else deviations * sigma
    noisy = field(value, sigma)
    clean = np.full_like(noisy, noisy.mean())
    made = correct_clipping(noisy, clean, sigma)
    assert made.mean() == pytest.approx(value, abs=0.02 * sigma)
    assert abs(clean.mean() - value) > 2 * abs(made.mean() - value) or deviations == 2


@pytest.mark.parametrize("value", [0.0, 0.02, 0.98])
def test_where_nothing_is_cut_off_nothing_changes(value: float) -> None:
    """Otherwise an overestimated sigma would darken the image."""
    clean = np.full((40, 40, 3), value, np.float32)
    noisy = np.clip(clean, 0.001, 0.999)
    np.testing.assert_array_equal(correct_clipping(noisy, clean, SIGMA), clean)


def test_it_is_made_up_for_by_the_share_that_is_cut_off() -> None:
    """With half of the expected number of zeros, the correction is halved."""
    noisy = field(0.5 * SIGMA)
    clean = np.full_like(noisy, noisy.mean())
    whole = clean - correct_clipping(noisy, clean, SIGMA)
    spared = (np.random.default_rng(1).random(noisy.shape) < 0.5) & (noisy == 0)
    half = clean - correct_clipping(np.where(spared, np.float32(1e-3), noisy), clean, SIGMA)
    assert half.mean() == pytest.approx(whole.mean() / 2, rel=0.05)


def test_black_and_white_without_noise_stay_what_they_are() -> None:
    picture = np.zeros((40, 60, 3), np.float32)
    picture[:, 30:] = 1
    np.testing.assert_array_equal(correct_clipping(picture, picture, SIGMA), picture)


def test_a_map_of_levels_counts_where_it_stands() -> None:
    noisy = field(0.05)
    clean = np.full_like(noisy, noisy.mean())
    levels = np.full(noisy.shape[:2], SIGMA, np.float32)
    levels[:, 150:] = 0
    made = correct_clipping(noisy, clean, levels)
    inside = slice(150 - clipping.REACH)
    np.testing.assert_allclose(made[:, inside], correct_clipping(noisy, clean, SIGMA)[:, inside], atol=1e-6)
    np.testing.assert_array_equal(made[:, 150:], clean[:, 150:])


def test_nothing_reaches_further_than_it_says() -> None:
    noisy = field(0.1)[:60, :60]
    clean = np.full_like(noisy, 0.1)
    other = noisy.copy()
    other[30, 30] = 0.5 if noisy[30, 30] == 0 else 0
    moved = np.argwhere((correct_clipping(noisy, clean, SIGMA) != correct_clipping(other, clean, SIGMA))[:, :, 0])
    assert np.abs(moved - 30).max() == clipping.REACH == clipping.reach(0)


@pytest.mark.parametrize("model", ["color", "color-fast", "gray"])
@pytest.mark.parametrize(("level", "gain"), [(25, 0.15), (50, 0.6)])
def test_what_files_hold_is_cleaned_better(model: str, level: int, gain: float, photograph: np.ndarray) -> None:
    clean = photograph.mean(axis=2, keepdims=True) if model == "gray" else photograph
    clean = np.clip((clean - 0.5) * 1.6 + 0.5, 0, 1)  # more of it near black and white
    noisy = noise.make(f"gaussian:{level} + clip + quantize:8")(clean, 0)
    with_it, without = denoisers.make(model), denoisers.make(model)
    without.corrects_clipping = False
    made, before = (psnr(clean, one(noisy, level / 255)) for one in (with_it, without))
    assert made > before + gain


def test_a_grey_picture_is_declipped_at_its_own_level_by_a_colour_network(photograph: np.ndarray) -> None:
    dark = photograph[:, :, :1] / 4
    noisy = noise.make("gaussian:40 + clip")(dark, 0)
    made = denoisers.make("color")(noisy, 40 / 255)
    assert abs(made.mean() - dark.mean()) < 0.25 * abs(noisy.mean() - dark.mean())


@pytest.mark.parametrize("ensemble", [False, True])
def test_tiles_equal_the_whole(ensemble: bool, photograph: np.ndarray) -> None:
    denoiser = denoisers.make("color", ensemble=ensemble)
    noisy = noise.make("gaussian:50 + clip")(np.tile(photograph / 4, (3, 3, 1))[:301, :333], 0)
    in_tiles = denoise_tiled(
        denoiser, noisy, SIGMA, halo=denoiser.halo or 0, multiple_of=denoiser.multiple_of, size=104
    )
    np.testing.assert_allclose(in_tiles, denoiser(noisy, SIGMA), atol=1e-5)


@pytest.mark.parametrize(
    ("learned", "wants_sigma", "corrects_clipping"),
    [
        ("gaussian:25", True, True),
        ("gaussian:0..75 | gaussian:0..30", True, True),
        ("gaussian:0..75", False, False),
        ("gaussian:0..75 | gaussian:0..75 + clip + quantize:8", True, False),
        ("gaussian:0..75 | poisson:30", True, False),
        ("", True, False),
    ],
)
def test_only_models_trained_on_unclipped_noise_with_sigma_correct_clipping(
    learned: str, wants_sigma: bool, corrects_clipping: bool
) -> None:
    assert Card("tiny", "resunet", 3, learned, wants_sigma=wants_sigma).corrects_clipping == corrects_clipping


class Mean(Denoiser):
    """Replace every pixel by the mean of the image; keep sigma."""

    wants_sigma, corrects_clipping, name, halo = True, True, "mean", 3

    def run(self, noisy: np.ndarray, sigma: float | np.ndarray | None) -> np.ndarray:
        self.sigma = sigma
        return np.full_like(noisy, noisy.mean())


POISSON = NoiseEstimate("signal-dependent", 0.1, line=(0.04, 0, 0))


def test_signal_dependent_noise_gives_a_sigma_map() -> None:
    plain, noisy = Mean(), np.full((40, 60, 3), 0.25, np.float32)
    noisy[:, 30:] = 0.64, 0.64, 0.16
    fitted = plain.for_noise(POISSON)
    assert (str(fitted), plain.signal_noise, fitted.halo) == ("mean", None, 9)
    assert fitted.for_noise(POISSON).halo == 9
    fitted(noisy, POISSON.sigma)
    sigma = fitted.sigma  # type: ignore[attr-defined]
    np.testing.assert_allclose(sigma[:, :20], 0.2 * 0.25**0.5, rtol=1e-5)
    np.testing.assert_allclose(sigma[:, 40:], 0.2 * np.sqrt((0.64 + 0.64 + 0.16) / 3), rtol=1e-5)
    assert Mean().for_noise(NoiseEstimate("gaussian", SIGMA)).signal_noise is None


def test_clipping_of_it_is_corrected_with_the_local_sigma() -> None:
    drawn = np.random.default_rng(0).normal(0.95, 0.2 * 0.95**0.5, (200, 200, 1))
    noisy = np.clip(drawn, 0, 1).astype(np.float32)
    assert noisy.mean() < 0.92
    assert Mean().for_noise(POISSON)(noisy, POISSON.sigma).mean() == pytest.approx(0.95, abs=0.005)


def test_the_kind_of_noise_is_estimated(photograph: np.ndarray) -> None:
    for spec, grows in (("gaussian:40 + clip", False), ("poisson:10 + clip", True)):
        assert (Mean().resolve(noise.make(spec)(photograph, 0))[0].signal_noise is not None) == grows


@pytest.mark.parametrize("ensemble", [False, True])
def test_tiles_of_it_equal_the_whole(ensemble: bool, photograph: np.ndarray) -> None:
    noisy = noise.make("poisson:15 + clip")(np.tile(photograph, (3, 3, 1))[:301, :333], 0)
    denoiser, sigma = denoisers.make("color", ensemble=ensemble).for_noise(POISSON), POISSON.sigma
    in_tiles = denoise_tiled(
        denoiser, noisy, sigma, halo=denoiser.halo or 0, multiple_of=denoiser.multiple_of, size=104
    )
    np.testing.assert_allclose(in_tiles, denoiser(noisy, sigma), atol=1e-5)
