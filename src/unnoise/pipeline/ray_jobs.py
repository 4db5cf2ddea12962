"""Run the jobs of an output folder on a Ray cluster.

The results are those of `resume` and `process` on one machine, byte for byte. Each actor opens the model once. It
writes a result next to its target under a temporary name, complete and synced, and returns its manifest entry to the
driver, which first writes that to the manifest and then renames the result: there is one manifest with one writer, and
at no time an output without an entry. All machines must see the folders under the same paths; or they are remote (see
`io.remote`): then actors work on local copies, and results are staged in the object store.

An image that crashes every worker becomes a result with an error.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from unnoise import denoisers
from unnoise.errors import UnnoiseError
from unnoise.io import atomic, remote
from unnoise.io.paths import check_target
from unnoise.pipeline import process, ray_pool
from unnoise.pipeline.jobs import Job
from unnoise.pipeline.manifest import Entry, Manifest
from unnoise.pipeline.process import DenoiseOptions, JobResult, ProgressCallback
from unnoise.pipeline.ray_pool import Row
from unnoise.pipeline.resume import ManifestView, ResumableRun
from unnoise.pipeline.runner import error_line, run_jobs
from unnoise.system import cpu_count

JOBS_PER_TASK = 4
"""Images that an actor takes at once: all of them are lost if it crashes, but larger tasks have less overhead."""
BATCH_SECONDS = 5.0
"""Seconds that remote outputs wait for others, to be committed together."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class RayRun:
    """The configuration of a run, which is sent to the actors.

    Attributes:
        model: as for `denoisers.make`.
        ensemble: as for `denoisers.make`.
        engine: as for `denoisers.make`.
        options: their denoiser is ignored.
        recorded: as for `ResumableRun`.
    """

    model: str
    ensemble: bool
    engine: str | None
    options: DenoiseOptions
    recorded: dict[str, Any]

    def make(self) -> DenoiseOptions:
        """Open the model, on one thread, as an actor has one core, and return the options with it."""
        denoiser = denoisers.make(self.model, ensemble=self.ensemble, engine=self.engine, concurrency=cpu_count())
        return replace(self.options, denoiser=denoiser)

    def __getstate__(self) -> dict[str, Any]:
        """Drop the denoiser: every actor opens its own."""
        return {**vars(self), "options": replace(self.options, denoiser=None)}

    def run(
        self,
        jobs: Sequence[Job],
        manifest: Manifest,
        progress: Callable[[Job, float], None] = lambda job, done: None,
        *,
        workers: int | None = None,
    ) -> Iterator[JobResult]:
        """Run jobs as `run_jobs` does with a `ResumableRun`; results come in any order.

        Args:
            jobs: as `plan_jobs` returns them.
            manifest: of the output folder.
            progress: called with a job and the number of jobs done.
            workers: number of actors; None for as many as the cluster has cores or GPUs for.
        """
        left = dict(enumerate(jobs))
        done = 0
        gpus = int(self.engine == "torch" and ray_pool.resource_count("GPU") >= 1)
        arguments = (self, os.getcwd())
        try:
            # The last attempt is one job at a time, so that a job that crashes its worker takes no other with it.
            for jobs_per_task in (JOBS_PER_TASK, 1, None):
                items = [_item(number, job, manifest) for number, job in left.items()]
                for batch in [items] if jobs_per_task else [[item] for item in items]:
                    rows = ray_pool.map_rows(
                        batch, DenoiseActor, arguments, rows_per_task=jobs_per_task or 1, workers=workers, gpus=gpus
                    )
                    new = ((job, row) for row, _ in rows if (job := left.pop(row["number"], None)) is not None)
                    for result in _commit_results(new, manifest):
                        done += 1
                        progress(result.job, done)
                        yield result
            for job in left.values():
                error = f"{job.source}: every worker that took it crashed: it needs more memory, or crashes the decoder"
                result = JobResult(job, error)
                ResumableRun(manifest, self.recorded).fail(result)
                yield result
        finally:
            manifest.remove_stale(job.target.parent for job in jobs)  # left by crashed workers


def _item(number: int, job: Job, manifest: Manifest) -> Row:
    """Return a job, with what the manifest has on its target, as JSON values."""
    entry = manifest.last(job.target)
    return {
        "number": number,
        "source": [str(job.source), manifest.relative_name(job.source)],
        "target": [str(job.target), manifest.relative_name(job.target)],
        "staged": (staged := manifest.staging_path(job.target)) and str(staged),
        "replace_existing": job.replace_existing,
        "entry": None if entry is None else dataclasses.asdict(entry),
        "written": sorted(manifest.written(job.target)),
    }


