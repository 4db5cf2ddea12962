"""BM3D, where the user has installed the package of its authors, whose license is for non-commercial use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unnoise.denoisers.base import Denoiser, Sigma
from unnoise.errors import UnnoiseError
from unnoise.optional import require
from unnoise.spec import HasSpec

_SMALLEST = 16  # pixels; a smaller image is mirrored to this size, that of two blocks


@dataclass(frozen=True)
class BM3D(HasSpec, Denoiser):
    """Block-matching and 3D filtering, by the package bm3d of its authors; free for non-commercial use only.

    Dabov et al., IEEE TIP 16(8), 2007; color images in a luminance and two chrominances.

    Args:
        strength: factor on sigma.
    """

    name = "bm3d"
    wants_sigma = True
    tile = 1024  # it compares blocks within windows of 39 pixels, so that tiles hardly differ from the whole
    strength: float = 1.0

    def __post_init__(self) -> None:
        """Check the arguments."""
        if isinstance(self.strength, bool) or not 0 < self.strength < float("inf"):
            raise UnnoiseError(f"bm3d: strength must be a number above 0, got '{self.strength}'")

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Filter; a map of sigma counts by its mean."""
        library: Any = require("bm3d", extra="")
        level = self.strength * float(np.mean(0.0 if sigma is None else sigma))
        height, width, channels = noisy.shape
        padding = [(0, max(0, _SMALLEST - side)) for side in (height, width)]
        padded = np.pad(noisy, (*padding, (0, 0)), mode="symmetric").astype(np.float64)
        clean = None
        if channels == 3:
            with np.errstate(divide="ignore", invalid="ignore"):  # it divides by the range of each color difference
                clean = library.bm3d_rgb(padded, level)
        if clean is None or not np.isfinite(clean).all():
            planes = [library.bm3d(padded[:, :, channel], level) for channel in range(channels)]
            clean = np.stack([np.reshape(plane, padded.shape[:2]) for plane in planes], axis=2)
        return np.asarray(clean, dtype=np.float32)[:height, :width]
