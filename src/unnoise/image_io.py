"""Pictures: files to arrays and back, with everything that is not noise kept.

libvips does the reading and writing, through one named loader per format, chosen by the first bytes of the file and
never by its name; no other loader (SVG, PDF, raw) can be reached. What a round trip keeps:

* depth: 8 and 16 bit integers and 32-bit floats come back as they were, grey stays grey, palettes become RGB;
* alpha: carried beside the pixels in its own samples, bit for bit;
* ICC profile, EXIF, XMP, IPTC, resolution, text: carried as libvips reads them. The EXIF orientation is applied to
  the pixels once and its tag then says 1; an EXIF thumbnail that would now lie on its side is left out.

| format | 8 bit | 16 bit | float | alpha | written                                                              |
| ------ | ----- | ------ | ----- | ----- | -------------------------------------------------------------------- |
| JPEG   | yes   |        |       |       | quality 95; colour as fine as grey, unless the source had it coarser |
| PNG    | yes   | yes    |       | yes   | lossless                                                             |
| TIFF   | yes   | yes    | yes   | yes   | lossless: integers deflated, floats plain                            |
| WebP   | yes   |        |       | yes   | quality 95, alpha lossless; grey is read back as RGB                 |
| AVIF   | yes   | 10, 12 |       | yes   | quality 90, lossless where there is alpha; grey is read back as RGB  |
| GIF    | yes   |        |       | yes   | read only                                                            |

Refused in one line: several pages or frames, CMYK, CIELAB, other counts of channels, other integers, 64-bit floats.
Not carried: EXIF inside TIFF (libvips reads none there), a TIFF resolution without a unit, JPEG comments, gain maps of
HDR photographs, and text of PNG and TIFF that is not in UTF-8.
"""

from __future__ import annotations

import atexit
import os
import re
import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyvips

from unnoise.errors import UnnoiseError

MAX_PIXELS = 1_000_000_000

_SCREEN = 72 / 25.4  # pixels per millimetre, what programs assume of a picture that states no resolution
_SAMPLES = {"uchar": np.dtype(np.uint8), "ushort": np.dtype(np.uint16), "float": np.dtype(np.float32)}
_COLOUR_SPACES = {"uint8": ("b-w", "srgb"), "uint16": ("grey16", "rgb16"), "float32": ("b-w", "scrgb")}
_CARRIED = (
    *("exif-data", "icc-profile-data", "xmp-data", "iptc-data", "photoshop-data", "image-description"),
    *("xres", "yres", "resolution-unit", "bits-per-sample", "jpeg-chroma-subsample"),
)
_SIDEWAYS = re.compile("exif-ifd1-.*|jpeg-thumbnail-data|exif-ifd0-Orientation")
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


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture in memory: what a denoiser may change, and what it may not.

    Attributes:
        pixels: `[H, W, C]`, C = 1 or 3, nominally in [0, 1]: integers divided by 255 or 65535, floats as they are.
        alpha: `[H, W, 1]` in the samples of the file, or None.
        dtype: uint8, uint16 or float32: the samples of the file, and of what is written.
        metadata: Fields of libvips by name, such as `icc-profile-data`; bytes, text and numbers.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    dtype: np.dtype[Any]
    metadata: Mapping[str, Any]

    def with_pixels(self, pixels: np.ndarray) -> Picture:
        """Return this picture with other pixels of the same shape; all else stays."""
        if pixels.shape != self.pixels.shape:
            raise ValueError(f"pixels have shape {pixels.shape}, the picture has {self.pixels.shape}")
        return replace(self, pixels=np.ascontiguousarray(pixels, dtype=np.float32))

    def save(self, target: str | Path, *, overwrite: bool = False, quality: int | None = None) -> None:
        """Write the picture to a file; see `write`."""
        write(self, target, overwrite=overwrite, quality=quality)

    def to_array(self) -> np.ndarray:
        """Return `[H, W, C]`, or `[H, W, C + 1]` with alpha last, in the samples of the file.

        Integers are clipped to [0, 1] and rounded to the nearest level; NaN, which they cannot hold, becomes 0.
        """
        if self.dtype.kind == "f":
            samples = self.pixels.astype(self.dtype)
        else:
            levels = np.clip(self.pixels, 0, 1)
            levels *= np.iinfo(self.dtype).max
            samples = np.nan_to_num(np.rint(levels, out=levels), copy=False).astype(self.dtype)
        return samples if self.alpha is None else np.concatenate([samples, self.alpha], axis=2)


