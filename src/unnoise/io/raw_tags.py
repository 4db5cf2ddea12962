"""Metadata of raw files that are TIFFs: those of a DNG that belong to its mosaic, and EXIF."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO

from unnoise.io import exif, ifd
from unnoise.io.containers import jpeg
from unnoise.io.ifd import Field, Fields, Layout

(SUBFILE, WIDTH, HEIGHT, PHOTOMETRIC, MAKE, MODEL, SUB_DIRECTORIES) = (254, 256, 257, 262, 271, 272, 330)
CFA, LINEAR_RAW = 32803, 34892
"""Values of `PHOTOMETRIC`."""
DNG_VERSION, UNIQUE_CAMERA_MODEL, LINEARIZATION_TABLE, WHITE_LEVEL, NOISE_PROFILE = 50706, 50708, 50712, 50717, 51041

OF_STORAGE = frozenset((
    *range(254, 260), 262, 263, *range(264, 267), 273, *range(277, 285), 290, 291, 296, 301, 317, 320, 322, 323, 324,
    325, 330, 338, 339, 340, 341, 347, *range(512, 522), *range(529, 533), LINEARIZATION_TABLE, 50974, 50975, 52547,
))  # fmt: skip
"""How pixels are stored (TIFF 6.0, DNG 1.6), which is decided anew."""
OF_OLD_PIXELS = frozenset((NOISE_PROFILE, 50781, 50828, *range(50966, 50974), 51111))
"""What is true of the noisy pixels alone: their noise, digests and identifier, the original raw file, the preview."""
OF_MOSAIC = frozenset((
    *(33421, 33422, 50710, 50711, *range(50713, 50721), 50733, 50736 + 1, 50738, 50780, 50829, 50830),
    *(51008, 51009, 51022, NOISE_PROFILE),
))  # fmt: skip
"""Tags that DNG 1.6 has in the directory of the mosaic; all others are in the first directory."""
_OF_FIRST = frozenset((*exif.COPIED_TAGS, 274, 700, 33723))  # of raw files that are no DNG: orientation, XMP, IPTC

_MOST = 2**26  # bytes of a value


@dataclass(frozen=True)
class RawTags:
    """Metadata of a raw file, as stored.

    Attributes:
        layout: byte order of the values.
        first: fields of the first directory that are written again.
        mosaic: fields that belong to the mosaic; empty if it is no DNG.
        noise: the values of NoiseProfile.
        others: number of images in a DNG that are neither the mosaic nor smaller copies of it.
    """

    layout: Layout = field(default_factory=lambda: Layout("<", big=False))
    first: Fields = field(default_factory=dict)
    mosaic: Fields = field(default_factory=dict)
    noise: tuple[float, ...] = ()
    others: int = 0

    @property
    def is_dng(self) -> bool:
        """Whether there are tags of a DNG that describe the mosaic."""
        return bool(self.mosaic)

    @property
    def camera(self) -> str:
        """Maker and model, or ""."""
        make, model = self._text(MAKE), self._text(MODEL)
        if not make and not model:
            return self._text(UNIQUE_CAMERA_MODEL)
        return model if model.lower().startswith(make.lower()) else f"{make} {model}".strip()

    @property
    def exif(self) -> bytes | None:
        """EXIF as a block; see `exif.read_block`."""
        fields = {tag: value for tag, value in self.first.items() if tag in exif.COPIED_TAGS}
        if not fields:
            return None
        layout = Layout(self.layout.order, big=False)
        data, offset = ifd.encode(fields, layout, 8)
        head = (b"II" if layout.order == "<" else b"MM") + struct.pack(f"{layout.order}HI", 42, offset)
        return exif.read_block(io.BytesIO(head + data))

    def noise_profile(self, colors: int) -> tuple[tuple[float, float], ...]:
        """Return the pairs (a, b) of NoiseProfile, one for each color; () if there are none that make sense."""
        pairs = list(zip(self.noise[::2], self.noise[1::2], strict=False))
        if len(pairs) not in (1, colors) or not all(a >= 0 and b >= 0 and 0 < a + b < 1 for a, b in pairs):
            return ()
        return tuple(pairs if len(pairs) == colors else pairs * colors)

    def _text(self, tag: int) -> str:
        value = self.first.get(tag)
        return value[1].split(b"\0")[0].decode(errors="replace").strip() if isinstance(value, tuple) else ""


def read(data: bytes, shape: tuple[int, ...]) -> RawTags:
    """Return the metadata of a raw file; what is damaged is left out.

    Args:
        data: the file.
        shape: of its mosaic.
    """
    file = io.BytesIO(data)
    try:
        layout, _, offset = ifd.read_header(file)
        return _of_tiff(file, layout, offset, shape)
    except (struct.error, ValueError, KeyError):
        return RawTags()


def of_preview(preview: bytes) -> RawTags:
    """Return the EXIF of the JPEG that is embedded in a raw file that is no TIFF."""
    try:
        block = jpeg.read(io.BytesIO(preview))[0].get("exif-data", b"").removeprefix(exif.MARK)
        file = io.BytesIO(block)
        layout, _, offset = ifd.read_header(file)
        return RawTags(layout, ifd.read(file, layout, offset, only=_OF_FIRST, most=_MOST))
    except (struct.error, ValueError, KeyError, IndexError):
        return RawTags()


def _of_tiff(file: IO[bytes], layout: Layout, offset: int, shape: tuple[int, ...]) -> RawTags:
    dropped = OF_STORAGE | OF_OLD_PIXELS
    names = {tag for tag, *_ in ifd.entries(file, layout, offset)[0]}
    if DNG_VERSION not in names:
        return RawTags(layout, ifd.read(file, layout, offset, only=_OF_FIRST, most=_MOST))
    first = ifd.read(file, layout, offset, without=dropped, most=_MOST)
    places, others = [], 0
    for place in (offset, *_sub_directories(file, layout, offset)):
        fields = ifd.read(file, layout, place, only=(SUBFILE, WIDTH, HEIGHT, PHOTOMETRIC), most=8, depth=0)
        kind, photometric, size = (_number(fields, tag, layout) for tag in (SUBFILE, PHOTOMETRIC, HEIGHT))
        if kind == 0 and photometric in (CFA, LINEAR_RAW) and (size, _number(fields, WIDTH, layout)) == shape[:2]:
            places.append(place)
        elif kind not in (0, 1, 0x10001):  # 1 and 0x10001: previews
            others += 1
    if not places:
        return RawTags(layout, first)
    found = ifd.read(file, layout, places[0], without=dropped - {NOISE_PROFILE}, most=_MOST)
    profile = found.get(NOISE_PROFILE) or ifd.read(file, layout, offset, only=[NOISE_PROFILE], most=_MOST).get(
        NOISE_PROFILE
    )
    mosaic = {tag: value for tag, value in found.items() if tag in OF_MOSAIC - {NOISE_PROFILE}}
    top = {tag: value for tag, value in first.items() if tag not in OF_MOSAIC}
    return RawTags(layout, top, mosaic, _doubles(profile, layout), others)


def _sub_directories(file: IO[bytes], layout: Layout, offset: int) -> Iterator[int]:
    value = ifd.read(file, layout, offset, only=[SUB_DIRECTORIES], most=1000).get(SUB_DIRECTORIES)
    if isinstance(value, tuple):
        yield from struct.unpack(f"{layout.order}{len(value[1]) // 4}I", value[1][: len(value[1]) // 4 * 4])


def _number(fields: Fields, tag: int, layout: Layout) -> int:
    """Return an integer field, or 0 if it is missing."""
    value = fields.get(tag)
    if not isinstance(value, tuple):
        return 0
    return int(struct.unpack_from(layout.order + {1: "B", 3: "H", 4: "I"}[value[0]], value[1])[0])


def _doubles(value: Field | Fields | None, layout: Layout) -> tuple[float, ...]:
    if value is None or isinstance(value, Mapping) or value[0] != 12:
        return ()
    return struct.unpack(f"{layout.order}{len(value[1]) // 8}d", value[1])
