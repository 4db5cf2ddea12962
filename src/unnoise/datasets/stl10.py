"""STL-10: 96x96 colour pictures in its binary files (Coates, Lee, Ng, AISTATS 2011).

A file is the pictures one after the other, without a header; a picture is its red, green and blue plane; and a plane is
stored column by column, top to bottom.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from unnoise.datasets.packed import Packed, map_file
from unnoise.errors import UnnoiseError
from unnoise.io.atomic import atomic_write

SIDE = 96
PARTS = ["train", "test", "unlabeled"]
_RECORD = np.dtype([("picture", "u1", (3, SIDE, SIDE))])  # plane, column, row


class Stl10(Packed):
    """The pictures of one part, uint8 `[96, 96, 3]`, in the order of their file.

    Args:
        path: "FOLDER#train", "FOLDER#test" or "FOLDER#unlabeled", and a stretch of it; see `blocks.Packed`. The folder
            holds `train_X.bin`, `test_X.bin` and `unlabeled_X.bin`; that of the part is enough.
        channels: 1 for grey.
        exclude: cannot be used.
    """

    def __init__(self, path: str, *, channels: int | None = None, exclude: str | None = None) -> None:
        super().__init__(path, PARTS, channels=channels, exclude=exclude)

    def open(self) -> np.ndarray:
        """Map the file into memory."""
        return map_file(self.folder / file_name(self.part), _RECORD)["picture"].transpose(0, 3, 2, 1)


def file_name(part: str) -> str:
    """Return how the file of a part is called."""
    return f"{part}_X.bin"


def write(pictures: Iterable[np.ndarray], path: Path) -> None:
    """Write pictures in this layout, one at a time, at once or not at all.

    Args:
        pictures: uint8 `[96, 96, 3]` each.
        path: the file; that of a part is called as `file_name` says.

    Raises:
        UnnoiseError: a picture of another shape or type.
    """
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        for picture in pictures:
            if picture.shape != (SIDE, SIDE, 3) or picture.dtype != np.uint8:
                raise UnnoiseError(f"STL-10 holds uint8 pictures of 96x96x3, not {picture.dtype} {picture.shape}")
            file.write(picture.transpose(2, 1, 0).tobytes())
