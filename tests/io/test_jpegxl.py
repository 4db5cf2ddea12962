"""JPEG XL, against imagecodecs: pixels, color descriptions and boxes."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

from tests.io import metadata_files as files
from tests.io.test_codecs import check_mutations, noise
from unnoise import io as image_io
from unnoise.errors import UnnoiseError
from unnoise.io import formats

imagecodecs = pytest.importorskip("imagecodecs")

RGB = noise(20, 30, 3)
DEEP = noise(20, 30, 3, dtype=np.uint16, top=65535)
LOSSLESS = {
    "rgb": (RGB, {}), "gray": (RGB[:, :, 0], {}), "rgba": (noise(20, 30, 4), {}),
    "gray, alpha": (noise(20, 30, 2), {"planar": False}), "deep": (DEEP, {}), "deep gray": (DEEP[:, :, 0], {}),
    "ten": (DEEP >> 6, {"bitspersample": 10}), "float": ((DEEP / 65535).astype(np.float32), {}),
    "container": (RGB, {"usecontainer": True}), "eighths": (noise(64, 64, 3), {}), "ratio": (noise(300, 400, 3), {}),
    "long": (noise(600, 17), {}),
}  # fmt: skip


def jxl(samples: np.ndarray, **options: Any) -> bytes:
    return bytes(imagecodecs.jpegxl_encode(samples, **options))


def again(data: bytes) -> bytes:
    picture = image_io.read(data)
    return image_io.encode(picture.with_pixels(picture.pixels), ".jxl")


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, name) + content


def boxes(data: bytes) -> dict[bytes, bytes]:
    found, place = {}, 0
    while place < len(data):
        size, name = struct.unpack_from(">I4s", data, place)
        found[name] = data[place + 8 : place + size]
        place += size
    return found


def contained(*own: bytes) -> bytes:
    head = b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"ftyp", b"jxl \0\0\0\0jxl ")
    return head + b"".join(own) + box(b"jxlc", jxl(RGB, lossless=True))


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_files_stay_so(name: str) -> None:
    samples, options = LOSSLESS[name]
    data = jxl(samples, lossless=True, **options)
    picture = image_io.read(data)
    np.testing.assert_array_equal(picture.to_array().reshape(samples.shape), samples)
    made = again(data)
    back = imagecodecs.jpegxl_decode(made)
    np.testing.assert_array_equal(back, samples)
    assert back.dtype == samples.dtype
    assert image_io.read(made).metadata["jxl"].color == picture.metadata["jxl"].color


def test_lossy_files_stay_so_and_quality_counts() -> None:
    data = jxl(files.photograph(), distance=1.0)
    assert len(again(data)) < 2 * len(data) < len(jxl(files.photograph(), lossless=True))
    picture = image_io.read(data)
    changed = picture.with_pixels(picture.pixels)
    sizes = [len(image_io.encode(changed, ".jxl", quality=quality)) for quality in (30, 60, 95)]
    assert sizes == sorted(sizes)
    png = image_io.from_array(RGB)
    np.testing.assert_array_equal(imagecodecs.jpegxl_decode(image_io.encode(png, ".jxl")), RGB)


def test_boxes_are_kept() -> None:
    exif = files.exif(orientation=6)
    data = contained(
        box(b"Exif", bytes(4) + exif[6:]), box(b"brob", b"xml " + bytes(imagecodecs.brotli_encode(files.XMP))),
        box(b"abcd", b"of a program"), box(b"jbrd", b"of a JPEG"),
    )  # fmt: skip
    made = again(data)
    found = boxes(made)
    assert found[b"xml "] == files.XMP and found[b"abcd"] == b"of a program" and b"jbrd" not in found
    assert found[b"Exif"] == bytes(4) + files.exif(orientation=1)[6:]  # the decoder has applied it
    np.testing.assert_array_equal(imagecodecs.jpegxl_decode(made), RGB)
    dropped = formats.dropped_metadata(image_io.read(data).header, ".png")
    assert dropped is not None and "JPEG XL abcd" in dropped and "restored" in dropped


def test_exif_of_a_jpeg_is_written() -> None:
    picture = image_io.read(files.jpeg([(0xE1, files.exif())]))
    assert boxes(image_io.encode(picture, ".jxl"))[b"Exif"] == bytes(4) + files.exif()[6:]


@pytest.mark.parametrize(("data", "why"), [
    (lambda: jxl(DEEP, distance=1.0), "lossy JPEG XL with another transfer function"),
    (lambda: jxl(np.stack([RGB] * 3), lossless=True), "animated JPEG XL"),
])  # fmt: skip
def test_what_cannot_be_written_again_is_refused(data: Any, why: str) -> None:
    with pytest.raises(UnnoiseError, match=f"the image: {why}"):
        image_io.read(data())


def test_deep_samples_of_other_formats_are_refused() -> None:
    with pytest.raises(UnnoiseError, match="JXL of more than 8 bits is only written of JXL"):
        image_io.encode(image_io.from_array(DEEP), ".jxl")


def test_limits_hold_before_pixels_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagecodecs, "jpegxl_decode", None)
    with pytest.raises(image_io.TooLargeError, match="30 x 20 pixels"):
        image_io.read(jxl(RGB, lossless=True), max_pixels=599)


def test_damaged_files_are_refused_in_one_line() -> None:
    check_mutations(jxl(RGB, lossless=True), np.random.default_rng(0))
    check_mutations(contained(), np.random.default_rng(0))
