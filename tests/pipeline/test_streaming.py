"""Streaming gives the same results as denoising in memory, and failures leave no files."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from unnoise import denoisers, io
from unnoise.denoisers import tiling
from unnoise.denoisers.base import Denoiser
from unnoise.errors import UnnoiseError
from unnoise.io import Header, stream_writer
from unnoise.io.layout import Layout
from unnoise.pipeline import process, streaming
from unnoise.pipeline.process import DenoiseOptions, Job

HEIGHT, WIDTH = 230, 170


class Blur(Denoiser):
    """The mean of each pixel and those above and below, with a halo of 1."""

    name, halo, multiple_of = "blur", 1, 2

    def run(self, noisy, sigma):
        padded = np.pad(noisy, ((1, 1), (0, 0), (0, 0)), mode="edge")
        return (padded[:-2] + padded[1:-1] + padded[2:]) / 3


class Identity(Denoiser):
    """Returns the input, and has no finite halo."""

    name = "identity"

    def run(self, noisy, sigma):
        return noisy


class TileOffset(Denoiser):
    """Adds a constant to each tile, which depends on the number of calls."""

    name = "offset"

    def __init__(self) -> None:
        self.calls = 0

    def run(self, noisy, sigma):
        self.calls += 1
        return noisy + np.float32(0.2 * (self.calls * 0.37 % 1))


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiling, "OVERLAP", 16)
    monkeypatch.setattr(tiling, "TILE", 48)
    monkeypatch.setattr(streaming, "STREAMING_PIXELS", 100)
    monkeypatch.setattr(streaming, "TILE", 48)


def samples(rng: np.random.Generator, bands: int, dtype: str) -> np.ndarray:
    values = rng.random((HEIGHT, WIDTH, bands))
    return values.astype(dtype) if dtype == "float32" else (values * np.iinfo(dtype).max).astype(dtype)


def clean(source: Path, target: Path, denoiser: Denoiser, **options: float) -> process.JobResult:
    return process.denoise_file(Job(source, target), DenoiseOptions(denoiser, **options))  # type: ignore[arg-type]


def pool_threads() -> set[threading.Thread]:
    """Return the threads of pools; those of libvips, which call back into Python, are not among them."""
    return {thread for thread in threading.enumerate() if "ThreadPool" in thread.name}


@pytest.mark.parametrize("strength", [1.0, 0.5])
@pytest.mark.parametrize(
    ("suffix", "bands", "dtype"),
    [
        (".png", 1, "uint8"),
        (".png", 2, "uint8"),
        (".png", 3, "uint16"),
        (".tif", 4, "uint8"),
        (".tif", 4, "uint16"),
        (".tif", 3, "float32"),
        (".tif", 1, "float32"),
        (".webp", 3, "uint8"),
        (".jpg", 3, "uint8"),
    ],
)
def test_streaming_gives_the_same_as_denoising_in_memory(
    rng: np.random.Generator, tmp_path: Path, suffix: str, bands: int, dtype: str, strength: float
) -> None:
    source, target, whole = (tmp_path / f"{name}{suffix}" for name in ("source", "target", "whole"))
    io.from_array(samples(rng, bands, dtype), alpha=bands in (2, 4)).save(source)
    result = clean(source, target, Blur(), strength=strength)
    assert result.error is None
    assert result.model == "blur"
    picture = process.denoise_picture(io.read(source), DenoiseOptions(Blur(), strength=strength)).picture
    picture.save(whole)
    np.testing.assert_array_equal(io.read(target).to_array(), io.read(whole).to_array())


@pytest.mark.parametrize(
    ("kind", "dtype", "top"),
    [
        ("pages", "uint8", 255),
        ("pages", "uint16", 4000),
        ("cmyk", "uint8", 255),
        ("gray", "int16", 3000),
        ("gray", "int32", 10**6),
        ("gray", "float32", 5000),
    ],
)
def test_streaming_gives_the_same_for_pages_cmyk_and_other_samples(
    rng: np.random.Generator, tmp_path: Path, kind: str, dtype: str, top: float
) -> None:
    import tifffile

    shape = {"pages": (3, 90, WIDTH), "cmyk": (HEIGHT, WIDTH, 4), "gray": (HEIGHT, WIDTH)}[kind]
    source, target, whole = (tmp_path / f"{name}.tif" for name in ("source", "target", "whole"))
    photometric = "separated" if kind == "cmyk" else "minisblack"
    tifffile.imwrite(source, (top * rng.random(shape)).astype(dtype), photometric=photometric)
    clean(source, target, Blur())
    picture = process.denoise_picture(io.read(source), DenoiseOptions(Blur())).picture
    picture.save(whole)
    made = tifffile.imread(target)
    assert made.dtype == dtype and made.shape == shape
    np.testing.assert_array_equal(made, tifffile.imread(whole))
    assert io.read(target).header.colour_space == io.read(source).header.colour_space


def test_streaming_gives_the_same_with_a_bundled_model(photograph: np.ndarray, tmp_path: Path) -> None:
    source, target = tmp_path / "a.png", tmp_path / "b.png"
    io.from_array(np.rint(255 * photograph).astype(np.uint8)).save(source)
    color = denoisers.make("color", engine="onnx")
    clean(source, target, color, sigma=20 / 255)
    picture = process.denoise_picture(io.read(source), DenoiseOptions(color, sigma=20 / 255)).picture
    difference = io.read(target).to_array().astype(int) - picture.to_array()
    assert np.abs(difference).max() <= 1


def test_metadata_is_kept(rng: np.random.Generator, tmp_path: Path) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010E] = "a garden"
    array = samples(rng, 3, "uint8")
    Image.fromarray(array).save(tmp_path / "a.jpg", icc_profile=profile, exif=exif.tobytes(), dpi=(300, 300))
    clean(tmp_path / "a.jpg", tmp_path / "b.jpg", Blur())
    with Image.open(tmp_path / "b.jpg") as made:
        assert made.info["icc_profile"] == profile
        assert made.getexif()[0x010E] == "a garden"
        assert made.info["dpi"] == (300, 300)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".avif"])
def test_orientation_is_kept_as_a_tag(rng: np.random.Generator, tmp_path: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(samples(rng, 3, "uint8")).save(tmp_path / "a.png", exif=exif.tobytes())
    target = tmp_path / f"b{suffix}"
    clean(tmp_path / "a.png", target, Blur())
    assert io.read(target).pixels.shape == (WIDTH, HEIGHT, 3)
    with Image.open(target) as made:
        assert ImageOps.exif_transpose(made).size == (HEIGHT, WIDTH)


def test_orientation_of_a_tiff_is_written_to_a_jpeg(rng: np.random.Generator, tmp_path: Path) -> None:
    import tifffile

    turn = (274, "H", 1, 8, True)
    tifffile.imwrite(tmp_path / "a.tif", samples(rng, 3, "uint8"), photometric="rgb", extratags=[turn])
    clean(tmp_path / "a.tif", tmp_path / "b.jpg", Blur())
    with Image.open(tmp_path / "b.jpg") as made:
        assert made.size == (WIDTH, HEIGHT)
        assert made.getexif()[0x0112] == 8


def test_orientation_is_applied_for_a_gif(rng: np.random.Generator, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(samples(rng, 3, "uint8")).save(tmp_path / "a.png", exif=exif.tobytes())
    clean(tmp_path / "a.png", tmp_path / "b.gif", Blur())
    assert io.read(tmp_path / "b.gif").pixels.shape == (WIDTH, HEIGHT, 3)


@pytest.mark.parametrize("bands", [1, 4])
def test_tiles_of_a_denoiser_without_halo_are_blended(rng: np.random.Generator, tmp_path: Path, bands: int) -> None:
    """A denoiser that adds a constant to each tile leaves ramps between tiles, and no edges."""
    flat = np.full((HEIGHT, WIDTH, bands), 30000, np.uint16)
    io.from_array(flat).save(tmp_path / "a.png")
    result = clean(tmp_path / "a.png", tmp_path / "b.png", TileOffset())
    made = io.read(tmp_path / "b.png")
    steps = [np.abs(np.diff(made.pixels, axis=axis)).max() for axis in (0, 1)]
    assert result.model == "offset"
    assert made.pixels.std() > 0.02
    assert max(steps) < 0.2 / (2 * 16) + 1e-3  # tiles differ by at most 0.2, and overlap by 32 pixels
    assert made.alpha is None or (made.alpha == 30000).all()
    whole = process.denoise_array(TileOffset(), io.read(tmp_path / "a.png").pixels, None)
    assert max(np.abs(np.diff(whole, axis=axis)).max() for axis in (0, 1)) < 0.2 / 32 + 1e-3


def test_blending_keeps_equal_tiles(rng: np.random.Generator, tmp_path: Path) -> None:
    io.from_array(samples(rng, 3, "uint16")).save(tmp_path / "a.tif")
    clean(tmp_path / "a.tif", tmp_path / "b.tif", Identity())
    difference = io.read(tmp_path / "b.tif").to_array().astype(int) - io.read(tmp_path / "a.tif").to_array()
    assert np.abs(difference).max() <= 1


def test_a_truncated_file_leaves_no_output(rng: np.random.Generator, tmp_path: Path) -> None:
    io.from_array(samples(rng, 3, "uint8")).save(tmp_path / "whole.png")
    data = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(UnnoiseError, match=r"cut\.png: damaged, truncated"):
        clean(tmp_path / "cut.png", tmp_path / "out.png", Blur())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.png", "whole.png"]


def test_an_error_of_the_denoiser_leaves_no_output_and_no_thread(rng: np.random.Generator, tmp_path: Path) -> None:
    class Fails(Blur):
        calls = 0

        def run(self, noisy, sigma):
            self.calls += 1
            if self.calls == 9:
                raise MemoryError
            return noisy

    io.from_array(samples(rng, 3, "uint8")).save(tmp_path / "a.png")
    before = pool_threads()
    with pytest.raises(MemoryError):
        clean(tmp_path / "a.png", tmp_path / "b.png", Fails())
    assert pool_threads() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_failing_disk_ends_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise UnnoiseError("no space left")

    monkeypatch.setattr(stream_writer.picture, "write_image", full)
    header = Header(1000, 10, Layout(1), np.dtype(np.uint8), {})
    strips = (np.zeros((10, 10, 1), np.uint8) for _ in range(100))
    with pytest.raises(UnnoiseError, match="no space left"):
        stream_writer.write_stream(strips, header, tmp_path / "a.png")


def test_only_a_few_strips_are_in_memory(tmp_path: Path) -> None:
    """Strips are computed only a few ahead of the writer, however tall the image."""
    height, computed = 64 * 200, 0

    def strips():
        nonlocal computed
        for _ in range(200):
            computed += 1
            yield np.zeros((64, 8, 1), np.uint8)

    ahead: list[int] = []
    read = stream_writer._TiffStream._read
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            stream_writer._TiffStream, "_read", lambda self, count: ahead.append(computed) or read(self, count)
        )
        stream_writer.write_stream(strips(), Header(height, 8, Layout(1), np.dtype(np.uint8), {}), tmp_path / "a.tif")
    assert computed == 200
    assert min(ahead) <= 4
    assert io.read(tmp_path / "a.tif").pixels.shape == (height, 8, 1)


def test_progress_increases_to_one(rng: np.random.Generator, tmp_path: Path) -> None:
    io.from_array(samples(rng, 1, "uint8")).save(tmp_path / "a.png")
    fractions: list[float] = []
    process.denoise_file(Job(tmp_path / "a.png", tmp_path / "b.png"), DenoiseOptions(Blur()), fractions.append)
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert len(fractions) > 10


def test_sample_windows_are_spread_over_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "_WINDOW", 16)
    rows = np.repeat(np.arange(HEIGHT, dtype=np.uint8)[:, None], WIDTH, axis=1)
    io.from_array(rows).save(tmp_path / "a.png")
    windows = np.rint(255 * streaming.sample_windows(io.RowReader(tmp_path / "a.png")))
    assert windows.shape == (8 * 16, 8 * 16, 1)
    assert (windows.min(), windows.max()) == (0, HEIGHT - 1)
    monkeypatch.setattr(streaming, "_WINDOW", 64)
    assert streaming.sample_windows(io.RowReader(tmp_path / "a.png")).shape == (HEIGHT, WIDTH, 1), (
        "all of a small image"
    )
