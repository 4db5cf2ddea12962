"""Segments of JPEG files (ITU-T T.81, annex B; JFIF 1.02; CIPA DC-008 and DC-007; XMP part 3; ICC.1, annex B.4)."""

from __future__ import annotations

import io
import re
import struct
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import IO, Any

from unnoise.io.containers import mpf, photoshop
from unnoise.io.containers.blocks import MAX_BYTES, Block, Blocks
from unnoise.io.exif import MARK

MAX_SEGMENT = 65_533  # bytes of content
XMP = b"http://ns.adobe.com/xap/1.0/\0"
XMP_EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
ICC = b"ICC_PROFILE\0"
JFIF, ADOBE = b"JFIF\0", b"Adobe"
TRAILER = "trailer"
"""Name of the block of what follows the image: gain maps, videos, further images."""

_PER_MILLIMETER = {1: 25.4, 2: 10.0}  # by the unit of a JFIF header: inch or centimeter
_SOI = b"\xff\xd8"
_EOI, _SOS, _COMMENT = 0xD9, 0xDA, 0xFE
_APP = range(0xE0, 0xF0)
_IN_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # a marker that ends the entropy-coded data
_CHUNK = 2**20

Segment = tuple[int, bytes]  # marker and content


def segments(file: IO[bytes]) -> Iterator[Segment]:
    """Yield the segments before the pixels; the last one is the start of the first scan, if the file is not damaged."""
    file.seek(2)
    while len(head := file.read(2)) == 2 and head[0] == 0xFF:
        if head[1] == 0xFF:  # a fill byte
            file.seek(-1, io.SEEK_CUR)
            continue
        length = int.from_bytes(file.read(2), "big")
        if length < 2:
            return
        data = file.read(length - 2)
        if len(data) < length - 2:
            return
        yield head[1], data
        if head[1] == _SOS:
            return


def read(file: IO[bytes]) -> tuple[dict[str, Any], Blocks]:
    """Return the fields and the segments of a JPEG file."""
    found, fields, left_out = [], {}, []
    base, place = 0, 2
    for marker, data in segments(file):
        if marker in _APP or marker == _COMMENT:
            block = _block(marker, data, fields)
            if block.name == "APP2" and data.startswith(mpf.MARK):
                base = file.tell() - len(data) + len(mpf.MARK)
            found.append(block)
        place = file.tell()
    found, dropped = _without_stale(found)
    left_out += dropped
    if iptc := photoshop.iptc(b"".join(b.data for b in found if b.title in (photoshop.TITLE, photoshop.IPTC))):
        fields["iptc-data"] = iptc
    end = _end(file, place)
    trailer = b"" if end is None else _trailer(file, end)
    if trailer is None:
        left_out.append(f"what follows the image, more than {MAX_BYTES >> 20} MiB")
    elif trailer.strip(b"\0"):
        found.append(Block(TRAILER, trailer))
    blocks = Blocks("JPEG", tuple(found), tuple(left_out), extra=struct.pack(">QQ", base, end or 0))
    return fields, _described(_without_previews(blocks))


def _described(blocks: Blocks) -> Blocks:
    """Say what follows the image, and which of it are pictures, whose noise stays."""
    contents = _contents(blocks)
    title = f"what follows the image ({_names(contents)})" if contents else "what follows the image"
    named = tuple(replace(block, title=title) if block.name == TRAILER else block for block in blocks.blocks)
    noisy = {mpf.PICTURE: contents[mpf.PICTURE]} if contents[mpf.PICTURE] else {}
    return replace(blocks, blocks=named, noisy=(_names(noisy),) if noisy else ())


def _contents(blocks: Blocks) -> Counter[str]:
    """Return how many images of each kind follow the first one, as far as they are known, and whether a video does."""
    trailer = next((block.data for block in blocks.blocks if block.name == TRAILER), b"")
    index = next((block.data for block in blocks.blocks if block.data.startswith(mpf.MARK)), b"")
    found = mpf.contents(index, trailer, *struct.unpack(">QQ", blocks.extra))
    if not index and trailer.startswith(_SOI):
        found["further image"] += 1
    if trailer[4:8] == b"ftyp":
        found["video"] += 1
    return found


def _names(counts: Mapping[str, int]) -> str:
    """Return `a gain map, 2 further pictures`."""
    return ", ".join(f"{count} {name}s" if count > 1 else f"a {name}" for name, count in counts.items())


