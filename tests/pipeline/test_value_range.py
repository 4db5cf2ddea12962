"""Results move with a shift and a scale of the image, and outliers do not disturb the rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import pyvips

import unnoise
from unnoise import denoisers, io
from unnoise.errors import UnnoiseError
from unnoise.evaluation.metrics import psnr
from unnoise.io.value_range import estimate_range
from unnoise.pipeline.process import DenoiseOptions

MODELS = [name for name in denoisers.bundled_models() if name != "color-large"]  # as the others, at 5x the time


@pytest.fixture(scope="module")
def clean(photograph: np.ndarray) -> np.ndarray:
    return photograph[:96, :96]


@pytest.fixture(scope="module")
def noisy(clean: np.ndarray) -> np.ndarray:
    return clean + np.random.default_rng(0).normal(0, 20 / 255, clean.shape).astype(np.float32)


@pytest.mark.parametrize(("scale", "shift"), [(1e-3, 0.5), (0.3, -3), (7, -1), (255, 0), (1e4, 3)])
@pytest.mark.parametrize("model", [*MODELS, "auto", "nlm"])
def test_it_is_equivariant_to_scale_and_shift(noisy: np.ndarray, model: str, scale: float, shift: float) -> None:
    plain = unnoise.denoise(noisy, model)
    moved = unnoise.denoise(((noisy + np.float32(shift)) * np.float32(scale)).astype(np.float32), model)
    # With 8-bit integers inside, a value on the edge of a step may fall on either side of it.
    most = 2e-2 if model == "color-fast" else 2e-3 if scale == 1e-3 else 1e-3
    np.testing.assert_allclose(moved / scale - shift, plain, atol=most)


@pytest.mark.parametrize("value", [-9999, 65535, -3.4e38, np.nan])
def test_outliers_stay_and_disturb_nothing(noisy: np.ndarray, clean: np.ndarray, value: float) -> None:
    marked = noisy.copy()
    marked[5, 5], marked[:, :20] = value, value
    out = unnoise.denoise(marked, "color")
    np.testing.assert_array_equal(out[:, :20], marked[:, :20])
    np.testing.assert_array_equal(out[5, 5], marked[5, 5])
    far = np.s_[12:, 24:]
    plain = unnoise.denoise(noisy, "color")
    assert psnr(clean[far], out[far]) > psnr(clean[far], plain[far]) - 0.3


def test_a_hot_pixel_in_twelve_bits(noisy: np.ndarray, clean: np.ndarray) -> None:
    counts = np.rint(noisy.clip(0, 1) * 4095).astype(np.uint16)
    hot = counts.copy()
    hot[40, 40] = 65535
    plain, out = (unnoise.denoise(one, "color", sigma=20) for one in (counts, hot))
    assert psnr(clean[:30], plain[:30] / 4095) > 28
    np.testing.assert_allclose(out[:20].astype(float), plain[:20], atol=0.003 * 4095)
    assert (out[40, 40] == 65535).all()


def test_tissues_keep_their_mean_in_hounsfield_units() -> None:
    values = np.array([-1000, -100, 40, 60, 400])  # air, fat, blood, muscle, bone
    tissue = np.repeat(np.repeat(np.arange(5), 32)[None, :], 96, axis=0)
    phantom = values[tissue].astype(np.float32)
    scan = phantom + np.random.default_rng(1).normal(0, 30, phantom.shape).astype(np.float32)
    out = unnoise.denoise(scan, "gray")
    inner = [np.s_[8:-8, 32 * index + 8 : 32 * index + 24] for index in range(5)]
    for region in inner:
        assert abs(out[region].mean() - scan[region].mean()) < 0.001 * 1400
    error = np.sqrt(np.mean((out - phantom) ** 2))
    shifted = np.sqrt(np.mean((unnoise.denoise(scan + 1000, "gray") - 1000 - phantom) ** 2))
    assert error < 12
    assert error == pytest.approx(shifted, rel=0.01)


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 4095), (np.uint16, 65535), (np.float32, 1)])
def test_added_noise_and_sigma_have_one_unit(clean: np.ndarray, dtype: type, white: int) -> None:
    stored = (clean / clean.max() * white).astype(dtype)
    noisy = unnoise.add_noise(stored, "gaussian:10")
    added = noisy.astype(float) - stored
    inside = (stored > 0.2 * white) & (stored < 0.8 * white)
    assert np.std(added[inside]) == pytest.approx(10 / 255 * white, rel=0.05)
    top = 1 if dtype is np.float32 else np.iinfo(dtype).max
    unit = estimate_range(noisy / np.float32(top), np.dtype(dtype)).full_scale * top
    assert 10 / 255 * unit == pytest.approx(10 / 255 * white, rel=1e-5)


def test_a_range_that_is_given(noisy: np.ndarray) -> None:
    counts = (noisy.clip(0, 1) * 1000).astype(np.uint16)
    given = unnoise.denoise(counts, "color", sigma=5, value_range=(0, 4095))
    known = unnoise.denoise((counts / 4095).astype(np.float32), "color", sigma=5, value_range=(0, 1))
    np.testing.assert_allclose(given, known * 4095, atol=1)
    assert unnoise.inspect(counts, value_range=(0, 4095)).sigma < unnoise.inspect(counts).sigma / 2
    with pytest.raises(UnnoiseError, match="the smaller first"):
        unnoise.denoise(counts, value_range=(4095, 0))


def test_a_sigma_above_white_is_refused(noisy: np.ndarray) -> None:
    with pytest.raises(UnnoiseError, match="sigma must be between 0 and 255, in 8-bit units, got 1000"):
        unnoise.denoise(noisy, sigma=1000)


@pytest.mark.parametrize("dtype", [np.float32, np.uint16])
def test_a_mask_is_kept_and_what_it_hides(noisy: np.ndarray, dtype: type) -> None:
    data = (noisy.clip(0, 1) * (1 if dtype is np.float32 else 65535)).astype(dtype)
    mask = np.zeros(data.shape, bool)
    mask[:10, :30] = True
    out = unnoise.denoise(np.ma.masked_array(data, mask), "median")
    assert isinstance(out, np.ma.MaskedArray)
    np.testing.assert_array_equal(out.mask, mask)
    np.testing.assert_array_equal(out.data[mask], data[mask])
    assert (out.data[~mask] != data[~mask]).mean() > 0.5


def test_a_large_image_has_the_range_of_its_half(tmp_path: Path) -> None:
    """17 megapixels, which are read in windows, and their upper 16, which are read as a whole."""
    from unnoise.pipeline import streaming

    rows, columns = np.ogrid[:4250, :4000]
    values = np.rint(900 * np.sin(rows / 90) * np.cos(columns / 70) - 200).astype(np.int16)
    values += np.random.default_rng(0).integers(-60, 61, 4000, dtype=np.int16)
    values[:, :30], values[7, 777] = -32768, 32767
    pyvips.Image.new_from_array(values).tiffsave(tmp_path / "a.tif", compression="none")
    sample = streaming.sample_windows(io.RowReader(tmp_path / "a.tif"))
    of_sample = estimate_range(sample, values.dtype)
    of_half = estimate_range(values[: streaming.STREAMING_PIXELS // 4000, :, None] / np.float32(32767), values.dtype)
    assert of_sample.full_scale == of_half.full_scale
    np.testing.assert_allclose(
        [of_sample.black, of_sample.white], [of_half.black, of_half.white], atol=0.01 * (of_half.white - of_half.black)
    )


def test_strips_have_the_range_of_the_whole(noisy: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from unnoise.pipeline import process, streaming
    from unnoise.pipeline.jobs import Job

    io.from_array(1000 * noisy - 300).save(tmp_path / "a.tif")
    options = DenoiseOptions(denoisers.make("color"), sigma=20 / 255)
    process.denoise_file(Job(tmp_path / "a.tif", tmp_path / "whole.tif"), options)
    monkeypatch.setattr(streaming, "STREAMING_PIXELS", 100)
    process.denoise_file(Job(tmp_path / "a.tif", tmp_path / "strips.tif"), options)
    whole, strips = (io.read(tmp_path / f"{name}.tif").pixels for name in ("whole", "strips"))
    np.testing.assert_allclose(strips, whole, atol=1)


@pytest.mark.parametrize(("scale", "dtype"), [(255, np.uint8), (4095, np.uint16), (65535, np.uint16), (1, np.float32)])
def test_impulses_are_found_at_every_depth(clean: np.ndarray, scale: int, dtype: type) -> None:
    noisy = unnoise.add_noise((clean * scale).astype(dtype), "salt-pepper:0.1 + clip", value_range=(0, scale))
    assert unnoise.inspect(noisy).kind == "impulse"
