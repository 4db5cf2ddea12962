"""Chunks of WebP files (RFC 9649, section 2)."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping
from typing import IO, Any

from unnoise.io.containers.blocks import MAX_BYTES, Block, Blocks
from unnoise.io.exif import MARK

_PIXELS = (b"VP8X", b"VP8 ", b"VP8L", b"ANIM", b"ANMF", b"ALPH")
_FLAGS = {b"ICCP": 0x20, b"EXIF": 0x08, b"XMP ": 0x04}  # of VP8X
_FIELDS = {"EXIF": "exif-data", "XMP ": "xmp-data"}
_FASTEST, _SLOW = 10, 100  # milliseconds: libvips writes the second for all up to the first
_TITLES = {"ICCP": "a color profile"}

Chunk = tuple[bytes, bytes]  # type and content


def chunks(file: IO[bytes]) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, length and position of the content of each chunk."""
    file.seek(4)
    end = 8 + int.from_bytes(file.read(4), "little")
    place = 12
    while place + 8 <= end:
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            return
        name, length = struct.unpack("<4sI", head)
        yield name, length, place + 8
        place += 8 + length + length % 2


def read(file: IO[bytes]) -> tuple[dict[str, Any], Blocks]:
    """Return the fields and the chunks of a WebP file.

    Further fields are `durations` of the frames in milliseconds, `webp-background`, and `webp-lossless`.
    """
    found: list[Block] = []
    fields: dict[str, Any] = {}
    left_out: list[str] = []
    durations, total = [], 0
    codecs = set()
    for name_bytes, length, place in list(chunks(file)):
        file.seek(place)
        if name_bytes == b"ANIM":
            fields["webp-background"] = file.read(4)
        if name_bytes == b"ANMF":
            frame = file.read(20)
            durations.append(int.from_bytes(frame[12:15], "little"))
            codecs.add(frame[16:20])
        if name_bytes in _PIXELS:
            codecs.add(name_bytes)
            continue
        name, total = name_bytes.decode("latin-1"), total + length
        if name == "C2PA":
            left_out.append("content credentials (C2PA), a signature of the noisy image")
        elif total > MAX_BYTES:
            left_out.append(f"WebP {name}, too long")
        else:
            found.append(_block(name, file.read(length), fields))
    fields["webp-lossless"] = b"VP8L" in codecs and not codecs & {b"VP8 ", b"ALPH"}  # of all frames
    if durations:
        fields["durations"] = durations
    return fields, Blocks("WebP", tuple(found), tuple(dict.fromkeys(left_out)))


def _block(name: str, data: bytes, fields: dict[str, Any]) -> Block:
    """Return a chunk as a block; a field that it holds is added to the fields."""
    field = _FIELDS.get(name, "")
    if not field or field in fields:
        return Block(name, data, title=_TITLES.get(name, ""))
    mark = field == "exif-data" and not data.startswith(MARK)
    fields[field] = MARK + data if mark else data
    return Block(name, b"bare" if mark else b"", field)


def from_fields(fields: Mapping[str, Any]) -> list[Chunk]:
    """Return the chunks for the metadata of another format."""
    names = {"icc-profile-data": b"ICCP", "exif-data": b"EXIF", "xmp-data": b"XMP "}
    return [(name, fields[field]) for field, name in names.items() if field in fields]


def finish(file: IO[bytes], fields: Mapping[str, Any], blocks: Blocks | None) -> None:
    """Add metadata to an encoded file, and set the duration of its frames."""
    file.seek(0)
    data = file.read()
    kept = [(name, data[place : place + length]) for name, length, place in chunks(io.BytesIO(data)) if name in _PIXELS]
    kept = _with_durations(kept, fields.get("durations", []))
    if background := fields.get("webp-background"):
        kept = [(name, background + data[4:] if name == b"ANIM" else data) for name, data in kept]
    own = from_fields(fields) if blocks is None else _native(fields, blocks)
    head = _extended(kept, own)
    before = [chunk for chunk in own if chunk[0] == b"ICCP"]
    after = [chunk for chunk in own if chunk[0] != b"ICCP"]
    body = b"WEBP" + b"".join(map(_packed, [head, *before, *kept, *after] if own or head[1][0] else kept))
    file.seek(0)
    file.truncate()
    file.write(b"RIFF" + struct.pack("<I", len(body)) + body)


def _native(fields: Mapping[str, Any], blocks: Blocks) -> list[Chunk]:
    result = []
    for block in blocks.blocks:
        if not block.field:
            result.append((block.name.encode("latin-1"), block.data))
        elif block.field in fields:
            value = fields[block.field]
            result.append((block.name.encode("latin-1"), value.removeprefix(MARK) if block.data else value))
    return result


def _extended(kept: list[Chunk], own: list[Chunk]) -> Chunk:
    """Remove the extended header from the chunks of the encoder and return it, made if there was none, with flags."""
    head = next((data for name, data in kept if name == b"VP8X"), None)
    kept[:] = [chunk for chunk in kept if chunk[0] != b"VP8X"]
    if head is None:
        name, data = kept[0]
        if name == b"VP8L":
            bits = int.from_bytes(data[1:5], "little")
            width, height, alpha = bits & 0x3FFF, bits >> 14 & 0x3FFF, bits >> 28 & 1
        else:
            width, height = (value & 0x3FFF for value in struct.unpack_from("<HH", data, 6))
            width, height, alpha = width - 1, height - 1, 0
        head = bytes([alpha << 4, 0, 0, 0]) + width.to_bytes(3, "little") + height.to_bytes(3, "little")
    flags = head[0] & ~0x2C
    for name, _ in own:
        flags |= _FLAGS.get(name, 0)
    return b"VP8X", bytes([flags]) + head[1:]


def _with_durations(kept: list[Chunk], durations: list[int]) -> list[Chunk]:
    """Set the duration of each frame; equal frames, which the encoder has merged, have that of all of them."""
    result, left = [], list(durations)
    for name, data in kept:
        if name == b"ANMF" and durations:
            written, total = int.from_bytes(data[12:15], "little"), 0
            while left and written > 0:
                total += left[0]
                written -= _as_written(left.pop(0))
            data = data[:12] + min(total, 2**24 - 1).to_bytes(3, "little") + data[15:]
        result.append((name, data))
    return result


def _as_written(duration: int) -> int:
    """Return the duration in milliseconds that libvips writes for a frame."""
    return _SLOW if duration <= _FASTEST else duration


def _packed(chunk: Chunk) -> bytes:
    name, data = chunk
    return name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def exif_place(file: IO[bytes]) -> int | None:
    """Return the position of the EXIF block, or None if there is none."""
    return next((place for name, _, place in chunks(file) if name == b"EXIF"), None)
