"""Parts that several datasets are made of."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from unnoise.datasets.base import Dataset, find, split_part, with_channels
from unnoise.errors import UnnoiseError


class Packed(Dataset):
    """Pictures of one size, many in one file, of which a part or a stretch of a part is taken.

    `FOLDER#train` is a part; `FOLDER#train:0..0.9` is its first nine tenths, `FOLDER#train:4500..5000` are its last 500
    of 5000 pictures: where the second number is at most 1, both are shares. Without it, the stretch goes to the end.

    Args:
        path: folder, part and stretch; see `datasets.find` for where the folder may lie.
        parts: what parts there are, the default first.
        channels: 1 or 3 to convert, None to leave as it is.
        exclude: cannot be used, since there are no files of single pictures.

    Attributes:
        folder: where the files are.
        part: the part that is read.

    Raises:
        UnnoiseError: no such folder, part or stretch; or the file cannot be read.
    """

    def __init__(
        self, path: str, parts: Sequence[str], *, channels: int | None = None, exclude: str | None = None
    ) -> None:
        if exclude:
            raise UnnoiseError(f"'{path}' has no files of single pictures: data.exclude cannot leave any out")
        place, _, stretch = path.rpartition(":")
        if "#" not in place:
            place, stretch = path, ""
        place, self.part = split_part(place, parts)
        self.folder, self.channels = find(place), channels
        self._open: np.ndarray | None = None
        self._indices = _stretch(stretch, len(self.pixels))

    @abstractmethod
    def open(self) -> np.ndarray:
        """Return all pictures of the part, uint8 `[N, H, W, C]`; called once in each process.

        Raises:
            UnnoiseError: the file cannot be read, or holds something else.
        """

    @property
    def pixels(self) -> np.ndarray:
        """All pictures of the part, uint8 `[N, H, W, C]`."""
        if self._open is None:
            self._open = self.open()
        return self._open

    def __len__(self) -> int:
        """Count the pictures that are taken."""
        return len(self._indices)

    def __getitem__(self, index: int) -> np.ndarray:
        """Return a picture, uint8 `[H, W, C]`."""
        return with_channels(np.ascontiguousarray(self.pixels[self._indices[index]]), self.channels)

    def label(self, index: int) -> str:
        """Name a picture by its part and its place there."""
        return f"{self.part} {self._indices[index]}"

    def __getstate__(self) -> dict[str, object]:
        """Leave the pixels behind on the way to another process, which opens the file itself."""
        return {**vars(self), "_open": None}


def map_file(path: Path, record: np.dtype) -> np.ndarray:
    """Map a file of equal records into memory; nothing is read before it is asked for.

    Args:
        path: the file.
        record: what stands in it, over and over.

    Returns:
        `[N]` of the records, read-only.

    Raises:
        UnnoiseError: it cannot be read, is empty, or ends within a record.
    """
    try:
        size = path.stat().st_size
        if size and size % record.itemsize == 0:
            return np.memmap(path, record, mode="r")
    except OSError as error:
        raise UnnoiseError(f"cannot read '{path}': {error.strerror}") from error
    raise UnnoiseError(
        f"'{path}' has {size} bytes, no multiple of {record.itemsize}: it is cut short, or something else"
    )


def _stretch(text: str, count: int) -> range:
    """Return what "0..0.9", "0..4500" or "4500.." takes of `count` pictures."""
    if not text:
        return range(count)
    low, separator, high = text.partition("..")
    try:
        first, last = float(low), float(high) if high else None
    except ValueError:
        separator, first, last = "", 0.0, None
    if not separator:
        raise UnnoiseError(f"cannot read the stretch '{text}': write 0..0.9, 0..4500, or 4500..")
    scale = count if (first < 1 if last is None else last <= 1) else 1
    begin, end = round(first * scale), count if last is None else round(last * scale)
    if not 0 <= begin < end <= count:
        raise UnnoiseError(f"the stretch {text} takes no pictures, or more than the {count} that there are")
    return range(begin, end)
