"""Raw files of cameras are read, written as DNGs, and developed; expectations come from the synthetic files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rawpy
import tifffile

from tests.io.raw_files import BLACK, NEUTRAL, PATTERNS, WHITE, dng, mosaic_of, rationals, tiff_ep
from unnoise.errors import UnnoiseError
from unnoise.io import dng as writer, ifd, raw

HEIGHT, WIDTH = 90, 120
ANY_SIZE = 10**6


def gradient(pattern: str, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A mosaic whose brightness runs from left to right, and whose color does so from top to bottom."""
    across, down = np.linspace(0, 1, width), np.linspace(0, 1, height)[:, None]
    light = np.stack([0.7 * across * (1 - 0.5 * down), 0.9 * across + 0 * down, 0.8 * across * (0.4 + 0.5 * down)], -1)
    return np.rint(mosaic_of(light[..., 1] if pattern == "gray" else light, pattern)).astype(np.uint16)


def written(source: bytes, mosaic: np.ndarray | None = None) -> bytes:
    image = raw.read(source, max_pixels=ANY_SIZE)
    preview = raw.develop(image, image.mosaic, half_size=True, rotated=False)
    return writer.encode(image, image.mosaic if mosaic is None else mosaic, preview, [(2e-4, 3e-6)] * 3)


def developed(data: bytes) -> np.ndarray:
    with rawpy.imread(io.BytesIO(data)) as image:
        return image.postprocess(use_camera_wb=True, no_auto_bright=True)


def fields_of(data: bytes) -> tuple[ifd.Fields, ifd.Layout]:
    file = io.BytesIO(data)
    layout, _, first = ifd.read_header(file)
    return ifd.read(file, layout, first, most=10**7), layout


