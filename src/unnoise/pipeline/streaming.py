"""Denoise images larger than memory: strips of a file are read, denoised and written one after the other.

The file is read twice: first in windows spread over it, to estimate the noise and select the model, then from top to
bottom. In memory are one strip of tiles with the margin that they need, in the samples of the file, and one tile; for a
denoiser without a `halo`, whose tiles are blended, also the float pixels of the strip.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unnoise.denoisers import tiling
from unnoise.denoisers.adjusted import add_grain
from unnoise.denoisers.tiling import Tile
from unnoise.io import Header, stream_writer
from unnoise.io.atomic import CommitHook
from unnoise.io.layout import Layout
from unnoise.io.picture import from_samples
from unnoise.io.reader import RowReader
from unnoise.pipeline import error_maps, page_models
from unnoise.pipeline.error_maps import ErrorEstimator, Scales
from unnoise.pipeline.page_models import ByPage, Model, PageModels

STREAMING_PIXELS = 16_000_000
"""Images of more pixels are streamed."""
TILE = 1024
"""Longest side of a tile without its margin: a little slower than `tiling.TILE`, at half of its memory."""
STRIP_BYTES = 96_000_000
"""Most bytes of a strip; tiles are lower for very wide images."""

Strip = tuple[np.ndarray, np.ndarray | None]
"""Samples `[h, W, C]`, and their expected error `[h, W]` in 8-bit units, or None."""
_Band = tuple[list[Tile], np.ndarray]  # a row of tiles, and the samples of their outer rows
Resolve = Callable[[np.ndarray, np.dtype[Any], Layout], Model]
"""Windows of an image, type of its samples, layout -> its model, as `process.DenoiseOptions.resolve`."""
_Denoise = Callable[[np.ndarray, Tile], tuple[np.ndarray, np.ndarray | None]]

_ROWS = 64  # that are read at once
_WINDOW = 512  # side of the windows that the noise is estimated from
_WINDOWS = 8  # along each side of the image
SAMPLE_PIXELS = (_WINDOW * _WINDOWS) ** 2
"""Most pixels that the noise is estimated from."""


def sample_windows(rows: RowReader, pages: Sequence[int] | None = None) -> np.ndarray:
    """Return windows spread evenly over an image, side by side, as pixels `[H, W, C]`; the rows are consumed.

    Args:
        rows: the image.
        pages: those that are looked at, in order; None for all, in which windows may reach over two pages.
    """
    height, width = rows.header.height, rows.header.width
    if pages is None or len(pages) == rows.header.pages:
        places = [(top, min(top + _WINDOW, height)) for top in _spread(height)]
    else:
        places = _places(pages, height // rows.header.pages)
    lefts = _spread(width)
    bands = []
    for place in places:
        samples = rows.read_rows(*place)
        bands.append(np.concatenate([samples[:, left : left + _WINDOW] for left in lefts], axis=1))
    return from_samples(np.concatenate(bands), {}, rows.header.layout).pixels


def models_of(
    read: Callable[[], RowReader], resolve: Resolve, *, errors: bool
) -> tuple[PageModels, ByPage[ErrorEstimator] | None]:
    """Return the model of each page of a file and, if wanted, what estimates its errors; pages of a channel share them.

    Args:
        read: opens the file.
        resolve: as `DenoiseOptions.resolve`.
        errors: whether they are estimated.
    """
    header = read().header

    def find(pages: list[int]) -> tuple[Model, ErrorEstimator | None]:
        sample = sample_windows(read(), pages)
        model = resolve(sample, header.dtype, header.layout)
        return model, ErrorEstimator(*model, sample) if errors else None

    found = page_models.by_channel(header.page_channels, find)
    models = {channel: model for channel, (model, _) in found.members.items()}
    estimators = {channel: error for channel, (_, error) in found.members.items() if error is not None}
    return ByPage(found.channels, models), ByPage(found.channels, estimators) if errors else None


def _places(pages: Sequence[int], height: int) -> list[tuple[int, int]]:
    """Return the first and the last row of windows in some pages, none of which reaches over two of them."""
    places = [
        (page * height + top, page * height + min(top + _WINDOW, height)) for page in pages for top in _spread(height)
    ]
    every = np.linspace(0, len(places) - 1, min(_WINDOWS, len(places))).astype(int)
    return [places[number] for number in every]


def _spread(length: int) -> list[int]:
    """Return where windows begin along a side: without gaps if they cover all of it."""
    if length <= _WINDOW * _WINDOWS:
        return list(range(0, length, _WINDOW))
    return [index * (length - _WINDOW) // (_WINDOWS - 1) for index in range(_WINDOWS)]


def denoise_stream(
    rows: RowReader,
    models: PageModels,
    target: str | Path,
    *,
    strength: float = 1.0,
    overwrite: bool = False,
    quality: int | None = None,
    progress: Callable[[float], None] = lambda _: None,
    before_commit: CommitHook | None = None,
    errors: ByPage[ErrorEstimator] | None = None,
    scales: Sequence[Scales] = (),
    error_map: Path | None = None,
) -> None:
    """Denoise one file into another, strip by strip.

    Args:
        rows: the file.
        models: of each page, as `models_of` returns them.
        target: the file to write.
        strength: as for `at_strength`.
        overwrite: whether the outputs may exist.
        quality: of lossy formats, 1 to 100.
        progress: called with the fraction that is done.
        before_commit: as for `atomic_write`.
        errors: estimate the expected error of each page, for `error_map`.
        scales: of each page of the error map, as `error_maps.page_scales` returns them.
        error_map: the file for a map of the expected error; None for no map.

    Raises:
        UnnoiseError: the file is damaged, or an output cannot be written; then nothing is written.
    """
    strips = denoised_strips(rows, models, strength, progress, errors, scales)
    with contextlib.ExitStack() as stack:
        put = stack.enter_context(
            stream_writer.open_stream(
                rows.header, target, overwrite=overwrite, quality=quality, before_commit=before_commit
            )
        )
        put_map = None
        if error_map is not None:
            header = error_maps.map_header(rows.header, error_map.suffix)
            put_map = stack.enter_context(stream_writer.open_stream(header, error_map, overwrite=overwrite))
        for samples, error in strips:
            if put_map is not None and error_map is not None and error is not None:
                put_map(error_maps.to_samples(error, error_map.suffix))
            put(samples)
            del samples, error  # before the next strip is computed
    progress(1.0)


def write_zero_map(header: Header, target: Path, *, overwrite: bool = False) -> None:
    """Write the error map of an image that is left as it is."""
    map_header = error_maps.map_header(header, target.suffix)
    heights = (min(TILE, header.height - top) for top in range(0, header.height, TILE))
    strips = (np.zeros((height, header.width), map_header.dtype) for height in heights)
    stream_writer.write_stream(strips, map_header, target, overwrite=overwrite)


def denoised_strips(
    rows: RowReader,
    models: PageModels,
    strength: float,
    progress: Callable[[float], None],
    errors: ByPage[ErrorEstimator] | None,
    scales: Sequence[Scales],
) -> Iterator[Strip]:
    """Yield the strips of a denoised file, with their expected errors; the arguments are those of `denoise_stream`."""
    header = rows.header
    height = header.height // header.pages
    for page in range(header.pages):
        top = page * height  # rows of the pages before
        denoiser, sigma = models[page]
        estimator = None if errors is None else errors[page]
        size = tile_size(header, denoiser.multiple_of, denoiser.tile)
        further = 0 if errors is None else ErrorEstimator.reach
        reach = tiling.OVERLAP if denoiser.halo is None else denoiser.halo + further
        margin = reach + -reach % denoiser.multiple_of
        tiles = list(tiling.tiles(height, header.width, size=size, halo=margin, multiple_of=denoiser.multiple_of))
        share = 0.0 if sigma is not None and not np.any(sigma) else strength

        def denoise(
            noisy: np.ndarray, tile: Tile, page: int = page, top: int = top, model: Model = (denoiser, sigma),
            share: float = share, estimator: ErrorEstimator | None = estimator,
        ) -> Strip:  # fmt: skip
            clean = at_strength(noisy, model[0](noisy, model[1]), share) if share else noisy
            if share:
                clean = add_grain(model[0], noisy, clean, (top + tile.outer[0].start, tile.outer[1].start))
            lines, columns = tile.inner
            done = (top + lines.start) * header.width + (lines.stop - lines.start) * columns.stop
            progress(done / (header.height * header.width))
            return clean, None if estimator is None else estimator(noisy, clean, scales[page])

        strips = bands(rows, top, tiles)
        if denoiser.halo is not None:
            yield from _cut(strips, denoise, header.layout)
        else:
            yield from _blend(strips, denoise, header.layout, margin, height)


def tile_size(header: Header, multiple_of: int, longest: int | None = None) -> int:
    """Return the longest side of the tiles of an image on a grid, without their margin; `longest` is a bound on it."""
    return max(multiple_of, min(TILE, longest or TILE, STRIP_BYTES * header.height // header.size))


def bands(rows: RowReader, above: int, tiles: list[Tile]) -> Iterator[_Band]:
    """Yield each row of tiles of a page, with the samples of its outer rows; `above` are the rows of earlier pages."""
    held, top = rows.read_rows(above, above), 0
    for _, row in itertools.groupby(tiles, key=lambda tile: tile.inner[0].start):
        strip = list(row)
        outer = strip[0].outer[0]
        have = top + len(held) - outer.start
        taller = np.empty((outer.stop - outer.start, *held.shape[1:]), held.dtype)
        taller[:have] = held[len(held) - have :]
        held, top = taller, outer.start  # the rows above are freed before further ones are read
        for start in range(have, len(held), _ROWS):
            stop = min(start + _ROWS, len(held))
            held[start:stop] = rows.read_rows(above + top + start, above + top + stop)
        yield strip, held


def _cut(bands: Iterator[_Band], denoise: _Denoise, layout: Layout) -> Iterator[Strip]:
    """Denoise tiles and put them next to each other, without their margins."""
    for strip, held in bands:
        inner = strip[0].inner[0]
        result = np.empty((inner.stop - inner.start, *held.shape[1:]), held.dtype)
        expected: np.ndarray | None = None
        for tile in strip:
            noisy = from_samples(held[:, tile.outer[1]], {}, layout)
            clean, error = denoise(noisy.pixels, tile)
            result[:, tile.inner[1]] = noisy.with_pixels(clean).samples()[tile.crop]
            if error is not None:
                expected = np.empty(result.shape[:2], np.float32) if expected is None else expected
                expected[:, tile.inner[1]] = error[tile.crop]
        yield result, expected
        del held, result, expected


def _blend(bands: Iterator[_Band], denoise: _Denoise, layout: Layout, overlap: int, height: int) -> Iterator[Strip]:
    """Denoise tiles and blend them, errors too; rows are complete once no tile below reaches them."""
    carried, carried_error = np.empty((0, 1, 1), np.float32), np.empty((0, 1), np.float32)
    for strip, held in bands:
        noisy = from_samples(held, {}, layout)
        blend = np.zeros_like(noisy.pixels)
        blend[: len(carried)] = carried
        expected: np.ndarray | None = None
        for tile in strip:
            columns, weight = tile.outer[1], tile.weight(overlap)
            clean, error = denoise(noisy.pixels[:, columns], tile)
            blend[:, columns] += weight * clean
            if error is not None:
                if expected is None:
                    expected = np.zeros(blend.shape[:2], np.float32)
                    expected[: len(carried_error)] = carried_error
                expected[:, columns] += weight[:, :, 0] * error
        inner, outer = strip[0].inner[0], strip[0].outer[0]
        ready = len(held) if inner.stop == height else max(inner.stop - overlap, 0) - outer.start
        if ready:
            result = from_samples(held[:ready], {}, layout).with_pixels(blend[:ready]).samples()
            yield result, None if expected is None else expected[:ready]
            del result
        carried = blend[ready:].copy()
        if expected is not None:
            carried_error = expected[ready:].copy()
        del held, noisy, blend, expected


def at_strength(noisy: np.ndarray, clean: np.ndarray, strength: float) -> np.ndarray:
    """Interpolate from the noisy image (0) to its result (1) and beyond; non-finite values stay."""
    if strength == 1:
        return clean
    with np.errstate(invalid="ignore"):
        moved = noisy + np.float32(strength) * (clean - noisy)
    return np.where(np.isfinite(noisy), moved, noisy)
