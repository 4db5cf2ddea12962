"""Archives: a folder of outputs that is brought up to date, however often the work is broken off.

What is done is told by the manifest and its hashes, never by names. An output that the manifest knows may be replaced
by a better one; a file that it does not know never is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from unnoise.errors import UnnoiseError
from unnoise.io import atomic
from unnoise.pipeline import process
from unnoise.pipeline.jobs import Job, NoPicturesError
from unnoise.pipeline.manifest import Entry, Manifest
from unnoise.pipeline.process import DenoiseOptions, JobResult, Report
from unnoise.units import FULL_SCALE

PAUSE = 2.0
"""Seconds between two looks at a folder that is watched."""

_Clean = Callable[[Job, DenoiseOptions, Report, Callable[[JobResult, Path], None]], JobResult]
_FileStamp = tuple[int, ...]  # size, time and number of a file


class ResumableRun:
    """Does the jobs of one output folder that are not done yet; its `clean` is a `pipeline.Work`.

    Args:
        manifest: of the folder.
        options: all that decides on the pixels, beside the inputs, in values that JSON knows.
        clean: does what `pipeline.clean_file` does.
    """

    def __init__(self, manifest: Manifest, options: dict[str, Any], clean: _Clean = process.denoise_file) -> None:
        self.manifest, self.options, self._clean = manifest, options, clean

    def clean(self, job: Job, settings: DenoiseOptions, progress: Report) -> JobResult:
        """Clean a file as `pipeline.clean_file` does and record what became of it, unless that has been done before."""
        source = _sha256(job.source)  # before it is read: one that changes meanwhile is done anew next time
        standing = _sha256(job.target)
        if entry := self._done(job, source, standing):
            level = None if entry.sigma is None else entry.sigma / FULL_SCALE
            return JobResult(job, None, entry.model, level, entry.megapixels, entry.seconds, skipped=True)
        replace_existing = standing is not None and not _in_place(job) and self.manifest.wrote(job.target, standing)

        def before_commit(outcome: JobResult, file: Path) -> None:
            self._record(outcome, source, atomic.sha256(file))

        try:
            return self._clean(replace(job, replace_existing=replace_existing), settings, progress, before_commit)
        except Exception as error:
            try:
                self._record(JobResult(job, process.error_line(job, error)), source, None)
            except UnnoiseError as unrecorded:
                raise UnnoiseError(f"{process.error_line(job, error)} ({unrecorded})") from error
            raise

    def fail(self, outcome: JobResult) -> None:
        """Record that a job failed, whose input is not at hand."""
        self._record(outcome, None, None)

    def _done(self, job: Job, source: str | None, standing: str | None) -> Entry | None:
        """Return the line that says that a job is done, and is true."""
        entry = self.manifest.last(job.target)
        if entry is None or entry.error or standing is None or entry.target_sha256 != standing:
            return None
        same = entry.settings == self.options and entry.source == self.manifest.relative_name(job.source)
        expected = entry.target_sha256 if _in_place(job) else entry.source_sha256
        return entry if same and source == expected else None

    def _record(self, outcome: JobResult, source: str | None, target: str | None) -> None:
        level = None if outcome.sigma is None else round(outcome.sigma * FULL_SCALE, 2)
        entry = Entry(
            source=self.manifest.relative_name(outcome.job.source),
            source_sha256=source,
            settings=self.options,
            target=self.manifest.relative_name(outcome.job.target),
            target_sha256=target,
            seconds=round(outcome.seconds, 3),
            model=outcome.model,
            sigma=level,
            megapixels=round(outcome.megapixels, 3),
            error=outcome.error,
        )
        self.manifest.record(entry)


def _in_place(job: Job) -> bool:
    """Tell whether a file was to be replaced by its own clean picture."""
    return job.target.exists() and job.source.exists() and job.target.samefile(job.source)


def _sha256(path: Path) -> str | None:
    """Return the hash of a file; None where there is none, or it cannot be read."""
    try:
        return atomic.sha256(path)
    except OSError:
        return None


def watch_folder(look: Callable[[], list[Job]], sleep: Callable[[float], None] = time.sleep) -> Iterator[list[Job]]:
    """Yield, for ever, the jobs whose inputs are new or have changed since they were last yielded.

    A file that is still being written is left until it has been the same for two looks, or for twice their distance.

    Args:
        look: plans anew.
        sleep: waits for some seconds between two looks.
    """
    yielded: dict[Path, _FileStamp | None] = {}
    waiting: dict[Path, _FileStamp] = {}
    while True:
        ready = []
        for job in _scan(look):
            stand = _stand(job.source)
            if job.source in yielded and stand in (None, yielded[job.source]):
                continue
            if stand is None or waiting.get(job.source) == stand or _old(job.source):
                ready.append(job)
                yielded[job.source] = stand
                waiting.pop(job.source, None)
            else:
                waiting[job.source] = stand
        if ready:
            yield ready
        sleep(PAUSE)


def _scan(look: Callable[[], list[Job]]) -> list[Job]:
    try:
        return look()
    except (NoPicturesError, FileNotFoundError):  # none yet, or a folder that went while it was searched
        return []


def _stand(path: Path) -> _FileStamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino


def _old(path: Path) -> bool:
    try:
        return time.time() - os.path.getmtime(path) > 2 * PAUSE
    except OSError:
        return False
