"""Convert paths, bytes, file objects, arrays and PIL images to `Picture`, and back."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import numpy as np

from unnoise.errors import UnnoiseError
from unnoise.io import reader, stacks
from unnoise.io.formats import output_suffix, suffix_of
from unnoise.io.picture import Picture, encode, from_array

if TYPE_CHECKING:
    from PIL.Image import Image

Source = TypeVar("Source", str, Path, bytes, IO[bytes], np.ndarray, "Image", Picture)


def to_picture(
    source: Any, channel_axis: int | None = -1, alpha: bool | None = None, axes: str | None = None
) -> Picture:
    """Return an image of any supported type as a `Picture`; see `api.denoise`.

    Args:
        source: a path, bytes, a binary file object, an array, a PIL image or a `Picture`.
        channel_axis: of an array with three axes.
        alpha: whether the last channel of an array is alpha, as for `from_array`.
        axes: the names of the axes of an array, as for `stacks.Stack`; None for `[H, W]` and `[H, W, C]`.

    Raises:
        UnnoiseError: the type is not supported, or the image cannot be read.
    """
    if axes is not None:
        if not isinstance(source, np.ndarray):
            raise UnnoiseError(f"axes are for arrays, not for a {type(source).__name__}: files have axes of their own")
        return stacks.to_picture(source, axes, alpha)
    if isinstance(source, Picture):
        return source
    if isinstance(source, bytes | bytearray | memoryview):
        return reader.read(bytes(source))
    if isinstance(source, str | os.PathLike):
        return reader.read(Path(source))
    if isinstance(source, np.ndarray):
        return _from_masked(_channels_last(source, channel_axis), alpha)
    if hasattr(source, "convert") and hasattr(source, "getbands"):
        image = _plain(source)
        return from_array(np.asarray(image), alpha=image.mode in ("LA", "RGBA"))
    if hasattr(source, "read") and hasattr(source, "seek"):
        return reader.read(_bytes_of(source))
    kinds = "a path, bytes, a file, an array or a PIL image"
    raise UnnoiseError(f"an image must be {kinds}, not {type(source).__name__}")


def like_source(source: Any, picture: Picture, channel_axis: int | None = -1, axes: str | None = None) -> Any:
    """Return an image as the type of `source`; paths become a `Picture`."""
    if isinstance(source, str | os.PathLike | Picture):
        return picture
    if isinstance(source, bytes | bytearray | memoryview):
        return _encoded(picture, bytes(source))
    if axes is not None:
        return _masked_like(source, stacks.from_picture(picture, axes, source.shape).astype(source.dtype, copy=False))
    array = picture.to_array()
    if isinstance(source, np.ndarray):
        result = array.reshape(_channels_last(source, channel_axis).shape).astype(source.dtype, copy=False)
        result = result if channel_axis is None or result.ndim == 2 else np.moveaxis(result, -1, channel_axis)
        return _masked_like(source, result)
    if hasattr(source, "read"):
        return io.BytesIO(_encoded(picture, _bytes_of(source)))
    from PIL import Image

    image = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
    image.info = {key: value for key, value in source.info.items() if key != "transparency"}  # now in the alpha channel
    return image


def _masked_like(source: np.ndarray, result: np.ndarray) -> np.ndarray:
    """Return a result with the mask of its source, if that has one, and its values there."""
    if not isinstance(source, np.ma.MaskedArray):
        return result
    result = np.where(np.ma.getmaskarray(source), source.data, result)
    return np.ma.masked_array(result, mask=source.mask, fill_value=source.fill_value)


def _from_masked(array: np.ndarray, alpha: bool | None) -> Picture:
    """Return an array `[H, W]` or `[H, W, C]` as a picture whose masked values are missing."""
    picture = from_array(np.ma.getdata(array), alpha)
    if np.ma.is_masked(array):
        mask = np.ma.getmaskarray(array).reshape(*picture.pixels.shape[:2], -1)
        picture.pixels[mask[:, :, picture.layout.channels]] = np.nan
    return picture


def _encoded(picture: Picture, like: bytes) -> bytes:
    return encode(picture, output_suffix(suffix_of(like)))


def _bytes_of(file: IO[bytes]) -> bytes:
    """Read a file object from its current position, which is restored."""
    position = file.tell()
    data = file.read()
    file.seek(position)
    if not isinstance(data, bytes):
        raise UnnoiseError("a file opened as text is not an image: open it in binary mode, open(path, 'rb')")
    return data


def _channels_last(array: np.ndarray, channel_axis: int | None) -> np.ndarray:
    """Return `[H, W]` unchanged, or `[H, W, C]`."""
    if array.ndim == 2:
        return array
    if channel_axis is None or array.ndim != 3:
        raise UnnoiseError(
            f"an array of shape {array.shape} is not an image: pass [H, W], or [H, W, C] and its channel_axis"
        )
    if not -3 <= channel_axis < 3:
        raise UnnoiseError(f"an array of shape {array.shape} has no channel_axis {channel_axis}")
    return np.moveaxis(array, channel_axis, -1)


def _plain(image: Image) -> Image:
    """Convert a PIL image losslessly to gray or RGB, with alpha if it has any."""
    if "transparency" in image.info and image.mode in ("1", "L", "P", "RGB"):
        return image.convert("LA" if image.mode in ("1", "L") else "RGBA")
    mode = {"1": "L", "P": "RGB", "PA": "RGBA", "RGBX": "RGB"}.get(image.mode, image.mode)
    if mode not in ("L", "LA", "RGB", "RGBA", "F", "I;16", "I;16B", "I;16L"):
        raise UnnoiseError(f"a PIL image of mode {mode} cannot be denoised: convert it to L, RGB, RGBA, I;16 or F")
    return image if mode == image.mode else image.convert(mode)
