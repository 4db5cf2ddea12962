"""The options that libvips writes each image file format with."""

from __future__ import annotations

from typing import Any

import numpy as np

from unnoise.io.containers import tiff_storage
from unnoise.io.header import Header
from unnoise.io.layout import ASSOCIATED


def jpeg_options(header: Header, quality: int | None) -> dict[str, Any]:
    """Return the options: quality and chroma subsampling of the source."""
    encoding = header.metadata.get("jpeg-encoding")
    coarse = encoding is not None and encoding.sampling[0] >= 2 and encoding.sampling[1] >= 2
    return {
        "Q": quality or header.metadata.get("jpeg-quality", 95),
        "subsample_mode": "on" if coarse else "off",
        "optimize_coding": True,
        "interlace": encoding is not None and encoding.progressive,
    }


def png_options(header: Header, quality: int | None) -> dict[str, Any]:
    """Return the options: all filters, which takes half the default size for photographs."""
    return {"filter": "all"}  # half the default size for photographs


def tiff_options(header: Header, quality: int | None) -> dict[str, Any]:
    """Return the options: compression, predictor and tiles of the source."""
    storage: tiff_storage.Storage | None = header.metadata.get("tiff-storage")
    # Colors that were multiplied by alpha in the file were divided by it when read.
    common = {
        "bigtiff": header.size > 2**31 or (storage is not None and storage.big),
        "premultiply": header.layout.extras == (ASSOCIATED,),
    }
    if storage is not None:
        return tiff_storage.saver_options(storage, header.dtype, quality) | common
    if header.dtype.kind == "f":  # floats hardly compress, and few programs support their predictor
        return {"compression": "none", **common}
    return {"compression": "deflate", "predictor": "horizontal", **common}


def webp_options(header: Header, quality: int | None) -> dict[str, Any]:
    """Return the options: lossless if the source was."""
    if quality is None and header.metadata.get("webp-lossless"):
        return {"lossless": True, "exact": True}
    return {"Q": quality or 95, "smart_subsample": True, "exact": True}  # exact: keep the color of transparent pixels


def gif_options(header: Header, quality: int | None) -> dict[str, Any]:
    """Return the options: no dithering, which would be noise."""
    return {"dither": 0.0, "keep_duplicate_frames": True}  # dithering would be noise


def avif_options(header: Header, quality: int | None) -> dict[str, Any]:
    """Return the options: lossless where there is transparency."""
    bits = 8 if header.dtype == np.uint8 else header.metadata["bits-per-sample"]
    options = {"compression": "av1", "bitdepth": bits, "effort": 1}  # the default effort, 4, takes 20 times as long
    if header.alpha:  # AVIF has one quality for color and alpha
        return options | {"lossless": True}
    return options | {"Q": quality or 90}


def no_options(header: Header, quality: int | None) -> dict[str, Any]:
    """Return the options: none, of a format that libvips does not write."""
    return {}