class _JobManifest(ManifestView):
    """The part of a `Manifest` that is about one job; a new entry is kept for the driver."""

    def __init__(self, item: Row) -> None:
        self._names = dict(map(tuple, (item["source"], item["target"])))
        self._entry, self._written = item["entry"], item["written"]
        self.copies: dict[Path, Path] = {}  # local copy -> remote file
        self.added: Entry | None = None

    def relative_name(self, path: Path) -> str:
        """As `Manifest.relative_name`."""
        return self._names[str(self.copies.get(path, path))]

    def last(self, target: Path) -> Entry | None:
        """As `Manifest.last`."""
        return None if self._entry is None else Entry(**self._entry)

    def wrote(self, target: Path, sha256: str) -> bool:
        """As `Manifest.wrote`."""
        return sha256 in self._written

    def record(self, entry: Entry) -> None:
        """Keep an entry for the driver."""
        self.added = entry


class DenoiseActor:
    """Does jobs up to the commit of the output, which is left to the driver."""

    def __init__(self, run: RayRun, folder: str) -> None:
        ray_pool.chdir(folder)
        self._options, self._recorded = run.make(), run.recorded

    def __call__(self, item: Row) -> list[tuple[Row, bytes]]:
        """Do one job; return its result, its manifest entry, and where the output is staged."""
        job = Job(remote.to_path(item["source"][0]), remote.to_path(item["target"][0]), item["replace_existing"])
        manifest, staged_files = _JobManifest(item), []

        def prepare(
            job: Job,
            options: DenoiseOptions,
            progress: ProgressCallback,
            before_commit: Callable[[JobResult, Path], None],
        ) -> JobResult:
            options = replace(options, overwrite=options.overwrite or job.replace_existing)
            check_target(job.target, overwrite=options.overwrite, make_parents=True)
            staged = atomic.staging_path(job.target)
            try:
                result = process.denoise_file(
                    replace(job, target=staged), options, progress,
                    lambda result, file: before_commit(replace(result, job=job), file),
                )  # fmt: skip
            except UnnoiseError as error:
                raise UnnoiseError(str(error).replace(os.fspath(staged), os.fspath(job.target))) from error
            if item["staged"]:
                remote.put(staged, remote.to_path(item["staged"]))
            staged_files.append(item["staged"] or os.fspath(staged))
            return replace(result, job=job)

        run = ResumableRun(manifest, self._recorded, denoise=prepare)

        def work(job: Job, options: DenoiseOptions, progress: ProgressCallback) -> JobResult:
            try:
                with remote.local_copies(job.source, job.target, known=bool(item["written"])) as (source, target):
                    manifest.copies = {source: job.source, target: job.target}
                    return run.clean(replace(job, source=source, target=target), options, progress)
            except Exception as error:
                if manifest.added is None or not manifest.added.error:
                    run.fail(JobResult(job, error_line(job, error)))
                raise

        (result,) = run_jobs([job], self._options, work=work)
        values = {
            field.name: getattr(result, field.name) for field in dataclasses.fields(result) if field.name != "job"
        }
        entry = None if manifest.added is None else dataclasses.asdict(manifest.added)
        for row in filter(None, (values, entry)):
            for copy, address in manifest.copies.items():
                row["error"] = row["error"] and row["error"].replace(os.fspath(copy), str(address))
        staged = staged_files[0] if staged_files else None
        return [({"number": item["number"], "result": values, "entry": entry, "staged": staged}, b"")]


def _commit_results(rows: Iterable[tuple[Job, Row]], manifest: Manifest) -> Iterator[JobResult]:
    """Write entries to the manifest in batches, then commit their outputs."""

    def commit(job: Job, row: Row, error: Exception | None) -> JobResult:
        try:
            if error is None and row["staged"] is not None:
                manifest.commit(row["staged"], job.target)
        except (UnnoiseError, OSError) as failed:
            error = failed
        result = JobResult(job, **row["result"])
        return result if error is None else replace(result, error=error_line(job, error))

    with ThreadPoolExecutor(manifest.commit_batch) as pool:
        for batch in _batches(rows, manifest.commit_batch):
            error = None
            try:
                for _, row in batch:
                    if row["entry"] is not None:
                        manifest.record(Entry(**row["entry"]))
                manifest.flush()
            except UnnoiseError as failed:
                error = failed
            yield from pool.map(commit, *zip(*batch, strict=True), itertools.repeat(error))


def _batches(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Group items that arrive within `BATCH_SECONDS`, up to `size` of them."""
    batch: list[_T] = []
    since = time.monotonic()
    for item in items:
        batch.append(item)
        if len(batch) == size or time.monotonic() - since > BATCH_SECONDS:
            yield batch
            batch, since = [], time.monotonic()
    if batch:
        yield batch
