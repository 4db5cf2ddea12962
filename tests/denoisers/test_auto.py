"""The model is selected by the estimated noise, once per image, and opened once."""

from __future__ import annotations

import numpy as np
import pytest

from unnoise import denoisers, noise
from unnoise.denoisers import tiling
from unnoise.denoisers.auto import MODEL_FOR_NOISE, Auto, select_model, with_model
from unnoise.denoisers.base import Denoiser, channel_count
from unnoise.denoisers.model_cache import ModelCache
from unnoise.denoisers.noise_estimation import estimate_noise
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
        ("correlated", "photo", "gray"),
    ],
)
def test_every_kind_has_its_model(kind: str, in_color: str, in_grey: str) -> None:
    report = NoiseEstimate(kind, 0.05)
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
    kinds = {"none", "gaussian", "signal-dependent", "impulse", "correlated", "mixed", "other"}
    assert set(MODEL_FOR_NOISE) == kinds


def test_a_dither_and_a_screenshot_are_left_as_they_are() -> None:
    ramp = np.linspace(0, 1, 256)[None] * np.ones((256, 1))
    bayer = (np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) + 0.5) / 16
    dither = np.tile(bayer, (64, 64)) < ramp
    lines = np.ones((256, 256))
    lines[::9, 20:200], lines[30:200, ::31] = 0, 0.3
    for graphic in (dither, lines):
        picture = np.repeat(graphic[:, :, None], 3, axis=2).astype(np.float32)
        assert psnr(picture, denoisers.make("auto")(picture)) > 40


@pytest.mark.parametrize("color", [(200, 90, 40), (10, 10, 10), (128, 128, 200)])
def test_flat_colors_are_left_as_they_are(color: tuple[int, int, int]) -> None:
    flat = np.full((300, 200, 3), color, np.uint8)
    flat[50:90, 30:150] = 255 - flat[50:90, 30:150]
    picture = flat.astype(np.float32) / 255
    np.testing.assert_array_equal(denoisers.make("auto")(picture), picture)
    noisy = noise.make("gaussian:6 + clip + quantize")(picture, 0)
    assert estimate_noise(noisy).kind != "none"


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0, np.nan, np.inf])
@pytest.mark.parametrize("large", [False, True])
def test_borders_and_missing_values_hide_no_noise(value: float, large: bool, photograph: np.ndarray) -> None:
    image = np.tile(photograph, (6, 6, 1) if large else (2, 2, 1))
    noisy = noise.make("gaussian:15 + clip + quantize")(image, 0)
    estimator = denoisers.level_estimator()
    plain = estimator.measure(noisy)[0]
    noisy[:, : noisy.shape[1] // 3] = value
    assert estimator.measure(noisy)[0] == pytest.approx(plain, rel=0.15)
    assert estimate_noise(noisy).kind == "gaussian"


def test_smooth_gray_noise_is_found(photograph: np.ndarray) -> None:
    clean = np.tile(photograph.mean(axis=2, keepdims=True), (2, 2, 1))
    noisy = noise.make("correlated:20,smooth=0.7 + clip + quantize")(clean, 0)
    assert psnr(clean, denoisers.make("auto")(noisy)) > psnr(clean, noisy) + 3


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
