"""Zarr stores of version 2 and 3, OME-Zarr (OME-NGFF) among them: read the image, and write a store with a clean one.

A store is a folder; see https://ngff.openmicroscopy.org for `multiscales`, which names the arrays of a pyramid.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unnoise.errors import UnnoiseError, system_reason
from unnoise.io import atomic, stacks
from unnoise.io.atomic import CommitHook
from unnoise.io.picture import Picture
from unnoise.optional import require

SUFFIX = ".zarr"
_NAMED = "TCZYX"
_FURTHER = "ABDEFGHIJK"  # letters for axes of other names, which count planes
_FIRST_VERSION = "tczyx"  # axes of OME-NGFF before 0.3, which does not name them


@dataclass(frozen=True)
class Store:
    """The image of a Zarr store.

    Attributes:
        folder: of the store.
        levels: paths of its arrays, the largest first; further ones are those of the pyramid.
        axes: of each array, as for `stacks.Stack`.
        shape: of the largest array.
        others: paths of arrays that are no part of the image, such as labels.
    """

    folder: Path
    levels: tuple[str, ...]
    axes: str
    shape: tuple[int, ...]
    others: tuple[str, ...]

    @property
    def pixels(self) -> int:
        """Number of pixels of all planes."""
        sizes = zip(self.axes, self.shape, strict=True)
        return int(np.prod([size for axis, size in sizes if axis not in (stacks.CHANNEL, stacks.SAMPLE)]))

    def read(self) -> Picture:
        """Return the largest array as `stacks.to_picture` does.

        Raises:
            UnnoiseError: it cannot be decoded.
        """
        with _read_errors(self.folder):
            array = np.asarray(_open_array(self.folder, self.levels[0])[...])
        return stacks.to_picture(array, self.axes, None)

    def write(
        self, picture: Picture, target: Path, before_commit: CommitHook | None = None, *, same: bool = False
    ) -> None:
        """Write a copy of the store atomically, with other pixels; its pyramid is averaged again.

        Args:
            picture: as `read` returns it, denoised.
            target: the folder; one that exists is replaced.
            before_commit: as for `atomic.atomic_folder`.
            same: the picture is as it was read, so that all files stay byte for byte.

        Raises:
            UnnoiseError: it cannot be written. An existing target is then unchanged.
        """
        try:
            with atomic.atomic_folder(target, before_commit) as copy:
                shutil.copytree(self.folder, copy, dirs_exist_ok=True, copy_function=shutil.copy)
                for above, _, _ in os.walk(copy):
                    os.chmod(above, os.stat(above).st_mode | stat.S_IRWXU)
                if not same:
                    self._replace_pixels(copy, picture)
        except shutil.Error as error:  # of several files
            source, _, reason = error.args[0][0]
            raise UnnoiseError(f"{target}: cannot be written: {source}: {reason}") from error
        except OSError as error:
            raise UnnoiseError(f"{target}: cannot be written: {system_reason(error, target)}") from error

    def _replace_pixels(self, copy: Path, picture: Picture) -> None:
        values = stacks.from_picture(picture, self.axes, self.shape)
        for level in self.levels:
            array = _open_array(copy, level, mode="r+")
            values = averaged(values, array.shape)
            array[...] = _as_type(values, array.dtype)


def open_store(folder: Path, *, max_pixels: int) -> Store:
    """Find the image of a store by its metadata; no pixels are read.

    Args:
        folder: of the store.
        max_pixels: of all planes.

    Raises:
        UnnoiseError: there is no image, it cannot be denoised, or the store is damaged.
    """
    with _read_errors(folder):
        levels, axes = _image(folder)
        arrays = [_open_array(folder, level) for level in levels]
        shape, dtype = tuple(arrays[0].shape), arrays[0].dtype
        store = Store(folder, levels, axes or _axes_of_array(arrays[0]), shape, tuple(_others(folder, levels)))
        stacks.Stack(store.axes, shape)
        if dtype.kind != "f" and dtype.name not in ("uint8", "uint16"):
            raise UnnoiseError(f"values of type {dtype} are not denoised: only uint8, uint16 and floats")
        if 0 in shape:
            raise UnnoiseError(f"an array of shape {shape} is empty")
        for larger, smaller in itertools.pairwise(arrays):
            if larger.ndim != smaller.ndim or any(map(int.__gt__, smaller.shape, larger.shape)) or 0 in smaller.shape:
                raise UnnoiseError(f"levels of shapes {larger.shape} and {smaller.shape} are no pyramid")
        if store.pixels > max_pixels:
            raise UnnoiseError(f"{store.pixels} pixels are more than the limit of {max_pixels}: raise --max-pixels")
    return store


def check_output(source: Path, target: Path) -> None:
    """Check that a store can be written to a target.

    Raises:
        UnnoiseError: the target has the name of another format, or one of the two folders is in the other.
    """
    if target.suffix.lower() != SUFFIX:
        raise UnnoiseError(f"{source}: Zarr stores are written as such only: write {SUFFIX}")
    inner, outer = source.resolve(), target.resolve()
    if inner in outer.parents or outer in inner.parents:
        raise UnnoiseError(f"{source}: the output {target} must be a folder outside of it, that does not hold it")


def averaged(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return an array of a smaller shape, of which each value is the mean of a block; blocks at the end may be smaller.

    Along axes whose sizes have no whole factor, blocks have fractions of values.
    """
    for axis, (size, wanted) in enumerate(zip(values.shape, shape, strict=True)):
        factor = round(size / wanted)
        if size == wanted:
            continue
        if wanted not in (size // factor, -(-size // factor)):
            from skimage.transform import resize_local_mean

            partly = (*values.shape[:axis], wanted, *values.shape[axis + 1 :])
            values = resize_local_mean(values, partly, preserve_range=True)
            continue
        used = min(size, wanted * factor)
        starts = np.arange(wanted) * factor
        sums = np.add.reduceat(values.take(range(used), axis), starts, axis=axis, dtype=np.float64)
        counts = np.diff([*starts, used]).reshape([-1 if other == axis else 1 for other in range(values.ndim)])
        values = sums / counts
    return values


def _as_type(values: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    if dtype.kind == "f" or values.dtype == dtype:
        return values.astype(dtype)
    return np.clip(np.rint(values), 0, np.iinfo(dtype).max).astype(dtype)


def _image(folder: Path) -> tuple[tuple[str, ...], str]:
    """Return the paths of the arrays of the image, and their axes; "" if only the array itself can tell."""
    if _is_array(folder):
        return ("",), ""
    group = require("zarr", extra="zarr").open_group(folder, mode="r", use_consolidated=False)
    attributes = group.attrs.asdict()
    attributes = attributes.get("ome", attributes)
    if "image-label" in attributes:
        raise UnnoiseError("labels are not denoised")
    if not attributes.get("multiscales"):
        inside = [f"{folder / name}" for name in _others(folder, ())][:1]
        raise UnnoiseError(
            "has no image of its own (multiscales)"
            + (f": name an array in it, such as {inside[0]}, or the image that this is of" if inside else "")
        )
    first = attributes["multiscales"][0]
    levels = tuple(dataset["path"].strip("/") for dataset in first["datasets"])
    return levels, _letters(first.get("axes", _FIRST_VERSION))


def _letters(axes: Any) -> str:
    """Return the letters of axes that metadata name, as strings or with a type."""
    letters, spare = "", iter(_FURTHER)
    for axis in axes:
        name, kind = (axis, "") if isinstance(axis, str) else (axis["name"], axis.get("type", ""))
        known = stacks.CHANNEL if kind == "channel" else name.upper()
        letters += known if len(known) == 1 and known in _NAMED else next(spare)
    return letters


def _axes_of_array(array: Any) -> str:
    """Return the axes that an array names, or else those of an image, a color image or a stack."""
    names = getattr(array.metadata, "dimension_names", None)
    if names and all(names) and {"y", "x"} <= {name.lower() for name in names}:
        return _letters(names)
    if array.ndim == 2:
        return stacks.PLANE
    if array.ndim == 3:
        return stacks.PLANE + stacks.SAMPLE if array.shape[2] in (3, 4) else "Z" + stacks.PLANE
    raise UnnoiseError(f"nothing names the axes of an array of shape {array.shape}")


def _open_array(folder: Path, level: str, mode: Any = "r") -> Any:
    """Open an array; one whose decoding would run code of the store is refused."""
    array = require("zarr", extra="zarr").open_array(folder, path=level, mode=mode)
    described = {key: value for key, value in array.metadata.to_dict().items() if key != "attributes"}
    if "pickle" in str(described).lower():
        raise UnnoiseError("a pickle can run any code: it is not read")
    return array


def _is_array(folder: Path) -> bool:
    try:
        return json.loads((folder / "zarr.json").read_bytes()).get("node_type") == "array"
    except FileNotFoundError:
        return (folder / ".zarray").is_file()


def _others(folder: Path, levels: tuple[str, ...]) -> Iterator[str]:
    """Yield the paths of the arrays of a store that are not among its levels."""
    for above, folders, _ in os.walk(folder):
        folders.sort()
        if _is_array(Path(above)):
            folders.clear()  # its chunks
            path = Path(above).relative_to(folder).as_posix()
            if path not in levels and path != ".":
                yield path


@contextlib.contextmanager
def _read_errors(folder: Path) -> Iterator[None]:
    """Turn the errors of the library, of which there are many kinds, into one line that names the store."""
    try:
        yield
    except UnnoiseError as error:
        raise UnnoiseError(f"{folder}: {error}") from error
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UnnoiseError(f"{folder}: damaged, or not a store of a known kind: {lines[0][:200]}") from error
