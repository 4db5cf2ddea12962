"""Kinds of images that are recognized by their first bytes and not read, so that they can be named."""

from __future__ import annotations

import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from unnoise.io import ifd

_SUBFILE, _PHOTOMETRIC, _SUB_DIRECTORIES, _DNG_VERSION = 254, 262, 330, 50706  # tags
_COLOR_FILTER_ARRAY = 32803  # of _PHOTOMETRIC (TIFF/EP, ISO 12234-2)


@dataclass(frozen=True)
class Unreadable:
    """A kind of image that is recognized and not read.

    Attributes:
        name: as users write it.
        signature: matches the first bytes of a file.
        reason: why it is not read, and what to do.
        extra: the extra of this package by which a file of it is denoised all the same, though it is not read as an
            image; "" if there is none.
        library: the module that the extra installs.
    """

    name: str
    signature: re.Pattern[bytes]
    reason: str
    extra: str = ""
    library: str = ""


_RAW = "denoise it as a file (unnoise FILE -o FILE.dng), or develop it first"
_CONVERT = "convert it to TIFF or PNG first"

RAW = Unreadable(
    "camera raw",
    re.compile(rb"II\*\0....CR\x02|....ftypcrx |FUJIFILMCCD-RAW|IIR[OS]\x08|IIU\0|FOVb|\0MRM", re.DOTALL),
    _RAW,
    extra="raw",
    library="rawpy",
)
UNREADABLE = (
    RAW,
    Unreadable("JPEG XR", re.compile(rb"II\xbc\x01"), _CONVERT),
    Unreadable("Photoshop", re.compile(rb"8BPS\0[\x01\x02]"), _CONVERT),
    Unreadable("GIMP", re.compile(rb"gimp xcf "), _CONVERT),
    Unreadable("NIfTI", re.compile(rb"(?:\x5c\x01\0\0|\0\0\x01\x5c).{340}n[i+]1\0", re.DOTALL), _CONVERT),
    Unreadable("QOI", re.compile(rb"qoif.{8}[\x03\x04][\0\x01]", re.DOTALL), _CONVERT),
    Unreadable("icon", re.compile(rb"\0\0\x01\0[^\0]\0|icns"), _CONVERT),
    Unreadable("DDS", re.compile(rb"DDS \x7c\0\0\0"), _CONVERT),
)  # fmt: skip


ZARR = Unreadable("Zarr", re.compile(rb"(?!)"), "denoise it as a store (unnoise STORE -o STORE.zarr)", "zarr", "zarr")
"""A folder that is one image; it has no first bytes."""
_ZARR_FILES = (".zgroup", ".zarray", "zarr.json")


def is_zarr(folder: str | Path) -> bool:
    """Tell whether a folder is a Zarr store, such as OME-Zarr (versions 2 and 3 of the format)."""
    return any(os.path.isfile(os.path.join(folder, name)) for name in _ZARR_FILES)


def is_raw_tiff(file: IO[bytes]) -> bool:
    """Tell whether a TIFF is a raw file of a camera: a DNG, or a preview in front of what the sensor has measured."""
    try:
        layout, _, first = ifd.read_header(file)
        tags = {tag: data for tag, _, _, data in ifd.entries(file, layout, first)[0]}
    except (struct.error, ValueError, OSError):
        return False
    number = {tag: struct.unpack_from(f"{layout.order}H", data)[0] for tag, data in tags.items()}
    preview = number.get(_SUBFILE, 0) & 1 == 1 and _SUB_DIRECTORIES in tags
    return _DNG_VERSION in tags or number.get(_PHOTOMETRIC) == _COLOR_FILTER_ARRAY or preview
