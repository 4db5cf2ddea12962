"""Read image files, with everything that is needed to write them again.

libvips decodes them, through one loader per format. The loader is chosen by the first bytes of a file, never by its
name, so that other loaders (SVG, PDF, raw) are never called. An image with unchanged pixels is written as a copy of its
file. Otherwise these are kept:

* sample type: integers of 8, 16 and 32 bits and 32-bit floats; gray stays gray, CMYK stays CMYK, palettes become RGB;
* pages and frames: all of them, with the timing of an animation;
* alpha: bit for bit;
* metadata: as in `containers`. The pixels are rotated by the
  EXIF orientation, which is then set to 1. Several pages, and files that are read row by row, are not rotated;
* how a JPEG and a TIFF were encoded.

See `docs/explanation/files.md` for what each format can store, and what is refused.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyvips

from unnoise.errors import UnnoiseError
from unnoise.io import codecs, containers, exif, exif_block, jpeg_encoder, jpeg_quality, lab, tiff_tags
from unnoise.io.containers import tiff_storage
from unnoise.io.formats import (
    COLOUR_SPACES,
    SAMPLES,
    Format,
    Header,
    UnknownKindError,
    by_loader,
    detect_file,
    reason,
)
from unnoise.io.layout import ASSOCIATED, UNASSOCIATED, Layout
from unnoise.io.picture import Picture, from_samples
from unnoise.io.tiff_decoder import Decoder, open_decoder
from unnoise.io.tiff_tags import SampleTags
from unnoise.io.unreadable import RAW, ZARR, is_raw_tiff, is_zarr

MAX_PIXELS = 2**30
"""Default limit of the pixels of all pages."""
MAX_PAGES = 10_000
"""Default limit of the pages or frames."""

_KEPT_FIELDS = ("icc-profile-data", "bits-per-sample", "jpeg-chroma-subsample", "page-height", "delay", "loop")
_BY_LIBVIPS = {"AVIF": ("exif-data", "xmp-data")}  # of formats whose other metadata `containers` does not read
_XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation(?:>|=["']))[2-8](?=[<"'])""")


def _log_quietly() -> None:
    """Send all messages of libvips about damaged files to the logger of pyvips, and none to the terminal."""
    # pyvips decodes messages as strict UTF-8, and prints a traceback where they quote other bytes of the file.
    pyvips._to_string = lambda text: pyvips.ffi.string(text).decode(errors="replace")
    # pyvips handles only the messages of libvips, but GLib warns about absurd sizes, too.
    levels = pyvips.GLogLevelFlags.LEVEL_CRITICAL | pyvips.GLogLevelFlags.LEVEL_WARNING
    glib = pyvips.glib_lib
    handler = glib.g_log_set_handler(b"GLib-GObject", levels, pyvips._log_handler_cb, pyvips.ffi.NULL)  # type: ignore
    atexit.register(glib.g_log_remove_handler, b"GLib-GObject", handler)


_log_quietly()


def read(
    source: str | Path | bytes, *, max_pixels: int = MAX_PIXELS, max_pages: int = MAX_PAGES, page: int | None = None
) -> Picture:
    """Read an image from a file, or from its bytes.

    Args:
        source: the file, or its bytes.
        max_pixels: limit of the pixels of all pages that are read.
        max_pages: limit of the pages of the file.
        page: number of a single page or frame to read, from 1; None for all.

    Raises:
        UnnoiseError: the file is missing, damaged, truncated, or has no such page.
        UnknownKindError: it is empty, or its format is not supported.
        TooLargeError: by its header, it is over a limit; nothing is decoded then.
    """
    name = "the image" if isinstance(source, bytes) else str(source)
    decoder = _decoder(source, name)
    image, layout = _open(source, name, max_pixels, max_pages, page, decoder)
    with _read_errors(name):
        image = image if decoder is None else decoder.decode(None if page is None else page - 1)
        image = image.copy_memory()
        rotated = page is not None or not image.get_typeof("page-height")
        metadata = _metadata(image, source, decoder)
        orientation = _orientation(image, metadata) if rotated else 1
        header = _header(image, metadata, layout, rotated=rotated)
        image = _upright(image, orientation)
    samples = image.numpy().reshape(image.height, image.width, image.bands)
    timing = () if page is None else ("page-channels", "durations", "delay", "apng")
    kept = {field: value for field, value in header.metadata.items() if field not in timing}
    if page is not None and "tiff-pages" in kept:
        kept["tiff-pages"] = kept["tiff-pages"][page - 1 : page]
    picture = from_samples(samples, kept, layout)
    if page is not None:
        return picture
    with _bytes_of(source) as file:
        return replace(picture, file=file.read())


