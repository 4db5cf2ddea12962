"""Resume an output folder: files that are done and unchanged are skipped, however often a run is interrupted.

The manifest and its hashes decide what is done, never the names of files. Outputs that are in the manifest may be
replaced; other files never are.
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
from unnoise.pipeline.manifest import Entry, FolderInUseError
from unnoise.pipeline.process import DenoiseOptions, JobResult, ProgressCallback
from unnoise.pipeline.runner import error_line
from unnoise.units import from_8bit, to_8bit

_DenoiseFile = Callable[[Job, DenoiseOptions, ProgressCallback, Callable[[JobResult, Path], None]], JobResult]


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
    """Does the jobs of an output folder that are not done yet; its `clean` is a `runner.JobFunction`.

    Args:
        manifest: of the folder.
        recorded: everything besides the input that determines the pixels, as JSON values.
        denoise: does what `process.denoise_file` does.
    """

    def __init__(
        self, manifest: ManifestView, recorded: dict[str, Any], denoise: _DenoiseFile = process.denoise_file
    ) -> None:
        self.manifest, self.recorded, self._denoise = manifest, recorded, denoise

    def clean(self, job: Job, options: DenoiseOptions, progress: ProgressCallback) -> JobResult:
        """Denoise a file and record the result, unless an earlier run has done it."""
        source = _sha256(job.source)  # before it is read: if it changes meanwhile, the next run does it again
        existing = _sha256(job.target)
        if entry := self._done(job, source, existing):
            sigma = from_8bit(entry.sigma)
            return JobResult(
                job, None, entry.model, sigma, entry.megapixels, entry.seconds, skipped=True,
                done=entry.done, noise=entry.noise, reason=entry.reason,
            )  # fmt: skip
        replace_existing = existing is not None and not _in_place(job) and self.manifest.wrote(job.target, existing)

        def before_commit(result: JobResult, file: Path) -> None:
            self._record(result, source, atomic.sha256(file))

        try:
            return self._denoise(replace(job, replace_existing=replace_existing), options, progress, before_commit)
        except FolderInUseError:
            raise
        except Exception as error:
            try:
                self._record(JobResult(job, error_line(job, error)), source, None)
            except FolderInUseError:
                raise
            except UnnoiseError as unrecorded:
                raise UnnoiseError(f"{error_line(job, error)} ({unrecorded})") from error
            raise

    def fail(self, result: JobResult) -> None:
        """Record a failed job whose input could not be read."""
        self._record(result, None, None)

    def _done(self, job: Job, source: str | None, existing: str | None) -> Entry | None:
        """Return the entry of a job that is done, with the same input and options; None otherwise."""
        entry = self.manifest.last(job.target)
        if entry is None or entry.error or existing is None or entry.target_sha256 != existing:
            return None
        same = entry.settings == self.recorded and entry.source == self.manifest.relative_name(job.source)
        expected = entry.target_sha256 if _in_place(job) else entry.source_sha256
        return entry if same and source == expected else None

    def _record(self, result: JobResult, source: str | None, target: str | None) -> None:
        sigma = None if result.sigma is None else round(to_8bit(result.sigma), 2)
        entry = Entry(
            source=self.manifest.relative_name(result.job.source),
            source_sha256=source,
            settings=self.recorded,
            target=self.manifest.relative_name(result.job.target),
            target_sha256=target,
            seconds=round(result.seconds, 3),
            model=result.model,
            sigma=sigma,
            megapixels=round(result.megapixels, 3),
            error=result.error,
            done=result.done,
            noise=result.noise,
            reason=result.reason,
        )
        self.manifest.record(entry)


def _in_place(job: Job) -> bool:
    """Tell whether a file is replaced by its own result."""
    return job.target.exists() and job.source.exists() and job.target.samefile(job.source)


def _sha256(path: Path) -> str | None:
    """Return the hash of a file; None if it does not exist or cannot be read."""
    try:
        return atomic.sha256(path)
    except OSError:
        return None
