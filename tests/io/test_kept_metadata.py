"""Metadata of JPEG, PNG, WebP, AVIF and GIF: carried byte for byte, in memory and in streams."""

from __future__ import annotations

import io
import logging
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from tests.io.metadata_files import (
    GAIN_MAP,
    IPTC,
    MAKER_NOTE,
    PHOTOSHOP,
    XMP,
    chunks,
    exif,
    jpeg,
    photograph,
    png,
    riff,
    saved,
    segments,
    with_second_image,
)
from unnoise import io as image_io
from unnoise.io import exif_block, formats, stream_writer

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
Again = Callable[..., bytes]


@pytest.fixture(params=["memory", "stream"])
def again(request: pytest.FixtureRequest, tmp_path: Path) -> Again:
    """Return a function that reads a file and encodes it again: its bytes, the suffix of the output -> the output."""

    def run(data: bytes, suffix: str) -> bytes:
        if request.param == "memory":
            picture = image_io.read(data)
            return image_io.encode(picture.with_pixels(picture.pixels), suffix)
        (tmp_path / "in").write_bytes(data)
        rows = image_io.RowReader(tmp_path / "in")
        strips = (rows.read_rows(top, min(top + 16, rows.header.height)) for top in range(0, rows.header.height, 16))
        stream_writer.write_stream(strips, rows.header, tmp_path / f"out{suffix}", overwrite=True)
        return (tmp_path / f"out{suffix}").read_bytes()

    return run


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def icc_segment() -> tuple[int, bytes]:
    return 0xE2, b"ICC_PROFILE\0\1\1" + SRGB


# JPEG

JFIF = (0xE0, b"JFIF\0\1\1\1" + struct.pack(">HHBB", 600, 300, 0, 0))
ALL_SEGMENTS = [
    JFIF, (0xE1, exif()), (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP), icc_segment(), (0xED, PHOTOSHOP),
    (0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(40) + b"more"), (0xEC, b"Ducky" + bytes(9)),
    (0xE4, b"of a maker\0\1\2\3"), (0xFE, b"a comment, not UTF-8: \xff"), (0xFE, b"a second one"),
    (0xEE, b"Adobe" + struct.pack(">HHHB", 100, 0, 0, 1)),
]  # fmt: skip


def test_all_segments_of_a_jpeg_are_kept(again: Again) -> None:
    made = again(jpeg(ALL_SEGMENTS), ".jpg")
    assert segments(made) == ALL_SEGMENTS
    assert np.abs(np.asarray(opened(made)).astype(int) - photograph()).mean() < 3


@pytest.mark.parametrize("present", [[], [JFIF], [(0xE1, exif(orientation=None))]])
@pytest.mark.parametrize("bands", [1, 3])
def test_nothing_is_added_to_a_jpeg(present: list, bands: int, again: Again) -> None:
    image = photograph() if bands == 3 else photograph()[..., 0]
    assert segments(again(jpeg(present, image), ".jpg")) == present


def test_only_the_adobe_segment_of_the_encoder_stands_in_a_cmyk_file(again: Again) -> None:
    image = Image.fromarray(np.dstack([photograph(), photograph()[..., :1]]), "CMYK")
    data = saved(image, "JPEG", comment=b"ink", quality=95)
    made = again(data, ".jpg")
    assert [marker for marker, _ in segments(made)] == [0xEE, 0xFE] or [m for m, _ in segments(made)] == [0xFE, 0xEE]
    assert np.abs(np.asarray(opened(made)).astype(int) - np.asarray(opened(data))).mean() < 3


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", [1, 3, 6, None])
def test_of_exif_only_orientation_and_size_change(orientation: int | None, order: str) -> None:
    block = exif(order=order, orientation=orientation)
    picture = image_io.read(jpeg([(0xE1, block)]))
    ((_, made),) = segments(image_io.encode(picture.with_pixels(picture.pixels), ".jpg"))
    width, height = (48, 64) if orientation == 6 else (64, 48)
    expected = exif(order=order, orientation=None if orientation is None else 1, size=(width, height))
    if orientation == 6:  # the resolutions are exchanged, too
        one, other = struct.pack(f"{order}II", 240, 1), struct.pack(f"{order}II", 120, 1)
        expected = expected.replace(one, b"<other!>").replace(other, one).replace(b"<other!>", other)
    assert made == expected
    assert picture.pixels.shape[:2] == (height, width)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".avif"])
