"""EXIF and color description of AVIF files (ISO/IEC 14496-12, boxes; ISO/IEC 23008-12, items and properties)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import IO, Any

from unnoise.io.containers.blocks import MAX_BYTES, Block, Blocks
from unnoise.io.exif import MARK

_COLOUR = "colr nclx"
_MATRIX, _FULL_RANGE = 6, 0x80  # of the encoder: BT.601 coefficients, full range
_LIGHT = (b"clli", b"mdcv")  # properties: how light the scene and its display are
# EXIF orientation -> turns by 90 degrees to the left, and the axis to mirror at (ISO/IEC 23000-22, section 7.3.6.7).
_TURNS = {2: (0, 1), 3: (2, None), 4: (0, 0), 5: (1, 0), 6: (3, None), 7: (3, 0), 8: (1, None)}
_ESSENTIAL = 0x80

_Boxes = dict[bytes, bytes]


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield type and content of boxes."""
    place = 0
    while place + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, place)
        head = 16 if size == 1 else 8
        if size == 1:
            size = int.from_bytes(data[place + 8 : place + 16], "big")
        size = size or len(data) - place
        if size < head:
            return
        yield name, data[place + head : place + size]
        place += size


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


def _meta(file: IO[bytes]) -> tuple[int, bytes]:
    """Return position and content of the box of the metadata."""
    place = 0
    while True:
        file.seek(place)
        head = file.read(16)
        if len(head) < 8:
            raise ValueError("no metadata box")
        size, name = struct.unpack_from(">I4s", head)
        if name == b"meta" and 12 <= size <= MAX_BYTES:
            file.seek(place + 8)
            return place, file.read(size - 8)
        if size == 1 and len(head) == 16:
            size = int.from_bytes(head[8:], "big")
        if size < 8:
            raise ValueError("no metadata box")
        place += size


def read(file: IO[bytes]) -> tuple[dict[str, Any], Blocks]:
    """Return the color description of an AVIF file; its other metadata are read by libvips."""
    try:
        meta = dict(_boxes(_meta(file)[1][4:]))
        properties = list(_boxes(dict(_boxes(meta[b"iprp"]))[b"ipco"]))
    except (ValueError, KeyError, struct.error):
        return {}, Blocks("AVIF")
    found = []
    for name, data in properties:
        if name == b"colr" and data[:4] == b"nclx" and data[4:8] != b"\0\2\0\2":  # 2: not specified
            found.append(Block(_COLOUR, data, title="" if data[4:8] != b"\0\1\0\r" else "sRGB"))
        elif name in _LIGHT:
            found.append(Block(name.decode(), data))
    return {}, Blocks("AVIF", tuple(found))


def finish(file: IO[bytes], fields: Mapping[str, Any], blocks: Blocks | None) -> None:
    """Add EXIF and a color description to a file that libvips has encoded.

    Raises:
        ValueError: the file has another structure.
    """
    block = fields.get("exif-data", b"").removeprefix(MARK)
    properties = [_property(each) for each in blocks.blocks] if blocks else []
    turns = _transformations(fields.get("orientation", 1))
    if not block and not properties and not turns:
        return
    file.seek(0)
    data = file.read()
    place, content = _meta(file)
    boxes = dict(_boxes(content[4:]))
    new = content[:4] + _rebuilt(boxes, bool(block), properties, turns, 0, 0, 0)
    shift = len(new) - len(content)
    payload = bytes(4) + block
    end = len(data) + shift + 8
    new = content[:4] + _rebuilt(boxes, bool(block), properties, turns, shift, end, len(payload))
    file.seek(0)
    file.write(data[:place] + _box(b"meta", new) + data[place + 8 + len(content) :])
    if block:
        file.write(_box(b"mdat", payload))


def _property(block: Block) -> bytes:
    if block.name == _COLOUR:  # primaries and transfer of the source, the matrix of the encoder
        return _box(b"colr", block.data[:8] + struct.pack(">HB", _MATRIX, _FULL_RANGE))
    return _box(block.name.encode(), block.data)


