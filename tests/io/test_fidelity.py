"""Every cell of the table in docs/explanation/files.md, checked with independent readers."""

from __future__ import annotations

import io
import logging
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image, ImageCms, ImageOps, ImageSequence

import unnoise
from tests.conftest import ROOT
from unnoise import api, denoisers, io as image_io
from unnoise.denoisers.base import Denoiser, Sigma
from unnoise.errors import UnnoiseError
from unnoise.pipeline import process, streaming
from unnoise.pipeline.jobs import Job

SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "TIFF": ".tif", "WebP": ".webp", "AVIF": ".avif", "GIF": ".gif"}
DROPPED = "left out"


class Identity(Denoiser):
    """Returns its input, so that the file is encoded again with the same pixels."""

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        return noisy


UNCHANGED = process.DenoiseOptions(Identity(), overwrite=True)


def waves(channels: int = 3, size: tuple[int, int] = (24, 32)) -> np.ndarray:
    """Return a smooth image in [0, 1], float64 `[H, W, C]`."""
    rows, columns = np.mgrid[: size[0], : size[1]] / 9
    return np.stack([0.5 + 0.45 * np.sin(rows * (1 + 0.3 * c) + columns - c) for c in range(channels)], axis=2)


def levels(channels: int = 3) -> np.ndarray:
    return np.rint(255 * waves(channels)).astype(np.uint8)


@dataclass
class Made:
    """A denoised file, its source, and whether dropped metadata was reported."""

    source: Path
    target: Path
    warned: bool

    def image(self) -> Image.Image:
        return Image.open(io.BytesIO(self.target.read_bytes()))

    def array(self) -> np.ndarray:
        """Return the samples as read by tifffile, or by libvips for other formats than TIFF."""
        if self.target.suffix == ".tif":
            return tifffile.imread(self.target)
        return pyvips.Image.new_from_buffer(self.target.read_bytes(), "").numpy()


Clean = Callable[[bytes, str, str], Made]


