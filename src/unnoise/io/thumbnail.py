"""Renew the thumbnail of an EXIF block from the image that it is in."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pyvips
from PIL import Image

from unnoise.io import exif_block
from unnoise.io.containers import jpeg
from unnoise.io.containers.blocks import Blocks

_QUALITIES = (90, 80, 70, 60, 50, 40, 30)


def renewed(block: bytes, image: bytes | Path) -> bytes:
    """Return an EXIF block with a thumbnail of an image, no longer in bytes than the one that it has.

    Without thumbnail if it has none, or one that cannot be read, or if no quality makes it short enough.

    Args:
        block: EXIF.
        image: an encoded file that unnoise has written, or its path.
    """
    plain: dict[str, Any] = {"keep": "none"}
    old = exif_block.thumbnail(block)
    if old is None:
        return block
    try:
        with Image.open(io.BytesIO(old), formats=("JPEG",)) as opened:
            side = max(opened.size)
        small = _small(image, side)
        for quality in _QUALITIES:
            data = small.jpegsave_buffer(Q=quality, optimize_coding=True, **plain)
            made = jpeg.edit_head(data, {}, Blocks("JPEG"))  # without a JFIF header: CIPA DC-008, section 4.8.2
            if made is not None and len(made) <= len(old):
                return exif_block.with_thumbnail(block, made)
    except (OSError, ValueError, pyvips.Error):
        pass
    return exif_block.without_thumbnail(block)


def _small(image: bytes | Path, side: int) -> pyvips.Image:
    """Return an image reduced to a longest side, 8-bit gray or RGB."""
    options = {"height": side, "size": "down", "no_rotate": True}
    if isinstance(image, bytes):
        small = pyvips.Image.thumbnail_buffer(image, side, **options)
    else:
        source = pyvips.Source.new_from_file(os.fsencode(image))  # type: ignore[arg-type]  (names need not be UTF-8)
        small = pyvips.Image.thumbnail_source(source, side, **options)
    small = small.flatten() if small.hasalpha() else small
    space = "b-w" if small.bands == 1 else "srgb"
    return small.colourspace(space).cast("uchar").copy_memory()
