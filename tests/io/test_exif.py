"""EXIF in TIFF files: exchanged with Pillow, and damaged blocks are ignored."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image

from unnoise import io as image_io
from unnoise.io import exif

MAKER_NOTE = b"Maker" + bytes(range(256))
EXIF = {0x829A: (1, 125), 0x8827: 3200, 0x9003: "2020:01:02 03:04:05", 0x927C: MAKER_NOTE, 0x9209: 16}
GPS = {1: "N", 2: (51.0, 30.0, 12.5)}


def tags(order: str = "<", maker_note: bytes = MAKER_NOTE) -> Image.Exif:
    made = Image.Exif()
    made.endian = order  # type: ignore[assignment]
    made[0x010F], made[0x0110], made[0x8298] = "A maker of cameras", "One", "nobody"
    made.get_ifd(ExifTags.IFD.Exif).update(EXIF | {0x829A: 0.008, 0x927C: maker_note})
    made.get_ifd(ExifTags.IFD.Exif)[ExifTags.IFD.Interop] = {1: "R98"}
    made.get_ifd(ExifTags.IFD.GPSInfo).update(GPS)
    return made


def flat(**options: object) -> io.BytesIO:
    """Return a TIFF of constant gray."""
    file = io.BytesIO()
    tifffile.imwrite(file, np.full((20, 30), 77, np.uint8), **options)
    return file


def fields(found: Image.Exif) -> tuple[dict, dict, dict]:
    """Return the camera, EXIF and GPS fields of a block."""
    camera = {tag: found.get(tag) for tag in (0x010F, 0x0110, 0x8298)}
    shot, position = found.get_ifd(ExifTags.IFD.Exif), found.get_ifd(ExifTags.IFD.GPSInfo)
    return camera, {tag: shot.get(tag) for tag in EXIF}, {tag: position.get(tag) for tag in GPS}


def loaded(block: bytes | None) -> Image.Exif:
    found = Image.Exif()
    assert block is not None
    found.load(block)
    return found


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("options", [{}, {"bigtiff": True}, {"byteorder": ">"}])
def test_written_blocks_are_read_by_pillow_and_again(order: str, options: dict) -> None:
    file = flat(**options)
    exif.write_block(file, tags(order).tobytes())
    with Image.open(file) as image:
        assert fields(image.getexif()) == fields(tags())
        assert (np.asarray(image) == 77).all()
        assert image.getexif().get_ifd(ExifTags.IFD.Interop) == {1: "R98"}
    again = exif.read_block(file)
    assert fields(loaded(again)) == fields(tags())
    assert loaded(again).get_ifd(ExifTags.IFD.Interop) == {1: "R98"}
    file.seek(0)
    assert (tifffile.imread(file) == 77).all()


def test_pages_and_existing_fields_are_kept() -> None:
    file = io.BytesIO()
    tifffile.imwrite(file, np.full((3, 20, 30), 77, np.uint8), software="ours", photometric="minisblack", metadata=None)
    block = tags()
    block[0x0131] = "theirs"
    exif.write_block(file, block.tobytes())
    file.seek(0)
    with tifffile.TiffFile(file) as tiff:
        assert len(tiff.pages) == 3
        assert tiff.pages[0].software == "ours"
        assert tiff.pages[0].tags[0x010F].value == "A maker of cameras"


@pytest.mark.parametrize(
    ("source", "target"), [(".jpg", ".tif"), (".tif", ".jpg"), (".tif", ".tif"), (".tif", ".webp")]
)
def test_exif_is_kept_by_images_in_memory(source: str, target: str) -> None:
    file = flat()
    if source == ".tif":
        exif.write_block(file, tags().tobytes())
    else:
        Image.new("RGB", (30, 20)).save(file := io.BytesIO(), "JPEG", exif=tags())
    picture = image_io.read(file.getvalue())
    made = image_io.encode(picture.with_pixels(picture.pixels), target)
    with Image.open(io.BytesIO(made)) as image:
        assert fields(image.getexif()) == fields(tags())


def test_files_without_exif_have_no_block() -> None:
    assert exif.read_block(flat(metadata=None, software=False)) is None
    assert exif.read_block(io.BytesIO(b"no TIFF at all")) is None


def test_a_maker_note_too_large_for_a_jpeg_is_omitted() -> None:
    file = flat()
    exif.write_block(file, tags(maker_note=bytes(59_900)).tobytes())
    found = loaded(exif.read_block(file))
    assert found[0x010F] == "A maker of cameras"
    assert 0x927C not in found.get_ifd(ExifTags.IFD.Exif)


def test_cyclic_directories_are_not_followed_endlessly() -> None:
    """The EXIF directory points to itself."""
    entry = struct.pack("<HHII", 0x8769, 4, 1, 8)
    block = b"II" + struct.pack("<HIH", 42, 8, 1) + entry + bytes(4)
    assert exif.read_block(io.BytesIO(block)) is not None
    file = flat()
    exif.write_block(file, block)
    assert (tifffile.imread(io.BytesIO(file.getvalue())) == 77).all()


def test_damaged_blocks_and_files_are_ignored(rng: np.random.Generator) -> None:
    whole = tags().tobytes()
    for _ in range(300):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), 6):
            data[place] = rng.integers(256)
        block = bytes(data[: rng.integers(6, len(data) + 1)])
        file = flat()
        exif.write_block(file, block)
        assert (tifffile.imread(io.BytesIO(file.getvalue())) == 77).all()
        taken = exif.read_block(io.BytesIO(block.removeprefix(exif.MARK)))
        assert taken is None or len(taken) <= exif.MAX_BLOCK_SIZE