def from_array(array: np.ndarray) -> Picture:
    """Make a picture of `[H, W]` or `[H, W, C]`: grey, grey and alpha, RGB, or RGB and alpha for C = 1 to 4.

    uint8 and uint16 keep their depth; floats of any width, nominally in [0, 1], become float32.

    >>> picture = from_array(np.full((2, 3), 51, np.uint8))
    >>> picture.pixels.shape, float(picture.pixels[0, 0, 0])
    ((2, 3, 1), 0.20000000298023224)
    >>> read(encode(picture, ".png")).to_array()[0, 0]
    array([51], dtype=uint8)
    """
    array = np.asarray(array)
    samples = array[..., np.newaxis] if array.ndim == 2 else array
    if samples.ndim != 3 or samples.shape[2] not in (1, 2, 3, 4) or samples.size == 0:
        raise UnnoiseError(f"an array of shape {array.shape} is no picture: pass [H, W] or [H, W, C] with C = 1 to 4")
    sample = "float32" if array.dtype.kind == "f" else array.dtype.name
    if sample not in _COLOUR_SPACES:
        raise UnnoiseError(f"an array of {array.dtype} is no picture: pass uint8, uint16, or floats in [0, 1]")
    return _from_samples(samples.astype(sample, copy=False), {})


def _from_samples(samples: np.ndarray, metadata: Mapping[str, Any]) -> Picture:
    """Split `[H, W, 1..4]` into pixels and alpha; both are new arrays."""
    colours = 3 if samples.shape[2] >= 3 else 1
    pixels = np.array(samples[..., :colours], dtype=np.float32, order="C")
    if samples.dtype.kind == "u":
        pixels /= np.iinfo(samples.dtype).max
    alpha = samples[..., colours:].copy() if samples.shape[2] > colours else None
    return Picture(pixels, alpha, samples.dtype, metadata)


# Formats: how each is recognised, read and written


def _jpeg_options(picture: Picture, quality: int | None) -> dict[str, Any]:
    coarse = picture.metadata.get("jpeg-chroma-subsample") == "4:2:0"
    return {"Q": quality or 95, "subsample_mode": "on" if coarse else "off", "optimize_coding": True}


def _png_options(picture: Picture, quality: int | None) -> dict[str, Any]:
    return {"filter": "all"}  # half the size of the default on photographs


def _tiff_options(picture: Picture, quality: int | None) -> dict[str, Any]:
    bigtiff = picture.pixels.size * picture.dtype.itemsize > 2**31
    if picture.dtype.kind == "f":  # floats hardly shrink, and few programs read their predictor
        return {"compression": "none", "bigtiff": bigtiff}
    return {"compression": "deflate", "predictor": "horizontal", "bigtiff": bigtiff}


def _webp_options(picture: Picture, quality: int | None) -> dict[str, Any]:
    return {"Q": quality or 95, "smart_subsample": True, "exact": True}  # exact: colour under alpha 0 is kept as well


def _avif_options(picture: Picture, quality: int | None) -> dict[str, Any]:
    bits = 8 if picture.dtype == np.uint8 else picture.metadata["bits-per-sample"]
    options = {"compression": "av1", "bitdepth": bits, "effort": 1}  # effort 4, the default, takes 20 times as long
    if picture.alpha is not None:  # AVIF has one quality for colour and alpha
        return options | {"lossless": True}
    return options | {"Q": quality or 90}


