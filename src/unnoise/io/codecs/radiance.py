"""Radiance HDR (Greg Ward; radsite.lbl.gov, "Picture file format"), whose runs imagecodecs reads and writes."""

from __future__ import annotations

import re
from typing import IO

import imagecodecs
import numpy as np

from unnoise.errors import UnnoiseError
from unnoise.io.codecs import Opened
from unnoise.io.containers.blocks import Block, Blocks
from unnoise.io.formats import Header
from unnoise.io.layout import Layout

_MAX_HEADER = 2**16  # bytes
_RESOLUTION = re.compile(rb"([-+][XY]) +(\d{1,9}) +([-+][XY]) +(\d{1,9})\n")
_FORMAT = re.compile(rb"^FORMAT *= *(\S+)", re.MULTILINE)
_RGBE = b"32-bit_rle_rgbe"
_HEADER = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y %d +X %d\n"
_BITS = 8  # of a mantissa
_SMALLEST, _LARGEST = -127, 127  # exponents


def open_file(file: IO[bytes]) -> Opened:
    """Read the header of a file."""
    head, end, rest = file.read(_MAX_HEADER).partition(b"\n\n")
    size = _RESOLUTION.match(rest)
    if not end or size is None:
        raise ValueError("its header is damaged")
    kind = _FORMAT.search(head)
    if kind is not None and kind[1] != _RGBE:
        raise UnnoiseError("Radiance HDR with XYZ colors is not supported: convert it to RGB first (ra_xyze -r)")
    if (size[1], size[3]) != (b"-Y", b"+X"):
        raise UnnoiseError("a Radiance HDR file whose rows do not go from the top left: rotate it first (protate)")
    height, width = int(size[2]), int(size[4])
    header = head + end + size[0]
    blocks = Blocks("HDR", (Block("header", b"", title="the header of Radiance HDR"),))
    return Opened(
        height, width, Layout(3), np.dtype(np.float32), lambda file: _load(file, len(header), (height, width, 3)),
        metadata={"hdr-header": header, "blocks": blocks},
    )  # fmt: skip


def encode(samples: np.ndarray, header: Header, quality: int | None) -> bytes:
    """Encode with the header of the source; gray becomes RGB, negative values 0."""
    height, width = samples.shape[:2]
    colors = np.broadcast_to(samples, (height, width, 3))
    head = header.metadata.get("hdr-header") or _HEADER % (height, width)
    most = height * (8 + 4 * (width + width // 64 + 8))  # bytes of what has no runs
    return head + bytes(imagecodecs.rgbe_encode(_rounded(colors), header=False, rle=True, out=most))


def _rounded(colors: np.ndarray) -> np.ndarray:
    """Return colors that the encoder, which truncates, rounds to nearest."""
    colors = np.nan_to_num(np.maximum(colors, 0), posinf=2.0**_LARGEST).astype(np.float64)
    largest = colors.max(axis=2, keepdims=True)
    exponent = np.clip(np.frexp(largest)[1], _SMALLEST, _LARGEST)
    step = np.ldexp(1.0, exponent - _BITS)
    mantissas = np.rint(colors / step)
    wide = mantissas.max(axis=2, keepdims=True) >= 2**_BITS  # rounded up to the next exponent
    step, mantissas = np.where(wide, 2 * step, step), np.where(wide, np.rint(colors / (2 * step)), mantissas)
    return np.ascontiguousarray(((mantissas + 0.25 * (mantissas > 0)) * step).astype(np.float32))


def _load(file: IO[bytes], start: int, shape: tuple[int, int, int]) -> np.ndarray:
    file.seek(start)
    return imagecodecs.rgbe_decode(file.read(), header=False, rle=True, out=np.zeros(shape, np.float32))
