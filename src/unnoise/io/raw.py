"""Read raw files of cameras by LibRaw: the mosaic that the sensor has measured, and what its values mean.

Sensors with a Bayer pattern and monochrome ones are read. Others (X-Trans), and files in which the pixels have been
interpolated already (linear and lossy DNG, sRAW, Foveon), are refused.

`io.dng` writes a mosaic as a DNG; `develop` turns it into an image.
"""

from __future__ import annotations

import contextlib
import functools
import io
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unnoise import system
from unnoise.errors import UnnoiseError
from unnoise.io import raw_tags
from unnoise.io.formats import HEAD, Format, kind_of, reason
from unnoise.io.raw_tags import RawTags
from unnoise.io.unreadable import RAW, is_raw_tiff
from unnoise.optional import require

if TYPE_CHECKING:
    import rawpy

COLORS = ("R", "G1", "B", "G2")
"""Names of the color filters, in the order of LibRaw."""
ORIENTATIONS = {0: 1, 3: 3, 5: 8, 6: 6}
"""Rotation in LibRaw -> EXIF orientation."""

_QUIET = threading.Lock()


@dataclass(frozen=True)
class Plane:
    """The pixels of a mosaic that are behind filters of one kind.

    Attributes:
        name: "R", "G1", "B" or "G2"; "gray" on a monochrome sensor.
        color: index of the color: 0 for red and gray, 1 for green, 2 for blue.
        rows: where its pixels are in the mosaic.
        columns: the same.
        black: value without light.
        white: value of saturation.
    """

    name: str
    color: int
    rows: slice
    columns: slice
    black: float
    white: float

    @property
    def span(self) -> float:
        """Values from black to white."""
        return self.white - self.black

    def signal(self, mosaic: np.ndarray) -> np.ndarray:
        """Return the pixels of a mosaic `[H, W]`, float32 `[h, w]`, black at 0 and white at 1; not clipped."""
        values = mosaic[self.rows, self.columns].astype(np.float32)
        return (values - np.float32(self.black)) / np.float32(self.span)

    def put(self, mosaic: np.ndarray, signal: np.ndarray) -> None:
        """Store a signal in a mosaic, rounded to its integers; values below black are kept."""
        values = np.rint(signal * np.float32(self.span) + np.float32(self.black))
        limits = np.iinfo(mosaic.dtype)
        mosaic[self.rows, self.columns] = np.clip(values, limits.min, limits.max)


@dataclass(frozen=True, eq=False)
class RawImage:
    """What a sensor has measured.

    Attributes:
        mosaic: uint16 `[H, W]`, the values of the file (after its linearization table), with the masked border.
        planes: the pixels of each filter inside the active area, from left to right and from top to bottom.
        active: top, left, height and width of the active area.
        pattern: names of the filters of `planes`, such as "RGGB"; "gray" for a monochrome sensor.
        black: value without light for each of `COLORS`.
        white: value of saturation.
        iso: speed; None if it is not stated.
        camera: maker and model, or "".
        orientation: EXIF orientation, 1 to 8.
        white_balance: factors of red, green and blue; None if they are not stated.
        color_matrix: from XYZ to the camera's red, green and blue, `[3, 3]`; None if it is not known.
        crop: top, left, height and width of the part that the camera shows, within the active area; or None.
        noise_profile: variance = a * x + b of each color, of a signal x with black at 0 and white at 1, as (a, b); ()
            if it is not stated. DNG 1.6, tag NoiseProfile.
        tags: metadata of the file.
        file: its bytes.
        name: of the file, for messages.
    """

    mosaic: np.ndarray
    planes: tuple[Plane, ...]
    active: tuple[int, int, int, int]
    pattern: str
    black: tuple[float, ...]
    white: int
    iso: float | None
    camera: str
    orientation: int
    white_balance: tuple[float, ...] | None
    color_matrix: np.ndarray | None
    crop: tuple[int, int, int, int] | None
    noise_profile: tuple[tuple[float, float], ...]
    tags: RawTags
    file: bytes
    name: str = "the image"