@dataclass(frozen=True)
class _Format:
    """How a kind of file is recognised, read and written.

    `largest` is the longest side that its encoder takes; `options` gives the arguments of the libvips saver `save`.
    """

    name: str
    suffixes: tuple[str, ...]
    signature: re.Pattern[bytes]
    load: str
    save: str = ""
    options: Callable[[Picture, int | None], dict[str, Any]] | None = None
    samples: tuple[str, ...] = ("uint8",)
    alpha: bool = True
    grey: bool = True
    largest: int = 10_000_000


_FORMATS = (
    _Format(
        "JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), re.compile(rb"\xff\xd8\xff"), "jpegload_source",
        "jpegsave_buffer", _jpeg_options, alpha=False, largest=65_500,
    ),
    _Format(
        "PNG", (".png",), re.compile(rb"\x89PNG\r\n\x1a\n"), "pngload_source",
        "pngsave_buffer", _png_options, samples=("uint8", "uint16"),
    ),
    _Format(
        "TIFF", (".tif", ".tiff"), re.compile(rb"II[*+]\0|MM\0[*+]"), "tiffload_source",
        "tiffsave_buffer", _tiff_options, samples=("uint8", "uint16", "float32"),
    ),
    _Format(
        "WebP", (".webp",), re.compile(rb"RIFF....WEBP", re.DOTALL), "webpload_source",
        "webpsave_buffer", _webp_options, grey=False, largest=16_383,
    ),
    _Format(
        "AVIF", (".avif",), re.compile(rb"....ftyp.{,64}avi[fs]", re.DOTALL), "heifload_source",
        "heifsave_buffer", _avif_options, samples=("uint8", "uint16"), grey=False, largest=16_384,
    ),
    _Format("GIF", (".gif",), re.compile(rb"GIF8[79]a"), "gifload_source"),
)  # fmt: skip
_FORMAT_OF_SUFFIX = {suffix: kind for kind in _FORMATS for suffix in kind.suffixes}
# libvips counts the frames of GIF, WebP and TIFF, but shows the first of these two as if there were no other.
_ANIMATION = re.compile(rb"\x89PNG.*acTL|....ftypavis", re.DOTALL)


def is_picture(path: str | Path) -> bool:
    """Tell by its suffix whether a file of a folder counts as a picture."""
    return Path(path).suffix.lower() in _FORMAT_OF_SUFFIX


def suffix_of(data: bytes) -> str:
    """Return the suffix (`.png`) of the kind of file that these bytes are.

    Raises:
        UnnoiseError: They are none that unnoise reads.
    """
    return _recognise(data[:4096], "the picture").suffixes[0]


def _recognise(head: bytes, name: str) -> _Format:
    if not head:
        raise UnnoiseError(f"{name}: the file is empty")
    for kind in _FORMATS:
        if kind.signature.match(head):
            return kind
    known = ", ".join(kind.name for kind in _FORMATS)
    raise UnnoiseError(f"{name}: not a picture of a kind that unnoise reads ({known})")


# Reading