class TooLargeError(UnnoiseError):
    """An image has too many pixels or pages; `fact` is the message without the name and the advice."""

    def __init__(self, name: str, fact: str, advice: str) -> None:
        super().__init__(f"{name}: {fact}: {advice}")
        self.fact = fact


class RowReader:
    """Reads a file row by row, in order, so that it need not fit into memory.

    Args:
        source: the file, or its bytes.
        max_pixels: as for `read`.
        max_pages: as for `read`.
        page: as for `read`.

    Attributes:
        header: of the file. Rows are read as stored: the EXIF orientation is not applied, and stays in the metadata.
        kind: the file format.

    Raises:
        UnnoiseError: as `read`, except for damaged pixels, for which `read_rows` raises it.
    """

    def __init__(
        self,
        source: str | Path | bytes,
        *,
        max_pixels: int = MAX_PIXELS,
        max_pages: int = MAX_PAGES,
        page: int | None = None,
    ) -> None:
        self._name, self._page = "the image" if isinstance(source, bytes) else str(source), page
        self._decoder = _decoder(source, self._name)
        image, layout = _open(source, self._name, max_pixels, max_pages, page, self._decoder)
        with _read_errors(self._name):
            metadata = _metadata(image, source, self._decoder)
            if page is not None:  # which is no animation
                metadata.pop("apng", None)
            self.header = _header(image, metadata, layout, rotated=False)
            self.kind = by_loader(str(image.get("vips-loader")))
        self._image, self._region = image, pyvips.Region.new(image)

    def read_rows(self, start: int, stop: int) -> np.ndarray:
        """Return the samples of rows, `[stop - start, W, samples]`; they must not be above the rows read before."""
        header = self.header
        if stop <= start:
            return np.empty((0, header.width, header.layout.samples), header.dtype)
        with _read_errors(self._name):
            if self._decoder is not None:  # not before its pixels are needed
                page = None if self._page is None else self._page - 1
                self._image, self._decoder = self._decoder.decode(page), None
                self._region = pyvips.Region.new(self._image)
            data = self._region.fetch(0, start, header.width, stop - start)
        return np.frombuffer(data, header.dtype).reshape(stop - start, header.width, header.layout.samples)


def _decoder(source: str | Path | bytes, name: str) -> Decoder | codecs.Decoder | None:
    """Return the decoder of a format or of a TIFF that libvips does not read, or None."""
    if not isinstance(source, bytes) and is_zarr(source):
        raise UnknownKindError(f"{name}: {ZARR.name} is not read as an image: {ZARR.reason}")
    try:
        with _bytes_of(source) as file:
            kind = detect_file(file, name)
            if kind.name != "TIFF":
                return codecs.open_decoder(source, kind, name)
            return open_decoder(io.BytesIO(source) if isinstance(source, bytes) else source, file, name)
    except OSError:  # `_open` says it
        return None


