"""Image file formats: how each is detected, what it can store, and the options that libvips writes it with."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyvips

from unnoise.errors import UnnoiseError
from unnoise.io import containers, saver_options
from unnoise.io.containers import png
from unnoise.io.header import SAMPLES, Header
from unnoise.io.unreadable import RAW, UNREADABLE, Unreadable, is_raw_tiff

HEAD = 4096
"""Number of the first bytes of a file that decide what it is."""
COLOUR_SPACES = ("b-w", "grey16", "srgb", "rgb16", "scrgb", "cmyk")


class UnknownKindError(UnnoiseError):
    """The data are not an image in a supported format."""


@dataclass(frozen=True)
class Format:
    """An image file format.

    Attributes:
        name: as users write it, `JPEG`.
        suffixes: of file names, in lower case; the first is the default.
        signature: matches the first bytes of a file.
        load: the libvips loader, or another name if there is none.
        save: the libvips saver, without `_buffer` or `_target`; "" if there is none.
        save_options: header, quality -> arguments of the saver.
        samples: supported sample types.
        alpha: whether it supports transparency.
        grey: whether it supports gray images; otherwise they are stored as RGB.
        color: whether it supports RGB images.
        cmyk: whether it supports CMYK.
        data: whether it supports channels that are neither gray, color, ink nor alpha.
        pages: whether it supports several pages or frames.
        max_side: longest side that the encoder supports, in pixels.
        orientation: whether it can store an orientation; otherwise the pixels are rotated.
        codec: the module of `io.codecs` that reads and writes it where libvips does not; "" for libvips.
        extra: the extra of this package that reads and writes it; "" if none is needed.
        library: the module that the extra installs.
        made_of: the metadata without which it cannot be written, since a file of its kind must have been read; or "".
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
    color: bool = True
    cmyk: bool = False
    data: bool = False
    pages: bool = False
    max_side: int = 10_000_000
    orientation: bool = True
    codec: str = ""
    extra: str = ""
    library: str = ""
    made_of: str = ""