def read(source: str | Path | bytes, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a picture from a file, or from the bytes of one.

    Raises:
        UnnoiseError: The file is missing, empty, damaged, cut short, no picture of a kind in the table above, or
            larger than `max_pixels` by its header, before anything is decoded.
    """
    if isinstance(source, bytes):
        return _read(pyvips.Source.new_from_memory(source), source[:4096], "the picture", max_pixels)
    try:
        with open(source, "rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise UnnoiseError(f"{source}: cannot be read: {_reason(error)}") from error
    opened = pyvips.Source.new_from_file(os.fsencode(source))  # type: ignore[arg-type]  (names beyond UTF-8)
    return _read(opened, head, str(source), max_pixels)


def _read(source: pyvips.Source, head: bytes, name: str, max_pixels: int) -> Picture:
    kind = _recognise(head, name)
    if _ANIMATION.match(head.partition(b"IDAT")[0]):
        raise UnnoiseError(f"{name}: an animation; unnoise cleans single pictures: take its frames apart first")
    try:
        # Rows are decoded once, in order: anything else would spill large files to a temporary one.
        image = getattr(pyvips.Image, kind.load)(source, access="sequential", fail_on="error")
        _check_header(image, name, max_pixels)
        image = image.copy_memory()
        metadata = _metadata(image)
        image = image.autorot()
    except (pyvips.Error, UnicodeDecodeError) as error:
        raise UnnoiseError(
            f"{name}: damaged, cut short or of a rare kind ({_reason(error)}): try another copy"
        ) from error
    samples = image.numpy().reshape(image.height, image.width, image.bands)
    return _from_samples(samples, metadata)


def _check_header(image: pyvips.Image, name: str, max_pixels: int) -> None:
    """Refuse what cannot be cleaned without loss, while only the header has been read."""
    if image.width * image.height > max_pixels:
        size = f"{image.width} x {image.height} pixels"
        raise UnnoiseError(f"{name}: {size}, over the limit of {max_pixels}: raise the limit if you trust the file")
    pages = _number(image, "n-pages")
    if pages > 1:
        raise UnnoiseError(f"{name}: {pages} pages or frames; unnoise cleans single pictures: take them apart first")
    if image.format not in _SAMPLES:
        raise UnnoiseError(f"{name}: samples of type {image.format}: convert it to 8 or 16 bit or 32-bit float first")
    colour_spaces = {space for pair in _COLOUR_SPACES.values() for space in pair}
    if image.interpretation not in colour_spaces or image.bands > 4:
        kind = f"{image.bands} channels, {image.interpretation}"
        raise UnnoiseError(f"{name}: {kind}, is neither grey nor RGB: convert it to RGB first")


def _metadata(image: pyvips.Image) -> dict[str, Any]:
    """Return the fields of `image` to be carried to what is written, true of the upright picture."""
    present = (field for field in (*_CARRIED, *_png_texts(image)) if image.get_typeof(field))
    fields: dict[str, Any] = {field: image.get(field) for field in present}
    if any(abs(image.xres - made_up) < 0.01 for made_up in (1, _SCREEN)):  # the file says nothing, or as little
        del fields["xres"], fields["yres"]
    orientation = _number(image, "orientation")
    if orientation > 1:
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


# Writing


def cannot_hold(picture: Picture, suffix: str) -> str | None:
    """Return why a file with this suffix (`.jpg`) cannot hold the picture, or None where it can.

    Ask before the work: `write` and `encode` refuse for the same reasons after it.
    """
    kind = _FORMAT_OF_SUFFIX.get(suffix.lower())
    if kind is None or kind.options is None:
        known = ", ".join(kind.suffixes[0] for kind in _FORMATS if kind.options)
        return f"unnoise writes {known}, not {suffix or 'names without a suffix'}"
    if picture.dtype.name not in kind.samples:
        holder = ".tif" if picture.dtype.kind == "f" else ".png"
        return f"{kind.name} cannot hold {picture.dtype.name} samples: write {holder}"
    if kind.name == "AVIF" and picture.dtype == np.uint16 and picture.metadata.get("bits-per-sample") not in (10, 12):
        return "AVIF cannot hold 16 bits: write .png"
    if picture.alpha is not None and not kind.alpha:
        return f"{kind.name} cannot hold transparency: write .png"
    if not kind.grey and picture.metadata.get("icc-profile-data", b"")[16:20] == b"GRAY":
        return f"{kind.name} cannot hold a grey colour profile: write .png"
    if max(picture.pixels.shape) > kind.largest:
        return f"{kind.name} cannot hold more than {kind.largest} pixels a side: write .tif"
    return None


def check_target(target: str | Path, *, overwrite: bool = False) -> None:
    """Refuse a target that cannot be written: one that exists, or whose folder is missing or closed."""
    target = Path(target)
    if target.is_dir():
        raise UnnoiseError(f"{target}: is a folder: give the name of a file")
    if target.exists() and not overwrite:
        raise UnnoiseError(f"{target}: exists already: give another name, or allow overwriting")
    if not target.parent.is_dir():
        raise UnnoiseError(f"{target}: there is no folder {target.parent}: make it first")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise UnnoiseError(f"{target}: cannot be written: no permission for the folder {target.parent}")


def encode(picture: Picture, suffix: str, *, quality: int | None = None) -> bytes:
    """Return the bytes of a file of the kind that the suffix (`.png`) names.

    `quality`, 1 to 100, is for JPEG, WebP and AVIF without alpha; the rest is lossless.

    Raises:
        UnnoiseError: That kind `cannot_hold` the picture, or `quality` is out of range.
    """
    if reason := cannot_hold(picture, suffix):
        raise UnnoiseError(reason)
    if quality is not None and not 1 <= quality <= 100:
        raise UnnoiseError(f"quality {quality} is not between 1 and 100")
    kind = _FORMAT_OF_SUFFIX[suffix.lower()]
    assert kind.options is not None
    # Left to itself, libvips gives every file an EXIF block, if only for a resolution that it made up.
    keep = "all" if {"exif-data", "xres"} & picture.metadata.keys() else "xmp|iptc|icc|other"
    try:
        return getattr(_to_vips(picture), kind.save)(keep=keep, **kind.options(picture, quality))
    except (pyvips.Error, UnicodeDecodeError) as error:
        raise UnnoiseError(f"cannot be encoded as {kind.name}: {_reason(error)}") from error


def _to_vips(picture: Picture) -> pyvips.Image:
    samples = np.ascontiguousarray(picture.to_array())
    height, width, bands = samples.shape
    sample = next(name for name, dtype in _SAMPLES.items() if dtype == picture.dtype)
    image = pyvips.Image.new_from_memory(samples.data, width, height, bands, sample)
    resolution = {field: picture.metadata.get(field, _SCREEN) for field in ("xres", "yres")}
    image = image.copy(interpretation=_COLOUR_SPACES[picture.dtype.name][bands >= 3], **resolution)
    for field, value in picture.metadata.items():
        if field not in resolution:
            text = pyvips.GValue.blob_type if field.endswith("-data") else pyvips.GValue.gstr_type
            image.set_type(pyvips.GValue.gint_type if isinstance(value, int) else text, field, value)
    if "orientation" in picture.metadata:  # `read` turned it
        for field in filter(_SIDEWAYS.fullmatch, image.get_fields()):  # set by libvips from inside exif-data
            image.remove(field)
    return image


def write(picture: Picture, target: str | Path, *, overwrite: bool = False, quality: int | None = None) -> None:
    """Write the picture to a file, whole or not at all.

    The bytes go to a temporary file in the same folder, which is synced and then renamed, so that nobody ever sees a
    part of a picture. An overwritten file passes on its permissions; a link is followed.

    Raises:
        UnnoiseError: As `check_target` and `encode`, or the disk fails. What stood at `target` is then still there.
    """
    check_target(target, overwrite=overwrite)
    try:
        _write_atomically(Path(target).resolve(), encode(picture, Path(target).suffix, quality=quality))
    except UnnoiseError as error:
        raise UnnoiseError(f"{target}: {error}") from error
    except OSError as error:
        raise UnnoiseError(f"{target}: cannot be written: {_reason(error)}") from error


def _write_atomically(target: Path, data: bytes) -> None:
    temporary = target.with_name(f".unnoise-{secrets.token_hex(8)}.part")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _reason(error: Exception) -> str:
    """Return, in one line, what the system or libvips says; of the several lines of libvips the first that tells."""
    if isinstance(error, UnicodeDecodeError):  # libvips quoted the file, and pyvips gave up before clearing the quote
        pyvips.vips_lib.vips_error_clear()
        said = error.object.decode(errors="replace")
    else:
        said = str(getattr(error, "detail", None) or getattr(error, "strerror", None) or error)
    lines = [line for line in said.strip().splitlines() if "bad seek" not in line]  # loaders feeling for the end
    return lines[0].strip()[:200] if lines else "too short"
