"""HEIC, by pillow-heif: HEVC images in the High Efficiency Image File Format (ISO/IEC 23008-12)."""

from __future__ import annotations

import io
import threading
from collections.abc import Mapping
from typing import IO, Any

import numpy as np
import pillow_heif

from unnoise.io import exif, exif_block
from unnoise.io.codecs import Opened
from unnoise.io.containers.blocks import Blocks
from unnoise.io.formats import Header
from unnoise.io.layout import UNASSOCIATED, Layout

_QUALITY = 90
_LAYOUTS = {"L": Layout(1), "RGB": Layout(3), "RGBA": Layout(3, (UNASSOCIATED,))}
_NCLX = ("color_primaries", "transfer_characteristics", "matrix_coefficients", "full_range_flag")
_lock = threading.Lock()  # the bit depth of the encoder is a global setting


def open_file(file: IO[bytes]) -> Opened:
    """Read the header of a file: of its primary image."""
    heif = pillow_heif.open_heif(file, convert_hdr_to_8bit=False)
    image = heif[heif.primary_index]
    mode, _, deep = image.mode.partition(";")
    layout = _LAYOUTS.get({"I": "L"}.get(mode, mode))
    if layout is None:
        raise ValueError(f"an image of mode {image.mode}")
    dtype = np.dtype(np.uint16 if deep else np.uint8)
    width, height = image.size
    metadata = _metadata(image.info, further=len(heif) - 1)
    return Opened(height, width, layout, dtype, _load, metadata=metadata)


def encode(samples: np.ndarray, header: Header, quality: int | None) -> bytes:
    """Encode with the bit depth, chroma subsampling and color description of the source."""
    height, width, bands = samples.shape
    kept = header.metadata
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[bands] + ("" if samples.dtype == np.uint8 else ";16")
    heif = pillow_heif.from_bytes(mode={"L;16": "I;16"}.get(mode, mode), size=(width, height), data=samples.tobytes())
    options = dict(kept.get("heif-options", {"chroma": 444}))
    fields = {"exif": "exif-data", "xmp": "xmp-data", "icc_profile": "icc-profile-data"}
    for name, field in fields.items():
        if field in kept:
            heif[0].info[name] = options[name] = kept[field]
    file = io.BytesIO()
    with _lock:
        before = pillow_heif.options.SAVE_HDR_TO_12_BIT
        pillow_heif.options.SAVE_HDR_TO_12_BIT = kept.get("bits-per-sample", 8) == 12
        try:
            heif.save(file, quality=quality or _QUALITY, **options)
        finally:
            pillow_heif.options.SAVE_HDR_TO_12_BIT = before
    return file.getvalue()


def _load(file: IO[bytes]) -> np.ndarray:
    heif = pillow_heif.open_heif(file, convert_hdr_to_8bit=False)
    return np.array(heif[heif.primary_index])


def _metadata(info: Mapping[str, Any], *, further: int) -> dict[str, Any]:
    """Return what is kept of an image, and name what is not."""
    left_out = [f"{further} further pictures"] if further else []
    for field, title in (("thumbnails", "thumbnails"), ("depth_images", "depth maps"), ("aux", "auxiliary images"),
                         ("metadata", "other metadata")):  # fmt: skip
        if info.get(field):
            left_out.append(title)
    kept: dict[str, Any] = {"bits-per-sample": info.get("bit_depth", 8)}
    if block := info.get("exif"):
        block = block if block.startswith(exif.MARK) else exif.MARK + block
        if exif_block.thumbnail(block) is not None:
            block = exif_block.without_thumbnail(block)
            left_out.append("an EXIF thumbnail")
        kept["exif-data"] = exif_block.rotated(block)  # the decoder has applied the rotation
    if info.get("xmp"):
        kept["xmp-data"] = info["xmp"]
    if info.get("icc_profile"):
        kept["icc-profile-data"] = info["icc_profile"]
    nclx = info.get("nclx_profile") or {}
    kept["heif-options"] = {"chroma": info.get("chroma") or 444} | {key: nclx[key] for key in _NCLX if key in nclx}
    return {**kept, "blocks": Blocks("HEIC", left_out=tuple(left_out))}
