"""Formats that libvips does not read: a module for each, with two functions.

`open_file(file)` reads the header of a file and returns an `Opened`; `encode(samples, header, quality)` returns the
bytes of a file. Both are called through this module, which turns the errors of the libraries into one line.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pyvips

from unnoise.errors import UnnoiseError
from unnoise.io.formats import SAMPLES, Format, Header, reason
from unnoise.io.layout import Layout
from unnoise.optional import require

if TYPE_CHECKING:
    from types import ModuleType

MAX_SIDE = 10_000_000
"""Largest width, and height of all pages together: that of an image of libvips."""


@dataclass(frozen=True)
class Opened:
    """An image file whose header has been read.

    Attributes:
        height: of a page.
        width: of a page.
        layout: what the samples of a pixel are.
        dtype: of the samples.
        load: file -> samples `[pages * height, width, layout.samples]`.
        pages: number of pages.
        metadata: as that of `Header`.
    """

    height: int
    width: int
    layout: Layout
    dtype: np.dtype[Any]
    load: Callable[[IO[bytes]], np.ndarray]
    pages: int = 1
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Decoder:
    """Reads a file by a codec, as `tiff_decoder.Decoder` does.

    Attributes:
        name: of the file, for messages.
        source: its path, or its bytes.
        kind: its format.
        opened: its header.
    """

    name: str
    source: str | Path | bytes
    kind: Format
    opened: Opened

    def header(self, *, pages: int = 1) -> pyvips.Image:
        """Return an image of a page, or of all of them, without its pixels."""
        opened = self.opened
        black = pyvips.Image.black(opened.width, pages * opened.height, bands=opened.layout.samples)
        return self._described(black.cast(_vips_type(opened.dtype)), pages)

    def decode(self, page: int | None = None) -> pyvips.Image:
        """Return the image, pages below each other, or one of them by its number from 0.

        Raises:
            UnnoiseError: it is damaged, or cannot be decoded.
        """
        opened = self.opened
        with _errors(self.name), open_source(self.source) as file:
            samples = np.ascontiguousarray(opened.load(file), opened.dtype)
            samples = samples.reshape(opened.pages * opened.height, opened.width, opened.layout.samples)
        if page is not None:
            samples = samples[page * opened.height : (page + 1) * opened.height]
        height, width, bands = samples.shape
        image = pyvips.Image.new_from_memory(samples.data, width, height, bands, _vips_type(opened.dtype))
        return self._described(image, height // opened.height, whole=page is None)

    def _described(self, image: pyvips.Image, pages: int, *, whole: bool = True) -> pyvips.Image:
        """Return a copy with the fields that a loader of libvips sets."""
        header = Header(image.height, image.width, self.opened.layout, self.opened.dtype, {})
        image = image.copy(interpretation=header.colour_space)
        image.set_type(pyvips.GValue.gstr_type, "vips-loader", self.kind.load)
        image.set_type(pyvips.GValue.gint_type, "n-pages", self.opened.pages)
        if pages > 1 or (whole and "apng" in self.opened.metadata):  # an animation of one frame is not rotated
            image.set_type(pyvips.GValue.gint_type, "page-height", self.opened.height)
        return image


def open_decoder(source: str | Path | bytes, kind: Format, name: str) -> Decoder | None:
    """Return a decoder for a file; None if libvips reads its format.

    Args:
        source: the path, or the bytes.
        kind: its format.
        name: of the file, for messages.

    Raises:
        UnnoiseError: it is damaged, or the extra that reads it is not installed.
    """
    if not kind.codec:
        return None
    module = _module(kind, name)
    with _errors(name), open_source(source) as file:
        opened: Opened = module.open_file(file)
        if opened.height < 1 or opened.width < 1:
            raise ValueError("it has no pixels")
        if max(opened.width, opened.height * opened.pages) > MAX_SIDE:
            raise UnnoiseError(f"more than {MAX_SIDE} pixels a side, pages together")
        return Decoder(name, source, kind, opened)


def encode(kind: Format, samples: np.ndarray, header: Header, quality: int | None) -> bytes:
    """Encode samples `[pages * H, W, layout.samples]` in a format that has a codec.

    Raises:
        UnnoiseError: the encoder refuses them, or is not installed.
    """
    module = _module(kind, f"to write {kind.name}")
    try:
        with _no_warnings():
            return module.encode(np.ascontiguousarray(samples), header, quality)
    except (UnnoiseError, MemoryError):
        raise
    except Exception as error:  # libraries raise anything
        raise UnnoiseError(f"cannot be encoded as {kind.name}: {reason(error)}") from error


def open_source(source: str | Path | bytes) -> IO[bytes]:
    """Open a file, or its bytes, for reading."""
    return io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb")


def _module(kind: Format, name: str) -> ModuleType:
    if kind.library:
        try:
            require(kind.library, extra=kind.extra)
        except UnnoiseError as error:
            raise UnnoiseError(f"{name}: {kind.name}: {error}") from error
    return importlib.import_module(f"{__name__}.{kind.codec}")


def _vips_type(dtype: np.dtype[Any]) -> str:
    return next(name for name, known in SAMPLES.items() if known == dtype)


@contextlib.contextmanager
def _errors(name: str) -> Iterator[None]:
    """Turn whatever a library raises on a damaged file into one line."""
    try:
        with _no_warnings():
            yield
    except UnnoiseError as error:
        raise UnnoiseError(f"{name}: {error}") from error
    except (MemoryError, FileNotFoundError, PermissionError):
        raise
    except Exception as error:
        raise UnnoiseError(
            f"{name}: damaged, truncated or not supported ({reason(error)}): try another copy"
        ) from error


@contextlib.contextmanager
def _no_warnings() -> Iterator[None]:
    """Keep the warnings of libraries about odd files off the terminal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
