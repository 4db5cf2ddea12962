"""Animated PNG: frames, timing and chunks, against composition by hand and Pillow."""

from __future__ import annotations

import io
import logging
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.io.test_fidelity import Identity
from unnoise import io as image_io
from unnoise.cli.main import main
from unnoise.datasets.base import count_pages
from unnoise.errors import UnnoiseError
from unnoise.io.reader import RowReader, TooLargeError
from unnoise.pipeline import process, streaming
from unnoise.pipeline.jobs import Job

H, W = 24, 30
KINDS = {"gray": (0, 1), "RGB": (2, 3), "palette": (3, 1), "gray and alpha": (4, 2), "RGBA": (6, 4)}
PALETTE = np.random.default_rng(1).integers(0, 256, (256, 3), dtype=np.uint8)
NONE, BACKGROUND, PREVIOUS = range(3)
OVER = 1
CARRIED = [(b"gAMA", struct.pack(">I", 45455)), (b"cHRM", bytes(range(32))), (b"cICP", bytes([1, 13, 0, 1])),
           (b"pHYs", struct.pack(">IIB", 3000, 2000, 1)), (b"tIME", bytes([7, 230, 1, 2, 3, 4, 5])),
           (b"tEXt", b"Title\0Waves")]  # fmt: skip

Chunks = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Frame:
    """A frame of a test file: `[H, W, samples of the color type]`, and what its chunk fcTL says."""

    pixels: np.ndarray
    left: int = 0
    top: int = 0
    delay: tuple[int, int] = (1, 10)
    disposal: int = NONE
    blending: int = 0


def pixels(kind: str, seed: int, size: tuple[int, int] = (H, W), dtype: str = "uint8") -> np.ndarray:
    """Return random samples; half of alpha is 0 or opaque."""
    rng, top = np.random.default_rng(seed), np.iinfo(dtype).max
    made = rng.integers(0, top, (*size, KINDS[kind][1]), dtype=dtype, endpoint=True)
    if KINDS[kind][0] in (4, 6):
        made[..., -1] = np.where(rng.random(size) < 0.5, made[..., -1], rng.choice([0, top], size))
    return made


def compressed(samples: np.ndarray) -> bytes:
    rows = samples.astype(samples.dtype.newbyteorder(">")).reshape(len(samples), -1)
    return zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))


