"""CIFAR-100: 32x32 color images (Krizhevsky, 2009), in the files of its binary and of its Python version.

The Python version consists of pickles, which can run arbitrary code. Here pickles are read with stand-in classes for
the names that these files need, so that not even NumPy code is run; any other name is refused.
"""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from unnoise.datasets.packed import Packed, map_file
from unnoise.errors import UnnoiseError

PARTS = ["train", "test"]
SHAPE = (3, 32, 32)  # red, green and blue plane, row by row
_RECORD = np.dtype([("coarse", "u1"), ("fine", "u1"), ("picture", "u1", SHAPE)])


class Cifar100(Packed):
    """The images of one part, uint8 `[32, 32, 3]`, in the order of the file.

    Args:
        path: "FOLDER#train" or "FOLDER#test", optionally with a range; see `packed.Packed`. The folder holds
            `train.bin` and `test.bin` (binary version), or `train` and `test` (Python version).
        channels: 1 to convert to gray.
        exclude: not supported.
    """

    def __init__(self, path: str, *, channels: int | None = None, exclude: str | None = None) -> None:
        super().__init__(path, PARTS, channels=channels, exclude=exclude)

    def open(self) -> np.ndarray:
        """Memory-map the binary file, or read the pickle."""
        binary, pickled = self.folder / f"{self.part}.bin", self.folder / self.part
        if binary.is_file():
            planes = map_file(binary, _RECORD)["picture"]
        elif pickled.is_file():
            planes = read_pickle(pickled)
        else:
            raise UnnoiseError(f"no '{binary.name}' in '{self.folder}', nor '{pickled.name}' of the Python version")
        return planes.transpose(0, 2, 3, 1)


def read_pickle(path: Path) -> np.ndarray:
    """Read the images from a file of the Python version without running any code in it.

    Returns:
        uint8 `[N, 3, 32, 32]`, read-only.

    Raises:
        UnnoiseError: it cannot be read, names anything but arrays, or holds no images.
    """
    try:
        with path.open("rb") as file:
            stored = _Reader(file, encoding="bytes").load()
    except OSError as error:
        raise UnnoiseError(f"cannot read '{path}': {error.strerror}") from error
    except Exception as error:  # a broken stream can raise anything
        raise UnnoiseError(f"'{path}' is refused: {error}") from error
    array = {_text(key): value for key, value in stored.items()}.get("data") if isinstance(stored, dict) else None
    if not (isinstance(array, _Array) and array.data and array.kind == "u1" and not array.by_columns):
        raise UnnoiseError(f"'{path}' is not a CIFAR-100 file: it has no bytes named 'data'")
    values = math.prod(SHAPE)
    if array.shape[1:] != (values,) or len(array.data) != array.shape[0] * values:
        raise UnnoiseError(f"'{path}' is not a CIFAR-100 file: its images do not have {values} values each")
    return np.frombuffer(array.data, np.uint8).reshape(-1, *SHAPE)


class _Kind:
    """Stand-in for `numpy.dtype` that keeps its code, "u1"."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.code = _text(code)

    def __setstate__(self, state: Any) -> None:
        """Ignore byte order and fields: only bytes are supported."""


class _Array:
    """Stand-in for `numpy.ndarray` and its constructor that keeps the arguments."""

    shape: tuple[int, ...] = ()
    kind = ""
    by_columns = False
    data: bytes | None = None

    def __init__(self, *_: Any) -> None:
        """Ignore the arguments of the constructor."""

    def __setstate__(self, state: Any) -> None:
        """Set (version, shape, data type, Fortran order, bytes)."""
        _, shape, kind, self.by_columns, data = state
        if not isinstance(data, bytes):
            raise pickle.UnpicklingError("an array in it holds more than bytes")
        self.shape, self.kind, self.data = tuple(shape), kind.code, data


class _Bytes:
    """Stand-in for `_codecs.encode`, with which Python 3 stores bytes in old pickles."""

    def __new__(cls, text: str, encoding: str) -> bytes:  # type: ignore[misc]
        """Return the bytes instead of an object."""
        return text.encode("latin-1")

    def __setstate__(self, state: Any) -> None:
        """Do nothing."""


# All are classes with `__setstate__`: without it, a pickle can set any attribute of an object.
_STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Kind,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("_codecs", "encode"): _Bytes,
}


class _Reader(pickle.Unpickler):
    """Reads plain containers and arrays only."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for a name; refuse all others."""
        try:
            return _STAND_INS[module, name]
        except KeyError:
            _refuse(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> NoReturn:
        """Refuse objects outside the file."""
        _refuse("an object outside")


def _refuse(name: str) -> NoReturn:
    raise pickle.UnpicklingError(f"it names {name}, and only arrays and plain containers are read")


def _text(key: Any) -> Any:
    return key.decode("latin-1") if isinstance(key, bytes) else key
