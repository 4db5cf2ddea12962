"""Any function over tiles of a picture, with the margin that it needs: equal to the whole, in bounded memory.

A network of finite reach (`halo`) sees in a tile with that margin all that it would see in the whole picture, if the
tile begins where its own grid does (`multiple_of`). Its tiles are cut, not blended: nothing is averaged, nothing can
show. What reaches everywhere has no such margin: its tiles overlap, and fade into each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

Clean = Callable[[np.ndarray, "float | np.ndarray | None"], np.ndarray]
TILE = 1536
"""Longest side of a tile without its margin, in pixels: the margin costs little, and memory stays well under 1 GB."""
OVERLAP = 64
"""Margin of tiles that are blended, in pixels."""


@dataclass(frozen=True)
class Tile:
    """One tile: the `inner` rectangle that it gives to the result, within the `outer` one that is looked at."""

    inner: tuple[slice, slice]
    outer: tuple[slice, slice]

    @property
    def crop(self) -> tuple[slice, slice]:
        """Where the inner rectangle lies within the outer one."""
        rows, columns = (
            slice(inner.start - outer.start, inner.stop - outer.start)
            for inner, outer in zip(self.inner, self.outer, strict=True)
        )
        return rows, columns

    def weight(self, overlap: int) -> np.ndarray:
        """Return what each pixel of the outer rectangle counts in a blend of all tiles, float32 `[h, w, 1]`.

        Between two neighbours it falls from 1 to 0 along twice the overlap; all tiles together count 1 everywhere.
        """
        rows, columns = (_fade(*sides, overlap) for sides in zip(self.inner, self.outer, strict=True))
        return (rows[:, None] * columns)[:, :, None]


def _fade(inner: slice, outer: slice, overlap: int) -> np.ndarray:
    place = np.arange(outer.start, outer.stop, dtype=np.float32) + np.float32(0.5)

    def beyond(edge: int) -> np.ndarray:
        return np.clip((place - edge) / np.float32(2 * overlap) + np.float32(0.5), 0, 1)

    begun = beyond(inner.start) if inner.start > outer.start else np.ones_like(place)  # the picture begins here
    return begun - beyond(inner.stop) if inner.stop < outer.stop else begun


def tiles(height: int, width: int, *, size: int = TILE, halo: int = 0, multiple_of: int = 1) -> Iterator[Tile]:
    """Divide a picture into tiles whose inner rectangles cover it once.

    Args:
        height: of the picture, in pixels.
        width: of the picture, in pixels.
        size: longest side of the inner rectangles, which share the picture evenly; at least one step of the grid.
        halo: margin that a tile needs around its inner rectangle.
        multiple_of: tiles begin on this grid.
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
    """Divide a length into as few equal parts as `longest` allows; each but the last is a multiple of the grid."""
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
        clean: takes a picture and its noise level and returns the clean picture, the same shape.
        noisy: float32 `[H, W, C]`.
        sigma: a number, a map `[H, W]`, or None.
        halo: the denoiser's reach in pixels.
        multiple_of: the grid that the denoiser works on.
        size: side of the tiles without margin.
        progress: called with the share that is done, 0 to 1.

    Returns:
        The clean picture, float32 `[H, W, C]`.
    """
    height, width = noisy.shape[:2]
    result = np.empty_like(noisy, dtype=np.float32)
    for tile in tiles(height, width, size=size, halo=halo, multiple_of=multiple_of):
        told = sigma[tile.outer] if isinstance(sigma, np.ndarray) else sigma
        result[tile.inner] = clean(noisy[tile.outer], told)[tile.crop]
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
    """Apply a denoiser that reaches everywhere to tiles that overlap, and fade them into each other.

    What it would have seen beyond a tile and its margin is lost to it; arguments and result are those of `tiled`.
    """
    height, width = noisy.shape[:2]
    overlap = OVERLAP + -OVERLAP % multiple_of
    result = np.zeros_like(noisy, dtype=np.float32)
    for tile in tiles(height, width, size=size, halo=overlap, multiple_of=multiple_of):
        told = sigma[tile.outer] if isinstance(sigma, np.ndarray) else sigma
        result[tile.outer] += tile.weight(overlap) * clean(noisy[tile.outer], told)
        rows, columns = tile.inner
        progress((rows.start * width + (rows.stop - rows.start) * columns.stop) / (height * width))
    return result
