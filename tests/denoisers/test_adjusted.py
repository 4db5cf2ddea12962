"""Adjustments by hand: brightness and color, detail, grain; alone, in tiles, strips, and previews."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import unnoise
from tests.fakes import Call
from unnoise import denoisers, io
from unnoise.denoisers import detail
from unnoise.denoisers.adjusted import Adjusted, Adjustments, white_noise
from unnoise.errors import UnnoiseError
from unnoise.evaluation.metrics import psnr
from unnoise.io.layout import Layout
from unnoise.pipeline import preview, process, streaming
from unnoise.pipeline.jobs import Job
from unnoise.pipeline.process import DenoiseOptions

SIGMA = 25 / 255
MODELS = ("color", "gray", "wavelet", "median", "impulse")
ALL = Adjustments(luma=0.7, color=0.4, detail=0.6, grain=0.5)


@pytest.fixture(scope="module")
def noisy(photograph: np.ndarray) -> np.ndarray:
    return unnoise.add_noise(photograph, "gaussian:25")


def result(noisy: np.ndarray, model: str = "color", **shares: float) -> np.ndarray:
    return unnoise.denoise(noisy, model, sigma=25, **shares)  # type: ignore[arg-type]


def brightness(image: np.ndarray) -> np.ndarray:
    return image.mean(axis=2, keepdims=True)


@pytest.mark.parametrize("model", MODELS)
def test_defaults_change_nothing(noisy: np.ndarray, model: str) -> None:
    before, _ = DenoiseOptions(denoisers.make(model), SIGMA).resolve(noisy, noisy.dtype, Layout(3))
    assert not isinstance(before, Adjusted)
    np.testing.assert_array_equal(result(noisy, model, luma=1, color=1, detail=0, grain=0), result(noisy, model))


@pytest.mark.parametrize("model", MODELS)
def test_luma_0_leaves_the_brightness_and_color_0_the_color(noisy: np.ndarray, model: str) -> None:
    clean = result(noisy, model)
    bright, colored = result(noisy, model, luma=0), result(noisy, model, color=0)
    np.testing.assert_allclose(brightness(bright), brightness(noisy), atol=1e-6)
    np.testing.assert_allclose(bright - brightness(bright), clean - brightness(clean), atol=1e-6)
    np.testing.assert_allclose(colored - brightness(colored), noisy - brightness(noisy), atol=1e-6)
    np.testing.assert_allclose(brightness(colored), brightness(clean), atol=1e-6)
    np.testing.assert_array_equal(result(noisy, model, luma=0, color=0), noisy)


def test_shares_are_linear(noisy: np.ndarray) -> None:
    ends = [result(noisy, luma=share, color=share) for share in (0.0, 0.3, 1.0)]
    np.testing.assert_allclose(ends[1], 0.7 * ends[0] + 0.3 * ends[2], atol=1e-6)
    np.testing.assert_allclose(ends[1], result(noisy, strength=0.3), atol=1e-6)


def test_gray_images_have_no_color(noisy: np.ndarray) -> None:
    gray = noisy[:, :, 0]
    np.testing.assert_array_equal(result(gray, "gray", color=0), result(gray, "gray"))
    np.testing.assert_array_equal(result(gray, "gray", luma=0), gray)


@pytest.mark.parametrize("channels", [1, 3])
def test_detail_brings_structure_back_and_no_noise(photograph: np.ndarray, channels: int) -> None:
    """Of a filter that removes texture, most of what it lost; of pure noise, next to nothing."""
    clean = np.tile(photograph[:, :, :channels], (2, 2, 1))
    noisy = unnoise.add_noise(clean, "gaussian:10")
    smooth, back = (unnoise.denoise(noisy, "median:7", sigma=10, detail=share) for share in (0.0, 1.0))
    assert psnr(clean, back) > psnr(clean, smooth) + 1
    np.testing.assert_allclose(back - brightness(back), smooth - brightness(smooth), atol=1e-6)
    lost, found = brightness(clean - smooth).ravel(), brightness(back - smooth).ravel()
    assert np.corrcoef(lost, found)[0, 1] > 0.6
    half = unnoise.denoise(noisy, "median:7", sigma=10, detail=0.5)
    np.testing.assert_allclose(half, (smooth + back) / 2, atol=1e-6)


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.8])
def test_noise_of_the_known_level_is_no_structure(correlation: float) -> None:
    rng, side = np.random.default_rng(0), 256
    white = rng.normal(size=(side, side))
    if correlation:
        from scipy import ndimage

        white = ndimage.gaussian_filter(white, (-1 / (4 * np.log(correlation))) ** 0.5, mode="wrap")
    noise = (white / white.std()).astype(np.float32)
    correlation = float((noise[:, 1:] * noise[:, :-1]).mean())
    found = detail.structure(noise, 1.0, correlation)
    assert found.std() < 0.08
    assert abs(found.mean()) < 1e-3
    pattern = np.sin(np.arange(side) * 1.2).astype(np.float32)[None] + np.zeros((side, 1), np.float32)
    kept = detail.structure(noise + 2 * pattern, 1.0, correlation)
    assert np.corrcoef(kept.ravel(), np.broadcast_to(pattern, (side, side)).ravel())[0, 1] > 0.7


def test_gains_are_those_of_the_literature() -> None:
    """Of the B3 spline in two dimensions: Starck and Murtagh, table 2.1."""
    np.testing.assert_allclose(detail.gains(), (0.889, 0.200, 0.086), atol=0.002)


@pytest.mark.parametrize("dtype", ["float32", "uint16", "float64"])
@pytest.mark.parametrize("share", [0.25, 1.0])
def test_grain_is_even_gray_and_of_the_stated_deviation(noisy: np.ndarray, dtype: str, share: float) -> None:
    scale = 65535 if dtype == "uint16" else 1
    image = np.tile(0.5 + 0.2 * (noisy - 0.5), (2, 2, 1))  # sigma 5 and far from black and white
    image = (image * scale).astype(dtype)
    plain, grained = (unnoise.denoise(image, "color", sigma=5, grain=one).astype(float) for one in (0.0, share))
    grain = (grained - plain) / scale
    assert np.ptp(grain, axis=2).max() < 3 / 65535, "gray"
    grain = grain[:, :, 0]
    assert grain.std() == pytest.approx(share * 5 / 255, rel=0.02)
    assert abs(grain.mean()) < 4 * grain.std() / grain.size**0.5
    assert abs(np.corrcoef(grain[:, 1:].ravel(), grain[:, :-1].ravel())[0, 1]) < 4 / grain.size**0.5
    np.testing.assert_array_equal(grained, unnoise.denoise(image, "color", sigma=5, grain=share))
    other = unnoise.denoise(image + image.dtype.type(scale / 100), "color", sigma=5, grain=share)
    plain = unnoise.denoise(image + image.dtype.type(scale / 100), "color", sigma=5)
    apart = (other.astype(float) - plain)[:, :, 0]
    assert abs(np.corrcoef(grain.ravel(), apart.ravel())[0, 1]) < 0.02, "another image, another grain"


def test_random_numbers_depend_on_their_position_alone() -> None:
    whole = white_noise((300, 400), (0, 0), 7)
    np.testing.assert_array_equal(white_noise((90, 80), (130, 250), 7), whole[130:220, 250:330])
    assert whole.mean() == pytest.approx(0, abs=0.015) and whole.std() == pytest.approx(1, abs=0.01)
    assert ((whole**4).mean(), (whole**3).mean()) == (pytest.approx(3, abs=0.15), pytest.approx(0, abs=0.05))


def test_missing_values_and_outliers_stay(noisy: np.ndarray) -> None:
    image = 1000 * noisy + 500
    image[5, 5], image[20:22, 30] = np.nan, -99999
    clean = unnoise.denoise(image, "color", value_range=(500, 1500), sigma=25, **dataclasses.asdict(ALL))
    np.testing.assert_array_equal(np.isnan(clean), np.isnan(image))
    np.testing.assert_array_equal(clean[20:22, 30], image[20:22, 30])


def test_impulses_are_not_brought_back(photograph: np.ndarray) -> None:
    noisy = unnoise.add_noise(photograph, "salt-pepper:0.1")
    plain, back = (unnoise.denoise(noisy, "auto", detail=one) for one in (0.0, 1.0))
    np.testing.assert_array_equal(plain, back)


def test_a_level_that_the_model_does_not_take_counts(noisy: np.ndarray) -> None:
    plain, grained = (unnoise.denoise(noisy, "median", sigma=7, grain=one) for one in (0.0, 1.0))
    assert (grained - plain).std() == pytest.approx(7 / 255, rel=0.03)


def test_without_a_level_it_is_estimated(noisy: np.ndarray) -> None:
    plain, grained = (unnoise.denoise(noisy, "median", grain=one) for one in (0.0, 1.0))
    assert (grained - plain)[:, :, 0].std() == pytest.approx(SIGMA, rel=0.2)
    for more in ({}, {"detail": 1.0}, {"luma": 0.5}):
        assert np.isfinite(unnoise.denoise(noisy, "auto", grain=0.3, **more)).all()


@pytest.mark.parametrize("channels", [2, 5])
def test_channels_that_are_no_color(noisy: np.ndarray, channels: int) -> None:
    image = np.concatenate([noisy, noisy], axis=2)[:, :, :channels]
    np.testing.assert_allclose(unnoise.denoise(image, "gray", sigma=25, luma=0), image, atol=1e-6)
    apart = unnoise.denoise(image, "gray", sigma=25, grain=0.5) - unnoise.denoise(image, "gray", sigma=25)
    np.testing.assert_allclose(apart.std(axis=(0, 1)), 0.5 * SIGMA, rtol=0.1)


@pytest.mark.parametrize("model", ["color", "median", "wavelet"])
def test_tiles_strips_and_previews_equal_the_whole(
    noisy: np.ndarray, model: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    picture = io.from_array(np.rint(255 * np.tile(noisy, (2, 2, 1)).clip(0, 1)).astype(np.uint8))
    picture.save(tmp_path / "noisy.png")
    options = DenoiseOptions(denoisers.make(model, engine="onnx"), SIGMA, adjustments=ALL)
    whole = process.denoise_picture(picture, options).picture.to_array()
    resolved = options.resolve(picture.pixels, picture.dtype, picture.layout)
    region = (slice(30, 95), slice(101, 187))
    if resolved[0].halo is not None:
        part = preview.denoise_region(resolved[0], picture.pixels, resolved[1], region)
        np.testing.assert_allclose(255 * part.clip(0, 1), whole[region], atol=0.51)
    monkeypatch.setattr(streaming, "STREAMING_PIXELS", 1000)
    monkeypatch.setattr(streaming, "TILE", 96)
    monkeypatch.setattr(process.tiling, "TILE", 80)
    if resolved[0].halo is not None:
        tiled = process.denoise_picture(picture, options).picture.to_array()
        np.testing.assert_allclose(tiled.astype(int), whole.astype(int), atol=1)
        assert (tiled != whole).mean() < 0.001
        process.denoise_file(Job(tmp_path / "noisy.png", tmp_path / "clean.png"), options)
        streamed = io.read(tmp_path / "clean.png").to_array()
        np.testing.assert_allclose(streamed.astype(int), whole.astype(int), atol=1)
        assert (streamed != whole).mean() < 0.001
    else:
        process.denoise_file(Job(tmp_path / "noisy.png", tmp_path / "clean.png"), options)


@pytest.mark.parametrize("name", ["luma", "color", "detail", "grain"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), "much"])
def test_shares_out_of_range_are_one_line(noisy: np.ndarray, name: str, value: object) -> None:
    with pytest.raises(UnnoiseError, match=name):
        unnoise.denoise(noisy, "median", **{name: value})  # type: ignore[arg-type]


def test_the_command_line_records_them(noisy: np.ndarray, tmp_path: Path, call: Call) -> None:
    source, out = tmp_path / "noisy.png", tmp_path / "out"
    io.from_array(np.rint(255 * noisy.clip(0, 1)).astype(np.uint8)).save(source)
    words = [source, "-m", "median", "--sigma", 25, "-o", f"{out}/"]
    for more, settings in (((), {}), (("--detail", 0.5, "--grain", 0.2), {"detail": 0.5, "grain": 0.2})):
        assert call(*words, *more, "--overwrite")[0] == 0
        row = json.loads((out / "unnoise.jsonl").read_text().splitlines()[-1])
        assert settings.items() <= row["settings"].items()
        assert "luma" not in row["settings"]
        expected = unnoise.denoise(source, "median", sigma=25, **settings).to_array()
        np.testing.assert_array_equal(io.read(out / "noisy.png").to_array(), expected)
    status, _, err = call(*words, "--luma", 2)
    assert status == 2 and "luma must be between 0 and 1" in err
    status, _, err = call(source, "--grain", 0.5, "--error-map", tmp_path / "e.tif")
    assert status == 2 and "leave grain at the default" in err