FORMATS = (
    Format(
        "JPEG", (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), re.compile(rb"\xff\xd8\xff"), "jpegload_source",
        "jpegsave", saver_options.jpeg_options, alpha=False, cmyk=True, max_side=65_500,
    ),
    Format(
        "PNG", (".png", ".apng"), re.compile(rb"\x89PNG\r\n\x1a\n"), "pngload_source",
        "pngsave", saver_options.png_options, samples=("uint8", "uint16"),
    ),
    Format(
        "TIFF", (".tif", ".tiff"), re.compile(rb"II[*+]\0|MM\0[*+]"), "tiffload_source",
        "tiffsave", saver_options.tiff_options, samples=tuple(str(dtype) for dtype in SAMPLES.values()),
        cmyk=True, data=True, pages=True,
    ),
    Format(
        "WebP", (".webp",), re.compile(rb"RIFF....WEBP", re.DOTALL), "webpload_source",
        "webpsave", saver_options.webp_options, grey=False, pages=True, max_side=16_383,
    ),
    Format(
        "AVIF", (".avif",), re.compile(rb"....ftyp.{,64}avi[fs]", re.DOTALL), "heifload_source",
        "heifsave", saver_options.avif_options, samples=("uint8", "uint16"), grey=False, max_side=16_384,
    ),
    Format(
        "GIF", (".gif",), re.compile(rb"GIF8[79]a"), "gifload_source",
        "gifsave", saver_options.gif_options, grey=False, pages=True, max_side=65_535,
        orientation=False,
    ),
    Format(
        "BMP", (".bmp", ".dib"), re.compile(rb"BM.{8}.{4}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL), "bmp",
        "", saver_options.no_options, max_side=2**31 - 1, orientation=False, codec="bmp",
    ),
    Format(
        "PNM", (".pnm", ".ppm", ".pgm", ".pam"), re.compile(rb"P[1-6]\s|P7\n"), "pnm",
        "", saver_options.no_options, samples=("uint8", "uint16"), orientation=False, codec="pnm",
    ),
    Format(
        "PFM", (".pfm",), re.compile(rb"P[fF]\s"), "pfm",
        "", saver_options.no_options, samples=("float32",), alpha=False, orientation=False, codec="pnm",
    ),
    Format(
        "HEIC", (".heic", ".heif", ".hif"), re.compile(rb"....ftyp(?:hei[cxms]|hev[cxms]|mif1|msf1)", re.DOTALL),
        "heic", "", saver_options.no_options, samples=("uint8", "uint16"), max_side=16_384, codec="heif",
        extra="heif", library="pillow_heif",
    ),
    Format(
        "JP2", (".jp2", ".j2k", ".j2c", ".jpx", ".jpf"),
        re.compile(rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"), "jpeg2000", "", saver_options.no_options,
        samples=("uint8", "int8", "uint16", "int16"), data=True, orientation=False, codec="jpeg2000",
        extra="tiff", library="imagecodecs", made_of="jpeg2000",
    ),
    Format(
        "DICOM", (".dcm", ".dicom"), re.compile(rb".{128}DICM", re.DOTALL), "dicom",
        "", saver_options.no_options, samples=tuple(str(dtype) for dtype in SAMPLES.values()), alpha=False, pages=True,
        max_side=65_535, orientation=False, codec="dicom", extra="medical", library="pydicom", made_of="dicom",
    ),
    Format(
        "FITS", (".fits", ".fit", ".fts"), re.compile(rb"SIMPLE  = {20}T"), "fits",
        "", saver_options.no_options, samples=tuple(str(dtype) for dtype in SAMPLES.values() if str(dtype) != "int8"),
        alpha=False, color=False, pages=True, orientation=False, codec="fits", extra="astro", library="astropy",
    ),
    Format(
        "JXL", (".jxl",), re.compile(rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n"), "jxl", "", saver_options.no_options,
        samples=("uint8", "uint16", "float32"), orientation=False, codec="jpegxl", extra="jxl", library="imagecodecs",
    ),
    Format(
        "EXR", (".exr",), re.compile(rb"\x76\x2f\x31\x01"), "exr", "", saver_options.no_options, samples=("float32",),
        alpha=False, orientation=False, codec="exr", extra="exr", library="OpenEXR",
    ),
    Format(
        "HDR", (".hdr",), re.compile(rb"#\?(?:RADIANCE|RGBE)\s"), "radiance", "", saver_options.no_options,
        samples=("float32",), alpha=False, orientation=False, codec="radiance", extra="hdr", library="imagecodecs",
    ),
)  # fmt: skip
SHARED_SUFFIXES = (".hdr",)
"""Suffixes that files of other kinds have, too, so that the content decides."""
_BY_SUFFIX = {suffix: kind for kind in FORMATS for suffix in kind.suffixes}
ANIMATED_PNG = replace(_BY_SUFFIX[".png"], load="apng", codec="apng", pages=True)
"""PNG with several frames, of which libvips reads only the first one, without a sign that there are others."""
_ANIMATED_AVIF = re.compile(rb"....ftypavis", re.DOTALL)  # likewise


def is_picture(path: str | Path) -> bool:
    """Tell whether a file name has the suffix of an image format that can be read here."""
    kind = _BY_SUFFIX.get(Path(str(path)).suffix.lower())
    return kind is not None and not missing_extra(kind)


def missing_extra(kind: Format | Unreadable) -> str:
    """Return the command that installs what a format needs, or "" if it is installed."""
    if not kind.extra or importlib.util.find_spec(kind.library) is not None:
        return ""
    return f"pip install 'unnoise[{kind.extra}]'"


def suffix_of(data: bytes) -> str:
    """Return the default suffix (`.png`) of the format of an encoded image.

    Raises:
        UnknownKindError: the format is not supported.
    """
    return detect(data[:HEAD], "the image").suffixes[0]


def detect(head: bytes, name: str) -> Format:
    """Detect the format of a file.

    Args:
        head: the first bytes of the file.
        name: of the file, for error messages.

    Raises:
        UnknownKindError: the format is not supported.
    """
    if not head:
        raise UnknownKindError(f"{name}: the file is empty")
    kind = kind_of(head)
    if isinstance(kind, Format):
        return kind
    if kind is not None:
        raise UnknownKindError(f"{name}: {kind.name} is not read: {kind.reason}")
    known = ", ".join(kind.name for kind in FORMATS)
    raise UnknownKindError(f"{name}: not an image in a supported format ({known})")


def detect_file(file: IO[bytes], name: str) -> Format:
    """Detect the format of an open file as `detect` does, and whether a PNG is animated; the position is not restored.

    Raises:
        UnnoiseError: an animated AVIF.
        UnknownKindError: the format is not supported.
    """
    head = file.read(HEAD)
    kind = detect(head, name)
    if _ANIMATED_AVIF.match(head):
        raise UnnoiseError(f"{name}: animated {kind.name} is not supported: convert it to WebP first")
    return ANIMATED_PNG if kind.name == "PNG" and png.is_animated(file) else kind


def kind_of(head: bytes) -> Format | Unreadable | None:
    """Return the kind of image of a file with these first bytes; None if it is no image that is known here.

    >>> kind_of(b"GIF89a").name, kind_of(b"gimp xcf v011").name, kind_of(b"Dear Sir")
    ('GIF', 'GIMP', None)
    """
    first = (RAW, _BY_SUFFIX[".dcm"])  # which may begin as TIFFs do
    return next((kind for kind in (*first, *FORMATS, *UNREADABLE) if kind.signature.match(head)), None)


def kind_of_file(path: str | Path) -> Format | Unreadable | None:
    """Return the kind of image of a file, by its content; None if it is none, or cannot be read."""
    try:
        if not os.path.isfile(path):
            return None
        with open(path, "rb") as file:
            kind = kind_of(file.read(HEAD))
            if isinstance(kind, Format) and kind.name == "PNG" and png.is_animated(file):
                return ANIMATED_PNG
            return RAW if isinstance(kind, Format) and kind.name == "TIFF" and is_raw_tiff(file) else kind
    except OSError:
        return None


def unsupported_reason(header: Header, suffix: str) -> str | None:
    """Return why a file with this suffix (`.jpg`) cannot store an image, or None if it can.

    `write` and `encode` raise for the same reasons; this allows a check before denoising.
    """
    kind = _BY_SUFFIX.get(suffix.lower())
    if kind is None:
        known = ", ".join(kind.suffixes[0] for kind in FORMATS)
        return f"unnoise writes {known}, not {suffix or 'names without a suffix'}"
    if "tiff-lab" in header.metadata and kind.name != "TIFF":
        return f"{kind.name} cannot hold CIE L*a*b*: write .tif"
    if header.dtype.name not in kind.samples:
        alternative = ".png" if header.dtype == np.uint16 and header.pages == 1 else ".tif"
        return f"{kind.name} cannot hold {header.dtype.name} samples: write {alternative}"
    bits = header.metadata.get("bits-per-sample")
    if kind.name == "JXL" and header.dtype != np.uint8 and "jxl" not in header.metadata:
        return "JXL of more than 8 bits is only written of JXL: write .png or .tif"
    if kind.name in ("AVIF", "HEIC") and header.dtype == np.uint16 and bits not in (10, 12):
        return f"{kind.name} cannot hold 16 bits: write .png"
    if header.pages > 1 and not kind.pages and not (kind.name == "PNG" and is_animation(header)):
        return f"{kind.name} cannot hold {header.pages} pages or frames: write .tif or .webp"
    if header.layout.has_data and not kind.data:
        return f"{kind.name} cannot hold {header.colours} channels that are no color image: write .tif"
    if kind.made_of and kind.made_of not in header.metadata:
        return f"{kind.name} is only written of {kind.name}: write .tif"
    if header.layout.base == 3 and not kind.color:
        return f"{kind.name} cannot hold color: write .tif"
    if header.layout.base == 4 and not kind.cmyk:
        return f"{kind.name} cannot hold CMYK: write .tif"
    if header.alpha and not kind.alpha:
        return f"{kind.name} cannot hold transparency: write .png"
    if not kind.grey and header.metadata.get("icc-profile-data", b"")[16:20] == b"GRAY":
        return f"{kind.name} cannot hold a gray color profile: write .png"
    if max(header.height // header.pages, header.width) > kind.max_side:
        return f"{kind.name} cannot hold more than {kind.max_side} pixels a side: write .tif"
    return None


def is_animation(header: Header) -> bool:
    """Tell whether an image is an animation: frames with times, or an animated PNG of one frame."""
    return "apng" in header.metadata or (header.pages > 1 and bool({"durations", "delay"} & header.metadata.keys()))


def format_of(header: Header, suffix: str) -> Format:
    """Return the format that an image is written in by a supported suffix: that of animations where it is one."""
    kind = format_for(suffix)
    return ANIMATED_PNG if kind.name == "PNG" and is_animation(header) else kind


def by_loader(load: str) -> Format:
    """Return the format of a loader, `Format.load`."""
    return next(kind for kind in (*FORMATS, ANIMATED_PNG) if kind.load == load)


def needs_rotation(header: Header, suffix: str) -> bool:
    """Tell whether the pixels must be rotated because a file with this suffix cannot store the EXIF orientation."""
    return header.metadata.get("orientation", 1) > 1 and not format_for(suffix).orientation


def dropped_metadata(header: Header, suffix: str) -> str | None:
    """Return a warning that names the metadata that a file with this suffix cannot store; None if it stores all."""
    kind = format_for(suffix)
    dropped = containers.dropped(header.metadata, kind.name)
    return f"{kind.name} cannot store {', '.join(dropped)}: it is dropped" if dropped else None


def by_suffix(suffix: str) -> Format | None:
    """Return the format of a suffix (`.jpg`), or None."""
    return _BY_SUFFIX.get(suffix.lower())


def format_for(suffix: str) -> Format:
    """Return the format of a supported suffix (`.jpg`)."""
    return _BY_SUFFIX[suffix.lower()]


def reason(error: Exception) -> str:
    """Return the message of an error of the system or of libvips, in one line: of several, the first meaningful one."""
    if isinstance(error, UnicodeDecodeError):  # by pyvips, of a message that quotes the file
        pyvips.vips_lib.vips_error_clear()
        text = error.object.decode(errors="replace")
    else:
        text = str(getattr(error, "detail", None) or getattr(error, "strerror", None) or error)
    lines = [line for line in text.strip().splitlines() if "bad seek" not in line]  # loaders probe for the end
    return lines[0].strip()[:200] if lines else "too short"


def output_suffix(suffix: str) -> str:
    """Return the suffix of the output for an input with this one: the same, or `.png` if unnoise cannot write it."""
    return suffix if suffix.lower() in _BY_SUFFIX else ".png"
