"""Run many jobs, on threads; a job that fails does not stop the others."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from unnoise.errors import UnnoiseError, one_line
from unnoise.pipeline import process
from unnoise.pipeline.jobs import Job
from unnoise.pipeline.manifest import FolderInUseError
from unnoise.pipeline.process import DenoiseOptions, JobResult, ProgressCallback

log = logging.getLogger(__name__)

JobFunction = Callable[[Job, DenoiseOptions, ProgressCallback], JobResult]
"""Does one job, such as `process.denoise_file`."""


def run_jobs(
    jobs: Iterable[Job],
    options: DenoiseOptions,
    progress: Callable[[Job, float], None] = lambda job, done: None,
    *,
    workers: int = 1,
    work: JobFunction = process.denoise_file,
) -> Iterator[JobResult]:
    """Run jobs; one that fails yields a result with its error; a `FolderInUseError` ends all.

    Args:
        jobs: as `plan_jobs` returns them.
        options: for all jobs.
        progress: called with the current job and the number of jobs done, fractions of running ones included.
        workers: number of threads; results come in the order of the jobs.
        work: does one job.
    """
    total, lock = 0.0, threading.Lock()

    def do(job: Job) -> JobResult:
        last = 0.0

        def report(fraction: float) -> None:
            nonlocal total, last
            with lock:
                total, last = total + fraction - last, fraction
                progress(job, total)

        report(0)
        try:
            result = work(job, options, report)
        except FolderInUseError:
            raise
        except Exception as error:
            if not isinstance(error, UnnoiseError):
                log.debug("%s", job.source, exc_info=True)
            result = JobResult(job, error_line(job, error))
        report(1)
        return result

    if workers == 1:
        yield from map(do, jobs)
        return
    with ThreadPoolExecutor(workers) as pool:
        try:
            yield from pool.map(do, jobs)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # when interrupted, wait only for the running jobs
            raise


def error_line(job: Job, error: Exception) -> str:
    """Return the reason for which a job failed, in one line."""
    return str(error) if isinstance(error, UnnoiseError) else f"{job.source}: {one_line(error)}"
