"""Metadata of ImageJ in TIFF files: labels, ranges, regions, in the byte order of the file (ImageJ, TiffEncoder)."""

from __future__ import annotations

import struct

import numpy as np

COUNTS, METADATA = 50838, 50839
"""Tags: the bytes of each part, and all parts, of which the first one is a table of their types."""

_SIZES = {b"info": 2, b"labl": 2, b"prop": 2, b"rang": 8}  # type -> bytes of a number; others are bytes


def byteswap(counts: bytes, data: bytes, order: str) -> bytes:
    """Return the metadata with the opposite byte order.

    Args:
        counts: value of `COUNTS`.
        data: value of `METADATA`.
        order: `<` or `>`, of both.
    """
    sizes = struct.unpack(f"{order}{len(counts) // 4}I", counts)
    table = data[: sizes[0]]
    words = [table[start : start + 4] for start in range(0, len(table) - 3, 4)]
    types = [word if order == ">" else word[::-1] for word in words[1::2]]
    numbers = [struct.unpack(f"{order}I", word)[0] for word in words[2::2]]
    result, place = b"".join(word[::-1] for word in words), sizes[0]
    kinds = [kind for kind, number in zip(types, numbers, strict=False) for _ in range(number)]
    for kind, size in zip(kinds, sizes[1:], strict=False):
        part = data[place : place + size]
        width = _SIZES.get(kind, 1)
        whole = len(part) - len(part) % width
        result += np.frombuffer(part[:whole], f"u{width}").byteswap().tobytes() + part[whole:]
        place += size
    return result + data[place:]
