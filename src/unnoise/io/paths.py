"""Check and create output files and folders, before the images are denoised."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from unnoise.errors import UnnoiseError, system_reason
from unnoise.io import formats, remote
from unnoise.io.formats import Header
from unnoise.io.unreadable import is_zarr

log = logging.getLogger(__name__)


def check_target(
    target: str | Path, *, overwrite: bool = False, make_parents: bool = False, store: bool = False
) -> None:
    """Check that an output file can be written.

    Args:
        target: the file.
        overwrite: whether it may exist.
        store: whether the output is a Zarr store, so that it may replace one.
        make_parents: whether its folder may be missing, because it is created later (see `make_folder`).

    Raises:
        UnnoiseError: the file exists, is a folder, or its folder is missing or not writable.
    """
    target = Path(target)
    if make_parents and not target.parent.is_dir():
        check_folder(target.parent)
        return
    if target.is_dir() and not (store and is_zarr(target)):
        raise UnnoiseError(f"{target}: is a folder: give the name of a file")
    if target.exists() and not overwrite:
        raise UnnoiseError(f"{target}: already exists: choose another name, or allow overwriting")
    if not target.parent.is_dir():
        raise UnnoiseError(f"{target}: the folder {target.parent} does not exist: create it first")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise UnnoiseError(f"{target}: no permission to write to the folder {target.parent}")


def check_format(header: Header, suffix: str, name: str) -> None:
    """Check that a file with a suffix can hold an image; warn of metadata that it cannot hold.

    Raises:
        UnnoiseError: it cannot; the message begins with `name`, of the input.
    """
    if reason := formats.unsupported_reason(header, suffix):
        raise UnnoiseError(f"{name}: {reason}")
    if dropped := formats.dropped_metadata(header, suffix):
        log.warning("%s: %s", name, dropped)


def check_folder(folder: Path) -> None:
    """Check that an output folder exists or can be created, and is writable; remote folders are not checked.

    Raises:
        UnnoiseError: it is not.
    """
    if remote.is_remote(folder):
        return
    parent = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not parent.is_dir():
        raise UnnoiseError(f"cannot create the output folder '{folder}': '{parent}' is a file")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise UnnoiseError(f"cannot write to the output folder '{folder}': no permission for '{parent}'")


def make_folder(folder: Path) -> None:
    """Create an output folder and its parents.

    Raises:
        UnnoiseError: it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnnoiseError(f"cannot create the output folder '{folder}': {system_reason(error, folder)}") from error
