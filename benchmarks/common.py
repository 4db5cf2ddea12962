"""What the benchmarks share: their command line, and parts of datasets."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from unnoise.datasets.base import Dataset


def parser(description: str | None, *, data: bool = False) -> argparse.ArgumentParser:
    """Return a parser that shows the module's docstring as it stands.

    Args:
        description: `__doc__` of the script.
        data: whether it takes `--data`, the folder of the image sets.
    """
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if data:
        made.add_argument("--data", type=Path, default=Path("../shared/data"))
    return made


class First(Dataset):
    """The first images of a dataset."""

    def __init__(self, dataset: Dataset, limit: int) -> None:
        self.dataset, self.limit = dataset, limit

    def __len__(self) -> int:
        """Count them."""
        return min(self.limit, len(self.dataset))

    def __getitem__(self, index: int) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Return one image, or a pair."""
        return self.dataset[index]

    def label(self, index: int) -> str:
        """Return its name."""
        return self.dataset.label(index)
