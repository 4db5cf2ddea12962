"""Atomic file writes, and removal of the temporary files that killed processes leave.

A file is written under a temporary name in the folder of its target, synced, and renamed. Where the system has `flock`,
the temporary file stays locked until then: an unlocked one is stale.
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
"""Called with the temporary file when it is complete and synced, before it is renamed; an exception cancels that."""

_TEMPORARY = re.compile(r"\.unnoise-[0-9a-f]{16}\.(part|held\.\w+)")


@contextlib.contextmanager
def atomic_write(target: str | Path, before_commit: CommitHook | None = None) -> Iterator[Path]:
    """Yield a temporary file next to the target; afterwards it is synced and renamed to the target.

    The permissions of an existing target are kept; a symbolic link is followed.

    Raises:
        OSError: the disk fails. An existing target is then unchanged, as after any other exception.
    """
    resolved = Path(target).resolve()
    temporary = resolved.with_name(f".unnoise-{secrets.token_hex(8)}.part")
    try:
        with open(temporary, "xb") as locked:
            lock(locked)
            yield temporary
            with open(temporary, "rb+") as written:  # some libraries replace the file instead of writing to it
                os.fsync(written.fileno())
            if resolved.exists():
                shutil.copymode(resolved, temporary)
            if before_commit is not None:
                before_commit(temporary)
            if fcntl is None:
                locked.close()  # Windows cannot rename an open file
            os.replace(temporary, resolved)
        sync_folder(resolved.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(target: str | Path, before_commit: CommitHook | None = None) -> Iterator[Path]:
    """Yield a temporary folder next to the target; afterwards its files are synced, and it is renamed to the target.

    An existing target is moved aside for that and then removed. If the process is killed in between, it is still there
    as `.unnoise-*.old`, which `remove_stale` leaves alone.

    Raises:
        OSError: the disk fails. An existing target is then unchanged, as after any other exception.
    """
    resolved = Path(target).resolve()
    temporary = resolved.with_name(f".unnoise-{secrets.token_hex(8)}.part")
    temporary.mkdir()
    try:
        with _locked(temporary):
            yield temporary
            _sync_files(temporary)
            if resolved.exists():
                shutil.copymode(resolved, temporary)
            if before_commit is not None:
                before_commit(temporary)
            _replace_folder(temporary, resolved)
        sync_folder(resolved.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _replace_folder(new: str | Path, target: Path) -> None:
    """Rename a folder to its target; no system can do that at once where there is one, so that it is moved aside."""
    former = target.with_name(f".unnoise-{secrets.token_hex(8)}.old")
    try:
        if target.exists():
            os.replace(target, former)
        os.replace(new, target)
    finally:
        if former.exists() and not target.exists():
            os.replace(former, target)
        shutil.rmtree(former, ignore_errors=True)


def _sync_files(folder: Path) -> None:
    for above, _, names in os.walk(folder, topdown=False):
        for name in names:
            descriptor = os.open(os.path.join(above, name), os.O_RDONLY if fcntl else os.O_RDWR)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_folder(Path(above))


@contextlib.contextmanager
def _locked(folder: str | Path) -> Iterator[bool]:
    """Lock a folder, where the system supports it; yield False if another process has locked it."""
    if fcntl is None:
        yield True
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield lock(descriptor)
    finally:
        os.close(descriptor)


def staging_path(target: Path) -> Path:
    """Return a temporary name next to the target, with the same suffix, for an output that is committed later."""
    resolved = target.resolve()
    return resolved.with_name(f".unnoise-{secrets.token_hex(8)}.held{resolved.suffix}")


def commit(staged: str | Path, target: str | Path) -> None:
    """Rename a complete and synced file or folder to its target, as `atomic_write` and `atomic_folder` do.

    Raises:
        OSError: it cannot be renamed.
    """
    resolved = Path(target).resolve()
    if resolved.exists():
        shutil.copymode(resolved, staged)
    (_replace_folder if os.path.isdir(staged) else os.replace)(staged, resolved)
    sync_folder(resolved.parent)


def keep_attributes(source: Path, file: Path, target: Path, *, times: bool = False) -> None:
    """Give a new output the mode of its input; one that replaces a file has the mode of that.

    Args:
        source: the input.
        file: the output, under its temporary name.
        target: its final name.
        times: give it the times of the input, too.
    """
    with contextlib.suppress(OSError):  # a file system without modes
        if not target.exists():
            shutil.copymode(source, file)
        if times:
            status = source.stat()
            os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def lock(file: IO[bytes] | int) -> bool:
    """Lock an open file or folder until it is closed or the process ends; return False if another process has."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def remove_stale(folders: Iterable[Path]) -> None:
    """Remove the temporary files and folders of killed processes from these folders, not from their subfolders."""
    for folder in set(folders):
        with contextlib.suppress(OSError):
            for path in [entry.path for entry in os.scandir(folder) if _TEMPORARY.fullmatch(entry.name)]:
                with contextlib.suppress(OSError):
                    _remove_stale(path)


def _remove_stale(path: str) -> None:
    if os.path.isdir(path):
        with _locked(path) as stale:
            if stale:
                shutil.rmtree(path)
        return
    with open(path, "rb") as file:
        if lock(file):
            os.unlink(path)


def sync_folder(folder: Path) -> None:
    """Sync the entries of a folder to disk, where the system supports it."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file of any size, in hexadecimal; raise OSError if it cannot be read.

    That of a folder is of the names of its files, in order, and their hashes.
    """
    if os.path.isdir(path):
        names = sorted(str(inner.relative_to(path)) for inner in Path(path).rglob("*") if inner.is_file())
        lines = (f"{name}\0{sha256(os.path.join(path, name))}\n" for name in names)
        return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