def _open(
    source: str | Path | bytes,
    name: str,
    max_pixels: int,
    max_pages: int = MAX_PAGES,
    page: int | None = None,
    decoder: Decoder | codecs.Decoder | None = None,
) -> tuple[pyvips.Image, Layout]:
    """Open an image with a valid header, pages stacked vertically; its rows can be read once, in order.

    With a decoder, the image is that of a page, without its pixels.
    """
    tags = None
    try:
        with _bytes_of(source) as file:
            kind = detect_file(file, name)
            if kind.name == "TIFF":
                if is_raw_tiff(file):
                    raise UnknownKindError(f"{name}: {RAW.name} is not read: {RAW.reason}")
                tags = tiff_tags.read(file)
    except OSError as error:
        raise UnnoiseError(f"{source}: cannot be read: {reason(error)}") from error

    patched = _patched(source, tags.patches) if tags is not None and tags.patches else None

    def load(**pages: int) -> pyvips.Image:
        if patched is not None:
            data = pyvips.Source.new_from_memory(patched.data)
        elif isinstance(source, bytes):
            data = pyvips.Source.new_from_memory(source)
        else:
            data = pyvips.Source.new_from_file(os.fsencode(source))  # type: ignore[arg-type]  (names need not be UTF-8)
        # Decode rows once, in order: random access would decode large files to a temporary file.
        image = getattr(pyvips.Image, kind.load)(data, access="sequential", fail_on="error", **pages)
        image._references.append(patched)  # libvips reads from it until the image is gone
        return image

    with _read_errors(name):
        image = load() if decoder is None else decoder.header()
        pages = _pages(image, source, name)
        if pages > max_pages:
            fact = f"{pages} pages or frames, over the limit of {max_pages}"
            raise TooLargeError(name, fact, "split the file first")
        if page is not None and not 1 <= page <= pages:
            raise UnnoiseError(f"{name}: page {page} does not exist: the file has {pages}")
        if pages > 1 and page is not None and decoder is None:
            image = load(page=page - 1)
        foreign = isinstance(decoder, codecs.Decoder)
        layout = decoder.opened.layout if foreign else _layout(image, tags, name)
        gray = foreign or (tags is not None and tags.gray)
        _check_header(image, name, max_pixels, pages if page is None else 1, gray=gray)
        if pages > 1 and page is None:
            image = _all_pages(load, name) if decoder is None else decoder.header(pages=pages)
    # libvips adds an opaque alpha to colors that are stored with fewer samples than brightness.
    return image if image.bands == layout.samples else image.extract_band(0, n=layout.samples), layout


def _layout(image: pyvips.Image, tags: SampleTags | None, name: str) -> Layout:
    """Return what the samples are; refuse files of which libvips does not read all."""
    space = str(image.interpretation)
    gray = space in ("b-w", "grey16") or (space == "multiband" and tags is not None and tags.gray)
    base = 4 if space == "cmyk" else 1 if gray or image.bands < 3 else 3
    layout = Layout(base, (UNASSOCIATED,) * (image.bands - base)) if tags is None else tags.layout(base)
    if tags is not None and tags.patches and layout.extras == (ASSOCIATED,):
        raise UnnoiseError(f"{name}: gray and premultiplied alpha in separate planes: store the samples interleaved")
    if layout.samples > image.bands:
        raise UnnoiseError(
            f"{name}: of its {layout.samples} channels only {image.bands} can be read: store them uncompressed, as gray"
        )
    return layout


def _patched(source: str | Path | bytes, patches: Mapping[int, bytes]) -> np.ndarray:
    """Return the bytes of a file with some of them replaced; only these are copied into memory."""
    data = np.frombuffer(bytearray(source), np.uint8) if isinstance(source, bytes) else np.memmap(source, mode="c")
    for position, patch in patches.items():
        data[position : position + len(patch)] = np.frombuffer(patch, np.uint8)
    return data


def _pages(image: pyvips.Image, source: str | Path | bytes, name: str) -> int:
    """Return the number of pages of a file, of which smaller copies of the first one do not count."""
    pages = _number(image, "n-pages")
    if _kind(image).name != "TIFF":
        return pages
    try:
        with _bytes_of(source) as file:
            smaller, hidden = tiff_storage.read(file)[1], tiff_storage.hidden_pages(file)
    except (struct.error, ValueError):
        return pages
    if pages == 1 and hidden > 1:
        raise UnnoiseError(f"{name}: an ImageJ stack of {hidden} images in one directory: save it as OME-TIFF first")
    return 1 if smaller and pages == 1 + smaller else pages


def _all_pages(load: Callable[..., pyvips.Image], name: str) -> pyvips.Image:
    """Open all pages of a file whose first page is valid."""
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
    """Turn errors of libvips into `UnnoiseError`."""
    try:
        yield
    except (pyvips.Error, UnicodeDecodeError) as error:
        if "Unsupported JPEG" in reason(error):  # of 12 bits, lossless, or hierarchical
            what = reason(error).partition("Unsupported ")[2]
            raise UnnoiseError(f"{name}: {what} is not supported: convert it to PNG or TIFF first") from error
        raise UnnoiseError(
            f"{name}: damaged, truncated or not supported ({reason(error)}): try another copy"
        ) from error


