"""Tags of TIFF files are carried value by value, and pixels stored as they were."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image

from tests.io.metadata_files import IPTC, MAKER_NOTE, PHOTOSHOP, XMP, exif, jpeg, photograph
from tests.io.test_kept_metadata import Again, again, segments
from unnoise import io as image_io
from unnoise.errors import UnnoiseError
from unnoise.io import exif as exif_fields, formats

__all__ = ["again"]  # a fixture

LAYOUT = {
    *(254, 256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 322, 323, 324, 325, 330, 338, 339, 347, 530, 532),
}
TAGS = [
    (269, 2, 0, "a document", True), (270, 2, 0, "a scan", True), (285, 2, 0, "page one", True),
    (297, 3, 2, (0, 1), True), (305, 2, 0, "a program", True), (306, 2, 0, "2020:01:02 03:04:05", True),
    (315, 2, 0, "an author", True),
    (700, 1, len(XMP), XMP, True), (33432, 2, 0, "a right", True), (33550, 12, 3, (0.5, 0.25, 0.0), True),
    (33922, 12, 6, (0.0, 0.0, 0.0, 7.0, 8.0, 0.0), True), (34735, 3, 4, (1, 1, 0, 0), True),
    (34737, 2, 0, "WGS 84|", True),
    (33723, 7, len(IPTC), IPTC, True), (34377, 7, len(PHOTOSHOP) - 14, PHOTOSHOP[14:], True),
    (42112, 2, 0, "<GDALMetadata/>", True), (65000, 7, 5, b"owner", True), (65001, 16, 1, 77, True),
]  # fmt: skip


def written(array: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, array, **{"software": False, "metadata": None, **options})
    return file.getvalue()


def tags(data: bytes, page: int = 0) -> dict[int, object]:
    """Return the tags that are not about how the pixels are stored."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        return {tag.code: tag.value for tag in file.pages[page].tags.values() if tag.code not in LAYOUT}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("unit", [1, 2, 3])
def test_all_tags_are_kept(order: str, big: bool, unit: int, again: Again) -> None:
    present = TAGS if big else TAGS[:-1]
    options = {"extratags": present, "byteorder": order, "bigtiff": big, "resolution": ((92, 10), (7, 3))}
    data = written(photograph(), photometric="rgb", resolutionunit=unit, **options)
    made = again(data, ".tif")
    assert {282, 283, 296, 34735, 33723} <= tags(data).keys()
    assert tags(made) == tags(data)
    with tifffile.TiffFile(io.BytesIO(made)) as file:
        assert file.is_bigtiff == big
        np.testing.assert_array_equal(file.asarray(), photograph())


def test_nothing_is_added_to_a_tiff(again: Again) -> None:
    data = written(photograph(), photometric="rgb")
    without = {code: value for code, value in tags(data).items() if code not in (282, 283, 296)}
    for source in (data, jpeg([])):
        assert tags(again(source, ".tif")).keys() <= without.keys() | ({282, 283, 296} if source == data else set())


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_directories_are_kept(order: str, again: Again) -> None:
    file = io.BytesIO(written(photograph(), photometric="rgb", byteorder=order))
    exif_fields.write_block(file, exif(order=order))
    found = tags(again(file.getvalue(), ".tif"))
    assert found == tags(file.getvalue())
    assert found[0x8769]["MakerNote"] == MAKER_NOTE and found[271] == "Maker"


def test_tags_of_each_page_are_kept(again: Again) -> None:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as tiff:
        for page in range(3):
            name = (285, 2, 0, f"page {page}", True)
            tiff.write(np.roll(photograph(), page), photometric="rgb", extratags=[name], metadata=None, software=False)
    made = again(file.getvalue(), ".tif")
    assert [tags(made, page)[285] for page in range(3)] == ["page 0", "page 1", "page 2"]
    single = image_io.read(file.getvalue(), page=2)
    assert tags(image_io.encode(single, ".tif"))[285] == "page 1"


