"""Commands that keep the images: rename columns, merge two tables, split the rows into parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pyarrow as pa

from unnoise.datasets.table import NAME, PART, Rows, check_sizes, decode, stored
from unnoise.errors import UnnoiseError
from unnoise.spec import unknown
from unnoise.tables.base import Outcome, Row, RowIssue, WriteOptions, features, metadata, notes, rewrite_rows

SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}


def rename(table: str | Path, target: str | Path, names: Mapping[str, str], **options: Unpack[WriteOptions]) -> Outcome:
    """Rename columns.

    Args:
        table: the input.
        target: the output.
        names: old name -> new name.
        **options: see `WriteOptions`.

    Raises:
        UnnoiseError: the table cannot be read, lacks a column or already has the new one; or the target cannot be
            written.
    """
    with Rows(table) as rows:
        for old in names:
            _check_column(rows, old)
        note = ", ".join(f"{old} renamed to {new}" for old, new in names.items())
        return rewrite_rows(rows, target, lambda number, row: {}, {}, note, options, names=names)


def split(
    table: str | Path,
    target: str | Path,
    shares: Mapping[str, float] | None = None,
    *,
    seed: int = 0,
    **options: Unpack[WriteOptions],
) -> Outcome:
    """Add the column `part`, which assigns each row to a random part.

    Args:
        table: the input.
        target: the output.
        shares: part -> its share of the rows, with a sum of 1; row counts are rounded. The default is 0.8 train, 0.1
            validation and 0.1 test.
        seed: the same seed gives the same parts.
        **options: see `WriteOptions`.

    Raises:
        UnnoiseError: as `rename`; a share is not above 0, their sum is not 1, or a part is empty.
    """
    shares = SHARES if shares is None else shares
    if not shares or min(shares.values()) <= 0 or not abs(sum(shares.values()) - 1) < 1e-6:
        raise UnnoiseError("shares must be above 0 and have a sum of 1, such as train=0.9 validation=0.1")
    with Rows(table) as rows:
        ends = np.rint(np.cumsum(list(shares.values())) * len(rows.numbers)).astype(int)
        counts = np.diff(ends, prepend=0)
        if not counts.all():
            raise UnnoiseError(
                f"{len(rows.numbers)} rows are too few: the part '{list(shares)[int(counts.argmin())]}' is empty"
            )
        drawn = np.random.default_rng(seed).permutation(np.repeat(list(shares), counts))
        parts = dict(zip(rows.numbers.tolist(), drawn.tolist(), strict=True))
        note = f"split into {', '.join(f'{part} {share:g}' for part, share in shares.items())}, seed {seed}"
        return rewrite_rows(rows, target, lambda number, row: {PART: parts[number]}, {PART: pa.string()}, note, options)


def merge(
    left: str | Path, right: str | Path, target: str | Path, *, by: str = NAME, **options: Unpack[WriteOptions]
) -> Outcome:
    """Join the columns of two tables by the names of the rows, in the order of the left table.

    It is fastest if both have the same order: a row group of the right table is read whenever the partner of a row is
    in another group than the partner before.

    Args:
        left: a table, such as one of clean images.
        right: a table, such as one of noisy images; its other columns must have other names than those of `left`.
        target: the output.
        by: the column of the names.
        **options: see `WriteOptions`. Rows without a partner, duplicate names and unequal sizes are left out.

    Raises:
        UnnoiseError: as `rename`, or no row has a partner.
    """
    with Rows(left) as first, Rows(right) as second:
        rows = _Joined(first, second, by)

        def change(number: int, row: Row) -> Row:
            rows.check(row[by])
            check_sizes({name: stored(decode(row[name])) for name in rows.pictures})
            return {}

        return rewrite_rows(rows, target, change, {}, f"merged by {by}", options, by=by, others=rows.left_over())


class _Joined:
    """The joined rows of two tables as a source, with nulls for missing partners.

    The names of both tables and one row group of the right table are in memory.
    """

    def __init__(self, left: Rows, right: Rows, by: str) -> None:
        self._left, self._right, self._by = left, right, by
        for table in (left, right):
            _check_column(table, by)
        self._others = [name for name in right.schema.names if name != by]
        if both := [name for name in self._others if name in left.schema.names]:
            raise UnnoiseError(f"both tables have a column '{both[0]}': rename it in one of them first")
        self.path = left.path
        self.numbers, self.pictures = left.numbers, [*left.pictures, *right.pictures]
        known = features(left.schema) | features(right.schema)
        fields = [*left.schema, *(right.schema.field(name) for name in self._others)]
        self.schema: Any = pa.schema(fields, metadata(known, notes(left.schema) + notes(right.schema)))
        self._counts = [(table.path.name, Counter(row[by] for _, row in table.each([by]))) for table in (left, right)]
        self._places = dict(zip((row[by] for _, row in right.each([by])), right.groups(), strict=True))

    def batches(self) -> Iterator[tuple[np.ndarray, Any]]:
        """Yield the numbers of a few rows of the left table, and the joined rows."""
        group_read, group_rows = -1, self._right.group(0, self._others)
        alone = pa.table([pa.nulls(1, self.schema.field(name).type) for name in self._others], names=self._others)
        for numbers, batch in self._left.batches():
            partners = []
            for name in batch[self._by].to_pylist():
                if name not in self._places:
                    partners.append(alone)
                    continue
                group, place = self._places[name]
                if group_read != group:
                    group_read, group_rows = group, self._right.group(group, self._others)
                partners.append(group_rows.slice(place, 1))
            right = pa.concat_tables([one.replace_schema_metadata() for one in partners])
            columns = [right[name].combine_chunks() for name in self._others]
            yield numbers, pa.record_batch([*batch.columns, *columns], schema=self.schema)

    def narrow(self, numbers: np.ndarray) -> None:
        """Keep only these rows of the left table."""
        self.numbers = numbers
        self._left.narrow(numbers)

    def check(self, name: Any) -> None:
        """Raise UnnoiseError unless the name occurs once in each table."""
        for path, count in self._counts:
            if name in (None, ""):
                raise UnnoiseError("no name")
            if count[name] != 1:
                raise UnnoiseError(f"occurs {count[name]} times in {path}" if count[name] else f"no partner in {path}")

    def left_over(self) -> Iterator[RowIssue]:
        """Yield the rows of the right table that have no partner."""
        (path, left), (_, right) = self._counts
        yield from (RowIssue(str(name), f"no partner in {path}") for name in right if name not in left)


def _check_column(rows: Rows, name: str) -> None:
    if name not in rows.schema.names:
        raise UnnoiseError(f"'{rows.path}': {unknown('column', name, rows.schema.names)}")
