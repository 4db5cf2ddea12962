"""Ray on one machine, compared with the plain pipeline: its overhead, and the next bottleneck.

    python benchmarks/speed/cluster.py [--data ../shared/data] [--copies 2] [--rounds 2]

The images of CBSD68, each `--copies` times, are denoised by `color` on ONNX Runtime with one thread for each image: by
the plain pipeline with one and two workers, and by Ray with one and two actors, in turn, `--rounds` times; the best
round counts. Rates are measured after the first result, so that they hold for long batches; `start_seconds` is the time
before it. `core_seconds` is the processor time of all processes, Ray's own included, and is valid on a busy machine.
Then the steps of one image on one core, and the work of the driver alone; and an extrapolation from these to 100
million such images on more machines. Needs Linux, the extra `ray`, and two cores.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one thread for each image
os.environ.setdefault("RAY_worker_niceness", "0")  # by default Ray's workers run at lower priority

import numpy as np

from unnoise import denoisers, io
from unnoise.evaluation import report
from unnoise.io import atomic
from unnoise.pipeline import jobs as planning, process, ray_jobs, ray_pool, resume, runner
from unnoise.pipeline.manifest import Manifest
from unnoise.pipeline.process import DenoiseOptions, JobResult
from unnoise.system import cpu_count

MODEL, ENGINE, SIGMA = "color", "onnx", 25 / 255
OPTIONS = {"model": MODEL, "engine": ENGINE, "sigma": 25}


@dataclass(frozen=True)
class Rate:
    """Throughput of a batch; `share` is relative to the plain pipeline with as many workers."""

    engine: str
    workers: int
    images: int
    start_seconds: float
    images_per_second: float
    share: float


@dataclass(frozen=True)
class Cost:
    """Core-seconds of an image with one worker; `share` is the plain pipeline's relative to them."""

    engine: str
    core_seconds: float
    share: float


@dataclass(frozen=True)
class Extrapolation:
    """A batch of `IMAGES` on a number of machines, extrapolated.

    `commands` is the number of commands that must run at the same time, each on its own folder, so that no driver is
    the bottleneck; `megabytes_per_second` is the load of the file system, reading and writing.
    """

    machines: int
    cores: int
    images_per_second: float
    commands: int
    megabytes_per_second: float
    hours: float
    core_hours: float


IMAGES, CORES = 100_000_000, 16
"""The extrapolation: number of images, as large as those measured, and cores of each machine."""


@dataclass(frozen=True)
class Measurement:
    """One run; rate and core-seconds of an image are those after the first result."""

    images: int
    start_seconds: float
    images_per_second: float
    core_seconds: float


@dataclass(frozen=True)
class Step:
    """One step of the work on an image, on one core: wall time and processor time."""

    step: str
    milliseconds: float
    core_milliseconds: float


def plain(folder: Path, out: Path, workers: int) -> Iterator[JobResult]:
    """Denoise a folder with the plain pipeline."""
    denoiser = denoisers.make(MODEL, engine=ENGINE, concurrency=cpu_count())
    with Manifest(out) as manifest:
        work = resume.ResumableRun(manifest, OPTIONS).clean
        jobs = planning.plan_jobs([folder], out, manifest.taken)
        yield from runner.run_jobs(jobs, DenoiseOptions(denoiser, SIGMA), workers=workers, work=work)


def on_ray(folder: Path, out: Path, workers: int) -> Iterator[JobResult]:
    """Denoise a folder with Ray."""
    ray_run = ray_jobs.RayRun(MODEL, False, ENGINE, DenoiseOptions(denoisers.make("median"), SIGMA), OPTIONS)
    with Manifest(out) as manifest:
        yield from ray_run.run(planning.plan_jobs([folder], out, manifest.taken), manifest, workers=workers)


def measure(results: Iterator[JobResult], total: int) -> Measurement:
    """Measure a run of `total` images."""
    start = time.perf_counter()
    times: list[float] = []
    before, after = list[dict[int, int]](), dict[int, int]()
    for number, result in enumerate(results):
        assert result.error is None, result.error
        times.append(time.perf_counter() - start)
        if number < 8:
            before.append(clock_ticks())
        elif number >= total - 8:
            after |= clock_ticks()  # keeps the ticks of actors that have ended
    with_first = sum(seconds - times[0] < 0.05 for seconds in times)  # results delivered together with the first
    ticks = sum(after[process] - before[with_first - 1].get(process, 0) for process in after)
    count, seconds = total - with_first, times[-1] - times[0]
    return Measurement(total, times[0], count / seconds, ticks / os.sysconf("SC_CLK_TCK") / count)


