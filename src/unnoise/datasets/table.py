"""Image tables: Parquet files with columns of images, in the layout of Hugging Face `datasets`.

An image is a `struct<bytes: binary, path: string>`: the bytes of an image file and its name. Other columns are `name`
and, once the table is split, `part`. `unnoise.tables` writes such tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unnoise import io
from unnoise.datasets.base import Dataset, find, split_part, with_channels
from unnoise.errors import UnnoiseError
from unnoise.io import Picture
from unnoise.optional import require
from unnoise.spec import unknown

NAME, PART, NOISY, CLEAN = "name", "part", "noisy", ("clean", "image")
_BATCH = 16  # rows that are read at once


class Table(Dataset):
    """The pairs of a table, or its clean images if it has only one column of images.

    Noisy images are in the column `noisy`, clean ones in `clean` or else in `image`. Row groups are read when they are
    needed; decoded images stay in memory, so the part must fit into it.

    Args:
        path: "FILE.parquet", or "FILE.parquet#train" for one part.
        channels: 1 or 3 to convert; None keeps the channels.
        exclude: not supported: leave images out when the table is built.

    Raises:
        UnnoiseError: the file or part does not exist, it is not Parquet, or the column of clean images is unclear.
    """

    def __init__(self, path: str, *, channels: int | None = None, exclude: str | None = None) -> None:
        if exclude:
            raise UnnoiseError("exclude is for folders of files: leave images out when the table is built")
        self.path, self.channels = path, channels
        with Rows(path) as rows:
            clean = clean_column(rows.schema, rows.path)
            self.columns = [NOISY, clean] if NOISY in rows.pictures else [clean]
            self._groups = rows.groups()
            self._labels = [f"row {number}" for number in rows.numbers]
            if NAME in rows.schema.names:
                self._labels = [str(row[NAME]) for _, row in rows.each([NAME])]
        self._stored: dict[int, np.ndarray | tuple[np.ndarray, np.ndarray]] = {}

    def __len__(self) -> int:
        """Return the number of rows of the part."""
        return len(self._groups)

    def __getitem__(self, index: int) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Return (noisy, clean), or a clean image, in their stored data types, `[H, W, C]`.

        Raises:
            UnnoiseError: an image cannot be read, or the two of a pair differ in size or channels.
        """
        if index not in self._stored:
            self._read_group(self._groups[index][0])
        return self._stored[index]

    def label(self, index: int) -> str:
        """Return the name of a row, or its number if the table has no names."""
        return self._labels[index]

    def _read_group(self, wanted: int) -> None:
        """Decode the part's rows of one row group."""
        with Rows(self.path) as rows:
            cells = rows.group(wanted, self.columns)
        for index, (group, place) in enumerate(self._groups):
            if group != wanted:
                continue
            try:
                pictures = [stored(decode(cells[name][place].as_py()), self.channels) for name in self.columns]
                check_sizes(dict(zip(self.columns, pictures, strict=True)))
            except UnnoiseError as error:
                raise UnnoiseError(f"{self.path}, {self.label(index)}: {error}") from error
            self._stored[index] = (pictures[0], pictures[1]) if len(pictures) == 2 else pictures[0]


