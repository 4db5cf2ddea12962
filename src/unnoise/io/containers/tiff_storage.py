"""How a TIFF stores its pixels, so that they are stored alike again."""

from __future__ import annotations

import io
import re
import struct
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from unnoise.io import ifd, jpeg_quality
from unnoise.io.containers.blocks import MAX_BYTES
from unnoise.io.ifd import Field, Fields, Layout

_SUBFILE, _COMPRESSION, _ROWS, _PREDICTOR, _TILE_WIDTH, _TILE_HEIGHT = 254, 259, 278, 317, 322, 323
_PHOTOMETRIC, _DESCRIPTION, _SUB_IFDS, _TABLES, _SUBSAMPLING = 262, 270, 330, 347, 530
_YCBCR = 6  # of _PHOTOMETRIC
# Number of a scheme -> name of libvips; others, and those that this libvips cannot write, become deflate.
_SCHEMES = {1: "none", 5: "lzw", 7: "jpeg", 8: "deflate", 32946: "deflate", 32773: "packbits", 50001: "webp"}
_NAMES = {
    2: "CCITT",
    3: "CCITT G3",
    4: "CCITT G4",
    6: "old JPEG",
    34712: "JPEG 2000",
    34925: "LZMA",
    50000: "Zstandard",
}
_PREDICTORS = {2: "horizontal", 3: "float"}
_IMAGES = re.compile(rb"^images=(\d{1,9})\s*$", re.MULTILINE)
_MAX_ROWS = 32_768  # of a strip, the limit of libvips
_FINE_CHROMA = 90  # quality from which libvips stores the chroma of a JPEG at full size


@dataclass(frozen=True)
class Storage:
    """How a TIFF stores its pixels.

    Attributes:
        compression: number of the scheme.
        predictor: 1 for none, 2 for differences, 3 for those of floats.
        tile: width and height of tiles; None for strips.
        rows: of a strip.
        big: whether it is a BigTIFF.
        fine: whether chroma is stored at full size.
        quality: of JPEG compression; None if it has another one, or no tables.
        pyramid: how smaller copies of the image are stored: `pages`, `subifd`, or "" if there are none.
    """

    compression: int = 1
    predictor: int = 1
    tile: tuple[int, int] | None = None
    rows: int = 0
    big: bool = False
    fine: bool = True
    quality: int | None = None
    pyramid: str = ""

    @property
    def replaced(self) -> str:
        """Name of the compression, if it is replaced by deflate; else ""."""
        return "" if self.compression in _SCHEMES else _NAMES.get(self.compression, f"number {self.compression}")


def read(file: IO[bytes]) -> tuple[Storage, int]:
    """Return how the first page is stored, and how many pages behind it are smaller copies of it.

    Raises:
        ValueError: the file is damaged; also struct.error.
    """
    layout, _, first = ifd.read_header(file)
    offsets = list(ifd.directories(file, layout, first))
    only = (_COMPRESSION, _PHOTOMETRIC, _ROWS, _PREDICTOR, _TILE_WIDTH, _TILE_HEIGHT, _SUB_IFDS, _TABLES, _SUBSAMPLING)
    tags = ifd.read(file, layout, first, only=only, most=MAX_BYTES)
    number = {tag: values(field, layout) for tag, field in tags.items() if isinstance(field, tuple)}
    tile = (number[_TILE_WIDTH][0], number[_TILE_HEIGHT][0]) if {_TILE_WIDTH, _TILE_HEIGHT} <= number.keys() else None
    reduced = [_is_reduced(file, layout, offset) for offset in offsets[1:]]
    subs = [_is_reduced(file, layout, offset) for offset in number.get(_SUB_IFDS, ())]
    pages = all(reduced) and len(reduced) > 0
    tables = tags.get(_TABLES)
    return Storage(
        number.get(_COMPRESSION, [1])[0],
        number.get(_PREDICTOR, [1])[0],
        tile,
        number.get(_ROWS, [0])[0],
        layout.big,
        number.get(_PHOTOMETRIC) != [_YCBCR] or max(number.get(_SUBSAMPLING, [2])) == 1,
        jpeg_quality.quality(io.BytesIO(tables[1])) if isinstance(tables, tuple) else None,
        "pages" if pages else "subifd" if subs and all(subs) else "",
    ), len(reduced) if pages else 0


def hidden_pages(file: IO[bytes]) -> int:
    """Return how many images an ImageJ stack has by its description: all of them may share one directory; or 0."""
    layout, _, first = ifd.read_header(file)
    field = ifd.read(file, layout, first, only=(_DESCRIPTION,), most=MAX_BYTES).get(_DESCRIPTION)
    text = field[1] if isinstance(field, tuple) else b""
    found = _IMAGES.search(text) if text.startswith(b"ImageJ=") else None
    return int(found[1]) if found else 0


def _is_reduced(file: IO[bytes], layout: Layout, offset: int) -> bool:
    """Tell whether a directory is that of a smaller copy of another image."""
    field = ifd.read(file, layout, offset, only=(_SUBFILE,), most=8).get(_SUBFILE)
    return isinstance(field, tuple) and bool(values(field, layout)[0] & 1)


def values(field: Field | Fields, layout: Layout) -> list[int]:
    """Return the integers of a field."""
    if not isinstance(field, tuple):
        return [0]
    kind, data = field
    letter = {3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}.get(kind)
    return (
        [0]
        if letter is None
        else list(struct.unpack(f"{layout.order}{len(data) // ifd.TYPE_SIZES[kind]}{letter}", data))
    )


def saver_options(storage: Storage, dtype: np.dtype[Any], quality: int | None) -> dict[str, Any]:
    """Return the arguments of libvips's saver to store pixels like another file.

    Args:
        storage: of that file.
        dtype: of the samples.
        quality: of JPEG compression, 1 to 100; None for that of the file.
    """
    scheme = _SCHEMES.get(storage.compression, "deflate")
    if scheme in ("jpeg", "webp") and dtype != np.uint8:
        scheme = "deflate"
    options: dict[str, Any] = {"compression": scheme}
    if scheme in ("lzw", "deflate"):
        suits = (storage.predictor == 3) == (dtype.kind == "f")
        options["predictor"] = _PREDICTORS.get(storage.predictor, "none") if suits else "none"
    if scheme == "jpeg":
        options["Q"] = quality or storage.quality or 95
        options["Q"] = max(options["Q"], _FINE_CHROMA) if storage.fine and quality is None else options["Q"]
    if scheme == "webp":
        options["lossless"] = True
    if storage.tile is not None and not any(side % 16 for side in storage.tile):
        options |= {"tile": True, "tile_width": storage.tile[0], "tile_height": storage.tile[1]}
    elif storage.rows and not storage.pyramid:
        # Of JPEGs, blocks of 16. Otherwise an even number: in strips of odd height libvips loses a last single row.
        multiple = 16 if scheme == "jpeg" else 2
        options["tile_height"] = -(-min(storage.rows, _MAX_ROWS) // multiple) * multiple
    if storage.pyramid:
        options |= {"tile": True, "pyramid": True, "subifd": storage.pyramid == "subifd"}
    return options
