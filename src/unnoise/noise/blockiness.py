"""How far the grid of JPEG stands out in a picture.

JPEG rounds every block of 8x8 pixels without a look at its neighbours. So where a picture is smooth, pixels differ more
across the edge of a block than beside it (Wang, Bovik, Evans, "Blind measurement of blocking artifacts in images", ICIP
2000). A picture that was cut keeps its grid, wherever that begins now.
"""

from __future__ import annotations

import numpy as np

SMOOTH = 8 / 255
"""Differences above this are the picture's own edges."""
SURE = 3.0
"""It must stand out by so many deviations of what is beside it: in small and noisy pictures, chance does, too."""

_SIDE = 8  # of JPEG's blocks, pixels
_LEAST = 4 * _SIDE  # side of a picture, pixels
_PIXELS = 2**20  # looked at each way


def measure(pixels: np.ndarray) -> float:
    """Return by how much neighbours differ more across the grid than beside it, in [0, 1] units; 0 where there is none.

    Args:
        pixels: float32 `[H, W, C]`, nominally in [0, 1]; NaN and infinity are passed over.
    """
    height, width = pixels.shape[:2]
    if min(height, width) < _LEAST:
        return 0.0
    every = -(-height * width // _PIXELS)
    with np.errstate(invalid="ignore"):  # infinities of both signs
        return min(_across(pixels[::every].mean(axis=2)), _across(pixels[:, ::every].mean(axis=2).T))


def _across(lines: np.ndarray) -> float:
    """Return what stands out in the differences along lines, `[N, length]`, at the phase where most does."""
    step = np.abs(np.diff(lines, axis=1))
    step[~(step <= SMOOTH)] = np.nan
    sharper = step[:, 1:-1] - (step[:, :-2] + step[:, 2:]) / 2
    counts = np.isfinite(sharper)
    sharper[~counts] = 0
    whole = counts.shape[1] // _SIDE * _SIDE
    sums, seen = (each[:, :whole].sum(axis=0).reshape(-1, _SIDE).sum(axis=0) for each in (sharper, counts))
    phases = sums / np.maximum(seen, 1)
    edge = int(np.argmax(phases))
    others = np.roll(phases, 1 - edge)[3:]  # those beside the edge are lowered by it
    out = float(phases[edge] - others.mean())
    return out if out > SURE * others.std() else 0.0