class Rows:
    """The rows of a table or of one part, read a few at a time; close it like a file.

    One row group of the file is in memory at a time.

    Args:
        table: "FILE.parquet", or "FILE.parquet#train" for one part.

    Attributes:
        path: the file.
        schema: its Arrow schema.
        numbers: numbers of the rows of the part in the file, in order.
        pictures: names of the columns of images.

    Raises:
        UnnoiseError: pyarrow is not installed; the file or part does not exist, is not Parquet, or has no column of
            images or no rows.
    """

    def __init__(self, table: str | Path) -> None:
        place, _, part = str(table).partition("#")
        self.path = find(place)
        self._arrow = require("pyarrow", extra="tables")
        parquet = require("pyarrow.parquet", extra="tables")
        try:  # pre-buffering would load the whole file
            self._file: Any = parquet.ParquetFile(self.path, pre_buffer=False, buffer_size=1 << 20)
        except (OSError, self._arrow.ArrowException) as error:
            raise UnnoiseError(f"cannot read '{self.path}': it is not a Parquet file, or damaged") from error
        self.schema: Any = self._file.schema_arrow
        self.pictures = image_columns(self.schema)
        if not self.pictures:
            raise UnnoiseError(f"'{self.path}' has no column of images: their type is struct<bytes, path>")
        self.numbers = self._of_part(part)

    def __enter__(self) -> Rows:
        """Return itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the file."""
        self._file.close()

    def batches(self, columns: list[str] | None = None) -> Iterator[tuple[np.ndarray, Any]]:
        """Yield the numbers of a few rows and an Arrow batch of them, of all columns or some."""
        starts = self._starts()
        wanted = np.diff(np.searchsorted(self.numbers, starts)) > 0  # row groups with some of the rows
        ahead = np.flatnonzero(np.repeat(wanted, np.diff(starts)))  # all rows of these groups
        done = 0
        for batch in self._file.iter_batches(
            batch_size=_BATCH, row_groups=np.flatnonzero(wanted).tolist(), columns=columns
        ):
            numbers = ahead[done : done + batch.num_rows]
            places = np.flatnonzero(np.isin(numbers, self.numbers, assume_unique=True))
            if len(places):
                yield numbers[places], batch.take(self._arrow.array(places))
            done += batch.num_rows

    def narrow(self, numbers: np.ndarray) -> None:
        """Keep only these rows, a contiguous part of `numbers`; other row groups are not read."""
        self.numbers = numbers

    def each(self, columns: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the number of a row and its cells, row by row."""
        for numbers, batch in self.batches(columns):
            yield from zip(numbers.tolist(), batch.to_pylist(), strict=True)

    def group(self, number: int, columns: list[str] | None = None) -> Any:
        """Read a whole row group as an Arrow table."""
        return self._file.read_row_group(number, columns=columns)

    def groups(self) -> list[tuple[int, int]]:
        """Return the row group of each row of the part, and its position in the group."""
        starts = self._starts()
        found = np.searchsorted(starts, self.numbers, side="right") - 1
        return list(zip(found.tolist(), (self.numbers - starts[found]).tolist(), strict=True))

    def _starts(self) -> np.ndarray:
        """Return the number of the first row of each row group, and the total number of rows."""
        metadata = self._file.metadata
        return np.cumsum([0, *(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))])

    def present(self, *columns: str) -> list[str]:
        """Return those of the columns that exist."""
        return [name for name in columns if name in self.schema.names]

    def picture(self, column: str) -> str:
        """Check that a column contains images and return its name.

        Raises:
            UnnoiseError: it does not.
        """
        if column not in self.pictures:
            raise UnnoiseError(f"'{self.path}': {unknown('column of images', column, self.pictures)}")
        return column

    def _of_part(self, part: str) -> np.ndarray:
        total = self._file.metadata.num_rows
        if not total:
            raise UnnoiseError(f"the table '{self.path}' has no rows")
        if part in ("", "all"):
            return np.arange(total)
        if PART not in self.schema.names:
            raise UnnoiseError(f"'{self.path}' has no part '{part}': split it first with `unnoise table split`")
        parts = [str(one) for one in self._file.read(columns=[PART])[PART].to_pylist()]
        split_part(f"#{part}", sorted(set(parts)))
        return np.flatnonzero(np.array(parts) == part)


def image_columns(schema: Any) -> list[str]:
    """Return the names of the columns of images in an Arrow schema."""
    types = require("pyarrow.types", extra="tables")
    binary = (types.is_binary, types.is_large_binary, types.is_binary_view)
    return [
        field.name
        for field in schema
        if types.is_struct(field.type)
        and {inner.name for inner in field.type} == {"bytes", "path"}
        and any(kind(field.type.field("bytes").type) for kind in binary)
    ]


def clean_column(schema: Any, path: str | Path) -> str:
    """Return the column of clean images: `clean`, else `image`, else the only one that is not `noisy`.

    Raises:
        UnnoiseError: there is none.
    """
    columns = image_columns(schema)
    candidates = [name for name in CLEAN if name in columns] or (columns if len(columns) == 1 else [])
    if not candidates or candidates[0] == NOISY:
        raise UnnoiseError(f"'{path}' has images in {', '.join(columns)}: rename the column of the clean ones to clean")
    return candidates[0]


def decode(cell: Mapping[str, Any] | None) -> Picture:
    """Decode the image in a cell.

    Raises:
        UnnoiseError: the cell is empty, holds only the path of a file, or cannot be decoded.
    """
    if cell is None or not cell["bytes"]:
        raise UnnoiseError("no image" if cell is None or not cell["path"] else "the path of an image without its bytes")
    return io.read(cell["bytes"])


def stored(picture: Picture, channels: int | None = None) -> np.ndarray:
    """Return the samples of an image without alpha in their stored data type; see `with_channels`."""
    return with_channels(picture.samples()[:, :, picture.layout.channels], channels)


def check_sizes(pictures: Mapping[str, np.ndarray]) -> None:
    """Raise UnnoiseError unless images, by column name, have the same size and channels."""
    if len({picture.shape for picture in pictures.values()}) > 1:
        sizes = [f"{name} is {one.shape[1]}x{one.shape[0]}x{one.shape[2]}" for name, one in pictures.items()]
        raise UnnoiseError(f"sizes differ: {', '.join(sizes)}")