def _block(marker: int, data: bytes, fields: dict[str, Any]) -> Block:
    """Return a segment as a block; a field that it holds is added to the fields."""
    name = "COM" if marker == _COMMENT else f"APP{marker & 15}"
    for field, of, head in (("exif-data", "APP1", MARK), ("xmp-data", "APP1", XMP), ("comment", "COM", b"")):
        if name == of and data.startswith(head) and field not in fields:
            fields[field] = data if field == "exif-data" else data[len(head) :]
            return Block(name, b"" if field == "exif-data" else head, field)
    if data.startswith(JFIF) and len(data) >= 12 and data[7] in _PER_MILLIMETER:
        densities = struct.unpack_from(">HH", data, 8)
        if min(densities) > 0:
            fields["xres"], fields["yres"] = (density / _PER_MILLIMETER[data[7]] for density in densities)
    elif data.startswith(JFIF) and data[8:10] != data[10:12]:
        return Block(name, data, title="the aspect ratio of pixels")
    titles = {
        ICC: "a color profile", JFIF: "the resolution", ADOBE: "the resolution", XMP_EXTENSION: "extended XMP",
        mpf.MARK: "an index of further images (MPF)", photoshop.MARK: photoshop.title(data),
    }  # fmt: skip
    title = next((title for mark, title in titles.items() if data.startswith(mark)), "a comment" * (name == "COM"))
    return Block(name, data, title=title)


def _without_stale(blocks: Sequence[Block]) -> tuple[list[Block], list[str]]:
    """Remove what is about the noisy pixels: other thumbnails and signatures; return the rest, and what was removed."""
    kept, left_out = [], []
    signed = any(block.name == "APP11" and b"c2pa" in block.data for block in blocks)
    for block in blocks:
        if block.data.startswith(b"JFXX\0"):
            left_out.append("a JFIF thumbnail")
        elif block.name == "APP11" and signed:
            left_out.append("content credentials (C2PA), a signature of the noisy image")
        elif block.data.startswith(JFIF) and len(block.data) > 14:
            left_out.append("a JFIF thumbnail")
            kept.append(replace(block, data=block.data[:12] + b"\0\0"))
        elif block.data.startswith(photoshop.MARK):
            data = photoshop.without_thumbnail(block.data)
            if data != block.data:
                left_out.append("a Photoshop thumbnail")
            kept.append(replace(block, data=data))
        else:
            kept.append(block)
    return kept, list(dict.fromkeys(left_out))


def _without_previews(blocks: Blocks) -> Blocks:
    """Remove previews, smaller copies of the noisy image, and an index whose images are not there."""
    index = next((block for block in blocks.blocks if block.data.startswith(mpf.MARK)), None)
    if index is None:
        return blocks
    base, end = struct.unpack(">QQ", blocks.extra)
    trailer = any(block.name == TRAILER for block in blocks.blocks)
    if trailer and mpf.moved(index.data, base, end, base, end) == index.data and not mpf.has_previews(index.data):
        return blocks
    return without_images(blocks, "which an index (MPF) with previews names")


def without_images(blocks: Blocks, reason: str) -> Blocks:
    """Remove the images that follow the first one, and say so with this reason."""
    trailer = next((block.data for block in blocks.blocks if block.name == TRAILER), b"")
    index = any(block.data.startswith(mpf.MARK) for block in blocks.blocks)
    if not index and not trailer.startswith(_SOI):
        return blocks
    kept = [block for block in blocks.blocks if block.name != TRAILER and not block.data.startswith(mpf.MARK)]
    what = _names(_contents(blocks)) or "further images"
    return replace(blocks, blocks=tuple(kept), left_out=(*blocks.left_out, f"{what}, {reason}"), noisy=())


def rotated(blocks: Blocks, *, exchanged: bool) -> Blocks:
    """Return the blocks of an image whose pixels have been rotated; `exchanged` tells whether its sides have been."""
    blocks = without_images(blocks, "which would have to be rotated")

    def turned(block: Block) -> Block:
        if exchanged and block.data.startswith(JFIF):
            data = block.data
            return replace(block, data=data[:8] + data[10:12] + data[8:10] + data[12:])
        return block

    return replace(blocks, blocks=tuple(map(turned, blocks.blocks)))


def _end(file: IO[bytes], place: int) -> int | None:
    """Return the position after the end of the image, whose first scan begins at a position; None if it has no end."""
    while True:
        marker = _next_marker(file, place)
        if marker is None:
            return None
        place, code = marker
        if code == _EOI:
            return place
        file.seek(place)
        place += int.from_bytes(file.read(2), "big")


