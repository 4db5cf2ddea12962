"""What libvips leaves out of a TIFF: which samples are alpha, and which value is missing.

libvips reads every sample after gray or color as alpha, and writes it as such. Here the tags of the file are read, and
written to the file that libvips has made.
"""

from __future__ import annotations

import contextlib
import logging
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from unnoise.io import ifd
from unnoise.io.layout import ASSOCIATED, DATA, UNASSOCIATED, Layout

log = logging.getLogger(__name__)

_PHOTOMETRIC, _SAMPLES_PER_PIXEL, _PLANAR, _EXTRA_SAMPLES, _GDAL_NODATA = 262, 277, 284, 338, 42113
_GRAY, _PALETTE, _LINEAR_RAW = (0, 1), 3, 34892  # of _PHOTOMETRIC
_SEPARATE = 2  # of _PLANAR


@dataclass(frozen=True)
class SampleTags:
    """Tags of a TIFF.

    Attributes:
        extras: types of the samples after those of the image, as `Layout.extras`.
        stored: samples of a pixel in the file; a palette is one.
        palette: whether the first sample is an index of a palette.
        gray: whether the first sample is gray.
        nodata: value of missing samples, or None.
        patches: position in the file -> bytes that libvips has to read there instead.
    """

    extras: tuple[int, ...]
    stored: int
    palette: bool
    gray: bool
    nodata: float | None
    patches: Mapping[int, bytes]

    def layout(self, base: int) -> Layout:
        """Return the layout of an image of `base` channels and further ones."""
        count = max(self.stored - (1 if self.palette else base), 0)
        kinds = (DATA,) * count + self.extras
        return Layout(base, kinds[len(kinds) - count :], self.nodata)


def read(file: IO[bytes]) -> SampleTags | None:
    """Read the tags of the first page; None if they cannot be read."""
    import tifffile

    file.seek(0)
    try:
        with tifffile.TiffFile(file) as tiff:
            tags = tiff.pages.first.tags
            photometric, stored = _number(tags, _PHOTOMETRIC, 1), _number(tags, _SAMPLES_PER_PIXEL, 1)
            kinds = _numbers(tags, _EXTRA_SAMPLES)
            extras = tuple(kind if kind in (ASSOCIATED, UNASSOCIATED) else DATA for kind in kinds)
            gray = photometric in _GRAY
            patches: dict[int, bytes] = {}
            if gray and stored > 1 and _number(tags, _PLANAR, 1) == _SEPARATE:  # libvips mixes the planes up
                patches |= _patches(tiff, _PHOTOMETRIC, [_LINEAR_RAW])
            if ASSOCIATED in extras and len(extras) > 1:  # libvips would divide all channels by the last one
                patches |= _patches(tiff, _EXTRA_SAMPLES, [UNASSOCIATED] * len(extras))
            return SampleTags(extras, stored, photometric == _PALETTE, gray, _nodata(tags), patches)
    except (tifffile.TiffFileError, struct.error, ValueError, IndexError, KeyError, OSError):
        return None


def page_channels(file: IO[bytes], pages: int) -> tuple[int, ...]:
    """Return the channel of each page of a stack of OME or ImageJ; nothing if it has one channel, or is damaged.

    Args:
        file: the TIFF.
        pages: that are read.
    """
    import tifffile

    file.seek(0)
    try:
        with tifffile.TiffFile(file) as tiff:
            if not (tiff.is_ome or tiff.is_imagej):
                return ()
            series = tiff.series[0]
            counted = [axis for axis, name in enumerate(series.axes) if name not in "YXS"]
            shape = [series.shape[axis] for axis in counted]
            names = [series.axes[axis] for axis in counted]
            numbers = [page.index if page is not None else -1 for page in series.pages]
            if "C" not in names or sorted(numbers) != list(range(pages)) or math.prod(shape) != pages:
                return ()
            channels = np.unravel_index(np.arange(pages), shape)[names.index("C")]
            by_page = dict(zip(numbers, channels.tolist(), strict=True))
            return tuple(by_page[page] for page in range(pages)) if len(set(by_page.values())) > 1 else ()
    except Exception:  # tifffile raises anything on damaged descriptions
        log.debug("axes", exc_info=True)
        return ()


def write_extras(file: IO[bytes], extras: Sequence[int]) -> None:
    """Set the types of the extra samples on all pages of a TIFF; libvips writes those of 64, as alpha.

    Args:
        file: open for reading and writing; each page has as many extra samples.
        extras: as `Layout.extras`.
    """
    layout, pointer, offset = ifd.read_header(file)
    field = 3, struct.pack(f"{layout.order}{len(extras)}H", *extras)
    while offset:
        entries, following = ifd.entries(file, layout, offset)
        kept = [entry for entry in entries if entry[0] != _EXTRA_SAMPLES]
        pointer = ifd.append(file, {_EXTRA_SAMPLES: field}, layout, pointer, kept, following)
        offset = following


def _patches(tiff: Any, tag: int, values: Sequence[int]) -> dict[int, bytes]:
    """Return where all pages hold a tag of 16-bit numbers, and the bytes of other values."""
    data = struct.pack(f"{tiff.byteorder}{len(values)}H", *values)
    found = (page.tags.get(tag) for page in tiff.pages)
    return {one.valueoffset: data for one in found if one is not None and one.count == len(values)}


def _numbers(tags: Any, code: int) -> tuple[int, ...]:
    tag = tags.get(code)
    if tag is None:
        return ()
    return tuple(map(int, tag.value)) if isinstance(tag.value, tuple) else (int(tag.value),)


def _number(tags: Any, code: int, default: int) -> int:
    return next(iter(_numbers(tags, code)), default)


def _nodata(tags: Any) -> float | None:
    """Return the value of GDAL's tag, which is text: https://gdal.org/drivers/raster/gtiff.html#nodata-value."""
    tag = tags.get(_GDAL_NODATA)
    with contextlib.suppress(ValueError):
        if tag is not None:
            value = float(str(tag.value).strip("\0 "))
            return None if value != value else value  # NaN is missing anyway
    return None
