"""Error maps of encoded images in memory: those of whole arrays, in little memory, for every kind of file."""

from __future__ import annotations

import io as bytes_io
import tracemalloc
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unnoise import denoisers, io
from unnoise.denoisers import tiling, uncertainty
from unnoise.denoisers.base import Denoiser
from unnoise.errors import UnnoiseError
from unnoise.io.picture import from_samples
from unnoise.pipeline import error_maps, process, streaming
from unnoise.pipeline.encoded_errors import map_errors
from unnoise.pipeline.process import DenoiseOptions

SIGMA = 20 / 255


class Blur(Denoiser):
    """The mean of each pixel and those above and below."""

    name, halo, multiple_of = "blur", 1, 2

    def run(self, noisy: np.ndarray, sigma: object) -> np.ndarray:
        padded = np.pad(noisy, ((1, 1), (0, 0), (0, 0)), mode="edge")
        return (padded[:-2] + padded[1:-1] + padded[2:]) / 3


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many tiles for small images."""
    monkeypatch.setattr(tiling, "OVERLAP", 16)
    monkeypatch.setattr(streaming, "TILE", 48)
    monkeypatch.setattr(error_maps, "_TILE", 48)
    monkeypatch.setattr(uncertainty, "_CROP", 64)


def noisy_samples(photograph: np.ndarray, dtype: str = "uint8") -> np.ndarray:
    noise = SIGMA * np.random.default_rng(0).standard_normal(photograph.shape)
    return np.rint(np.iinfo(dtype).max * np.clip(photograph + noise, 0, 1)).astype(dtype)


def expected(data: bytes, options: DenoiseOptions, page: int | None = None) -> np.ndarray:
    """Return the map that is computed from arrays of the whole image."""
    error = process.denoise_picture(io.read(data, page=page), options, error_map=True).error
    assert error is not None
    return error


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize(
    ("suffix", "dtype", "model"),
    [
        (".png", "uint8", Blur()),
        (".tif", "uint16", Blur()),
        (".bmp", "uint8", Blur()),
        (".png", "uint16", denoisers.make("color", engine="onnx")),
    ],
)
def test_the_map_is_that_of_the_whole_image(photograph: np.ndarray, suffix: str, dtype: str, model: Denoiser) -> None:
    data = io.encode(from_samples(noisy_samples(photograph, dtype), {}), suffix)
    options = DenoiseOptions(model, sigma=SIGMA if model.wants_sigma else None)
    fractions: list[float] = []
    found = map_errors(data, options, fractions.append, gain=2)
    assert np.abs(found.samples / 257 / 2 - expected(data, options)).max() < 0.01
    assert fractions == sorted(fractions) and len(fractions) > 5 and fractions[-1] == 1


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_map_is_upright(photograph: np.ndarray, orientation: int) -> None:
    exif, file = Image.Exif(), bytes_io.BytesIO()
    exif[0x0112] = orientation
    Image.fromarray(noisy_samples(photograph)).save(file, "PNG", exif=exif)
    options = DenoiseOptions(denoisers.make("median"))
    error = expected(file.getvalue(), options)
    found = map_errors(file.getvalue(), options).samples / 257
    assert found.shape == error.shape
    assert np.corrcoef(found.ravel(), error.ravel())[0, 1] > 0.999  # the scale is measured in another order


@pytest.mark.usefixtures("small_tiles")
def test_pages_have_maps_of_their_own(photograph: np.ndarray) -> None:
    samples = noisy_samples(photograph)
    stack = np.concatenate([samples[:64], samples[64:]])
    data = io.encode(from_samples(stack, {"page-height": 64}), ".tif")
    options = DenoiseOptions(Blur())
    whole = map_errors(data, options).samples
    assert np.abs(whole / 257 - expected(data, options)).max() < 0.01
    second = map_errors(data, options, page=2).samples
    assert np.abs(second / 257 - expected(data, options, page=2)).max() < 0.01
    with pytest.raises(UnnoiseError, match="2 pages"):
        map_errors(data, options, max_pages=1)


def test_an_image_that_is_left_as_it_is_has_no_error(photograph: np.ndarray) -> None:
    data = io.encode(from_samples(noisy_samples(photograph), {}), ".png")
    assert not map_errors(data, DenoiseOptions(denoisers.make("color"), sigma=0.0)).samples.any()
    with pytest.raises(UnnoiseError, match="strength must be 1"):
        map_errors(data, DenoiseOptions(Blur(), strength=0.5))


def test_stopping_ends_between_two_tiles(photograph: np.ndarray) -> None:
    def stop(_: float) -> None:
        raise InterruptedError

    data = io.encode(from_samples(noisy_samples(photograph), {}), ".png")
    with pytest.raises(InterruptedError):
        map_errors(data, DenoiseOptions(Blur()), stop)


def peak(call: Any) -> int:
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_grows_with_the_map_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond strips and windows of fixed size, a pixel takes the two bytes of the map."""
    monkeypatch.setattr(streaming, "TILE", 64)
    monkeypatch.setattr(streaming, "_WINDOW", 32)
    options = DenoiseOptions(Blur())
    files = [io.encode(from_samples(np.zeros((height, 256, 3), np.uint8), {}), ".png") for height in (1024, 8192)]
    small, large = (peak(lambda data=data: map_errors(data, options)) for data in files)
    assert large - small < 3 * (8192 - 1024) * 256


def test_memory_for_arrays_is_that_of_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(error_maps, "_TILE", 64)
    noisy = np.zeros((2048, 512, 3), np.float32)
    errors = error_maps.ErrorEstimator(Blur(), None, noisy[:64, :64])
    assert peak(lambda: errors.map(noisy, noisy, lambda _: None)) < 3 * 4 * noisy[..., 0].size