def png(chunks: Chunks) -> bytes:
    def made(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    return b"\x89PNG\r\n\x1a\n" + b"".join(made(*chunk) for chunk in chunks)


def chunks_of(data: bytes) -> Chunks:
    place, found = 8, []
    while place < len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        found.append((name, data[place + 8 : place + 8 + length]))
        place += 12 + length
    return found


def animation(kind: str, frames: list[Frame], *, plays: int = 3, default: np.ndarray | None = None) -> Chunks:
    """Return the chunks of an animated PNG, with those of `CARRIED`."""
    depth = 8 * frames[0].pixels.itemsize
    made = [(b"IHDR", struct.pack(">IIBBBBB", W, H, depth, KINDS[kind][0], 0, 0, 0)), *CARRIED]
    if kind == "palette":
        made.append((b"PLTE", PALETTE.tobytes()))
    made.append((b"acTL", struct.pack(">II", len(frames), plays)))
    if default is not None:
        made.append((b"IDAT", compressed(default)))
    number = 0
    for index, one in enumerate(frames):
        size, place = one.pixels.shape[1::-1], (one.left, one.top)
        made.append((b"fcTL", struct.pack(">5I2H2B", number, *size, *place, *one.delay, one.disposal, one.blending)))
        number += 1
        data = compressed(one.pixels)
        if index == 0 and default is None:
            made += [(b"IDAT", data[:100]), (b"IDAT", data[100:])]
            continue
        for part in (data[:50], data[50:]):
            made.append((b"fdAT", struct.pack(">I", number) + part))
            number += 1
    return [*made, (b"IEND", b"")]


def family(kind: str, *, hidden: bool = False, dtype: str = "uint8") -> list[Frame]:
    """Return frames with offsets, and with all ways of disposal and blending."""
    small = (9, 11)
    first = Frame(pixels(kind, 1, small if hidden else (H, W), dtype), delay=(1, 3))
    return [
        first,
        Frame(pixels(kind, 2, small, dtype), 5, 3, (0, 7), BACKGROUND, OVER),
        Frame(pixels(kind, 3, small, dtype), 8, 6, (2, 0), PREVIOUS, OVER),
        Frame(pixels(kind, 4, small, dtype), 8, 9, (65535, 65535), PREVIOUS),
        Frame(pixels(kind, 5, (15, 20), dtype), 4, 2, (3, 100), NONE, OVER),
    ]


def expected(kind: str, frames: list[Frame]) -> np.ndarray:
    """Composite frames pixel by pixel in RGBA of [0, 1], `[N, H, W, 4]`, as the specification says."""
    canvas, shown = np.zeros((H, W, 4)), []
    for number, one in enumerate(frames):
        new = rgba(kind, one.pixels)
        area = np.s_[one.top : one.top + new.shape[0], one.left : one.left + new.shape[1]]
        before = canvas.copy()
        if one.blending == OVER:
            alpha, below = new[..., 3:], canvas[area]
            rest = below[..., 3:] * (1 - alpha)
            both = alpha + rest
            color = (new[..., :3] * alpha + below[..., :3] * rest) / np.where(both > 0, both, 1)
            new = np.concatenate([np.where(both > 0, color, below[..., :3]), both], axis=2)
        canvas[area] = new
        shown.append(canvas.copy())
        if one.disposal == BACKGROUND or (one.disposal == PREVIOUS and number == 0):
            canvas[area] = 0
        elif one.disposal == PREVIOUS:
            canvas = before
    return np.stack(shown)


def rgba(kind: str, samples: np.ndarray) -> np.ndarray:
    """Return samples of a kind as RGBA in [0, 1]."""
    if kind == "palette":
        samples = PALETTE[samples[..., 0]]
    values = samples / np.iinfo(samples.dtype).max
    bands = values.shape[2]
    color = values[..., :3] if bands >= 3 else np.repeat(values[..., :1], 3, axis=2)
    alpha = values[..., -1:] if bands in (2, 4) else np.ones_like(values[..., :1])
    return np.concatenate([color, alpha], axis=2)


def as_rgba(stack: np.ndarray) -> np.ndarray:
    return np.stack([rgba("", page) for page in stack.reshape(*stack.shape[:3], -1)])


def by_pillow(data: bytes) -> np.ndarray:
    """Return all images of a file as RGBA in [0, 1]; a default image first."""
    image, found = Image.open(io.BytesIO(data)), []
    for number in range(image.n_frames):
        image.seek(number)
        found.append(np.asarray(image.convert("RGBA")) / 255)
    return np.stack(found)


def delays(data: bytes) -> list[tuple[int, int]]:
    return [struct.unpack_from(">HH", body, 20) for name, body in chunks_of(data) if name == b"fcTL"]


Clean = Callable[..., Path]


@pytest.fixture
def clean(tmp_path: Path) -> Clean:
    """Return a function that denoises a file by a denoiser that changes nothing, so that it is encoded again."""

    def run(data: bytes, suffix: str = ".png", source: str = ".png") -> Path:
        path, target = tmp_path / f"in{source}", tmp_path / f"out{suffix}"
        path.write_bytes(data)
        process.denoise_file(Job(path, target), process.DenoiseOptions(Identity(), overwrite=True))
        return target

    return run


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_frames_are_composited_and_written_with_their_timing(kind: str, hidden: bool, clean: Clean) -> None:
    frames, default = family(kind, hidden=hidden), pixels(kind, 9) if hidden else None
    data = png(animation(kind, frames, default=default))
    wanted = expected(kind, frames)
    picture = image_io.read(data)
    assert np.abs(as_rgba(picture.to_array()) - wanted).max() <= 0.51 / 255
    made = clean(data).read_bytes()
    found, image = by_pillow(made), Image.open(io.BytesIO(made))
    if default is not None:
        np.testing.assert_array_equal(found[0], rgba(kind, default))
        found = found[1:]
    assert np.abs(found - wanted).max() <= 0.51 / 255
    assert image.info["loop"] == 3 and bool(image.info.get("default_image")) == hidden
    assert delays(made) == [(1, 3), (0, 7), (2, 100), (65535, 65535), (3, 100)]
    assert [chunk for chunk in chunks_of(made) if chunk in CARRIED] == CARRIED


def test_pillow_reads_the_same_frames() -> None:
    for kind in ("gray", "RGB", "palette", "RGBA"):  # Pillow blends partial alpha in another way
        frames = [replace(one, disposal=NONE, blending=0) for one in family(kind)]
        data = png(animation(kind, frames))
        np.testing.assert_array_equal(as_rgba(image_io.read(data).to_array()), by_pillow(data), kind)


def test_files_of_pillow_are_read(clean: Clean) -> None:
    images = [Image.fromarray(rgba("RGBA", pixels("RGBA", seed)).astype("u1") * 255) for seed in range(3)]
    for default in (False, True):
        file = io.BytesIO()
        times = {"duration": [40, 50, 60][default:], "loop": 5, "default_image": default, "disposal": 0, "blend": 0}
        images[0].save(file, "PNG", save_all=True, append_images=images[1:], **times)
        made = clean(file.getvalue()).read_bytes()
        np.testing.assert_array_equal(by_pillow(made), by_pillow(file.getvalue()))
        assert [1000 * one / two for one, two in delays(made)] == times["duration"]


@pytest.mark.parametrize("kind", ["gray", "RGB", "RGBA"])
def test_16_bits_are_kept(kind: str, clean: Clean) -> None:
    frames = family(kind, dtype="uint16")
    made = image_io.read(clean(png(animation(kind, frames))).read_bytes()).to_array()
    assert made.dtype == np.uint16
    assert np.abs(as_rgba(made) - expected(kind, frames)).max() <= 0.51 / 65535


def test_transparent_colors_are_transparency() -> None:
    frames = [Frame(pixels("gray", 1)), Frame(np.full((5, 5, 1), 7, np.uint8), 2, 2, blending=OVER)]
    chunks = animation("gray", frames)
    chunks.insert(1, (b"tRNS", struct.pack(">H", 7)))
    pages = image_io.read(png(chunks)).to_array()
    np.testing.assert_array_equal(pages[1], pages[0])


def test_alpha_is_only_added_where_the_canvas_is_transparent(clean: Clean) -> None:
    frames = [Frame(pixels("RGB", seed)) for seed in range(3)]
    assert image_io.read(png(animation("RGB", frames))).to_array().shape == (3, H, W, 3)
    cleared = [replace(frames[0], disposal=BACKGROUND), replace(frames[1], pixels=pixels("RGB", 5, (4, 4)))]
    chunks = animation("RGB", cleared)
    chunks.insert(1, (b"sBIT", bytes([5, 6, 5])))
    made = clean(png(chunks))
    assert image_io.read(made).to_array().shape == (2, H, W, 4)
    assert dict(chunks_of(made.read_bytes()))[b"sBIT"] == bytes([5, 6, 5, 8])


@pytest.mark.parametrize("suffix", [".webp", ".gif"])
def test_other_animations_from_and_to_png(suffix: str, clean: Clean, tmp_path: Path) -> None:
    smooth = [np.full((H, W, 3), 60 * number + 20, np.uint8) for number in range(3)]
    file = io.BytesIO()
    images = [Image.fromarray(one) for one in smooth]
    options = {"lossless": True} if suffix == ".webp" else {}
    images[0].save(file, suffix[1:], save_all=True, append_images=images[1:], duration=[50, 70, 90], loop=2, **options)
    made = clean(file.getvalue(), source=suffix).read_bytes()
    loop = image_io.read(file.getvalue()).metadata["loop"]
    assert [1000 * one // two for one, two in delays(made)] == [50, 70, 90]
    assert struct.unpack(">II", dict(chunks_of(made))[b"acTL"]) == (3, loop)
    assert np.abs(by_pillow(made)[..., :3] * 255 - np.stack(smooth)).max() <= 4
    back = clean(made, suffix)
    assert (kept := image_io.read(back)).metadata["durations"] == [50, 70, 90]
    assert kept.metadata["loop"] == loop


def test_long_delays_are_kept(clean: Clean) -> None:
    images = [Image.fromarray(np.full((H, W, 3), 60 * number, np.uint8)) for number in range(2)]
    file = io.BytesIO()
    images[0].save(file, "WEBP", save_all=True, append_images=images[1:], duration=[65_536, 10_000_000])
    made = clean(file.getvalue(), source=".webp").read_bytes()
    assert [one / two for one, two in delays(made)] == [pytest.approx(65.54, abs=0.01), 10_000]


def test_pages_without_times_are_no_animation(clean: Clean) -> None:
    images = [Image.fromarray(pixels("RGB", seed)) for seed in range(2)]
    file = io.BytesIO()
    images[0].save(file, "TIFF", save_all=True, append_images=images[1:])
    with pytest.raises(UnnoiseError, match=r"PNG cannot hold 2 pages or frames: write \.tif or \.webp"):
        clean(file.getvalue(), source=".tif")


def test_the_default_image_is_named(clean: Clean, caplog: pytest.LogCaptureFixture) -> None:
    data = png(animation("RGB", [Frame(pixels("RGB", seed)) for seed in (1, 2)], default=pixels("RGB", 3)))
    with caplog.at_level(logging.WARNING, "unnoise"):
        clean(data)
        assert "not denoised, but carried as they are: the image that is shown instead" in caplog.text
        caplog.clear()
        clean(data, ".webp")
        assert "WebP cannot store" in caplog.text and "the image that is shown instead" in caplog.text


def test_large_animations(clean: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = family("RGBA", hidden=True)
    data = png(animation("RGBA", frames, default=pixels("RGBA", 9)))
    whole = clean(data).read_bytes()
    monkeypatch.setattr(streaming, "STREAMING_PIXELS", 100)
    assert clean(data).read_bytes() == whole


def test_one_frame_and_one_of_several(clean: Clean) -> None:
    one = png(animation("RGB", [Frame(pixels("RGB", 1))], default=pixels("RGB", 2)))
    names = [name for name, _ in chunks_of(clean(one).read_bytes())]
    assert {b"acTL", b"fcTL", b"fdAT", b"IDAT"} <= set(names)
    frames = family("RGB")
    data = png(animation("RGB", frames))
    picture = image_io.read(data, page=2)
    assert np.abs(as_rgba(picture.to_array()[None]) - expected("RGB", frames)[1]).max() == 0
    assert b"acTL" not in image_io.encode(picture, ".png")
    assert "apng" not in RowReader(data, page=2).header.metadata
    with pytest.raises(UnnoiseError, match="page 6 does not exist: the file has 5"):
        image_io.read(data, page=6)


def test_limits_count_all_frames() -> None:
    data = png(animation("RGB", family("RGB")))
    assert image_io.read(data, max_pixels=5 * H * W).header.pages == 5
    with pytest.raises(TooLargeError, match=f"{W} x {H} pixels on 5 pages, over the limit"):
        image_io.read(data, max_pixels=5 * H * W - 1)
    with pytest.raises(TooLargeError, match="5 pages or frames"):
        image_io.read(data, max_pages=4)


def test_without_noise_the_file_is_copied(tmp_path: Path) -> None:
    source, target = tmp_path / "in.png", tmp_path / "out.png"
    flat = np.full((64, 64, 3), 90, np.uint8)
    images = [Image.fromarray(flat + number) for number in range(3)]
    images[0].save(source, save_all=True, append_images=images[1:], duration=40)
    with pytest.raises(SystemExit, match=r"^0$"):
        main([str(source), "-o", str(target)])
    assert target.read_bytes() == source.read_bytes()


def test_an_animation_behind_much_metadata_is_recognized(tmp_path: Path) -> None:
    chunks = animation("RGB", family("RGB"))
    chunks.insert(1, (b"tEXt", b"Comment\0" + b"acTL " * 5000))
    (tmp_path / "a.png").write_bytes(png(chunks))
    assert RowReader(tmp_path / "a.png").header.pages == 5
    assert count_pages(tmp_path / "a.png") == 5
    still = [chunk for chunk in chunks if chunk[0] not in (b"acTL", b"fcTL", b"fdAT")]
    assert image_io.read(png(still)).header.pages == 1


def without(name: bytes, number: int) -> Callable[[Chunks], Chunks]:
    def remove(chunks: Chunks) -> Chunks:
        places = [place for place, chunk in enumerate(chunks) if chunk[0] == name]
        return [chunk for place, chunk in enumerate(chunks) if place != places[number]]

    return remove


def control(frame: int, position: int, value: int) -> Callable[[Chunks], Chunks]:
    """Return a function that changes a number of the chunk fcTL of a frame."""

    def change(chunks: Chunks) -> Chunks:
        place = [place for place, chunk in enumerate(chunks) if chunk[0] == b"fcTL"][frame]
        numbers = list(struct.unpack(">5I2H2B", chunks[place][1]))
        numbers[position] = value
        return [*chunks[:place], (b"fcTL", struct.pack(">5I2H2B", *numbers)), *chunks[place + 1 :]]

    return change


@pytest.mark.parametrize("damage", [
    without(b"fcTL", 0), without(b"fcTL", 2), without(b"fdAT", 1), without(b"IDAT", 1), without(b"IEND", 0),
    control(0, 1, 5), control(1, 1, W), control(1, 1, 0), control(1, 3, 2**31), control(2, 7, 3), control(2, 8, 2),
    control(1, 0, 7), lambda chunks: [(name, body if name != b"acTL" else bytes(8)) for name, body in chunks],
])  # fmt: skip
def test_damaged_animations_are_refused(damage: Callable[[Chunks], Chunks]) -> None:
    data = png(damage(animation("RGB", family("RGB"))))
    with pytest.raises(UnnoiseError, match=r"^the image: damaged, truncated or not supported \(.+\): try another"):
        image_io.read(data)


def test_truncated_and_changed_files_are_refused() -> None:
    data = png(animation("RGB", family("RGB")))
    for end in range(data.index(b"fcTL") + 8, len(data) - 13, 97):
        with pytest.raises(UnnoiseError):
            image_io.read(data[:end])
    place = data.rindex(b"fdAT") + 20
    with pytest.raises(UnnoiseError, match="fdAT that is damaged"):
        image_io.read(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
