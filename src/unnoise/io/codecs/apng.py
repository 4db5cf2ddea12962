"""Animated PNG (W3C Portable Network Graphics, third edition, section 4.9 and chapter 11.3.6).

Each frame is decoded by libvips as a PNG of its own and composited here, with 8 or 16 bits. Frames are written as
whole canvases without disposal or blending, which shows the same.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import IO, Any, NamedTuple

import numpy as np
import pyvips

from unnoise.io import containers
from unnoise.io.codecs import Opened
from unnoise.io.containers.blocks import Blocks
from unnoise.io.containers.png import SIGNATURE, packed
from unnoise.io.formats import SAMPLES, Header
from unnoise.io.layout import UNASSOCIATED, Layout

FIELD = "apng"
"""Name of the `Animation` in the metadata of an image."""

_BACKGROUND, _PREVIOUS = 1, 2  # ways of disposal
_OVER = 1  # way of blending
_OTHER_DELAY = 100  # denominator that stands for 0
_MAX_DELAY = 2**16 - 1
_BASES = {0: 1, 2: 3, 3: 3, 4: 1, 6: 3}  # color type -> samples without alpha
_WITH_ALPHA = (4, 6)
_CONTROL = struct.Struct(">IIIIIHHBB")  # of the chunk fcTL

Delay = tuple[int, int]  # numerator and denominator, seconds


@dataclass(frozen=True)
class Animation:
    """What an animated PNG says of its frames.

    Attributes:
        plays: how often they are shown; 0 for endlessly.
        delays: of each frame.
        default: a PNG of the image that is shown instead of the animation and is no frame of it; None if there is none.
    """

    plays: int
    delays: tuple[Delay, ...]
    default: bytes | None = None


class _Frame(NamedTuple):
    """A frame: its place on the canvas, how it is shown, and where its compressed pixels are: position, length."""

    width: int
    height: int
    left: int
    top: int
    delay: Delay
    disposal: int
    blending: int
    parts: list[tuple[int, int]]

    def covers(self, height: int, width: int) -> bool:
        """Tell whether the frame has the size of the canvas."""
        return (self.height, self.width) == (height, width)


@dataclass(frozen=True)
class _File:
    """The structure of a file: header, palette and transparency, number of plays, frames, and the default image."""

    head: bytes
    colors: bytes
    plays: int
    frames: list[_Frame]
    default: list[tuple[int, int]]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the canvas."""
        width, height = struct.unpack_from(">II", self.head)
        return height, width

    @property
    def transparent(self) -> bool:
        """Whether the pixels of the frames can be transparent."""
        return self.head[9] in _WITH_ALPHA or b"tRNS" in self.colors

    @property
    def layout(self) -> Layout:
        """What the samples of the canvas are: with alpha if some of it can be transparent."""
        frames, size = self.frames, self.size
        cleared = [frame.disposal == _BACKGROUND for frame in frames[:-1]]
        cleared = [True, *cleared]  # the canvas is transparent at first
        if len(frames) > 1 and frames[0].disposal == _PREVIOUS:
            cleared[1] = True
        bare = any(clear and not frame.covers(*size) for clear, frame in zip(cleared, frames, strict=True))
        return Layout(_BASES[self.head[9]], (UNASSOCIATED,) if bare or self.transparent else ())

    def png(self, parts: list[tuple[int, int]], file: IO[bytes], size: tuple[int, int]) -> bytes:
        """Return a PNG of some compressed pixels, which have a height and a width."""
        data = bytearray()
        for place, length in parts:
            file.seek(place)
            data += file.read(length)
        head = packed((b"IHDR", struct.pack(">II", size[1], size[0]) + self.head[8:]))
        return SIGNATURE + head + self.colors + packed((b"IDAT", bytes(data))) + packed((b"IEND", b""))


def open_file(file: IO[bytes]) -> Opened:
    """Read the structure of a file, without decoding its frames."""
    found = _parse(file)
    height, width = found.size
    default = found.png(found.default, file, found.size) if found.default else None
    animation = Animation(found.plays, tuple(frame.delay for frame in found.frames), default)
    milliseconds = [round(1000 * Fraction(*delay)) for delay in animation.delays]
    timing = {FIELD: animation, "loop": found.plays, "delay": milliseconds, "durations": milliseconds}
    metadata = containers.read("PNG", file)
    if found.layout.alphas and not found.transparent:
        metadata["blocks"] = _with_bits_of_alpha(metadata["blocks"], found.head[8])
    dtype = np.dtype(np.uint16 if found.head[8] == 16 else np.uint8)
    return Opened(height, width, found.layout, dtype, _load, len(found.frames), {**metadata, **timing})


