"""Synthetic raw files: DNGs of any pattern, levels and margins, and a TIFF/EP of an old camera that is no DNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import tifffile

PATTERNS = {"RGGB": (0, 1, 1, 2), "GRBG": (1, 0, 2, 1), "GBRG": (1, 2, 0, 1), "BGGR": (2, 1, 1, 0)}
MATRIX = (1.2, -0.4, -0.1, -0.3, 1.2, 0.1, 0.0, 0.2, 0.6)
NEUTRAL = (0.5, 1, 0.7)
BLACK, WHITE = (512, 514, 516, 518), 15000


def rationals(values: Sequence[float], denominator: int = 10000) -> tuple[int, ...]:
    return tuple(part for value in values for part in (round(value * denominator), denominator))


def mosaic_of(
    light: np.ndarray, pattern: str = "RGGB", *, black: Sequence[float] = BLACK, white: float = WHITE
) -> np.ndarray:
    """The mosaic, in counts, float64 `[H, W]`, of linear light in [0, 1], `[H, W]` or `[H, W, 3]`, not rounded.

    The light of a color image is what passes the filters.
    """
    light = np.asarray(light, np.float64)
    if pattern == "gray":
        return black[0] + light * (white - black[0])
    counts = np.empty(light.shape[:2])
    for place, color in enumerate(PATTERNS[pattern]):
        rows, columns = slice(place // 2, None, 2), slice(place % 2, None, 2)
        seen = light[rows, columns] if light.ndim == 2 else light[rows, columns, color]
        counts[rows, columns] = black[place] + seen * (white - black[place])
    return counts


def with_noise(
    counts: np.ndarray, pattern: str, gain: float, read: float, *, seed: int = 0, black: Sequence[float] = BLACK
) -> np.ndarray:
    """Draw electrons, `gain` counts each, and add read noise of a standard deviation in counts; round to uint16."""
    rng = np.random.default_rng(seed)
    levels = np.tile(np.reshape(black[: 1 if pattern == "gray" else 4], (-1, 1 if pattern == "gray" else 2)),
                     (counts.shape[0], counts.shape[1]))[: counts.shape[0], : counts.shape[1]]  # fmt: skip
    electrons = rng.poisson(np.maximum(counts - levels, 0) / gain)
    noisy = levels + gain * electrons + read * rng.standard_normal(counts.shape)
    return np.clip(np.rint(noisy), 0, 65535).astype(np.uint16)


def dng(
    mosaic: np.ndarray,
    pattern: str = "RGGB",
    *,
    black: Sequence[float] = BLACK,
    white: int = WHITE,
    active: tuple[int, int, int, int] | None = None,
    crop: tuple[int, int, int, int] | None = None,
    orientation: int = 1,
    noise: Sequence[float] = (),
    iso: int = 3200,
    byteorder: str = "<",
    more: Sequence[Any] = (),
) -> bytes:
    """A DNG of one directory; `active` is top, left, bottom, right, `crop` left, top, width, height."""
    tags: list[Any] = [
        (271, "s", 0, "Maker", True),
        (272, "s", 0, "Maker One", True),
        (274, "H", 1, orientation, True),
        (50706, "B", 4, bytes([1, 4, 0, 0]), True),  # DNGVersion
        (50707, "B", 4, bytes([1, 1, 0, 0]), True),  # DNGBackwardVersion
        (50708, "s", 0, "Synthetic Camera", True),  # UniqueCameraModel
        (50717, "I", 1, white, True),  # WhiteLevel
        *more,
    ]
    if pattern == "gray":
        tags.append((50714, "I", 1, int(black[0]), True))
    else:
        tags += [
            (33421, "H", 2, (2, 2), True),  # CFARepeatPatternDim
            (33422, "B", 4, bytes(PATTERNS[pattern]), True),  # CFAPattern
            (50713, "H", 2, (2, 2), True),  # BlackLevelRepeatDim
            (50714, "I", 4, tuple(map(int, black)), True),  # BlackLevel
            (50721, "2i", 9, rationals(MATRIX), True),  # ColorMatrix1
            (50728, "2I", 3, rationals(NEUTRAL), True),  # AsShotNeutral
            (50778, "H", 1, 21, True),  # CalibrationIlluminant1: D65
        ]
    if active:
        tags.append((50829, "I", 4, active, True))
    if crop:
        tags += [(50719, "I", 2, crop[:2], True), (50720, "I", 2, crop[2:], True)]
    if noise:
        tags.append((51041, "d", len(noise), tuple(noise), True))
    return _with_exif(_tiff(mosaic, pattern, tags, byteorder), iso)


def tiff_ep(mosaic: np.ndarray, pattern: str = "RGGB", *, orientation: int = 1) -> bytes:
    """A raw file that is no DNG, whose levels and colors LibRaw knows by the name of the camera."""
    tags = [
        (271, "s", 0, "NIKON CORPORATION", True),
        (272, "s", 0, "NIKON D70", True),
        (274, "H", 1, orientation, True),
        (33421, "H", 2, (2, 2), True),
        (33422, "B", 4, bytes(PATTERNS[pattern]), True),
    ]
    return _with_exif(_tiff(mosaic, pattern, tags, "<"), 800)


def _tiff(mosaic: np.ndarray, pattern: str, tags: Sequence[Any], byteorder: Any) -> bytes:
    file, gray = io.BytesIO(), pattern == "gray"
    tifffile.imwrite(
        file, mosaic, photometric="minisblack" if gray else 32803, extratags=tags, metadata=None, subfiletype=0,
        byteorder=byteorder, software=False,
    )  # fmt: skip
    if gray:  # tifffile writes linear raw images of three channels only
        file.seek(0)
        with tifffile.TiffFile(file, mode="r+b") as tiff:
            tiff.pages.first.tags[262].overwrite(34892)
            return file.getvalue()
    return file.getvalue()


def _with_exif(data: bytes, iso: int) -> bytes:
    """Add an EXIF directory with a speed and a maker note, and a GPS directory."""
    from unnoise.io import ifd

    file = io.BytesIO(data)
    layout, pointer, first = ifd.read_header(file)
    entries, _ = ifd.entries(file, layout, first)
    speed = iso.to_bytes(2, "little" if layout.order == "<" else "big")
    exif = {0x8827: (3, speed), 0x927C: (7, b"Maker note \0\1\2" * 9000), 0x9003: (2, b"2026:01:02 03:04:05\0")}
    ifd.append(file, {ifd.EXIF: exif, ifd.GPS: {1: (2, b"N\0")}}, layout, pointer, entries)
    return file.getvalue()
