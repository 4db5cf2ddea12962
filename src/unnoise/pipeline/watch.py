"""Watch folders for images that are new or have changed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from unnoise.pipeline.jobs import Job, NoPicturesError

SCAN_INTERVAL = 2.0
"""Seconds between two scans."""

FileStamp = tuple[int, ...]
"""Size, modification time (ns) and inode of a file."""


def watch_folder(scan: Callable[[], list[Job]], sleep: Callable[[float], None] = time.sleep) -> Iterator[list[Job]]:
    """Yield, without end, the jobs whose inputs are new or have changed since they were last yielded.

    A file that is still being written is held back until two scans find it the same, or until it is older than twice
    `SCAN_INTERVAL`.

    Args:
        scan: plans the jobs again.
        sleep: waits for a number of seconds.
    """
    yielded: dict[Path, FileStamp | None] = {}
    pending: dict[Path, FileStamp] = {}
    while True:
        ready = []
        for job in _scan(scan):
            stamp = _stamp(job.source)
            if job.source in yielded and stamp in (None, yielded[job.source]):
                continue
            if stamp is None or pending.get(job.source) == stamp or _is_old(job.source):
                ready.append(job)
                yielded[job.source] = stamp
                pending.pop(job.source, None)
            else:
                pending[job.source] = stamp
        if ready:
            yield ready
        sleep(SCAN_INTERVAL)


def _scan(scan: Callable[[], list[Job]]) -> list[Job]:
    try:
        return scan()
    except (NoPicturesError, FileNotFoundError):  # none yet, or a folder was removed during the search
        return []


def _stamp(path: Path) -> FileStamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino


def _is_old(path: Path) -> bool:
    try:
        return time.time() - os.path.getmtime(path) > 2 * SCAN_INTERVAL
    except OSError:
        return False
