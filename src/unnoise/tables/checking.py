"""The verb that looks at everything and changes nothing."""

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

_TOLD = 3  # so many sizes are told one by one


@dataclass(frozen=True)
class Column:
    """What a column of pictures holds; each kind with its count in brackets, the commonest first.

    Attributes:
        column: its name.
        pictures: how many can be read.
        sizes: width x height in pixels.
        channels: 1 or 3.
        bits: of a sample.
    """

    column: str
    pictures: int
    sizes: str
    channels: str
    bits: str


@dataclass(frozen=True)
class Check:
    """What `check` found.

    Attributes:
        rows: how many there are.
        columns: what the columns of pictures hold.
        bad: what makes a row useless: a picture that is not there or cannot be read, pictures of different size, a name
            that is missing or stands twice.
        odd: what is worth a look: other channels or bits than most pictures of the column have, transparency, one value
            all over, the same picture twice.
        notes: how the table was made, a line per verb.
    """

    rows: int
    columns: list[Column]
    bad: list[RowIssue]
    odd: list[RowIssue]
    notes: list[str]


def check(table: str | Path, *, progress: Callable[[str], None] = silent) -> Check:
    """Read every picture of a table; say of what kinds they are, and what is bad or odd.

    Args:
        table: what is read.
        progress: called with a line per row.

    Raises:
        UnnoiseError: the table cannot be read.
    """
    found = _Found()
    with Rows(table) as rows:
        for done, (number, row) in enumerate(rows.each(rows.present(NAME, *rows.pictures)), start=1):
            found.look(label(number, row), row, rows.pictures)
            progress(f"{done} of {len(rows.numbers)}")
        columns = [found.column(name) for name in rows.pictures]
        return Check(len(rows.numbers), columns, found.bad, found.odd + found.outliers(), notes(rows.schema))


class _Found:
    """What was found so far.

    Attributes:
        bad: as in `Check`.
        odd: as in `Check`.
    """

    def __init__(self) -> None:
        self.bad: list[RowIssue] = []
        self.odd: list[RowIssue] = []
        self._names: set[str] = set()
        self._first: dict[bytes, str] = {}  # digest of a picture -> where it was seen first
        self._shapes: dict[str, Counter[tuple[int, ...]]] = {}
        self._bits: dict[str, dict[tuple[int, int], list[str]]] = {}  # column -> (channels, bits) -> rows

    def look(self, row: str, cells: Mapping[str, Any], columns: list[str]) -> None:
        """Look at a row."""
        if NAME in cells:
            if not cells[NAME] or cells[NAME] in self._names:
                self.bad.append(RowIssue(row, "the name stands twice" if cells[NAME] else "no name"))
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
            self._look_at(row, column, pictures[column])
        try:
            check_sizes(pictures)
        except UnnoiseError as error:
            self.bad.append(RowIssue(row, str(error)))

    def _look_at(self, row: str, column: str, picture: np.ndarray) -> None:
        height, width, channels = picture.shape
        self._shapes.setdefault(column, Counter())[width, height] += 1
        self._bits.setdefault(column, {}).setdefault((channels, 8 * picture.itemsize), []).append(row)
        if picture.min() == picture.max():
            self.odd.append(RowIssue(row, f"{column} is one value all over"))
        digest = hashlib.blake2b(picture.tobytes() + str(picture.shape).encode(), digest_size=16).digest()
        if digest in self._first:
            self.odd.append(RowIssue(row, f"{column} is the same picture as {self._first[digest]}"))
        self._first.setdefault(digest, f"{column} of {row}")

    def column(self, name: str) -> Column:
        """Sum up a column."""
        shapes, kinds = self._shapes.get(name, Counter()), self._bits.get(name, {})
        channels: Counter[int] = Counter()
        bits: Counter[int] = Counter()
        for kind, rows in kinds.items():
            channels[kind[0]] += len(rows)
            bits[kind[1]] += len(rows)
        return Column(name, shapes.total(), _sizes(shapes), _counts(channels), _counts(bits))

    def outliers(self) -> list[RowIssue]:
        """Return the pictures whose channels or bits are not those of most in their column."""
        found = []
        for column, kinds in self._bits.items():
            most = max(kinds, key=lambda kind: len(kinds[kind]))
            for (channels, bits), rows in kinds.items():
                if (channels, bits) != most:
                    text = f"{column} has {channels} channels of {bits} bits, most have {most[0]} of {most[1]}"
                    found += [RowIssue(row, text) for row in rows]
        return found


def _sizes(shapes: Counter[tuple[int, ...]]) -> str:
    if len(shapes) <= _TOLD:
        return _counts(Counter({f"{width}x{height}": count for (width, height), count in shapes.items()}))
    ordered = sorted(shapes, key=lambda size: size[0] * size[1])
    smallest, largest = (f"{width}x{height}" for width, height in (ordered[0], ordered[-1]))
    return f"{len(shapes)} sizes, {smallest} to {largest}"


def _counts(kinds: Counter[Any]) -> str:
    return ", ".join(f"{kind} ({count})" for kind, count in kinds.most_common()) or "-"
