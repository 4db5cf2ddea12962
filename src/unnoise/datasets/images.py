"""A folder of pictures, read once and kept in memory as they are stored."""

from __future__ import annotations

import numpy as np

from unnoise.datasets.base import Dataset, find, list_pictures, read_stored


class Images(Dataset):
    """All pictures of a folder and its sub-folders, sorted by path.

    Args:
        folder: the folder, or one picture; see `datasets.find` for where it may lie.
        channels: 1 or 3 to convert, None to leave as it is.
        exclude: text file of pictures to leave out (`#` begins a comment), paths relative to the file.
    """

    def __init__(self, folder: str, *, channels: int | None = None, exclude: str | None = None) -> None:
        self.folder = find(folder)
        self.channels = channels
        self.paths = list_pictures(self.folder, exclude)
        self._stored: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        """Count the pictures."""
        return len(self.paths)

    def __getitem__(self, index: int) -> np.ndarray:
        """Return a picture in its stored type, `[H, W, C]`."""
        if index not in self._stored:
            self._stored[index] = read_stored(self.paths[index], self.channels)
        return self._stored[index]

    def label(self, index: int) -> str:
        """Name a picture by its path inside the folder."""
        path = self.paths[index]
        return path.name if path == self.folder else str(path.relative_to(self.folder))
