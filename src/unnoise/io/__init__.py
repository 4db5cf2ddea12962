"""Image files to arrays and back, with everything that is not noise kept.

`read` and `write` are the two halves of it; a `Picture` holds pixels and what stands around them.
"""

from __future__ import annotations

from unnoise.io.formats import Header, UnknownKindError, is_picture, suffix_of
from unnoise.io.picture import Picture, check_target, encode, from_array, write
from unnoise.io.reader import MAX_PIXELS, RowReader, TooLargeError, cannot_hold, read

__all__ = [
    "MAX_PIXELS",
    "Header",
    "Picture",
    "RowReader",
    "TooLargeError",
    "UnknownKindError",
    "cannot_hold",
    "check_target",
    "encode",
    "from_array",
    "is_picture",
    "read",
    "suffix_of",
    "write",
]