def test_exif_is_byte_for_byte_in_all_formats(suffix: str, again: Again) -> None:
    data = jpeg([(0xE1, exif())])
    made = again(again(data, suffix), ".jpg")
    assert (0xE1, exif()) in segments(made)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_thumbnail_is_renewed_in_place(order: str, again: Again) -> None:
    noisy = np.random.default_rng(0).integers(0, 256, (24, 32, 3)).astype(np.uint8)
    block = exif(order=order, thumbnail=saved(noisy, "JPEG", quality=90))
    for suffix in (".jpg", ".png", ".webp", ".avif"):
        made = opened(again(jpeg([(0xE1, block)]), suffix)).info["exif"]
        made = made if made.startswith(b"Exif") else b"Exif\0\0" + made
        assert len(made) == len(block) and made.endswith(b"end of the block") and MAKER_NOTE in made
        with opened(exif_block.thumbnail(made)) as thumbnail:
            assert thumbnail.size == (32, 24)
            small = photograph().reshape(24, 2, 32, 2, 3).mean(axis=(1, 3))
            assert np.abs(np.asarray(thumbnail) - small).mean() < 6


def test_a_thumbnail_that_cannot_be_renewed_is_left_out(again: Again, caplog: pytest.LogCaptureFixture) -> None:
    made = segments(again(jpeg([(0xE1, exif(thumbnail=b"\xff\xd8 no image"))]), ".jpg"))
    assert exif_block.thumbnail(made[0][1]) is None and len(made[0][1]) == len(exif(thumbnail=b"\xff\xd8 no image"))
    assert "left out: an EXIF thumbnail" in caplog.text


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".avif", ".tif"])
def test_exiftool_reads_the_same_exif(suffix: str, tmp_path: Path, again: Again) -> None:
    def tags(data: bytes) -> str:
        (tmp_path / "file").write_bytes(data)
        command = [
            "exiftool",
            "-a",
            "-G1",
            "-s",
            "-u",
            "-ExifIFD:all",
            "-GPS:all",
            "-MakerNotes:all",
            "-Make",
            "-Model",
        ]
        return subprocess.run([*command, tmp_path / "file"], capture_output=True, text=True, check=True).stdout

    data = jpeg([(0xE1, exif())])
    assert "ExposureTime" in tags(data)
    assert tags(again(data, suffix)) == tags(data)


def test_a_gain_map_is_kept_and_its_index_corrected(again: Again, caplog: pytest.LogCaptureFixture) -> None:
    data, second = with_second_image(own=[GAIN_MAP])
    made = again(data, ".jpg")
    with opened(made) as image:
        assert image.format == "MPO" and image.n_frames == 2
        image.seek(1)
        assert image.size == (24, 16)
    assert made.endswith(second) and not caplog.text
    _, index = segments(made)[1]
    assert struct.unpack_from(">I", index, 4 + 50 + 4)[0] == len(made) - len(second)


def test_previews_and_maps_that_no_longer_fit_are_left_out_and_named(caplog: pytest.LogCaptureFixture) -> None:
    for data, second in (with_second_image(kind=0x010001), with_second_image(orientation=6)):
        picture = image_io.read(data)
        made = image_io.encode(picture.with_pixels(picture.pixels), ".jpg")
        assert second not in made and [marker for marker, _ in segments(made)] == [0xE1]
    assert "left out: a preview, which an index (MPF) with previews names" in caplog.text
    assert "left out: a further picture, which would have to be rotated" in caplog.text


