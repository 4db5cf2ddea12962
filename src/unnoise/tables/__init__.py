"""Image tables: build, add, check, resize, rename, merge, split, push, score and show tables of images in Parquet.

A table has a column `name`, columns of images (`struct<bytes, path>`, the layout of Hugging Face `datasets`, which
pandas, Polars and DuckDB read as well), and any other columns. Images are stored as PNG with 8 or 16 bits, so noise is
rounded and clipped as in a file. `datasets/table.py` trains on such tables.

Each command reads a table and writes another, one row group at a time, so tables may be larger than memory. A table is
given by its path, or by "PATH#part" for the rows of one part. A row that cannot be used (an unreadable image, images of
different size, no partner) is left out and reported, at once to `on_issue` and in the `Outcome`. On an error nothing is
written; the input is never overwritten, another file only with `overwrite`.
"""

from __future__ import annotations

from unnoise.tables.base import Outcome, RowIssue, WriteOptions
from unnoise.tables.checking import Check, Column, check
from unnoise.tables.columns import merge, rename, split
from unnoise.tables.pictures import add, build, resize
from unnoise.tables.pushing import push
from unnoise.tables.scoring import Score, Scored, mean, score, show

__all__ = [
    "Check",
    "Column",
    "RowIssue",
    "WriteOptions",
    "Outcome",
    "Score",
    "Scored",
    "add",
    "build",
    "check",
    "mean",
    "merge",
    "push",
    "rename",
    "resize",
    "score",
    "show",
    "split",
]
