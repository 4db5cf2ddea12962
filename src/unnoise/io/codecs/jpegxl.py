"""JPEG XL (ISO/IEC 18181) by imagecodecs, which codes the pixels; EXIF, XMP and other boxes are carried here."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import IO, Any

import imagecodecs
import numpy as np

from unnoise.errors import UnnoiseError
from unnoise.io import exif, exif_block
from unnoise.io.codecs import Opened
from unnoise.io.codecs.jpegxl_header import START, JpegXLHeader, read_header
from unnoise.io.containers.blocks import Block, Blocks
from unnoise.io.formats import Header
from unnoise.io.layout import UNASSOCIATED, Layout

_SIGNATURE = b"\0\0\0\x0cJXL \r\n\x87\n"
_FILE_TYPE = b"\0\0\0\x14ftypjxl \0\0\0\0jxl "
_FIRST = (b"JXL ", b"ftyp", b"jxll")  # boxes in front of all others
_CODESTREAM, _PART, _COMPRESSED = b"jxlc", b"jxlp", b"brob"
_EXIF, _XMP, _JPEG, _SIGNED = b"Exif", b"xml ", b"jbrd", b"jumb"
_OF_PIXELS = (*_FIRST, _CODESTREAM, _PART, b"jxli")
_QUALITY, _EFFORT = 90, 4  # the usual effort, 7, takes several times as long


def open_file(file: IO[bytes]) -> Opened:
    """Read the boxes of a file, and the header of its codestream."""
    data = file.read()
    boxes = [] if data.startswith(START) else [_plain(*box) for box in _boxes(data)]
    parts = [content[4:] if name == _PART else content for name, content in boxes if name in (_CODESTREAM, _PART)]
    header = _checked(data if data.startswith(START) else b"".join(parts))
    height, width = header.height, header.width
    layout = Layout(1 if header.gray else 3, (UNASSOCIATED,) if header.alpha else ())
    dtype = np.dtype(np.float32 if header.real else np.uint8 if header.bits <= 8 else np.uint16)
    kept = _metadata(boxes) | {"jxl": header, "bits-per-sample": header.bits}
    shape = (height, width, layout.samples)
    return Opened(height, width, layout, dtype, lambda _: imagecodecs.jpegxl_decode(data).reshape(shape), metadata=kept)


def encode(samples: np.ndarray, header: Header, quality: int | None) -> bytes:
    """Encode with the boxes of the source; lossless unless a quality is given, or the source was lossy."""
    kept, bits = header.metadata, None
    source: JpegXLHeader | None = kept.get("jxl")
    pixels = samples[:, :, 0] if samples.shape[2] == 1 else samples
    if samples.dtype == np.uint16 and 8 < kept.get("bits-per-sample", 16) < 16:
        bits = int(kept["bits-per-sample"])
        pixels = np.minimum(pixels, 2**bits - 1)
    options: dict[str, Any] = {"effort": _EFFORT, "bitspersample": bits}
    if samples.shape[2] == 2:  # which would be taken for frames
        options["planar"] = False
    plain = source is None or source.is_plain
    if not plain or (quality is None and (source is None or not source.xyb)):
        options["lossless"] = True
    else:
        options["distance"] = 0.1 + (100 - (quality or _QUALITY)) * 0.09  # as cjxl has it
    made = bytes(imagecodecs.jpegxl_encode(np.ascontiguousarray(pixels), **options))
    if source is not None and not plain:
        made = _with_head(made, source.head, pixels)
    own = [_box(name, kept[field]) for name, field in ((_XMP, "xmp-data"),) if field in kept]
    if "exif-data" in kept:
        own.append(_box(_EXIF, bytes(4) + kept["exif-data"].removeprefix(exif.MARK)))
    blocks: Blocks | None = kept.get("blocks")
    if blocks is not None and blocks.kind == "JXL":
        own += [_box(block.name.encode("latin-1"), block.data) for block in blocks.blocks if not block.field]
    if not own:
        return made
    if made.startswith(START):
        return _SIGNATURE + _FILE_TYPE + b"".join(own) + _box(_CODESTREAM, made)
    found = [(name, _box(name, content)) for name, content in _boxes(made)]
    first = b"".join(box for name, box in found if name in _FIRST)
    return first + b"".join(own) + b"".join(box for name, box in found if name not in _FIRST)


def _with_head(made: bytes, head: bytes, pixels: np.ndarray) -> bytes:
    """Return the codestream of a lossless file with the header of the source, which says what its colors are."""
    codestream = made if made.startswith(START) else b"".join(
        content[4 * (name == _PART) :] for name, content in _boxes(made) if name in (_CODESTREAM, _PART)
    )  # fmt: skip
    result = head + codestream[len(read_header(codestream).head) :]
    if not made.startswith(START):  # with a box that says the level of the codestream
        first = (_box(name, content) for name, content in _boxes(made) if name in _FIRST)
        result = b"".join(first) + _box(_CODESTREAM, result)
    if not np.array_equal(imagecodecs.jpegxl_decode(result), pixels):
        raise UnnoiseError("JPEG XL with this header cannot be written: convert it to TIFF or PNG first")
    return result


def _checked(codestream: bytes) -> JpegXLHeader:
    """Return the header of a codestream; refuse what is not kept."""
    try:
        header = read_header(codestream)
    except NotImplementedError as error:
        raise UnnoiseError(str(error)) from error
    if header.animated:
        raise UnnoiseError("animated JPEG XL is not supported: convert it to WebP first")
    if (header.extras and not header.alpha) or header.associated:
        raise UnnoiseError("JPEG XL with further channels or premultiplied colors is not supported: convert it first")
    if not (8 <= header.bits <= 16 or header.real):
        raise UnnoiseError(f"JPEG XL of {header.bits} bits is not supported: convert it to 8 or 16 bits first")
    if not header.is_plain and (header.xyb or header.turned or not header.head):
        what = header.color or f"{'floats' if header.real else f'{header.bits} bits'}"
        how = "lossy" if header.xyb else "rotated" if header.turned else ""
        raise UnnoiseError(f"{how} JPEG XL with {what} is not supported: convert it to PNG or TIFF first".strip())
    return header


def _metadata(boxes: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    """Return what is kept of the boxes, and name what is not."""
    kept: dict[str, Any] = {}
    blocks, left_out = [], []
    for name, content in boxes:
        if name == _EXIF and len(content) > 4:
            block = exif.MARK + content[4 + struct.unpack_from(">I", content)[0] :]
            if exif_block.thumbnail(block) is not None:
                block = exif_block.without_thumbnail(block)
                left_out.append("an EXIF thumbnail")
            kept["exif-data"] = exif_block.rotated(block)  # the decoder has applied the rotation
        elif name == _XMP:
            kept["xmp-data"] = content
        elif name == _JPEG:
            left_out.append("what the JPEG that it was made of can be restored from")
        elif name == _SIGNED:
            left_out.append("content credentials (C2PA) or other signed data")
        elif name not in _OF_PIXELS:
            text = name.decode("latin-1")
            blocks.append(Block(text, content, title=f"JPEG XL {text}"))
    return kept | {"blocks": Blocks("JXL", tuple(blocks), tuple(left_out))}


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and the content of each box."""
    start = 0
    while start + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, start)
        content = start + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, content)
            content += 8
        end = start + size if size else len(data)
        if not content <= end <= len(data):
            raise ValueError("a box is damaged")
        yield name, data[content:end]
        start = end


def _plain(name: bytes, content: bytes) -> tuple[bytes, bytes]:
    """Return a box without the compression that it may have."""
    return (content[:4], bytes(imagecodecs.brotli_decode(content[4:]))) if name == _COMPRESSED else (name, content)


def _box(name: bytes, content: bytes) -> bytes:
    if len(content) + 8 < 2**32:
        return struct.pack(">I4s", len(content) + 8, name) + content
    return struct.pack(">I4sQ", 1, name, len(content) + 16) + content
