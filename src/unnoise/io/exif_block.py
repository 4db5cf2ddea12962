"""Change an EXIF block in place: orientation, size and thumbnail; all other bytes stay as they are.

A block is `Exif`, two zero bytes, and a small TIFF without pixels (CIPA DC-008). Maker notes are of unknown structure
and often point to places of the whole block: they survive only if nothing moves.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from unnoise.io.exif import MARK

_EXIF_IFD = 0x8769
_WIDTH, _HEIGHT, _ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION = 0x0100, 0x0101, 0x0112, 0x011A, 0x011B
_RESOLUTION_UNIT = 0x0128
_PIXEL_WIDTH, _PIXEL_HEIGHT = 0xA002, 0xA003
_THUMBNAIL, _THUMBNAIL_SIZE, _STRIPS = 0x0201, 0x0202, 0x0111
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}  # field type -> bytes
_INTEGERS = {3: "H", 4: "I"}  # field type -> format

_Field = tuple[int, int, int]  # type, number of values, position of the first value


class _Block:
    """An EXIF block that is being changed."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        self.base = len(MARK) if data.startswith(MARK) else 0
        self.order = {b"II": "<", b"MM": ">"}.get(data[self.base : self.base + 2], "")
        if not self.order:
            raise ValueError("not an EXIF block")
        self.first = self.base + self.read("I", self.base + 4)

    def read(self, kind: str, place: int) -> int:
        return struct.unpack_from(self.order + kind, self.data, place)[0]

    def write(self, kind: str, place: int, value: int) -> None:
        struct.pack_into(self.order + kind, self.data, place, value)

    def fields(self, directory: int) -> dict[int, _Field]:
        """Return the fields of a directory by tag."""
        return dict(self._fields(directory))

    def _fields(self, directory: int) -> Iterator[tuple[int, _Field]]:
        for entry in range(self.read("H", directory)):
            place = directory + 2 + 12 * entry
            tag, kind, count = struct.unpack_from(f"{self.order}HHI", self.data, place)
            size = _SIZES.get(kind, 0) * count
            value = place + 8 if size <= 4 else self.base + self.read("I", place + 8)
            if size and value + size <= len(self.data):
                yield tag, (kind, count, value)

    def number(self, field: _Field | None) -> int | None:
        """Return a single integer."""
        if field is None or field[0] not in _INTEGERS or field[1] != 1:
            return None
        return self.read(_INTEGERS[field[0]], field[2])

    def set_number(self, field: _Field | None, value: int) -> None:
        """Replace a single integer, if the field is there."""
        if field is not None and field[0] in _INTEGERS and field[1] == 1:
            self.write(_INTEGERS[field[0]], field[2], value)

    def exif(self, fields: dict[int, _Field]) -> dict[int, _Field]:
        """Return the fields of the EXIF directory that a first directory points to."""
        pointer = self.number(fields.get(_EXIF_IFD))
        return {} if pointer is None else self.fields(self.base + pointer)

    def second(self) -> int:
        """Return the position of the pointer to the second directory, that of the thumbnail."""
        return self.first + 2 + 12 * self.read("H", self.first)

    def thumbnail(self) -> dict[int, _Field]:
        """Return the fields of the directory of the thumbnail."""
        pointer = self.read("I", self.second())
        return self.fields(self.base + pointer) if pointer else {}


def orientation(block: bytes) -> int:
    """Return the orientation, 1 to 8; 1 if there is none."""
    try:
        opened = _Block(block)
        value = opened.number(opened.fields(opened.first).get(_ORIENTATION))
    except (ValueError, struct.error):
        return 1
    return value if value is not None and 1 <= value <= 8 else 1


def resolution(block: bytes) -> tuple[float, float] | None:
    """Return the horizontal and the vertical resolution in pixels per millimeter; None if there is none."""
    try:
        opened = _Block(block)
        fields = opened.fields(opened.first)
        unit = opened.number(fields.get(_RESOLUTION_UNIT)) or 2
        values = [
            opened.read("I", fields[tag][2]) / opened.read("I", fields[tag][2] + 4)
            for tag in (_X_RESOLUTION, _Y_RESOLUTION)
        ]
    except (ValueError, struct.error, KeyError, ZeroDivisionError):
        return None
    millimeters = {2: 25.4, 3: 10.0}.get(unit)
    return (values[0] / millimeters, values[1] / millimeters) if millimeters and min(values) > 0 else None


def rotated(block: bytes, size: tuple[int, int] | None = None) -> bytes:
    """Return a block with orientation 1; fields that are not there are not added.

    Args:
        block: the block; a damaged one is returned as it is.
        size: new width and height, if they were exchanged.
    """
    try:
        opened = _Block(block)
        fields = opened.fields(opened.first)
        opened.set_number(fields.get(_ORIENTATION), 1)
        if size is not None:
            exif = opened.exif(fields)
            for tags, (width, height) in ((fields, (_WIDTH, _HEIGHT)), (exif, (_PIXEL_WIDTH, _PIXEL_HEIGHT))):
                opened.set_number(tags.get(width), size[0])
                opened.set_number(tags.get(height), size[1])
            _exchange(opened, fields.get(_X_RESOLUTION), fields.get(_Y_RESOLUTION))
    except (ValueError, struct.error):
        return block
    return bytes(opened.data)


def _exchange(block: _Block, one: _Field | None, other: _Field | None) -> None:
    """Exchange two rational numbers."""
    if one is not None and other is not None and one[:2] == other[:2] == (5, 1):
        first, second = slice(one[2], one[2] + 8), slice(other[2], other[2] + 8)
        block.data[first], block.data[second] = block.data[second], block.data[first]


def thumbnail(block: bytes) -> bytes | None:
    """Return the JPEG of the thumbnail, or None if there is none."""
    try:
        opened = _Block(block)
        fields = opened.thumbnail()
        place, size = opened.number(fields.get(_THUMBNAIL)), opened.number(fields.get(_THUMBNAIL_SIZE))
    except (ValueError, struct.error):
        return None
    if not place or not size or opened.base + place + size > len(block):
        return None
    return block[opened.base + place : opened.base + place + size]


def has_other_thumbnail(block: bytes) -> bool:
    """Tell whether there is a thumbnail that is not a JPEG."""
    try:
        return _STRIPS in _Block(block).thumbnail()
    except (ValueError, struct.error):
        return False


def with_thumbnail(block: bytes, jpeg: bytes) -> bytes:
    """Return a block with another thumbnail, which must not be longer than the present one; the rest is zeros."""
    opened = _Block(block)
    fields = opened.thumbnail()
    place, size = opened.number(fields[_THUMBNAIL]), opened.number(fields[_THUMBNAIL_SIZE])
    if place is None or size is None or len(jpeg) > size:
        raise ValueError("no room for the thumbnail")
    start = opened.base + place
    opened.data[start : start + size] = jpeg.ljust(size, b"\0")
    opened.set_number(fields[_THUMBNAIL_SIZE], len(jpeg))
    return bytes(opened.data)


def without_thumbnail(block: bytes) -> bytes:
    """Return a block whose thumbnail is overwritten with zeros, and its directory no longer pointed to."""
    try:
        opened = _Block(block)
        fields = opened.thumbnail()
        place, size = opened.number(fields.get(_THUMBNAIL)), opened.number(fields.get(_THUMBNAIL_SIZE))
        if place and size and opened.base + place + size <= len(opened.data):
            opened.data[opened.base + place : opened.base + place + size] = bytes(size)
        opened.write("I", opened.second(), 0)
    except (ValueError, struct.error):
        return block
    return bytes(opened.data)
