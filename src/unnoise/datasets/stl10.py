"""STL-10: 96x96 color images in its binary files (Coates, Lee, Ng, AISTATS 2011).

A file is a sequence of images without a header. An image is its red, green and blue plane, each stored column by column
from top to bottom.
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
    """The images of one part, uint8 `[96, 96, 3]`, in the order of the file.

    Args:
        path: "FOLDER#train", "FOLDER#test" or "FOLDER#unlabeled", optionally with a range; see `packed.Packed`. The
            folder holds `train_X.bin`, `test_X.bin` or `unlabeled_X.bin`.
        channels: 1 to convert to gray.
        exclude: not supported.
    """

    def __init__(self, path: str, *, channels: int | None = None, exclude: str | None = None) -> None:
        super().__init__(path, PARTS, channels=channels, exclude=exclude)

    def open(self) -> np.ndarray:
        """Memory-map the file."""
        return map_file(self.folder / file_name(self.part), _RECORD)["picture"].transpose(0, 3, 2, 1)


def file_name(part: str) -> str:
    """Return the name of the file of a part."""
    return f"{part}_X.bin"


def write(pictures: Iterable[np.ndarray], path: Path) -> None:
    """Write images in this layout; on an error nothing is written.

    Args:
        pictures: uint8 `[96, 96, 3]` each.
        path: the file, see `file_name`.

    Raises:
        UnnoiseError: an image of another shape or data type.
    """
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        for picture in pictures:
            if picture.shape != (SIDE, SIDE, 3) or picture.dtype != np.uint8:
                raise UnnoiseError(f"STL-10 images must be uint8 96x96x3, got {picture.dtype} {picture.shape}")
            file.write(picture.transpose(2, 1, 0).tobytes())
