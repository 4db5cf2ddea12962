"""Read and write image files; metadata, alpha, bit depth and pages are kept.

`read` returns a `Picture`, which holds pixels and metadata, and `write` writes one.
"""

from __future__ import annotations

from unnoise.io.formats import Header, UnknownKindError, is_picture, suffix_of, unsupported_reason
from unnoise.io.paths import check_target
from unnoise.io.picture import Picture, encode, from_array, write
from unnoise.io.reader import MAX_PIXELS, RowReader, TooLargeError, read

__all__ = [
    "MAX_PIXELS",
    "Header",
    "Picture",
    "RowReader",
    "TooLargeError",
    "UnknownKindError",
    "unsupported_reason",
    "check_target",
    "encode",
    "from_array",
    "is_picture",
    "read",
    "suffix_of",
    "write",
]
