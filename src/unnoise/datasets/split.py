"""Split of a dataset into training and validation images."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from unnoise.datasets.base import Dataset
from unnoise.errors import UnnoiseError

MIN_FOR_WHOLE_SPLIT = 10
"""Smallest number of images of which whole images are held out; of fewer, rows of each image."""

Item = np.ndarray | tuple[np.ndarray, np.ndarray]


class Subset(Dataset):
    """Some of the items of a dataset.

    Args:
        dataset: the dataset.
        indices: indices of the items.
        cut: applied to each image of an item; None for nothing.
    """

    def __init__(self, dataset: Dataset, indices: Sequence[int], cut: Callable[[np.ndarray], np.ndarray] | None = None):
        self.dataset, self.indices, self.cut = dataset, indices, cut

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.indices)

    def __getitem__(self, index: int) -> Item:
        """Return an item, cut if `cut` is given."""
        item = self.dataset[self.indices[index]]
        if self.cut is None:
            return item
        return (self.cut(item[0]), self.cut(item[1])) if isinstance(item, tuple) else self.cut(item)

    def label(self, index: int) -> str:
        """Return the name that the dataset gives the item."""
        return self.dataset.label(self.indices[index])


class CropRows:
    """Keeps or holds out the lowest rows of an image; a class, since closures cannot be pickled."""

    def __init__(self, share: float, least: int, *, keep: bool) -> None:
        self.share, self.least, self.keep = share, least, keep

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """Return the rows that are kept, or those that are held out, `[H, W, C]`."""
        height = len(picture)
        rows = max(self.least, round(self.share * height))
        return picture[: height - rows] if self.keep else picture[height - rows :]


def split(dataset: Dataset, share: float, least: int) -> tuple[Dataset, Dataset]:
    """Split a dataset into a training part and a held-out part.

    Of at least `MIN_FOR_WHOLE_SPLIT` images, every 1/share-th is held out; of fewer, the lowest rows of each image.

    Args:
        dataset: the dataset.
        share: share that is held out, above 0 and below 1.
        least: smallest number of rows in either part of an image: the side of a patch.

    Raises:
        UnnoiseError: an image has too few rows.
    """
    if len(dataset) >= MIN_FOR_WHOLE_SPLIT:
        every = max(2, round(1 / share))
        held_out = range(every // 2, len(dataset), every)
        kept = [index for index in range(len(dataset)) if index not in held_out]
        return Subset(dataset, kept), Subset(dataset, held_out)
    everything = range(len(dataset))
    for index in everything:
        item = dataset[index]
        height = len(item[0] if isinstance(item, tuple) else item)
        if height < 2 * least or height - round(share * height) < least:
            label = dataset.label(index)
            raise UnnoiseError(f"'{label}' has {height} rows: too few to hold out some with patches of {least}")
    upper, lower = (CropRows(share, least, keep=keep) for keep in (True, False))
    return Subset(dataset, everything, upper), Subset(dataset, everything, lower)
