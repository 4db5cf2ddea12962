"""The noise of a sensor in raw, linear counts, as measured by `unnoise calibrate`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from unnoise.noise.base import Noise, check, level
from unnoise.spec import Range


@dataclass(frozen=True)
class Sensor(Noise):
    """Shot, read and row noise of raw, linear counts, without clipping or rounding.

    Mean x; variance (x - black) / peak + read^2 + rows^2, where the last term is shared by a row and its channels. This
    is the photon transfer model (Janesick, "Photon Transfer", SPIE Press 2007; EMVA Standard 1288).

    Args:
        peak: electrons from black to white, 1e-3 to 1e9; the gain is 1 / peak of white per electron.
        read: standard deviation of the read noise, 8-bit units, from 0.
        rows: standard deviation of the row noise, 8-bit units, from 0.
        black: value without light, 8-bit units, from 0; values below it count as no light.
    """

    name: ClassVar[str] = "sensor"
    peak: float | Range
    read: float | Range = 0
    rows: float | Range = 0
    black: float | Range = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        check(self, "peak", 1e-3, 1e9)
        check(self, "read", 0)
        check(self, "rows", 0)
        check(self, "black", 0)

    def apply(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw electron counts, and add read and row noise."""
        black, peak = np.float32(level(self.black)), float(self.peak)  # type: ignore[arg-type]
        light = np.maximum(image - black, 0)
        noisy = black + (rng.poisson(light * peak) / peak).astype(np.float32)
        if self.read:
            noisy += np.float32(level(self.read)) * rng.standard_normal(image.shape, dtype=np.float32)
        if self.rows:
            noisy += np.float32(level(self.rows)) * rng.standard_normal((len(image), 1, 1), dtype=np.float32)
        return noisy
