"""Read TIFF files whose pixels libvips does not read: 64-bit floats, L*a*b*, tiles of planes, rare compressions.

tifffile decodes them, tile by tile; large ones into an array that is a temporary file on disk, so that memory stays
bounded.
"""

from __future__ import annotations

import io
import os
import struct
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import pyvips

from unnoise.errors import UnnoiseError
from unnoise.io import lab
from unnoise.io.formats import SAMPLES
from unnoise.optional import require

_ITULAB = 10  # a photometric interpretation
_GRAY_INVERTED, _GRAY, _RGB = 0, 1, 2
# Of those that libvips does not read.
_COMPRESSIONS = {6: "old JPEG", 33003: "JPEG 2000", 33005: "JPEG 2000", 34712: "JPEG 2000", 34887: "LERC",
                 34925: "LZMA", 50000: "Zstandard", 52546: "JPEG XL"}  # fmt: skip
_JPEG, _LZW = 7, 5
_IN_MEMORY = 2**27  # bytes of an array that is no file
_ROWS = 64  # that are converted at once
_LARGEST = np.finfo(np.float32).max


@dataclass(frozen=True)
class Decoder:
    """Decodes a file.

    Attributes:
        name: of the file, for messages.
        file: the file, or a stream of its bytes.
        height: of a page.
        width: of a page.
        samples: of a pixel.
        pages: number of pages.
        dtype: of the decoded samples.
        gray: whether the first sample is gray, and not red.
        encoding: of CIE L*a*b*, which becomes RGB; None for others.
    """

    name: str
    file: Any
    height: int
    width: int
    samples: int
    pages: int
    dtype: np.dtype[Any]
    gray: bool
    encoding: lab.Encoding | None = None

    def header(self, *, pages: int = 1) -> pyvips.Image:
        """Return an image of a page, or of all of them, without its pixels."""
        name = next(name for name, dtype in SAMPLES.items() if dtype == self.dtype)
        black = pyvips.Image.black(self.width, pages * self.height, bands=self.samples)
        return self._described(black.cast(name), pages)

    def decode(self, page: int | None = None) -> pyvips.Image:
        """Return the image, pages below each other, or one of them by its number from 0.

        Raises:
            UnnoiseError: it is damaged, or cannot be decoded.
            OSError: the disk fails.
        """
        import tifffile

        numbers = range(self.pages) if page is None else [page]
        shape = (len(numbers) * self.height, self.width, self.samples)
        pixels = _array(shape, self.dtype)
        with tifffile.TiffFile(self.file) as tiff:
            for place, number in enumerate(numbers):
                self._decode_page(tiff.pages[number], pixels[place * self.height : (place + 1) * self.height])
        if self.encoding is not None:
            self.encoding.to_rgb(pixels)
        name = next(name for name, dtype in SAMPLES.items() if dtype == self.dtype)
        image = pyvips.Image.new_from_memory(pixels.data, self.width, shape[0], self.samples, name)
        return self._described(image, len(numbers))

    def _decode_page(self, page: Any, target: np.ndarray) -> None:
        plain = page.is_memmappable and (page.samplesperpixel == 1 or int(page.planarconfig) == 1)
        try:
            if plain and not isinstance(self.file, io.BytesIO):  # one piece, which need not fit into memory
                kind = np.dtype(page.parent.byteorder + page.dtype.char)
                shape = (1, self.height, self.width, self.samples)
                return _put(np.memmap(self.file, kind, "r", page.dataoffsets[0], shape), (0, 0, 0, 0, 0), target)
            for tile, place, _ in page.segments():
                if tile is not None:
                    _put(tile, place, target)
        except (ValueError, KeyError, struct.error, IndexError, TypeError, RuntimeError, zlib.error) as error:
            raise UnnoiseError(f"{self.name}: cannot be decoded: {error}".splitlines()[0][:300]) from error

    def _described(self, image: pyvips.Image, pages: int) -> pyvips.Image:
        """Return a copy with the fields that libvips's own loader sets."""
        gray, color = {"uint16": ("grey16", "rgb16"), "float32": ("b-w", "scrgb")}.get(self.dtype.name, ("b-w", "srgb"))
        space = (gray if self.samples <= 2 else "multiband") if self.gray else color
        image = image.copy(interpretation=space)
        image.set_type(pyvips.GValue.gstr_type, "vips-loader", "tiffload_source")
        image.set_type(pyvips.GValue.gint_type, "n-pages", self.pages)
        if pages > 1:
            image.set_type(pyvips.GValue.gint_type, "page-height", self.height)
        return image


