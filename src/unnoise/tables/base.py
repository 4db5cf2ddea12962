"""Shared by the table commands: rows are read a few at a time, changed, and written to a file."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from unnoise import io
from unnoise.datasets.table import NAME, image_columns
from unnoise.errors import UnnoiseError
from unnoise.io import Picture
from unnoise.io.atomic import atomic_write

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
GROUP = 16 << 20  # bytes of a row group, which is in memory while it is written or read

Row = dict[str, Any]


@dataclass(frozen=True)
class RowIssue:
    """A problem with a row, printed as `ROW: TEXT`.

    Attributes:
        row: name of the row, or its number if the table has no names.
        text: one line.
    """

    row: str
    text: str

    def __str__(self) -> str:
        """Return the issue in one line."""
        return f"{self.row}: {self.text}"


RowBatch = tuple[int, Any, list[RowIssue]]
"""The number of the last of a few rows, an Arrow batch of those that are kept, and the issues of those that are not."""


@dataclass(frozen=True)
class Outcome:
    """The result of a command.

    Attributes:
        target: the file that was written.
        rows: number of rows in it.
        bad: the rows that were left out, with the reason.
        batches: the processed rows where a shard was requested, which is not written; else empty.
    """

    target: Path
    rows: int
    bad: list[RowIssue]
    batches: list[RowBatch] = field(default_factory=list)


@dataclass(frozen=True)
class Shard:
    """One of several equal parts of a table's rows, in order.

    Attributes:
        number: which part, from 0 up.
        of: how many parts there are.
    """

    number: int
    of: int


class WriteOptions(TypedDict, total=False):
    """Options of the commands that write a table.

    Attributes:
        overwrite: replace an existing file.
        on_issue: called with every row that is left out, as soon as it is found.
        progress: called with a line every few rows.
        shard: process only this part of the rows and return it in `Outcome.batches`; nothing is written.
        distribute: called with the number of rows; processes all shards elsewhere and yields their batches in order.
    """

    overwrite: bool
    on_issue: Callable[[RowIssue], None]
    progress: Callable[[str], None]
    shard: Shard
    distribute: Callable[[int], Iterator[RowBatch]]


class Source(Protocol):
    """A source of rows, such as `datasets.table.Rows`.

    Attributes:
        path: file of the table; None if there is none yet.
        schema: its Arrow schema.
        numbers: numbers of the rows in the table, in order.
        pictures: names of the columns of images.
    """

    schema: Any
    numbers: np.ndarray
    pictures: list[str]

    @property
    def path(self) -> Path | None:
        """The table's file."""
        ...

    def batches(self) -> Iterator[tuple[np.ndarray, Any]]:
        """Yield the numbers of a few rows and an Arrow batch of them."""
        ...

    def narrow(self, numbers: np.ndarray) -> None:
        """Keep only these rows, a contiguous part of `numbers`."""
        ...


def rewrite_rows(
    rows: Source,
    target: str | Path,
    change: Callable[[int, Row], Row],
    fields: Mapping[str, Any],
    note: str,
    options: WriteOptions,
    *,
    by: str = NAME,
    names: Mapping[str, str] | None = None,
    replacing: bool = False,
    others: Iterable[RowIssue] = (),
) -> Outcome:
    """Write rows, each with the cells that `change` computes from its number, its name and its images.

    A row for which `change` raises UnnoiseError is left out. The other columns are copied.

    Args:
        rows: the source.
        target: the table to write.
        change: computes the cells of a row.
        fields: the columns of these cells, with their Arrow types.
        note: added to the notes of the table.
        options: those of the caller.
        by: the column of the names.
        names: new names of columns, by the old ones.
        replacing: the fields are columns of the source; else they must be new.
        others: issues of rows that the source does not yield.

    Raises:
        UnnoiseError: the target cannot be written, a column's name is taken, or no row is left.
    """
    target, shard = Path(target), options.get("shard")
    if shard is None:
        _check_target(target, rows.path, overwrite=options.get("overwrite", False))
    if taken := [name for name in fields if name in rows.schema.names and not replacing]:
        raise UnnoiseError(f"the table already has a column '{taken[0]}': rename it, or choose another name")
    schema = _changed(rows.schema, fields, names or {}, note)
    if shard is not None:
        rows.narrow(np.array_split(rows.numbers, shard.of)[shard.number])
        return Outcome(target, 0, [], list(_changed_batches(rows, schema, change, fields, by)))
    distribute = options.get("distribute")
    batches = (
        _changed_batches(rows, schema, change, fields, by) if distribute is None else distribute(len(rows.numbers))
    )
    return _write(batches, target, schema, int(rows.numbers[-1]) + 1, options, others)


def _write(
    batches: Iterable[RowBatch],
    target: Path,
    schema: Any,
    total: int,
    options: WriteOptions,
    others: Iterable[RowIssue],
) -> Outcome:
    """Write batches of rows, and report their issues and the others."""
    on_issue, progress = options.get("on_issue", silent), options.get("progress", silent)
    bad, written = list[RowIssue](), 0
    with writing(target, schema) as put:
        for number, batch, issues in batches:
            for issue in issues:
                on_issue(issue)
            bad += issues
            progress(f"{number + 1} of {total}")
            put(batch)
            written += batch.num_rows
            del batch  # free it before the next one is made
        for issue in others:
            on_issue(issue)
            bad.append(issue)
        if not written:
            raise UnnoiseError(f"no row can be used: {bad[0]}")
    return Outcome(target, written, bad)


