"""Estimate the quality of a JPEG file from its quantization table."""

from __future__ import annotations

import struct
from typing import IO

import numpy as np

# ITU-T T.81, table K.1, in zigzag order
_LUMA = np.fromstring(
    "16 11 12 14 12 10 16 14 13 14 18 17 16 19 24 40 26 24 22 22 24 49 35 37 29 40 58 51 61 60 57 51 "
    "56 55 64 72 92 78 64 68 87 69 55 56 80 109 81 87 95 98 103 104 103 62 77 113 121 112 100 120 92 101 103 99",
    dtype=int,
    sep=" ",
)
_QUALITIES = np.arange(1, 101)
_PERCENT = np.where(_QUALITIES < 50, 5000 // _QUALITIES, 200 - 2 * _QUALITIES)  # libjpeg's scaling
_TABLES = np.clip((_LUMA * _PERCENT[:, None] + 50) // 100, 1, 255)


def quality(file: IO[bytes]) -> int | None:
    """Return the quality, 1 to 100, whose luma table in libjpeg is nearest to that of the file.

    Args:
        file: a seekable JPEG file; its position is not restored.

    Returns:
        None if there is no luma table before the pixels, as in a damaged file.
    """
    file.seek(2)
    while len(head := file.read(4)) == 4:
        marker, length = struct.unpack(">HH", head)
        if marker >> 8 != 0xFF or marker == 0xFFDA or length < 2:  # not a marker, or start of scan
            return None
        if marker != 0xFFDB:
            file.seek(length - 2, 1)
        elif (table := _luma(file.read(length - 2))) is not None:
            return int(_QUALITIES[np.abs(_TABLES - table).sum(axis=1).argmin()])
    return None


def _luma(tables: bytes) -> np.ndarray | None:
    """Return table 0 of a DQT segment, or None if it is missing or truncated."""
    while tables:
        kind = np.dtype(">u2") if tables[0] >> 4 else np.dtype("u1")
        size = 1 + 64 * kind.itemsize
        if tables[0] & 15 == 0 and len(tables) >= size:
            return np.frombuffer(tables[1:size], kind).astype(int)
        tables = tables[size:]
    return None