def _array(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """Return an array, a large one as a temporary file."""
    size = int(np.prod(shape)) * dtype.itemsize
    if size <= _IN_MEMORY:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile() as file:  # the array keeps it
        file.truncate(size)
        if hasattr(os, "posix_fallocate"):  # otherwise a full disk would kill the process when the array is written to
            os.posix_fallocate(file.fileno(), 0, size)
        return np.memmap(file, dtype, "r+", shape=shape)


def _put(tile: np.ndarray, place: Sequence[int], target: np.ndarray) -> None:
    """Copy a tile `[D, H, W, S]` to its place: separate sample, depth, row, column, sample."""
    plane, _, top, left, sample = place
    rows, columns = tile[0, : len(target) - top], slice(left, left + tile.shape[2])
    first = plane + sample
    part = target[top : top + rows.shape[0], columns, first : first + tile.shape[3]]
    rows = rows[:, : part.shape[1], : part.shape[2]]
    for start in range(0, len(rows), _ROWS):
        piece = rows[start : start + _ROWS]
        if piece.dtype.itemsize > part.dtype.itemsize:  # values that a 32-bit float does not hold become its largest
            piece = np.where(np.isfinite(piece), np.clip(piece, -_LARGEST, _LARGEST), piece)
        part[start : start + _ROWS] = piece


def open_decoder(source: Any, file: IO[bytes], name: str) -> Decoder | None:
    """Return a decoder for a TIFF that libvips does not read; None if it does, or if the tags are damaged.

    Args:
        source: path, or a stream of its bytes.
        file: the file, open for reading.
        name: of the file, for messages.

    Raises:
        UnnoiseError: nothing here reads it; the message says why.
    """
    import tifffile

    try:
        file.seek(0)
        with tifffile.TiffFile(file) as tiff:
            page: Any = tiff.pages.first
            if reason := _unreadable(page):
                raise UnnoiseError(f"{name}: {reason}")
            planes = page.is_tiled and page.samplesperpixel > 1 and int(page.planarconfig) == 2
            double, compression, encoding = page.dtype == np.float64, _compression(page), _encoding(page)
            if compression or (planes and int(page.compression) in (_JPEG, _LZW)):
                _require_codecs(name, compression or str(page.compression.name))
            if not (planes or double or compression or encoding) or page.imagedepth != 1 or page.dtype is None:
                return None
            dtype = np.dtype(np.float32) if double or encoding else page.dtype.newbyteorder("=")
            if dtype not in SAMPLES.values() or not (encoding or int(page.photometric) in (_GRAY, _RGB)):
                return None
            further: list[Any] = list(tiff.pages)[1:]
            further = [one for one in further if not one.keyframe.is_reduced]
            pages = [page, *further]
            if any(one.shape != page.shape or one.dtype != page.dtype for one in pages):
                raise UnnoiseError(f"{name}: its pages differ in size or sample format: split the file first")
            gray = int(page.photometric) == _GRAY
            return Decoder(
                name, source, page.imagelength, page.imagewidth, page.samplesperpixel, len(pages), dtype, gray, encoding
            )
    except UnnoiseError:
        raise
    except (tifffile.TiffFileError, struct.error, ValueError, KeyError, IndexError, OSError, AttributeError):
        return None


def _unreadable(page: Any) -> str:
    """Return why neither libvips nor tifffile reads a page, and what to do; "" if one of them may."""
    photometric = int(page.photometric)
    if photometric in (lab.CIELAB, lab.ICCLAB, _ITULAB) and _encoding(page) is None:
        kind = "ITU" if photometric == _ITULAB else "CIE"
        how = f"{page.samplesperpixel} channels of {page.dtype}" + (", JPEG" if int(page.compression) == _JPEG else "")
        return f"its colors are {kind} L*a*b*, {how}: convert it to RGB first"
    if _encoding(page) is not None and (page.subifds or any(one.is_reduced for one in page.parent.pages)):
        return "a pyramid in CIE L*a*b* is not supported: convert it to RGB first"
    if page.dtype is not None and page.dtype.kind in "iu" and page.dtype.itemsize == 8:
        return "samples of 64-bit integers are not supported: convert them to 32 bits or to floats first"
    if page.dtype is not None and page.dtype.kind == "c":
        return "complex samples are not supported: convert them to their absolute values first"
    return ""


def _encoding(page: Any) -> lab.Encoding | None:
    """Return how a page stores CIE L*a*b*; None if it has other colors, or stores them in a way that is not known."""
    photometric, known = int(page.photometric), page.dtype in (np.uint8, np.uint16)
    if photometric not in (lab.CIELAB, lab.ICCLAB) or not known or page.samplesperpixel != 3:
        return None
    return None if int(page.compression) == _JPEG else lab.Encoding(photometric, 8 * page.dtype.itemsize)


def _compression(page: Any) -> str:
    """Return the name of the compression, if libvips does not read it; else ""."""
    if int(page.compression) == _JPEG and page.bitspersample == 12:
        return "JPEG of 12 bits"
    return _COMPRESSIONS.get(int(page.compression), "")


def _require_codecs(name: str, compression: str) -> None:
    """Raise an error that names the file, if the library that decodes a compression is not installed."""
    try:
        require("imagecodecs", extra="tiff")
    except UnnoiseError as error:
        raise UnnoiseError(f"{name}: to read its compression ({compression}), {error}") from error
