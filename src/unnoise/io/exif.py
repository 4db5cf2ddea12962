"""Exchange EXIF between TIFF files, where it is part of the file, and the block that other formats have.

In other formats EXIF is a separate block: `Exif`, two zero bytes, and a small TIFF without pixels (CIPA DC-008). In a
TIFF the first directory (IFD) holds camera and author next to the pixel layout, and points to the EXIF and GPS
directories.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from typing import IO

from unnoise.io import ifd
from unnoise.io.ifd import Field, Fields, Layout

MARK = b"Exif\0\0"
MAX_BLOCK_SIZE = 60_000
"""Largest block that is read from a TIFF, in bytes: a JPEG segment holds at most 65,533."""

_MAKER_NOTE, _DESCRIPTION = 0x927C, 0x010E
_MAX_DESCRIPTION = 1000  # bytes
_OF_PROGRAMS = (b"ImageJ=", b"<?xml", b"{")  # descriptions that mean something in a TIFF only
COPIED_TAGS = (
    *(0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x013C, 0x8298),  # make, model, software, time, artist, host, copyright
    *(_DESCRIPTION, 0x4746, 0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F),  # description, rating, and the fields of Windows
    0xA481,  # GDAL's nodata value, without which the samples that have it would be taken for values
    *(ifd.EXIF, ifd.GPS),
)
"""Fields of the first directory that are exchanged."""


def read_block(file: IO[bytes]) -> bytes | None:
    """Return the EXIF fields of a TIFF as a block, in its byte order; None if there are none or the file is damaged.

    The maker note is omitted from a block larger than `MAX_BLOCK_SIZE`.
    """
    try:
        layout, _, first = ifd.read_header(file)
        fields = dict(ifd.read(file, layout, first, only=COPIED_TAGS, most=MAX_BLOCK_SIZE))
        description = fields.get(_DESCRIPTION)
        if isinstance(description, tuple) and is_of_program(description[1]):
            del fields[_DESCRIPTION]
        block = _block(fields, layout.order)
        if len(block) > MAX_BLOCK_SIZE and isinstance(exif := fields.get(ifd.EXIF), Mapping):
            fields[ifd.EXIF] = {tag: field for tag, field in exif.items() if tag != _MAKER_NOTE}
            block = _block(fields, layout.order)
    except (struct.error, ValueError, OSError):
        return None
    return block if fields and len(block) <= MAX_BLOCK_SIZE else None


def is_of_program(description: bytes) -> bool:
    """Tell whether the description of a TIFF is not for readers, but for the program that wrote it."""
    return len(description) > _MAX_DESCRIPTION or description.startswith(_OF_PROGRAMS)


def write_block(file: IO[bytes], block: bytes) -> None:
    """Add the fields of an EXIF block to a TIFF; existing fields are kept, and a damaged block adds nothing.

    Args:
        file: open for reading and writing.
        block: EXIF, with or without `MARK`.
    """
    exif = io.BytesIO(block.removeprefix(MARK))
    try:
        block_layout, _, first = ifd.read_header(exif)
        new_fields = ifd.read(exif, block_layout, first, only=COPIED_TAGS, most=len(block))
    except (struct.error, ValueError):
        return
    layout, pointer, first = ifd.read_header(file)
    entries, following = ifd.entries(file, layout, first)
    existing = {entry[0] for entry in entries}
    swap = block_layout.order != layout.order
    fields = {tag: ifd.byteswap(field) if swap else field for tag, field in new_fields.items() if tag not in existing}
    ifd.append(file, fields, layout, pointer, entries, following)


def with_fields(block: bytes | None, fields: Mapping[int, Field]) -> bytes:
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
        layout, pointer, first = ifd.read_header(file)
        entries, following = ifd.entries(file, layout, first)
    except (struct.error, ValueError):
        return block
    ordered = {tag: ifd.byteswap(field) if layout.order == ">" else field for tag, field in fields.items()}
    kept = [entry for entry in entries if entry[0] not in fields]
    ifd.append(file, ordered, layout, pointer, kept, following)
    return MARK + file.getvalue()


def _block(fields: Fields, order: str) -> bytes:
    """Encode fields as an EXIF block."""
    data, offset = ifd.encode(fields, Layout(order, big=False), 8)
    return MARK + (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, offset) + data