def is_raw(source: str | Path | bytes) -> bool:
    """Tell, by the content, whether a file is a raw file of a camera; False if it cannot be read."""
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
            kind = kind_of(file.read(HEAD))
            return kind is RAW or (isinstance(kind, Format) and kind.name == "TIFF" and is_raw_tiff(file))
    except OSError:
        return False


def read(source: str | Path | bytes, *, max_pixels: int) -> RawImage:
    """Read a raw file.

    Args:
        source: the file, or its bytes.
        max_pixels: larger sensors are refused before they are decoded.

    Raises:
        UnnoiseError: the file is missing, damaged, too large, or holds no mosaic of a Bayer or monochrome sensor; or
            rawpy is not installed.
    """
    name = "the image" if isinstance(source, bytes) else str(source)
    try:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
    except OSError as error:
        raise UnnoiseError(f"{name}: cannot be read: {reason(error)}") from error
    with _opened(data, name) as raw:
        size = raw.sizes
        if size.raw_height * size.raw_width > max_pixels:
            raise UnnoiseError(
                f"{name}: {size.raw_width} x {size.raw_height} pixels, over the limit of {max_pixels}: "
                "raise max_pixels if you trust the file"
            )
        colors = _colors(raw, name)
        mosaic = raw.raw_image.copy()
        tags = raw_tags.read(data, mosaic.shape)
        if not tags.first:
            tags = _embedded(raw)
        top, left, height, width = size.top_margin, size.left_margin, size.height, size.width
        if min(height, width) < 2 or top + height > mosaic.shape[0] or left + width > mosaic.shape[1]:
            raise UnnoiseError(f"{name}: damaged: its active area is not inside of the sensor: try another copy")
        black, white = tuple(map(float, raw.black_level_per_channel)), int(raw.white_level)
        planes = tuple(_planes(colors, (top, left, height, width), black, white))
        if any(plane.span <= 0 for plane in planes):
            raise UnnoiseError(f"{name}: damaged: its white level is not above the black level: try another copy")
        balance = tuple(map(float, raw.camera_whitebalance[:3]))
        return RawImage(
            mosaic, planes, (top, left, height, width),
            "gray" if len(planes) == 1 else "".join(plane.name[0] for plane in planes),
            black, white, float(raw.other.iso_speed) or None, tags.camera, ORIENTATIONS.get(size.flip, 1),
            balance if len(planes) > 1 and min(balance) > 0 and np.isfinite(balance).all() else None,
            _color_matrix(raw), _crop(size), tags.noise_profile(1 if len(planes) == 1 else 3), tags, data,
            name,
        )  # fmt: skip


def develop(
    source: RawImage, mosaic: np.ndarray, *, bits: int = 8, half_size: bool = False, rotated: bool = True
) -> np.ndarray:
    """Develop a mosaic by LibRaw: the white balance of the camera, AHD, sRGB, no automatic brightness.

    Args:
        source: the file that it comes from.
        mosaic: uint16, of the shape of `source.mosaic`.
        bits: 8 or 16.
        half_size: at half size, without interpolation.
        rotated: whether the orientation is applied.

    Returns:
        uint8 or uint16 `[H, W, C]`, C = 3, or 1 for a monochrome sensor.
    """
    with _opened(source.file, source.name) as raw:
        raw.raw_image[:] = mosaic
        options: dict[str, Any] = {} if rotated else {"user_flip": 0}
        # The white level is taken as it is: LibRaw would take the brightest pixel, if that is not much below it.
        return raw.postprocess(
            use_camera_wb=True, no_auto_bright=True, adjust_maximum_thr=0, output_bps=bits, half_size=half_size,
            **options,
        )  # fmt: skip