def _changed_batches(
    rows: Source, schema: Any, change: Callable[[int, Row], Row], fields: Mapping[str, Any], by: str
) -> Iterator[RowBatch]:
    """Yield the changed rows, a few at a time."""
    columns_read = [name for name in (by, *rows.pictures) if name in rows.schema.names]
    for numbers, batch in rows.batches():
        kept, changed, bad = list[int](), list[Row](), list[RowIssue]()
        for place, row in enumerate(batch.select(columns_read).to_pylist()):
            number = int(numbers[place])
            try:
                changed.append(change(number, row))
                kept.append(place)
            except UnnoiseError as error:
                bad.append(RowIssue(label(number, row, by), str(error)))
        columns = dict(zip(batch.schema.names, batch.take(pa.array(kept, pa.int64())).columns, strict=True))
        columns |= {name: pa.array([cells[name] for cells in changed], kind) for name, kind in fields.items()}
        yield int(numbers[-1]), pa.record_batch(list(columns.values()), schema=schema), bad


def label(number: int, row: Mapping[str, Any], by: str = NAME) -> str:
    """Return the name or the number of a row, for messages."""
    return f"row {number}" if row.get(by) in (None, "") else str(row[by])


def silent(_: object) -> None:
    """Do nothing."""


def cell(picture: Picture, name: str) -> Row:
    """Return a cell with an image as PNG.

    Raises:
        UnnoiseError: the image has float samples, which PNG does not support.
    """
    return {"bytes": io.encode(picture, ".png"), "path": f"{name}.png"}


def metadata(features: Row, notes: list[str]) -> dict[str, str]:
    """Return the metadata of the file: the features for `datasets`, and the notes of unnoise.

    `datasets` infers features that are missing.
    """
    return {"huggingface": json.dumps({"info": {"features": features}}), "unnoise": json.dumps(notes)}


def features(schema: Any) -> Row:
    """Return the features in the metadata of a schema, if any."""
    with contextlib.suppress(KeyError, ValueError, TypeError):
        return dict(json.loads(schema.metadata[b"huggingface"])["info"]["features"])
    return {}


def notes(schema: Any) -> list[str]:
    """Return the notes in the metadata of a schema: how the table was made, a line per command."""
    with contextlib.suppress(KeyError, ValueError, TypeError):
        return [str(note) for note in json.loads(schema.metadata[b"unnoise"])]
    return []


def _changed(old: Any, fields: Mapping[str, Any], names: Mapping[str, str], note: str) -> Any:
    """Return the schema of the output."""
    types = {name: old.field(name).type for name in old.names} | dict(fields)
    renamed = [names.get(name, name) for name in types]
    name, count = Counter(renamed).most_common(1)[0]
    if count > 1:
        raise UnnoiseError(f"the table already has a column '{name}': rename it first")
    schema = pa.schema(list(zip(renamed, types.values(), strict=True)))
    known = {names.get(name, name): feature for name, feature in features(old).items()}
    known |= {name: {"_type": "Image"} for name in image_columns(schema)}
    return schema.with_metadata(metadata(known, [*notes(old), note]))


def _check_target(target: Path, source: Path | None, *, overwrite: bool) -> None:
    if target.suffix != ".parquet":
        raise UnnoiseError(f"'{target}': the name of a table must end in .parquet")
    if source is not None and target.exists() and target.samefile(source):
        raise UnnoiseError(f"'{target}' is the input: choose another output file")
    io.check_target(target, overwrite=overwrite)


@contextlib.contextmanager
def writing(target: Path, schema: Any) -> Iterator[Callable[[Any], None]]:
    """Yield a function that writes batches of rows of a schema; the file is renamed to the target at the end."""
    waiting: list[Any] = []
    held = 0  # bytes

    def put(batch: Any) -> None:
        nonlocal held
        begin = 0
        for place, size in enumerate(_sizes(batch), start=1):
            held += size
            if held >= GROUP:  # depends on the rows only, not on their batches
                waiting.append(batch.slice(begin, place - begin))
                flush()
                begin = place
        if begin < batch.num_rows:
            waiting.append(batch.slice(begin))

    def flush() -> None:
        nonlocal held
        if rows := sum(one.num_rows for one in waiting):
            writer.write_table(pa.Table.from_batches(waiting), row_group_size=rows)
        waiting.clear()
        held = 0

    with (
        atomic_write(target) as temporary,
        open(temporary, "wb") as file,
        pq.ParquetWriter(file, schema, use_dictionary=False) as writer,
    ):
        yield put
        flush()


def _sizes(batch: Any) -> list[int]:
    """Return the size of the images of each row, in bytes."""
    total = np.full(batch.num_rows, 64)
    for name in image_columns(batch.schema):
        pictures = batch[name].flatten()[batch.schema.field(name).type.get_field_index("bytes")]
        total += np.asarray(pc.call_function("binary_length", [pictures]).fill_null(0), dtype=total.dtype)
    return total.tolist()
