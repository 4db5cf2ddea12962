"""What a dataset is, where its files are found, and how its pixels are stored."""

from __future__ import annotations

import bisect
import itertools
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from skimage import transform

from unnoise import io
from unnoise.errors import UnnoiseError
from unnoise.io.picture import white_level
from unnoise.spec import unknown

_PAGED = (".tif", ".tiff", ".webp", ".gif")
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601, as rgb2gray in the literature's test sets


class Dataset(ABC):
    """A sequence of pictures `[H, W, C]`, or of pairs of them, in the type they are stored in (see `as_float`)."""

    @abstractmethod
    def __len__(self) -> int:
        """Count the items."""

    @abstractmethod
    def __getitem__(self, index: int) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Return a clean picture, or `(noisy, clean)`: uint8, uint16 or float32 `[H, W, C]`."""

    @abstractmethod
    def label(self, index: int) -> str:
        """Name an item, for tables and messages."""


class ConcatDataset(Dataset):
    """Several datasets, one after the other."""

    def __init__(self, members: list[Dataset]) -> None:
        self.members = members
        self._ends = list(itertools.accumulate(map(len, members)))

    def __len__(self) -> int:
        """Count the items of all members."""
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Return the item of the member that holds it."""
        member, inner = self._find(index)
        return member[inner]

    def label(self, index: int) -> str:
        """Name the item as its member does."""
        member, inner = self._find(index)
        return member.label(inner)

    def _find(self, index: int) -> tuple[Dataset, int]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        member = bisect.bisect_right(self._ends, index)
        return self.members[member], index - (self._ends[member - 1] if member else 0)


class Resized(Dataset):
    """A dataset whose pictures are brought to one size, and kept; their proportions are not.

    Args:
        dataset: what is resized.
        size: side of the squares, in pixels.
    """

    def __init__(self, dataset: Dataset, size: int) -> None:
        self.dataset, self.size = dataset, size
        self._resized: dict[int, np.ndarray | tuple[np.ndarray, np.ndarray]] = {}

    def __len__(self) -> int:
        """Count the items."""
        return len(self.dataset)

    def __getitem__(self, index: int) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Return an item, resized, in its stored type."""
        if index not in self._resized:
            item = self.dataset[index]
            fitted = (self._fit(item[0]), self._fit(item[1])) if isinstance(item, tuple) else self._fit(item)
            self._resized[index] = fitted
        return self._resized[index]

    def label(self, index: int) -> str:
        """Name the item as before."""
        return self.dataset.label(index)

    def _fit(self, pixels: np.ndarray) -> np.ndarray:
        if pixels.shape[:2] == (self.size, self.size):
            return pixels
        smaller = max(pixels.shape[:2]) > self.size
        fitted = np.asarray(transform.resize(as_float(pixels), (self.size, self.size), order=1, anti_aliasing=smaller))
        if pixels.dtype.kind == "u":
            fitted = np.rint(fitted * np.iinfo(pixels.dtype).max)
        return fitted.astype(pixels.dtype)


def as_float(pixels: np.ndarray) -> np.ndarray:
    """Turn stored pixels into float32 in [0, 1]: integers are divided by their full scale, floats stay."""
    if pixels.dtype.kind == "u":
        return pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)
    return pixels.astype(np.float32, copy=False)


def with_channels(pixels: np.ndarray, channels: int | None) -> np.ndarray:
    """Make a picture grey (BT.601 luma, rounded for integers) or RGB (copies of grey); None leaves it as it is."""
    have = pixels.shape[2]
    if channels in (None, have):
        return pixels
    if (have, channels) == (1, 3):
        return np.repeat(pixels, 3, axis=2)
    if (have, channels) == (3, 1):
        luma = pixels.astype(np.float32) @ LUMA[:, None]
        return (np.rint(luma) if pixels.dtype.kind == "u" else luma).astype(pixels.dtype)
    raise UnnoiseError(f"a picture of {have} channels cannot be made one of {channels}")


def find(path: str) -> Path:
    """Find a file or folder from here, else under the data root (UNNOISE_DATA, or ../shared/data).

    Raises:
        UnnoiseError: it is in neither place.
    """
    root = Path(os.environ.get("UNNOISE_DATA", "../shared/data"))
    for candidate in (Path(path), root / path):
        if candidate.exists():
            return candidate
    raise UnnoiseError(f"no data at '{path}', nor under '{root}': set UNNOISE_DATA to the folder that holds it")


def split_part(path: str, parts: Sequence[str]) -> tuple[str, str]:
    """Divide "PATH#part" into path and part; the first of `parts` where none is named.

    Raises:
        UnnoiseError: a part that there is not.
    """
    place, _, part = path.partition("#")
    if part and part not in parts:
        raise UnnoiseError(unknown("part", part, parts))
    return place, part or parts[0]


def list_pictures(folder: Path, exclude: str | None = None) -> list[Path]:
    """Return the pictures of a folder and its sub-folders, sorted; a picture's own path names just that one.

    Args:
        folder: where to look.
        exclude: text file of pictures to leave out, one path a line, relative to the file; `#` begins a comment.

    Raises:
        UnnoiseError: there are none, or the list names one that does not exist.
    """
    left_out = _read_list(find(exclude)) if exclude else set()
    files = [folder] if folder.is_file() else sorted(folder.rglob("*"))
    pictures = [path for path in files if io.is_picture(path) and path.resolve() not in left_out]
    if not pictures:
        raise UnnoiseError(f"no pictures in '{folder}'")
    return pictures


def read_stored(path: Path, channels: int | None = None) -> np.ndarray:
    """Read a picture's colours in the type that they are stored in, `[H, W, C]`; see `with_channels`."""
    picture = io.read(path)
    return with_channels(picture.samples()[:, :, : picture.header.colours], channels)


def read_white(paths: Sequence[Path], channels: int | None = None) -> list[np.ndarray]:
    """Read the colours of pictures of one scene as float32 `[H, W, C]`, with what is white in the brightest at 1.

    So does the main job show pictures to a model (see `denoisers.spanned`): 12 bits within 16, counts of photons.
    """
    pictures = [io.read(path) for path in paths]
    white = np.float32(max(white_level(picture.pixels, picture.dtype) for picture in pictures))
    return [with_channels(picture.pixels / white, channels) for picture in pictures]


def count_pages(path: Path) -> int:
    """Count the pages of a file, by its header, where its kind has pages."""
    return io.RowReader(path).header.pages if path.suffix.lower() in _PAGED else 1


def _read_list(path: Path) -> set[Path]:
    lines = (line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    listed = {(path.parent / line).resolve() for line in lines if line}
    for one in sorted(listed):
        if not one.exists():  # a list that is misplaced would let test pictures into the training
            raise UnnoiseError(f"'{path}' leaves out '{one.name}', which is not there: put the list where it belongs")
    return listed
