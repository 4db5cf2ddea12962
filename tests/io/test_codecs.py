"""Formats that libvips does not read: BMP, Netpbm's formats, PFM and HEIC, against files of other programs."""

from __future__ import annotations

import importlib.util
import io
import logging
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unnoise import api, io as image_io
from unnoise.errors import UnnoiseError
from unnoise.io import formats
from unnoise.io.layout import UNASSOCIATED, Layout
from unnoise.pipeline import jobs as planning
from unnoise.pipeline.passed_over import PassedOver

pillow_heif = pytest.importorskip("pillow_heif")


def noise(*shape: int, dtype: type = np.uint8, top: int = 255) -> np.ndarray:
    return np.random.default_rng(0).integers(0, top + 1, shape).astype(dtype)


def waves(height: int = 40, width: int = 56, channels: int = 3) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width] / 15
    return np.stack([0.5 + 0.4 * np.sin(rows * (1 + 0.4 * c) + columns - c) for c in range(channels)], axis=2)


def pillow(array: np.ndarray, format: str, mode: str | None = None, **options: object) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(file, format, **options)
    return file.getvalue()


def netpbm(magic: bytes, array: np.ndarray, maxval: int) -> bytes:
    size = b"%d %d" % (array.shape[1], array.shape[0])
    return (
        b"%b\n# a comment\n%b\n%d\n" % (magic, size, maxval) + array.astype(">u2" if maxval > 255 else "u1").tobytes()
    )


def pfm(array: np.ndarray, scale: float) -> bytes:
    head = b"%b\n%d %d\n%b\n" % (b"PF" if array.ndim == 3 else b"Pf", array.shape[1], array.shape[0], b"%g" % scale)
    return head + array[::-1].astype("<f4" if scale < 0 else ">f4").tobytes()


def heic(array: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(array)).save(file, quality=90, **options)
    return file.getvalue()


def bmp_of_16_bits(pixels: np.ndarray) -> bytes:
    """Encode `[H, W]` of five bits for each of red, green and blue; rows of an even number of pixels."""
    data = pixels[::-1].astype("<u2").tobytes()
    size = pixels.shape[1], pixels.shape[0]
    return struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 54 + len(data), 0, 0, 54, 40, *size, 1, 16, 0, 0, 0, 0, 0, 0) + data


GRAY, RGB, RGBA = noise(6, 9), noise(6, 9, 3), noise(6, 9, 4)
DEEP = noise(6, 9, 3, dtype=np.uint16, top=65535)
REAL = (3 * waves(6, 9) - 1).astype(np.float32)
EXACT = {  # name -> file, its samples, and the suffix that it is written with
    "gray.bmp": (pillow(GRAY, "BMP"), GRAY, ".bmp"),
    "rgb.bmp": (pillow(RGB, "BMP"), RGB, ".bmp"),
    "bilevel.bmp": (pillow(GRAY, "BMP", "1"), np.asarray(Image.fromarray(GRAY).convert("1").convert("L")), ".bmp"),
    "palette.bmp": (pillow(RGB, "BMP", "P"), np.asarray(Image.fromarray(RGB).convert("P").convert("RGB")), ".bmp"),
    "fives.bmp": (bmp_of_16_bits(np.array([[0x7FFF, 0x7C00]])), np.array([[[255] * 3, [255, 0, 0]]], np.uint8), ".bmp"),
    "p1.pbm": (b"P1\n#c\n3 2\n01 0 1\n11", np.array([[255, 0, 255], [0, 0, 0]], np.uint8), ".pgm"),
    "p2.pgm": (b"P2 2 2 15 0 15 #c\n3 5", np.array([[0, 255], [51, 85]], np.uint8), ".pgm"),
    "p3.ppm": (b"P3 1 2 65535\n1 2 3 4 5 65535", np.array([[[1, 2, 3]], [[4, 5, 65535]]], np.uint16), ".ppm"),
    "p4.pbm": (pillow(GRAY, "PPM", "1"), np.asarray(Image.fromarray(GRAY).convert("1").convert("L")), ".pgm"),
    "p5.pgm": (pillow(GRAY, "PPM"), GRAY, ".pgm"),
    "p6.ppm": (pillow(RGB, "PPM"), RGB, ".ppm"),
    "deep.ppm": (netpbm(b"P6", DEEP, 65535), DEEP, ".ppm"),
    "twelve.pgm": (netpbm(b"P5", DEEP[:, :, 0] >> 4, 4095), DEEP[:, :, 0] >> 4, ".pgm"),
    "p7.pam": (b"P7\nWIDTH 9\n#c\nHEIGHT 6\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n" + RGBA.tobytes(), RGBA,
               ".pam"),
    "gray.pfm": (pfm(REAL[:, :, 0], -1.0), REAL[:, :, 0], ".pfm"),
    "rgb.pfm": (pfm(REAL, 2.5), REAL, ".pfm"),
}  # fmt: skip


