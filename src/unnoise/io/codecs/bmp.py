"""BMP, read by Pillow; written by it, too, but for transparency, which needs a header that Pillow does not write."""

from __future__ import annotations

import io
import struct
from typing import IO

import numpy as np
from PIL import Image

from unnoise.io.codecs import Opened
from unnoise.io.formats import Header
from unnoise.io.layout import UNASSOCIATED, Layout

_V4_HEADER, _BITFIELDS, _SRGB = 108, 3, 0x73524742  # of Microsoft's BITMAPV4HEADER
_MASKS = (0x00FF0000, 0x0000FF00, 0x000000FF, 0xFF000000)  # red, green, blue, alpha
_INCH = 25.4  # millimeters
_PER_METER = 1000  # millimeters


def open_file(file: IO[bytes]) -> Opened:
    """Read the header of a file."""
    with Image.open(file, formats=["BMP"]) as image:
        mode = _mode(image)
        layout = Layout(1 if mode == "L" else 3, (UNASSOCIATED,) if mode == "RGBA" else ())
        dpi = image.info.get("dpi")
        kept = {"xres": dpi[0] / _INCH, "yres": dpi[1] / _INCH} if dpi and min(dpi) > 0 else {}
        return Opened(image.height, image.width, layout, np.dtype(np.uint8), _load, metadata=kept)


def encode(samples: np.ndarray, header: Header, quality: int | None) -> bytes:
    """Encode as BMP of 8, 24 or 32 bits."""
    resolution = [float(header.metadata.get(field, 0.0)) for field in ("xres", "yres")]
    if header.alpha:
        return _with_alpha(samples, resolution)
    file = io.BytesIO()
    dpi = {"dpi": tuple(_INCH * per_millimeter for per_millimeter in resolution)} if all(resolution) else {}
    Image.fromarray(samples[:, :, 0] if samples.shape[2] == 1 else samples).save(file, "BMP", **dpi)
    return file.getvalue()


def _mode(image: Image.Image) -> str:
    """Return the mode to read an image in; palettes become RGB."""
    return {"1": "L", "L": "L", "RGBA": "RGBA"}.get(image.mode, "RGB")


def _load(file: IO[bytes]) -> np.ndarray:
    with Image.open(file, formats=["BMP"]) as image:
        return np.asarray(image.convert(_mode(image)))


def _with_alpha(samples: np.ndarray, resolution: list[float]) -> bytes:
    """Encode RGBA, `[H, W, 4]`, or gray with alpha, `[H, W, 2]`."""
    height, width = samples.shape[:2]
    color = samples[:, :, :-1] if samples.shape[2] == 4 else np.repeat(samples[:, :, :1], 3, axis=2)
    pixels = np.concatenate([color[:, :, ::-1], samples[:, :, -1:]], axis=2)[::-1].tobytes()
    per_meter = [round(_PER_METER * per_millimeter) for per_millimeter in resolution]
    start = 14 + _V4_HEADER
    head = struct.pack("<2sIHHI", b"BM", start + len(pixels), 0, 0, start)
    head += struct.pack("<IiiHHIIiiII", _V4_HEADER, width, height, 1, 32, _BITFIELDS, len(pixels), *per_meter, 0, 0)
    head += struct.pack("<4II", *_MASKS, _SRGB)
    return head.ljust(start, b"\0") + pixels
