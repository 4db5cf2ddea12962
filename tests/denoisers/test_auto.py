"""The model is selected by the estimated noise, once per image, and opened once."""

from __future__ import annotations

import numpy as np
import pytest

from unnoise import denoisers, noise
from unnoise.denoisers import tiling
from unnoise.denoisers.auto import MODEL_FOR_NOISE, Auto, select_model, with_model
from unnoise.denoisers.base import Denoiser, channel_count
from unnoise.denoisers.model_cache import ModelCache
from unnoise.errors import UnnoiseError
from unnoise.evaluation.metrics import psnr
from unnoise.noise.estimation import NoiseEstimate
from unnoise.pipeline import process

ALL = ("color", "gray", "photo", "impulse")


class Named(Denoiser):
    """Fill the image with the index of its name in `ALL`."""

    halo = 0

    def __init__(self, name: str) -> None:
        self.name, self.wants_sigma = name, name in ("color", "gray")

    def run(self, noisy, sigma):
        return np.full_like(noisy, ALL.index(self.name))


@pytest.fixture
def auto() -> Auto:
    """Return an `Auto` that opens `Named` models and lists them in `opened`."""
    opened: list[str] = []
    models = ModelCache(lambda name: opened.append(name) or Named(name))  # type: ignore[func-returns-value]
    made = Auto(models, ALL)
    made.opened = opened  # type: ignore[attr-defined]
    return made


@pytest.mark.parametrize(
    ("kind", "in_color", "in_grey"),
    [
        ("none", "color", "gray"),
        ("gaussian", "color", "gray"),
        ("signal-dependent", "color", "gray"),
        ("impulse", "impulse", "impulse"),
        ("mixed", "impulse", "impulse"),
        ("correlated", "photo", "photo"),
    ],
)
def test_every_kind_has_its_model(kind: str, in_color: str, in_grey: str) -> None:
    report = NoiseEstimate(kind, 0.05, (0.05,))
    assert [select_model(report, channels, ALL) for channels in (3, 1)] == [in_color, in_grey]
    assert [select_model(report, channels, ["color"]) for channels in (3, 1)] == ["color", "color"]
    assert with_model(report, 3, ALL).model == (None if kind == "none" else in_color)


@pytest.mark.parametrize("spec", ["poisson:30", "speckle:40"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_real_one_tells_how_noise_grows_with_the_light(spec: str, channels: int, photograph: np.ndarray) -> None:
    clean = photograph[:, :, :channels]
    noisy = noise.make(f"{spec} + clip + quantize:8")(clean, 0)
    denoiser, sigma = denoisers.make("auto").resolve(noisy)
    assert str(denoiser) == ("color" if channels == 3 else "gray") and denoiser.signal_noise is not None
    evenly = denoisers.make(str(denoiser))(noisy, sigma)
    assert psnr(clean, denoiser(noisy, sigma)) > psnr(clean, evenly) + 0.3


def test_a_grey_picture_that_is_kept_as_three_channels_is_grey(auto: Auto, photograph: np.ndarray) -> None:
    grey = noise.make("gaussian:20")(photograph.mean(axis=2, keepdims=True), 0)
    three = np.repeat(grey, 3, axis=2)
    assert [channel_count(picture) for picture in (grey, three, photograph)] == [1, 1, 3]
    denoiser, sigma = auto.resolve(three)
    assert (str(denoiser), sigma) == ("gray", auto.resolve(grey)[1])
    real = denoisers.make("gray")
    np.testing.assert_array_equal(real(three, 20 / 255), np.repeat(real(grey, 20 / 255), 3, axis=2))


def test_every_kind_is_in_the_table() -> None:
    assert set(MODEL_FOR_NOISE) == {"none", "gaussian", "signal-dependent", "impulse", "correlated", "mixed"}


@pytest.mark.parametrize(
    ("spec", "model"),
    [("gaussian:20", "color"), ("poisson:30", "color"), ("salt-pepper:0.1", "impulse")],
)
def test_the_noise_chooses(auto: Auto, photograph: np.ndarray, spec: str, model: str) -> None:
    denoiser, sigma = auto.resolve(noise.make(spec)(photograph, 0))
    assert str(denoiser) == model and (sigma is None) == (model == "impulse")
    assert auto.resolve(noise.make("gaussian:20")(photograph, 0).mean(axis=2, keepdims=True))[0].name == "gray"


def test_a_given_sigma_means_gaussian_noise(auto: Auto, photograph: np.ndarray) -> None:
    denoiser, sigma = auto.resolve(noise.make("salt-pepper:0.3")(photograph, 0), 0.1)
    assert (str(denoiser), sigma) == ("color", 0.1)


def test_models_are_opened_when_needed_and_once(auto: Auto, photograph: np.ndarray) -> None:
    for spec in ("gaussian:20", "salt-pepper:0.1", "gaussian:30"):
        auto(noise.make(spec)(photograph, 0))
    assert auto.opened == ["color", "impulse"]  # type: ignore[attr-defined]


def test_one_model_cleans_the_whole_picture(
    auto: Auto, photograph: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    noisy = np.concatenate([noise.make("salt-pepper:0.2")(photograph, 0), photograph], axis=1)
    monkeypatch.setattr(tiling, "TILE", 64)
    denoiser, sigma = auto.resolve(noisy)
    clean = process.denoise_array(denoiser, noisy, sigma)
    assert str(denoiser) == "impulse" and (clean == ALL.index("impulse")).all()
    np.testing.assert_array_equal(clean, auto(noisy))


def test_the_real_one_leaves_a_picture_without_noise() -> None:
    flat = np.full((40, 40, 3), 0.4, np.float32)
    np.testing.assert_array_equal(denoisers.make("auto")(flat), flat)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_real_one_takes_noise_out(photograph: np.ndarray, channels: int) -> None:
    picture = photograph[:, :, :channels]
    noisy = noise.make("gaussian:25")(picture, 0)
    for model in (denoisers.make("auto"), denoisers.make("auto", ensemble=True)):
        assert np.square(model(noisy) - picture).mean() < np.square(noisy - picture).mean() / 3


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(UnnoiseError, match=r"\[H, W, C\]"):
        denoisers.make("auto")(np.zeros((4, 4), np.float32))
