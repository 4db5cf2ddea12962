"""Pictures larger than memory: strips of a file are read, cleaned and written as they come.

The file is read twice: once in windows spread over it, to find the noise and the model that fits, and once from top to
bottom. What is held is a strip of tiles with the margin that they need, in the samples of the file, beside one tile;
for a denoiser that sees everything, whose tiles are blended, also its pixels.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from unnoise.denoisers import tiling
from unnoise.denoisers.base import Denoiser, Sigma
from unnoise.denoisers.tiling import Tile
from unnoise.io import stream_writer
from unnoise.io.atomic import CommitHook
from unnoise.io.picture import from_samples
from unnoise.io.reader import RowReader

STREAMING_PIXELS = 16_000_000
"""Pixels, from which on a picture is not held as a whole."""
TILE = 1024
"""Longest side of a tile without its margin: a little slower than those of `tiling`, with half of their memory."""
STRIP_BYTES = 96_000_000
"""Bytes of a strip, at most; tiles are lower for very wide pictures."""

_Band = tuple[list[Tile], np.ndarray]  # tiles beside each other, and the samples of their outer rows
_Clean = Callable[[np.ndarray, Tile], np.ndarray]

_PIECE = 64  # rows that are read at once
_WINDOW = 512  # side of what is looked at to find the noise
_WINDOWS = 8  # of them along each side of the picture


def sample_windows(rows: RowReader) -> np.ndarray:
    """Return windows spread evenly over a picture, side by side, as pixels `[H, W, C]`; the rows are used up."""
    height, width = rows.header.height, rows.header.width
    tops, lefts = _spread(height), _spread(width)
    bands = []
    for top in tops:
        samples = rows.read_rows(top, min(top + _WINDOW, height))
        bands.append(np.concatenate([samples[:, left : left + _WINDOW] for left in lefts], axis=1))
    return from_samples(np.concatenate(bands), {}, rows.header.colours).pixels


def _spread(length: int) -> list[int]:
    """Return where windows begin along a side: without gaps where they cover it all."""
    if length <= _WINDOW * _WINDOWS:
        return list(range(0, length, _WINDOW))
    return [index * (length - _WINDOW) // (_WINDOWS - 1) for index in range(_WINDOWS)]


def clean(
    rows: RowReader,
    denoiser: Denoiser,
    sigma: Sigma | None,
    target: str | Path,
    *,
    strength: float = 1.0,
    overwrite: bool = False,
    quality: int | None = None,
    progress: Callable[[float], None] = lambda _: None,
    before_commit: CommitHook | None = None,
) -> None:
    """Clean a file into another one, strip by strip.

    Args:
        rows: the file.
        denoiser: of a finite reach (`halo`), as `Denoiser.settle` gave it.
        sigma: the level to tell it.
        target: the file to write.
        strength: as for `at_strength`.
        overwrite: whether the target may be there.
        quality: of lossy formats, 1 to 100.
        progress: called with the share that is done.
        before_commit: as for `files.replacing`.

    Raises:
        UnnoiseError: the file is damaged, or the target cannot be written or hold it; then nothing is written.
    """
    strips = _strips(rows, denoiser, sigma, strength, progress)
    stream_writer.write_stream(
        strips, rows.header, target, overwrite=overwrite, quality=quality, before_commit=before_commit
    )
    progress(1.0)


def _strips(
    rows: RowReader, denoiser: Denoiser, sigma: Sigma | None, strength: float, progress: Callable[[float], None]
) -> Iterator[np.ndarray]:
    header = rows.header
    tall = max(denoiser.multiple_of, min(TILE, STRIP_BYTES * header.height // header.size))
    reach, high = tiling.OVERLAP if denoiser.halo is None else denoiser.halo, header.height // header.pages
    margin = reach + -reach % denoiser.multiple_of
    cut = list(tiling.tiles(high, header.width, size=tall, halo=margin, multiple_of=denoiser.multiple_of))
    for above in range(0, header.height, high):  # the rows of the pages before

        def clean(noisy: np.ndarray, tile: Tile, above: int = above) -> np.ndarray:
            made = at_strength(noisy, denoiser(noisy, sigma), strength)
            lines, columns = tile.inner
            done = (above + lines.start) * header.width + (lines.stop - lines.start) * columns.stop
            progress(done / (header.height * header.width))
            return made

        bands = _bands(rows, above, cut)
        if denoiser.halo is not None:
            yield from _cut(bands, clean, header.colours)
        else:
            yield from _faded(bands, clean, header.colours, margin, high)


def _bands(rows: RowReader, above: int, cut: list[Tile]) -> Iterator[_Band]:
    """Yield the tiles of a page beside each other, with the samples that they look at."""
    held, top = rows.read_rows(above, above), 0
    for _, row in itertools.groupby(cut, key=lambda tile: tile.inner[0].start):
        strip = list(row)
        outer = strip[0].outer[0]
        have = top + len(held) - outer.start
        taller = np.empty((outer.stop - outer.start, *held.shape[1:]), held.dtype)
        taller[:have] = held[len(held) - have :]
        held, top = taller, outer.start  # the rows above are let go before further ones are read
        for start in range(have, len(held), _PIECE):
            stop = min(start + _PIECE, len(held))
            held[start:stop] = rows.read_rows(above + top + start, above + top + stop)
        yield strip, held


def _cut(bands: Iterator[_Band], clean: _Clean, colours: int) -> Iterator[np.ndarray]:
    """Clean tiles and put them beside each other, without their margins."""
    for strip, held in bands:
        inner = strip[0].inner[0]
        made = np.empty((inner.stop - inner.start, *held.shape[1:]), held.dtype)
        for tile in strip:
            noisy = from_samples(held[:, tile.outer[1]], {}, colours)
            made[:, tile.inner[1]] = noisy.with_pixels(clean(noisy.pixels, tile)).samples()[tile.crop]
        yield made
        del held, made


def _faded(bands: Iterator[_Band], clean: _Clean, colours: int, overlap: int, high: int) -> Iterator[np.ndarray]:
    """Clean tiles and fade them into each other; rows are ready once no tile below reaches them."""
    fading = np.empty((0, 1, 1), np.float32)
    for strip, held in bands:
        noisy = from_samples(held, {}, colours)
        blend = np.zeros_like(noisy.pixels)
        blend[: len(fading)] = fading
        for tile in strip:
            columns = tile.outer[1]
            blend[:, columns] += tile.weight(overlap) * clean(noisy.pixels[:, columns], tile)
        inner, outer = strip[0].inner[0], strip[0].outer[0]
        ready = len(held) if inner.stop == high else max(inner.stop - overlap, 0) - outer.start
        if ready:
            yield from_samples(held[:ready], {}, colours).with_pixels(blend[:ready]).samples()
        fading = blend[ready:].copy()
        del held, noisy, blend


def at_strength(noisy: np.ndarray, clean: np.ndarray, strength: float) -> np.ndarray:
    """Move along the line from a noisy picture (0) through its clean one (1); infinities stay what they are."""
    if strength == 1:
        return clean
    with np.errstate(invalid="ignore"):
        moved = noisy + np.float32(strength) * (clean - noisy)
    return np.where(np.isfinite(noisy), moved, noisy)
