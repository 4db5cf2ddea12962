"""Ancillary chunks of PNG files (W3C Portable Network Graphics, third edition, chapter 11)."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import IO, Any

from unnoise.io.containers.blocks import MAX_BYTES, Block, Blocks
from unnoise.io.exif import MARK

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_ENCODER = (b"IHDR", b"PLTE", b"tRNS", b"acTL", b"fcTL")  # chunks of the encoder that describe the pixels
# Of the pixels as they were encoded, of an animation, or a signature of the noisy image.
NOT_CARRIED = {"tRNS": "", "hIST": "", "acTL": "", "fcTL": "", "fdAT": "", "dSIG": "a digital signature",
                "caBX": "content credentials (C2PA), a signature of the noisy image"}  # fmt: skip
KNOWN = {
    *("gAMA", "cHRM", "sRGB", "iCCP", "cICP", "mDCV", "mDCv", "cLLI", "cLLi", "sBIT", "pHYs", "tIME", "tEXt", "zTXt"),
    *("iTXt", "eXIf", "sPLT", "bKGD", "oFFs", "pCAL", "sCAL", "sTER", "gIFg", "gIFx"),
}
_TITLES = {"iCCP": "a color profile", "pHYs": "PNG pHYs without a unit"}
_XMP = b"XML:com.adobe.xmp"
_RAW = re.compile(rb"\n[^\n]*\n *(\d+)\n([0-9a-fA-F\s]*)")  # of ImageMagick: a type, a length, hexadecimal digits
_RAW_FIELDS = {b"Raw profile type exif": "exif-data", b"Raw profile type APP1": "exif-data",
               b"Raw profile type iptc": "iptc-data"}  # fmt: skip

Chunk = tuple[bytes, bytes]  # type and content


def chunks(file: IO[bytes], *, most: int = MAX_BYTES) -> Iterator[tuple[bytes, bytes | None]]:
    """Yield type and content of each chunk, None for pixels, a wrong checksum, or what is longer than `most` bytes."""
    file.seek(len(SIGNATURE))
    while len(head := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        if name in (b"IDAT", b"fdAT") or length > most:
            file.seek(length + 4, io.SEEK_CUR)
            yield name, None
            continue
        data, check = file.read(length), file.read(4)
        if len(data) < length:
            return
        yield name, data if check == struct.pack(">I", zlib.crc32(name + data)) else None
        if name == b"IEND":
            return


def is_animated(file: IO[bytes]) -> bool:
    """Tell whether a PNG file is an animation."""
    names = (name for name, _ in chunks(file, most=0))
    return next((name for name in names if name in (b"IDAT", b"acTL")), b"") == b"acTL"


def read(file: IO[bytes]) -> tuple[dict[str, Any], Blocks]:
    """Return the fields and the ancillary chunks of a PNG file."""
    found: list[Block] = []
    fields: dict[str, Any] = {}
    left_out: list[str] = []
    pixels, total = _Pixels(), 0
    for name_bytes, data in chunks(file):
        if name_bytes == b"IDAT" or (name_bytes[0] < 0x60 and data is None):
            continue
        name = name_bytes.decode("latin-1")
        pixels.see(name, data)
        total += len(data or b"")
        if name_bytes[0] < 0x60:  # an upper-case letter: a chunk of the pixels
            continue
        if name in NOT_CARRIED:
            left_out.append(NOT_CARRIED[name])
        elif data is None or total > MAX_BYTES:
            left_out.append(f"PNG {name}, damaged or too long")
        elif name not in KNOWN and name_bytes[3] < 0x60:  # by the specification not to be copied to other pixels
            left_out.append(f"PNG {name}, which depends on the pixels")
        else:
            found.append(_block(name, data, fields))
    blocks = tuple(pixels.adapted(block) for block in found)
    return fields, Blocks("PNG", blocks, tuple(filter(None, dict.fromkeys(left_out))))


class _Pixels:
    """How the pixels of a file are encoded, as far as the meaning of other chunks depends on it."""

    def __init__(self) -> None:
        self._depth, self._kind, self._palette, self._transparent = 8, 2, b"", False

    def see(self, name: str, data: bytes | None) -> None:
        """Take note of a chunk."""
        if name == "IHDR" and data:
            self._depth, self._kind = data[8], data[9]
        elif name == "PLTE" and data:
            self._palette = data
        elif name == "tRNS":
            self._transparent = True

    def adapted(self, block: Block) -> Block:
        """Return a chunk as it is right for the output: without palette, 8 or 16 bits, transparency as alpha."""
        data = block.data
        if block.name == "sBIT" and self._transparent and self._kind in (0, 2, 3):
            data += bytes([16 if self._depth == 16 else 8])
        elif block.name == "bKGD" and self._kind == 3 and len(data) == 1:
            color = self._palette[3 * data[0] : 3 * data[0] + 3]
            data = struct.pack(">3H", *color) if len(color) == 3 else b""
        elif block.name == "bKGD" and self._kind == 0 and self._depth < 8 and len(data) == 2:
            data = struct.pack(">H", struct.unpack(">H", data)[0] * 255 // (2**self._depth - 1))
        return block if data == block.data else Block(block.name, data, block.field, block.title)


def _block(name: str, data: bytes, fields: dict[str, Any]) -> Block:
    """Return a chunk as a block; a field that it holds is added to the fields."""
    if name == "eXIf" and "exif-data" not in fields:
        fields["exif-data"] = data if data.startswith(MARK) else MARK + data
        return Block(name, MARK if data.startswith(MARK) else b"", "exif-data")
    if name in ("tEXt", "zTXt", "iTXt"):
        return _text(name, data, fields)
    if name == "pHYs" and len(data) == 9 and data[8] == 1 and min(per_meter := struct.unpack(">2I", data[:8])) > 0:
        fields["xres"], fields["yres"] = (value / 1000 for value in per_meter)
        return Block(name, data, title="the resolution")
    return Block(name, data, title=_TITLES.get(name, ""))


def _text(name: str, data: bytes, fields: dict[str, Any]) -> Block:
    """Return a text chunk as a block; EXIF, XMP, IPTC and a comment are fields."""
    keyword = data.partition(b"\0")[0]
    field = {_XMP: "xmp-data", b"Comment": "comment"}.get(keyword) or _RAW_FIELDS.get(keyword, "")
    text = _decoded(name, data) if field else None
    title = f"PNG text {keyword.decode('latin-1')!r}"
    if text is None or field in fields:
        return Block(name, data, title=title)
    if field in ("xmp-data", "comment"):
        fields[field] = text
        return Block(name, _lead(name, data), field)
    profile = _from_hex(text)
    if profile is None or (field == "exif-data" and not profile.startswith(MARK)):
        return Block(name, data, title=title)
    fields[field] = profile
    return Block(name, _lead(name, data) + keyword[len(b"Raw profile type ") :], field)


def _lead(name: str, data: bytes) -> bytes:
    """Return what stands before the text: keyword, compression, and language."""
    keyword = data.index(b"\0") + 1
    if name == "tEXt":
        return data[:keyword]
    if name == "zTXt":
        return data[: keyword + 1]
    language = data.index(b"\0", keyword + 2) + 1
    return data[: data.index(b"\0", language) + 1]


def _decoded(name: str, data: bytes) -> bytes | None:
    """Return the text of a text chunk, uncompressed; None if it is damaged or too long."""
    try:
        lead = _lead(name, data)
        text = data[len(lead) :]
        if name == "zTXt" or (name == "iTXt" and data[data.index(b"\0") + 1]):
            inflate = zlib.decompressobj()
            text = inflate.decompress(text, MAX_BYTES)
            return text if inflate.eof else None
        return text
    except (ValueError, IndexError, zlib.error):
        return None


def _from_hex(text: bytes) -> bytes | None:
    """Return a profile that ImageMagick has written as text, or None if it is damaged."""
    match = _RAW.match(text)
    try:
        return bytes.fromhex(match[2].decode()) if match else None
    except ValueError:
        return None


def _as_hex(kind: bytes, profile: bytes) -> bytes:
    """Return a profile as ImageMagick writes it."""
    digits = profile.hex().encode()
    lines = b"\n".join(digits[start : start + 72] for start in range(0, len(digits), 72))
    return b"\n%s\n%8d\n%s\n" % (kind, len(profile), lines)


def _content(block: Block, fields: Mapping[str, Any]) -> bytes | None:
    """Return the content of a chunk with the present value of its field; None if that has been removed."""
    if not block.field or block.field not in fields:
        return block.content(fields)
    value: bytes = fields[block.field]
    if block.name == "eXIf":
        return value if block.data else value.removeprefix(MARK)
    lead = _lead(block.name, block.data)
    kind = block.data[len(lead) :]
    text = _as_hex(kind, value) if kind else value
    compressed = block.name == "zTXt" or (block.name == "iTXt" and lead[lead.index(b"\0") + 1])
    return lead + (zlib.compress(text) if compressed else text)


def from_fields(fields: Mapping[str, Any]) -> list[Chunk]:
    """Return the chunks for the metadata of another format."""
    made = []
    if "icc-profile-data" in fields:
        made.append((b"iCCP", b"icc\0\0" + zlib.compress(fields["icc-profile-data"])))
    if "xres" in fields:
        per_meter = [min(2**31 - 1, max(1, round(1000 * fields[field]))) for field in ("xres", "yres")]
        made.append((b"pHYs", struct.pack(">2IB", *per_meter, 1)))
    if "exif-data" in fields:
        made.append((b"eXIf", fields["exif-data"].removeprefix(MARK)))
    if "xmp-data" in fields:
        made.append((b"iTXt", _XMP + bytes(5) + fields["xmp-data"]))
    if "iptc-data" in fields:
        raw = zlib.compress(_as_hex(b"iptc", fields["iptc-data"]))
        made.append((b"zTXt", b"Raw profile type iptc\0\0" + raw))
    if "comment" in fields:
        made.append(_comment(fields["comment"]))
    return made


def _comment(text: bytes) -> Chunk:
    """Return a comment as text: of Latin-1 as that, of UTF-8 as international text."""
    text = text.rstrip(b"\0").replace(b"\0", b"\n")
    try:
        international = not text.isascii() and bool(text.decode())
    except UnicodeDecodeError:
        international = False
    return (b"iTXt", b"Comment" + bytes(5) + text) if international else (b"tEXt", b"Comment\0" + text)


def edit_head(head: bytes, fields: Mapping[str, Any], blocks: Blocks | None) -> bytes | None:
    """Return the beginning of an encoded file with metadata; None if its pixels have not yet begun."""
    kept, place = [], len(SIGNATURE)
    while (name := head[place + 4 : place + 8]) != b"IDAT":
        length = int.from_bytes(head[place : place + 4], "big")
        if place + 12 + length > len(head):
            return None
        if name in _ENCODER:
            kept.append(head[place : place + 12 + length])
        place += 12 + length
    if blocks is None:
        own = from_fields(fields)
    else:
        contents = ((block.name.encode("latin-1"), _content(block, fields)) for block in blocks.blocks)
        own = [(name, data) for name, data in contents if data]
    made = b"".join(map(packed, own))
    return SIGNATURE + kept[0] + made + b"".join(kept[1:]) + head[place:]


def packed(chunk: Chunk) -> bytes:
    """Return a chunk as it stands in a file: with its length and checksum."""
    name, data = chunk
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def with_thumbnail(file: IO[bytes], block: bytes) -> bool:
    """Replace the EXIF block of a file by one of the same length; tell whether there is one."""
    for name, data in chunks(file):
        if name == b"eXIf" and data is not None:
            content = block if data.startswith(MARK) else block.removeprefix(MARK)
            file.seek(-len(data) - 4, io.SEEK_CUR)
            file.write(content + struct.pack(">I", zlib.crc32(name + content)))
            return True
    return False


def rotated(blocks: Blocks, *, exchanged: bool) -> Blocks:
    """Return the chunks of an image whose pixels have been rotated; `exchanged` tells whether its sides have been."""
    if not exchanged:
        return blocks

    def turned(block: Block) -> Block:
        if block.name != "pHYs":
            return block
        return Block(block.name, block.data[4:8] + block.data[:4] + block.data[8:], title=block.title)

    return Blocks(blocks.kind, tuple(map(turned, blocks.blocks)), blocks.left_out, blocks.extra)