def check_mutations(data: bytes, rng: np.random.Generator) -> None:
    """Check that 200 damaged files, mostly at their beginning, are read or refused in one line."""
    for _ in range(200):
        broken = np.frombuffer(data, np.uint8).copy()
        broken[(len(data) * rng.random(3) ** 3).astype(int)] = rng.integers(0, 256, 3)
        try:
            picture = image_io.read(broken.tobytes(), max_pixels=10**6)
        except UnnoiseError as error:
            assert "\n" not in str(error)
        else:
            assert picture.pixels.ndim == 3


@pytest.mark.parametrize("name", EXACT)
def test_samples_are_read_and_written_exactly(name: str) -> None:
    data, samples, suffix = EXACT[name]
    picture = image_io.read(data)
    expected = samples if samples.ndim == 3 else samples[:, :, np.newaxis]
    np.testing.assert_array_equal(picture.to_array(), expected)
    assert picture.dtype == samples.dtype
    written = image_io.encode(picture.with_pixels(picture.pixels), suffix)
    again = image_io.read(written)
    np.testing.assert_array_equal(again.to_array(), expected)
    assert again.header.metadata.get("pnm-header", (0, 0, 0))[1:] in [
        picture.header.metadata.get("pnm-header", (0, 0, 0))[1:], (255, 0.0),
    ]  # fmt: skip
    if written[:2] in (b"P5", b"P6", b"BM") and samples.dtype == np.uint8:
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(written))), samples)


def test_transparency_of_bmp_is_kept() -> None:
    written = image_io.encode(image_io.from_array(RGBA), ".bmp")
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(written))), RGBA)
    picture = image_io.read(written)
    assert picture.layout == Layout(3, (UNASSOCIATED,))
    np.testing.assert_array_equal(picture.to_array(), RGBA)


def test_the_resolution_of_bmp_is_kept() -> None:
    picture = image_io.read(pillow(RGB, "BMP", dpi=(300, 200)))
    written = image_io.encode(picture.with_pixels(picture.pixels), ".bmp")
    assert struct.unpack_from("<ii", written, 38) == (11811, 7874)  # pixels per meter
    assert image_io.read(image_io.encode(picture, ".png")).metadata["xres"] == pytest.approx(11.811)


def test_noise_is_relative_to_the_largest_value() -> None:
    clean = 4095 * waves(channels=1)[:, :, 0]
    noisy = np.clip(clean + np.random.default_rng(0).normal(0, 200, clean.shape), 0, 4095)
    denoised = image_io.read(api.denoise(netpbm(b"P5", np.rint(noisy), 4095), "gray", sigma=255 * 200 / 4095))
    assert denoised.metadata["pnm-header"][1] == 4095
    errors = [np.sqrt(np.mean((image - clean) ** 2)) for image in (denoised.to_array()[:, :, 0].astype(float), noisy)]
    assert errors[0] < 0.5 * errors[1]