def encode(samples: np.ndarray, header: Header, quality: int | None) -> bytes:
    """Encode frames, `[pages * H, W, C]`, with the timing of the source."""
    pages = np.split(samples, header.pages)
    animation = _animation(header.metadata, len(pages))
    images = [list(_compressed(page, header.colour_space)) for page in pages]
    chunks = [images[0][0], (b"acTL", struct.pack(">II", len(pages), animation.plays))]
    if animation.default is not None:
        default = _fitted(_decoded(animation.default), samples.shape[2])
        chunks += list(_compressed(default, header.colour_space))[1:]
    numbers = iter(range(2**31))
    height, width = pages[0].shape[:2]
    for (_, *parts), delay in zip(images, animation.delays, strict=True):
        first = animation.default is None and len(chunks) == 2
        chunks.append((b"fcTL", _CONTROL.pack(next(numbers), width, height, 0, 0, *delay, 0, 0)))
        chunks += parts if first else [(b"fdAT", struct.pack(">I", next(numbers)) + data) for _, data in parts]
    return SIGNATURE + b"".join(map(packed, [*chunks, (b"IEND", b"")]))


def _parse(file: IO[bytes]) -> _File:
    """Read the chunks of a file; raise ValueError if they are no animation."""
    head, colors, plays, count, numbers = b"", b"", 0, 0, []
    frames: list[_Frame] = []
    default: list[tuple[int, int]] = []
    for name, data, place, length in _chunks(file):
        if name == b"IHDR":
            head = data
        elif name in (b"PLTE", b"tRNS"):
            colors += packed((name, data))
        elif name == b"acTL":
            count, plays = struct.unpack(">II", data)
        elif name == b"fcTL":
            number, width, height, left, top, *delay, disposal, blending = _CONTROL.unpack(data)
            numbers.append(number)
            frames.append(_Frame(width, height, left, top, _delay(*delay), disposal, blending, []))
        elif name == b"IDAT":
            (frames[0].parts if frames else default).append((place, length))
        elif name == b"fdAT":
            numbers.append(int.from_bytes(data, "big"))
            frames[-1].parts.append((place + 4, length - 4))
    found = _File(head, colors, plays, frames, default)
    _check(found, count, numbers)
    return found


def _check(found: _File, count: int, numbers: list[int]) -> None:
    """Raise ValueError for a structure that is wrong."""
    if len(found.head) != 13 or found.head[9] not in _BASES:
        raise ValueError("a header that is wrong")
    if not count or count != len(found.frames) or not all(frame.parts for frame in found.frames):
        raise ValueError(f"{len(found.frames)} of {count} frames")
    if numbers != list(range(len(numbers))):
        raise ValueError("frames in a wrong order")
    height, width = found.size
    for number, frame in enumerate(found.frames, 1):
        inside = frame.left + frame.width <= width and frame.top + frame.height <= height
        if not (inside and frame.width and frame.height and frame.disposal <= _PREVIOUS and frame.blending <= _OVER):
            raise ValueError(f"frame {number} is outside of the image or of an unknown kind")
    if not found.default and not found.frames[0].covers(height, width):
        raise ValueError("a first frame that is smaller than the image")


