"""Extensions of GIF files: comments, XMP and others (GIF89a specification; XMP part 3, section 1.1.2)."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import IO, Any

from unnoise.io.containers.blocks import MAX_BYTES, Block, Blocks

_EXTENSION = 0x21
_CONTROL, _COMMENT, _TEXT, _APPLICATION = 0xF9, 0xFE, 0x01, 0xFF
_FRAME = -1
_TIMING = (b"NETSCAPE2.0", b"ANIMEXTS1.0")  # which the encoder writes itself
_XMP, _MAGIC = b"XMP DataXMP", b"\x01" + bytes(range(255, -1, -1))  # what follows XMP, which has no sub-blocks
_TITLES = {_XMP: "XMP", b"ICCRGBG1012": "GIF color profile"}


def _sub_blocks(file: IO[bytes]) -> Iterator[bytes]:
    """Yield sub-blocks with their length, up to and without the empty one."""
    while (size := file.read(1)) not in (b"", b"\0"):
        yield size + file.read(size[0])


def _color_table(flags: int) -> int:
    """Return the bytes of a color table by the flags before it."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _extensions(file: IO[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    """Yield label and sub-blocks of each extension, when the file is at their end, and `_FRAME` for each frame."""
    file.seek(10)
    flags = file.read(3)
    if len(flags) < 3:
        return
    file.seek(_color_table(flags[0]), io.SEEK_CUR)
    while (mark := file.read(1)) in (b"\x21", b"\x2c"):
        if mark[0] == _EXTENSION:
            label = file.read(1)
            if label:
                yield label[0], list(_sub_blocks(file))
            continue
        place = file.read(9)
        if len(place) < 9:
            return
        yield _FRAME, []
        file.seek(_color_table(place[8]) + 1, io.SEEK_CUR)
        for _ in _sub_blocks(file):
            pass


def read(file: IO[bytes]) -> tuple[dict[str, Any], Blocks]:
    """Return the first comment as a field, and all extensions that are not about single frames.

    The field `durations` is the delay of each frame in milliseconds.
    """
    found: list[Block] = []
    fields: dict[str, Any] = {}
    left_out, total = [], 0
    delays, delay = [], 0
    for label, parts in _extensions(file):
        if label == _FRAME:
            delays.append(delay)
            delay = 0
        data = b"".join(parts)
        total += len(data)
        if label == _CONTROL and len(data) == 5:
            delay = int.from_bytes(data[2:4], "little")
        if label in (_CONTROL, _FRAME) or (label == _APPLICATION and parts and parts[0][1:] in _TIMING):
            continue
        if label == _TEXT or total > MAX_BYTES:
            left_out.append("GIF plain text, which is part of the picture" if label == _TEXT else "GIF extensions")
            continue
        title = _TITLES.get(parts[0][1:], "") if label == _APPLICATION and parts else ""
        if title == "XMP" and (raw := b"".join(parts[1:])).endswith(_MAGIC):
            fields.setdefault("xmp-data", raw.removesuffix(_MAGIC))
        if label == _COMMENT:
            title = "a comment"
            fields.setdefault("comment", b"".join(part[1:] for part in parts))
        found.append(Block(f"extension {label:02X}", bytes([label]) + data, title=title))
    if delays:
        fields["durations"] = [10 * delay for delay in delays]
    return fields, Blocks("GIF", tuple(found), tuple(dict.fromkeys(left_out)))


def finish(file: IO[bytes], fields: Mapping[str, Any], blocks: Blocks | None) -> None:
    """Add extensions to an encoded file, before its frames, and set the delays of these."""
    _set_delays(file, fields.get("durations", []))
    own = [block.data for block in blocks.blocks] if blocks else []
    if blocks is None and "comment" in fields:
        text: bytes = fields["comment"]
        parts = (text[start : start + 255] for start in range(0, len(text), 255))
        own = [bytes([_COMMENT]) + b"".join(bytes([len(part)]) + part for part in parts)]
    if not own:
        return
    file.seek(10)
    place = 13 + _color_table(file.read(1)[0])
    file.seek(place)
    rest = file.read()
    file.seek(place)
    file.write(b"".join(b"\x21" + data + b"\0" for data in own) + rest)


def _set_delays(file: IO[bytes], delays: list[int]) -> None:
    """Set the delay of each frame in milliseconds, which libvips changes where it is 0; nothing if frames differ."""
    places = [file.tell() - 1 for label, parts in _extensions(file) if label == _CONTROL and len(parts) == 1]
    if len(places) != len(delays):
        return
    for place, delay in zip(places, delays, strict=True):
        file.seek(place - 3)  # behind it: an index of a color, and the empty sub-block
        file.write(min(65_535, round(delay / 10)).to_bytes(2, "little"))
