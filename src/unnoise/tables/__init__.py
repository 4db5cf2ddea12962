"""Image tables: build, add, check, resize, rename, merge, split, score and show tables of pictures in Parquet.

A table has a column `name`, columns of pictures (`struct<bytes, path>`, the layout of Hugging Face `datasets`; it opens
in pandas, Polars and DuckDB as well), and whatever else one likes. Pictures are written as PNG: 8 bits, or 16 where
they had 16, so that noise is rounded and clipped as in a file. `datasets/table.py` learns from such tables.

Each verb reads a table and writes another, a row group at a time, however large both are. A table is named by its path,
or by "PATH#part" for the rows of one part. A row that cannot be used (a picture that cannot be read, two of different
size, no partner) is kept out of what is written, and told: at once by `tell`, and in the `Outcome`. What is written
appears whole or not at all, never takes the place of what is read, and that of another file only if told to.
"""

from __future__ import annotations

from unnoise.tables.base import Outcome, RowIssue, WriteOptions
from unnoise.tables.checking import Check, Column, check
from unnoise.tables.columns import merge, rename, split
from unnoise.tables.pictures import add, build, resize
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
    "rename",
    "resize",
    "score",
    "show",
    "split",
]
