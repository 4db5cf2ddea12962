"""Table commands on a Ray cluster, which processes shards of a table."""

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
"""Largest number of rows in a shard."""


def distribute(verb: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Callable[[int], Iterator[RowBatch]]:
    """Return a function for `WriteOptions.distribute` that runs a command of `unnoise.tables` on the cluster.

    Args:
        verb: name of the command.
        arguments: its positional arguments.
        options: its keyword arguments without those of `WriteOptions`.
    """

    def batches(rows: int) -> Iterator[RowBatch]:
        arrow = require("pyarrow", extra="ray")
        size = min(ROWS, math.ceil(rows / (4 * max(1, int(resource_count("CPU"))))))
        shards = min(BLOCKS, math.ceil(rows / size))
        items = [{"number": number, "of": shards} for number in range(shards)]
        for row, data in map_rows(items, _Command, (verb, arguments, options, os.getcwd()), ordered=True):
            (batch,) = arrow.ipc.open_stream(data)
            yield row["last"], batch, [RowIssue(**issue) for issue in row["bad"]]

    return batches


class _Command:
    """A command that processes shards; a model is opened once."""

    def __init__(self, verb: str, arguments: tuple[Any, ...], options: dict[str, Any], folder: str) -> None:
        chdir(folder)
        if verb == "score":
            arguments = (denoisers.make(arguments[0], concurrency=cpu_count()), *arguments[1:])
        self._function, self._arguments, self._options = getattr(tables, verb), arguments, options

    def __call__(self, item: Row) -> list[tuple[Row, bytes]]:
        """Process one shard: return batches of the rows that are kept, and the issues of the others."""
        arrow, shard = require("pyarrow", extra="ray"), Shard(item["number"], item["of"])
        outcome = self._function(*self._arguments, **self._options, shard=shard)
        results = []
        for last, batch, bad in outcome.batches:
            sink = arrow.BufferOutputStream()
            with arrow.ipc.new_stream(sink, batch.schema) as stream:
                stream.write_batch(batch)
            issues = {"last": last, "bad": [dataclasses.asdict(issue) for issue in bad]}
            results.append((issues, sink.getvalue().to_pybytes()))
        return results
