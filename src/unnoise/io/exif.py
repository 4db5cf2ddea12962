"""EXIF inside a TIFF, which libvips leaves aside: taken out of one that is read, put into one that was written.

In other kinds of files EXIF is a block by itself: `Exif`, two zeros, and a small TIFF without pixels (CIPA DC-008). In
a TIFF it is part of the file: the first directory names camera and author beside the layout of the pixels, and points
to a directory of the shot and one of the place.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

import numpy as np

MARK = b"Exif\0\0"
LARGEST = 60_000
"""Bytes of a block that is read: a JPEG has no room for much more."""

_SHOT, _PLACE, _RULES, _MAKER_NOTE = 0x8769, 0x8825, 0xA005, 0x927C
_POINTERS = (_SHOT, _PLACE, _RULES)
# Of the first directory, what describes the picture: all else is the layout of the pixels, or carried by libvips.
_TOLD = (
    *(0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x013C, 0x8298),  # make, model, software, time, artist, host, copyright
    *(0x4746, 0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F),  # a rating, and what Windows writes
    *(_SHOT, _PLACE),
)
_UNITS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}  # type of a field -> bytes
_RATIONAL = (5, 10)  # two numbers of four bytes
_MOST = 1000  # fields of a directory

_LONG_OFFSETS = (16, 18)  # types of a BigTIFF

_Field = tuple[int, bytes]  # type and values
_Fields = Mapping[int, "_Field | _Fields"]  # by tag; or the directory that it points to
_Entry = tuple[int, int, int, bytes]  # tag, type, number of values, and the values or their place


@dataclass(frozen=True)
class _Layout:
    """How a file writes numbers: their byte order, `<` or `>`, and whether it is a BigTIFF."""

    order: str
    big: bool

    @property
    def offset(self) -> str:
        """Places in the file, as `struct` names them."""
        return self.order + ("Q" if self.big else "I")

    @property
    def count(self) -> str:
        """The number of entries of a directory."""
        return self.order + ("Q" if self.big else "H")

    @property
    def entry(self) -> str:
        """An entry: tag, type, number of values, and the values or their place."""
        return self.order + ("HHQ8s" if self.big else "HHI4s")


def take(file: IO[bytes]) -> bytes | None:
    """Return the EXIF of a TIFF as a block, in the byte order of the file; None where there is none, or it is broken.

    Beyond `LARGEST` bytes, the maker's own notes are left out.
    """
    try:
        layout, _, first = _begin(file)
        fields = dict(_read(file, layout, first, _TOLD))
        block = _block(fields, layout.order)
        if len(block) > LARGEST and isinstance(shot := fields.get(_SHOT), Mapping):
            fields[_SHOT] = {tag: field for tag, field in shot.items() if tag != _MAKER_NOTE}
            block = _block(fields, layout.order)
    except (struct.error, ValueError, OSError):
        return None
    return block if fields and len(block) <= LARGEST else None


def put(file: IO[bytes], block: bytes) -> None:
    """Add what a block says to a TIFF, open for reading and writing; what the file says already stands.

    A block that is broken adds nothing.
    """
    inside = io.BytesIO(block.removeprefix(MARK))
    try:
        theirs, _, first = _begin(inside)
        told = _read(inside, theirs, first, _TOLD)
    except (struct.error, ValueError):
        return
    layout, pointer, first = _begin(file)
    entries, following = _entries(file, layout, first)
    have = {entry[0] for entry in entries}
    turn = theirs.order != layout.order
    fields = {tag: _turned(field) if turn else field for tag, field in told.items() if tag not in have}
    end = file.seek(0, io.SEEK_END)
    data, place = _write(fields, layout, end + end % 2, entries, following)
    file.write(bytes(end % 2) + data)
    file.seek(pointer)
    file.write(struct.pack(layout.offset, place))


def _begin(file: IO[bytes]) -> tuple[_Layout, int, int]:
    """Return the layout of a TIFF, where it says where the first directory is, and that place."""
    file.seek(0)
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None:
        raise ValueError("no TIFF")
    layout = _Layout(order, struct.unpack_from(f"{order}H", head, 2)[0] == 43)
    pointer = 8 if layout.big else 4
    return layout, pointer, struct.unpack_from(layout.offset, head, pointer)[0]


def _entries(file: IO[bytes], layout: _Layout, place: int) -> tuple[list[_Entry], int]:
    """Return the entries of a directory, and where the next one is, or 0."""
    file.seek(place)
    (count,) = struct.unpack(layout.count, file.read(struct.calcsize(layout.count)))
    if count > _MOST:
        raise ValueError("too many fields")
    table = file.read(count * struct.calcsize(layout.entry))
    following = file.read(struct.calcsize(layout.offset)).ljust(struct.calcsize(layout.offset), b"\0")
    return list(struct.iter_unpack(layout.entry, table)), struct.unpack(layout.offset, following)[0]


def _read(file: IO[bytes], layout: _Layout, place: int, wanted: Collection[int] = (), depth: int = 2) -> _Fields:
    """Return the fields of a directory, of all tags if none is named, and those of the directories that it points to.

    Files may point in a circle: it is followed as deep as EXIF goes, from the picture to the shot to its rules.
    """
    fields: dict[int, _Field | _Fields] = {}
    for tag, kind, count, value in _entries(file, layout, place)[0]:
        if wanted and tag not in wanted:
            continue
        if tag in _POINTERS:
            if depth:
                (further,) = struct.unpack_from(layout.order + ("Q" if kind in _LONG_OFFSETS else "I"), value)
                fields[tag] = _read(file, layout, further, depth=depth - 1)
            continue
        size = _UNITS.get(kind, 0) * count
        if size > len(value):
            file.seek(struct.unpack(layout.offset, value)[0])
            value = file.read(size) if size <= LARGEST else b""
        if 0 < size <= len(value):
            fields[tag] = kind, value[:size]
    return fields


def _write(
    fields: _Fields, layout: _Layout, base: int, kept: Sequence[_Entry] = (), following: int = 0
) -> tuple[bytes, int]:
    """Return a directory with all that it points to, as it stands at `base`, and where in the file its entries begin.

    Args:
        fields: what it says.
        layout: of the file.
        base: an even place in the file.
        kept: entries that are written as they are.
        following: where the directory after this one is.
    """
    data, entries = b"", list(kept)
    for tag, field in fields.items():
        if isinstance(field, Mapping):
            inner, place = _write(field, layout, base + len(data))
            data += inner
            kind, count, value = (16 if layout.big else 4), 1, struct.pack(layout.offset, place)
        else:
            kind, value = field
            count = len(value) // _UNITS[kind]
            if len(value) > struct.calcsize(layout.offset):
                data, value = data + value + bytes(len(value) % 2), struct.pack(layout.offset, base + len(data))
        entries.append((tag, kind, count, value))
    table = b"".join(struct.pack(layout.entry, *entry) for entry in sorted(entries))
    head = struct.pack(layout.count, len(entries))
    return data + head + table + struct.pack(layout.offset, following), base + len(data)


def _block(fields: _Fields, order: str) -> bytes:
    """Return fields as a block of their own."""
    data, place = _write(fields, _Layout(order, big=False), 8)
    return MARK + (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, place) + data


def _turned(field: _Field | _Fields) -> _Field | _Fields:
    """Return a field with the bytes of its numbers in the other order."""
    if isinstance(field, Mapping):
        return {tag: _turned(inside) for tag, inside in field.items()}
    kind, data = field
    size = 4 if kind in _RATIONAL else _UNITS[kind]
    return kind, np.frombuffer(data, f"u{size}").byteswap().tobytes()
