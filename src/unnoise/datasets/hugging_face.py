"""Datasets in the layout of Hugging Face's hub: Parquet files named by part, in a local folder or from the hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from unnoise.datasets.base import ConcatDataset, Dataset, find
from unnoise.datasets.table import Table
from unnoise.errors import UnnoiseError
from unnoise.optional import require
from unnoise.spec import unknown

REVISION = "refs/convert/parquet"
"""Branch in which the hub keeps every public dataset as Parquet, whatever its own files are."""
_SHARD = re.compile(r"(?P<part>[\w.]+?)(?:-\d{5}-of-\d{5})?$")


class HuggingFace(Dataset):
    """A dataset of Hugging Face's hub, or a folder of Parquet files with the same layout.

    Files are `data/train-00000-of-00001.parquet` or `NAME/train/0000.parquet`.
    Images are in a column `clean` or `image`, or in the only one that has images; noisy ones, if any, in `noisy`.

    Args:
        path: "FOLDER", or "USER/NAME" on the hub; "#train" or "#test" at the end selects a part, by default all of
            them. A dataset of the hub is downloaded once, which needs the extra `hf`.
        channels: 1 or 3 to convert; None keeps the channels.
        exclude: not supported.

    Raises:
        UnnoiseError: there is no such folder or dataset, no such part, or no images.
    """

    def __init__(self, path: str, *, channels: int | None = None, exclude: str | None = None) -> None:
        if exclude:
            raise UnnoiseError("exclude is for folders of files, not for datasets of tables")
        place, _, part = path.partition("#")
        folder = _folder(place)
        shards: dict[str, list[Path]] = {}
        for file in sorted(folder.rglob("*.parquet")):
            shards.setdefault(_part(file), []).append(file)
        if not shards:
            raise UnnoiseError(f"no Parquet files in '{folder}'")
        if part and part not in shards:
            raise UnnoiseError(f"hf:{place}: {unknown('part', part, sorted(shards))}")
        files = shards[part] if part else [file for group in shards.values() for file in group]
        self.folder, self.parts = folder, {name: len(group) for name, group in shards.items()}
        self._tables = ConcatDataset([Table(str(file), channels=channels) for file in files])

    def __len__(self) -> int:
        """Return the number of rows of the part."""
        return len(self._tables)

    def __getitem__(self, index: int) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Return (noisy, clean), or a clean image, in their stored data types, `[H, W, C]`."""
        return self._tables[index]

    def label(self, index: int) -> str:
        """Return the name of a row, or its number in its file."""
        return self._tables.label(index)


def _folder(place: str) -> Path:
    """Return a local folder, or the local copy of a dataset of the hub."""
    try:
        folder = find(place)
    except UnnoiseError:
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", place):
            raise
    else:
        if folder.is_file():
            raise UnnoiseError(f"'{folder}' is a file: write table:{place}")
        return folder
    hub: Any = require("huggingface_hub", extra="hf")
    try:
        return Path(hub.snapshot_download(place, repo_type="dataset", revision=REVISION, allow_patterns=["*.parquet"]))
    except Exception as error:  # the library raises those of its HTTP client as well
        why = " ".join(str(error).split())[:200]
        raise UnnoiseError(f"no folder '{place}', and the hub does not give a dataset of this name: {why}") from error


def _part(file: Path) -> str:
    """Return the part that a file belongs to, from its name or, where that is a number, from its folder.

    >>> _part(Path("data/train-00000-of-00002.parquet")), _part(Path("default/test/0000.parquet"))
    ('train', 'test')
    """
    name = file.parent.name if file.stem.isdigit() else file.stem
    found = _SHARD.match(name)
    return (found["part"] if found else name).removeprefix("partial-")
