"""Tags of TIFF files that are not about how pixels are stored, and how they are (TIFF 6.0; TIFF/EP; GeoTIFF 1.1)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from fractions import Fraction
from typing import IO, Any

from unnoise.io import exif, ifd
from unnoise.io.containers import imagej, photoshop, tiff_storage
from unnoise.io.containers.blocks import MAX_BYTES, Block, Blocks
from unnoise.io.ifd import Field, Fields, Layout

_SUBFILE, _DESCRIPTION, _ORIENTATION, _X, _Y, _UNIT, _PAGE_NUMBER, _SUB_IFDS = 254, 270, 274, 282, 283, 296, 297, 330
_PHOTOMETRIC = 262
_XMP, _IPTC, _PHOTOSHOP, _ICC, _LAYERS = 700, 33723, 34377, 34675, 37724
# Tags of how the pixels of the source are stored: the encoder writes its own, where there are any.
_STORAGE = {
    *(255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 277, 278, 279, 284, 288, 289, 290, 291, 292, 293),
    *(317, 320, 322, 323, 324, 325, 326, 327, 328, _SUB_IFDS, 338, 339, 347, *range(512, 522)),
    *(529, 530, 531, 532, 32781, _ORIENTATION, _LAYERS),
}
_PIXEL_SIZE = (0xA002, 0xA003)  # of the EXIF directory
_RESOLUTION = (_X, _Y, _UNIT)
_PER_MILLIMETER = {2: 25.4, 3: 10.0}  # by the unit of the resolution: inch or centimeter
# Tags that other formats hold in another way, and names of their own.
_TITLES = {_XMP: "XMP", _IPTC: "IPTC", _ICC: "a color profile", _PHOTOSHOP: photoshop.TITLE, ifd.EXIF: "EXIF",
           ifd.GPS: "EXIF", 33550: "GeoTIFF", 33922: "GeoTIFF", 34264: "GeoTIFF", 34735: "GeoTIFF", 34736: "GeoTIFF",
           34737: "GeoTIFF", imagej.COUNTS: "ImageJ metadata", imagej.METADATA: "ImageJ metadata"}  # fmt: skip


def read(file: IO[bytes]) -> tuple[dict[str, Any], Blocks]:
    """Return the fields and the tags of a TIFF.

    Among the fields are `tiff-pages`, the tags of each page, little-endian, and `tiff-storage`.
    """
    layout, _, first = ifd.read_header(file)
    storage, reduced = tiff_storage.read(file)
    pages, left_out, total = [], [], 0
    for offset in ifd.directories(file, layout, first):
        if reduced and pages:
            break
        tags, named = _tags(file, layout, offset)
        left_out += named
        total += _size(tags)
        if total > MAX_BYTES:
            left_out.append("tags of further pages, too long")
            break
        pages.append(tags)
    if not storage.pyramid and _SUB_IFDS in dict.fromkeys(_numbers(file, layout, first)):
        left_out.append("sub-images (SubIFDs)")
    if storage.replaced:
        left_out.append(f"the compression ({storage.replaced}), which becomes deflate")
    if _is_double(file, layout, first):
        left_out.append("the precision of 64-bit floats, which become 32-bit floats")
    fields = _fields(pages[0]) | {"tiff-pages": tuple(pages), "tiff-storage": storage}
    if block := exif.read_block(file):
        fields["exif-data"] = block
    blocks = [Block(title, b"", title=title) for title in _titles(pages[0], fields)]
    return fields, Blocks("TIFF", tuple(blocks), tuple(dict.fromkeys(left_out)))


def _is_double(file: IO[bytes], layout: Layout, offset: int) -> bool:
    """Tell whether the samples of a page are 64-bit floats."""
    tags = ifd.read(file, layout, offset, only=(258, 339), most=MAX_BYTES)
    bits, kind = ({*tiff_storage.values(tags[tag], layout)} if tag in tags else {1} for tag in (258, 339))
    return bits == {64} and kind == {3}


def _numbers(file: IO[bytes], layout: Layout, offset: int) -> list[int]:
    """Return the tags of a directory."""
    return [entry[0] for entry in ifd.entries(file, layout, offset)[0]]


def _tags(file: IO[bytes], layout: Layout, offset: int) -> tuple[Fields, list[str]]:
    """Return the tags of a page that are carried, little-endian, and names of those that are not."""
    numbers, left_out = set(_numbers(file, layout, offset)), []
    tags = dict(ifd.read(file, layout, offset, without=_STORAGE, most=MAX_BYTES))
    if layout.order == ">":
        tags = {tag: field if tag == _IPTC else ifd.byteswap(field) for tag, field in tags.items()}
        own, counts = tags.get(imagej.METADATA), tags.get(imagej.COUNTS)
        if isinstance(own, tuple) and isinstance(counts, tuple):
            big = ifd.byteswap(counts)[1]
            tags[imagej.METADATA] = own[0], imagej.byteswap(big, own[1], ">")  # type: ignore[arg-type]
    if _ORIENTATION in numbers:
        tags[_ORIENTATION] = 3, struct.pack("<H", 1)  # until `finish` knows better
    if _LAYERS in numbers:
        left_out.append("layers of Photoshop, with the noisy image")
    resources = tags.get(_PHOTOSHOP)
    if isinstance(resources, tuple):
        data = photoshop.without_thumbnail(photoshop.MARK + resources[1]).removeprefix(photoshop.MARK)
        if data != resources[1]:
            left_out.append("a Photoshop thumbnail")
            tags[_PHOTOSHOP] = resources[0], data
    if 290 in numbers or 291 in numbers:
        left_out.append("the gray response curve")
    return tags, left_out


def _size(fields: Fields) -> int:
    return sum(len(field[1]) if isinstance(field, tuple) else _size(field) for field in fields.values())


def _fields(tags: Fields) -> dict[str, Any]:
    """Return the metadata that other formats can hold."""
    data = {tag: field[1] for tag, field in tags.items() if isinstance(field, tuple)}
    fields: dict[str, Any] = {}
    for tag, field in ((_XMP, "xmp-data"), (_ICC, "icc-profile-data"), (_IPTC, "iptc-data")):
        if tag in data:
            fields[field] = data[tag]
    if _PHOTOSHOP in data and (iptc := photoshop.iptc(photoshop.MARK + data[_PHOTOSHOP])):
        fields.setdefault("iptc-data", iptc)
    unit = struct.unpack("<H", data[_UNIT][:2])[0] if _UNIT in data else 2
    if {_X, _Y} <= data.keys() and unit in _PER_MILLIMETER and len(data[_X]) == len(data[_Y]) == 8:
        values = [struct.unpack("<II", data[tag]) for tag in (_X, _Y)]
        if all(min(value) > 0 for value in values):
            fields["xres"], fields["yres"] = (value[0] / value[1] / _PER_MILLIMETER[unit] for value in values)
    return fields


def _titles(tags: Fields, fields: Mapping[str, Any]) -> list[str]:
    """Return names of the tags that another format does not hold."""
    from PIL import TiffTags

    held = {*exif.COPIED_TAGS, *(_RESOLUTION if "xres" in fields else ())}
    description = tags.get(_DESCRIPTION)
    if isinstance(description, tuple) and exif.is_of_program(description[1]):
        held.discard(_DESCRIPTION)
    names = []
    for tag in tags:
        if tag in _TITLES:
            names.append(_TITLES[tag])
        elif tag not in held:
            names.append(f"TIFF {TiffTags.lookup(tag).name if tag in TiffTags.TAGS_V2 else tag}")
    return list(dict.fromkeys(names))


def rotated(metadata: Mapping[str, Any], *, exchanged: bool) -> dict[str, Any]:
    """Return the metadata of an image whose pixels have been rotated; `exchanged` tells whether its sides have been."""
    result = dict(metadata)
    if exchanged:
        pages = [dict(tags) for tags in metadata.get("tiff-pages", ())]
        for tags in pages:
            _exchange(tags, _X, _Y)
            if isinstance(camera := tags.get(ifd.EXIF), Mapping):
                tags[ifd.EXIF] = dict(camera)
                _exchange(tags[ifd.EXIF], *_PIXEL_SIZE)
        result["tiff-pages"] = tuple(pages)
    return result


def _exchange(tags: dict[int, Any], one: int, other: int) -> None:
    """Exchange two values of a directory."""
    if one in tags and other in tags:
        tags[one], tags[other] = tags[other], tags[one]


def finish(file: IO[bytes], metadata: Mapping[str, Any], fields: Mapping[str, Any], blocks: Blocks | None) -> None:
    """Write tags to an encoded file.

    Args:
        file: open for reading and writing.
        metadata: of the image.
        fields: those of it that a TIFF holds.
        blocks: of the source, if that was a TIFF.
    """
    pages = metadata.get("tiff-pages", ()) if blocks is not None else (_from_fields(fields),)
    layout, pointer, offset = ifd.read_header(file)
    turned = metadata.get("orientation", 1)
    page = 0
    while offset:
        tags = dict(pages[page]) if page < len(pages) else {}
        if _XMP in tags and "xmp-data" in fields and page == 0:
            tags[_XMP] = 1, fields["xmp-data"]
        if "tiff-lab" in metadata:  # whose samples were encoded as those of RGB
            tags[_PHOTOMETRIC] = 3, struct.pack("<H", metadata["tiff-lab"].photometric)
        if turned > 1:
            tags[_ORIENTATION] = 3, struct.pack("<H", turned)
        tags = {tag: fitted for tag, field in tags.items() if (fitted := _fitted(field, layout)) is not None}
        if layout.order == ">":
            tags = {tag: field if tag == _IPTC else ifd.byteswap(field) for tag, field in tags.items()}
        entries, following = ifd.entries(file, layout, offset)
        kept = [entry for entry in entries if entry[0] not in tags and not _is_invented(entry, layout)]
        pointer = ifd.append(file, tags, layout, pointer, kept, following)
        offset, page = following, page + 1
    if blocks is None and "exif-data" in fields:
        exif.write_block(file, fields["exif-data"])


def _is_invented(entry: ifd.Entry, layout: Layout) -> bool:
    """Tell whether libvips has written an entry that the source does not have, and that is not about the pixels."""
    tag, _, _, value = entry
    if tag == _SUBFILE:
        return not struct.unpack(f"{layout.order}I", value[:4])[0] & 1  # a page; smaller copies have to be marked
    return tag in (*_RESOLUTION, _ORIENTATION, _PAGE_NUMBER)


def _fitted(field: Field | Fields, layout: Layout) -> Field | Fields | None:
    """Return a field as the file can hold it: integers of 8 bytes only in a BigTIFF; None if it cannot."""
    if isinstance(field, Mapping):
        fitted = {tag: _fitted(value, layout) for tag, value in field.items()}
        return {tag: value for tag, value in fitted.items() if value is not None}
    kind, data = field
    if layout.big or kind not in (16, 17, 18):
        return field
    values = struct.unpack(f"<{len(data) // 8}Q", data)
    return (4, struct.pack(f"<{len(values)}I", *values)) if max(values) < 2**32 and kind == 16 else None


def _from_fields(fields: Mapping[str, Any]) -> Fields:
    """Return the tags for the metadata of another format, without EXIF."""
    tags: dict[int, Field] = {}
    for tag, field, kind in ((_XMP, "xmp-data", 1), (_ICC, "icc-profile-data", 7), (_IPTC, "iptc-data", 7)):
        if field in fields:
            tags[tag] = kind, fields[field]
    if "xres" in fields:
        unit, x, y = _as_fractions(fields["xres"], fields["yres"])
        tags |= {_UNIT: (3, struct.pack("<H", unit)), _X: (5, struct.pack("<II", *x)), _Y: (5, struct.pack("<II", *y))}
    return tags


def _as_fractions(*per_millimeter: float) -> tuple[int, tuple[int, int], tuple[int, int]]:
    """Return the unit, inch or centimeter, in which two resolutions are the simpler fractions, and these."""
    candidates = []
    for unit, millimeters in _PER_MILLIMETER.items():
        values = [Fraction(value * millimeters).limit_denominator(10_000) for value in per_millimeter]
        error = max(
            abs(float(f) / millimeters - value) / value for f, value in zip(values, per_millimeter, strict=True)
        )
        candidates.append((error > 1e-9, max(value.denominator for value in values), unit, values))
    _, _, unit, (x, y) = min(candidates)
    return unit, (x.numerator, x.denominator), (y.numerator, y.denominator)