def _chunks(file: IO[bytes]) -> Iterator[tuple[bytes, bytes, int, int]]:
    """Yield type, content, position and length of chunks; of pixels, whose checksum is checked, only 4 bytes."""
    file.seek(len(SIGNATURE))
    while len(head := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        place = file.tell()
        if name in (b"IHDR", b"PLTE", b"tRNS", b"acTL", b"fcTL", b"fdAT", b"IDAT"):
            data, check = file.read(length), file.read(4)
            if check != struct.pack(">I", zlib.crc32(data, zlib.crc32(name))):
                raise ValueError(f"a chunk {name.decode()} that is damaged")
            yield name, data[:4] if name in (b"IDAT", b"fdAT") else data, place, length
        elif name == b"IEND":
            return
        file.seek(place + length + 4)
    raise ValueError("no end")


def _delay(numerator: int, denominator: int) -> Delay:
    return numerator, denominator or _OTHER_DELAY


def _load(file: IO[bytes]) -> np.ndarray:
    """Return all frames as they are shown."""
    found = _parse(file)
    (height, width), samples = found.size, found.layout.samples
    top = 65535 if found.head[8] == 16 else 255
    canvas = np.zeros((height, width, samples), np.uint16 if top > 255 else np.uint8)
    shown = np.empty((len(found.frames), *canvas.shape), canvas.dtype)
    for number, frame in enumerate(found.frames):
        place = np.s_[frame.top : frame.top + frame.height, frame.left : frame.left + frame.width]
        pixels = _fitted(_decoded(found.png(frame.parts, file, (frame.height, frame.width))), samples)
        before = canvas[place].copy()
        canvas[place] = _over(pixels, before, top) if frame.blending == _OVER and found.transparent else pixels
        shown[number] = canvas
        if frame.disposal == _BACKGROUND or (frame.disposal == _PREVIOUS and number == 0):
            canvas[place] = 0
        elif frame.disposal == _PREVIOUS:
            canvas[place] = before
    return shown


def _over(new: np.ndarray, below: np.ndarray, top: int) -> np.ndarray:
    """Composite samples whose last one is alpha, of which `top` is opaque, over others (PNG, section 13.16)."""
    result = np.where(new[..., -1:] == 0, below, new)
    partly = (new[..., -1] > 0) & (new[..., -1] < top) & (below[..., -1] > 0)
    over, under = new[partly].astype(np.float64), below[partly].astype(np.float64)
    opacity = over[:, -1:]
    rest = under[:, -1:] * (top - opacity) / top
    colors = (over[:, :-1] * opacity + under[:, :-1] * rest) / (opacity + rest)
    result[partly] = np.rint(np.concatenate([colors, opacity + rest], axis=1))
    return result


def _decoded(png: bytes) -> np.ndarray:
    """Decode a PNG to `[H, W, C]`."""
    image = pyvips.Image.pngload_buffer(png, fail_on="error")
    return image.numpy().reshape(image.height, image.width, image.bands)


def _fitted(pixels: np.ndarray, samples: int) -> np.ndarray:
    """Return pixels with as many samples as wanted: with opaque alpha if it lacks."""
    if pixels.shape[2] == samples - 1:
        opaque = np.full((*pixels.shape[:2], 1), np.iinfo(pixels.dtype).max, pixels.dtype)
        return np.concatenate([pixels, opaque], axis=2)
    if pixels.shape[2] != samples:
        raise ValueError(f"{pixels.shape[2]} instead of {samples} samples")
    return pixels


def _compressed(page: np.ndarray, space: str) -> Iterator[tuple[bytes, bytes]]:
    """Yield the header and the pixels of a frame as chunks."""
    page = np.ascontiguousarray(page)
    height, width, bands = page.shape
    kind = next(name for name, dtype in SAMPLES.items() if dtype == page.dtype)
    image = pyvips.Image.new_from_memory(page.data, width, height, bands, kind).copy(interpretation=space)
    options: dict[str, Any] = {"filter": "all", "keep": "none"}
    png = io.BytesIO(image.pngsave_buffer(**options))
    for name, _, place, length in _chunks(png):
        if name in (b"IHDR", b"IDAT"):
            yield name, png.getvalue()[place : place + length]


def _animation(metadata: Mapping[str, Any], pages: int) -> Animation:
    """Return what an image says of its frames; of other formats, with delays in milliseconds."""
    if (animation := metadata.get(FIELD)) is not None:
        return animation
    durations = metadata.get("durations") or metadata.get("delay") or []
    delays = [*durations, *[durations[-1] if durations else _OTHER_DELAY] * pages][:pages]
    return Animation(max(0, metadata.get("loop", 0)), tuple(map(_seconds, delays)))


def _seconds(milliseconds: int) -> Delay:
    """Return a duration as a fraction of numbers of 16 bits, rounded where it is more than 65 seconds."""
    per_second = next((one for one in (1000, 100, 10) if milliseconds * one <= 1000 * _MAX_DELAY), 1)
    return min(_MAX_DELAY, round(milliseconds * per_second / 1000)), per_second


def _with_bits_of_alpha(blocks: Blocks, bits: int) -> Blocks:
    """Return the chunks with the significant bits of an alpha that the file has not, but its canvas."""
    deep = bytes([16 if bits == 16 else 8])
    made = (replace(one, data=one.data + deep) if one.name == "sBIT" else one for one in blocks.blocks)
    return replace(blocks, blocks=tuple(made))
