"""Base class of datasets with many images in one file."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from unnoise.datasets.base import Dataset, find, split_part, with_channels
from unnoise.errors import UnnoiseError


class Packed(Dataset):
    """Images of one size in one file per part, of which a part or a range of a part is used.

    `FOLDER#train` is a part, `FOLDER#train:0..0.9` its first 90 %, `FOLDER#train:4500..5000` the last 500 of 5000
    images: if the second number is at most 1, both are shares. Without the second number, the range goes to the end.

    Args:
        path: folder, part and range; the folder is relative to the working directory or the data root.
        parts: names of the parts, the default first.
        channels: 1 or 3 to convert; None keeps the channels.
        exclude: not supported, since there are no files of single images.

    Attributes:
        folder: the folder of the files.
        part: the part that is read.

    Raises:
        UnnoiseError: the folder, part or range does not exist, or the file cannot be read.
    """

    def __init__(
        self, path: str, parts: Sequence[str], *, channels: int | None = None, exclude: str | None = None
    ) -> None:
        if exclude:
            raise UnnoiseError(f"data.exclude does not work for '{path}', which has no files of single images")
        place, _, span = path.rpartition(":")
        if "#" not in place:
            place, span = path, ""
        place, self.part = split_part(place, parts)
        self.folder, self.channels = find(place), channels
        self._open: np.ndarray | None = None
        self._indices = _span(span, len(self.pixels))

    @abstractmethod
    def open(self) -> np.ndarray:
        """Return all images of the part, uint8 `[N, H, W, C]`; called once in each process.

        Raises:
            UnnoiseError: the file cannot be read, or holds something else.
        """

    @property
    def pixels(self) -> np.ndarray:
        """All images of the part, uint8 `[N, H, W, C]`."""
        if self._open is None:
            self._open = self.open()
        return self._open

    def __len__(self) -> int:
        """Return the number of images in the range."""
        return len(self._indices)

    def __getitem__(self, index: int) -> np.ndarray:
        """Return an image, uint8 `[H, W, C]`."""
        return with_channels(np.ascontiguousarray(self.pixels[self._indices[index]]), self.channels)

    def label(self, index: int) -> str:
        """Return the part and the index of an image in it."""
        return f"{self.part} {self._indices[index]}"

    def __getstate__(self) -> dict[str, object]:
        """Return the state without pixels; another process opens the file itself."""
        return {**vars(self), "_open": None}


def map_file(path: Path, record: np.dtype) -> np.ndarray:
    """Memory-map a file of equal records.

    Args:
        path: the file.
        record: the data type of a record.

    Returns:
        The records `[N]`, read-only.

    Raises:
        UnnoiseError: it cannot be read, is empty, or ends inside a record.
    """
    try:
        size = path.stat().st_size
        if size and size % record.itemsize == 0:
            return np.memmap(path, record, mode="r")
    except OSError as error:
        raise UnnoiseError(f"cannot read '{path}': {error.strerror}") from error
    raise UnnoiseError(
        f"'{path}' has {size} bytes, not a multiple of {record.itemsize}: it is truncated or another kind of file"
    )


def _span(text: str, count: int) -> range:
    """Return the indices of the range "0..0.9", "0..4500" or "4500.." of `count` images."""
    if not text:
        return range(count)
    low, separator, high = text.partition("..")
    try:
        first, last = float(low), float(high) if high else None
    except ValueError:
        separator, first, last = "", 0.0, None
    if not separator:
        raise UnnoiseError(f"cannot read the range '{text}': write 0..0.9, 0..4500, or 4500..")
    scale = count if (first < 1 if last is None else last <= 1) else 1
    start, end = round(first * scale), count if last is None else round(last * scale)
    if not 0 <= start < end <= count:
        raise UnnoiseError(f"the range {text} is empty, or beyond the {count} images")
    return range(start, end)
