"""A folder of pictures, read once and kept in memory as they are stored."""

from __future__ import annotations

import numpy as np

from unnoise.datasets.base import Dataset, count_pages, find, list_pictures, read_stored, read_white


class Images(Dataset):
    """All pictures of a folder and its sub-folders, sorted by path; each page of a file is a picture.

    Args:
        folder: the folder, or one picture; see `datasets.find` for where it may lie.
        channels: 1 or 3 to convert, None to leave as it is.
        exclude: text file of pictures to leave out (`#` begins a comment), paths relative to the file.
        white: bring what is white in each file to 1, see `read_white`.
    """

    def __init__(
        self, folder: str, *, channels: int | None = None, exclude: str | None = None, white: bool = False
    ) -> None:
        self.folder = find(folder)
        self.channels, self.white = channels, white
        paths = list_pictures(self.folder, exclude)
        self.places = [(path, page, pages) for path in paths for pages in [count_pages(path)] for page in range(pages)]
        self._stored: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        """Count the pictures."""
        return len(self.places)

    def __getitem__(self, index: int) -> np.ndarray:
        """Return a picture in its stored type, or as float32 with its white at 1, `[H, W, C]`."""
        if index not in self._stored:
            path, page, pages = self.places[index]
            stored = read_white([path], self.channels)[0] if self.white else read_stored(path, self.channels)
            of_file = np.split(stored, pages)
            self._stored.update({index - page + number: one for number, one in enumerate(of_file)})
        return self._stored[index]

    def label(self, index: int) -> str:
        """Name a picture by its path inside the folder, and a page by its number."""
        path, page, pages = self.places[index]
        name = path.name if path == self.folder else str(path.relative_to(self.folder))
        return name if pages == 1 else f"{name}, page {page + 1}"
