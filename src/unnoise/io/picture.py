"""Images in memory, and how they are encoded and written to files."""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyvips

from unnoise.errors import UnnoiseError, system_reason
from unnoise.io import atomic, codecs, containers, contiguous_tiff, edited_target, formats, jpeg_encoder, lab, tiff_tags
from unnoise.io.atomic import CommitHook
from unnoise.io.formats import SAMPLES, Format, Header, reason
from unnoise.io.layout import ASSOCIATED, UNASSOCIATED, Layout, layout_of_array, nodata_as
from unnoise.io.paths import check_target

NODATA = np.float32(-np.inf)
"""Value of the pixels that are missing by the nodata value of their file; NaN are those that the file has itself."""

_CHUNK_ROWS = 16  # few enough to stay in the processor's cache
_TYPES = {
    bytes: pyvips.GValue.blob_type,
    str: pyvips.GValue.gstr_type,
    int: pyvips.GValue.gint_type,
    list: pyvips.GValue.array_int_type,
}
_BY_LIBVIPS = ("page-height", "delay", "loop")  # fields that libvips writes; `containers` adds the others
_BY_LIBVIPS_IN = {
    "AVIF": ("xmp-data", "icc-profile-data"),
}
log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Picture:
    """An image in memory: pixels, which denoisers change, and everything else that is kept.

    Attributes:
        pixels: float32 `[H, W, C]`, the `layout.channels`, nominally in [0, 1]: integers divided by the largest of
            their type, floats unchanged, nodata values as `NODATA`. Pages, all of one size, are stacked vertically.
        alpha: `[H, W, A]`, the `layout.alphas`, samples of the file; None if there are none.
        dtype: of the samples in the file, when read and when written; one of `formats.SAMPLES`.
        metadata: as that of `Header`.
        layout: what the samples of a pixel are in the file.
        file: the encoded file that the image was read from, if it is unchanged and complete; else None.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    dtype: np.dtype[Any]
    metadata: Mapping[str, Any]
    layout: Layout
    file: bytes | None = None

    @property
    def header(self) -> Header:
        """Everything except the pixels."""
        height, width = self.pixels.shape[:2]
        return Header(height, width, self.layout, self.dtype, self.metadata)

    def with_pixels(self, pixels: np.ndarray) -> Picture:
        """Return a copy with other pixels of the same shape."""
        if pixels.shape != self.pixels.shape:
            raise ValueError(f"pixels must have shape {self.pixels.shape}, got {pixels.shape}")
        return replace(self, pixels=np.ascontiguousarray(pixels, dtype=np.float32), file=None)

    def channel_pages(self) -> list[np.ndarray]:
        """Return the pages of each channel of a stack below each other; all pixels where the pages are of one."""
        channels = self.header.page_channels
        if len(set(channels)) == 1:
            return [self.pixels]
        pages = list(zip(channels, np.split(self.pixels, len(channels)), strict=True))
        return [np.concatenate([page for one, page in pages if one == channel]) for channel in dict.fromkeys(channels)]

    def save(self, target: str | Path, *, overwrite: bool = False, quality: int | None = None) -> None:
        """Write the image to a file; see `write`."""
        write(self, target, overwrite=overwrite, quality=quality)

    def to_array(self) -> np.ndarray:
        """Return the samples of the file in their order, `[H, W, layout.samples]`; of pages `[N, H, W, ...]`.

        Integers are clipped to their range and rounded to nearest; NaN becomes 0.
        """
        samples, pages = self.samples(), self.header.pages
        return samples if pages == 1 else samples.reshape(pages, -1, *samples.shape[1:])

    def samples(self) -> np.ndarray:
        """Return `to_array` with the pages stacked vertically."""
        if self.dtype.kind == "f":
            samples = self.pixels.astype(self.dtype)
        else:
            samples = np.empty(self.pixels.shape, self.dtype)
            for top in range(0, len(samples), _CHUNK_ROWS):
                samples[top : top + _CHUNK_ROWS] = _quantize(self.pixels[top : top + _CHUNK_ROWS], self.dtype)
        if self.layout.nodata is not None:
            missing = nodata_as(self.layout.nodata, self.dtype)
            samples = samples if missing is None else np.where(self.pixels == NODATA, missing, samples)
        if self.alpha is None:
            return samples
        together = np.empty((*samples.shape[:2], self.layout.samples), self.dtype)
        together[:, :, self.layout.channels], together[:, :, self.layout.alphas] = samples, self.alpha
        return together


def _quantize(pixels: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """Scale, clip and round pixels to the integers of a type, in floating point."""
    limits = np.iinfo(dtype)
    exact = np.float64 if dtype.itemsize > 2 else np.float32
    levels = np.clip(pixels, limits.min / limits.max, 1, dtype=exact)
    levels *= limits.max
    np.rint(levels, out=levels)
    if np.isnan(levels.sum()):
        np.nan_to_num(levels, copy=False)
    return levels


def from_array(array: np.ndarray, alpha: bool | None = None) -> Picture:
    """Return an array `[H, W]` or `[H, W, C]` as an image: gray, RGB for C = 3, RGBA for C = 4, else data channels.

    uint8 and uint16 are kept; floats of any width become float32.

    Args:
        array: the samples.
        alpha: whether the last channel is alpha; None for the convention above.

    >>> picture = from_array(np.full((2, 3), 51, np.uint8))
    >>> picture.pixels.shape, float(picture.pixels[0, 0, 0])
    ((2, 3, 1), 0.20000000298023224)
    >>> read(encode(picture, ".png")).to_array()[0, 0]
    array([51], dtype=uint8)
    """
    array = np.asarray(array)
    samples = array[..., np.newaxis] if array.ndim == 2 else array
    if samples.ndim != 3 or samples.size == 0:
        raise UnnoiseError(f"an array of shape {array.shape} is not an image: pass [H, W] or [H, W, C]")
    if alpha and samples.shape[2] == 1:
        raise UnnoiseError(f"an array of shape {array.shape} has no channel beside alpha")
    sample_type = "float32" if array.dtype.kind == "f" else array.dtype.name
    if sample_type not in ("uint8", "uint16", "float32"):
        raise UnnoiseError(f"an array of {array.dtype} is not an image: pass uint8, uint16, or floats in [0, 1]")
    return from_samples(samples.astype(sample_type, copy=False), {}, layout_of_array(samples.shape[2], alpha))


def from_samples(samples: np.ndarray, metadata: Mapping[str, Any], layout: Layout | None = None) -> Picture:
    """Return an image from samples.

    Args:
        samples: `[H, W, layout.samples]`; copied.
        metadata: of the image.
        layout: what they are; None for that of an array, see `layout_of_array`.
    """
    layout = layout or layout_of_array(samples.shape[2])
    chosen = samples[..., layout.channels] if layout.has_data else samples[..., : layout.base]
    pixels = np.array(chosen, dtype=np.float32, order="C")
    if samples.dtype.kind != "f":
        pixels /= np.float32(np.iinfo(samples.dtype).max)
    if layout.nodata is not None and (missing := nodata_as(layout.nodata, samples.dtype)) is not None:
        pixels[chosen == missing] = NODATA
    alpha = samples[..., layout.alphas].copy() if layout.alphas else None
    return Picture(pixels, alpha, samples.dtype, metadata, layout)


def encode(picture: Picture, suffix: str, *, quality: int | None = None, name: str = "the image") -> bytes:
    """Encode an image in the format of a suffix (`.png`).

    An unchanged image is returned as its `file` if that has the same format and no quality is given, since encoding it
    again would lose detail.

    Args:
        picture: the image.
        suffix: of the file.
        quality: 1 to 100, for JPEG, WebP, and AVIF without alpha; the others are lossless, except that GIF has at most
            256 colors.
        name: of the file, for warnings.

    Raises:
        UnnoiseError: the format cannot store the image (see `unsupported_reason`), or `quality` is out of range.
    """
    kind, options = _saver(picture.header, suffix, quality)
    if quality is None and picture.file is not None and kind.signature.match(picture.file):
        return picture.file
    if kind.name == "TIFF" and (encoding := picture.metadata.get(lab.FIELD)) is not None:
        picture = from_samples(encoding.from_rgb(picture.pixels), picture.metadata, Layout(3))
        kind, options = _saver(picture.header, suffix, quality)
    data = _like_source(picture, kind, quality) or _encoded(picture, kind, options, quality)
    if (edit := containers.head_editor(picture.metadata, kind.name)) is not None:
        data = edit(data) or data
    file = io.BytesIO(data)
    _complete(file, picture.header, kind, name)
    return file.getvalue()


def _like_source(picture: Picture, kind: Format, quality: int | None) -> bytes | None:
    """Encode a JPEG with the tables of its source; None if there are none, or the encoder fails."""
    encoding = picture.metadata.get("jpeg-encoding")
    if kind.name != "JPEG" or quality is not None or encoding is None or picture.pixels.shape[2] == 4:
        return None
    if picture.pixels.shape[2] != len(encoding.tables):
        return None
    try:
        return jpeg_encoder.encode(picture.samples(), encoding)
    except OSError:
        return None


def _encoded(picture: Picture, kind: Format, options: Mapping[str, Any], quality: int | None) -> bytes:
    samples = np.ascontiguousarray(picture.samples())
    height, width, bands = samples.shape
    if kind.codec:
        return codecs.encode(kind, samples, picture.header, quality)
    sample_type = next(name for name, dtype in SAMPLES.items() if dtype == picture.dtype)
    image = pyvips.Image.new_from_memory(samples.data, width, height, bands, sample_type)
    try:
        if kind.name == "TIFF" and contiguous_tiff.is_needed(picture.header):
            contiguous_tiff.write(image, picture.header, file := io.BytesIO())
            return file.getvalue()
        return getattr(_with_metadata(image, picture.header, kind), f"{kind.save}_buffer")(**options)
    except (pyvips.Error, UnicodeDecodeError) as error:
        raise UnnoiseError(f"cannot be encoded as {kind.name}: {reason(error)}") from error


def _complete(file: IO[bytes], header: Header, kind: Format, name: str, path: Path | None = None) -> None:
    """Add the metadata that stand behind the beginning of a file; log what is left out."""
    if left_out := containers.finish(file, header.metadata, kind.name, path):
        log.warning("%s: left out: %s", name, ", ".join(left_out))
    if noisy := containers.noisy(header.metadata, kind.name):
        log.warning("%s: not denoised, but carried as they are: %s", name, ", ".join(noisy))
    extras = header.layout.extras
    if kind.name == "TIFF" and extras != (ASSOCIATED,) and set(extras) - {UNASSOCIATED}:
        tiff_tags.write_extras(file, extras)


def write(
    picture: Picture,
    target: str | Path,
    *,
    overwrite: bool = False,
    quality: int | None = None,
    before_commit: CommitHook | None = None,
) -> None:
    """Write an image to a file atomically.

    Args:
        picture: the image.
        target: the file; its suffix determines the format.
        overwrite: whether it may exist.
        quality: as for `encode`.
        before_commit: as for `atomic_write`.

    Raises:
        UnnoiseError: as `check_target` and `encode`, or the disk fails. An existing target is then unchanged.
    """
    check_target(target, overwrite=overwrite)
    with _replacing(target, before_commit) as temporary:
        temporary.write_bytes(encode(picture, Path(target).suffix, quality=quality, name=str(target)))


def write_image(
    image: pyvips.Image,
    header: Header,
    target: str | Path,
    *,
    overwrite: bool = False,
    quality: int | None = None,
    before_commit: CommitHook | None = None,
) -> None:
    """Write a libvips image as `write` does, row by row; errors in computing its rows are raised."""
    check_target(target, overwrite=overwrite)
    kind, options = _saver(header, Path(target).suffix, quality)
    with _replacing(target, before_commit) as temporary, open(temporary, "r+b") as file:
        if kind.codec:
            samples = image.numpy().reshape(image.height, image.width, image.bands)
            data = codecs.encode(kind, samples, header, quality)
            edit = containers.head_editor(header.metadata, kind.name)
            file.write((edit(data) if edit is not None else None) or data)
            _complete(file, header, kind, str(target), temporary)
            return
        output = edited_target.open_target(temporary, file, containers.head_editor(header.metadata, kind.name))
        try:
            _save(image, header, kind, options, output.target, file)
        except (pyvips.Error, UnicodeDecodeError) as error:
            output.check()
            if os.strerror(errno.ENOSPC) in str(error):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
            raise UnnoiseError(f"cannot be written as {kind.name}: {reason(error)}") from error
        output.check()
        _complete(file, header, kind, str(target), temporary)


def _save(
    image: pyvips.Image,
    header: Header,
    kind: Format,
    options: Mapping[str, Any],
    target: pyvips.Target,
    file: IO[bytes],
) -> None:
    """Write pixels to a file, which is open as both."""
    if kind.name == "TIFF" and contiguous_tiff.is_needed(header):
        contiguous_tiff.write(image, header, file)
    else:
        getattr(_with_metadata(image, header, kind), f"{kind.save}_target")(target, **options)


def write_encoded(
    data: bytes, target: str | Path, *, overwrite: bool = False, before_commit: CommitHook | None = None
) -> None:
    """Write the bytes of an encoded image to a file atomically; see `write`."""
    check_target(target, overwrite=overwrite)
    with _replacing(target, before_commit) as temporary:
        temporary.write_bytes(data)


def copy(source: Path, target: Path, *, overwrite: bool = False, before_commit: CommitHook | None = None) -> None:
    """Copy a file atomically; see `write`."""
    check_target(target, overwrite=overwrite)
    with _replacing(target, before_commit) as temporary:
        shutil.copyfile(source, temporary)


def _saver(header: Header, suffix: str, quality: int | None) -> tuple[Format, dict[str, Any]]:
    """Return the format and the arguments of its libvips saver."""
    if refusal := formats.unsupported_reason(header, suffix):
        raise UnnoiseError(refusal)
    if quality is not None and not 1 <= quality <= 100:
        raise UnnoiseError(f"quality must be between 1 and 100, got {quality}")
    kind = formats.format_of(header, suffix)
    # EXIF is not left to libvips, which would rewrite it, and make it up where there is none.
    keep = {"AVIF": "xmp|icc", "GIF": "other", "WebP": "other"}.get(kind.name, "none")
    return kind, {"keep": keep, **kind.save_options(header, quality)}


def _with_metadata(image: pyvips.Image, header: Header, kind: Format) -> pyvips.Image:
    """Return an image with the color space and the metadata of a header that libvips writes in a format."""
    image = image.copy(interpretation=header.colour_space)
    for field in (*_BY_LIBVIPS, *_BY_LIBVIPS_IN.get(kind.name, ())):
        if (value := header.metadata.get(field)) is not None:
            image.set_type(_TYPES[type(value)], field, value)
    return image


@contextlib.contextmanager
def _replacing(target: str | Path, before_commit: CommitHook | None) -> Iterator[Path]:
    """Write a file as `atomic_write` does; errors name the target."""
    try:
        with atomic.atomic_write(target, before_commit) as temporary:
            yield temporary
    except UnnoiseError as error:
        raise UnnoiseError(f"{target}: {error}") from error
    except OSError as error:
        raise UnnoiseError(f"{target}: cannot be written: {system_reason(error, target)}") from error
