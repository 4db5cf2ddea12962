"""Read and write the EXIF fields of TIFF files, which libvips ignores.

In other formats EXIF is a separate block: `Exif`, two zero bytes, and a small TIFF without pixels (CIPA DC-008). In a
TIFF it is part of the file: the first directory (IFD) holds camera and author next to the pixel layout, and points to
the EXIF and GPS directories.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

import numpy as np

MARK = b"Exif\0\0"
MAX_BLOCK_SIZE = 60_000
"""Largest block that is read, in bytes: a JPEG segment holds at most 65,533."""

_EXIF_IFD, _GPS_IFD, _INTEROP_IFD, _MAKER_NOTE = 0x8769, 0x8825, 0xA005, 0x927C
_POINTERS = (_EXIF_IFD, _GPS_IFD, _INTEROP_IFD)
# Fields of the first directory that describe the image: all others are pixel layout, or are copied by libvips.
_COPIED_TAGS = (
    *(0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x013C, 0x8298),  # make, model, software, time, artist, host, copyright
    *(0x4746, 0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F),  # rating, and the fields of Windows
    0xA481,  # GDAL's nodata value, without which the samples that have it would be taken for values
    *(_EXIF_IFD, _GPS_IFD),
)
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}  # field type -> bytes
_RATIONAL = (5, 10)  # field types of two 4-byte integers
_MAX_FIELDS = 1000  # of a directory

_LONG_OFFSETS = (16, 18)  # field types of BigTIFF

_Field = tuple[int, bytes]  # type and data
_Fields = Mapping[int, "_Field | _Fields"]  # by tag; a pointer as the directory that it points to
_Entry = tuple[int, int, int, bytes]  # tag, type, number of values, and the values or their offset


@dataclass(frozen=True)
class _Layout:
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


def read_block(file: IO[bytes]) -> bytes | None:
    """Return the EXIF fields of a TIFF as a block, in its byte order; None if there are none or the file is damaged.

    The maker note is omitted from a block larger than `MAX_BLOCK_SIZE`.
    """
    try:
        layout, _, first = _read_header(file)
        fields = dict(_read(file, layout, first, _COPIED_TAGS))
        block = _block(fields, layout.order)
        if len(block) > MAX_BLOCK_SIZE and isinstance(exif := fields.get(_EXIF_IFD), Mapping):
            fields[_EXIF_IFD] = {tag: field for tag, field in exif.items() if tag != _MAKER_NOTE}
            block = _block(fields, layout.order)
    except (struct.error, ValueError, OSError):
        return None
    return block if fields and len(block) <= MAX_BLOCK_SIZE else None


def write_block(file: IO[bytes], block: bytes) -> None:
    """Add the fields of an EXIF block to a TIFF; existing fields are kept, and a damaged block adds nothing.

    Args:
        file: open for reading and writing.
        block: EXIF, with or without `MARK`.
    """
    exif = io.BytesIO(block.removeprefix(MARK))
    try:
        block_layout, _, first = _read_header(exif)
        new_fields = _read(exif, block_layout, first, _COPIED_TAGS)
    except (struct.error, ValueError):
        return
    layout, pointer, first = _read_header(file)
    entries, following = _entries(file, layout, first)
    existing = {entry[0] for entry in entries}
    swap = block_layout.order != layout.order
    fields = {tag: _byteswap(field) if swap else field for tag, field in new_fields.items() if tag not in existing}
    _append(file, fields, layout, pointer, entries, following)


def _append(
    file: IO[bytes], fields: _Fields, layout: _Layout, pointer: int, entries: Sequence[_Entry], following: int
) -> None:
    """Write a directory of fields and of present entries to the end of a file, and point to it."""
    end = file.seek(0, io.SEEK_END)
    data, offset = _write(fields, layout, end + end % 2, entries, following)
    file.write(bytes(end % 2) + data)
    file.seek(pointer)
    file.write(struct.pack(layout.offset, offset))


def with_fields(block: bytes | None, fields: Mapping[int, _Field]) -> bytes:
    """Return an EXIF block with more fields in its first directory, in place of those of the same tag.

    All else stays where it is: the directory is written anew behind the rest.

    Args:
        block: EXIF, with or without `MARK`; None for a new one.
        fields: little-endian.
    """
    if block is None:
        return _block(fields, "<")
    file = io.BytesIO(block.removeprefix(MARK))
    try:
        layout, pointer, first = _read_header(file)
        entries, following = _entries(file, layout, first)
    except (struct.error, ValueError):
        return block
    ordered = {tag: _byteswap(field) if layout.order == ">" else field for tag, field in fields.items()}
    _append(file, ordered, layout, pointer, [entry for entry in entries if entry[0] not in fields], following)
    return MARK + file.getvalue()


def _read_header(file: IO[bytes]) -> tuple[_Layout, int, int]:
    """Return the layout of a TIFF, the position of the pointer to its first directory, and its value."""
    file.seek(0)
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None:
        raise ValueError("not a TIFF")
    layout = _Layout(order, struct.unpack_from(f"{order}H", head, 2)[0] == 43)
    pointer = 8 if layout.big else 4
    return layout, pointer, struct.unpack_from(layout.offset, head, pointer)[0]


def _entries(file: IO[bytes], layout: _Layout, offset: int) -> tuple[list[_Entry], int]:
    """Return the entries of a directory, and the offset of the next directory, or 0."""
    file.seek(offset)
    (count,) = struct.unpack(layout.count, file.read(struct.calcsize(layout.count)))
    if count > _MAX_FIELDS:
        raise ValueError("too many fields")
    table = file.read(count * struct.calcsize(layout.entry))
    following = file.read(struct.calcsize(layout.offset)).ljust(struct.calcsize(layout.offset), b"\0")
    return list(struct.iter_unpack(layout.entry, table)), struct.unpack(layout.offset, following)[0]


def _read(file: IO[bytes], layout: _Layout, offset: int, tags: Collection[int] = (), depth: int = 2) -> _Fields:
    """Return the fields of a directory and of the directories that it points to.

    Args:
        file: the TIFF.
        layout: of the file.
        offset: of the directory.
        tags: the fields to read; all if empty.
        depth: of the directories to follow, since pointers may form a cycle; EXIF needs 2.
    """
    fields: dict[int, _Field | _Fields] = {}
    for tag, kind, count, value in _entries(file, layout, offset)[0]:
        if tags and tag not in tags:
            continue
        if tag in _POINTERS:
            if depth:
                (pointer,) = struct.unpack_from(layout.order + ("Q" if kind in _LONG_OFFSETS else "I"), value)
                fields[tag] = _read(file, layout, pointer, depth=depth - 1)
            continue
        size = _TYPE_SIZES.get(kind, 0) * count
        if size > len(value):
            file.seek(struct.unpack(layout.offset, value)[0])
            value = file.read(size) if size <= MAX_BLOCK_SIZE else b""
        if 0 < size <= len(value):
            fields[tag] = kind, value[:size]
    return fields


def _write(
    fields: _Fields, layout: _Layout, base: int, kept: Sequence[_Entry] = (), following: int = 0
) -> tuple[bytes, int]:
    """Encode a directory and all that it points to.

    Args:
        fields: of the directory.
        layout: of the file.
        base: file offset at which the data will be written; even.
        kept: entries that are copied unchanged.
        following: file offset of the next directory, or 0.

    Returns:
        The data, and the file offset of the directory.
    """
    data, entries = b"", list(kept)
    for tag, field in fields.items():
        if isinstance(field, Mapping):
            inner, offset = _write(field, layout, base + len(data))
            data += inner
            kind, count, value = (16 if layout.big else 4), 1, struct.pack(layout.offset, offset)
        else:
            kind, value = field
            count = len(value) // _TYPE_SIZES[kind]
            if len(value) > struct.calcsize(layout.offset):
                data, value = data + value + bytes(len(value) % 2), struct.pack(layout.offset, base + len(data))
        entries.append((tag, kind, count, value))
    table = b"".join(struct.pack(layout.entry, *entry) for entry in sorted(entries))
    head = struct.pack(layout.count, len(entries))
    return data + head + table + struct.pack(layout.offset, following), base + len(data)


def _block(fields: _Fields, order: str) -> bytes:
    """Encode fields as an EXIF block."""
    data, offset = _write(fields, _Layout(order, big=False), 8)
    return MARK + (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, offset) + data


def _byteswap(field: _Field | _Fields) -> _Field | _Fields:
    """Return a field with the opposite byte order."""
    if isinstance(field, Mapping):
        return {tag: _byteswap(value) for tag, value in field.items()}
    kind, data = field
    size = 4 if kind in _RATIONAL else _TYPE_SIZES[kind]
    return kind, np.frombuffer(data, f"u{size}").byteswap().tobytes()
