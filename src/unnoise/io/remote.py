"""Files in object stores, such as `s3://bucket/scans/`, through fsspec and universal_pathlib.

The address of a remote file is `PROTOCOL://...`, for all protocols of fsspec (S3, Google, Azure, HDFS, SFTP). Its path
has the methods of pathlib, and can be used as a `Path` as long as only its name matters; its content is processed as a
local copy. Objects are written atomically.
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
"""Subfolder of an output folder for internal files, such as outputs that are not committed yet."""


def is_remote(name: str | Path) -> bool:
    """Tell whether a name is the address of a remote file rather than a local path."""
    return "://" in str(name)


def to_path(name: str | Path) -> Path:
    """Return a local path, or for an address a path with the same methods.

    Raises:
        UnnoiseError: universal_pathlib or the package for the protocol is not installed, or the protocol is unknown.
    """
    if not is_remote(name):
        return Path(name)
    try:
        path = require("upath", extra="ray").UPath(str(name))
        path.fs  # noqa: B018  (imports the package for the protocol)
    except (ImportError, ValueError) as error:
        raise UnnoiseError(f"'{name}': {error}") from error
    return path


def files(address: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the files in a remote folder, with their relative paths; any other address yields itself.

    Raises:
        UnnoiseError: the store cannot be reached, or refuses.
    """
    with store_errors(address):
        store = _store(address)
        if not store.isdir(store_path(address)):
            yield address, Path(address.name)
            return
        for inner in sorted(store.find(store_path(address))):
            yield to_path(store.unstrip_protocol(inner)), Path(PurePosixPath(inner).relative_to(store_path(address)))


def matches(pattern: Path) -> list[Path]:
    """Return the addresses that match a pattern, in order.

    Raises:
        UnnoiseError: as `files`.
    """
    with store_errors(pattern):
        store = _store(pattern)
        return [to_path(store.unstrip_protocol(match)) for match in sorted(store.glob(store_path(pattern)))]


def store_path(address: Path) -> str:
    """Return the path of an address within its store."""
    return address.path  # type: ignore[attr-defined]


@contextlib.contextmanager
def local_copies(source: Path, target: Path, *, known: bool) -> Iterator[tuple[Path, Path]]:
    """Yield local paths for a source and its target; those of remote files are temporary copies.

    Args:
        source: the input; a remote one is fetched.
        target: the output; if a remote one exists, its copy exists, too.
        known: whether to fetch the content of an existing target; otherwise its copy is empty.

    Raises:
        UnnoiseError: the store cannot be reached, or refuses.
    """
    with tempfile.TemporaryDirectory(prefix="unnoise-") as folder:
        local_source = source
        if is_remote(source):
            local_source = Path(folder, "in", source.name)
            fetch(source, local_source)
        if target == source:
            yield local_source, local_source
            return
        local_target = target
        if is_remote(target):
            local_target = Path(folder, "out", target.name)
            local_target.parent.mkdir()
            target_exists = exists(target)
            if target_exists and known:
                fetch(target, local_target)
            elif target_exists:
                local_target.touch()
        yield local_source, local_target


def fetch(address: Path, local: Path) -> None:
    """Copy a remote file to a local one.

    Raises:
        UnnoiseError: the file does not exist, or the store cannot be reached, or refuses.
    """
    local.parent.mkdir(parents=True, exist_ok=True)
    with store_errors(address):
        _store(address).get_file(store_path(address), os.fspath(local))


def exists(address: Path) -> bool:
    """Tell whether a remote file or folder exists.

    Raises:
        UnnoiseError: the store cannot be reached, or refuses.
    """
    with store_errors(address):
        return bool(_store(address).exists(store_path(address)))


def read(address: Path) -> bytes:
    """Return the content of a remote file.

    Raises:
        UnnoiseError: as `fetch`.
    """
    with store_errors(address):
        return bytes(_store(address).cat_file(store_path(address)))


def write(data: bytes, address: Path) -> None:
    """Write a remote file atomically.

    Raises:
        UnnoiseError: as `put`.
    """
    with store_errors(address):
        address.parent.mkdir(parents=True, exist_ok=True)
        _store(address).pipe_file(store_path(address), data)


def put(local: Path, address: Path) -> None:
    """Copy a local file to a remote one.

    Raises:
        UnnoiseError: the store cannot be reached, or refuses.
    """
    with store_errors(address):
        address.parent.mkdir(parents=True, exist_ok=True)  # object stores ignore this
        _store(address).put_file(os.fspath(local), store_path(address))


def move(staged: Path, address: Path) -> None:
    """Move a file within its store.

    Raises:
        UnnoiseError: the store cannot be reached, or refuses.
    """
    with store_errors(address):
        address.parent.mkdir(parents=True, exist_ok=True)
        _store(address).mv(store_path(staged), store_path(address))


def remove(address: Path) -> None:
    """Remove a remote file or folder, if it exists.

    Raises:
        UnnoiseError: the store cannot be reached, or refuses.
    """
    with store_errors(address), contextlib.suppress(FileNotFoundError):
        _store(address).rm(store_path(address), recursive=True)


@contextlib.contextmanager
def store_errors(address: Path) -> Iterator[None]:
    """Turn the exceptions of a store, which differ between clients, into `UnnoiseError`."""
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
    """Return the fsspec file system of an address, with an empty cache."""
    store = address.fs  # type: ignore[attr-defined]
    store.invalidate_cache()
    return store
