"""Photoshop's image resources, which hold IPTC (Adobe Photoshop File Formats Specification, Image Resources)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

MARK = b"Photoshop 3.0\0"
TITLE, IPTC = "Photoshop resources", "IPTC"
_IPTC, _DIGEST = 0x0404, 0x0425
_THUMBNAILS = (0x0409, 0x040C)


def _resources(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield number, content and all bytes of each resource of a segment, up to the first damaged one."""
    place = len(MARK)
    while data[place : place + 4] == b"8BIM" and place + 12 <= len(data):
        (number,) = struct.unpack_from(">H", data, place + 4)
        name = 1 + data[place + 6]
        start = place + 6 + name + name % 2
        if start + 4 > len(data):
            return
        (size,) = struct.unpack_from(">I", data, start)
        end = start + 4 + size
        if end > len(data):
            return
        yield number, data[start + 4 : end], data[place : end + size % 2]
        place = end + size % 2


def title(data: bytes) -> str:
    """Return what a segment holds: IPTC only, or other resources as well."""
    return IPTC if {number for number, _, _ in _resources(data)} <= {_IPTC, _DIGEST} else TITLE


def iptc(data: bytes) -> bytes | None:
    """Return the IPTC records of a segment, or None if there are none."""
    return next((content for number, content, _ in _resources(data) if number == _IPTC), None)


def from_iptc(records: bytes) -> bytes:
    """Return a segment with IPTC records."""
    return MARK + b"8BIM" + struct.pack(">HHI", _IPTC, 0, len(records)) + records + bytes(len(records) % 2)


def without_thumbnail(data: bytes) -> bytes:
    """Return a segment without its thumbnails."""
    for number, _, whole in _resources(data):
        if number in _THUMBNAILS:
            data = data.replace(whole, b"", 1)
    return data
