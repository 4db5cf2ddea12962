"""Datasets: pictures to learn from and to be judged on.

`make("images:DIR")` is a dataset, `make("pairs:DIR")` one of noisy and clean pictures; the text after the first colon
is a path, as it is. A relative path that is not found from here is looked for under the data root, the folder that the
variable UNNOISE_DATA names.
"""

from __future__ import annotations

from typing import Any

from unnoise.datasets.base import ConcatDataset, Dataset, Resized
from unnoise.datasets.split import MIN_FOR_WHOLE_SPLIT, split
from unnoise.errors import UnnoiseError
from unnoise.spec import Registry

DATASETS: Registry[Dataset] = Registry(
    "dataset",
    {
        "cifar100": "unnoise.datasets.cifar100:Cifar100",
        "images": "unnoise.datasets.images:Images",
        "mnist": "unnoise.datasets.mnist:Mnist",
        "pairs": "unnoise.datasets.pairs:Pairs",
        "stl10": "unnoise.datasets.stl10:Stl10",
        "table": "unnoise.datasets.table:Table",
    },
)

WHITE = ("images", "pairs")
"""Those that can bring what is white in their pictures to 1."""


def make(
    spec: str | list[str],
    *,
    channels: int | None = None,
    exclude: str | None = None,
    size: int | None = None,
    white: bool = False,
) -> Dataset:
    """Open the dataset that a spec, or a list of them one after the other, names.

    A spec that stands twice in a list makes its pictures count twice.

    Args:
        spec: "images:DIR", "mnist:DIR#test", or several of them.
        channels: 1 to make every picture grey, 3 to make it RGB; None leaves it as it is.
        exclude: a text file of pictures to leave out, one path a line, relative to the file itself.
        size: resize every picture to a square of this side, in pixels; None leaves it.
        white: bring what is white in each picture to 1, as the main job does; for files of pictures alone.

    Raises:
        UnnoiseError: an unknown kind, or nothing to read.
    """
    if isinstance(spec, list):
        opened = {one: make(one, channels=channels, exclude=exclude, size=size, white=white) for one in spec}
        return ConcatDataset([opened[one] for one in spec])
    kind, separator, path = spec.partition(":")
    cls: Any = DATASETS.find(kind)
    if not (separator and path):
        raise UnnoiseError(f"dataset '{spec}': name its place, as in {kind}:FOLDER")
    if white and kind not in WHITE:
        raise UnnoiseError(f"data.white is for {': and '.join(WHITE)}: alone, not for '{spec}'")
    if white:
        dataset = cls(path, channels=channels, exclude=exclude, white=True)
    else:
        dataset = cls(path, channels=channels, exclude=exclude)
    return dataset if size is None else Resized(dataset, size)


__all__ = ["DATASETS", "MIN_FOR_WHOLE_SPLIT", "Dataset", "split", "make"]
