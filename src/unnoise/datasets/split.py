"""A part of the pictures is held back: what is learned is judged on pixels that it was not learned from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from unnoise.datasets.base import Dataset
from unnoise.errors import UnnoiseError

MIN_FOR_WHOLE_SPLIT = 10
"""From so many pictures on, whole ones are held back; of fewer, a part of each."""

Item = np.ndarray | tuple[np.ndarray, np.ndarray]


class Subset(Dataset):
    """Some of the items of a dataset.

    Args:
        dataset: what is chosen from.
        indices: of the items.
        cut: what is done to each picture of an item.
    """

    def __init__(self, dataset: Dataset, indices: Sequence[int], cut: Callable[[np.ndarray], np.ndarray] | None = None):
        self.dataset, self.indices, self.cut = dataset, indices, cut

    def __len__(self) -> int:
        """Count the items."""
        return len(self.indices)

    def __getitem__(self, index: int) -> Item:
        """Return an item, or what is cut of it."""
        item = self.dataset[self.indices[index]]
        if self.cut is None:
            return item
        return (self.cut(item[0]), self.cut(item[1])) if isinstance(item, tuple) else self.cut(item)

    def label(self, index: int) -> str:
        """Name an item as before."""
        return self.dataset.label(self.indices[index])


class CropRows:
    """Cuts a picture in two, so many rows from below; it travels to other processes, as a closure would not."""

    def __init__(self, share: float, least: int, *, keep: bool) -> None:
        self.share, self.least, self.keep = share, least, keep

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """Return what is kept, or else what is held back, `[H, W, C]`."""
        height = len(picture)
        rows = max(self.least, round(self.share * height))
        return picture[: height - rows] if self.keep else picture[height - rows :]


def split(dataset: Dataset, share: float, least: int) -> tuple[Dataset, Dataset]:
    """Divide a dataset into what is learned from, and what is held back.

    Of `ENOUGH` pictures or more, it is every so-manieth one; of fewer, the lowest rows of each.

    Args:
        dataset: what is divided.
        share: that is held back, above 0 and below 1.
        least: rows that are held back at least, and kept at least, where pictures are cut: the side of a patch.

    Raises:
        UnnoiseError: a picture has too few rows for that.
    """
    if len(dataset) >= MIN_FOR_WHOLE_SPLIT:
        every = max(2, round(1 / share))
        held = range(every // 2, len(dataset), every)
        rest = [index for index in range(len(dataset)) if index not in held]
        return Subset(dataset, rest), Subset(dataset, held)
    everything = range(len(dataset))
    for index in everything:
        item = dataset[index]
        height = len(item[0] if isinstance(item, tuple) else item)
        if height < 2 * least or height - round(share * height) < least:
            label = dataset.label(index)
            raise UnnoiseError(f"'{label}' has {height} rows, too few to hold some back beside a patch of {least}")
    kept, held_back = (CropRows(share, least, keep=keep) for keep in (True, False))
    return Subset(dataset, everything, kept), Subset(dataset, everything, held_back)
