"""Images named by a CSV file."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from unnoise.datasets.base import Dataset, find, read_stored, split_part
from unnoise.errors import UnnoiseError

NOISY, CLEAN, PART = "noisy", ("clean", "image", "path", "file"), "part"


class CsvList(Dataset):
    """The images that a CSV file names, a row each; pairs where it has a column `noisy`.

    The columns are `clean`, `image`, `path` or `file` for the images, `noisy` for noisy ones, and `part`; others are
    ignored. Paths are relative to the file. Images are read once and kept in memory in their stored data type.

    Args:
        path: "FILE.csv", or "FILE.csv#train" for the rows with this `part`.
        channels: 1 or 3 to convert; None keeps the channels.
        exclude: not supported: leave the rows out.

    Raises:
        UnnoiseError: the file cannot be read, has no column of images, or names an image that does not exist.
    """

    def __init__(self, path: str, *, channels: int | None = None, exclude: str | None = None) -> None:
        if exclude:
            raise UnnoiseError("exclude is for folders of files: leave the rows out of the CSV file")
        place, _, part = path.partition("#")
        self.path, self.channels = find(place), channels
        rows, columns = _read(self.path)
        clean = next((name for name in CLEAN if name in columns), None)
        if clean is None:
            raise UnnoiseError(f"'{self.path}' has no column of images: name one {', '.join(CLEAN)}")
        if part:
            if PART not in columns:
                raise UnnoiseError(f"'{self.path}' has no column '{PART}'")
            split_part(f"#{part}", sorted({row[PART] for row in rows}))
            rows = [row for row in rows if row[PART] == part]
        if not rows:
            raise UnnoiseError(f"'{self.path}' has no rows")
        names = [NOISY, clean] if NOISY in columns else [clean]
        self.rows = [tuple(self._existing(row, name) for name in names) for row in rows]
        self._stored: dict[int, np.ndarray | tuple[np.ndarray, np.ndarray]] = {}

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def __getitem__(self, index: int) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Return (noisy, clean), or a clean image, in their stored data types, `[H, W, C]`.

        Raises:
            UnnoiseError: an image cannot be read, or the two of a pair differ in size or channels.
        """
        if index not in self._stored:
            pictures = [read_stored(path, self.channels) for path in self.rows[index]]
            if len({one.shape for one in pictures}) > 1:
                shapes = " and ".join(str(one.shape) for one in pictures)
                raise UnnoiseError(f"{self.label(index)}: the images of the pair differ in shape, {shapes}")
            self._stored[index] = (pictures[0], pictures[1]) if len(pictures) == 2 else pictures[0]
        return self._stored[index]

    def label(self, index: int) -> str:
        """Return the path of the first image of a row, relative to the file where it is below it."""
        path = self.rows[index][0]
        return str(path.relative_to(self.path.parent)) if path.is_relative_to(self.path.parent) else str(path)

    def _existing(self, row: dict[str, str], column: str) -> Path:
        text = (row[column] or "").strip()
        path = self.path.parent / text
        if not text or not path.is_file():
            raise UnnoiseError(f"'{self.path}', line {row['']}: no file '{text}' in the column '{column}'")
        return path


def _read(path: Path) -> tuple[list[dict[str, str]], list[str]]:
    """Return the rows, the number of the line under "", and the names of the columns."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="")
            columns = [name.strip() for name in reader.fieldnames or []]
            reader.fieldnames = columns
            return [{**row, "": str(reader.line_num)} for row in reader], columns
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnnoiseError(f"cannot read '{path}': it is not a CSV file in UTF-8") from error
