"""Archives: a folder of outputs that is brought up to date, however often the work is broken off.

What is done is told by the manifest and its hashes, never by names. An output that the manifest knows may be replaced
by a better one; a file that it does not know never is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from unnoise.errors import UnnoiseError
from unnoise.io import atomic
from unnoise.pipeline import process
from unnoise.pipeline.jobs import Job
from unnoise.pipeline.manifest import Entry
from unnoise.pipeline.process import DenoiseOptions, JobResult, ProgressCallback
from unnoise.pipeline.runner import error_line
from unnoise.units import from_8bit, to_8bit

_Clean = Callable[[Job, DenoiseOptions, ProgressCallback, Callable[[JobResult, Path], None]], JobResult]


class ManifestView(Protocol):
    """What a `ResumableRun` needs of a `Manifest`; see there."""

    def relative_name(self, path: Path, /) -> str:
        """Return the name of a file in the manifest."""
        ...

    def last(self, target: Path, /) -> Entry | None:
        """Return the last entry of an output."""
        ...

    def wrote(self, target: Path, sha256: str, /) -> bool:
        """Tell whether an output with this hash was written by an earlier run."""
        ...

    def record(self, entry: Entry, /) -> None:
        """Add an entry."""
        ...


class ResumableRun:
    """Does the jobs of one output folder that are not done yet; its `clean` is a `pipeline.Work`.

    Args:
        manifest: of the folder.
        options: all that decides on the pixels, beside the inputs, in values that JSON knows.
        clean: does what `pipeline.clean_file` does.
    """

    def __init__(self, manifest: ManifestView, options: dict[str, Any], clean: _Clean = process.denoise_file) -> None:
        self.manifest, self.options, self._clean = manifest, options, clean

    def clean(self, job: Job, settings: DenoiseOptions, progress: ProgressCallback) -> JobResult:
        """Clean a file as `pipeline.clean_file` does and record what became of it, unless that has been done before."""
        source = _sha256(job.source)  # before it is read: one that changes meanwhile is done anew next time
        standing = _sha256(job.target)
        if entry := self._done(job, source, standing):
            sigma = from_8bit(entry.sigma)
            return JobResult(job, None, entry.model, sigma, entry.megapixels, entry.seconds, skipped=True)
        replace_existing = standing is not None and not _in_place(job) and self.manifest.wrote(job.target, standing)

        def before_commit(outcome: JobResult, file: Path) -> None:
            self._record(outcome, source, atomic.sha256(file))

        try:
            return self._clean(replace(job, replace_existing=replace_existing), settings, progress, before_commit)
        except Exception as error:
            try:
                self._record(JobResult(job, error_line(job, error)), source, None)
            except UnnoiseError as unrecorded:
                raise UnnoiseError(f"{error_line(job, error)} ({unrecorded})") from error
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
        level = None if outcome.sigma is None else round(to_8bit(outcome.sigma), 2)
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
