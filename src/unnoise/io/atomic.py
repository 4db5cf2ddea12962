"""Files that appear whole or not at all, whatever ends the process; what a killed one left is swept up.

A file is written under a temporary name in the folder of its target, synced, and renamed. Where the system has `flock`,
the temporary file is locked meanwhile: one that can be locked by others belongs to nobody any more.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows, where a file that is open cannot be removed anyway
    fcntl = None

CommitHook = Callable[[Path], None]
"""Called with the temporary file when all is in it and synced, just before it takes its place; what it raises stops
that."""

_TEMPORARY = re.compile(r"\.unnoise-[0-9a-f]{16}\.(part|held\.\w+)")


@contextlib.contextmanager
def atomic_write(target: str | Path, before_commit: CommitHook | None = None) -> Iterator[Path]:
    """Give a temporary file beside the target, to be written; then it is synced and takes the target's place.

    A file that is replaced passes on its permissions; a link is followed.

    Raises:
        OSError: the disk fails. What stood at `target` is then still there, as it is when anything else is raised.
    """
    place = Path(target).resolve()
    temporary = place.with_name(f".unnoise-{secrets.token_hex(8)}.part")
    try:
        with open(temporary, "xb") as held:
            lock(held)
            yield temporary
            with open(temporary, "rb+") as written:  # some libraries replace the file instead of writing to it
                os.fsync(written.fileno())
            if place.exists():
                shutil.copymode(place, temporary)
            if before_commit is not None:
                before_commit(temporary)
            if fcntl is None:
                held.close()  # what is open cannot be renamed there
            os.replace(temporary, place)
        sync_folder(place.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def staging_path(target: Path) -> Path:
    """Return a temporary name, of the same kind of file, for what waits beside its target to be placed there."""
    place = target.resolve()
    return place.with_name(f".unnoise-{secrets.token_hex(8)}.held{place.suffix}")


def commit(held: str | Path, target: str | Path) -> None:
    """Let a file that is complete and synced take the place of its target, as `replacing` does.

    Raises:
        OSError: it cannot.
    """
    place = Path(target).resolve()
    if place.exists():
        shutil.copymode(place, held)
    os.replace(held, place)
    sync_folder(place.parent)


def lock(file: IO[bytes]) -> bool:
    """Lock an open file until it is closed, or its process ends; return False where another has locked it."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def remove_stale(folders: Iterable[Path]) -> None:
    """Remove the temporary files that killed processes have left in these folders; not what is in folders below."""
    for folder in set(folders):
        with contextlib.suppress(OSError):
            for left in [entry.path for entry in os.scandir(folder) if _TEMPORARY.fullmatch(entry.name)]:
                with contextlib.suppress(OSError), open(left, "rb") as file:
                    if lock(file):
                        os.unlink(left)


def sync_folder(folder: Path) -> None:
    """Let the names in a folder outlive a loss of power, where the system can do that."""
    with contextlib.suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file of any size, in hexadecimal; raise OSError if it cannot be read."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
