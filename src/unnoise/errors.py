"""The one exception whose message is meant for the user."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path


class UnnoiseError(ValueError):
    """A mistake in the call or its input; the message is one line: what is wrong and what to do.

    The command line prints it and exits with a status; the service returns it as a problem document. Any other
    exception is a bug in this package.
    """


UNEXPECTED = "unexpected error"
"""Ends, in parentheses, the line of an error that is not the user's."""


_FULL = (errno.ENOSPC, errno.EDQUOT)


def system_reason(error: OSError, path: str | os.PathLike[str]) -> str:
    """Return why a file could not be written: of a full disk, which one, and how much is free on it.

    Args:
        error: of the system.
        path: the file.
    """
    if error.errno not in _FULL:
        return error.strerror or str(error)
    if error.errno == errno.EDQUOT:
        return "your quota on its disk is used up"
    disk = Path(path).absolute().parent
    while not os.path.ismount(disk) and disk != disk.parent:
        disk = disk.parent
    try:
        usage = shutil.disk_usage(disk)
    except OSError:
        return f"the disk at {disk} is full"
    free, total = usage.free / 1e6, usage.total / 1e6
    return f"the disk at {disk} is full (without this file, {free:.1f} of {total:.1f} MB are free)"


def one_line(error: Exception) -> str:
    """Format any exception as one line; a bug is marked as `UNEXPECTED`."""
    if isinstance(error, UnnoiseError):
        text = str(error)
    elif isinstance(error, MemoryError):
        text = "out of memory: use a smaller image or a larger machine"
    elif isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {system_reason(error, error.filename)}" if error.filename else error.strerror
    else:
        text = f"{type(error).__name__}: {error} ({UNEXPECTED})"
    return " ".join(text.split())
