"""Say what would be written, without writing it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from unnoise import io
from unnoise.io import raw
from unnoise.io.paths import check_format, check_target
from unnoise.io.unreadable import is_zarr
from unnoise.pipeline import raw_files, stores
from unnoise.pipeline.jobs import Job
from unnoise.pipeline.manifest import Entry, Manifest
from unnoise.pipeline.outcome import PLANNED
from unnoise.pipeline.process import DenoiseOptions, JobResult, ProgressCallback


def check_file(
    job: Job,
    options: DenoiseOptions,
    progress: ProgressCallback = lambda _: None,
    before_commit: Callable[[JobResult, Path], None] = lambda result, file: None,
) -> JobResult:
    """Read the header of a file, and check that its output could be written; otherwise as `process.denoise_file`.

    Returns:
        A result whose `done` is `outcome.PLANNED`.

    Raises:
        UnnoiseError: as `denoise_file` before the work.
    """
    overwrite = options.overwrite or job.replace_existing
    check_target(job.target, overwrite=overwrite, make_parents=True, store=is_zarr(job.source))
    if is_zarr(job.source):
        store = stores.open_checked(job.source, job.target, options.max_pixels)
        return JobResult(job, megapixels=store.pixels / 1e6, done=PLANNED)
    if raw.is_raw(job.source):
        size = raw_files.open_checked(job.source, job.target.suffix, options).mosaic.size
        return JobResult(job, megapixels=size / 1e6, done=PLANNED)
    header = io.RowReader(job.source, max_pixels=options.max_pixels).header
    check_format(header, job.target.suffix, str(job.source))
    return JobResult(job, megapixels=header.height * header.width / 1e6, done=PLANNED)


@dataclass(frozen=True)
class ReadOnlyManifest:
    """A manifest that nothing is added to; a `resume.ManifestView`."""

    manifest: Manifest

    def relative_name(self, path: Path, /) -> str:
        """Return the name of a file in the manifest."""
        return self.manifest.relative_name(path)

    def last(self, target: Path, /) -> Entry | None:
        """Return the last entry of an output."""
        return self.manifest.last(target)

    def wrote(self, target: Path, sha256: str, /) -> bool:
        """Tell whether an output with this hash was written by an earlier run."""
        return self.manifest.wrote(target, sha256)

    def record(self, entry: Entry, /) -> None:
        """Add nothing."""
