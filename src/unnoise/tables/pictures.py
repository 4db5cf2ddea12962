"""Verbs that make pictures: build a table of files, add noise, resize."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pyarrow as pa
from skimage import transform

from unnoise import io, noise as noises
from unnoise.datasets.base import find, list_pictures
from unnoise.datasets.table import NAME, NOISY, Rows, clean_column, decode
from unnoise.errors import UnnoiseError
from unnoise.io import Picture
from unnoise.noise import Noise
from unnoise.tables.base import IMAGE, Outcome, Row, WriteOptions, cell, label, rewrite_rows


def build(
    folders: str | Path | Iterable[str | Path],
    target: str | Path,
    *,
    column: str = "image",
    exclude: str | None = None,
    **how: Unpack[WriteOptions],
) -> Outcome:
    """Make a table of the pictures in folders and their sub-folders, sorted by path.

    Args:
        folders: one or several, or single pictures; see `datasets.find` for where they may lie.
        target: the table, `.parquet`.
        column: of the pictures. Their names are their paths inside the folder, without suffix.
        exclude: text file of pictures to leave out, one path a line, relative to the file.
        **how: see `How`.

    Raises:
        UnnoiseError: no folder, no picture, or none that can be used; or the target cannot be written.
    """
    named = [folders] if isinstance(folders, str | Path) else folders
    places = [find(str(folder)) for folder in named]
    files = [(path, _name(path, place)) for place in places for path in list_pictures(place, exclude)]
    count = Counter(name for _, name in files)

    def change(number: int, row: Row) -> Row:
        path, name = files[number]
        if count[name] > 1:
            raise UnnoiseError(f"{path}: {count[name]} pictures have this name: rename the files")
        return {column: cell(io.read(path), name)}

    note = f"built from {', '.join(place.name for place in places)}"
    return rewrite_rows(_Names([name for _, name in files]), target, change, {column: IMAGE}, note, how)


def add(
    table: str | Path,
    target: str | Path,
    noise: str | Noise,
    *,
    source: str | None = None,
    column: str = NOISY,
    seed: int = 0,
    **how: Unpack[WriteOptions],
) -> Outcome:
    """Add a column of noisy pictures.

    Args:
        table: what is read.
        target: what is written.
        noise: a spec, such as "salt-pepper:0.1".
        source: column of the clean pictures; None for the one called clean, else image, else the only one.
        column: of the noisy pictures.
        seed: of the noise; that of a row is seeded by (seed, its number), as in `evaluate`.
        **how: see `How`.

    Raises:
        UnnoiseError: the table cannot be read, or has no such column, or the new one already; no row can be used; the
            noise cannot be made; or the target cannot be written.
    """
    made = noises.make(noise)
    with Rows(table) as rows:
        clean = rows.picture(source) if source else clean_column(rows.schema, rows.path)

        def change(number: int, row: Row) -> Row:
            picture = decode(row[clean])
            noisy = made(picture.pixels, np.random.default_rng((seed, number)))
            return {column: cell(picture.with_pixels(noisy), label(number, row))}

        note = f"{column}: {made} added to {clean}, seed {seed}"
        return rewrite_rows(rows, target, change, {column: IMAGE}, note, how)


def resize(
    table: str | Path, target: str | Path, width: int, height: int | None = None, **how: Unpack[WriteOptions]
) -> Outcome:
    """Bring all pictures to one size; their proportions are not kept.

    Do it before noise is added: what resizing smooths is another noise.

    Args:
        table: what is read.
        target: what is written.
        width: in pixels.
        height: in pixels; None for squares.
        **how: see `How`.

    Raises:
        UnnoiseError: as `add`, or a size below 1.
    """
    tall = width if height is None else height
    if min(width, tall) < 1:
        raise UnnoiseError(f"{width}x{tall} is no size: take whole numbers of at least 1")
    with Rows(table) as rows:

        def change(number: int, row: Row) -> Row:
            name = label(number, row)
            return {column: cell(_resized(decode(row[column]), tall, width), name) for column in rows.pictures}

        fields, note = dict.fromkeys(rows.pictures, IMAGE), f"resized to {width}x{tall}"
        return rewrite_rows(rows, target, change, fields, note, how, replacing=True)


class _Names:
    """Rows that have but a name, as a source."""

    def __init__(self, names: list[str]) -> None:
        self.path = None
        self.pictures: list[str] = []
        self.schema: Any = pa.schema([(NAME, pa.string())])
        self.numbers, self._names = np.arange(len(names)), names

    def batches(self) -> Iterator[tuple[np.ndarray, Any]]:
        """Yield the numbers of a few rows, and their names."""
        for start in range(0, len(self.numbers), 16):
            numbers = self.numbers[start : start + 16]
            names = pa.array([self._names[number] for number in numbers], pa.string())
            yield numbers, pa.record_batch([names], schema=self.schema)

    def narrow(self, numbers: np.ndarray) -> None:
        """Leave but these rows."""
        self.numbers = numbers


def _name(path: Path, folder: Path) -> str:
    """Name a picture: its path inside the folder that was named, without suffix."""
    return path.stem if path == folder else path.relative_to(folder).with_suffix("").as_posix()


def _resized(picture: Picture, height: int, width: int) -> Picture:
    """Bring a picture to a size: linear, smoothed before it shrinks."""

    def fit(samples: np.ndarray) -> np.ndarray:
        shape = height, width
        return np.asarray(transform.resize(samples, shape, order=1, anti_aliasing=True, preserve_range=True))

    alpha = picture.alpha
    if alpha is not None:
        alpha = np.rint(fit(alpha)).astype(alpha.dtype)
    return dataclasses.replace(picture, pixels=fit(picture.pixels).astype(np.float32), alpha=alpha, file=None)