@pytest.mark.parametrize("order", ["<", ">"])
def test_metadata_of_imagej_are_kept(order: str, again: Again) -> None:
    stack = np.stack([photograph()[..., channel].astype(np.uint16) * 100 for channel in (0, 1, 2, 0, 1, 2)])
    own = {"Labels": [f"slice {page} µ" for page in range(6)], "Ranges": (0.0, 500.0), "Info": "by hand", "unit": "um"}
    own |= {"spacing": 0.5, "axes": "ZCYX", "finterval": 2.0}
    file = io.BytesIO()
    shaped = stack.reshape(3, 2, *stack.shape[1:])
    tifffile.imwrite(file, shaped, imagej=True, byteorder=order, resolution=((46, 5), (46, 5)), metadata=own)
    made = again(file.getvalue(), ".tif")
    with tifffile.TiffFile(io.BytesIO(made)) as after, tifffile.TiffFile(io.BytesIO(file.getvalue())) as before:
        assert after.imagej_metadata == before.imagej_metadata
        assert after.series[0].axes == before.series[0].axes == "ZCYX"
        np.testing.assert_array_equal(after.asarray(), shaped)
        first = after.pages.first.tags
        assert (first[282].value, first[296].value) == ((46, 5), 1)


def test_stacks_of_imagej_in_one_directory_are_refused() -> None:
    data = written(photograph(), photometric="rgb", description="ImageJ=1.54f\nimages=300\nslices=300\n")
    with pytest.raises(UnnoiseError, match="an ImageJ stack of 300 images in one directory: save it as OME-TIFF"):
        image_io.read(data)


def test_metadata_of_ome_are_kept(again: Again) -> None:
    own = {"axes": "ZCYX", "PhysicalSizeX": 0.108, "PhysicalSizeXUnit": "µm", "Channel": {"Name": ["DAPI", "GFP"]}}
    file = io.BytesIO()
    stack = np.stack([photograph()[..., channel] for channel in (0, 1, 2, 0)]).reshape(2, 2, 48, 64)
    tifffile.imwrite(file, stack, ome=True, photometric="minisblack", metadata=own)
    made = again(file.getvalue(), ".tif")
    with tifffile.TiffFile(io.BytesIO(made)) as after, tifffile.TiffFile(io.BytesIO(file.getvalue())) as before:
        assert after.ome_metadata == before.ome_metadata and after.series[0].axes == "ZCYX"
        np.testing.assert_array_equal(after.asarray(), stack)


@pytest.mark.parametrize("compression", [None, "zlib", "packbits", "jpeg", "lzw"])
@pytest.mark.parametrize("predictor", [False, True])
@pytest.mark.parametrize("shape", [{"rowsperstrip": 6}, {"tile": (32, 16)}])
def test_pixels_are_stored_as_they_were(compression: str | None, predictor: bool, shape: dict, again: Again) -> None:
    if compression in ("jpeg", "lzw", "packbits"):  # which tifffile does not write by itself
        tile = {"tile": True, "tile_width": 16, "tile_height": 32} if "tile" in shape else {"tile_height": 16}
        options = {"compression": compression, "predictor": "horizontal" if predictor else "none", **tile}
        data = pyvips.Image.new_from_array(photograph()).tiffsave_buffer(keep="none", **options)
    else:
        used = predictor and compression == "zlib"
        data = written(photograph(), photometric="rgb", compression=compression, predictor=used, **shape)
    with tifffile.TiffFile(io.BytesIO(again(data, ".tif"))) as after, tifffile.TiffFile(io.BytesIO(data)) as before:
        one, other = after.pages.first, before.pages.first
        for fact in ("compression", "predictor", "tile", "rowsperstrip", "photometric"):
            assert getattr(one, fact) == getattr(other, fact), fact


@pytest.mark.parametrize("rows", [*range(1, 12), 40, 41, 99])
@pytest.mark.parametrize("height", [1, 2, 40, 41])
def test_no_row_is_lost_by_strips_of_any_height(rows: int, height: int, again: Again) -> None:
    image = photograph((height, 20))
    data = written(image, photometric="rgb", rowsperstrip=rows)
    with tifffile.TiffFile(io.BytesIO(again(data, ".tif"))) as made:
        np.testing.assert_array_equal(made.asarray(), image)
        assert made.pages.first.rowsperstrip in (rows, rows + rows % 2, height)