@pytest.mark.parametrize("name", [*EXACT, "rgb.heic"])
def test_what_is_cut_off_or_damaged_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    data = heic(waves().astype(np.uint8)) if name == "rgb.heic" else EXACT[name][0]
    rng = np.random.default_rng(0)
    for cut in (3, len(data) // 2):
        (tmp_path / name).write_bytes(data[:cut])
        with pytest.raises(UnnoiseError, match=f"^{tmp_path / name}: [^\n]+$"):
            image_io.read(tmp_path / name, max_pixels=10**6)
    check_mutations(data, rng)


@pytest.mark.parametrize(
    "data", [b"P5 100000 100000 255\n", b"P7\nWIDTH 99999\nHEIGHT 99999\nDEPTH 1\nMAXVAL 1\nENDHDR\n"]
)
def test_large_images_are_refused_by_their_header(data: bytes) -> None:
    with pytest.raises(image_io.TooLargeError, match="over the limit"):
        image_io.read(data)


# HEIC


def exif() -> Image.Exif:
    made = Image.Exif()
    made[0x010F], made[0x0112] = "a maker", 6
    return made


@pytest.mark.parametrize("chroma", [420, 444])
def test_heic_is_written_as_it_came(chroma: int) -> None:
    array = np.rint(255 * waves()).astype(np.uint8)
    data = heic(array, chroma=chroma, exif=exif().tobytes(), xmp=b"<x:xmpmeta/>", icc_profile=b"not a profile" * 20)
    picture = image_io.read(data)
    upright = np.rot90(array, -1)  # by orientation 6
    assert np.abs(picture.to_array().astype(int) - upright).mean() < 3
    written = image_io.encode(picture.with_pixels(picture.pixels), ".heic")
    before, after = (pillow_heif.open_heif(io.BytesIO(each)) for each in (data, written))
    assert after.info["chroma"] == chroma and after.info["icc_profile"] == before.info["icc_profile"]
    assert after.info["xmp"] == before.info["xmp"]
    tags = Image.Exif()
    tags.load(after.info["exif"])
    assert (tags[0x010F], tags[0x0112]) == ("a maker", 1)  # the rotation has been applied
    again = image_io.read(written).to_array().astype(int)
    assert np.abs(again - picture.to_array()).mean() < 3


@pytest.mark.parametrize("bits", [10, 12])
def test_heic_of_more_bits_keeps_them(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pillow_heif.options, "SAVE_HDR_TO_12_BIT", bits == 12)
    array = np.rint(65535 * waves()).astype(np.uint16)
    file = io.BytesIO()
    pillow_heif.from_bytes(mode="RGB;16", size=(56, 40), data=array.tobytes()).save(file, quality=95, chroma=444)
    monkeypatch.setattr(pillow_heif.options, "SAVE_HDR_TO_12_BIT", False)
    picture = image_io.read(file.getvalue())
    assert (picture.dtype, picture.metadata["bits-per-sample"]) == (np.uint16, bits)
    assert np.abs(picture.pixels - waves()).mean() < 0.01
    again = image_io.read(image_io.encode(picture.with_pixels(picture.pixels), ".heic"))
    assert again.metadata["bits-per-sample"] == bits and np.abs(again.pixels - waves()).mean() < 0.01
    np.testing.assert_array_equal(image_io.read(image_io.encode(picture, ".png")).pixels, picture.pixels)


def test_what_heic_leaves_out_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    array = np.rint(255 * waves()).astype(np.uint8)
    images = pillow_heif.from_pillow(Image.fromarray(array))
    images.add_from_pillow(Image.fromarray(array[:20]))
    images.save(tmp_path / "two.heic", quality=90)
    picture = image_io.read(tmp_path / "two.heic")
    assert picture.header.pages == 1
    with caplog.at_level(logging.WARNING, "unnoise"):
        picture.with_pixels(picture.pixels).save(tmp_path / "out.heic")
    assert "out.heic: left out: 1 further pictures" in caplog.text
    assert "1 further pictures" in (formats.dropped_metadata(picture.header, ".jpg") or "")


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = heic(np.rint(255 * waves()).astype(np.uint8))
    (tmp_path / "a.HEIC").write_bytes(data)
    (tmp_path / "photo").write_bytes(data)
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pillow_heif" else real(name))
    passed_over = PassedOver()
    with pytest.raises(
        planning.NoPicturesError, match=r"2 files passed over: 1 HEIC \(pip install 'unnoise\[heif\]'\)"
    ):
        planning.plan_jobs([tmp_path], passed_over=passed_over)
    assert passed_over.pictures == 2


def test_outputs_have_the_suffix_of_the_content(tmp_path: Path) -> None:
    for name, data in (("scan", EXACT["rgb.bmp"][0]), ("map.dat", EXACT["gray.pfm"][0]), ("x.pbm", EXACT["p4.pbm"][0])):
        (tmp_path / name).write_bytes(data)
    targets = [job.target.name for job in planning.plan_jobs([tmp_path], tmp_path / "out")]
    assert targets == ["map.pfm", "scan.bmp", "x.pnm"]


def test_the_further_images_of_mpo_are_kept(tmp_path: Path) -> None:
    left, right = (Image.fromarray(np.rint(255 * waves()).astype(np.uint8)[:, shift : shift + 40]) for shift in (0, 8))
    left.save(tmp_path / "a.mpo", "MPO", save_all=True, append_images=[right])
    picture = image_io.read(tmp_path / "a.mpo")
    assert picture.header.pages == 1 and picture.pixels.shape == (40, 40, 3)
    picture.with_pixels(picture.pixels).save(tmp_path / "b.mpo")
    with Image.open(tmp_path / "a.mpo") as before, Image.open(tmp_path / "b.mpo") as after:
        assert (after.format, after.n_frames) == ("MPO", 2)
        for image in (before, after):
            image.seek(1)
        np.testing.assert_array_equal(np.asarray(after), np.asarray(before))


# JPEG 2000


def jp2(array: np.ndarray, codecformat: str = "jp2", bits: int | None = None) -> bytes:
    encode = pytest.importorskip("imagecodecs").jpeg2k_encode
    return bytes(encode(array, level=0, codecformat=codecformat, reversible=True, bitspersample=bits))


def with_box(data: bytes, box: bytes) -> bytes:
    """Add a box to the header of a JP2, and one in front of the codestream."""
    start = data.index(b"jp2h") - 4
    (size,) = struct.unpack_from(">I", data, start)
    header = struct.pack(">I", size + len(box)) + data[start + 4 : start + size] + box
    extra = struct.pack(">I4s", 8 + 20, b"xml ") + b"<a>20 bytes of it</a"
    return data[:start] + header + extra + data[start + size :]


@pytest.mark.parametrize("codecformat", ["jp2", "j2k"])
@pytest.mark.parametrize("name", ["gray", "rgb", "deep", "signed", "twelve"])
def test_jpeg_2000_is_read_and_written_exactly(codecformat: str, name: str) -> None:
    samples = {"gray": GRAY, "rgb": RGB, "deep": DEEP, "signed": (DEEP[:, :, 0] // 2).astype(np.int16) - 9000,
               "twelve": DEEP[:, :, 0] >> 4}[name]  # fmt: skip
    data = jp2(samples, codecformat, 12 if name == "twelve" else None)
    picture = image_io.read(data)
    np.testing.assert_array_equal(picture.to_array().reshape(samples.shape), samples)
    written = image_io.encode(picture.with_pixels(picture.pixels), ".jp2")
    np.testing.assert_array_equal(image_io.read(written).to_array(), picture.to_array())
    assert image_io.read(written).metadata["jpeg2000"].bits == {"twelve": 12}.get(name, 8 * samples.dtype.itemsize)
    assert written[:12] == data[:12]


def test_boxes_and_transparency_of_jpeg_2000_are_kept() -> None:
    opacity = struct.pack(">I4sH", 8 + 2 + 24, b"cdef", 4) + struct.pack(">12H", 0, 0, 1, 1, 0, 2, 2, 0, 3, 3, 1, 0)
    data = with_box(jp2(RGBA), opacity)
    picture = image_io.read(data)
    assert picture.layout == Layout(3, (UNASSOCIATED,))
    written = image_io.encode(picture.with_pixels(np.clip(picture.pixels - 0.1, 0, 1)), ".jp2")
    codestream = data.index(b"jp2c") - 4
    assert written[:codestream] == data[:codestream] and b"20 bytes of it" in written
    np.testing.assert_array_equal(image_io.read(written).alpha, RGBA[:, :, 3:])
    assert "the boxes of JPEG 2000" in (formats.dropped_metadata(picture.header, ".png") or "")
    assert len(image_io.read(jp2(RGBA)).layout.channels) == 4  # not declared as transparency: data


def test_damaged_jpeg_2000_is_refused_in_one_line() -> None:
    data, rng = jp2(RGB), np.random.default_rng(0)
    check_mutations(data, rng)
