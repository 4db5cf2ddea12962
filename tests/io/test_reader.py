"""Read and write image files, with Pillow and tifffile as references."""

from __future__ import annotations

import errno
import io
import os
import pickle
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image, ImageCms, ImageOps
from PIL.PngImagePlugin import PngInfo

from unnoise import io as image_io
from unnoise.errors import UnnoiseError
from unnoise.io import picture as picture_module
from unnoise.io.formats import FORMATS
from unnoise.io.picture import Picture, from_samples

KNOWN = ", ".join(kind.suffixes[0] for kind in FORMATS)

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6"/></x:xmpmeta>'
SIZES = [(1, 1), (1, 7), (7, 5), (300, 8)]


def samples(dtype: str, channels: int, size: tuple[int, int] = (11, 14)) -> np.ndarray:
    """Return random samples over the full scale; floats reach far outside [0, 1] and hold NaN and infinities."""
    rng = np.random.default_rng([channels, *size])
    shape = (*size, channels)
    if dtype != "float32":
        return rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)
    values = rng.normal(0.5, 3, shape).astype(np.float32)
    values.flat[: min(3, values.size)] = [np.nan, np.inf, -np.inf][: values.size]
    return values


def photograph(size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """Return a smooth uint8 RGB image without symmetry."""
    y, x = np.mgrid[: size[0], : size[1]] / 10
    return np.stack([120 + 9 * x, 60 + 20 * np.sin(x) + 8 * y, 200 - 20 * y + 9 * np.cos(2 * x)], axis=-1).astype("u1")


def read(source: Path | bytes, **options: int) -> Picture:
    """Read an image without its `file`, as after denoising, so that it is encoded again."""
    picture = image_io.read(source, **options)
    return picture.with_pixels(picture.pixels)


def saved(picture: Image.Image | np.ndarray, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    picture.save(file, format, **options)
    return file.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def exif_with_thumbnail(orientation: int, thumbnail: bytes) -> bytes:
    """Return an EXIF block of two directories: the orientation, then a JPEG thumbnail."""
    first = struct.pack("<HHHIHHI", 1, 0x112, 3, 1, orientation, 0, 26)
    second = struct.pack("<HHHII HHIII", 2, 0x201, 4, 1, 56, 0x202, 4, 1, len(thumbnail), 0)
    return b"Exif\0\0II*\0\x08\0\0\0" + first + second + thumbnail


def gray_profile() -> bytes:
    """Return a minimal ICC profile of a gray space: a white point and a gamma of 2.2."""
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, 563) + b"\0\0"
    text = b"desc\0\0\0\0" + struct.pack(">I", 2) + b"g\0" + bytes(78)
    tags, body, start = b"", b"", 128 + 4 + 4 * 12
    for name, data in ((b"wtpt", white), (b"kTRC", curve), (b"desc", text), (b"cprt", b"text\0\0\0\0-\0\0\0")):
        tags += name + struct.pack(">II", start + len(body), len(data))
        body += data
    rest = struct.pack(">I", 4) + tags + body
    header = struct.pack(">I4sI4s4s4s12s4s28s", 128 + len(rest), b"", 0x02100000, b"mntr", b"GRAY", b"XYZ ",
                         struct.pack(">6H", 2024, 1, 1, 0, 0, 0), b"acsp", b"")  # fmt: skip
    return header + struct.pack(">3i", 63190, 65536, 54061) + bytes(48) + rest


def png(width: int, height: int, chunks: list[tuple[bytes, bytes]] | None = None) -> bytes:
    """Return a PNG with this size in its header, other chunks, and 4 x 3 pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(3 * (1 + 4 * 3)))
    chunks = [(b"IHDR", header), *(chunks or []), (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def refused(data: bytes | str | Path, **options: int) -> str:
    """Return the error message of `read`."""
    with pytest.raises(UnnoiseError) as refusal:
        read(data, **options)
    line = str(refusal.value)
    assert "\n" not in line and len(line) < 300
    return line


# Round trips


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("suffix", "dtype"),
    [(".png", "uint8"), (".png", "uint16"), (".tif", "uint8"), (".tif", "uint16"), (".tif", "float32")],
)
def test_lossless_files_keep_every_bit(suffix: str, dtype: str, channels: int, size: tuple[int, int]) -> None:
    array = samples(dtype, channels, size)
    data = image_io.encode(image_io.from_array(array, alpha=channels in (2, 4)), suffix)
    picture = read(data)
    assert picture.dtype == dtype
    assert picture.pixels.dtype == np.float32
    assert picture.pixels.shape == (*size, 3 if channels > 2 else 1)
    assert picture.pixels.flags.c_contiguous and picture.pixels.flags.writeable
    back = picture.to_array()
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, array)
    if suffix == ".tif" and channels != 2:
        np.testing.assert_array_equal(np.atleast_3d(tifffile.imread(io.BytesIO(data)).reshape(array.shape)), array)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_every_level_survives_the_conversion_to_float32(dtype: str) -> None:
    levels = np.arange(65536).reshape(256, 256)
    array = (levels % 256).astype(dtype) if dtype == "uint8" else levels.astype(dtype)
    picture = image_io.from_array(array)
    np.testing.assert_array_equal(picture.to_array()[..., 0], array)
    assert picture.pixels.max() == (65535 if dtype == "float32" else 1)


@pytest.mark.parametrize(("suffix", "worst"), [(".jpg", 6), (".webp", 8), (".avif", 8)])
@pytest.mark.parametrize("channels", [1, 3])
def test_lossy_files_are_close(suffix: str, worst: int, channels: int) -> None:
    array = photograph()[..., :channels]
    back = read(image_io.encode(image_io.from_array(array), suffix))
    assert back.alpha is None
    assert back.pixels.shape[2] == (1 if channels == 1 and suffix == ".jpg" else 3)
    assert np.abs(back.to_array().astype(int) - array).max() <= worst


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_lossy_formats_take_every_size(suffix: str, size: tuple[int, int]) -> None:
    picture = image_io.from_array(photograph(size))
    assert read(image_io.encode(picture, suffix)).pixels.shape == (*size, 3)


@pytest.mark.parametrize("suffix", [".webp", ".avif"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("quality", [None, 30])
def test_alpha_is_bit_exact_in_lossy_files(suffix: str, channels: int, quality: int | None) -> None:
    alpha = samples("uint8", 1, (48, 64))
    picture = image_io.from_array(np.concatenate([photograph()[..., :channels], alpha], axis=2), alpha=True)
    back = read(image_io.encode(picture, suffix, quality=quality))
    assert back.alpha is not None
    np.testing.assert_array_equal(back.alpha, alpha)


def test_webp_keeps_the_color_of_transparent_pixels() -> None:
    array = np.concatenate([photograph(), np.zeros((48, 64, 1), np.uint8)], axis=2)
    back = read(image_io.encode(image_io.from_array(array), ".webp")).to_array()
    assert np.abs(back.astype(int) - array).max() <= 8


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_pixels_agree_with_pillow(format: str) -> None:
    array = photograph()
    options = {"lossless": True} if format == "WEBP" else {}
    np.testing.assert_array_equal(read(saved(array, format, **options)).to_array(), array)


def test_sixteen_bit_color_is_sixteen_bit_in_the_file() -> None:
    data = image_io.encode(image_io.from_array(samples("uint16", 3)), ".png")
    assert data[24:26] == bytes([16, 2])  # depth and color type in the PNG header


def test_palette_becomes_rgb_and_bilevel_becomes_gray() -> None:
    palette = Image.fromarray(photograph()).quantize(16)
    assert palette.mode == "P"
    picture = read(saved(palette, "PNG"))
    np.testing.assert_array_equal(picture.to_array(), np.asarray(palette.convert("RGB")))
    assert opened(image_io.encode(picture, ".png")).mode == "RGB"
    bilevel = Image.fromarray(photograph()).convert("1")
    for format in ("PNG", "TIFF"):
        array = read(saved(bilevel, format)).to_array()
        np.testing.assert_array_equal(array[..., 0], np.asarray(bilevel) * np.uint8(255))


def test_gif_of_one_frame_is_read() -> None:
    picture = Image.fromarray(photograph()).quantize(16)
    back = read(saved(picture, "GIF"))
    np.testing.assert_array_equal(back.to_array()[..., :3], np.asarray(picture.convert("RGB")))


@pytest.mark.parametrize("bits", [10, 12])
def test_deep_avif_stays_deep(bits: int) -> None:
    array = samples("uint16", 4) >> (16 - bits) << (16 - bits)
    picture = image_io.from_array(array)
    assert image_io.unsupported_reason(picture.header, ".avif") == "AVIF cannot hold 16 bits: write .png"
    deep = image_io.Picture(picture.pixels, picture.alpha, picture.dtype, {"bits-per-sample": bits}, picture.layout)
    back = read(image_io.encode(deep, ".avif"))
    assert back.dtype == np.uint16 and back.metadata["bits-per-sample"] == bits
    assert back.alpha is not None
    np.testing.assert_array_equal(back.alpha, array[..., 3:])
    again = read(image_io.encode(back, ".avif"))
    np.testing.assert_array_equal(again.alpha, back.alpha)


def test_jpeg_keeps_chroma_subsampling_and_uses_quality() -> None:
    fine, coarse = (read(saved(photograph(), "JPEG", subsampling=mode)) for mode in ("4:4:4", "4:2:0"))
    assert read(image_io.encode(fine, ".jpg")).metadata["jpeg-chroma-subsample"] == "4:4:4"
    assert read(image_io.encode(coarse, ".jpg")).metadata["jpeg-chroma-subsample"] == "4:2:0"
    plain = image_io.from_array(photograph())
    assert read(image_io.encode(plain, ".jpg")).metadata["jpeg-chroma-subsample"] == "4:4:4"
    for suffix in (".jpg", ".webp", ".avif"):
        assert len(image_io.encode(plain, suffix, quality=20)) < len(image_io.encode(plain, suffix))


# Metadata


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_is_applied_once_and_reset(format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if format == "WEBP" else {}
    data = saved(photograph(), format, exif=exif, **options)
    upright = np.asarray(ImageOps.exif_transpose(opened(data)))
    picture = read(data)
    tolerance = 6 if format == "JPEG" else 0
    assert picture.pixels.shape == upright.shape
    assert np.abs(picture.to_array().astype(int) - upright).max() <= tolerance
    suffix = ".jpg" if format == "JPEG" else ".png"
    written = image_io.encode(picture, suffix)
    assert opened(written).getexif().get(0x0112, 1) == 1
    assert read(written).pixels.shape == upright.shape
    np.testing.assert_allclose(read(written).pixels, picture.pixels, atol=tolerance / 255)


def test_orientation_is_applied_to_alpha() -> None:
    array = samples("uint16", 4)
    data = io.BytesIO()
    tifffile.imwrite(data, array, photometric="rgb", extrasamples=["unassalpha"], extratags=[(274, "H", 1, 6, True)])
    np.testing.assert_array_equal(read(data.getvalue()).to_array(), np.rot90(array, -1))


@pytest.mark.parametrize("orientation", [1, 6])
def test_stale_thumbnail_and_xmp_orientation_are_replaced(orientation: int) -> None:
    thumbnail = saved(photograph((12, 16)), "JPEG")
    data = saved(photograph(), "JPEG", exif=exif_with_thumbnail(orientation, thumbnail), xmp=XMP)
    assert thumbnail[100:300] in data
    written = image_io.encode(read(data), ".jpg")
    assert thumbnail[100:300] not in written
    assert (b'tiff:Orientation="6"' in written) == (orientation == 1)
    assert (b'tiff:Orientation="1"' in written) == (orientation == 6)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".avif"])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_exif_xmp_and_profile_are_kept(format: str, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Canön"  # Make
    exif[0x011A] = exif[0x011B] = 300.0  # resolution
    exif[0x0128] = 2
    exif.get_ifd(0x8769).update({0x829A: 0.008, 0x8827: 3200, 0x927C: b"Maker" + bytes(range(256)), 0x9010: "+02:00"})
    exif.get_ifd(0x8825).update({1: "N", 2: (51.0, 30.0, 12.5)})
    data = saved(photograph(), format, exif=exif, icc_profile=SRGB, **({} if format == "PNG" else {"xmp": XMP}))
    before, after = opened(data), opened(image_io.encode(read(data), suffix))
    assert after.info["icc_profile"] == SRGB
    if format != "PNG":
        assert after.info.get("xmp", after.info.get("XML:com.adobe.xmp", "").encode()) == XMP
    old, new = before.getexif(), after.getexif()
    assert {tag: new.get(tag) for tag in (0x010F, 0x011A, 0x0128)} == {0x010F: old[0x010F], 0x011A: 300.0, 0x0128: 2}
    for directory in (0x8769, 0x8825):
        fields = old.get_ifd(directory)
        assert fields and {tag: new.get_ifd(directory).get(tag) for tag in fields} == fields


def test_tiff_keeps_profile_xmp_description_and_resolution() -> None:
    description = "ImageJ=1.54f\nunit=micron\n"
    info = {700: XMP, 270: description, 282: 254.0, 283: 127.0, 296: 3}
    data = saved(samples("uint16", 1)[..., 0], "TIFF", icc_profile=gray_profile(), tiffinfo=info)
    tags = opened(image_io.encode(read(data), ".tif")).tag_v2
    assert {tag: tags[tag] for tag in (700, 270, 296)} == {700: XMP, 270: description, 296: 3}
    assert tags[34675] == gray_profile()
    assert (round(tags[282]), round(tags[283])) == (254, 127)


def test_png_text_is_kept_and_no_exif_is_added() -> None:
    text = PngInfo()
    text.add_text("Title", "Night")
    written = opened(image_io.encode(read(saved(photograph(), "PNG", pnginfo=text)), ".png"))
    assert written.info["Title"] == "Night"
    for suffix in (".jpg", ".png", ".webp", ".avif"):
        assert "exif" not in opened(image_io.encode(image_io.from_array(photograph()), suffix)).info


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("dpi", [None, (240, 240), (300, 150)])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF"])
def test_resolution_is_kept(format: str, dpi: tuple[int, int] | None, suffix: str) -> None:
    data = saved(photograph(), format, **({"dpi": dpi} if dpi else {}))
    written = opened(image_io.encode(read(data), suffix))
    if dpi is None and suffix == ".tif":
        assert 282 not in written.tag_v2
        return
    exif = written.getexif()
    by_exif = 0x011A in exif and suffix != ".tif"  # where Pillow looks at one axis only
    found = (exif[0x011A], exif[0x011B]) if by_exif else written.info.get("dpi", (72, 72))
    assert tuple(map(round, found)) == (dpi or (72, 72))


@pytest.mark.parametrize(("keyword", "text"), [(b"Author", b"Zo\xeb"), (b"\xb5m", b"5")])
def test_text_that_is_not_utf_8_is_accepted(keyword: bytes, text: bytes, capfd: pytest.CaptureFixture) -> None:
    data = png(
        4, 3, [(b"tEXt", keyword + b"\0" + text), (b"iCCP", text + b"\0\0" + zlib.compress(SRGB[:16] + SRGB[:-16]))]
    )
    assert read(image_io.encode(read(data), ".png")).pixels.shape == (3, 4, 3)
    description = saved(photograph(), "TIFF", tiffinfo={270: b"5 " + text})
    assert b"5 " in image_io.encode(read(description), ".tif")
    assert capfd.readouterr() == ("", "")


def test_gray_profile_is_kept_by_gray_files() -> None:
    profile = gray_profile()
    gray = Image.fromarray(photograph()[..., 0])
    picture = read(saved(gray, "PNG", icc_profile=profile))
    for suffix in (".png", ".jpg", ".tif"):
        written = opened(image_io.encode(picture, suffix))
        assert (written.mode, written.info["icc_profile"]) == ("L", profile)
    assert "gray color profile" in (image_io.unsupported_reason(picture.header, ".webp") or "")


def test_with_pixels_keeps_alpha_and_metadata() -> None:
    data = saved(np.concatenate([photograph(), samples("uint8", 1, (48, 64))], axis=2), "PNG", icc_profile=SRGB)
    picture = read(data)
    changed = picture.with_pixels(1 - picture.pixels)
    assert changed.alpha is picture.alpha and changed.metadata == picture.metadata
    np.testing.assert_array_equal(changed.to_array()[..., :3], 255 - picture.to_array()[..., :3])
    with pytest.raises(ValueError, match="shape"):
        picture.with_pixels(picture.pixels[1:])


def test_pictures_can_be_pickled() -> None:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    picture = read(saved(photograph(), "JPEG", exif=exif, icc_profile=SRGB))
    copy = pickle.loads(pickle.dumps(picture))
    assert image_io.encode(copy, ".jpg") == image_io.encode(picture, ".jpg")


# Pixels to samples


@pytest.mark.parametrize(("dtype", "full"), [(np.uint8, 255), (np.uint16, 65535)])
def test_integers_are_rounded_and_clipped_without_nan(dtype: type, full: int) -> None:
    values = [0.4 / full, 0.6 / full, 1 - 0.4 / full, -5, 7, np.nan, np.inf, -np.inf, 3e38]
    picture = image_io.from_array(np.zeros((1, len(values)), dtype)).with_pixels(np.float32([values])[..., np.newaxis])
    before = picture.pixels.copy()
    assert picture.to_array().ravel().tolist() == [0, 1, full, 0, full, 0, full, 0, full]
    np.testing.assert_array_equal(picture.pixels, before)


@pytest.mark.parametrize(
    "array", [np.zeros((4, 5, 0)), np.zeros(3), np.zeros((0, 4)), np.zeros((2, 2), np.int64), np.ones((2, 2), bool)]
)
def test_arrays_that_are_not_images_are_refused(array: np.ndarray) -> None:
    with pytest.raises(UnnoiseError, match="not an image: pass"):
        image_io.from_array(array)


def test_arrays_are_copied_and_accepted_in_any_layout() -> None:
    array = samples("uint16", 4)
    for view in (array[::-1, ::2], np.asfortranarray(array), array.astype(">u2")):
        picture = image_io.from_array(view)
        assert not np.shares_memory(picture.alpha, array)
        np.testing.assert_array_equal(read(image_io.encode(picture, ".png")).to_array(), view)
    assert image_io.from_array(np.full((2, 2), 0.5)).dtype == np.float32


# Refusals


@pytest.mark.parametrize(
    ("dtype", "channels", "suffix", "reason"),
    [
        ("uint16", 3, ".jpg", "JPEG cannot hold uint16 samples: write .png"),
        ("uint16", 3, ".webp", "WebP cannot hold uint16 samples: write .png"),
        ("float32", 1, ".png", "PNG cannot hold float32 samples: write .tif"),
        ("uint8", 4, ".jpeg", "JPEG cannot hold transparency: write .png"),
        ("uint16", 3, ".gif", "GIF cannot hold uint16 samples: write .png"),
        ("uint8", 3, ".psd", f"unnoise writes {KNOWN}, not .psd"),
        ("uint8", 3, "", f"unnoise writes {KNOWN}, not names without a suffix"),
    ],
)
def test_unsupported_images_are_refused_with_the_reason(
    dtype: str, channels: int, suffix: str, reason: str, tmp_path: Path
) -> None:
    picture = image_io.from_array(samples(dtype, channels))
    assert image_io.unsupported_reason(picture.header, suffix) == reason
    with pytest.raises(UnnoiseError) as refusal:
        image_io.write(picture, tmp_path / f"picture{suffix}")
    assert str(refusal.value) == f"{tmp_path / f'picture{suffix}'}: {reason}"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("suffix", "largest"), [(".jpg", 65_500), (".webp", 16_383), (".avif", 16_384)])
def test_largest_sides_are_those_of_the_encoders(suffix: str, largest: int) -> None:
    fits = image_io.from_array(np.zeros((1, largest), np.uint8))
    assert read(image_io.encode(fits, suffix)).pixels.shape[1] == largest
    larger = image_io.from_array(np.zeros((largest + 1, 1), np.uint8))
    assert f"{largest} pixels a side" in (image_io.unsupported_reason(larger.header, suffix) or "")


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF", "GIF"])
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.9, 0.99])
def test_truncated_files_are_refused(format: str, kept: float, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    data = saved(samples("uint8", 3, (80, 100)), format)
    file = tmp_path / f"cut.{format.lower()}"
    file.write_bytes(data[: int(len(data) * kept)])
    line = refused(file)
    assert line.startswith(f"{file}: ") and "bad seek" not in line
    assert capfd.readouterr() == ("", "")  # libvips prints nothing


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF", "GIF"])
def test_mutated_files_are_read_or_refused(format: str, capfd: pytest.CaptureFixture) -> None:
    rng = np.random.default_rng(0)
    data = np.frombuffer(saved(photograph((20, 30)), format), np.uint8)
    for _ in range(60):
        broken = data.copy()
        where = rng.integers(0, len(data), 4)
        broken[where] = rng.integers(0, 256, 4)
        try:
            picture = read(broken.tobytes(), max_pixels=10**6)
        except UnnoiseError as error:
            assert "\n" not in str(error)
        else:
            assert picture.pixels.ndim == 3
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "data",
    [
        b"hello, this is no picture",
        b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        b"%PDF-1.4",
        b"\xb6\xa6\xf2\x08" + bytes(80),  # libvips's own format
    ],
)
def test_other_formats_are_refused_whatever_their_name(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "renamed.png"
    file.write_bytes(data)
    expected = f"not an image in a supported format ({', '.join(kind.name for kind in FORMATS)})"
    assert refused(file) == f"{file}: {expected}"
    assert refused(data) == f"the image: {expected}"


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".avif"])
def test_suffix_of_encoded_images(suffix: str) -> None:
    assert image_io.suffix_of(image_io.encode(image_io.from_array(photograph()), suffix)) == suffix
    with pytest.raises(UnnoiseError, match="not an image in a supported format"):
        image_io.suffix_of(b"GIF90a")


def test_the_format_is_detected_by_content(tmp_path: Path) -> None:
    file = tmp_path / "really a [png].jpg"
    file.write_bytes(saved(photograph(), "PNG"))
    np.testing.assert_array_equal(read(file).to_array(), photograph())


def test_missing_and_empty_files_are_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.png") == f"{tmp_path / 'none.png'}: cannot be read: No such file or directory"
    assert refused(tmp_path) == f"{tmp_path}: cannot be read: Is a directory"
    (tmp_path / "empty.png").touch()
    assert refused(tmp_path / "empty.png") == f"{tmp_path / 'empty.png'}: the file is empty"
    assert refused(b"") == "the image: the file is empty"


def test_size_is_checked_by_the_header(capfd: pytest.CaptureFixture) -> None:
    assert "100000 x 100000 pixels, over the limit of 1073741824" in refused(png(100_000, 100_000))
    assert "damaged, truncated" in refused(png(1000, 1000))
    honest, absurd = (b"ispe" + struct.pack(">III", 0, 64, height) for height in (48, 1_800_000_000))
    data = saved(photograph(), "AVIF")
    assert honest in data and refused(data.replace(honest, absurd))
    assert capfd.readouterr() == ("", "")
    data = saved(photograph(), "PNG")
    assert "64 x 48 pixels, over the limit of 3071" in refused(data, max_pixels=48 * 64 - 1)
    assert read(data, max_pixels=48 * 64).pixels.shape == (48, 64, 3)


@pytest.mark.parametrize("format", ["AVIF"])
def test_unsupported_animations_are_refused(format: str) -> None:
    pages = [Image.fromarray(photograph() // part) for part in (1, 2, 3)]
    line = refused(saved(pages[0], format, save_all=True, append_images=pages[1:]))
    assert f"animated {format} is not supported" in line


def test_pages_are_counted_before_they_are_read() -> None:
    pages = [Image.fromarray(photograph()) for _ in range(3)]
    data = saved(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    assert "64 x 48 pixels on 3 pages, over the limit of 5000" in refused(data, max_pixels=5000)
    assert "3 pages or frames, over the limit of 2" in refused(data, max_pages=2)


def test_pages_that_differ_are_refused() -> None:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as tiff:
        tiff.write(samples("uint8", 1, (5, 6)))
        tiff.write(samples("uint8", 1, (5, 7)))
    assert refused(file.getvalue()) == "the image: its pages differ in size or sample format: split the file first"


def test_other_color_spaces_and_samples_are_refused() -> None:
    raw = io.BytesIO()
    tifffile.imwrite(raw, samples("uint8", 3), photometric="linear_raw")
    assert "3 channels, multiband" in refused(raw.getvalue())


@pytest.mark.parametrize("quality", [0, 101, -1])
def test_quality_out_of_range_is_refused(quality: int) -> None:
    with pytest.raises(UnnoiseError, match="quality must be between 1 and 100"):
        image_io.encode(image_io.from_array(photograph()), ".jpg", quality=quality)


# Files


def test_write_and_read_follow_the_suffix(tmp_path: Path) -> None:
    picture = image_io.from_array(photograph())
    for suffix in (".jpg", ".JPEG", ".png", ".tiff", ".webp", ".avif"):
        image_io.write(picture, tmp_path / f"naïve name [1]{suffix}")
        assert read(tmp_path / f"naïve name [1]{suffix}").pixels.shape == (48, 64, 3)
    picture.save(tmp_path / "saved.png")
    assert (tmp_path / "saved.png").read_bytes() == (tmp_path / "naïve name [1].png").read_bytes()
    assert all(image_io.is_picture(file) for file in tmp_path.iterdir())
    assert not any(image_io.is_picture(name) for name in ("notes.txt", "picture.svg", "picture", ".png"))


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    for level in (10, 200):
        image_io.write(image_io.from_array(np.full((3, 3), level, np.uint8)), tmp_path / "same.png", overwrite=True)
        assert read(tmp_path / "same.png").to_array().max() == level


def test_existing_files_are_overwritten_only_with_overwrite(tmp_path: Path) -> None:
    target = tmp_path / "picture.png"
    target.write_bytes(b"precious")
    target.chmod(0o640)
    with pytest.raises(UnnoiseError, match="already exists"):
        image_io.write(image_io.from_array(photograph()), target)
    assert target.read_bytes() == b"precious"
    image_io.write(image_io.from_array(photograph()), target, overwrite=True)
    assert read(target).pixels.shape == (48, 64, 3)
    assert target.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [target]


def test_new_files_have_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    image_io.write(image_io.from_array(photograph()), tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    target = tmp_path / "there" / "real.png"
    target.write_bytes(b"old")
    (tmp_path / "link.png").symlink_to(target)
    image_io.write(image_io.from_array(photograph()), tmp_path / "link.png", overwrite=True)
    assert (tmp_path / "link.png").is_symlink()
    assert read(target).pixels.shape == (48, 64, 3)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_a_disk_that_is_full_for_libvips_is_named(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise pyvips.Error("unable to call save", f"write error\nunix error: {os.strerror(errno.ENOSPC)}")

    monkeypatch.setattr(picture_module, "_save", fail)
    monkeypatch.setattr(picture_module.codecs, "encode", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    picture = image_io.from_array(photograph())
    image = pyvips.Image.new_from_array(photograph())
    with pytest.raises(UnnoiseError, match=f"^{tmp_path / 'a'}{suffix}: cannot be written: the disk at /.* is full"):
        picture_module.write_image(image, picture.header, tmp_path / f"a{suffix}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_write_leaves_no_files(
    step: str, failure: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        assert len(list(tmp_path.iterdir())) == 2  # the temporary file is in the same folder
        raise failure

    target = tmp_path / "picture.png"
    target.write_bytes(b"precious")
    monkeypatch.setattr(os, step, fail)
    with pytest.raises(UnnoiseError if isinstance(failure, OSError) else KeyboardInterrupt) as refusal:
        image_io.write(image_io.from_array(photograph()), target, overwrite=True)
    if isinstance(failure, OSError):
        full = r"the disk at /\S* is full \(without this file, [\d.]+ of [\d.]+ MB are free\)"
        assert re.fullmatch(f"{re.escape(str(target))}: cannot be written: {full}", str(refusal.value))
    assert target.read_bytes() == b"precious"
    assert list(tmp_path.iterdir()) == [target]


def test_bad_targets_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnnoiseError, match="does not exist"):
        image_io.check_target(tmp_path / "none" / "picture.png")
    with pytest.raises(UnnoiseError, match="is a folder"):
        image_io.check_target(tmp_path, overwrite=True)
    monkeypatch.setattr(os, "access", lambda _, mode: mode != os.W_OK | os.X_OK)  # root may write anywhere
    with pytest.raises(UnnoiseError, match="no permission"):
        image_io.check_target(tmp_path / "picture.png")


@pytest.mark.skipif(os.name != "posix", reason="names are Unicode there")
def test_names_may_be_any_bytes(tmp_path: Path) -> None:
    file = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.png"))
    image_io.write(image_io.from_array(photograph()), file)
    np.testing.assert_array_equal(read(file).to_array(), photograph())
    for format in ("AVIF", "GIF"):  # libvips quotes the name
        whole = saved(photograph(), format)
        file.write_bytes(whole[: len(whole) // 2])
        assert "damaged, truncated" in refused(file)
    assert "premature end" in refused(saved(photograph(), "JPEG")[:-99])  # and not the message before


@pytest.mark.parametrize("suffix", [".tif", ".gif", ".webp"])
def test_a_single_page_is_the_same_as_in_all_pages(suffix: str, rng: np.random.Generator) -> None:
    samples = rng.integers(0, 256, (48, 20, 3)).astype(np.uint8)
    data = image_io.encode(from_samples(samples, {"page-height": 16}), suffix)
    whole, page = read(data), read(data, page=2, max_pixels=16 * 20)
    np.testing.assert_array_equal(page.pixels, whole.pixels[16:32])
    assert page.header.pages == 1
    for missing in (0, 4):
        with pytest.raises(UnnoiseError, match=f"page {missing} does not exist: the file has 3"):
            read(data, page=missing)
    with pytest.raises(image_io.TooLargeError, match="over the limit of 2") as caught:
        read(data, max_pages=2)
    assert caught.value.fact == "3 pages or frames, over the limit of 2"


def test_errors_distinguish_too_large_and_unknown_files() -> None:
    data = image_io.encode(image_io.from_array(np.zeros((8, 9), np.uint8)), ".png")
    with pytest.raises(image_io.TooLargeError, match="9 x 8 pixels, over the limit of 71"):
        read(data, max_pixels=71)
    for other in (b"", b"no picture"):
        with pytest.raises(image_io.UnknownKindError):
            read(other)
