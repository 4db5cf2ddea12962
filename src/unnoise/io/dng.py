"""Write a mosaic as a DNG (Adobe, Digital Negative specification 1.6), uncompressed, 16 bits.

The first directory holds the metadata and a small preview, and points to that of the mosaic. tifffile writes the
pixels; both directories are then written again with the other tags. Those of a DNG are the ones of the source, byte for
byte, and so are EXIF and GPS; for other raw files, levels and colors are written as LibRaw knows them.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping, Sequence

import numpy as np
import tifffile

from unnoise.io import ifd, raw_tags
from unnoise.io.ifd import Entry, Field, Layout
from unnoise.io.raw import RawImage

PREVIEW = 256
"""Longest side of the preview, pixels."""

_BYTE, _ASCII, _SHORT, _LONG, _RATIONAL, _SRATIONAL, _DOUBLE = 1, 2, 3, 4, 5, 10, 12
_FORMATS = {_BYTE: "B", _SHORT: "H", _LONG: "I", _RATIONAL: "I", _SRATIONAL: "i", _DOUBLE: "d"}
_DENOMINATOR = 1_000_000
_D65 = 21  # of CalibrationIlluminant1 (EXIF, LightSource)
_OF_TIFFFILE = {282, 283, 296, 305}  # resolution and software, which tifffile makes up


def encode(
    source: RawImage, mosaic: np.ndarray, preview: np.ndarray, noise: Sequence[tuple[float, float]] = ()
) -> bytes:
    """Return a DNG.

    Args:
        source: the raw file that the mosaic comes from.
        mosaic: uint16 `[H, W]`, of the shape of that of the source.
        preview: uint8 `[h, w, C]`, C = 1 or 3, in the orientation of the mosaic; see `PREVIEW`.
        noise: the noise of `mosaic`, as `RawImage.noise_profile`; empty for none.
    """
    layout = Layout(source.tags.layout.order, big=False)
    file = io.BytesIO()
    with tifffile.TiffWriter(file, byteorder="<" if layout.order == "<" else ">") as tiff:
        kind = "rgb" if preview.shape[2] == 3 else "minisblack"
        tiff.write(preview.squeeze(), photometric=kind, subfiletype=1, subifds=1, metadata=None, software=False)
        tiff.write(mosaic, photometric="minisblack", subfiletype=0, metadata=None)
    layout, pointer, first = ifd.read_header(file)
    entries, _ = ifd.entries(file, layout, first)
    (sub,) = (
        struct.unpack_from(layout.offset, value)[0] for tag, _, _, value in entries if tag == raw_tags.SUB_DIRECTORIES
    )
    fields = {**_of_mosaic(source, layout), **_noise(noise, layout)}
    fields[raw_tags.PHOTOMETRIC] = _field(layout, _SHORT, _photometric(source))
    end = file.seek(0, io.SEEK_END)
    file.write(bytes(end % 2))
    data, place = ifd.encode(fields, layout, end + end % 2, _kept(ifd.entries(file, layout, sub)[0], fields))
    file.seek(0, io.SEEK_END)
    file.write(data)
    top = {**_of_first(source, layout), raw_tags.SUB_DIRECTORIES: _field(layout, _LONG, place)}
    ifd.append(file, top, layout, pointer, _kept(entries, top))
    return file.getvalue()


def preview_of(developed: np.ndarray) -> np.ndarray:
    """Return a small copy of a developed image, uint8 `[h, w, C]`, at most `PREVIEW` a side."""
    from PIL import Image

    image = Image.fromarray(developed.squeeze(axis=2) if developed.shape[2] == 1 else developed)
    image.thumbnail((PREVIEW, PREVIEW))
    return np.asarray(image).reshape(image.height, image.width, developed.shape[2])


def _kept(entries: Sequence[Entry], fields: Mapping[int, object]) -> list[Entry]:
    return [entry for entry in entries if entry[0] not in fields and entry[0] not in _OF_TIFFFILE]


def _photometric(source: RawImage) -> int:
    return raw_tags.LINEAR_RAW if source.pattern == "gray" else raw_tags.CFA


def _of_first(source: RawImage, layout: Layout) -> dict[int, Field | ifd.Fields]:
    """Return the fields of the first directory."""
    if source.tags.is_dng:
        return dict(source.tags.first)
    made: dict[int, Field | ifd.Fields] = {
        274: _field(layout, _SHORT, source.orientation),
        raw_tags.DNG_VERSION: _field(layout, _BYTE, 1, 4, 0, 0),
        50707: _field(layout, _BYTE, 1, 1, 0, 0),  # DNGBackwardVersion
        raw_tags.UNIQUE_CAMERA_MODEL: (_ASCII, (source.camera or "unknown").encode() + b"\0"),
    }
    if source.color_matrix is not None and source.pattern != "gray":
        made[50721] = _rationals(layout, _SRATIONAL, source.color_matrix.ravel())  # ColorMatrix1
        made[50778] = _field(layout, _SHORT, _D65)  # CalibrationIlluminant1
    if source.white_balance is not None:
        red, green, blue = source.white_balance
        made[50728] = _rationals(layout, _RATIONAL, [green / red, 1, green / blue])  # AsShotNeutral
    return {**made, **source.tags.first}


def _of_mosaic(source: RawImage, layout: Layout) -> dict[int, Field | ifd.Fields]:
    """Return the fields of the directory of the mosaic, without its pixels and its noise."""
    white = _field(layout, _LONG, source.white)
    if source.tags.is_dng:  # its default white level depends on the bits of a sample, which may differ
        return {raw_tags.WHITE_LEVEL: white, **source.tags.mosaic}
    top, left, height, width = source.active
    made: dict[int, Field | ifd.Fields] = {
        raw_tags.WHITE_LEVEL: white,
        50829: _field(layout, _LONG, top, left, top + height, left + width),  # ActiveArea
    }
    black = [round(plane.black) for plane in source.planes]
    if source.pattern != "gray":
        made |= {
            33421: _field(layout, _SHORT, 2, 2),  # CFARepeatPatternDim
            33422: _field(layout, _BYTE, *(plane.color for plane in source.planes)),  # CFAPattern
            50713: _field(layout, _SHORT, 2, 2),  # BlackLevelRepeatDim
        }
    made[50714] = _field(layout, _LONG, *black)  # BlackLevel
    if source.crop is not None:
        made[50719] = _field(layout, _LONG, source.crop[1], source.crop[0])  # DefaultCropOrigin: horizontal first
        made[50720] = _field(layout, _LONG, source.crop[3], source.crop[2])  # DefaultCropSize
    return made


def _noise(noise: Sequence[tuple[float, float]], layout: Layout) -> dict[int, Field | ifd.Fields]:
    return {raw_tags.NOISE_PROFILE: _field(layout, _DOUBLE, *np.ravel(noise))} if len(noise) else {}


def _field(layout: Layout, kind: int, *values: float) -> Field:
    return kind, struct.pack(f"{layout.order}{len(values)}{_FORMATS[kind]}", *values)


def _rationals(layout: Layout, kind: int, values: Sequence[float] | np.ndarray) -> Field:
    pairs = [part for value in values for part in (round(float(value) * _DENOMINATOR), _DENOMINATOR)]
    return _field(layout, kind, *pairs)