@contextlib.contextmanager
def _opened(data: bytes, name: str) -> Iterator[rawpy.RawPy]:
    """Open a raw file; errors of LibRaw are raised as `UnnoiseError`."""
    try:
        library = require("rawpy", extra="raw")
    except UnnoiseError as error:
        raise UnnoiseError(f"{name}: camera raw: {error}") from error
    with library.RawPy() as raw:
        try:
            with _quiet():
                raw.open_buffer(io.BytesIO(data))
            yield raw
        except UnnoiseError:
            raise
        except library.LibRawFileUnsupportedError as error:
            raise UnnoiseError(
                f"{name}: LibRaw does not read this kind of raw file: convert it to DNG first"
            ) from error
        except (library.LibRawError, library.NotSupportedError, ValueError) as error:
            raise UnnoiseError(
                f"{name}: damaged, truncated or not supported ({_why(error)}): try another copy"
            ) from error


def _why(error: Exception) -> str:
    text = error.args[0] if error.args else "unknown"
    return text.decode(errors="replace") if isinstance(text, bytes) else reason(error)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what LibRaw prints about damaged files off the terminal."""
    with _QUIET, system.without_stderr():
        yield


def _colors(raw: rawpy.RawPy, name: str) -> np.ndarray:
    """Decode the pixels, and return the indices of the colors of the active area: `[1, 1]` or `[2, 2]`."""
    with _quiet():
        kind = raw.raw_type.name
    if kind != "Flat" or raw.raw_image is None:
        raise UnnoiseError(
            f"{name}: its pixels have three colors already (linear or lossy DNG, sRAW, Foveon): develop it first"
        )
    if raw.num_colors == 1:
        return np.zeros((1, 1), int)
    pattern = raw.raw_pattern
    if pattern is None or pattern.shape != (2, 2) or raw.color_desc != b"RGBG":
        raise UnnoiseError(
            f"{name}: its sensor has no Bayer pattern (X-Trans, or other colors): develop it to TIFF first"
        )
    colors = np.array(raw.raw_colors_visible[:2, :2])
    if sorted(map(int, colors.ravel())) not in ([0, 1, 1, 2], [0, 1, 2, 3]):
        raise UnnoiseError(f"{name}: its filters {colors.tolist()} are no Bayer pattern: develop it to TIFF first")
    return colors


def _embedded(raw: rawpy.RawPy) -> RawTags:
    """Return the EXIF of the embedded JPEG of a raw file that is no TIFF."""
    library = require("rawpy", extra="raw")
    try:
        thumbnail = raw.extract_thumb()
    except library.LibRawError:
        return RawTags()
    data = thumbnail.data
    return raw_tags.of_preview(data) if isinstance(data, bytes) else RawTags()


def _planes(colors: np.ndarray, active: Sequence[int], black: Sequence[float], white: float) -> Iterator[Plane]:
    top, left, height, width = active
    step = len(colors)
    for row, column in np.ndindex(colors.shape):
        index = int(colors[row, column])
        name = "gray" if step == 1 else COLORS[index]
        rows, columns = slice(top + row, top + height, step), slice(left + column, left + width, step)
        yield Plane(name, 1 if index == 3 else index, rows, columns, black[index], white)


@functools.cache
def _xyz_of_srgb() -> np.ndarray:
    """Return the matrix from linear sRGB to XYZ (IEC 61966-2-1)."""
    from skimage.color import colorconv

    return np.asarray(colorconv.xyz_from_rgb)


def _color_matrix(raw: rawpy.RawPy) -> np.ndarray | None:
    """Return the matrix from XYZ to the colors of the camera, as LibRaw knows it."""
    matrix = np.asarray(raw.rgb_xyz_matrix, np.float64)[:3]
    if matrix.any():
        return matrix
    to_srgb = np.asarray(raw.color_matrix, np.float64)[:, :3]
    if abs(np.linalg.det(to_srgb)) < 1e-6:
        return None
    return np.linalg.inv(to_srgb) @ np.linalg.inv(_xyz_of_srgb())


def _crop(size: Any) -> tuple[int, int, int, int] | None:
    """Return the part that the camera shows, within the active area; None if that is all, or makes no sense."""
    top, left = size.crop_top_margin - size.top_margin, size.crop_left_margin - size.left_margin
    height, width = size.crop_height, size.crop_width
    inside = top >= 0 and left >= 0 and top + height <= size.height and left + width <= size.width
    return (top, left, height, width) if inside and height > 0 and width > 0 else None