def test_further_pictures_are_counted_and_said_to_be_noisy(again: Again, caplog: pytest.LogCaptureFixture) -> None:
    images = [Image.fromarray(photograph()) for _ in range(3)]
    data = saved(images[0], "MPO", save_all=True, append_images=images[1:])
    made = again(data, ".jpg")
    with opened(made) as image:
        assert image.format == "MPO" and image.n_frames == 3  # type: ignore[attr-defined]
    assert "not denoised, but carried as they are: 2 further pictures" in caplog.text
    picture = image_io.read(data)
    image_io.encode(picture.with_pixels(picture.pixels), ".png")
    assert "what follows the image (2 further pictures)" in str(formats.dropped_metadata(picture.header, ".png"))
    gain_map = image_io.read(with_second_image(own=[GAIN_MAP])[0])
    assert "what follows the image (a gain map)" in str(formats.dropped_metadata(gain_map.header, ".png"))


def test_other_data_behind_a_jpeg_are_kept(again: Again) -> None:
    made = again(jpeg([JFIF], trailer=b"a video of a phone"), ".jpg")
    assert made.endswith(b"\xff\xd9a video of a phone")


def test_stale_parts_of_a_jpeg_are_left_out_and_named(again: Again, caplog: pytest.LogCaptureFixture) -> None:
    thumbnail = b"8BIM\x04\x0c\0\0" + struct.pack(">I", 4) + b"noise"[:4]
    small = (0xE0, JFIF[1][:12] + b"\1\1abc")
    made = segments(
        again(jpeg([small, (0xE0, b"JFXX\0\x10abc"), (0xEB, b"JP..jumbc2pa"), (0xED, PHOTOSHOP + thumbnail)]), ".jpg")
    )
    assert made == [JFIF, (0xED, PHOTOSHOP)]
    for name in ("a JFIF thumbnail", "content credentials (C2PA)", "a Photoshop thumbnail"):
        assert name in caplog.text


@pytest.mark.parametrize("mode", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpegs_are_encoded_like_their_source(mode: str, progressive: bool) -> None:
    table = [3 + place % 7 for place in range(64)]
    data = saved(photograph(), "JPEG", subsampling=mode, progressive=progressive, qtables=[table, table[::-1]])
    picture = image_io.read(data)
    before, after = opened(data), opened(image_io.encode(picture.with_pixels(picture.pixels), ".jpg"))
    assert after.quantization == before.quantization
    assert after.layer == before.layer
    assert after.info.get("progressive") == before.info.get("progressive")


@pytest.mark.parametrize("progressive", [False, True])
def test_noise_at_the_best_quality_is_encoded(progressive: bool, capfd: pytest.CaptureFixture) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3)).astype(np.uint8)
    table = [1] * 63 + [2]
    data = saved(photograph((200, 200)), "JPEG", qtables=[table, table], subsampling=0, progressive=progressive)
    picture = image_io.read(data).with_pixels(noise.astype(np.float32) / 255)
    made = opened(image_io.encode(picture, ".jpg"))
    assert made.quantization[0] == table and np.abs(np.asarray(made).astype(int) - noise).max() <= 6
    assert capfd.readouterr() == ("", "")


def test_streamed_jpegs_are_at_least_as_fine(again: Again) -> None:
    for mode, finest in (("4:4:4", (1, 1)), ("4:2:2", (2, 1)), ("4:2:0", (2, 2))):
        data = saved(photograph(), "JPEG", subsampling=mode, progressive=True)
        after = opened(again(data, ".jpg"))
        assert after.layer[0][1] <= finest[0] and after.layer[0][2] <= finest[1]
        assert after.info.get("progressive")
        assert after.quantization[0] == opened(data).quantization[0]


def test_rgb_jpegs_stay_rgb() -> None:
    data = saved(photograph(), "JPEG", keep_rgb=True, quality=95)
    picture = image_io.read(data)
    made = image_io.encode(picture.with_pixels(picture.pixels), ".jpg")
    assert [component[0] for component in opened(made).layer] == [ord(letter) for letter in "RGB"]
    assert np.abs(np.asarray(opened(made)).astype(int) - photograph()).mean() < 2


# PNG

