"""Pictures: files to arrays and back, with everything that is not noise kept.

libvips does the reading and writing, through one named loader per format, chosen by the first bytes of the file and
never by its name; no other loader (SVG, PDF, raw) can be reached. A picture whose pixels stay is written as the
file that it was. What is kept where they change:

* depth: integers of 8, 16 and 32 bits and 32-bit floats come back as they were, grey stays grey, CMYK stays CMYK,
  palettes become RGB;
* pages and frames: all of them, with the times of an animation;
* alpha: carried beside the pixels in its own samples, bit for bit;
* ICC profile, EXIF, XMP, IPTC, resolution, text, and the quality of a JPEG: carried as libvips reads them, the EXIF of
  a TIFF as `exif` does. The EXIF orientation is applied to the pixels once and its tag then says 1; an EXIF thumbnail
  that would now lie on its side is left out. Pages, and rows that are read one after the other, stay as they lie.

What each kind of file holds, and what is refused, stands in `docs/explanation/files.md`.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyvips

from unnoise.errors import UnnoiseError
from unnoise.io import exif, jpeg_quality
from unnoise.io.formats import (
    ANIMATION,
    COLOUR_SPACES,
    FORMATS,
    SAMPLES,
    SCREEN,
    Header,
    detect,
    reason,
)
from unnoise.io.picture import Picture, from_samples

MAX_PIXELS = 2**30
"""Pixels of all pages together, by default."""
MAX_PAGES = 10_000
"""Pages or frames."""

_CARRIED = (
    *("exif-data", "icc-profile-data", "xmp-data", "iptc-data", "photoshop-data", "image-description"),
    *("xres", "yres", "resolution-unit", "bits-per-sample", "jpeg-chroma-subsample"),
    *("page-height", "delay", "loop"),
)
_XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation(?:>|=["']))[2-8](?=[<"'])""")


def _log_quietly() -> None:
    """Let all that libvips has to say of a broken file go to the log of pyvips, and nothing to the terminal."""
    # pyvips takes the messages for strict UTF-8, even where they quote the file, and would print a traceback.
    pyvips._to_string = lambda text: pyvips.ffi.string(text).decode(errors="replace")
    # It listens to libvips alone, while GLib complains of absurd sizes as well.
    levels = pyvips.GLogLevelFlags.LEVEL_CRITICAL | pyvips.GLogLevelFlags.LEVEL_WARNING
    glib = pyvips.glib_lib
    handler = glib.g_log_set_handler(b"GLib-GObject", levels, pyvips._log_handler_cb, pyvips.ffi.NULL)  # type: ignore
    atexit.register(glib.g_log_remove_handler, b"GLib-GObject", handler)


_log_quietly()


def read(
    source: str | Path | bytes, *, max_pixels: int = MAX_PIXELS, max_pages: int = MAX_PAGES, page: int | None = None
) -> Picture:
    """Read a picture from a file, or from the bytes of one.

    Args:
        source: the file, or its bytes.
        max_pixels: of what is read, all pages together.
        max_pages: of the file.
        page: the only page or frame to read, counted from 1; None for all.

    Raises:
        UnnoiseError: The file is missing, damaged, cut short, or has no such page.
        UnknownKindError: It is empty, or no picture of a kind in the table above.
        TooLargeError: It is over the limits by its header, before anything is decoded.
    """
    name = "the image" if isinstance(source, bytes) else str(source)
    image = _open(source, name, max_pixels, max_pages, page)
    with _read_errors(name):
        image = image.copy_memory()
        turned = page is not None or _number(image, "n-pages") == 1
        header = _header(image, source, turned=turned)
        image = image.autorot() if turned else image
    samples = image.numpy().reshape(image.height, image.width, image.bands)
    picture = from_samples(samples, header.metadata, header.colours)
    if page is not None:
        return picture
    with _bytes_of(source) as file:
        return replace(picture, file=file.read())


class TooLargeError(UnnoiseError):
    """A picture of more pixels or pages than is allowed; `fact` tells it without saying how to allow more."""

    def __init__(self, name: str, fact: str, advice: str) -> None:
        super().__init__(f"{name}: {fact}: {advice}")
        self.fact = fact


class RowReader:
    """A file that is read row by row, in order, so that it need not fit into memory.

    Args:
        source: the file.
        max_pixels: as for `read`.

    Attributes:
        header: what is known of it. The rows are those of the file: its orientation is not applied, and stays.
        kind: of file.

    Raises:
        UnnoiseError: as `read`; damage within the file is told when its rows are taken.
    """

    def __init__(self, source: str | Path, *, max_pixels: int = MAX_PIXELS) -> None:
        self._name = str(source)
        image = _open(source, self._name, max_pixels)
        with _read_errors(self._name):
            self.header = _header(image, source, turned=False)
            self.kind = next(kind for kind in FORMATS if kind.load == image.get("vips-loader"))
        self._region = pyvips.Region.new(image)

    def read_rows(self, start: int, stop: int) -> np.ndarray:
        """Return the samples of some rows, `[stop - start, W, 1..5]`; none may lie above those taken before."""
        header = self.header
        if stop <= start:
            return np.empty((0, header.width, header.colours + header.alpha), header.dtype)
        with _read_errors(self._name):
            data = self._region.fetch(0, start, header.width, stop - start)
        return np.frombuffer(data, header.dtype).reshape(stop - start, header.width, header.colours + header.alpha)


