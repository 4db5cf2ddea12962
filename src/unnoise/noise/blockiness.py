"""The strength of JPEG block artifacts in an image.

JPEG quantizes each block of 8x8 pixels independently. In smooth areas, neighboring pixels therefore differ more across
a block boundary than inside a block (Wang, Bovik, Evans, "Blind measurement of blocking artifacts in images", ICIP
2000). The grid may start anywhere, since the image may have been cropped.
"""

from __future__ import annotations

import numpy as np

SMOOTH = 8 / 255
"""Larger differences are edges of the image."""
SURE = 3.0
"""Minimum strength in standard deviations over the other phases; small and noisy images vary by chance."""

_SIDE = 8  # of a JPEG block, pixels
_LEAST = 4 * _SIDE  # smallest side of an image, pixels
_PIXELS = 2**20  # examined in each direction


def measure(pixels: np.ndarray) -> float:
    """Return the extra difference of neighbors across block boundaries, in [0, 1] units; 0 without a visible grid.

    Args:
        pixels: float32 `[H, W, C]`, nominally in [0, 1]; NaN and infinity are ignored.
    """
    height, width = pixels.shape[:2]
    if min(height, width) < _LEAST:
        return 0.0
    every = -(-height * width // _PIXELS)
    with np.errstate(invalid="ignore"):  # infinities of both signs
        return min(_across(pixels[::every].mean(axis=2)), _across(pixels[:, ::every].mean(axis=2).T))


def _across(lines: np.ndarray) -> float:
    """Return the extra difference along lines, `[N, length]`, at the phase of the grid where it is largest."""
    step = np.abs(np.diff(lines, axis=1))
    step[~(step <= SMOOTH)] = np.nan
    sharper = step[:, 1:-1] - (step[:, :-2] + step[:, 2:]) / 2
    counts = np.isfinite(sharper)
    sharper[~counts] = 0
    whole = counts.shape[1] // _SIDE * _SIDE
    sums, seen = (each[:, :whole].sum(axis=0).reshape(-1, _SIDE).sum(axis=0) for each in (sharper, counts))
    phases = sums / np.maximum(seen, 1)
    edge = int(np.argmax(phases))
    others = np.roll(phases, 1 - edge)[3:]  # without the phases beside the boundary, which it lowers
    out = float(phases[edge] - others.mean())
    return out if out > SURE * others.std() else 0.0