def _check_header(image: pyvips.Image, name: str, max_pixels: int, pages: int, *, gray: bool) -> None:
    """Refuse images that are too large or cannot be kept without loss, when only the header has been read."""
    if image.width * image.height * pages > max_pixels:
        size = f"{image.width} x {image.height} pixels" + (f" on {pages} pages" if pages > 1 else "")
        fact = f"{size}, over the limit of {max_pixels}"
        raise TooLargeError(name, fact, "raise max_pixels if you trust the file")
    if image.format not in SAMPLES:
        raise UnnoiseError(
            f"{name}: samples of type {image.format} are not supported: convert them to 8 or 16 bits or 32-bit floats"
        )
    known = image.interpretation in COLOUR_SPACES or (gray and image.interpretation == "multiband")
    if not known:
        kind = f"{image.bands} channels, {image.interpretation}"
        raise UnnoiseError(f"{name}: {kind}, is not gray, RGB or CMYK: convert it to RGB first")


def _header(image: pyvips.Image, metadata: dict[str, Any], layout: Layout, *, rotated: bool) -> Header:
    """Return the header of an open image; `rotated` tells whether its orientation will be applied."""
    orientation = _orientation(image, metadata)
    if orientation > 1 and not rotated:
        metadata["orientation"] = orientation
    elif orientation > 1:
        size = (image.height, image.width) if orientation > 4 else None
        metadata = containers.rotated(metadata, size)
        if "xmp-data" in metadata:
            metadata["xmp-data"] = _XMP_ORIENTATION.sub(rb"\g<1>1", metadata["xmp-data"])
    return Header(image.height, image.width, layout, SAMPLES[str(image.format)], metadata)


def _metadata(
    image: pyvips.Image, source: str | Path | bytes, decoder: Decoder | codecs.Decoder | None
) -> dict[str, Any]:
    """Return the metadata of a file, and how it was encoded."""
    if isinstance(decoder, codecs.Decoder):
        pages = {"page-height": image.get("page-height")} if image.get_typeof("page-height") else {}
        return {**decoder.opened.metadata, **pages}
    kind = _kind(image)
    kept = (*_KEPT_FIELDS, *_BY_LIBVIPS.get(kind.name, ()))
    fields: dict[str, Any] = {field: image.get(field) for field in kept if image.get_typeof(field)}
    with _bytes_of(source) as file:
        fields |= containers.read(kind.name, file)
        pages = image.height // fields.get("page-height", image.height)
        if kind.name == "TIFF" and pages > 1 and (channels := tiff_tags.page_channels(file, pages)):
            fields["page-channels"] = channels
        if isinstance(decoder, Decoder) and decoder.encoding is not None:
            fields[lab.FIELD] = decoder.encoding
        if kind.name == "JPEG" and (encoding := jpeg_encoder.read(file)):
            fields["jpeg-encoding"] = encoding
            fields["jpeg-quality"] = jpeg_quality.quality(file) or 95
    if (
        kind.name == "AVIF" and "exif-data" in fields
    ):  # libvips has applied the rotation, which is elsewhere in the file
        block = fields["exif-data"]
        fields["exif-data"] = exif_block.rotated(block if block.startswith(exif.MARK) else exif.MARK + block)
    return fields


def _kind(image: pyvips.Image) -> Format:
    """Return the format of the file that an image was opened from."""
    return by_loader(str(image.get("vips-loader")))


def _orientation(image: pyvips.Image, metadata: Mapping[str, Any]) -> int:
    """Return the orientation of an image, 1 to 8."""
    if _kind(image).name in ("TIFF", "AVIF"):
        return _number(image, "orientation")
    return exif_block.orientation(metadata["exif-data"]) if "exif-data" in metadata else 1


def upright(samples: np.ndarray, orientation: int) -> np.ndarray:
    """Return samples `[H, W]` rotated by an EXIF orientation, 1 to 8."""
    return (
        _upright(pyvips.Image.new_from_array(samples), orientation)
        .numpy()
        .reshape(samples.shape if orientation <= 4 else samples.shape[::-1])
    )


def _upright(image: pyvips.Image, orientation: int) -> pyvips.Image:
    """Return an image rotated by an orientation."""
    image = image.copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    return image.autorot()


def _number(image: pyvips.Image, field: str) -> int:
    """Return an integer field, or 1 if it is missing."""
    return int(image.get(field)) if image.get_typeof(field) else 1  # type: ignore[arg-type]