def _transformations(orientation: int) -> list[bytes]:
    """Return the properties that rotate an image."""
    left, axis = _TURNS.get(orientation, (0, None))
    rotation = [_box(b"irot", bytes([left]))] if left else []
    return rotation + ([] if axis is None else [_box(b"imir", bytes([axis]))])


def _rebuilt(
    boxes: _Boxes, exif: bool, properties: list[bytes], turns: list[bytes], shift: int, place: int, length: int
) -> bytes:
    """Return the boxes of the metadata with an item for EXIF and more properties of the image.

    Args:
        boxes: content of each.
        exif: whether to add EXIF.
        properties: to add to the image, as boxes.
        turns: to add to the image and its transparency.
        shift: by which the data of all items have been moved.
        place: of the EXIF in the file.
        length: of the EXIF.
    """
    boxes = dict(boxes)
    (main,) = struct.unpack_from(">H", boxes[b"pitm"], 4)
    items = _locations(boxes[b"iloc"])
    number = max(items) + 1
    items = {item: (start + shift, size) for item, (start, size) in items.items()}
    if exif:
        items[number] = place, length
        count = struct.unpack_from(">H", boxes[b"iinf"], 4)[0] + 1
        item = _box(b"infe", b"\2\0\0\1" + struct.pack(">HH4s", number, 0, b"Exif") + b"\0")
        boxes[b"iinf"] = boxes[b"iinf"][:4] + struct.pack(">H", count) + boxes[b"iinf"][6:] + item
        reference = _box(b"cdsc", struct.pack(">HHH", number, 1, main))
        boxes[b"iref"] = boxes.get(b"iref", bytes(4)) + reference
    entries = b"".join(struct.pack(">HHHII", item, 0, 1, *where) for item, where in items.items())
    boxes[b"iloc"] = bytes(4) + b"\x44\0" + struct.pack(">H", len(items)) + entries
    if properties or turns:
        boxes[b"iprp"] = _with_properties(boxes[b"iprp"], main, properties, turns)
    return b"".join(_box(name, data) for name, data in boxes.items())


def _locations(data: bytes) -> dict[int, tuple[int, int]]:
    """Return position and length of each item, as libheif writes them: one extent each."""
    version, sizes, bases, count = data[0], data[4], data[5] >> 4, struct.unpack_from(">H", data, 6)[0]
    if version > 1 or sizes != 0x44 or bases not in (0, 4):
        raise ValueError("another structure")
    entry = 6 + 2 * version + bases + 8
    found = {}
    for start in range(8, 8 + count * entry, entry):
        (item,) = struct.unpack_from(">H", data, start)
        rest = data[start + 4 + 2 * version : start + entry]
        base = int.from_bytes(rest[:bases], "big")
        extents, offset, size = struct.unpack_from(">HII", rest, bases)
        if extents != 1:
            raise ValueError("another structure")
        found[item] = base + offset, size
    return found


def _with_properties(data: bytes, main: int, properties: list[bytes], turns: list[bytes]) -> bytes:
    """Return the properties of items with more of them: some for the main one, and rotations for all."""
    boxes = dict(_boxes(data))
    have = len(list(_boxes(boxes[b"ipco"])))
    ipma = boxes[b"ipma"]
    if ipma[0] or ipma[3] & 1:
        raise ValueError("another structure")
    entries, place = b"", 8
    for _ in range(struct.unpack_from(">I", ipma, 4)[0]):
        item, count = struct.unpack_from(">HB", ipma, place)
        numbers = ipma[place + 3 : place + 3 + count]
        place += 3 + count
        if item == main:
            numbers += bytes(range(have + 1, have + 1 + len(properties)))
        first = have + 1 + len(properties)
        numbers += bytes(_ESSENTIAL | number for number in range(first, first + len(turns)))
        entries += struct.pack(">HB", item, len(numbers)) + numbers
    boxes[b"ipco"] += b"".join([*properties, *turns])
    return _box(b"ipco", boxes[b"ipco"]) + _box(b"ipma", ipma[:8] + entries)