def clock_ticks() -> dict[int, int]:
    """Return the clock ticks used by this process and each of its descendants, process id -> ticks."""
    used, parents = {}, {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            parents[int(entry.name)] = int(fields[1])
            used[int(entry.name)] = sum(map(int, fields[11:13]))
    processes = {os.getpid()}
    while more := {child for child, parent in parents.items() if parent in processes} - processes:
        processes |= more
    return {process: used[process] for process in processes}


def rates(folder: Path, outputs: Path, rounds: int) -> tuple[list[Rate], list[Cost]]:
    """Measure both, with one and two workers, in turn."""
    engines: dict[str, Callable[[Path, Path, int], Iterator[JobResult]]] = {"plain": plain, "Ray": on_ray}
    runs: dict[tuple[int, str], list[Measurement]] = {}
    total = len(list(folder.rglob("*.png")))
    for number in range(rounds):
        for workers in (1, 2):
            for name, engine in engines.items():
                results = engine(folder, outputs / f"{name}-{workers}-{number}", workers)
                runs.setdefault((workers, name), []).append(measure(results, total))
    assert len({contents(output) for output in outputs.iterdir()}) == 1, "all outputs must be equal"
    fastest = {key: max(run.images_per_second for run in group) for key, group in runs.items()}
    cheapest = {key: min(run.core_seconds for run in group) for key, group in runs.items()}
    table = []
    for (workers, name), group in runs.items():
        share = fastest[workers, name] / fastest[workers, "plain"]
        start = min(run.start_seconds for run in group)
        table.append(Rate(name, workers, total, start, fastest[workers, name], share))
    costs = [Cost(name, cheapest[1, name], cheapest[1, "plain"] / cheapest[1, name]) for name in engines]
    return table, costs


def contents(folder: Path) -> frozenset[tuple[str, str]]:
    """Return the names and hashes of the images in a folder."""
    return frozenset((str(path.relative_to(folder)), atomic.sha256(path)) for path in folder.rglob("*.png"))


def steps(paths: list[Path], folder: Path) -> list[Step]:
    """Time each step of the work on an image, and the part of the driver."""
    denoiser = denoisers.make(MODEL, engine=ENGINE, concurrency=cpu_count())
    driver = folder / "driver"
    driver.mkdir(parents=True)
    noisy = [io.read(path) for path in paths]
    clean = [image.with_pixels(process.denoise_array(denoiser, image.pixels, SIGMA)) for image in noisy]
    tiny = io.from_array(np.zeros((8, 8, 3), np.uint8))
    functions: dict[str, Callable[[int], object]] = {
        "hash of the input": lambda number: atomic.sha256(paths[number]),
        "read and decode": lambda number: io.read(paths[number]).pixels,
        "network": lambda number: process.denoise_array(denoiser, noisy[number].pixels, SIGMA),
        "encode as PNG": lambda number: io.encode(clean[number], ".png"),
        "write, sync and rename a small file": lambda number: tiny.save(folder / f"{number}.png", overwrite=True),
    }
    result = [Step(name, *mean_milliseconds(function, len(paths))) for name, function in functions.items()]
    with Manifest(driver) as manifest:
        jobs = [planning.Job(path, driver / path.name) for path in paths]

        def commit(number: int) -> None:
            staged = atomic.staging_path(jobs[number].target)
            staged.touch()
            resume.ResumableRun(manifest, OPTIONS).fail(JobResult(jobs[number], model=MODEL))
            atomic.commit(staged, jobs[number].target)

        result.append(Step("driver: synced manifest line and rename", *mean_milliseconds(commit, len(paths))))
    return result


def extrapolate(machines: int, core_seconds: float, driver_seconds: float, size: int) -> Extrapolation:
    """Extrapolate from one image: its core-seconds, seconds of the driver, and bytes read and written."""
    cores = machines * CORES
    rate = cores / core_seconds
    hours = IMAGES / rate / 3600
    commands = math.ceil(rate * driver_seconds)
    return Extrapolation(machines, cores, rate, commands, rate * size / 1e6, hours, hours * cores)


def mean_milliseconds(function: Callable[[int], object], count: int) -> tuple[float, float]:
    """Return the mean wall time and processor time of a call in milliseconds; the faster of two passes."""
    passes = []
    for _ in range(2):
        start, process_start = time.perf_counter(), time.process_time()
        for number in range(count):
            function(number)
        passes.append((time.perf_counter() - start, time.process_time() - process_start))
    return min(wall for wall, _ in passes) * 1000 / count, min(core for _, core in passes) * 1000 / count


def main() -> None:
    """Measure, and print the tables."""
    parser = common.parser(__doc__, data=True)
    parser.add_argument("--images", type=int, default=68, help="how many of CBSD68")
    parser.add_argument("--copies", type=int, default=2, help="of each image")
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    sources = sorted((arguments.data / "cbsd68").glob("*.png"))[: arguments.images]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for copy in range(arguments.copies):
            (folder / "noisy" / str(copy)).mkdir(parents=True)
            for source in sources:
                shutil.copy(source, folder / "noisy" / str(copy))
        (folder / "clean").mkdir()
        with ray_pool.ray_session("local"):
            measured, costs = rates(folder / "noisy", folder / "clean", arguments.rounds)
        print(report.markdown(measured, decimals={"images_per_second": 2, "start_seconds": 1}))
        print(f"\n{report.markdown(costs, decimals={'core_seconds': 3})}")
        parts = steps(sources, folder / "steps")
        print(f"\n{report.markdown(parts, decimals={'milliseconds': 1, 'core_milliseconds': 1})}")
        written = sum(path.stat().st_size for path in (folder / "clean" / "Ray-2-0" / "0").glob("*.png"))
        size = (written + sum(path.stat().st_size for path in sources)) // len(sources)
        core_seconds, driver_seconds = costs[-1].core_seconds, parts[-1].milliseconds / 1000
        table = [extrapolate(machines, core_seconds, driver_seconds, size) for machines in (1, 10, 1000)]
        print(f"\n{report.markdown(table, decimals={'megabytes_per_second': 0, 'hours': 1, 'core_hours': 0})}")


if __name__ == "__main__":
    main()