TEXT = [
    (b"tEXt", b"Title\0Zo\xeb"),
    (b"zTXt", b"Long\0\0" + zlib.compress(b"text " * 99)),
    (b"tEXt", b"Comment\0hello"),
    (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP),
    (b"iTXt", b"Ort\0\1\0de\0Ort\0" + zlib.compress("Köln".encode())),
]
COLOUR = [(b"gAMA", struct.pack(">I", 100000)), (b"cHRM", struct.pack(">8I", *range(1, 9))), (b"sRGB", b"\1"),
          (b"cICP", bytes([9, 16, 0, 1])), (b"sBIT", b"\5\6\5"), (b"bKGD", struct.pack(">3H", 1, 2, 3))]  # fmt: skip
OTHERS = [(b"tIME", struct.pack(">H5B", 2001, 2, 3, 4, 5, 6)), (b"eXIf", exif()[6:]), (b"prVt", b"safe to copy")]


@pytest.mark.parametrize("unit", [0, 1])
def test_all_chunks_of_a_png_are_kept(unit: int, again: Again) -> None:
    present = [*COLOUR, (b"pHYs", struct.pack(">2IB", 3, 4, unit)), *TEXT, *OTHERS]
    made = again(png(present), ".png")
    assert chunks(made) == present
    np.testing.assert_array_equal(np.asarray(opened(made)), photograph())


def test_nothing_is_added_to_a_png(again: Again) -> None:
    assert chunks(again(png([]), ".png")) == []
    assert chunks(image_io.encode(image_io.from_array(photograph()), ".png")) == []


def test_chunks_that_depend_on_other_pixels_are_left_out_or_adapted(
    again: Again, caplog: pytest.LogCaptureFixture
) -> None:
    palette = Image.fromarray(photograph()).quantize(16)
    colors = palette.getpalette() or []
    made = chunks(
        again(png([(b"bKGD", b"\2"), (b"prVT", b"x"), (b"sBIT", b"\5\6\5")], palette, transparency=3), ".png")
    )
    assert made == [(b"bKGD", struct.pack(">3H", *colors[6:9])), (b"sBIT", b"\5\6\5\x08")]
    assert "PNG prVT, which depends on the pixels" in caplog.text
    gray = Image.fromarray(photograph()[..., 0]).convert("1")
    assert chunks(again(png([(b"bKGD", b"\0\1")], gray), ".png")) == [(b"bKGD", b"\0\xff")]


@pytest.mark.parametrize("name", [b"tEXt", b"zTXt", b"iTXt"])
@pytest.mark.parametrize("keyword", [b"Raw profile type exif", b"Raw profile type APP1"])
def test_exif_as_text_is_read_and_patched(name: bytes, keyword: bytes) -> None:
    digits = exif(orientation=6).hex()
    lines = "\n".join(digits[start : start + 72] for start in range(0, len(digits), 72))
    text = f"\nexif\n{len(digits) // 2:8}\n{lines}\n".encode()
    lead = {b"tEXt": b"\0", b"zTXt": b"\0\0", b"iTXt": b"\0\0\0\0\0"}[name]
    data = png([(name, keyword + lead + (zlib.compress(text) if name == b"zTXt" else text))])
    picture = image_io.read(data)
    assert picture.pixels.shape == (64, 48, 3)
    made = image_io.encode(picture.with_pixels(picture.pixels), ".png")
    ((_, content),) = chunks(made)
    assert content.startswith(keyword + lead)
    again = image_io.read(made)
    assert again.pixels.shape == (64, 48, 3)
    assert again.metadata["exif-data"] == picture.metadata["exif-data"]
    assert exif_block.orientation(again.metadata["exif-data"]) == 1 and MAKER_NOTE in again.metadata["exif-data"]


def test_damaged_chunks_are_left_out_and_named(caplog: pytest.LogCaptureFixture) -> None:
    data = png([(b"tEXt", b"Title\0Night")]).replace(b"Night", b"Light")
    picture = image_io.read(data)
    assert chunks(image_io.encode(picture.with_pixels(picture.pixels), ".png")) == []
    assert "left out: PNG tEXt, damaged" in caplog.text


# WebP, AVIF, GIF


