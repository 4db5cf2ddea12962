"""TIFF files that libvips does not read: read like tifffile does, or refused with the reason."""

from __future__ import annotations

import importlib.util
import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.io.metadata_files import photograph
from tests.io.test_kept_metadata import Again, again
from unnoise import io as image_io
from unnoise.errors import UnnoiseError
from unnoise.io import tiff_decoder

__all__ = ["again"]  # a fixture

CODECS = importlib.util.find_spec("imagecodecs") is not None


def written(array: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, array, **options)
    return file.getvalue()


def doubles(shape: tuple[int, ...] = (50, 70)) -> np.ndarray:
    return np.random.default_rng(0).normal(0.5, 0.2, shape)


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize(
    "options", [{}, {"tile": (16, 32)}, {"compression": "zlib", "rowsperstrip": 7}, {"byteorder": ">"}]
)
def test_64_bit_floats_are_read(
    options: dict, large: bool, again: Again, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    if large:
        monkeypatch.setattr(tiff_decoder, "_IN_MEMORY", 1000)
    values = doubles()
    values[3, 4:7] = np.nan, np.inf, -1.7e308
    made = tifffile.imread(io.BytesIO(again(written(values, **options), ".tif")))
    expected = np.clip(values, -3.4028235e38, None)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, np.where(np.isinf(values), values, expected), rtol=1e-6)
    assert "left out: the precision of 64-bit floats" in caplog.text


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_64_bit_colors_and_pages_are_read(planar: str, again: Again) -> None:
    values = doubles((3, 50, 70)) if planar == "separate" else doubles((50, 70, 3))
    data = written(values, photometric="rgb", planarconfig=planar)
    made = tifffile.imread(io.BytesIO(again(data, ".tif")))
    np.testing.assert_allclose(made, np.moveaxis(values, 0, -1) if planar == "separate" else values, rtol=1e-6)
    pages = doubles((4, 50, 70))
    data = written(pages, photometric="minisblack")
    np.testing.assert_allclose(tifffile.imread(io.BytesIO(again(data, ".tif"))), pages, rtol=1e-6)
    np.testing.assert_allclose(image_io.read(data, page=3).to_array()[..., 0], pages[2], rtol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("bands", [3, 4])
def test_tiles_of_separate_planes_are_read(dtype: str, bands: int, again: Again) -> None:
    array = np.stack([photograph()[..., band % 3].astype(dtype) * (1 + band) for band in range(bands)])
    extra = {"extrasamples": ["unassalpha"]} if bands == 4 else {}
    data = written(array, photometric="rgb", planarconfig="separate", tile=(16, 32), **extra)
    made = again(data, ".tif")
    np.testing.assert_array_equal(tifffile.imread(io.BytesIO(made)), np.moveaxis(array, 0, -1))


@pytest.mark.skipif(not CODECS, reason="imagecodecs is not installed")
@pytest.mark.parametrize("compression", ["zstd", "lzma", "jpeg2000"])
def test_rare_compressions_are_read_with_the_extra(compression: str, again: Again) -> None:
    data = written(photograph(), photometric="rgb", compression=compression, tile=(16, 32))
    np.testing.assert_array_equal(tifffile.imread(io.BytesIO(again(data, ".tif"))), photograph())


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(module: str, *, extra: str) -> None:
        raise UnnoiseError(f"{module} is missing: {extra}")

    monkeypatch.setattr(tiff_decoder, "require", missing)
    data = bytearray(written(photograph(), photometric="rgb"))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        place = file.pages.first.tags[259].valueoffset
    data[place : place + 2] = (50000).to_bytes(2, "little")
    with pytest.raises(
        UnnoiseError, match=r"the image: to read its compression \(Zstandard\), imagecodecs is missing: tiff"
    ):
        image_io.read(bytes(data))


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((4, 5), np.int64), "samples of 64-bit integers are not supported: convert them"),
        (np.zeros((4, 5), np.complex64), "complex samples are not supported: convert them"),
        (np.zeros((4, 5), np.complex128), "complex samples are not supported: convert them"),
    ],
)
def test_other_samples_are_refused_with_the_reason(array: np.ndarray, reason: str) -> None:
    with pytest.raises(UnnoiseError, match=f"the image: {reason}"):
        image_io.read(written(array))


def test_limits_hold_before_pixels_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff_decoder, "_put", None)
    with pytest.raises(image_io.TooLargeError, match="70 x 50 pixels on 2 pages, over the limit of 6999"):
        image_io.read(written(doubles((2, 50, 70)), photometric="minisblack"), max_pixels=6999)


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_truncated_files_are_refused(kept: float) -> None:
    data = written(doubles(), tile=(16, 16), compression="zlib")
    with pytest.raises(UnnoiseError, match="the image: "):
        image_io.read(data[: int(kept * len(data))])


@pytest.mark.parametrize(("old", "new", "reason"), [(b"\x08", b"\x0c", "JPEG data precision 12 is not supported")])
def test_other_jpegs_are_refused_with_the_reason(old: bytes, new: bytes, reason: str) -> None:
    file = io.BytesIO()
    Image.fromarray(photograph()).save(file, "JPEG")
    data = file.getvalue()
    place = data.index(b"\xff\xc0") + 4
    assert data[place : place + 1] == old
    with pytest.raises(UnnoiseError, match=f"the image: {reason}"):
        image_io.read(data[:place] + new + data[place + 1 :])
