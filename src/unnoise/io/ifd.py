"""Directories of TIFF files (TIFF 6.0, section 2; BigTIFF): read, and written at the end of a file."""

from __future__ import annotations

import io
import struct
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

import numpy as np

EXIF, GPS, INTEROP = 0x8769, 0x8825, 0xA005
POINTERS = (EXIF, GPS, INTEROP)
"""Fields that point to another directory."""
TYPE_SIZES = {
    1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8,
}  # fmt: skip
"""Field type -> bytes of a value."""

_RATIONAL = (5, 10)  # field types of two 4-byte integers
_LONG_OFFSETS = (16, 18)  # field types of BigTIFF
_MAX_FIELDS = 1000  # of a directory
_MAX_DIRECTORIES = 100_000  # of a file, since pointers may form a cycle

Field = tuple[int, bytes]  # type and data
Fields = Mapping[int, "Field | Fields"]  # by tag; a pointer as the directory that it points to
Entry = tuple[int, int, int, bytes]  # tag, type, number of values, and the values or their offset


@dataclass(frozen=True)
class Layout:
    """Number format of a file: the byte order, `<` or `>`, and whether it is a BigTIFF."""

    order: str
    big: bool

    @property
    def offset(self) -> str:
        """Format of a file offset for `struct`."""
        return self.order + ("Q" if self.big else "I")

    @property
    def count(self) -> str:
        """Format of the number of entries of a directory."""
        return self.order + ("Q" if self.big else "H")

    @property
    def entry(self) -> str:
        """Format of an entry: tag, type, number of values, and the values or their offset."""
        return self.order + ("HHQ8s" if self.big else "HHI4s")


def read_header(file: IO[bytes]) -> tuple[Layout, int, int]:
    """Return the layout of a TIFF, the position of the pointer to its first directory, and its value.

    Raises:
        ValueError: it is no TIFF.
        struct.error: it is truncated, here and in the other functions.
    """
    file.seek(0)
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None:
        raise ValueError("not a TIFF")
    layout = Layout(order, struct.unpack_from(f"{order}H", head, 2)[0] == 43)
    pointer = 8 if layout.big else 4
    return layout, pointer, struct.unpack_from(layout.offset, head, pointer)[0]


def entries(file: IO[bytes], layout: Layout, offset: int) -> tuple[list[Entry], int]:
    """Return the entries of a directory, and the offset of the next directory, or 0."""
    file.seek(offset)
    (count,) = struct.unpack(layout.count, file.read(struct.calcsize(layout.count)))
    if count > _MAX_FIELDS:
        raise ValueError("too many fields")
    table = file.read(count * struct.calcsize(layout.entry))
    following = file.read(struct.calcsize(layout.offset)).ljust(struct.calcsize(layout.offset), b"\0")
    return list(struct.iter_unpack(layout.entry, table)), struct.unpack(layout.offset, following)[0]


def directories(file: IO[bytes], layout: Layout, offset: int) -> Iterator[int]:
    """Yield the position of each directory."""
    for _ in range(_MAX_DIRECTORIES):
        if not offset:
            return
        yield offset
        offset = entries(file, layout, offset)[1]


def read(
    file: IO[bytes],
    layout: Layout,
    offset: int,
    *,
    only: Collection[int] = (),
    without: Collection[int] = (),
    most: int,
    depth: int = 2,
) -> Fields:
    """Return the fields of a directory and of the directories that it points to.

    Args:
        file: the TIFF.
        layout: of the file.
        offset: of the directory.
        only: the fields to read; all if empty.
        without: fields that are not read.
        most: longest value in bytes; longer ones are omitted.
        depth: of the directories to follow, since pointers may form a cycle; EXIF needs 2.
    """
    fields: dict[int, Field | Fields] = {}
    for tag, kind, count, value in entries(file, layout, offset)[0]:
        if (only and tag not in only) or tag in without:
            continue
        if tag in POINTERS:
            if depth:
                (pointer,) = struct.unpack_from(layout.order + ("Q" if kind in _LONG_OFFSETS else "I"), value)
                fields[tag] = read(file, layout, pointer, most=most, depth=depth - 1)
            continue
        size = TYPE_SIZES.get(kind, 0) * count
        if size > len(value):
            file.seek(struct.unpack(layout.offset, value)[0])
            value = file.read(size) if size <= most else b""
        if 0 < size <= len(value):
            fields[tag] = kind, value[:size]
    return fields


def append(
    file: IO[bytes], fields: Fields, layout: Layout, pointer: int, kept: Iterable[Entry] = (), following: int = 0
) -> int:
    """Write a directory to the end of a file, and point to it.

    Args:
        file: open for reading and writing.
        fields: of the directory.
        layout: of the file.
        pointer: file offset of the pointer.
        kept: further entries, which are copied unchanged.
        following: file offset of the next directory, or 0.

    Returns:
        The file offset of the pointer to the next directory.
    """
    end = file.seek(0, io.SEEK_END)
    data, offset = encode(fields, layout, end + end % 2, list(kept), following)
    file.write(bytes(end % 2) + data)
    behind = file.tell() - struct.calcsize(layout.offset)
    file.seek(pointer)
    file.write(struct.pack(layout.offset, offset))
    return behind


def encode(
    fields: Fields, layout: Layout, base: int, kept: Sequence[Entry] = (), following: int = 0
) -> tuple[bytes, int]:
    """Encode a directory, which ends the data, and all that it points to.

    Args:
        fields: of the directory.
        layout: of the file.
        base: file offset at which the data will be written; even.
        kept: entries that are copied unchanged.
        following: file offset of the next directory, or 0.

    Returns:
        The data, and the file offset of the directory.
    """
    data, table = b"", list(kept)
    for tag, field in fields.items():
        if isinstance(field, Mapping):
            inner, offset = encode(field, layout, base + len(data))
            data += inner
            kind, count, value = (16 if layout.big else 4), 1, struct.pack(layout.offset, offset)
        else:
            kind, value = field
            count = len(value) // TYPE_SIZES[kind]
            if len(value) > struct.calcsize(layout.offset):
                data, value = data + value + bytes(len(value) % 2), struct.pack(layout.offset, base + len(data))
        table.append((tag, kind, count, value))
    packed = b"".join(struct.pack(layout.entry, *entry) for entry in sorted(table))
    head = struct.pack(layout.count, len(table))
    return data + head + packed + struct.pack(layout.offset, following), base + len(data)


def byteswap(field: Field | Fields) -> Field | Fields:
    """Return a field, or all of a directory, with the opposite byte order."""
    if isinstance(field, Mapping):
        return {tag: byteswap(value) for tag, value in field.items()}
    kind, data = field
    size = 4 if kind in _RATIONAL else TYPE_SIZES[kind]
    return kind, np.frombuffer(data, f"u{size}").byteswap().tobytes()
