"""The index of further images in a JPEG file (CIPA DC-007, Multi-Picture Format)."""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Iterator

MARK = b"MPF\0"
_ENTRIES = 0xB002
_ENTRY = 16  # bytes: attribute, size, offset, two numbers of images that it depends on
_PREVIEWS = (0x010001, 0x010002)  # types: a smaller copy of the first image
_HEAD = 2**16  # bytes of an image that say what it is
# What images say of themselves in their metadata; others are pictures.
_AUXILIARY = {
    "gain map": re.compile(rb"hdrgm:|hdrgainmap|:ts:21496:-1"),
    "auxiliary image": re.compile(rb"com:apple:photo:\d+:aux:|GDepth:"),
}
PICTURE = "further picture"


def _entries(data: bytes) -> tuple[str, list[int]]:
    """Return the byte order of an index, and the positions of its entries; the first one is of the main image."""
    base = len(MARK)
    order = {b"II": "<", b"MM": ">"}[data[base : base + 2]]
    (first,) = struct.unpack_from(f"{order}I", data, base + 4)
    (count,) = struct.unpack_from(f"{order}H", data, base + first)
    for field in range(count):
        tag, _, size, offset = struct.unpack_from(f"{order}HHII", data, base + first + 2 + 12 * field)
        if tag == _ENTRIES and base + offset + size <= len(data):
            return order, list(range(base + offset, base + offset + size - _ENTRY + 1, _ENTRY))
    return order, []


def _read(data: bytes) -> Iterator[tuple[str, int, int, int]]:
    """Yield byte order and position of each entry, its type and its offset."""
    try:
        order, places = _entries(data)
        for place in places:
            kind, _, offset = struct.unpack_from(f"{order}III", data, place)
            yield order, place, kind & 0xFFFFFF, offset
    except (KeyError, struct.error):
        return


def has_previews(data: bytes) -> bool:
    """Tell whether an index names smaller copies of the first image."""
    return any(kind in _PREVIEWS for _, _, kind, _ in _read(data))


def contents(data: bytes, trailer: bytes, base: int, end: int) -> Counter[str]:
    """Return how many images of each kind an index names behind the first one: `PICTURE`, "gain map" and so on.

    Args:
        data: the segment, from `MARK`.
        trailer: what follows the first image.
        base: position in the file that the offsets are relative to.
        end: of the first image.
    """
    found: Counter[str] = Counter()
    for number, (_, _, kind, offset) in enumerate(_read(data)):
        start = base + offset - end
        if number and start >= 0:
            head = trailer[start : start + _HEAD]
            own = next((name for name, mark in _AUXILIARY.items() if mark.search(head)), PICTURE)
            found["preview" if kind in _PREVIEWS else own] += 1
    return found


def moved(data: bytes, old_base: int, old_end: int, base: int, end: int) -> bytes:
    """Return an index of images that have been moved together with the end of the first one.

    Args:
        data: the segment, from `MARK`.
        old_base: position in the file that the offsets were relative to.
        old_end: of the first image.
        base: the new position.
        end: the new end.

    Returns:
        The index; b"" if one of the images was not behind the first one.
    """
    result = bytearray(data)
    for number, (order, place, _, offset) in enumerate(_read(data)):
        if number == 0:
            struct.pack_into(f"{order}I", result, place + 4, end if end != old_end else _size(data, order, place))
            continue
        if old_base + offset < old_end:
            return b""
        struct.pack_into(f"{order}I", result, place + 8, old_base + offset - old_end + end - base)
    return bytes(result)


def _size(data: bytes, order: str, place: int) -> int:
    return struct.unpack_from(f"{order}I", data, place + 4)[0]
