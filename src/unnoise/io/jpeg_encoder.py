"""Encode JPEG files like the file that an image comes from: the same quantization tables and chroma subsampling.

libvips sets tables by a quality only, and knows 4:4:4 and 4:2:0; Pillow takes tables, and knows 4:2:2, too.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from PIL import Image, ImageFile

from unnoise.io.containers import jpeg

_AS_IT_IS = -1  # quality with which Pillow does not scale the tables
_BYTES_PER_PIXEL = 6  # more than the worst case, noise without quantization
_START_OF_FRAME = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
_TABLES, _ADOBE = 0xDB, 0xEE
# Subsampling modes of Pillow, the coarsest first: pixels per chroma sample, horizontally and vertically.
_MODES = {(2, 2): 2, (2, 1): 1, (1, 1): 0}


def _zigzag() -> np.ndarray:
    """Return the place of each element of a stored table in the table of 8 x 8 (ITU-T T.81, figure 5)."""
    places = [(row, column) for row in range(8) for column in range(8)]
    places.sort(key=lambda at: (sum(at), at[0] if sum(at) % 2 else at[1]))
    return np.array([8 * row + column for row, column in places])


ZIGZAG = _zigzag()


@dataclass(frozen=True)
class Encoding:
    """How a JPEG file was encoded.

    Attributes:
        tables: quantization table of each component, 64 numbers row by row.
        sampling: pixels per chroma sample, horizontally and vertically.
        progressive: whether it is progressive.
        rgb: whether its components are red, green and blue instead of luma and chroma.
    """

    tables: tuple[tuple[int, ...], ...]
    sampling: tuple[int, int]
    progressive: bool
    rgb: bool


def read(file: IO[bytes]) -> Encoding | None:
    """Return how a file is encoded, or None if it is damaged."""
    tables: dict[int, tuple[int, ...]] = {}
    components, progressive, transform = [], False, None
    for marker, data in jpeg.segments(file):
        if marker == _TABLES:
            tables.update(_tables(data))
        elif marker == _ADOBE and data.startswith(jpeg.ADOBE) and len(data) >= 12:
            transform = data[11]
        elif marker in _START_OF_FRAME and len(data) >= 6:
            progressive = marker in _PROGRESSIVE
            components = [data[start : start + 3] for start in range(6, 6 + 3 * data[5], 3)]
    if not components or any(len(each) < 3 or each[2] not in tables or not each[1] & 15 for each in components):
        return None
    luma, *chroma = ((each[1] >> 4, each[1] & 15) for each in components)
    widths, heights = ([luma[axis] // max(1, each[axis]) for each in chroma] or [1] for axis in (0, 1))
    rgb = len(components) == 3 and (transform == 0 or bytes(each[0] for each in components) == b"RGB")
    return Encoding(tuple(tables[each[2]] for each in components), (min(widths), min(heights)), progressive, rgb)


def _tables(data: bytes) -> Mapping[int, tuple[int, ...]]:
    """Return the tables of a segment by number."""
    found = {}
    while data:
        kind = np.dtype(">u2") if data[0] >> 4 else np.dtype("u1")
        size = 1 + 64 * kind.itemsize
        if len(data) < size:
            break
        table = np.zeros(64, int)
        table[ZIGZAG] = np.frombuffer(data[1:size], kind)
        found[data[0] & 15] = tuple(table.tolist())
        data = data[size:]
    return found


def encode(samples: np.ndarray, encoding: Encoding) -> bytes:
    """Encode gray or RGB samples, uint8 `[H, W, 1 or 3]`, like another file; chroma is at least as fine.

    Raises:
        OSError: the encoder failed.
    """
    image = Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)
    fine = [
        mode for size, mode in _MODES.items() if size[0] <= encoding.sampling[0] and size[1] <= encoding.sampling[1]
    ]
    tables = list(encoding.tables[: samples.shape[2]])
    tables = tables[:2] if len(set(tables[1:])) == 1 else tables
    options: dict[str, Any] = {"qtables": tables, "subsampling": fine[0], "keep_rgb": encoding.rgb}
    file = io.BytesIO()
    with _buffer(_BYTES_PER_PIXEL * image.width * image.height):
        image.save(file, "JPEG", quality=_AS_IT_IS, optimize=True, progressive=encoding.progressive, **options)
    return file.getvalue()


@contextlib.contextmanager
def _buffer(size: int) -> Iterator[None]:
    """Let Pillow encode into a buffer of this size; its own is too small for noise at the best quality."""
    before = ImageFile.MAXBLOCK
    ImageFile.MAXBLOCK = max(before, size)
    try:
        yield
    finally:
        ImageFile.MAXBLOCK = before
