"""Verbs of tables done by a Ray cluster, whose rows are shares of a table."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Iterator
from typing import Any

from unnoise import denoisers, tables
from unnoise.optional import require
from unnoise.pipeline.ray_pool import BLOCKS, Row, chdir, map_rows, resource_count
from unnoise.system import cpu_count
from unnoise.tables.base import RowBatch, RowIssue, Shard

ROWS = 128
"""Rows of a table that an actor takes at once, at most."""


def distribute(verb: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Callable[[int], Iterator[RowBatch]]:
    """Have a verb of `unnoise.tables` done by the cluster; what is returned is its `How.spread`.

    Args:
        verb: its name.
        arguments: its arguments.
        options: its options, those of `How` left out.
    """

    def made(rows: int) -> Iterator[RowBatch]:
        arrow = require("pyarrow", extra="ray")
        own = min(ROWS, math.ceil(rows / (4 * max(1, int(resource_count("CPU"))))))
        shares = min(BLOCKS, math.ceil(rows / own))
        items = [{"number": number, "of": shares} for number in range(shares)]
        for row, data in map_rows(items, _Verb, (verb, arguments, options, os.getcwd()), ordered=True):
            (batch,) = arrow.ipc.open_stream(data)
            yield row["last"], batch, [RowIssue(**one) for one in row["bad"]]

    return made


class _Verb:
    """Does shares of what a verb of tables does; a model is opened once."""

    def __init__(self, verb: str, arguments: tuple[Any, ...], options: dict[str, Any], here: str) -> None:
        chdir(here)
        if verb == "score":
            arguments = (denoisers.make(arguments[0], concurrency=cpu_count()), *arguments[1:])
        self._verb, self._arguments, self._options = getattr(tables, verb), arguments, options

    def __call__(self, item: Row) -> list[tuple[Row, bytes]]:
        """Make one share: rows that were kept, a few at a time, and those that were not."""
        arrow, share = require("pyarrow", extra="ray"), Shard(item["number"], item["of"])
        self._verb(*self._arguments, **self._options, share=share)
        made = []
        for last, batch, bad in share.made:
            sink = arrow.BufferOutputStream()
            with arrow.ipc.new_stream(sink, batch.schema) as stream:
                stream.write_batch(batch)
            told = {"last": last, "bad": [dataclasses.asdict(one) for one in bad]}
            made.append((told, sink.getvalue().to_pybytes()))
        return made
