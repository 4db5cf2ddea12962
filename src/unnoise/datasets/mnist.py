"""MNIST: handwritten digits in IDX files (LeCun, Bottou, Bengio, Haffner, Proc. IEEE 86(11), 1998).

An IDX file consists of two zero bytes, a type code (8: unsigned bytes), the number of dimensions, each dimension as a
big-endian 32-bit integer, and the values in C order. Fashion-MNIST, KMNIST and EMNIST use the same format.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from unnoise.datasets.base import Dataset, find, split_part, with_channels
from unnoise.errors import UnnoiseError

PARTS = {"train": "train", "test": "t10k"}
_GZIP = b"\x1f\x8b"


class Mnist(Dataset):
    """The digits of one part, uint8 `[28, 28, 1]`, in the order of the file.

    Args:
        path: "FOLDER#train" or "FOLDER#test"; the folder holds `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`
            and the same with `t10k` for the test, plain or as `.gz`.
        channels: 3 for three equal channels.
        exclude: not supported, since there are no files of single images.

    Attributes:
        labels: the digit in each image, uint8 `[N]`, 0 to 9.

    Raises:
        UnnoiseError: a file is missing, is not an IDX file of bytes, has the wrong length, or the two do not match.
    """

    def __init__(self, path: str, *, channels: int | None = None, exclude: str | None = None) -> None:
        if exclude:
            raise UnnoiseError("data.exclude does not work for mnist, which has no files of single images")
        place, self.part = split_part(path, list(PARTS))
        folder, stem = find(place), PARTS[self.part]
        self._images = read_idx(_either(folder, f"{stem}-images-idx3-ubyte"), dimensions=3)
        self.labels = read_idx(_either(folder, f"{stem}-labels-idx1-ubyte"), dimensions=1)
        self.channels = channels
        if not len(self._images) == len(self.labels) > 0:
            raise UnnoiseError(f"'{folder}' has {len(self._images)} images and {len(self.labels)} labels in {stem}")

    def __len__(self) -> int:
        """Return the number of digits."""
        return len(self._images)

    def __getitem__(self, index: int) -> np.ndarray:
        """Return a digit, uint8 `[28, 28, C]`."""
        return with_channels(self._images[index, :, :, None], self.channels)

    def label(self, index: int) -> str:
        """Return the part, the index and the digit: "test 0 (7)"."""
        return f"{self.part} {index} ({self.labels[index]})"


def read_idx(path: Path, *, dimensions: int) -> np.ndarray:
    """Read an IDX file of unsigned bytes, plain or compressed by gzip.

    Args:
        path: the file.
        dimensions: number of dimensions that it must have.

    Returns:
        uint8 array of the shape in the header, read-only.

    Raises:
        UnnoiseError: it cannot be read, or is another kind of file.
    """
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if data.startswith(_GZIP) else data
    except (OSError, EOFError, zlib.error) as error:
        raise UnnoiseError(f"cannot read '{path}': {error}") from error
    header = 4 + 4 * dimensions
    if data[:4] != bytes([0, 0, 8, dimensions]) or len(data) < header:
        raise UnnoiseError(f"'{path}' is not an IDX file of unsigned bytes in {dimensions} dimensions")
    shape = tuple(int(length) for length in np.frombuffer(data, ">u4", dimensions, offset=4))
    if len(data) - header != math.prod(shape):
        stated = "x".join(map(str, shape))
        raise UnnoiseError(f"'{path}' must hold {stated} values and holds {len(data) - header}: download it again")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def _either(folder: Path, name: str) -> Path:
    """Return the plain file if it exists, else the compressed one."""
    for candidate in (folder / name, folder / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    raise UnnoiseError(f"no file '{name}' in '{folder}', nor '{name}.gz'")
