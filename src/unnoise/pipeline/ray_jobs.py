"""Batches on Ray: the jobs of an archive, done by the actors of a cluster.

What is done is what `archive` and `pipeline` do on one machine, byte for byte. An actor opens the model once. It writes
each clean picture beside its target under a temporary name, complete and synced, and tells the driver, which puts the
line into the manifest and then the picture into its place: there is one manifest and one that writes it, and no moment
at which an output is there and nobody knows whose it is. The folders are such as all machines see under one name, or
addresses (`stores`): then the actor works on copies, and what it made waits in the store.

A picture that brings down every worker that takes it becomes a row with an error.
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
"""Pictures that an actor takes at once: what is lost with it, and how seldom Ray is asked."""
PATIENCE = 5.0
"""Seconds that finished outputs of a store wait for others, to take their places together."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class RayRun:
    """What actors are told, in values that can be sent.

    Attributes:
        model: as for `denoisers.make`.
        ensemble: as for `denoisers.make`.
        engine: as for `denoisers.make`.
        settings: of which all but the denoiser counts.
        asked: as for `Archive`.
    """

    model: str
    ensemble: bool
    engine: str | None
    settings: DenoiseOptions
    options: dict[str, Any]

    def make(self) -> DenoiseOptions:
        """Open the model, on one thread: an actor has one core."""
        opened = denoisers.make(self.model, ensemble=self.ensemble, engine=self.engine, concurrency=cpu_count())
        return replace(self.settings, denoiser=opened)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the denoiser behind, which every actor opens itself."""
        return {**vars(self), "settings": replace(self.settings, denoiser=None)}

    def run(
        self,
        jobs: Sequence[Job],
        manifest: Manifest,
        progress: Callable[[Job, float], None] = lambda job, done: None,
        *,
        workers: int | None = None,
    ) -> Iterator[JobResult]:
        """Do jobs as `pipeline.run` does with the work of an `Archive`; the outcomes come in any order.

        Args:
            jobs: what `plan` made.
            manifest: of the folder of outputs.
            progress: called with a job and how many are done.
            workers: how many actors; None for as many as the cluster has cores or GPUs for.
        """
        left = dict(enumerate(jobs))
        done = 0
        how: dict[str, Any] = {
            "workers": workers,
            "gpus": int(self.engine == "torch" and ray_pool.resource_count("GPU") >= 1),
        }
        arguments = (self, os.getcwd())
        try:
            for held in (
                JOBS_PER_TASK,
                1,
                None,
            ):  # at last each alone, so that one that kills its worker takes no other along
                items = [_item(number, job, manifest) for number, job in left.items()]
                for some in [items] if held else [[item] for item in items]:
                    made = ray_pool.map_rows(some, DenoiseActor, arguments, held=held or 1, **how)
                    new = ((job, row) for row, _ in made if (job := left.pop(row["number"], None)) is not None)
                    for outcome in _commit_results(new, manifest):
                        done += 1
                        progress(outcome.job, done)
                        yield outcome
            for job in left.values():
                error = f"{job.source}: every worker that took it crashed: it needs more memory, or crashes the decoder"
                outcome = JobResult(job, error)
                ResumableRun(manifest, self.options).fail(outcome)
                yield outcome
        finally:
            manifest.remove_stale(job.target.parent for job in jobs)  # what the lost have left


def _item(number: int, job: Job, manifest: Manifest) -> Row:
    """Spell a job with all that the manifest knows of its target."""
    entry = manifest.last(job.target)
    return {
        "number": number,
        "source": [str(job.source), manifest.relative_name(job.source)],
        "target": [str(job.target), manifest.relative_name(job.target)],
        "held": (waits := manifest.staging_path(job.target)) and str(waits),
        "ours": job.replace_existing,
        "entry": None if entry is None else dataclasses.asdict(entry),
        "written": sorted(manifest.written(job.target)),
    }


class _JobManifest(ManifestView):
    """What a manifest knows of one job, in the place of a `Manifest`; the line that is added is kept."""

    def __init__(self, item: Row) -> None:
        self._names = dict(map(tuple, (item["source"], item["target"])))
        self._entry, self._written = item["entry"], item["written"]
        self.copies: dict[Path, Path] = {}  # on this disk, of what lies in a store
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
        """Keep a line for the driver."""
        self.added = entry


class DenoiseActor:
    """Does the jobs of an archive up to where an output takes its place."""

    def __init__(self, order: RayRun, here: str) -> None:
        ray_pool.chdir(here)
        self._settings, self._options = order.make(), order.options

    def __call__(self, item: Row) -> list[tuple[Row, bytes]]:
        """Do one job; return what became of it, the line for the manifest, and where the output waits."""
        job = Job(remote.to_path(item["source"][0]), remote.to_path(item["target"][0]), item["ours"])
        known, waiting = _JobManifest(item), []

        def prepare(
            job: Job,
            settings: DenoiseOptions,
            progress: ProgressCallback,
            before_commit: Callable[[JobResult, Path], None],
        ) -> JobResult:
            settings = replace(settings, overwrite=settings.overwrite or job.replace_existing)
            check_target(job.target, overwrite=settings.overwrite, make_parents=True)
            held = atomic.staging_path(job.target)
            try:
                outcome = process.denoise_file(
                    replace(job, target=held), settings, progress,
                    lambda outcome, file: before_commit(replace(outcome, job=job), file),
                )  # fmt: skip
            except UnnoiseError as error:
                raise UnnoiseError(str(error).replace(os.fspath(held), os.fspath(job.target))) from error
            if item["held"]:
                remote.put(held, remote.to_path(item["held"]))
            waiting.append(item["held"] or os.fspath(held))
            return replace(outcome, job=job)

        archive = ResumableRun(known, self._options, clean=prepare)

        def work(job: Job, settings: DenoiseOptions, progress: ProgressCallback) -> JobResult:
            try:
                with remote.local_copies(job.source, job.target, known=bool(item["written"])) as (here, there):
                    known.copies = {here: job.source, there: job.target}
                    return archive.clean(replace(job, source=here, target=there), settings, progress)
            except Exception as error:
                if known.added is None or not known.added.error:
                    archive.fail(JobResult(job, error_line(job, error)))
                raise

        (outcome,) = run_jobs([job], self._settings, work=work)
        told = {
            field.name: getattr(outcome, field.name) for field in dataclasses.fields(outcome) if field.name != "job"
        }
        entry = None if known.added is None else dataclasses.asdict(known.added)
        for row in filter(None, (told, entry)):
            for here, named in known.copies.items():
                row["error"] = row["error"] and row["error"].replace(os.fspath(here), str(named))
        held = waiting[0] if waiting else None
        return [({"number": item["number"], "outcome": told, "entry": entry, "held": held}, b"")]


def _commit_results(made: Iterable[tuple[Job, Row]], manifest: Manifest) -> Iterator[JobResult]:
    """Put lines into the manifest, as many together as it likes, and then the outputs into their places."""

    def place(job: Job, row: Row, error: Exception | None) -> JobResult:
        try:
            if error is None and row["held"] is not None:
                manifest.commit(row["held"], job.target)
        except (UnnoiseError, OSError) as failed:
            error = failed
        outcome = JobResult(job, **row["outcome"])
        return outcome if error is None else replace(outcome, error=error_line(job, error))

    with ThreadPoolExecutor(manifest.commit_batch) as pool:
        for some in _some(made, manifest.commit_batch):
            error = None
            try:
                for _, row in some:
                    if row["entry"] is not None:
                        manifest.record(Entry(**row["entry"]))
                manifest.flush()
            except UnnoiseError as failed:
                error = failed
            yield from pool.map(place, *zip(*some, strict=True), itertools.repeat(error))


def _some(made: Iterable[_T], most: int) -> Iterator[list[_T]]:
    """Gather what comes within `PATIENCE`, `most` at a time at most."""
    some: list[_T] = []
    since = time.monotonic()
    for one in made:
        some.append(one)
        if len(some) == most or time.monotonic() - since > PATIENCE:
            yield some
            some, since = [], time.monotonic()
    if some:
        yield some
