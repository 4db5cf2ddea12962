"""Write TIFF stacks as ImageJ needs them: the pixels of all pages behind each other, without compression.

ImageJ reads the directory of the first page only, and takes the pixels of the others from behind those of the first.
libvips writes directories between them.
"""

from __future__ import annotations

import struct
from typing import IO

import pyvips

from unnoise.io import ifd
from unnoise.io.formats import SAMPLES, Header

_ROWS = 64  # that are written at once
_LARGEST = 2**32 - 2**24  # bytes of pixels in a classic TIFF, with room for tags
_PHOTOMETRIC = {"cmyk": (5, 4), "srgb": (2, 3), "rgb16": (2, 3), "scrgb": (2, 3)}  # number, samples; others are gray
_UNASSOCIATED = 2  # type of an extra sample


def is_needed(header: Header) -> bool:
    """Tell whether a TIFF with this header is a stack of ImageJ."""
    pages = header.metadata.get("tiff-pages") or ({},)
    description = pages[0].get(270, (2, b""))[1]
    return header.pages > 1 and description.startswith(b"ImageJ=")


def write(image: pyvips.Image, header: Header, file: IO[bytes]) -> None:
    """Write an image, whose rows are read once and in order, to an empty file.

    Raises:
        pyvips.Error: its rows cannot be computed.
        OSError: the disk fails.
    """
    layout = ifd.Layout("<", header.size > _LARGEST)
    start = 16 if layout.big else 8
    file.write(b"II" + (struct.pack("<HHHQ", 43, 8, 0, 0) if layout.big else struct.pack("<HI", 42, 0)))
    region = pyvips.Region.new(image)
    for top in range(0, image.height, _ROWS):
        file.write(region.fetch(0, top, image.width, min(_ROWS, image.height - top)))
    height = image.height // header.pages
    size = header.size // header.pages
    pointer = 8 if layout.big else 4
    for page in range(header.pages):
        pointer = ifd.append(file, _tags(image, header, height, start + page * size, size), layout, pointer)


def _tags(image: pyvips.Image, header: Header, height: int, place: int, size: int) -> ifd.Fields:
    """Return the tags of a page."""
    dtype = SAMPLES[str(image.format)]
    photometric, samples = _PHOTOMETRIC.get(header.colour_space, (1, 1))
    kind = {"u": 1, "i": 2, "f": 3}[dtype.kind]
    shorts = {258: [8 * dtype.itemsize] * image.bands, 259: [1], 262: [photometric], 277: [image.bands], 284: [1]}
    shorts[339] = [kind] * image.bands
    if image.bands > samples:
        shorts[338] = [_UNASSOCIATED] * (image.bands - samples)
    offset = (16, struct.pack("<Q", place)) if header.size > _LARGEST else (4, struct.pack("<I", place))
    longs = {256: image.width, 257: height, 278: height, 279: size}
    return (
        {tag: (3, struct.pack(f"<{len(values)}H", *values)) for tag, values in shorts.items()}
        | {tag: (4, struct.pack("<I", value)) for tag, value in longs.items()}
        | {273: offset}
    )