def test_all_chunks_of_a_webp_are_kept(again: Again) -> None:
    data = saved(photograph(), "WebP", exif=exif(), xmp=XMP, icc_profile=SRGB)
    data += b"prVt" + struct.pack("<I", 3) + b"abc\0"
    data = data[:4] + struct.pack("<I", len(data) - 8) + data[8:]
    made = riff(again(data, ".webp"))
    kept = [each for each in made if not each[0].startswith(b"VP8")]
    assert kept == [(b"ICCP", SRGB), (b"EXIF", exif()[6:]), (b"XMP ", XMP), (b"prVt", b"abc")]
    assert made[0][0] == b"VP8X" and made[0][1][0] == 0x2C


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("lossless", [False, True])
def test_nothing_is_added_to_a_webp(alpha: bool, lossless: bool, again: Again) -> None:
    image = np.dstack([photograph(), photograph()[..., :1]]) if alpha else photograph()
    data = saved(image, "WebP", lossless=lossless)
    for bare in (b"", exif()[6:]):
        given = saved(image, "WebP", lossless=lossless, exif=bare) if bare else data
        made = again(given, ".webp")
        assert (b"VP8L" in dict(riff(made))) == lossless
        assert opened(made).size == (64, 48) and opened(made).mode == ("RGBA" if alpha else "RGB")
        found = [each for each in riff(made) if each[0] not in (b"VP8X", b"VP8 ", b"VP8L", b"ALPH")]
        assert found == ([(b"EXIF", bare)] if bare else [])


@pytest.mark.parametrize("suffix", [".webp", ".gif"])
@pytest.mark.parametrize("durations", [[0, 70, 60], [50, 0, 10]])
def test_the_timing_of_animations_is_kept(suffix: str, durations: list[int], again: Again) -> None:
    frames = [Image.fromarray(np.roll(photograph(), 9 * number, axis=1)) for number in range(3)]
    options = {"lossless": True} if suffix == ".webp" else {}
    data = saved(frames[0], suffix[1:], save_all=True, append_images=frames[1:], duration=durations, loop=2, **options)

    def timing(data: bytes) -> list[int]:
        if suffix == ".webp":
            return [int.from_bytes(body[12:15], "little") for name, body in riff(data) if name == b"ANMF"]
        with opened(data) as image:
            found = []
            for frame in range(image.n_frames):
                image.seek(frame)
                found.append(image.info.get("duration", 0))
            return found

    assert timing(data) == durations
    assert timing(again(data, suffix)) == durations


@pytest.mark.parametrize("durations", [[0, 70, 60, 50], [5, 0, 0, 8], [100, 20, 0, 300]])
def test_equal_frames_keep_their_time(durations: list[int]) -> None:
    frames = [Image.fromarray(np.roll(photograph(), 9 * number, axis=1)) for number in range(4)]
    times = {"save_all": True, "append_images": frames[1:], "duration": durations}
    picture = image_io.read(saved(frames[0], "WebP", lossless=True, **times))
    pixels = picture.pixels.copy()
    pixels[48:96] = pixels[:48]
    made = riff(image_io.encode(picture.with_pixels(pixels), ".webp"))
    found = [int.from_bytes(body[12:15], "little") for name, body in made if name == b"ANMF"]
    assert found == [durations[0] + durations[1], *durations[2:]]


def test_color_and_exif_of_an_avif_are_kept(again: Again) -> None:
    image = pyvips.Image.new_from_array(photograph())
    plain = image_io.encode(image_io.from_array(photograph()), ".avif")
    assert "exif" not in opened(plain).info
    data = saved(photograph(), "AVIF", exif=exif(), xmp=XMP, icc_profile=SRGB)
    made = opened(again(data, ".avif"))
    assert made.info["exif"] == opened(data).info["exif"].removeprefix(b"Exif\0\0")
    assert made.info["xmp"] == XMP and made.info["icc_profile"] == SRGB
    assert np.abs(np.asarray(made).astype(int) - image.numpy()).mean() < 3
    wide = saved(photograph(), "AVIF").replace(b"nclx\0\1\0\r", b"nclx\0\x09\0\x10")
    assert b"nclx\0\x09\0\x10\0\x06\x80" in again(wide, ".avif")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_a_streamed_avif_is_in_its_properties(orientation: int, tmp_path: Path) -> None:
    (tmp_path / "in.jpg").write_bytes(jpeg([(0xE1, exif(orientation=orientation))], quality=95))
    rows = image_io.RowReader(tmp_path / "in.jpg")
    stream_writer.write_stream([rows.read_rows(0, 48)], rows.header, tmp_path / "out.avif")
    upright = image_io.read(tmp_path / "in.jpg").to_array()
    made = image_io.read(tmp_path / "out.avif")
    assert exif_block.orientation(made.metadata["exif-data"]) == 1
    assert made.to_array().shape == upright.shape
    assert np.abs(made.to_array().astype(int) - upright).mean() < 3