@pytest.fixture
def clean(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Clean:
    """Return a function that denoises a file: its bytes, its suffix, suffix of the output -> the output."""

    def run(data: bytes, suffix: str, target: str) -> Made:
        source, made = tmp_path / f"in{suffix}", tmp_path / f"out{target}"
        source.write_bytes(data)
        with caplog.at_level(logging.WARNING, "unnoise"):
            process.denoise_file(Job(source, made), UNCHANGED)
        return Made(source, made, "cannot store" in caplog.text)

    return run


def pillow(array: np.ndarray | Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image = array if isinstance(array, Image.Image) else Image.fromarray(array.squeeze())
    image.save(file, format, **options)
    return file.getvalue()


def tiff(array: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, array, **options)
    return file.getvalue()


def close(made: np.ndarray, expected: np.ndarray, suffix: str, full: float = 255) -> bool:
    """Tell whether samples are equal, or for lossy formats close on average."""
    most = 0 if suffix in (".png", ".tif") else 0.02
    return made.shape == expected.shape and np.abs(made / full - expected / full).mean() <= most


def eight_bits(clean: Clean, suffix: str) -> str:
    made = clean(pillow(levels(), "PNG"), ".png", suffix)
    image = made.image()
    if image.mode == "P":
        return "256 colors" if close(np.asarray(image.convert("RGB")), levels(), suffix) else "wrong"
    return "yes" if image.mode == "RGB" and close(np.asarray(image), levels(), suffix) else "wrong"


def gray(clean: Clean, suffix: str) -> str:
    made = clean(pillow(levels(1), "PNG"), ".png", suffix).image()
    if not close(np.asarray(made.convert("L")), levels(1)[..., 0], suffix):
        return "wrong"
    return "yes" if made.mode == "L" else "as RGB"


def sixteen_bits(clean: Clean, suffix: str) -> str:
    deep = np.rint(65535 * waves()).astype(np.uint16)
    made = clean(tiff(deep, photometric="rgb"), ".tif", suffix).array()
    return "yes" if made.dtype == np.uint16 and (made == deep).all() else "wrong"


def ten_and_twelve_bits(clean: Clean, suffix: str) -> str:
    for bits in (10, 12):
        full = 2**bits - 1
        image = pyvips.Image.new_from_array(np.rint(full * waves()).astype(np.uint16), interpretation="rgb16")
        data = (image * (65535 / full)).cast("ushort").heifsave_buffer(compression="av1", bitdepth=bits, Q=100)
        before = pyvips.Image.new_from_buffer(data, "").numpy()
        made = clean(data, ".avif", suffix).array()
        if made.dtype != np.uint16 or not close(made, before, suffix, 65535):
            return "wrong"
    return "yes"


def all_kept(clean: Clean, suffix: str, *arrays: np.ndarray) -> str:
    """Denoise gray TIFFs: "yes" if all samples are kept, "refused" if all are refused."""
    answers = set()
    for array in arrays:
        try:
            made = clean(tiff(array), ".tif", suffix).array()
            answers.add("yes" if made.dtype == array.dtype and (made == array).all() else "wrong")
        except UnnoiseError as error:
            assert f"cannot hold {array.dtype} samples: write .tif" in str(error)
            answers.add("refused")
    return answers.pop() if len(answers) == 1 else "mixed"


def signed(clean: Clean, suffix: str) -> str:
    wide = waves(1)[..., 0] - 0.4
    return all_kept(clean, suffix, np.rint(wide * 200).astype(np.int8), np.rint(wide * 5000).astype(np.int16))


def long_integers(clean: Clean, suffix: str) -> str:
    wide = waves(1)[..., 0]
    return all_kept(clean, suffix, (wide * 1e7).astype(np.uint32), (wide * 2e7 - 1e7).astype(np.int32))


def floats(clean: Clean, suffix: str) -> str:
    wide = waves(1)[..., 0].astype(np.float32)
    return all_kept(clean, suffix, wide, wide * 3 - 1, wide * 60000, wide / 3000)


def transparency(clean: Clean, suffix: str) -> str:
    array = levels(4)
    array[..., 3] = np.where(array[..., 3] > 128, array[..., 3], 0)
    made = np.asarray(clean(pillow(array, "PNG"), ".png", suffix).image().convert("RGBA"))
    if (made[..., 3] == array[..., 3]).all():
        return "yes"
    return "on or off" if ((made[..., 3] == 255) == (array[..., 3] >= 128)).all() else "wrong"


def data_channels(clean: Clean, suffix: str) -> str:
    array = levels(5)
    made = clean(tiff(array, photometric="minisblack", planarconfig="contig"), ".tif", suffix).array()
    return "yes" if np.array_equal(made, array) else "wrong"


def cmyk(clean: Clean, suffix: str) -> str:
    for format, name in (("TIFF", ".tif"), ("JPEG", ".jpg")):
        data = pillow(Image.fromarray(levels(4), "CMYK"), format)
        made = clean(data, name, suffix)
        image = made.image()
        if image.mode != "CMYK" or not close(np.asarray(image), np.asarray(Image.open(io.BytesIO(data))), ".jpg"):
            return "wrong"
    return "yes"


def palettes(clean: Clean, suffix: str) -> str:
    image = Image.fromarray(levels()).quantize(16)
    made = clean(pillow(image, "PNG"), ".png", suffix).image()
    if not close(np.asarray(made.convert("RGB")), np.asarray(image.convert("RGB")), suffix):
        return "wrong"
    return "256 colors" if made.mode == "P" else "as RGB"


def profile(space: bytes, name: str, connection: bytes = b"XYZ ") -> bytes:
    """Return the header of an ICC profile for a color space, with its description as the only tag."""
    tag = b"desc" + struct.pack(">II", 144, 12 + len(name))
    body = b"desc\0\0\0\0" + struct.pack(">I", len(name)) + name.encode()
    size = 128 + 4 + len(tag) + len(body)
    head = struct.pack(">I4xI4s4s4s", size, 0x02100000, b"prtr" if space == b"CMYK" else b"mntr", space, connection)
    return head.ljust(36, b"\0") + b"acsp".ljust(92, b"\0") + struct.pack(">I", 1) + tag + body


def keeps_profiles(clean: Clean, suffix: str, mode: str, profiles: list[bytes]) -> str:
    for icc in profiles:
        image = Image.fromarray(levels(len(mode)).squeeze(), mode)
        made = clean(pillow(image, "TIFF", icc_profile=icc), ".tif", suffix)
        if made.image().info.get("icc_profile") != icc:
            return DROPPED if made.warned else "lost"
    return "yes"


def rgb_profiles(clean: Clean, suffix: str) -> str:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    wide = [profile(b"RGB ", name) for name in ("Display P3", "Adobe RGB (1998)")]
    return keeps_profiles(clean, suffix, "RGB", [srgb, *wide])


def cmyk_profiles(clean: Clean, suffix: str) -> str:
    return keeps_profiles(clean, suffix, "CMYK", [profile(b"CMYK", "Coated", b"Lab ")])


def gray_profiles(clean: Clean, suffix: str) -> str:
    return keeps_profiles(clean, suffix, "L", [profile(b"GRAY", "Gamma 2.2")])


def exif(clean: Clean, suffix: str) -> str:
    tags = Image.Exif()
    tags[0x010F], tags.get_ifd(0x8769)[0x9003] = "A maker", "2020:01:02 03:04:05"
    made = clean(pillow(levels(), "JPEG", exif=tags), ".jpg", suffix)
    found = made.image().getexif()
    if found.get(0x010F) == "A maker" and found.get_ifd(0x8769).get(0x9003) == "2020:01:02 03:04:05":
        return "yes"
    return DROPPED if made.warned else "lost"


def orientation(clean: Clean, suffix: str) -> str:
    for turned in range(1, 9):
        tags = Image.Exif()
        tags[0x0112] = turned
        data = pillow(levels(), "JPEG", exif=tags, quality=100, subsampling=0)
        made = clean(data, ".jpg", suffix)
        expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
        found = made.image()
        if found.getexif().get(0x0112, 1) != 1 or not close(np.asarray(found.convert("RGB")), expected, ".jpg"):
            return "wrong"
    return "applied"


def xmp(clean: Clean, suffix: str) -> str:
    packet = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF/></x:xmpmeta>'
    made = clean(pillow(levels(), "WebP", xmp=packet), ".webp", suffix)
    image = pyvips.Image.new_from_buffer(made.target.read_bytes(), "")
    if image.get_typeof("xmp-data") and packet in image.get("xmp-data"):
        return "yes"
    return DROPPED if made.warned else "lost"


def resolution(clean: Clean, suffix: str) -> str:
    made = clean(pillow(levels(), "PNG", dpi=(300, 300)), ".png", suffix)
    found = made.image()
    if abs(found.info.get("dpi", (0, 0))[0] - 300) < 1:
        return "yes"
    return "as EXIF" if abs(float(found.getexif().get(0x011A, 0)) - 300) < 1 else "no"


def frames() -> list[np.ndarray]:
    return [np.roll(levels(), 5 * number, axis=1) for number in range(3)]


def pages(clean: Clean, suffix: str) -> str:
    images = [Image.fromarray(frame) for frame in frames()]
    made = clean(pillow(images[0], "TIFF", save_all=True, append_images=images[1:]), ".tif", suffix).image()
    found = [np.asarray(page.convert("RGB")) for page in ImageSequence.Iterator(made)]
    return "yes" if all(close(*two, suffix) for two in zip(found, frames(), strict=True)) else "wrong"


def times(clean: Clean, suffix: str) -> str:
    images = [Image.fromarray(frame) for frame in frames()]
    animated = {"save_all": True, "append_images": images[1:], "duration": [50, 70, 90], "loop": 2, "lossless": True}
    made = clean(pillow(images[0], "WebP", **animated), ".webp", suffix)
    if suffix == ".png":  # of which libvips reads the first frame
        opened = made.image()
        delays = [frame.info["duration"] for frame in ImageSequence.Iterator(opened)]
        return "yes" if [delays, opened.info["loop"]] == [[50, 70, 90], 2] else "no"
    image = pyvips.Image.new_from_buffer(made.target.read_bytes(), "", n=-1)
    found = [image.get(field) for field in ("delay", "loop") if image.get_typeof(field)]
    return "yes" if found == [[50, 70, 90], 2] else "no"


def description(clean: Clean, suffix: str) -> str:
    for kind in ({"imagej": True}, {"ome": True}):
        data = tiff(levels(1)[..., 0], **kind)
        made = clean(data, ".tif", suffix)
        if suffix != ".tif":
            return "no"
        with tifffile.TiffFile(made.target) as output, tifffile.TiffFile(made.source) as source:
            if output.pages.first.description != source.pages.first.description:
                return "lost"
    return "yes"


CHECKS: dict[str, Callable[[Clean, str], str]] = {
    "8 bits, RGB": eight_bits,
    "8 bits, gray": gray,
    "16 bits": sixteen_bits,
    "10 and 12 bits": ten_and_twelve_bits,
    "8 and 16 bits, signed": signed,
    "32-bit integers": long_integers,
    "32-bit floats": floats,
    "transparency": transparency,
    "channels that are no color": data_channels,
    "CMYK": cmyk,
    "palettes": palettes,
    "color profile: sRGB, Display P3, Adobe RGB": rgb_profiles,
    "color profile of CMYK": cmyk_profiles,
    "color profile of gray": gray_profiles,
    "EXIF": exif,
    "EXIF orientation 1 to 8": orientation,
    "XMP": xmp,
    "resolution": resolution,
    "pages without timing": pages,
    "animation timing": times,
    "ImageJ and OME description": description,
}


def documented() -> list[tuple[str, str, str]]:
    """Return the cells of the table: property, file format, answer."""
    text = (ROOT / "docs" / "explanation" / "files.md").read_text(encoding="utf-8").partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    (_, *kinds), _, *body = rows
    return [(what, kind, answer) for what, *answers in body for kind, answer in zip(kinds, answers, strict=True)]


def test_the_table_has_a_check_for_every_row() -> None:
    assert {what for what, _, _ in documented()} == CHECKS.keys()
    assert {kind for _, kind, _ in documented()} == SUFFIXES.keys()


@pytest.mark.parametrize(("what", "kind", "answer"), documented(), ids=lambda word: word.replace(" ", "_"))
def test_files_keep_what_the_docs_say(what: str, kind: str, answer: str, clean: Clean, tmp_path: Path) -> None:
    try:
        result = CHECKS[what](clean, SUFFIXES[kind])
    except UnnoiseError as error:
        assert f"{kind} cannot hold" in str(error) and "write ." in str(error)
        result = "refused"
    assert result == answer
    assert (tmp_path / f"out{SUFFIXES[kind]}").exists() <= (answer != "refused")


def test_pages_are_denoised_one_by_one(tmp_path: Path, rng: np.random.Generator) -> None:
    pages = np.clip(255 * waves(1)[None] + rng.normal(0, 20, (3, 24, 32, 1)), 0, 255).astype(np.uint8)
    (tmp_path / "in.tif").write_bytes(tiff(pages[..., 0], photometric="minisblack"))
    options = process.DenoiseOptions(denoisers.make("median"))
    process.denoise_file(Job(tmp_path / "in.tif", tmp_path / "out.tif"), options)
    made = tifffile.imread(tmp_path / "out.tif")
    for page, found in zip(pages, made, strict=True):
        alone = process.denoise_picture(image_io.from_array(page), options).picture
        np.testing.assert_array_equal(found, alone.to_array()[..., 0])


def test_pages_are_read_as_a_stack(tmp_path: Path) -> None:
    stack = np.stack(frames())
    (tmp_path / "in.tif").write_bytes(tiff(stack, photometric="rgb"))
    np.testing.assert_array_equal(image_io.read(tmp_path / "in.tif").to_array(), stack)


@pytest.mark.parametrize("dtype", ["uint16", "float32", "uint32", "int16"])
def test_twelve_bits_are_not_black(dtype: str, tmp_path: Path, rng: np.random.Generator) -> None:
    # Compared with the same image in 8 bits, which has the same noise.
    truth = 0.3 + 0.4 * waves(1, (128, 128))[..., 0]  # where hardly any noise is clipped
    noisy = np.clip(truth + rng.normal(0, 25 / 255, truth.shape), 0, 1)
    errors = []
    for name, array in (("deep", (4095 * noisy).astype(dtype)), ("flat", np.rint(255 * noisy).astype(np.uint8))):
        (tmp_path / f"{name}.tif").write_bytes(tiff(array))
        result = process.denoise_file(
            Job(tmp_path / f"{name}.tif", tmp_path / f"{name}.clean.tif"),
            process.DenoiseOptions(denoisers.make("gray")),
        )
        made = tifffile.imread(tmp_path / f"{name}.clean.tif")
        errors.append(np.sqrt(np.square(made / (255 if name == "flat" else 4095) - truth).mean()))
        assert result.sigma == pytest.approx(25 / 255, rel=0.1)
    assert errors[0] == pytest.approx(errors[1], rel=0.1)
    assert errors[0] < 0.3 * 25 / 255


@pytest.mark.parametrize("quality", [20, 50, 75, 90, 95, 100])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
def test_jpeg_quality_and_subsampling_are_kept(quality: int, subsampling: str, clean: Clean) -> None:
    made = clean(pillow(levels(), "JPEG", quality=quality, subsampling=subsampling), ".jpg", ".jpg")
    before, after = Image.open(io.BytesIO(made.source.read_bytes())), made.image()
    assert after.quantization[0] == before.quantization[0]
    assert after.layer[0][1:3] == before.layer[0][1:3] == ((2, 2) if subsampling == "4:2:0" else (1, 1))


def clean_jpeg() -> bytes:
    """Return a JPEG without noise, with an EXIF orientation, and with a comment."""
    tags = Image.Exif()
    tags[0x0112] = 6
    smooth = np.full((96, 128, 3), (200, 90, 40), np.uint8)
    data = pillow(smooth, "JPEG", quality=95, exif=tags, comment=b"by hand")
    assert unnoise.inspect(data).kind == "none"
    return data


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize(("sigma", "strength"), [(None, 1.0), (0.0, 1.0), (0.1, 0.0)])
def test_an_unchanged_image_is_written_as_a_copy_of_its_file(
    large: bool, sigma: float | None, strength: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if large:
        monkeypatch.setattr(streaming, "STREAMING_PIXELS", 100)
    source, target, data = tmp_path / "a.jpg", tmp_path / "b.jpeg", clean_jpeg()
    source.write_bytes(data)
    options = process.DenoiseOptions(denoisers.make("auto"), sigma, strength)
    result = process.denoise_file(Job(source, target), options)
    assert target.read_bytes() == data == process.denoise_bytes(data, options)[0]
    assert result.sigma == (sigma or 0)
    process.denoise_file(Job(source, source), replace(options, overwrite=True))
    assert source.read_bytes() == data
    for changed, suffix in ((replace(options, quality=95), ".jpg"), (options, ".png")):
        process.denoise_file(Job(source, tmp_path / f"c{suffix}"), changed)
        assert (tmp_path / f"c{suffix}").read_bytes() != data, "encoded again"
        with Image.open(tmp_path / f"c{suffix}") as made:
            assert made.format == {".jpg": "JPEG", ".png": "PNG"}[suffix]


def test_unchanged_files_are_copied_by_the_api_and_with_an_error_map(tmp_path: Path) -> None:
    source, data = tmp_path / "a.jpg", clean_jpeg()
    source.write_bytes(data)
    assert unnoise.denoise(data) == data
    assert api.denoise_with_error(data)[0] == data
    unnoise.denoise(source).save(tmp_path / "b.jpg")
    assert (tmp_path / "b.jpg").read_bytes() == data
    options = process.DenoiseOptions(denoisers.make("auto"))
    process.denoise_file(Job(source, tmp_path / "c.jpg"), options, error_map=tmp_path / "map.png")
    assert (tmp_path / "c.jpg").read_bytes() == data


def test_one_page_is_not_the_file(tmp_path: Path) -> None:
    data = tiff(np.stack([levels(), 255 - levels()]), photometric="rgb")
    page = image_io.read(data, page=2)
    np.testing.assert_array_equal(image_io.read(image_io.encode(page, ".tif")).to_array(), 255 - levels())
