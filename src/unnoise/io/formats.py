"""Kinds of picture files: how each is recognised, what it can hold, and how libvips is asked to write it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyvips

from unnoise.errors import UnnoiseError

SCREEN = 72 / 25.4  # pixels per millimetre, what programs assume of a picture that states no resolution
SAMPLES = {
    "uchar": np.dtype(np.uint8),
    "char": np.dtype(np.int8),
    "ushort": np.dtype(np.uint16),
    "short": np.dtype(np.int16),
    "uint": np.dtype(np.uint32),
    "int": np.dtype(np.int32),
    "float": np.dtype(np.float32),
}
COLOUR_SPACES = ("b-w", "grey16", "srgb", "rgb16", "scrgb", "cmyk")


class UnknownKindError(UnnoiseError):
    """What is no picture of a kind that unnoise reads."""


@dataclass(frozen=True)
class Header:
    """What is known of a picture without its pixels.

    Attributes:
        height: in pixels, of all pages, which lie below each other.
        width: in pixels.
        colours: 1 for grey, 3 for RGB, 4 for CMYK.
        alpha: whether there is transparency beside them.
        dtype: one of `SAMPLES`: the samples of the file.
        metadata: fields of libvips by name, such as `icc-profile-data`; bytes, text and numbers.
    """

    height: int
    width: int
    colours: int
    alpha: bool
    dtype: np.dtype[Any]
    metadata: Mapping[str, Any]

    @property
    def size(self) -> int:
        """Bytes of all samples."""
        return self.height * self.width * (self.colours + self.alpha) * self.dtype.itemsize

    @property
    def pages(self) -> int:
        """Pages of a TIFF or frames of an animation, all of one size."""
        return self.height // self.metadata.get("page-height", self.height)

    @property
    def colour_space(self) -> str:
        """The name of libvips for what the samples mean."""
        grey, rgb = {"uint16": ("grey16", "rgb16"), "float32": ("b-w", "scrgb")}.get(self.dtype.name, ("b-w", "srgb"))
        return {1: grey, 3: rgb, 4: "cmyk"}[self.colours]


def _jpeg_options(header: Header, quality: int | None) -> dict[str, Any]:
    coarse = header.metadata.get("jpeg-chroma-subsample") == "4:2:0"
    quality = quality or header.metadata.get("jpeg-quality", 95)
    return {"Q": quality, "subsample_mode": "on" if coarse else "off", "optimize_coding": True}


def _png_options(header: Header, quality: int | None) -> dict[str, Any]:
    return {"filter": "all"}  # half the size of the default on photographs


def _tiff_options(header: Header, quality: int | None) -> dict[str, Any]:
    bigtiff = header.size > 2**31
    if header.dtype.kind == "f":  # floats hardly shrink, and few programs read their predictor
        return {"compression": "none", "bigtiff": bigtiff}
    return {"compression": "deflate", "predictor": "horizontal", "bigtiff": bigtiff}


def _webp_options(header: Header, quality: int | None) -> dict[str, Any]:
    return {"Q": quality or 95, "smart_subsample": True, "exact": True}  # exact: colour under alpha 0 is kept as well


def _gif_options(header: Header, quality: int | None) -> dict[str, Any]:
    return {"dither": 0.0, "keep_duplicate_frames": True}  # dithering would be noise


def _avif_options(header: Header, quality: int | None) -> dict[str, Any]:
    bits = 8 if header.dtype == np.uint8 else header.metadata["bits-per-sample"]
    options = {"compression": "av1", "bitdepth": bits, "effort": 1}  # effort 4, the default, takes 20 times as long
    if header.alpha:  # AVIF has one quality for colour and alpha
        return options | {"lossless": True}
    return options | {"Q": quality or 90}


@dataclass(frozen=True)
class Format:
    """How a kind of file is recognised, read and written.

    `largest` is the longest side that its encoder takes; `drops` names metadata that it has no place for; `options`
    gives the arguments of libvips' saver, which is `save` with `_buffer` or `_target` behind it.
    """

    name: str
    suffixes: tuple[str, ...]
    signature: re.Pattern[bytes]
    load: str
    save: str
    save_options: Callable[[Header, int | None], dict[str, Any]]
    samples: tuple[str, ...] = ("uint8",)
    alpha: bool = True
    grey: bool = True
    cmyk: bool = False
    pages: bool = False
    max_side: int = 10_000_000
    unsupported_metadata: tuple[str, ...] = ()


FORMATS = (
    Format(
        "JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), re.compile(rb"\xff\xd8\xff"), "jpegload_source",
        "jpegsave", _jpeg_options, alpha=False, cmyk=True, max_side=65_500,
    ),
    Format(
        "PNG", (".png",), re.compile(rb"\x89PNG\r\n\x1a\n"), "pngload_source",
        "pngsave", _png_options, samples=("uint8", "uint16"),
    ),
    Format(
        "TIFF", (".tif", ".tiff"), re.compile(rb"II[*+]\0|MM\0[*+]"), "tiffload_source",
        "tiffsave", _tiff_options, samples=tuple(str(dtype) for dtype in SAMPLES.values()), cmyk=True, pages=True,
    ),
    Format(
        "WebP", (".webp",), re.compile(rb"RIFF....WEBP", re.DOTALL), "webpload_source",
        "webpsave", _webp_options, grey=False, pages=True, max_side=16_383,
    ),
    Format(
        "AVIF", (".avif",), re.compile(rb"....ftyp.{,64}avi[fs]", re.DOTALL), "heifload_source",
        "heifsave", _avif_options, samples=("uint8", "uint16"), grey=False, max_side=16_384,
    ),
    Format(
        "GIF", (".gif",), re.compile(rb"GIF8[79]a"), "gifload_source",
        "gifsave", _gif_options, grey=False, pages=True, max_side=65_535,
        unsupported_metadata=("exif-data", "icc-profile-data", "xmp-data", "iptc-data"),
    ),
)  # fmt: skip
_SPOKEN = {"exif-data": "EXIF", "icc-profile-data": "a color profile", "xmp-data": "XMP", "iptc-data": "IPTC"}
_OF_SUFFIX = {suffix: kind for kind in FORMATS for suffix in kind.suffixes}
# libvips counts the frames of GIF, WebP and TIFF, but shows the first of these two as if there were no other.
ANIMATION = re.compile(rb"\x89PNG.*acTL|....ftypavis", re.DOTALL)


def is_picture(path: str | Path) -> bool:
    """Tell by its suffix whether a file of a folder counts as a picture."""
    return Path(str(path)).suffix.lower() in _OF_SUFFIX


def suffix_of(data: bytes) -> str:
    """Return the suffix (`.png`) of the kind of file that these bytes are.

    Raises:
        UnknownKindError: They are none that unnoise reads.
    """
    return detect(data[:4096], "the image").suffixes[0]


def detect(head: bytes, name: str) -> Format:
    """Return the kind of a file by its first bytes.

    Raises:
        UnknownKindError: it is none that unnoise reads; `name` is what it is called there.
    """
    if not head:
        raise UnknownKindError(f"{name}: the file is empty")
    for kind in FORMATS:
        if kind.signature.match(head):
            return kind
    known = ", ".join(kind.name for kind in FORMATS)
    raise UnknownKindError(f"{name}: not an image in a supported format ({known})")


def unsupported_reason(header: Header, suffix: str) -> str | None:
    """Return why a file with this suffix (`.jpg`) cannot hold the picture, or None where it can.

    Ask before the work: `write` and `encode` refuse for the same reasons after it.
    """
    kind = _OF_SUFFIX.get(suffix.lower())
    if kind is None:
        known = ", ".join(kind.suffixes[0] for kind in FORMATS)
        return f"unnoise writes {known}, not {suffix or 'names without a suffix'}"
    if header.dtype.name not in kind.samples:
        holder = ".png" if header.dtype == np.uint16 and header.pages == 1 else ".tif"
        return f"{kind.name} cannot hold {header.dtype.name} samples: write {holder}"
    if kind.name == "AVIF" and header.dtype == np.uint16 and header.metadata.get("bits-per-sample") not in (10, 12):
        return "AVIF cannot hold 16 bits: write .png"
    if header.pages > 1 and not kind.pages:
        return f"{kind.name} cannot hold {header.pages} pages or frames: write .tif or .webp"
    if header.colours == 4 and not kind.cmyk:
        return f"{kind.name} cannot hold CMYK: write .tif"
    if header.alpha and not kind.alpha:
        return f"{kind.name} cannot hold transparency: write .png"
    if not kind.grey and header.metadata.get("icc-profile-data", b"")[16:20] == b"GRAY":
        return f"{kind.name} cannot hold a gray color profile: write .png"
    if max(header.height // header.pages, header.width) > kind.max_side:
        return f"{kind.name} cannot hold more than {kind.max_side} pixels a side: write .tif"
    return None


def needs_rotation(header: Header, suffix: str) -> bool:
    """Tell whether a picture lies on its side, and a file with this suffix has no word for that."""
    return header.metadata.get("orientation", 1) > 1 and "exif-data" in format_for(suffix).unsupported_metadata


def dropped_metadata(header: Header, suffix: str) -> str | None:
    """Return what a file with this suffix has no place for, though it can hold the picture; None if nothing."""
    kind = format_for(suffix)
    lost = [_SPOKEN[field] for field in kind.unsupported_metadata if field in header.metadata]
    return f"{kind.name} cannot store {', '.join(lost)}: it is dropped" if lost else None


def format_for(suffix: str) -> Format:
    """Return the kind of file that a suffix (`.jpg`) names, one that is known."""
    return _OF_SUFFIX[suffix.lower()]


def reason(error: Exception) -> str:
    """Return, in one line, what the system or libvips says; of the several lines of libvips the first that tells."""
    if isinstance(error, UnicodeDecodeError):  # libvips quoted the file, and pyvips gave up before clearing the quote
        pyvips.vips_lib.vips_error_clear()
        said = error.object.decode(errors="replace")
    else:
        said = str(getattr(error, "detail", None) or getattr(error, "strerror", None) or error)
    lines = [line for line in said.strip().splitlines() if "bad seek" not in line]  # loaders feeling for the end
    return lines[0].strip()[:200] if lines else "too short"


def output_suffix(suffix: str) -> str:
    """Return the suffix under which a kind of file is written: its own, or PNG for an unknown one."""
    return suffix if is_picture(f"name{suffix}") else ".png"