def _next_marker(file: IO[bytes], place: int) -> tuple[int, int] | None:
    """Return the position after the next marker that is not part of a scan, and its code."""
    file.seek(place)
    while chunk := file.read(_CHUNK):
        if found := _IN_SCAN.search(chunk):
            return place + found.end(), chunk[found.end() - 1]
        if len(chunk) < _CHUNK:
            return None
        place += len(chunk) - 1  # a marker may be cut in two
        file.seek(place)
    return None


def _trailer(file: IO[bytes], end: int) -> bytes | None:
    """Return what follows the image, or None if it is too long."""
    if file.seek(0, io.SEEK_END) - end > MAX_BYTES:
        return None
    file.seek(end)
    return file.read()


def from_fields(fields: Mapping[str, Any]) -> list[Segment]:
    """Return the segments for the metadata of another format."""
    made: list[Segment] = []
    if "xres" in fields:
        density = [min(65535, max(1, round(fields[field] * 25.4))) for field in ("xres", "yres")]
        made.append((0xE0, JFIF + struct.pack(">HBHHBB", 0x0101, 1, *density, 0, 0)))
    for field, marker, head in (("exif-data", 0xE1, b""), ("xmp-data", 0xE1, XMP), ("comment", _COMMENT, b"")):
        if field in fields:
            made.append((marker, head + fields[field]))
    if "iptc-data" in fields:
        made.append((0xED, photoshop.from_iptc(fields["iptc-data"])))
    profile, size = fields.get("icc-profile-data", b""), MAX_SEGMENT - len(ICC) - 2
    parts = [profile[start : start + size] for start in range(0, len(profile), size)]
    made += [(0xE2, ICC + bytes([number + 1, len(parts)]) + part) for number, part in enumerate(parts[:255])]
    return [(marker, data) for marker, data in made if len(data) <= MAX_SEGMENT]


def too_long(fields: Mapping[str, Any]) -> list[str]:
    """Return the fields that are too long for a segment."""
    return [field for field in ("exif-data", "xmp-data", "iptc-data") if len(fields.get(field, b"")) > MAX_SEGMENT - 40]


def edit_head(head: bytes, fields: Mapping[str, Any], blocks: Blocks | None) -> bytes | None:
    """Return the beginning of an encoded file with metadata; None if its first scan has not yet begun."""
    encoded = list(segments(file := io.BytesIO(head)))
    if not encoded or encoded[-1][0] != _SOS:
        return None
    rest = file.read()
    own = from_fields(fields) if blocks is None else _native(fields, blocks, encoded)
    adobe = any(data.startswith(ADOBE) for _, data in own)
    jfif = blocks is not None or any(data.startswith(JFIF) for _, data in own)
    for marker, data in encoded:
        if (data.startswith(JFIF) and jfif) or (data.startswith(ADOBE) and marker == 0xEE and adobe):
            continue
        own.append((marker, data))
    return b"\xff\xd8" + b"".join(_packed(marker, data) for marker, data in own) + rest


def _native(fields: Mapping[str, Any], blocks: Blocks, encoded: Sequence[Segment]) -> list[Segment]:
    """Return the segments of the source, without its Adobe segment if the color transform has changed."""
    transform = next((data[11:12] for _, data in encoded if data.startswith(ADOBE)), b"\x01")
    result = []
    for block in blocks.blocks:
        data = block.content(fields)
        other = data is not None and data.startswith(ADOBE) and data[11:12] != transform
        if data is not None and block.name != TRAILER and not other:
            marker = _COMMENT if block.name == "COM" else 0xE0 + int(block.name[3:])
            result.append((marker, data))
    return result


def _packed(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(data) + 2).to_bytes(2, "big") + data


def finish(file: IO[bytes], blocks: Blocks | None) -> None:
    """Append what followed the image in its source, and correct the index of it."""
    trailer = next((block.data for block in blocks.blocks if block.name == TRAILER), b"") if blocks else b""
    if blocks is None or not trailer:
        return
    end = file.seek(0, io.SEEK_END)
    file.write(trailer)
    old_base, old_end = struct.unpack(">QQ", blocks.extra)
    for marker, data in segments(file):
        if marker == 0xE2 and data.startswith(mpf.MARK):
            base = file.tell() - len(data) + len(mpf.MARK)
            file.seek(base - len(mpf.MARK))
            file.write(mpf.moved(data, old_base, old_end, base, end))
            return


def exif_place(file: IO[bytes]) -> int | None:
    """Return the position of the EXIF block, or None if there is none."""
    for marker, data in segments(file):
        if marker == 0xE1 and data.startswith(MARK):
            return file.tell() - len(data)
    return None
