"""Addresses: folders in object stores, such as `s3://bucket/scans/`, through fsspec and universal_pathlib.

Whatever fsspec knows (S3, Google, Azure, HDFS, SFTP) is named `PROTOCOL://...`. Such paths have the methods of
pathlib's, and stand where a `Path` is expected as long as only names are asked for; what is in them is worked on as a
copy on this disk. An object appears whole or not at all, as a file does that is renamed.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from unnoise.errors import UnnoiseError
from unnoise.optional import require

OWN = ".unnoise"
"""Folder in a folder of outputs for what waits there to take its place."""


def is_remote(name: str | Path) -> bool:
    """Tell whether a name is an address, and no path on this machine."""
    return "://" in str(name)


def to_path(name: str | Path) -> Path:
    """Return the path that a name stands for: pathlib's, or for an address one with the same methods.

    Raises:
        UnnoiseError: universal_pathlib, or what speaks the protocol, is not installed; or nobody knows the protocol.
    """
    if not is_remote(name):
        return Path(name)
    try:
        made = require("upath", extra="ray").UPath(str(name))
        made.fs  # noqa: B018  (is made now, and may be missing)
    except (ImportError, ValueError) as error:
        raise UnnoiseError(f"'{name}': {error}") from error
    return made


def files(named: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the files at an address, each with its place below it; an address that is a file, or nothing, is its own.

    Raises:
        UnnoiseError: the store cannot be reached, or refuses.
    """
    with store_errors(named):
        store = _store(named)
        if not store.isdir(store_path(named)):
            yield named, Path(named.name)
            return
        for inner in sorted(store.find(store_path(named))):
            yield to_path(store.unstrip_protocol(inner)), Path(PurePosixPath(inner).relative_to(store_path(named)))


def matches(pattern: Path) -> list[Path]:
    """Return the addresses that a pattern stands for, in order.

    Raises:
        UnnoiseError: as `files`.
    """
    with store_errors(pattern):
        store = _store(pattern)
        return [to_path(store.unstrip_protocol(match)) for match in sorted(store.glob(store_path(pattern)))]


def store_path(address: Path) -> str:
    """Return the name that the store itself has for an address."""
    return address.path  # type: ignore[attr-defined]


@contextlib.contextmanager
def local_copies(source: Path, target: Path, *, known: bool) -> Iterator[tuple[Path, Path]]:
    """Give paths on this disk for a source and its target; of an address, a copy that is gone afterwards.

    Args:
        source: is fetched.
        target: where something stands there, so it does in its copy.
        known: whether what stands at the target matters; else its copy is empty.

    Raises:
        UnnoiseError: the store cannot be reached, or refuses.
    """
    with tempfile.TemporaryDirectory(prefix="unnoise-") as folder:
        here = source
        if is_remote(source):
            here = Path(folder, "in", source.name)
            fetch(source, here)
        if target == source:
            yield here, here
            return
        there = target
        if is_remote(target):
            there = Path(folder, "out", target.name)
            there.parent.mkdir()
            stands = exists(target)
            if stands and known:
                fetch(target, there)
            elif stands:
                there.touch()
        yield here, there


def fetch(address: Path, here: Path) -> None:
    """Copy what is at an address to this disk.

    Raises:
        UnnoiseError: there is nothing, or the store cannot be reached, or refuses.
    """
    here.parent.mkdir(parents=True, exist_ok=True)
    with store_errors(address):
        _store(address).get_file(store_path(address), os.fspath(here))


def exists(address: Path) -> bool:
    """Tell whether there is something.

    Raises:
        UnnoiseError: the store cannot be reached, or refuses.
    """
    with store_errors(address):
        return bool(_store(address).exists(store_path(address)))


def read(address: Path) -> bytes:
    """Return all bytes of a file.

    Raises:
        UnnoiseError: as `fetch`.
    """
    with store_errors(address):
        return bytes(_store(address).cat_file(store_path(address)))


def write(data: bytes, address: Path) -> None:
    """Make a file of bytes, at once or not at all.

    Raises:
        UnnoiseError: as `put`.
    """
    with store_errors(address):
        address.parent.mkdir(parents=True, exist_ok=True)
        _store(address).pipe_file(store_path(address), data)


def put(here: Path, address: Path) -> None:
    """Copy a file of this disk to an address.

    Raises:
        UnnoiseError: the store cannot be reached, or refuses.
    """
    with store_errors(address):
        address.parent.mkdir(parents=True, exist_ok=True)  # which an object store takes note of, and no more
        _store(address).put_file(os.fspath(here), store_path(address))


def move(waiting: Path, address: Path) -> None:
    """Let what waits at one address of a store take its place at another; no bytes leave the store.

    Raises:
        UnnoiseError: the store cannot be reached, or refuses.
    """
    with store_errors(address):
        address.parent.mkdir(parents=True, exist_ok=True)
        _store(address).mv(store_path(waiting), store_path(address))


def remove(address: Path) -> None:
    """Remove a file, or a folder with all that is in it, if it is there.

    Raises:
        UnnoiseError: the store cannot be reached, or refuses.
    """
    with store_errors(address), contextlib.suppress(FileNotFoundError):
        _store(address).rm(store_path(address), recursive=True)


@contextlib.contextmanager
def store_errors(address: Path) -> Iterator[None]:
    """Tell in one line what a store says no with: of the many clients, each has errors of its own."""
    try:
        yield
    except UnnoiseError:
        raise
    except FileNotFoundError as error:
        raise UnnoiseError(f"{address}: no such file") from error
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise UnnoiseError(f"{address}: the object store refused the request: {text}") from error


def _store(address: Path) -> Any:
    """Return the file system of fsspec behind an address, with nothing remembered from before."""
    store = address.fs  # type: ignore[attr-defined]
    store.invalidate_cache()
    return store
