"""What images there are below the data root, and whether those of a dataset can be read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from unnoise import io
from unnoise.datasets import make
from unnoise.datasets.base import DATA_ROOT, Dataset
from unnoise.datasets.pairs import ENDINGS
from unnoise.errors import UnnoiseError

_FILES = {
    "cifar-100-python": "cifar100", "cifar-100-binary": "cifar100", "train-images-idx3-ubyte": "mnist",
    "train-images-idx3-ubyte.gz": "mnist", "train_X.bin": "stl10",
}  # fmt: skip
"""Names of files or folders by which sets in a format of their own are recognized."""


@dataclass(frozen=True)
class Found:
    """A set of images.

    Attributes:
        spec: the dataset spec that opens it.
        place: where it is.
        files: number of image files, tables or archives.
        megabytes: their size.
    """

    spec: str
    place: str
    files: int
    megabytes: float


@dataclass
class Checked:
    """What the images of a dataset are.

    Attributes:
        spec: the dataset spec.
        items: number of images, or of pairs.
        pairs: whether they are pairs.
        kinds: "3 channels, uint8" -> number of images.
        smallest: width and height of the image with the fewest pixels.
        largest: width and height of the image with the most pixels.
        errors: a line for each item that cannot be read.
    """

    spec: str
    items: int = 0
    pairs: bool = False
    kinds: dict[str, int] = field(default_factory=dict)
    smallest: tuple[int, int] = (0, 0)
    largest: tuple[int, int] = (0, 0)
    errors: list[str] = field(default_factory=list)


def root() -> Path:
    """Return the data root, which need not exist."""
    return Path(os.environ.get("UNNOISE_DATA", DATA_ROOT))


def find_sets(folder: Path) -> Iterator[Found]:
    """Yield the sets of images in the folders of a folder, and its tables and lists, sorted by name.

    Raises:
        UnnoiseError: there is no such folder.
    """
    if not folder.is_dir():
        raise UnnoiseError(f"no folder '{folder}': set UNNOISE_DATA to the folder that holds your images")
    for entry in sorted(folder.iterdir()):
        if entry.is_file():
            kind = {".parquet": "table", ".csv": "csv"}.get(entry.suffix.lower())
            if kind:
                yield Found(f"{kind}:{entry.name}", str(entry), 1, entry.stat().st_size / 1e6)
            continue
        files = [path for path in entry.rglob("*") if path.is_file()]
        if found := _describe(entry, files):
            yield found


def _describe(entry: Path, files: list[Path]) -> Found | None:
    own = next((kind for path in entry.rglob("*") if (kind := _FILES.get(path.name))), None)
    pictures = [path for path in files if io.is_picture(path)]
    tables = [path for path in files if path.suffix.lower() == ".parquet"]
    if own:
        kind, counted = own, files
    elif pictures:
        noisy = tuple(ENDINGS)
        kind, counted = ("pairs" if any(path.stem.endswith(noisy) for path in pictures) else "images"), pictures
    elif tables:
        kind, counted = "hf", tables
    else:
        return None
    return Found(f"{kind}:{entry.name}", str(entry), len(counted), sum(path.stat().st_size for path in counted) / 1e6)


def check(spec: str, progress: Callable[[str], None] = lambda _: None) -> Checked:
    """Read every image of a dataset.

    Args:
        spec: the dataset spec.
        progress: called with a line per image.

    Raises:
        UnnoiseError: the dataset cannot be opened.
    """
    dataset: Dataset = make(spec)
    found, sizes = Checked(spec, len(dataset)), []
    for index in range(len(dataset)):
        try:
            item = dataset[index]
        except UnnoiseError as error:
            label = dataset.label(index)
            found.errors.append(str(error) if label in str(error) else f"{label}: {error}")
            continue
        found.pairs = found.pairs or isinstance(item, tuple)
        images: tuple[np.ndarray, ...] = item if isinstance(item, tuple) else (item,)
        for image in images:
            kind = f"{image.shape[2]} channel{'s' * (image.shape[2] > 1)}, {image.dtype}"
            found.kinds[kind] = found.kinds.get(kind, 0) + 1
        sizes.append((images[-1].shape[1], images[-1].shape[0]))
        progress(f"{spec}: {index + 1} of {len(dataset)}")
    if sizes:
        found.smallest, found.largest = (pick(sizes, key=lambda size: size[0] * size[1]) for pick in (min, max))
    return found