def _open(
    source: str | Path | bytes, name: str, max_pixels: int, max_pages: int = MAX_PAGES, page: int | None = None
) -> pyvips.Image:
    """Open a picture whose header has passed, pages below each other; its rows can be had once, in order."""
    try:
        with _bytes_of(source) as file:
            head = file.read(4096)
    except OSError as error:
        raise UnnoiseError(f"{source}: cannot be read: {reason(error)}") from error
    kind = detect(head, name)
    if ANIMATION.match(head.partition(b"IDAT")[0]):
        raise UnnoiseError(f"{name}: animated {kind.name} is not supported: convert it to WebP first")

    def load(**pages: int) -> pyvips.Image:
        if isinstance(source, bytes):
            opened = pyvips.Source.new_from_memory(source)
        else:
            opened = pyvips.Source.new_from_file(os.fsencode(source))  # type: ignore[arg-type]  (names beyond UTF-8)
        # Rows are decoded once, in order: anything else would spill large files to a temporary one.
        return getattr(pyvips.Image, kind.load)(opened, access="sequential", fail_on="error", **pages)

    with _read_errors(name):
        image = load()
        pages = _number(image, "n-pages")
        if pages > max_pages:
            fact = f"{pages} pages or frames, over the limit of {max_pages}"
            raise TooLargeError(name, fact, "split the file first")
        if page is not None and not 1 <= page <= pages:
            raise UnnoiseError(f"{name}: page {page} does not exist: the file has {pages}")
        if pages > 1 and page is not None:
            image = load(page=page - 1)
        _check_header(image, name, max_pixels, pages if page is None else 1)
        if pages > 1 and page is None:
            image = _all_pages(load, name)
    return image


def _all_pages(load: Callable[..., pyvips.Image], name: str) -> pyvips.Image:
    """Open all pages, of which the first has passed."""
    try:
        return load(n=-1)
    except pyvips.Error as error:
        if "differs from page" in reason(error):
            raise UnnoiseError(f"{name}: its pages differ in size or sample format: split the file first") from error
        raise


def _bytes_of(source: str | Path | bytes) -> IO[bytes]:
    return io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb")


@contextlib.contextmanager
def _read_errors(name: str) -> Iterator[None]:
    """Tell what libvips cannot read as what it is to the user."""
    try:
        yield
    except (pyvips.Error, UnicodeDecodeError) as error:
        raise UnnoiseError(
            f"{name}: damaged, truncated or not supported ({reason(error)}): try another copy"
        ) from error


def _check_header(image: pyvips.Image, name: str, max_pixels: int, pages: int) -> None:
    """Refuse what cannot be cleaned without loss, while only the header has been read."""
    if image.width * image.height * pages > max_pixels:
        size = f"{image.width} x {image.height} pixels" + (f" on {pages} pages" if pages > 1 else "")
        fact = f"{size}, over the limit of {max_pixels}"
        raise TooLargeError(name, fact, "raise max_pixels if you trust the file")
    if image.format not in SAMPLES:
        raise UnnoiseError(
            f"{name}: samples of type {image.format} are not supported: convert them to 8 or 16 bits or 32-bit floats"
        )
    most = {"b-w": 2, "grey16": 2, "cmyk": 5}.get(str(image.interpretation), 4)
    if image.interpretation not in COLOUR_SPACES or image.bands > most:
        kind = f"{image.bands} channels, {image.interpretation}"
        raise UnnoiseError(f"{name}: {kind}, is not gray, RGB or CMYK: convert it to RGB first")


def _header(image: pyvips.Image, source: str | Path | bytes, *, turned: bool) -> Header:
    """Return what is known of an open picture, which will be turned upright or not."""
    metadata = _metadata(image, turned=turned)
    if image.get("vips-loader") == "tiffload_source":
        with _bytes_of(source) as file:
            if block := exif.take(file):
                metadata["exif-data"] = block
    if image.get_typeof("jpeg-multiscan"):
        with _bytes_of(source) as file:
            if found := jpeg_quality.quality(file):
                metadata["jpeg-quality"] = found
    colours = 4 if image.interpretation == "cmyk" else 3 if image.bands >= 3 else 1
    return Header(image.height, image.width, colours, image.bands > colours, SAMPLES[str(image.format)], metadata)


def _metadata(image: pyvips.Image, *, turned: bool) -> dict[str, Any]:
    """Return the fields of `image` to be carried to what is written, true of the picture once it is turned upright."""
    present = (field for field in (*_CARRIED, *_png_texts(image)) if image.get_typeof(field))
    fields: dict[str, Any] = {field: image.get(field) for field in present}
    if any(abs(image.xres - made_up) < 0.01 for made_up in (1, SCREEN)):  # the file says nothing, or as little
        del fields["xres"], fields["yres"]
    orientation = _number(image, "orientation")
    if orientation > 1 and not turned:
        fields["orientation"] = orientation
    elif orientation > 1:
        fields["orientation"] = 1
        if "xmp-data" in fields:
            fields["xmp-data"] = _XMP_ORIENTATION.sub(rb"\g<1>1", fields["xmp-data"])
    return fields


def _number(image: pyvips.Image, field: str) -> int:
    """Return a field that is 1 where the file says nothing."""
    return int(image.get(field)) if image.get_typeof(field) else 1  # type: ignore[arg-type]


def _png_texts(image: pyvips.Image) -> list[str]:
    """Return the names of the fields that hold the text of a PNG."""
    try:
        return [field for field in image.get_fields() if field.startswith("png-comment-")]
    except UnicodeDecodeError:  # a keyword beyond ASCII cannot be asked for
        return []
