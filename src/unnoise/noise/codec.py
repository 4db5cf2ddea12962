"""Degradations by file formats: clipping, quantization, JPEG."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyvips

from unnoise.noise.base import Noise, check, check_flag
from unnoise.spec import Range


@dataclass(frozen=True)
class Clip(Noise):
    """Clip to [0, 1], as every sensor and every integer file does."""

    name: ClassVar[str] = "clip"

    @property
    def sigma(self) -> float:
        """0: clipping adds no noise."""
        return 0.0

    def apply(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Clip."""
        return np.clip(image, 0, 1)


@dataclass(frozen=True)
class Quantize(Noise):
    """Round to 2^`bits` levels from 0 to 1, with an error of at most half a step; values outside use the same step."""

    name: ClassVar[str] = "quantize"
    bits: float | Range = 8

    def __post_init__(self) -> None:
        """Check the bit depth."""
        check(self, "bits", 1, 16)

    @property
    def sigma(self) -> float | None:
        """Standard deviation of an error uniform within half a step (Bennett, Bell Syst. Tech. J. 27, 1948)."""
        return None if isinstance(self.bits, Range) else 1 / (2 ** round(self.bits) - 1) / 12**0.5

    def apply(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Round."""
        top = 2 ** round(float(self.bits)) - 1  # type: ignore[arg-type]
        return np.rint(image * top) / top


@dataclass(frozen=True)
class Jpeg(Noise):
    """Encode as JPEG and decode; clips to [0, 1] and rounds to 8 bits.

    Args:
        quality: quality setting of libjpeg, 1 to 100.
        full_color: store color at full resolution (4:4:4); otherwise at half (4:2:0), as most cameras do.
    """

    name: ClassVar[str] = "jpeg"
    quality: float | Range
    full_color: bool = False

    def __post_init__(self) -> None:
        """Check the quality and the flag."""
        check(self, "quality", 1, 100)
        check_flag(self, "full_color")

    def apply(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Encode and decode; images of two, or more than three, channels are encoded channel by channel."""
        height, width, channels = image.shape
        if channels not in (1, 3):
            planes = [self.apply(image[:, :, c : c + 1], rng) for c in range(channels)]
            return np.concatenate(planes, axis=2)
        pixels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
        stored = pyvips.Image.new_from_memory(pixels.tobytes(), width, height, channels, "uchar")
        stored = stored.copy(interpretation="srgb" if channels == 3 else "b-w")
        data = stored.jpegsave_buffer(
            Q=round(float(self.quality)),  # type: ignore[arg-type]
            subsample_mode="off" if self.full_color else "on",
        )
        read = pyvips.Image.jpegload_buffer(data).numpy()
        return read.reshape(height, width, channels).astype(np.float32) / np.float32(255)