FILES: dict[str, bytes] = {
    **{pattern: dng(gradient(pattern), pattern) for pattern in [*PATTERNS, "gray"]},
    "margins": dng(gradient("RGGB"), "GBRG", active=(4, 6, 86, 112), crop=(2, 4, 100, 70)),
    "odd margins": dng(gradient("RGGB"), "RGGB", active=(3, 5, 85, 111)),
    "odd size": dng(gradient("GRBG", 89, 121), "GRBG"),
    "rotated": dng(gradient("RGGB"), orientation=6),
    "big-endian": dng(gradient("BGGR"), "BGGR", byteorder=">"),
    "no DNG": tiff_ep(gradient("RGGB")),
    "no DNG, rotated": tiff_ep(gradient("RGGB"), orientation=8),
}


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("margins", [(0, 0), (4, 6)])
def test_planes_are_the_filters_with_their_levels(pattern: str, margins: tuple[int, int]) -> None:
    active = (*margins, HEIGHT, WIDTH)
    mosaic = np.zeros((HEIGHT, WIDTH), np.uint16)
    for place, black in enumerate(BLACK):  # a number for each place of the pattern
        mosaic[margins[0] + place // 2 :: 2, margins[1] + place % 2 :: 2] = black + 1000 * (place + 1)
    image = raw.read(dng(mosaic, pattern, active=active), max_pixels=ANY_SIZE)
    assert image.pattern == pattern
    assert image.active == (*margins, HEIGHT - margins[0], WIDTH - margins[1])
    for place, plane in enumerate(image.planes):
        assert plane.color == PATTERNS[pattern][place]
        assert (plane.black, plane.white) == (BLACK[place], WHITE)
        signal = plane.signal(image.mosaic)
        np.testing.assert_allclose(signal, 1000 * (place + 1) / (WHITE - BLACK[place]), rtol=1e-6)


def test_facts_of_a_file() -> None:
    noise = (1e-4, 1e-6, 2e-4, 2e-6, 3e-4, 3e-6)
    image = raw.read(dng(gradient("RGGB"), orientation=6, noise=noise, iso=6400), max_pixels=ANY_SIZE)
    assert (image.iso, image.camera, image.orientation, image.white) == (6400, "Maker One", 6, WHITE)
    assert image.white_balance == pytest.approx([1 / value for value in NEUTRAL])
    assert image.noise_profile == ((1e-4, 1e-6), (2e-4, 2e-6), (3e-4, 3e-6))


def test_values_below_black_and_their_like_return_as_they_were() -> None:
    mosaic = np.random.default_rng(0).integers(0, 65536, (HEIGHT, WIDTH), np.uint16)
    image = raw.read(dng(mosaic), max_pixels=ANY_SIZE)
    again = np.zeros_like(mosaic)
    for plane in image.planes:
        plane.put(again, plane.signal(mosaic))
    np.testing.assert_array_equal(again, mosaic)


@pytest.mark.parametrize("name", FILES)
def test_a_written_dng_is_read_as_its_source(name: str) -> None:
    source = raw.read(FILES[name], max_pixels=ANY_SIZE)
    again = raw.read(written(FILES[name]), max_pixels=ANY_SIZE)
    np.testing.assert_array_equal(again.mosaic, source.mosaic)
    for fact in ("planes", "active", "pattern", "black", "white", "iso", "camera", "orientation", "crop"):
        assert getattr(again, fact) == getattr(source, fact), fact
    if source.white_balance is not None:
        assert again.white_balance == pytest.approx(source.white_balance, rel=1e-4)
    assert again.noise_profile == (((2e-4, 3e-6),) * (1 if name == "gray" else 3) if name != "gray" else ())


@pytest.mark.parametrize("name", FILES)
def test_a_written_dng_is_developed_as_its_source(name: str) -> None:
    expected, found = developed(FILES[name]), developed(written(FILES[name]))
    assert expected.std() > 20
    np.testing.assert_allclose(found.astype(int), expected, rtol=0, atol=1)


@pytest.mark.parametrize("name", FILES)
def test_exif_and_gps_are_kept_byte_for_byte(name: str) -> None:
    (source, layout), (again, layout_again) = fields_of(FILES[name]), fields_of(written(FILES[name]))
    assert layout.order == layout_again.order
    for tag in (ifd.EXIF, ifd.GPS, 271, 272, 274):
        assert again[tag] == source[tag]
    assert len(again[ifd.EXIF][0x927C][1]) > 60_000  # the maker note


def test_tags_of_a_dng_are_carried_but_for_those_of_the_old_pixels() -> None:
    more = [
        (50730, "2i", 1, rationals([0.5]), True),  # BaselineExposure
        (50740, "B", 5, b"MORE!", True),  # DNGPrivateData
        (50972, "B", 16, bytes(16), True),  # RawImageDigest
        (50781, "B", 16, bytes(16), True),  # RawDataUniqueID
        (50733, "I", 1, 7, True),  # BayerGreenSplit
        (700, "B", 6, b"<xmp/>", True),
    ]
    source = dng(gradient("RGGB"), more=more)
    with tifffile.TiffFile(io.BytesIO(written(source))) as tiff:
        first: Any = tiff.pages.first
        mosaic = first.pages[0]
        assert first.tags[50730].value == (5000, 10000)
        assert first.tags[50740].value == b"MORE!"
        assert first.tags[700].value == b"<xmp/>"
        assert mosaic.tags[50733].value == 7
        assert not {50972, 50781} & {*first.tags.keys(), *mosaic.tags.keys()}
        assert first.tags[254].value == 1 and mosaic.tags[254].value == 0
        assert first.photometric == 2 and mosaic.photometric == 32803


def test_the_development_has_the_orientation_and_the_bits_that_are_wanted() -> None:
    image = raw.read(FILES["rotated"], max_pixels=ANY_SIZE)
    upright = raw.develop(image, image.mosaic, bits=16)
    assert (upright.shape, upright.dtype) == ((WIDTH, HEIGHT, 3), np.uint16)
    stored = raw.develop(image, image.mosaic, bits=16, rotated=False)
    np.testing.assert_array_equal(np.rot90(stored, -1), upright)


def test_a_development_does_not_depend_on_its_brightest_pixel() -> None:
    image = raw.read(FILES["RGGB"], max_pixels=ANY_SIZE)
    changed = image.mosaic.copy()
    changed[0, 0] = WHITE
    expected, found = raw.develop(image, image.mosaic)[20:], raw.develop(image, changed)[20:]
    np.testing.assert_array_equal(found, expected)


def linear() -> bytes:
    file = io.BytesIO()
    tags: list[Any] = [(50706, "B", 4, bytes([1, 4, 0, 0]), True), (50708, "s", 0, "Camera", True)]
    pixels = np.full((40, 60, 3), 9000, np.uint16)
    tifffile.imwrite(file, pixels, photometric=34892, extratags=tags, metadata=None, subfiletype=0)
    return file.getvalue()


def xtrans() -> bytes:
    """A DNG whose pattern has 6 x 6 filters."""
    row = bytes([1, 2, 1, 1, 0, 1])
    pattern = bytes([*row, 0, 1, 0, 2, 1, 2, *row, *row[3:], *row[:3], 2, 1, 2, 0, 1, 0, *row[3:], *row[:3]])
    file = io.BytesIO()
    tags: list[Any] = [
        (33421, "H", 2, (6, 6), True), (33422, "B", 36, pattern, True), (50706, "B", 4, bytes([1, 4, 0, 0]), True),
        (50708, "s", 0, "Camera", True),
    ]  # fmt: skip
    mosaic = np.full((60, 60), 900, np.uint16)
    tifffile.imwrite(file, mosaic, photometric=32803, extratags=tags, metadata=None, subfiletype=0)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "why"),
    [(linear(), "three colors already .* develop it"), (xtrans(), "no Bayer pattern .* develop it")],
)
def test_other_sensors_are_refused_in_one_line(data: bytes, why: str) -> None:
    assert raw.is_raw(data)
    with pytest.raises(UnnoiseError, match=f"^the image: .*{why}") as caught:
        raw.read(data, max_pixels=ANY_SIZE)
    assert "\n" not in str(caught.value)


def test_too_many_pixels_are_refused() -> None:
    with pytest.raises(UnnoiseError, match="120 x 90 pixels, over the limit of 100"):
        raw.read(FILES["RGGB"], max_pixels=100)


@pytest.mark.parametrize("share", [0.001, 0.02, 0.5, 0.999])
def test_truncated_files_are_refused_in_one_line(
    share: float, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    mosaic, path = gradient("RGGB"), tmp_path / "short.dng"
    file = io.BytesIO()
    tifffile.imwrite(file, mosaic)
    data = FILES["RGGB"]
    end = data.rindex(mosaic.tobytes()) + mosaic.nbytes
    path.write_bytes(data[: round(share * end)])
    with pytest.raises(UnnoiseError, match=r"short\.dng: ") as caught:
        raw.read(path, max_pixels=ANY_SIZE)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_missing_files_are_named(tmp_path: Path) -> None:
    assert not raw.is_raw(tmp_path / "none.dng")
    with pytest.raises(UnnoiseError, match=r"none\.dng: cannot be read"):
        raw.read(tmp_path / "none.dng", max_pixels=ANY_SIZE)
