"""A folder of images, which are read once and kept in memory in their stored data type."""

from __future__ import annotations

import numpy as np

from unnoise.datasets.base import Dataset, count_pages, find, list_pictures, read_stored, read_white


class Images(Dataset):
    """All images of a folder and its sub-folders, sorted by path; each page of a file is an image.

    Args:
        folder: a folder or an image file, relative to the working directory or the data root.
        channels: 1 or 3 to convert; None keeps the channels.
        exclude: text file of images to leave out, one path a line, relative to the file; `#` starts a comment.
        white: scale each file so that its white level is 1, see `read_white`.
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
        """Return the number of images."""
        return len(self.places)

    def __getitem__(self, index: int) -> np.ndarray:
        """Return an image in its stored data type, or as float32 with white at 1, `[H, W, C]`."""
        if index not in self._stored:
            path, page, pages = self.places[index]
            stored = read_white([path], self.channels)[0] if self.white else read_stored(path, self.channels)
            pages_of_file = np.split(stored, pages)
            self._stored.update({index - page + number: one for number, one in enumerate(pages_of_file)})
        return self._stored[index]

    def label(self, index: int) -> str:
        """Return the path of an image in the folder, with the number of the page."""
        path, page, pages = self.places[index]
        name = path.name if path == self.folder else str(path.relative_to(self.folder))
        return name if pages == 1 else f"{name}, page {page + 1}"
