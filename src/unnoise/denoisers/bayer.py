"""The planes of a Bayer sensor, and the mosaic that they make up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_BORDER = 16
"""Mirrored pixels beyond the borders; an even number, which keeps the pattern."""


def size(planes: Sequence[np.ndarray]) -> tuple[int, int]:
    """Return height and width of the mosaic of four planes."""
    corner, right, below, _ = (plane.shape for plane in planes)
    return corner[0] + below[0], corner[1] + right[1]


def join(planes: Sequence[np.ndarray]) -> np.ndarray:
    """Return the mosaic, float32 `[H, W]`, of four planes `[h, w]`, from left to right and from top to bottom."""
    mosaic = np.empty(size(planes), np.float32)
    for place, plane in enumerate(planes):
        mosaic[place // 2 :: 2, place % 2 :: 2] = plane
    return mosaic


def split(mosaic: np.ndarray) -> list[np.ndarray]:
    """Return the four planes of a mosaic, views of it."""
    return [mosaic[place // 2 :: 2, place % 2 :: 2] for place in range(4)]


@dataclass(frozen=True)
class Bayer:
    """The planes of a Bayer sensor as one mosaic: with red in the corner, and mirrored borders.

    Args:
        pattern: names of the filters, "RGGB" or one of its turns.
        planes: of the sensor, `[h, w]` each.
    """

    pattern: str
    planes: Sequence[np.ndarray]

    def join(self, signals: Sequence[np.ndarray]) -> np.ndarray:
        """Return the mosaic of the planes, `[H, W]`."""
        # Mirrored at the outermost pixels, which are not repeated: the colors alternate there as well.
        return np.pad(join(signals), self._borders, mode="reflect")

    def split(self, image: np.ndarray) -> list[np.ndarray]:
        """Return the planes of a mosaic."""
        (top, _), (left, _) = self._borders
        height, width = size(self.planes)
        return split(image[top : top + height, left : left + width])

    @property
    def _borders(self) -> tuple[tuple[int, int], tuple[int, int]]:
        row, column = divmod(self.pattern.index("R"), 2)
        return (_BORDER + row, _BORDER), (_BORDER + column, _BORDER)