@pytest.mark.parametrize("subifd", [False, True])
def test_pyramids_are_rebuilt(subifd: bool, again: Again) -> None:
    image = pyvips.Image.new_from_array(photograph((90, 140)))
    data = image.tiffsave_buffer(tile=True, tile_width=32, tile_height=16, pyramid=True, subifd=subifd, keep="none")
    picture = image_io.read(data)
    assert picture.header.pages == 1 and picture.pixels.shape == (90, 140, 3)
    darker = picture.with_pixels(picture.pixels / 2)
    with tifffile.TiffFile(io.BytesIO(data)) as before:
        levels = [level.shape for level in before.series[0].levels]
        assert len(levels) > 2
    for made in (again(data, ".tif"), image_io.encode(darker, ".tif")):
        with tifffile.TiffFile(io.BytesIO(made)) as after:
            assert [level.shape for level in after.series[0].levels] == levels
    with tifffile.TiffFile(io.BytesIO(made)) as after:
        assert after.series[0].levels[1].asarray().mean() == pytest.approx(photograph((90, 140)).mean() / 2, rel=0.05)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_and_resolution_are_turned(orientation: int, again: Again, tmp_path: Path) -> None:
    turn = (274, 3, 1, orientation, True)
    data = written(photograph(), photometric="rgb", extratags=[turn], resolution=((300, 1), (150, 1)), resolutionunit=2)
    made = again(data, ".tif")
    upright = image_io.read(data).to_array()
    np.testing.assert_array_equal(image_io.read(made).to_array(), upright)
    found = tags(made)
    exchanged = orientation > 4 and found[274] == 1
    assert (found[282], found[283]) == (((150, 1), (300, 1)) if exchanged else ((300, 1), (150, 1)))


@pytest.mark.parametrize(("x", "unit"), [((300, 1), 2), ((11811, 100), 3), ((72, 1), 2)])
def test_resolution_is_exact_between_formats(x: tuple[int, int], unit: int, again: Again) -> None:
    data = written(photograph(), photometric="rgb", resolution=(x, x), resolutionunit=unit)
    found = tags(again(again(data, ".png"), ".tif"))
    millimeters = {2: 25.4, 3: 10}
    had, has = x[0] / x[1] / millimeters[unit], found[282][0] / found[282][1] / millimeters[int(found[296])]
    assert has == pytest.approx(had, abs=0.0005)  # PNG counts pixels per meter
    if unit == 3:
        assert (found[282], found[296]) == (x, unit)


def test_what_other_formats_do_not_hold_is_named() -> None:
    header = image_io.read(
        written(photograph(), photometric="rgb", extratags=TAGS, bigtiff=True, resolutionunit=1)
    ).header
    line = formats.dropped_metadata(header, ".png") or ""
    for name in ("DocumentName", "PageName", "GeoTIFF", "TIFF 42112", "TIFF 65000", "Photoshop resources"):
        assert name in line
    for name in ("XMP", "IPTC", "Software", "Artist", "EXIF", "ImageDescription"):
        assert name not in line


def test_descriptions_are_exchanged_with_exif(again: Again) -> None:
    data = written(photograph(), photometric="rgb", description="a garden")
    made = again(data, ".jpg")
    with Image.open(io.BytesIO(made)) as image:
        assert image.getexif()[270] == "a garden"
    assert tags(again(made, ".tif"))[270] == "a garden"


def test_layers_and_unknown_compression_are_left_out_and_named(again: Again, caplog: pytest.LogCaptureFixture) -> None:
    layers = (37724, 7, 9, b"Adobe\0...", True)
    thumbnail = PHOTOSHOP[14:] + b"8BIM\x04\x0c\0\0" + struct.pack(">I", 4) + b"nois"
    data = written(photograph(), photometric="rgb", extratags=[layers, (34377, 7, len(thumbnail), thumbnail, True)])
    found = tags(again(data, ".tif"))
    assert 37724 not in found and found[34377] == PHOTOSHOP[14:]
    assert "layers of Photoshop" in caplog.text and "a Photoshop thumbnail" in caplog.text
    bilevel = io.BytesIO()
    Image.fromarray(photograph()[..., 0] > 128).save(bilevel, "TIFF", compression="group4")
    again(bilevel.getvalue(), ".tif")
    assert "the compression (CCITT G4), which becomes deflate" in caplog.text


def test_segments_of_a_jpeg_become_tags_and_come_back(again: Again) -> None:
    icc = (0xE2, b"ICC_PROFILE\0\1\1" + bytes(range(200)))
    before = [(0xE1, exif()), (0xED, PHOTOSHOP), (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP), icc]
    found = tags(again(jpeg(before), ".tif"))
    assert (found[700], found[34675]) == (XMP, icc[1][14:]) and bytes(found[33723]) == IPTC
    after = segments(again(again(jpeg(before), ".tif"), ".jpg"))
    assert {each for each in before if each[0] != 0xE1} <= set(after)
