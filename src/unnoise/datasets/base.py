"""The base class of datasets, and helpers to find and read image files."""

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
from unnoise.io import formats
from unnoise.io.value_range import ValueRange, estimate_range
from unnoise.spec import unknown

DATA_ROOT = "../shared/data"
"""The data root where UNNOISE_DATA is not set."""
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601, as rgb2gray in the literature's test sets


class Dataset(ABC):
    """A sequence of images `[H, W, C]`, or of pairs of images, in their stored data type (see `as_float`)."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of items."""

    @abstractmethod
    def __getitem__(self, index: int) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Return a clean image, or `(noisy, clean)`: uint8, uint16 or float32 `[H, W, C]`."""

    @abstractmethod
    def label(self, index: int) -> str:
        """Return the name of an item, for tables and messages."""


class ConcatDataset(Dataset):
    """Several datasets, concatenated."""

    def __init__(self, members: list[Dataset]) -> None:
        self.members = members
        self._ends = list(itertools.accumulate(map(len, members)))

    def __len__(self) -> int:
        """Return the number of items of all members."""
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Return the item of the member that holds it."""
        member, inner = self._find(index)
        return member[inner]

    def label(self, index: int) -> str:
        """Return the name that the member gives the item."""
        member, inner = self._find(index)
        return member.label(inner)

    def _find(self, index: int) -> tuple[Dataset, int]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        member = bisect.bisect_right(self._ends, index)
        return self.members[member], index - (self._ends[member - 1] if member else 0)


class Resized(Dataset):
    """A dataset whose images are resized to squares, regardless of their aspect ratio, and kept in memory.

    Args:
        dataset: the dataset to resize.
        size: side of the squares, in pixels.
    """

    def __init__(self, dataset: Dataset, size: int) -> None:
        self.dataset, self.size = dataset, size
        self._resized: dict[int, np.ndarray | tuple[np.ndarray, np.ndarray]] = {}

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.dataset)

    def __getitem__(self, index: int) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Return a resized item in its stored data type."""
        if index not in self._resized:
            item = self.dataset[index]
            fitted = (self._fit(item[0]), self._fit(item[1])) if isinstance(item, tuple) else self._fit(item)
            self._resized[index] = fitted
        return self._resized[index]

    def label(self, index: int) -> str:
        """Return the name of an item."""
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
    """Convert stored pixels to float32 in [0, 1]: integers are divided by the largest value of their type."""
    if pixels.dtype.kind == "u":
        return pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)
    return pixels.astype(np.float32, copy=False)


def with_channels(pixels: np.ndarray, channels: int | None) -> np.ndarray:
    """Convert an image to gray (BT.601 luma, rounded for integers) or RGB (copies of gray); None keeps the channels."""
    have = pixels.shape[2]
    if channels in (None, have):
        return pixels
    if (have, channels) == (1, 3):
        return np.repeat(pixels, 3, axis=2)
    if (have, channels) == (3, 1):
        luma = pixels.astype(np.float32) @ LUMA[:, None]
        return (np.rint(luma) if pixels.dtype.kind == "u" else luma).astype(pixels.dtype)
    raise UnnoiseError(f"cannot convert an image of {have} channels to {channels}")


def find(path: str) -> Path:
    """Return an existing file or folder, relative to the working directory or to the data root, UNNOISE_DATA.

    Raises:
        UnnoiseError: it is in neither place.
    """
    root = Path(os.environ.get("UNNOISE_DATA", DATA_ROOT))
    for candidate in (Path(path), root / path):
        if candidate.exists():
            return candidate
    raise UnnoiseError(f"no data at '{path}' or in '{root}': set UNNOISE_DATA to the folder that holds it")


def split_part(path: str, parts: Sequence[str]) -> tuple[str, str]:
    """Split "PATH#part" into path and part, by default the first of `parts`.

    Raises:
        UnnoiseError: an unknown part.
    """
    place, _, part = path.partition("#")
    if part and part not in parts:
        raise UnnoiseError(unknown("part", part, parts))
    return place, part or parts[0]


def list_pictures(folder: Path, exclude: str | None = None) -> list[Path]:
    """Return the image files of a folder and its sub-folders, sorted; or the file itself if it is one.

    Args:
        folder: a folder or an image file.
        exclude: text file of images to leave out, one path a line, relative to the file; `#` starts a comment.

    Raises:
        UnnoiseError: there are no images, or an excluded one does not exist.
    """
    left_out = _read_list(find(exclude)) if exclude else set()
    files = [folder] if folder.is_file() else sorted(folder.rglob("*"))
    pictures = [path for path in files if io.is_picture(path) and path.resolve() not in left_out]
    if not pictures:
        raise UnnoiseError(f"no images in '{folder}'")
    return pictures


def read_stored(path: Path, channels: int | None = None) -> np.ndarray:
    """Read an image without alpha in its stored data type, `[H, W, C]`; see `with_channels`.

    The nodata value of floats becomes NaN.
    """
    picture = io.read(path)
    samples = picture.samples()[:, :, picture.layout.channels]
    if samples.dtype.kind == "f":  # integers have no value for missing ones
        samples = np.where(np.isneginf(picture.pixels), np.float32(np.nan), samples)
    return with_channels(samples, channels)


def read_white(paths: Sequence[Path], channels: int | None = None) -> list[np.ndarray]:
    """Read images of one scene without alpha as float32 `[H, W, C]`, scaled so that the highest white level is 1.

    Models get images with the same scaling in `unnoise clean` (see `denoisers.rescaled`), such as 12 bits in 16 or
    photon counts.
    """
    pictures = [io.read(path) for path in paths]
    found = [estimate_range(picture.pixels, picture.dtype) for picture in pictures]
    joint = ValueRange(min(one.black for one in found), max(one.white for one in found))
    return [with_channels(joint.normalize(picture.pixels), channels) for picture in pictures]


def count_pages(path: Path) -> int:
    """Return the number of pages of a file from its header; 1 for formats without pages, and for damaged files."""
    kind = formats.by_suffix(path.suffix)
    if kind is not None and kind.name == "PNG":  # of which few have frames
        kind = formats.kind_of_file(path)
    if not isinstance(kind, formats.Format) or not kind.pages:
        return 1
    try:
        return io.RowReader(path).header.pages
    except UnnoiseError:  # which is raised again, where the file is read
        return 1


def _read_list(path: Path) -> set[Path]:
    lines = (line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    listed = {(path.parent / line).resolve() for line in lines if line}
    for one in sorted(listed):
        if not one.exists():  # a misplaced list would let test images into the training
            raise UnnoiseError(f"'{path}' excludes '{one.name}', which does not exist: paths are relative to the list")
    return listed
