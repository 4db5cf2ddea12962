"""Check of a table: what it contains, and what is wrong with it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unnoise.datasets.table import NAME, Rows, check_sizes, decode, stored
from unnoise.errors import UnnoiseError
from unnoise.tables.base import RowIssue, label, notes, silent

_MAX_SIZES = 3  # largest number of sizes that are listed one by one


@dataclass(frozen=True)
class Column:
    """Contents of a column of images; kinds are listed with their counts, the most frequent first.

    Attributes:
        column: name of the column.
        pictures: number of readable images.
        sizes: width x height in pixels.
        channels: 1 or 3.
        bits: bits per sample.
    """

    column: str
    pictures: int
    sizes: str
    channels: str
    bits: str


@dataclass(frozen=True)
class Check:
    """The result of `check`.

    Attributes:
        rows: number of rows.
        columns: contents of the columns of images.
        bad: rows that cannot be used: a missing or unreadable image, images of different size, a missing or duplicate
            name.
        odd: rows to look at: other channels or bits than most images of the column, transparency, a constant image, a
            duplicate image.
        notes: how the table was made, a line per command.
    """

    rows: int
    columns: list[Column]
    bad: list[RowIssue]
    odd: list[RowIssue]
    notes: list[str]


def check(table: str | Path, *, progress: Callable[[str], None] = silent) -> Check:
    """Read every image of a table; return their kinds, and the rows that are bad or odd.

    Args:
        table: the table.
        progress: called with a line per row.

    Raises:
        UnnoiseError: the table cannot be read.
    """
    state = _CheckState()
    with Rows(table) as rows:
        for done, (number, row) in enumerate(rows.each(rows.present(NAME, *rows.pictures)), start=1):
            state.add(label(number, row), row, rows.pictures)
            progress(f"{done} of {len(rows.numbers)}")
        columns = [state.column(name) for name in rows.pictures]
        return Check(len(rows.numbers), columns, state.bad, state.odd + state.outliers(), notes(rows.schema))


class _CheckState:
    """The rows that were checked so far.

    Attributes:
        bad: see `Check`.
        odd: see `Check`.
    """

    def __init__(self) -> None:
        self.bad: list[RowIssue] = []
        self.odd: list[RowIssue] = []
        self._names: set[str] = set()
        self._first: dict[bytes, str] = {}  # digest of an image -> where it occurs first
        self._shapes: dict[str, Counter[tuple[int, ...]]] = {}
        self._bits: dict[str, dict[tuple[int, int], list[str]]] = {}  # column -> (channels, bits) -> rows

    def add(self, row: str, cells: Mapping[str, Any], columns: list[str]) -> None:
        """Check a row."""
        if NAME in cells:
            if not cells[NAME] or cells[NAME] in self._names:
                self.bad.append(RowIssue(row, "duplicate name" if cells[NAME] else "no name"))
            self._names.add(cells[NAME])
        pictures: dict[str, np.ndarray] = {}
        for column in columns:
            try:
                picture = decode(cells[column])
            except UnnoiseError as error:
                self.bad.append(RowIssue(row, f"{column}: {error}"))
                continue
            pictures[column] = stored(picture)
            if picture.alpha is not None:
                self.odd.append(RowIssue(row, f"{column} has transparency"))
            self._add_image(row, column, pictures[column])
        try:
            check_sizes(pictures)
        except UnnoiseError as error:
            self.bad.append(RowIssue(row, str(error)))

    def _add_image(self, row: str, column: str, picture: np.ndarray) -> None:
        height, width, channels = picture.shape
        self._shapes.setdefault(column, Counter())[width, height] += 1
        self._bits.setdefault(column, {}).setdefault((channels, 8 * picture.itemsize), []).append(row)
        if picture.min() == picture.max():
            self.odd.append(RowIssue(row, f"{column} is constant"))
        digest = hashlib.blake2b(picture.tobytes() + str(picture.shape).encode(), digest_size=16).digest()
        if digest in self._first:
            self.odd.append(RowIssue(row, f"{column} is the same image as {self._first[digest]}"))
        self._first.setdefault(digest, f"{column} of {row}")

    def column(self, name: str) -> Column:
        """Summarize a column."""
        shapes, kinds = self._shapes.get(name, Counter()), self._bits.get(name, {})
        channels: Counter[int] = Counter()
        bits: Counter[int] = Counter()
        for kind, rows in kinds.items():
            channels[kind[0]] += len(rows)
            bits[kind[1]] += len(rows)
        return Column(name, shapes.total(), _sizes(shapes), _counts(channels), _counts(bits))

    def outliers(self) -> list[RowIssue]:
        """Return the images whose channels or bits differ from most of their column."""
        issues = []
        for column, kinds in self._bits.items():
            most = max(kinds, key=lambda kind: len(kinds[kind]))
            for (channels, bits), rows in kinds.items():
                if (channels, bits) != most:
                    text = f"{column} has {channels} channels of {bits} bits, most have {most[0]} of {most[1]}"
                    issues += [RowIssue(row, text) for row in rows]
        return issues


def _sizes(shapes: Counter[tuple[int, ...]]) -> str:
    if len(shapes) <= _MAX_SIZES:
        return _counts(Counter({f"{width}x{height}": count for (width, height), count in shapes.items()}))
    ordered = sorted(shapes, key=lambda size: size[0] * size[1])
    smallest, largest = (f"{width}x{height}" for width, height in (ordered[0], ordered[-1]))
    return f"{len(shapes)} sizes, {smallest} to {largest}"


def _counts(kinds: Counter[Any]) -> str:
    return ", ".join(f"{kind} ({count})" for kind, count in kinds.most_common()) or "-"
