"""What the verbs of tables share: rows that come a few at a time, are changed, and go into a file."""

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
GROUP = 16 << 20  # bytes of a row group: what is held at once to write it, and by many a reader

Row = dict[str, Any]


@dataclass(frozen=True)
class RowIssue:
    """What there is to say of a row, spelt `ROW: TEXT`.

    Attributes:
        row: its name, or its number where the table has no names.
        text: one line.
    """

    row: str
    text: str

    def __str__(self) -> str:
        """Tell it in one line."""
        return f"{self.row}: {self.text}"


@dataclass(frozen=True)
class Outcome:
    """What a verb did.

    Attributes:
        target: the file that it wrote.
        rows: how many rows went into it.
        bad: the rows that were kept out, with the reason.
    """

    target: Path
    rows: int
    bad: list[RowIssue]


RowBatch = tuple[int, Any, list[RowIssue]]
"""Number of the last of a few rows, an Arrow batch of those that are kept, and those that are not."""


@dataclass
class Shard:
    """A part of a verb's work, which is made and not written.

    Attributes:
        number: which of the parts.
        of: how many there are; the rows are parted evenly, in order.
        made: what the verb has made of the rows.
    """

    number: int
    of: int
    made: list[RowBatch] = field(default_factory=list)


class WriteOptions(TypedDict, total=False):
    """How a verb goes about it.

    Attributes:
        overwrite: replace a file that exists.
        tell: called with every row that is kept out, as soon as it is found.
        progress: called with a line per few rows.
        share: make but this part of the work, and write nothing.
        spread: called with the number of rows; has all parts made elsewhere, and yields them in order.
    """

    overwrite: bool
    tell: Callable[[RowIssue], None]
    progress: Callable[[str], None]
    share: Shard
    spread: Callable[[int], Iterator[RowBatch]]


