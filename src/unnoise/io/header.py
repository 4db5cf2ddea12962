"""What a file says of an image beside its pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from unnoise.io.layout import Layout

SAMPLES = {
    "uchar": np.dtype(np.uint8),
    "char": np.dtype(np.int8),
    "ushort": np.dtype(np.uint16),
    "short": np.dtype(np.int16),
    "uint": np.dtype(np.uint32),
    "int": np.dtype(np.int32),
    "float": np.dtype(np.float32),
}


@dataclass(frozen=True)
class Header:
    """Everything about an image except its pixels.

    Attributes:
        height: in pixels, of all pages, which are stacked vertically.
        width: in pixels.
        layout: what the samples of a pixel are.
        dtype: of the samples in the file; one of `SAMPLES`.
        metadata: name of a field, such as `icc-profile-data`, -> bytes, text or number; and what `containers.read`
            adds.
    """

    height: int
    width: int
    layout: Layout
    dtype: np.dtype[Any]
    metadata: Mapping[str, Any]

    @property
    def colours(self) -> int:
        """Number of channels that are denoised: 1 for gray, 3 for RGB, 4 for CMYK, more with data channels."""
        return len(self.layout.channels)

    @property
    def alpha(self) -> bool:
        """Whether there is transparency."""
        return bool(self.layout.alphas)

    @property
    def size(self) -> int:
        """Size of all samples in bytes."""
        return self.height * self.width * self.layout.samples * self.dtype.itemsize

    @property
    def pages(self) -> int:
        """Number of pages of a TIFF or frames of an animation, all of one size."""
        return self.height // self.metadata.get("page-height", self.height)

    @property
    def page_channels(self) -> tuple[int, ...]:
        """The channel of each page of a stack of several channels (OME, ImageJ); 0 for all pages of other images."""
        channels = tuple(self.metadata.get("page-channels", ()))
        return channels if len(channels) == self.pages else (0,) * self.pages

    @property
    def colour_space(self) -> str:
        """The libvips interpretation of the samples."""
        gray, rgb = {"uint16": ("grey16", "rgb16"), "float32": ("b-w", "scrgb")}.get(self.dtype.name, ("b-w", "srgb"))
        return {1: gray, 3: rgb, 4: "cmyk"}[self.layout.base]
