"""Metadata as the containers of image files store them, so that they can be written again byte for byte.

libvips decodes and encodes the pixels. What stands around them is read from the file here, and put into the encoded
file afterwards: segments of JPEG, chunks of PNG and WebP, extensions of GIF, boxes of AVIF, tags of TIFF. Between
files of one format all of it is carried; other formats get the `FIELDS` that they have a place for.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from unnoise.io import exif, exif_block, thumbnail
from unnoise.io.containers import avif, gif, jpeg, png, tiff, webp
from unnoise.io.containers.blocks import FIELDS, Blocks

_READERS = {"JPEG": jpeg.read, "PNG": png.read, "WebP": webp.read, "GIF": gif.read, "AVIF": avif.read,
            "TIFF": tiff.read}  # fmt: skip
_HOLDS = {
    "JPEG": FIELDS.keys(),
    "PNG": FIELDS.keys(),
    "TIFF": FIELDS.keys() - {"comment"},
    "WebP": FIELDS.keys() - {"comment", "iptc-data"},
    "AVIF": FIELDS.keys() - {"comment", "iptc-data"},
    "GIF": {"comment"},
    "HEIC": FIELDS.keys() - {"comment", "iptc-data"},
    "JXL": {"exif-data", "xmp-data"},
}
_NO_RESOLUTION = ("GIF", "PNM", "PFM", "JP2", "DICOM", "FITS", "EXR", "HDR", "JXL")
_BY_EXIF = ("JPEG", "PNG", "WebP")  # formats whose orientation is in the EXIF
_TIMED = ("PNG", "WebP", "GIF")  # formats of animations
_BLOCKS = (*_BY_EXIF, "AVIF")  # formats that hold EXIF as a block
_DEFAULT = "the image that is shown instead of the animation"
_PER_MILLIMETER = 10_000  # resolutions are written as fractions of this denominator, per centimeter


def read(kind: str, file: IO[bytes]) -> dict[str, Any]:
    """Return the metadata of a file: values of `FIELDS`, `xres` and `yres` in pixels per millimeter, and `blocks`.

    Args:
        kind: name of its format.
        file: seekable; its position is not restored. What is damaged is left out.
    """
    if kind not in _READERS:
        return {}
    try:
        fields, blocks = _READERS[kind](file)
    except (struct.error, IndexError, ValueError, KeyError):
        return {"blocks": Blocks(kind, left_out=("metadata, which is damaged",))}
    if "exif-data" in fields:
        fields["exif-data"], blocks = _without_stale_thumbnail(fields["exif-data"], blocks)
        resolution = exif_block.resolution(fields["exif-data"])
        if "xres" not in fields and resolution is not None:
            fields["xres"], fields["yres"] = resolution
    return {**fields, "blocks": blocks}


def _without_stale_thumbnail(block: bytes, blocks: Blocks) -> tuple[bytes, Blocks]:
    """Remove a thumbnail that `finish` cannot renew."""
    as_text = any(each.field == "exif-data" and each.name in ("tEXt", "zTXt", "iTXt") for each in blocks.blocks)
    stale = exif_block.has_other_thumbnail(block) or (as_text and exif_block.thumbnail(block) is not None)
    if not stale:
        return block, blocks
    left_out = (*blocks.left_out, "an EXIF thumbnail that cannot be renewed")
    return exif_block.without_thumbnail(block), replace(blocks, left_out=left_out)


def rotated(metadata: Mapping[str, Any], size: tuple[int, int] | None) -> dict[str, Any]:
    """Return the metadata of an image whose pixels have been rotated by its orientation.

    Args:
        metadata: as `read` returns it.
        size: the new width and height, if they have been exchanged.
    """
    result = dict(metadata)
    if "exif-data" in result:
        result["exif-data"] = exif_block.rotated(result["exif-data"], size)
    if size is not None and "xres" in result:
        result["xres"], result["yres"] = result["yres"], result["xres"]
    result = tiff.rotated(result, exchanged=size is not None)
    blocks = result.get("blocks")
    if blocks is not None and blocks.kind in ("JPEG", "PNG"):
        turn = jpeg.rotated if blocks.kind == "JPEG" else png.rotated
        result["blocks"] = turn(blocks, exchanged=size is not None)
    return result


def dropped(metadata: Mapping[str, Any], kind: str) -> list[str]:
    """Return the names of what a file of another format cannot hold."""
    held = {FIELDS[field] for field in _HOLDS.get(kind, ())} | (set() if kind in _NO_RESOLUTION else {"the resolution"})
    names = [FIELDS[field] for field in FIELDS if field in metadata]
    names += ["the resolution"] if "xres" in metadata else []
    if kind not in _TIMED and len(metadata.get("durations", ())) > 1:
        names.append("the timing of the frames")
    if kind != "PNG" and has_default_image(metadata):
        names.append(_DEFAULT)
    if kind == "TIFF" and exif_block.thumbnail(metadata.get("exif-data", b"")) is not None:
        names.append("an EXIF thumbnail")
    if kind == "JPEG":
        held -= {FIELDS[field] for field in jpeg.too_long(metadata)}
    blocks: Blocks | None = metadata.get("blocks")
    if blocks is not None and blocks.kind != kind:
        names += [*blocks.titles(), *blocks.left_out]
    return [name for name in dict.fromkeys(names) if name not in held]


def native(metadata: Mapping[str, Any], kind: str) -> Blocks | None:
    """Return the blocks of the source, if it had the same format."""
    blocks: Blocks | None = metadata.get("blocks")
    return blocks if blocks is not None and blocks.kind == kind else None


def fields_for(metadata: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return the metadata that a file of a format holds, with orientation and resolution where they belong."""
    carried = (*_HOLDS.get(kind, ()), "xres", "yres", "durations", "webp-background")
    fields = {field: metadata[field] for field in carried if field in metadata}
    orientation = metadata.get("orientation", 1)
    if kind == "AVIF":
        fields["orientation"] = orientation
        if "exif-data" in fields:  # which does not count there (ISO/IEC 23008-12, annex A.2.1)
            fields["exif-data"] = exif_block.rotated(fields["exif-data"])
    if kind not in _BLOCKS or native(metadata, kind) is not None:
        return fields
    block, new = fields.get("exif-data"), {}
    if kind != "AVIF" and orientation != (1 if block is None else exif_block.orientation(block)):
        new[0x0112] = 3, struct.pack("<H", orientation)
    if kind in ("WebP", "AVIF") and "xres" in fields and (block is None or exif_block.resolution(block) is None):
        for tag, field in ((0x011A, "xres"), (0x011B, "yres")):
            new[tag] = 5, struct.pack("<II", *_fraction(fields[field]))
        new[0x0128] = 3, struct.pack("<H", 2)
    if new:
        fields["exif-data"] = exif.with_fields(block, new)
    if kind == "JPEG":
        for field in jpeg.too_long(fields):
            del fields[field]
    return fields


