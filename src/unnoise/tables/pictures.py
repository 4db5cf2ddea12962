"""Commands that create images: build a table from files, add noise, resize."""

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
    **options: Unpack[WriteOptions],
) -> Outcome:
    """Build a table from the images in folders and their sub-folders, sorted by path.

    Args:
        folders: one or several folders or image files, relative to the working directory or the data root.
        target: the table, `.parquet`.
        column: name of the column of images. Names of the rows are the paths in the folder, without suffix.
        exclude: text file of images to leave out, one path a line, relative to the file.
        **options: see `WriteOptions`.

    Raises:
        UnnoiseError: there are no images, none can be used, or the target cannot be written.
    """
    named = [folders] if isinstance(folders, str | Path) else folders
    places = [find(str(folder)) for folder in named]
    files = [(path, _name(path, place)) for place in places for path in list_pictures(place, exclude)]
    count = Counter(name for _, name in files)

    def change(number: int, row: Row) -> Row:
        path, name = files[number]
        if count[name] > 1:
            raise UnnoiseError(f"{path}: {count[name]} images have this name: rename the files")
        return {column: cell(io.read(path), name)}

    note = f"built from {', '.join(place.name for place in places)}"
    return rewrite_rows(_Names([name for _, name in files]), target, change, {column: IMAGE}, note, options)


def add(
    table: str | Path,
    target: str | Path,
    noise: str | Noise,
    *,
    source: str | None = None,
    column: str = NOISY,
    seed: int = 0,
    **options: Unpack[WriteOptions],
) -> Outcome:
    """Add a column of noisy images.

    Args:
        table: the input.
        target: the output.
        noise: noise spec, such as "salt-pepper:0.1".
        source: column of the clean images; None for `clean`, else `image`, else the only one.
        column: name of the column of noisy images.
        seed: seed of the noise, which depends on (seed, number of the row), as in `evaluate`.
        **options: see `WriteOptions`.

    Raises:
        UnnoiseError: the table cannot be read, lacks the column or already has the new one; no row can be used; the
            noise spec is invalid; or the target cannot be written.
    """
    degradation = noises.make(noise)
    with Rows(table) as rows:
        clean = rows.picture(source) if source else clean_column(rows.schema, rows.path)

        def change(number: int, row: Row) -> Row:
            picture = decode(row[clean])
            noisy = degradation(picture.pixels, np.random.default_rng((seed, number)))
            return {column: cell(picture.with_pixels(noisy), label(number, row))}

        note = f"{column}: {degradation} added to {clean}, seed {seed}"
        return rewrite_rows(rows, target, change, {column: IMAGE}, note, options)


def resize(
    table: str | Path, target: str | Path, width: int, height: int | None = None, **options: Unpack[WriteOptions]
) -> Outcome:
    """Resize all images to one size; the aspect ratio is not kept.

    Resize before adding noise: resizing changes the noise.

    Args:
        table: the input.
        target: the output.
        width: in pixels.
        height: in pixels; None for squares.
        **options: see `WriteOptions`.

    Raises:
        UnnoiseError: as `add`, or a size below 1.
    """
    tall = width if height is None else height
    if min(width, tall) < 1:
        raise UnnoiseError(f"width and height must be at least 1, got {width}x{tall}")
    with Rows(table) as rows:

        def change(number: int, row: Row) -> Row:
            name = label(number, row)
            return {column: cell(_resized(decode(row[column]), tall, width), name) for column in rows.pictures}

        fields, note = dict.fromkeys(rows.pictures, IMAGE), f"resized to {width}x{tall}"
        return rewrite_rows(rows, target, change, fields, note, options, replacing=True)


class _Names:
    """Rows with only a name, as a source."""

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
        """Keep only these rows."""
        self.numbers = numbers


def _name(path: Path, folder: Path) -> str:
    """Return the path of an image in the folder, without suffix."""
    return path.stem if path == folder else path.relative_to(folder).with_suffix("").as_posix()


def _resized(picture: Picture, height: int, width: int) -> Picture:
    """Resize an image by linear interpolation, with anti-aliasing if it shrinks."""

    def fit(samples: np.ndarray) -> np.ndarray:
        shape = height, width
        return np.asarray(transform.resize(samples, shape, order=1, anti_aliasing=True, preserve_range=True))

    alpha = picture.alpha
    if alpha is not None:
        alpha = np.rint(fit(alpha)).astype(alpha.dtype)
    return dataclasses.replace(picture, pixels=fit(picture.pixels).astype(np.float32), alpha=alpha, file=None)
