"""The noise of five published sensors, for synthetic raw files.

Gain, spread of the read noise (a Tukey lambda distribution) and of the offsets of rows, as calibrated by

* K. Wei, Y. Fu, Y. Zheng, J. Yang, "Physics-based Noise Modeling for Extreme Low-light Photography", IEEE TPAMI 2021
  (ELD): Nikon D850, Canon EOS 5D Mark IV;
* H. Feng, L. Wang, Y. Wang, H. Huang, "Learnability Enhancement for Low-light Raw Denoising", ACM Multimedia 2022
  (PMN): Sony A7S II, Sony IMX686 (a phone), Sony IMX385 (the CRVD data set).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Mode:
    """The noise above a sensitivity; logarithms are natural, and of values in counts.

    Attributes:
        iso: from which it holds.
        shape: of the Tukey lambda distribution.
        read: slope and start of log(scale of the read noise) over log(gain).
        rows: slope and start of log(standard deviation of the offsets of rows) over log(gain).
    """

    iso: float
    shape: float
    read: tuple[float, float]
    rows: tuple[float, float]


@dataclass(frozen=True)
class Sensor:
    """A sensor.

    Attributes:
        name: its name.
        gain: counts per electron at ISO 100; it is in proportion to the ISO.
        black: value without light.
        white: value of saturation.
        modes: its noise, that of the lowest sensitivity first.
    """

    name: str
    gain: float
    black: int
    white: int
    modes: tuple[Mode, ...]

    def noisy(self, light: np.ndarray, iso: float, rng: np.random.Generator) -> np.ndarray:
        """Return counts, uint16 `[H, W]`, of light from 0 to 1, `[H, W]`."""
        gain = self.gain * iso / 100
        mode = [mode for mode in self.modes if iso >= mode.iso][-1]
        scale, rows = (np.exp(slope * np.log(gain) + start) for slope, start in (mode.read, mode.rows))
        counts = gain * rng.poisson(np.maximum(light, 0) * (self.white - self.black) / gain)
        counts = counts + self.black + scale * stats.tukeylambda.rvs(mode.shape, size=light.shape, random_state=rng)
        counts += rows * rng.standard_normal((len(light), 1))
        return np.clip(np.rint(counts), 0, self.white).astype(np.uint16)


SENSORS = (
    Sensor("Nikon D850", 0.415, 400, 16383, (Mode(0, -0.26, (0.906, -0.6754), (0.8322, -2.3326)),)),
    Sensor("Canon EOS 5D Mark IV", 0.2182, 2048, 16383, (Mode(0, 0.0957, (0.6559, 1.0927), (0.4713, -0.8079)),)),
    Sensor(
        "Sony A7S II", 0.09563, 512, 16383,
        (Mode(0, -0.026, (0.74043, 0.86182), (0.78782, -0.34227)),
         Mode(2000, -0.025, (0.74901, -0.12348), (0.62945, -1.5104))),
    ),
    Sensor("Sony IMX686", 0.1366, 64, 1023, (Mode(0, 0.102, (0.85187, 0.07991), (0.87611, -2.11455)),)),
    Sensor("Sony IMX385", 0.2325, 240, 4095, (Mode(0, 0.015, (0.95495, 0.01618), (0.93368, -2.19692)),)),
)  # fmt: skip