class Source(Protocol):
    """Where rows come from; `datasets.table.Rows` is one.

    Attributes:
        path: of the table; None where there is none yet.
        schema: its Arrow schema.
        numbers: the rows, in order, by their number in the table.
        pictures: names of the columns of pictures.
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
        """Leave but these rows, a stretch of `numbers`."""
        ...


def rewrite_rows(
    rows: Source,
    target: str | Path,
    change: Callable[[int, Row], Row],
    fields: Mapping[str, Any],
    note: str,
    how: WriteOptions,
    *,
    by: str = NAME,
    names: Mapping[str, str] | None = None,
    replacing: bool = False,
    others: Iterable[RowIssue] = (),
) -> Outcome:
    """Write rows, each with the cells that `change` makes of its number, its name and its pictures.

    A row of which it makes an UnnoiseError is kept out. The other columns pass by as they are.

    Args:
        rows: where they come from.
        target: the table to write.
        change: makes cells.
        fields: their columns, with the Arrow types.
        note: what the table notes of it.
        how: as the caller wants it.
        by: the column of the names.
        names: new names of columns, by the old ones.
        replacing: the fields are there already; else they must be new.
        others: bad rows that are not among those that come.

    Raises:
        UnnoiseError: the target cannot be written, a column's name is taken, or no row is left.
    """
    target, share = Path(target), how.get("share")
    if share is None:
        _check_target(target, rows.path, overwrite=how.get("overwrite", False))
    if taken := [name for name in fields if name in rows.schema.names and not replacing]:
        raise UnnoiseError(f"there is a column '{taken[0]}' already: rename it, or name another")
    schema = _changed(rows.schema, fields, names or {}, note)
    if share is not None:
        rows.narrow(np.array_split(rows.numbers, share.of)[share.number])
        share.made = list(_made(rows, schema, change, fields, by))
        return Outcome(target, 0, [])
    bad, written, total = list[RowIssue](), 0, int(rows.numbers[-1]) + 1
    spread = how.get("spread")
    made = _made(rows, schema, change, fields, by) if spread is None else spread(len(rows.numbers))
    with _writing(target, schema) as put:
        for number, batch, found in made:
            for one in found:
                complain(bad, one, how)
            how.get("progress", silent)(f"{number + 1} of {total}")
            put(batch)
            written += batch.num_rows
            del batch  # before the next one is made
        for one in others:
            complain(bad, one, how)
        if not written:
            raise UnnoiseError(f"none of the rows can be used: {bad[0]}")
    return Outcome(target, written, bad)


def _made(
    rows: Source, schema: Any, change: Callable[[int, Row], Row], fields: Mapping[str, Any], by: str
) -> Iterator[RowBatch]:
    """Yield what becomes of the rows, a few at a time."""
    looked_at = [name for name in (by, *rows.pictures) if name in rows.schema.names]
    for numbers, batch in rows.batches():
        kept, made, bad = list[int](), list[Row](), list[RowIssue]()
        for place, row in enumerate(batch.select(looked_at).to_pylist()):
            number = int(numbers[place])
            try:
                made.append(change(number, row))
                kept.append(place)
            except UnnoiseError as error:
                bad.append(RowIssue(label(number, row, by), str(error)))
        columns = dict(zip(batch.schema.names, batch.take(pa.array(kept, pa.int64())).columns, strict=True))
        columns |= {name: pa.array([cells[name] for cells in made], kind) for name, kind in fields.items()}
        yield int(numbers[-1]), pa.record_batch(list(columns.values()), schema=schema), bad


def label(number: int, row: Mapping[str, Any], by: str = NAME) -> str:
    """Name a row for messages."""
    return f"row {number}" if row.get(by) in (None, "") else str(row[by])


def complain(bad: list[RowIssue], finding: RowIssue, how: WriteOptions) -> None:
    """Put a bad row on the list, and tell it."""
    bad.append(finding)
    how.get("tell", silent)(finding)


def silent(_: object) -> None:
    """Say nothing."""


def cell(picture: Picture, name: str) -> Row:
    """Return the cell that holds a picture as PNG.

    Raises:
        UnnoiseError: it has float samples, which PNG cannot hold.
    """
    return {"bytes": io.encode(picture, ".png"), "path": f"{name}.png"}


def metadata(features: Row, notes: list[str]) -> dict[str, str]:
    """Spell what stands in the file beside the columns: their features for `datasets`, and our own notes.

    Features that are not stated here `datasets` finds itself.
    """
    return {"huggingface": json.dumps({"info": {"features": features}}), "unnoise": json.dumps(notes)}


def features(schema: Any) -> Row:
    """Read the features from a schema; none where it states none."""
    with contextlib.suppress(KeyError, ValueError, TypeError):
        return dict(json.loads(schema.metadata[b"huggingface"])["info"]["features"])
    return {}


def notes(schema: Any) -> list[str]:
    """Read from a schema how the table was made, a line per verb."""
    with contextlib.suppress(KeyError, ValueError, TypeError):
        return [str(note) for note in json.loads(schema.metadata[b"unnoise"])]
    return []


def _changed(old: Any, fields: Mapping[str, Any], names: Mapping[str, str], note: str) -> Any:
    """Return the schema of what is written."""
    types = {name: old.field(name).type for name in old.names} | dict(fields)
    renamed = [names.get(name, name) for name in types]
    name, count = Counter(renamed).most_common(1)[0]
    if count > 1:
        raise UnnoiseError(f"there is a column '{name}' already: rename it first")
    schema = pa.schema(list(zip(renamed, types.values(), strict=True)))
    known = {names.get(name, name): feature for name, feature in features(old).items()}
    known |= {name: {"_type": "Image"} for name in image_columns(schema)}
    return schema.with_metadata(metadata(known, [*notes(old), note]))


def _check_target(target: Path, source: Path | None, *, overwrite: bool) -> None:
    if target.suffix != ".parquet":
        raise UnnoiseError(f"'{target}' is no name for a table: let it end in .parquet")
    if source is not None and target.exists() and target.samefile(source):
        raise UnnoiseError(f"'{target}' is what is read: give what is written another name")
    io.check_target(target, overwrite=overwrite)


@contextlib.contextmanager
def _writing(target: Path, schema: Any) -> Iterator[Callable[[Any], None]]:
    """Yield a function that takes batches of rows; the file is in its place once all of them are in it."""
    waiting: list[Any] = []
    held = 0  # bytes

    def put(batch: Any) -> None:
        nonlocal held
        begin = 0
        for place, size in enumerate(_sizes(batch), start=1):
            held += size
            if held >= GROUP:  # which depends on the rows alone, however they come
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
    """Return how many bytes each row has, the pictures of it."""
    total = np.full(batch.num_rows, 64)
    for name in image_columns(batch.schema):
        pictures = batch[name].flatten()[batch.schema.field(name).type.get_field_index("bytes")]
        total += np.asarray(pc.call_function("binary_length", [pictures]).fill_null(0), dtype=total.dtype)
    return total.tolist()
