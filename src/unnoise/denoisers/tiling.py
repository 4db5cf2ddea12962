"""Denoising in tiles, in bounded memory.

With a margin of `halo` pixels around a tile that starts on the grid of the network (`multiple_of`), a network with a
finite receptive field gives the same result as on the whole image. Such tiles are cut, not blended, and leave no seams.
A denoiser without a finite halo runs on overlapping tiles that are blended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

Clean = Callable[[np.ndarray, "float | np.ndarray | None"], np.ndarray]
TILE = 1536
"""Longest side of a tile without its margin, in pixels: the margin costs little, and memory stays far below 1 GB."""
OVERLAP = 64
"""Margin of tiles that are blended, in pixels."""


@dataclass(frozen=True)
class Tile:
    """One tile: the `inner` rectangle goes into the result, the `outer` one includes the margin."""

    inner: tuple[slice, slice]
    outer: tuple[slice, slice]

    @property
    def crop(self) -> tuple[slice, slice]:
        """The inner rectangle in coordinates of the outer one."""
        rows, columns = (
            slice(inner.start - outer.start, inner.stop - outer.start)
            for inner, outer in zip(self.inner, self.outer, strict=True)
        )
        return rows, columns

    def weight(self, overlap: int) -> np.ndarray:
        """Return the weight of each pixel of the outer rectangle in a blend of all tiles, float32 `[h, w, 1]`.

        Between two tiles it falls from 1 to 0 over twice the overlap; the weights of all tiles sum to 1 everywhere.
        """
        rows, columns = (_fade(*sides, overlap) for sides in zip(self.inner, self.outer, strict=True))
        return (rows[:, None] * columns)[:, :, None]


def _fade(inner: slice, outer: slice, overlap: int) -> np.ndarray:
    position = np.arange(outer.start, outer.stop, dtype=np.float32) + np.float32(0.5)

    def ramp(edge: int) -> np.ndarray:
        return np.clip((position - edge) / np.float32(2 * overlap) + np.float32(0.5), 0, 1)

    weight = ramp(inner.start) if inner.start > outer.start else np.ones_like(position)  # no fade at image borders
    return weight - ramp(inner.stop) if inner.stop < outer.stop else weight


def tiles(height: int, width: int, *, size: int = TILE, halo: int = 0, multiple_of: int = 1) -> Iterator[Tile]:
    """Divide an image into tiles whose inner rectangles cover it once.

    Args:
        height: height of the image, in pixels.
        width: width of the image, in pixels.
        size: longest side of the inner rectangles, which are of similar size; at least one step of the grid.
        halo: margin around the inner rectangle.
        multiple_of: step of the grid on which tiles start.
    """
    tall, wide = _share(height, size, multiple_of), _share(width, size, multiple_of)
    halo += -halo % multiple_of
    for top in range(0, height, tall):
        for left in range(0, width, wide):
            inner = slice(top, min(top + tall, height)), slice(left, min(left + wide, width))
            outer = (
                slice(max(top - halo, 0), min(inner[0].stop + halo, height)),
                slice(max(left - halo, 0), min(inner[1].stop + halo, width)),
            )
            yield Tile(inner, outer)


def _share(length: int, longest: int, multiple_of: int) -> int:
    """Return the length of parts, as few as `longest` allows; all but the last are multiples of the grid."""
    parts = -(-length // max(longest - longest % multiple_of, multiple_of))
    part = -(-length // parts)
    return part + -part % multiple_of


def denoise_tiled(
    clean: Clean,
    noisy: np.ndarray,
    sigma: float | np.ndarray | None = None,
    *,
    halo: int,
    multiple_of: int = 1,
    size: int = TILE,
    progress: Callable[[float], None] = lambda _: None,
) -> np.ndarray:
    """Apply a denoiser tile by tile.

    Args:
        clean: maps a noisy image and sigma to the denoised image, the same shape.
        noisy: float32 `[H, W, C]`.
        sigma: a number, a map `[H, W]`, or None.
        halo: halo of the denoiser, in pixels.
        multiple_of: grid of the denoiser.
        size: longest side of the tiles without margin.
        progress: called with the completed fraction, 0 to 1.

    Returns:
        The denoised image, float32 `[H, W, C]`.
    """
    height, width = noisy.shape[:2]
    result = np.empty_like(noisy, dtype=np.float32)
    for tile in tiles(height, width, size=size, halo=halo, multiple_of=multiple_of):
        tile_sigma = sigma[tile.outer] if isinstance(sigma, np.ndarray) else sigma
        result[tile.inner] = clean(noisy[tile.outer], tile_sigma)[tile.crop]
        rows, columns = tile.inner
        progress((rows.start * width + (rows.stop - rows.start) * columns.stop) / (height * width))
    return result


def denoise_blended(
    clean: Clean,
    noisy: np.ndarray,
    sigma: float | np.ndarray | None = None,
    *,
    multiple_of: int = 1,
    size: int = TILE,
    progress: Callable[[float], None] = lambda _: None,
) -> np.ndarray:
    """Apply a denoiser without a finite halo to overlapping tiles, and blend them.

    It does not see what lies beyond a tile and its margin. Arguments and result are those of `denoise_tiled`.
    """
    height, width = noisy.shape[:2]
    overlap = OVERLAP + -OVERLAP % multiple_of
    result = np.zeros_like(noisy, dtype=np.float32)
    for tile in tiles(height, width, size=size, halo=overlap, multiple_of=multiple_of):
        tile_sigma = sigma[tile.outer] if isinstance(sigma, np.ndarray) else sigma
        result[tile.outer] += tile.weight(overlap) * clean(noisy[tile.outer], tile_sigma)
        rows, columns = tile.inner
        progress((rows.start * width + (rows.stop - rows.start) * columns.stop) / (height * width))
    return result