def test_extensions_of_a_gif_are_kept(again: Again) -> None:
    data = saved(Image.fromarray(photograph()).quantize(16), "GIF", comment=b"by hand" * 50)
    extra = b"\x21\xff\x0bXMP DataXMP" + b"\x03abc\0" + b"\x21\xff\x0bOTHERAPP1.0\x02xy\0"
    made = again(data[:-1] + extra + b";", ".gif")
    assert extra in made and opened(made).info["comment"] == b"by hand" * 50
    assert opened(made).convert("RGB").size == (64, 48)
    assert image_io.read(made).metadata["comment"] == b"by hand" * 50


# From one format to another


def test_what_another_format_holds_is_carried_and_the_rest_is_named() -> None:
    source = image_io.read(jpeg(ALL_SEGMENTS)).header
    assert formats.dropped_metadata(source, ".png") == (
        "PNG cannot store extended XMP, JPEG APP12, JPEG APP4: it is dropped"
    )
    dropped = formats.dropped_metadata(source, ".webp") or ""
    assert "IPTC" in dropped and "a comment" in dropped and "EXIF" not in dropped
    assert "gAMA" in (formats.dropped_metadata(image_io.read(png(COLOUR)).header, ".tif") or "")
    assert (
        formats.dropped_metadata(image_io.read(png([(b"pHYs", struct.pack(">2IB", 3, 4, 1))])).header, ".jpg") is None
    )
    assert formats.dropped_metadata(image_io.read(png([])).header, ".jpg") is None


def test_iptc_and_comments_are_carried_between_jpeg_and_png(again: Again) -> None:
    between = again(jpeg([(0xED, PHOTOSHOP), (0xFE, b"a comment")]), ".png")
    assert opened(between).info["Comment"] == "a comment"
    made = again(between, ".jpg")
    assert (0xED, PHOTOSHOP) in segments(made) and (0xFE, b"a comment") in segments(made)
    assert IPTC in PHOTOSHOP


def test_exif_that_is_too_long_for_a_jpeg_is_named(caplog: pytest.LogCaptureFixture) -> None:
    block = exif()[6:] + bytes(70_000)
    picture = image_io.read(png([(b"eXIf", block)]))
    assert "EXIF" in (formats.dropped_metadata(picture.header, ".jpg") or "")
    assert segments(image_io.encode(picture, ".jpg"))[0][0] == 0xE0
    assert chunks(image_io.encode(picture.with_pixels(picture.pixels), ".png")) == [(b"eXIf", block)]


def test_text_of_pillow_is_read_back(again: Again) -> None:
    text = PngInfo()
    text.add_text("Title", "Night")
    text.add_itxt("Ort", "Köln", zip=True)
    assert opened(again(saved(photograph(), "PNG", pnginfo=text), ".png")).text == {"Title": "Night", "Ort": "Köln"}


def test_damaged_metadata_do_not_stop_the_work(rng: np.random.Generator, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    whole = exif(thumbnail=saved(photograph((24, 32)), "JPEG"))
    for _ in range(100):
        block = bytearray(whole)
        for place in rng.integers(6, len(block), 8):
            block[place] = rng.integers(256)
        for data, suffix in ((jpeg([(0xE1, bytes(block))]), ".jpg"), (png([(b"eXIf", bytes(block[6:]))]), ".png")):
            picture = image_io.read(data)
            assert image_io.encode(picture.with_pixels(picture.pixels), suffix)
