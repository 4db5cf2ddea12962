"""JPEG 2000 (ISO/IEC 15444-1) by imagecodecs: the codestream is encoded again, losslessly, all boxes around it stay."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import imagecodecs
import numpy as np

from unnoise.errors import UnnoiseError
from unnoise.io.codecs import Opened
from unnoise.io.containers.blocks import Block, Blocks
from unnoise.io.formats import Header
from unnoise.io.layout import DATA, UNASSOCIATED, Layout

_START = b"\xff\x4f\xff\x51"  # of a codestream, and of the sizes in it
_CODESTREAM, _HEADER = b"jp2c", b"jp2h"
_SYCC = 18  # enumerated color space


@dataclass(frozen=True)
class Stored:
    """A file around its codestream.

    Attributes:
        before: boxes in front of it; nothing for a bare codestream.
        after: boxes behind it.
        boxed: whether there are boxes.
        bits: of a sample.
    """

    before: bytes
    after: bytes
    boxed: bool
    bits: int


def open_file(file: IO[bytes]) -> Opened:
    """Read the boxes of a file and the sizes of its codestream."""
    data = file.read()
    boxed = not data.startswith(_START)
    start, stop = 0, len(data)
    alpha, first = False, 0
    if boxed:
        boxes = {name: place for name, *place in reversed(list(_boxes(data, 0, len(data))))}  # the first of each name
        if _CODESTREAM not in boxes:
            raise UnnoiseError("a JPEG 2000 file without a codestream of its own")
        first, start, stop = boxes[_CODESTREAM]
        alpha = _alpha(data, *boxes[_HEADER][1:]) if _HEADER in boxes else False
    height, width, samples, bits, signed = _sizes(data[start : start + 2**16])
    base = 3 if samples >= 3 else 1
    extras = [DATA] * (samples - base)
    if alpha and extras:
        extras[-1] = UNASSOCIATED
    dtype = np.dtype(f"{'i' if signed else 'u'}{1 if bits == 8 else 2}")
    stored = Stored(data[:first], data[stop:], boxed, bits)
    titles = (Block("boxes", b"", title="the boxes of JPEG 2000"),) if boxed else ()
    codestream = data[start:stop]
    return Opened(
        height, width, Layout(base, tuple(extras)), dtype, lambda _: _decoded(codestream, (height, width, samples)),
        metadata={"jpeg2000": stored, "blocks": Blocks("JP2", titles)},
    )  # fmt: skip


def encode(samples: np.ndarray, header: Header, quality: int | None) -> bytes:
    """Encode losslessly, within the boxes of the source."""
    stored: Stored = header.metadata["jpeg2000"]
    if samples.dtype.kind == "u":
        samples = np.minimum(samples, 2**stored.bits - 1)
    pixels = samples[:, :, 0] if samples.shape[2] == 1 else samples
    codestream = bytes(
        imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k", reversible=True, bitspersample=stored.bits)
    )
    if not stored.boxed:
        return codestream
    return stored.before + struct.pack(">I4s", 8 + len(codestream), _CODESTREAM) + codestream + stored.after


def _decoded(codestream: bytes, shape: tuple[int, ...]) -> np.ndarray:
    samples = imagecodecs.jpeg2k_decode(codestream)
    if samples.size != np.prod(shape):
        raise ValueError("its sizes are damaged")
    return samples.reshape(shape)


def _boxes(data: bytes, start: int, stop: int) -> Iterator[tuple[bytes, int, int, int]]:
    """Yield the name, the start, the start of the content, and the end of each box."""
    while start + 8 <= stop:
        size, name = struct.unpack_from(">I4s", data, start)
        content = start + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, content)
            content += 8
        end = start + size if size else stop
        if not content <= end <= stop:
            raise ValueError("a box is damaged")
        yield name, start, content, end
        start = end


def _alpha(data: bytes, start: int, stop: int) -> bool:
    """Tell whether the last channel is declared as opacity; refuse colors that are not stored as they are."""
    alpha = False
    for name, _, content, _ in _boxes(data, start, stop):
        if name == b"pclr":
            raise UnnoiseError("a palette in JPEG 2000 is not supported: convert it to RGB first")
        if name == b"colr" and data[content] == 1 and struct.unpack_from(">I", data, content + 3)[0] == _SYCC:
            raise UnnoiseError("sYCC colors in JPEG 2000 are not supported: convert them to RGB first")
        if name == b"cdef":
            (count,) = struct.unpack_from(">H", data, content)
            rows = [struct.unpack_from(">HHH", data, content + 2 + 6 * row) for row in range(min(count, 100))]
            alpha = any(kind in (1, 2) and channel == count - 1 for channel, kind, _ in rows)
    return alpha


def _sizes(head: bytes) -> tuple[int, int, int, int, bool]:
    """Return height, width, samples of a pixel, their bits, and whether they are signed."""
    if not head.startswith(_START):
        raise ValueError("no codestream")
    right, bottom, left, top = struct.unpack_from(">4I", head, 8)
    (count,) = struct.unpack_from(">H", head, 40)
    parts = {struct.unpack_from(">3B", head, 42 + 3 * number) for number in range(count)}
    if len(parts) != 1 or next(iter(parts))[1:] != (1, 1):
        raise UnnoiseError("JPEG 2000 with subsampled or different components is not supported: convert it first")
    ((depth, _, _),) = parts
    bits = (depth & 0x7F) + 1
    if not 8 <= bits <= 16:
        raise UnnoiseError(f"JPEG 2000 of {bits} bits is not supported: convert it to 8 or 16 bits first")
    return bottom - top, right - left, count, bits, bool(depth >> 7)
