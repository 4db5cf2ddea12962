"""Error maps of large files are streamed, and dropped metadata is reported."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unnoise import denoisers, io
from unnoise.denoisers import tiling, uncertainty
from unnoise.denoisers.base import Denoiser
from unnoise.errors import UnnoiseError
from unnoise.pipeline import process, streaming
from unnoise.pipeline.jobs import Job
from unnoise.pipeline.process import DenoiseOptions

SIGMA = 20 / 255


class Blur(Denoiser):
    """The mean of each pixel and those above and below."""

    name, halo, multiple_of = "blur", 1, 2

    def run(self, noisy: np.ndarray, sigma: object) -> np.ndarray:
        padded = np.pad(noisy, ((1, 1), (0, 0), (0, 0)), mode="edge")
        return (padded[:-2] + padded[1:-1] + padded[2:]) / 3


class GlobalMean(Denoiser):
    """The mean of each pixel and the global mean, without a halo."""

    name = "mean"

    def run(self, noisy: np.ndarray, sigma: object) -> np.ndarray:
        return (noisy + noisy.mean()) / 2


@pytest.fixture
def streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stream every file in small tiles, and fail if one is read as a whole."""
    monkeypatch.setattr(tiling, "OVERLAP", 16)
    monkeypatch.setattr(streaming, "STREAMING_PIXELS", 100)
    monkeypatch.setattr(streaming, "TILE", 48)
    monkeypatch.setattr(uncertainty, "_CROP", 64)
    monkeypatch.setattr(process.io, "read", lambda *_, **__: pytest.fail("a large file is read as a whole"))


def write(path: Path, photograph: np.ndarray, top: float = 255, dtype: str = "uint8") -> np.ndarray:
    """Write a noisy photograph with integers up to `top`; return its samples."""
    noise = SIGMA * np.random.default_rng(0).standard_normal(photograph.shape)
    samples = np.rint(top * np.clip(photograph + noise, 0, 1)).astype(dtype)
    io.from_array(samples).save(path)
    return samples


def expected(samples: np.ndarray, options: DenoiseOptions) -> np.ndarray:
    """Return the error map computed in memory."""
    error = process.denoise_picture(io.from_array(samples), options, error_map=True).error
    assert error is not None
    return error


@pytest.mark.usefixtures("streamed")
@pytest.mark.parametrize(("top", "dtype"), [(255, "uint8"), (4095, "uint16")])
@pytest.mark.parametrize("model", [Blur(), denoisers.make("color", engine="onnx")], ids=str)
def test_the_streamed_error_map_is_the_same_as_in_memory(
    model: Denoiser, top: float, dtype: str, photograph: np.ndarray, tmp_path: Path
) -> None:
    source, target, error_map = (tmp_path / name for name in ("a.png", "b.png", "error.tif"))
    samples = write(source, photograph, top, dtype)
    options = DenoiseOptions(model, sigma=SIGMA if model.wants_sigma else None)
    process.denoise_file(Job(source, target), options, error_map=error_map)
    assert target.exists()
    rows = io.RowReader(error_map)
    assert (rows.header.dtype, rows.header.colours) == (np.float32, 1)
    error = rows.read_rows(0, rows.header.height)[..., 0]
    np.testing.assert_allclose(error, expected(samples, options), rtol=1e-3, atol=1e-3)


@pytest.mark.usefixtures("streamed")
def test_the_error_map_of_blended_tiles_is_blended(photograph: np.ndarray, tmp_path: Path) -> None:
    samples = write(tmp_path / "a.png", photograph)
    options = DenoiseOptions(GlobalMean())
    process.denoise_file(Job(tmp_path / "a.png", tmp_path / "b.png"), options, error_map=tmp_path / "error.png")
    rows = io.RowReader(tmp_path / "error.png")
    error = 255 / 65535 * rows.read_rows(0, rows.header.height)[..., 0]
    whole = expected(samples, options)
    assert error.shape == whole.shape
    assert np.abs(error - whole).mean() < 0.15 * whole.mean()


@pytest.mark.usefixtures("streamed")
def test_the_error_map_of_a_large_file_without_noise_is_zero(photograph: np.ndarray, tmp_path: Path) -> None:
    write(tmp_path / "a.png", photograph)
    options = DenoiseOptions(denoisers.make("color"), sigma=0.0)
    process.denoise_file(Job(tmp_path / "a.png", tmp_path / "b.png"), options, error_map=tmp_path / "error.tif")
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "a.png").read_bytes()
    rows = io.RowReader(tmp_path / "error.tif")
    assert not rows.read_rows(0, rows.header.height).any()


@pytest.mark.usefixtures("streamed")
def test_a_failure_leaves_neither_output(photograph: np.ndarray, tmp_path: Path) -> None:
    class Failing(Blur):
        calls = 0

        def run(self, noisy: np.ndarray, sigma: object) -> np.ndarray:
            self.calls += 1
            if self.calls == 9:
                raise MemoryError
            return noisy

    write(tmp_path / "a.png", photograph)
    with pytest.raises(MemoryError):
        process.denoise_file(
            Job(tmp_path / "a.png", tmp_path / "b.png"), DenoiseOptions(Failing()), error_map=tmp_path / "error.tif"
        )
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("large", [False, True])
def test_dropped_metadata_is_reported_with_an_error_map(
    large: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if large:
        monkeypatch.setattr(streaming, "STREAMING_PIXELS", 100)
    exif = Image.Exif()
    exif[0x010E] = "a garden"
    Image.fromarray(np.full((32, 32, 3), 99, np.uint8)).save(tmp_path / "a.png", exif=exif.tobytes())
    with caplog.at_level(logging.WARNING, "unnoise"):
        process.denoise_file(
            Job(tmp_path / "a.png", tmp_path / "b.gif"), DenoiseOptions(Blur()), error_map=tmp_path / "error.png"
        )
    assert "GIF cannot store EXIF" in caplog.text


@pytest.mark.parametrize(
    ("name", "strength", "reason"),
    [("error.jpg", 1.0, "an error map is a .tif file"), ("error.tif", 0.5, "strength must be 1, got 0.5")],
)
def test_an_impossible_error_map_is_refused_first(name: str, strength: float, reason: str, tmp_path: Path) -> None:
    job = Job(tmp_path / "missing.png", tmp_path / "b.png")
    with pytest.raises(UnnoiseError, match=reason):
        process.denoise_file(job, DenoiseOptions(Blur(), strength=strength), error_map=tmp_path / name)
