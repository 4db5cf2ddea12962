"""Datasets for training and evaluation.

`make("images:DIR")` opens a folder of images, `make("pairs:DIR")` one of noisy and clean images; the text after the
first colon is a path. Relative paths are searched in the working directory, then in the data root, the folder that the
environment variable UNNOISE_DATA names.
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
        "csv": "unnoise.datasets.csv_list:CsvList",
        "hf": "unnoise.datasets.hugging_face:HuggingFace",
        "images": "unnoise.datasets.images:Images",
        "mnist": "unnoise.datasets.mnist:Mnist",
        "pairs": "unnoise.datasets.pairs:Pairs",
        "stl10": "unnoise.datasets.stl10:Stl10",
        "table": "unnoise.datasets.table:Table",
    },
)

WHITE = ("images", "pairs")
"""Kinds of datasets that support `white`."""


def make(
    spec: str | list[str],
    *,
    channels: int | None = None,
    exclude: str | None = None,
    size: int | None = None,
    white: bool = False,
) -> Dataset:
    """Open a dataset, or several datasets concatenated.

    Images of a spec that is listed twice count twice.

    Args:
        spec: "images:DIR", "mnist:DIR#test", or a list of specs.
        channels: 1 to convert all images to gray, 3 to RGB; None keeps their channels.
        exclude: text file of images to leave out, one path a line, relative to the file.
        size: resize all images to squares of this side, in pixels; None keeps their size.
        white: scale each image so that its white level is 1, as `unnoise clean` does; for folders of files only.

    Raises:
        UnnoiseError: an unknown kind of dataset, or no images.
    """
    if isinstance(spec, list):
        opened = {one: make(one, channels=channels, exclude=exclude, size=size, white=white) for one in spec}
        return ConcatDataset([opened[one] for one in spec])
    kind, separator, path = spec.partition(":")
    cls: Any = DATASETS.find(kind)
    if not (separator and path):
        raise UnnoiseError(f"dataset '{spec}' has no path: write {kind}:FOLDER")
    if white and kind not in WHITE:
        raise UnnoiseError(f"data.normalize_white needs {': or '.join(WHITE)}: datasets, got '{spec}'")
    if white:
        dataset = cls(path, channels=channels, exclude=exclude, white=True)
    else:
        dataset = cls(path, channels=channels, exclude=exclude)
    return dataset if size is None else Resized(dataset, size)


__all__ = ["DATASETS", "MIN_FOR_WHOLE_SPLIT", "Dataset", "split", "make"]