def _fraction(per_millimeter: float) -> tuple[int, int]:
    """Return a resolution in pixels per inch as a fraction."""
    return min(2**32 - 1, max(1, round(per_millimeter * 25.4 * _PER_MILLIMETER))), _PER_MILLIMETER


def noisy(metadata: Mapping[str, Any], kind: str) -> Sequence[str]:
    """Return the names of pictures that a file of a format carries as they are, with their noise."""
    blocks = native(metadata, kind)
    default = (_DEFAULT,) if kind == "PNG" and has_default_image(metadata) else ()
    return default if blocks is None else (*blocks.noisy, *default)


def has_default_image(metadata: Mapping[str, Any]) -> bool:
    """Tell whether an animated PNG has an image that is no frame of it."""
    return metadata.get("apng") is not None and metadata["apng"].default is not None


def head_editor(metadata: Mapping[str, Any], kind: str) -> Callable[[bytes], bytes | None] | None:
    """Return a function that puts metadata into the beginning of an encoded file, or None if they stand elsewhere.

    The function returns None until it is given enough of the file.
    """
    edit = {"JPEG": jpeg.edit_head, "PNG": png.edit_head}.get(kind)
    if edit is None:
        return None
    fields, blocks = fields_for(metadata, kind), native(metadata, kind)
    return lambda head: edit(head, fields, blocks)


def finish(file: IO[bytes], metadata: Mapping[str, Any], kind: str, path: Path | None = None) -> list[str]:
    """Complete an encoded file with the metadata that do not stand at its beginning; renew its thumbnail.

    Args:
        file: the file, open for reading and writing, whose beginning has been edited.
        metadata: of the image.
        kind: name of the format.
        path: of the file; None if it is in memory.

    Returns:
        Names of what is left out.
    """
    fields, blocks = fields_for(metadata, kind), native(metadata, kind)
    left_out = list(blocks.left_out) if blocks is not None else []
    block = fields.get("exif-data")
    if kind in _BLOCKS and block is not None and exif_block.thumbnail(block) is not None:
        fields["exif-data"] = thumbnail.renewed(block, path or _all(file))
        if exif_block.thumbnail(fields["exif-data"]) is None:
            left_out.append("an EXIF thumbnail that could not be renewed")
    if kind == "JPEG":
        if place := fields.get("exif-data") != block and jpeg.exif_place(file):
            file.seek(place)
            file.write(fields["exif-data"])
        jpeg.finish(file, blocks)
    elif kind == "PNG" and fields.get("exif-data") != block:
        png.with_thumbnail(file, fields["exif-data"])
    elif kind == "TIFF":
        tiff.finish(file, metadata, fields, blocks)
    elif kind == "WebP":
        webp.finish(file, fields, blocks)
    elif kind == "GIF":
        gif.finish(file, fields, blocks)
    elif kind == "AVIF":
        try:
            avif.finish(file, fields, blocks)
        except (ValueError, KeyError, struct.error):
            left_out.append("EXIF")
    return left_out


def _all(file: IO[bytes]) -> bytes:
    file.seek(0, io.SEEK_SET)
    return file.read()
