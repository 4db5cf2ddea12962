"""A cluster of one machine beside the plain pipeline: what Ray costs, and where the next bottleneck stands.

    python benchmarks/speed/cluster.py [--data ../shared/data] [--copies 2] [--rounds 2]

The pictures of CBSD68, each `--copies` times, are cleaned by `color` on ONNX Runtime with one thread a picture: by the
plain pipeline with one and two workers, and by Ray with one and two actors, in turn, `--rounds` times; the best of each
counts. Rates are those after the first outcome, so that they hold for long archives; what comes before is `start`.
`core_seconds` are those of all processes together, Ray's own included: they tell the same on a machine that is busy.
Then the steps of one picture on one core, and what the driver alone can do; and from these, on paper, 100 million such
pictures on more machines. Needs Linux, the extra `ray`, and two cores.
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

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a picture has one thread
os.environ.setdefault("RAY_worker_niceness", "0")  # else Ray's workers stand behind everything else on the machine

import numpy as np

from unnoise import denoisers, io
from unnoise.evaluation import report
from unnoise.io import atomic
from unnoise.pipeline import jobs as planning, process, ray_jobs, ray_pool, resume, runner
from unnoise.pipeline.manifest import Manifest
from unnoise.pipeline.process import DenoiseOptions, JobResult
from unnoise.system import cpu_count

MODEL, ENGINE, SIGMA = "color", "onnx", 25 / 255
ASKED = {"model": MODEL, "engine": ENGINE, "sigma": 25}


@dataclass(frozen=True)
class Rate:
    """How fast an archive is cleaned; `share` is the rate beside that of the plain pipeline with as many workers."""

    engine: str
    workers: int
    pictures: int
    start_seconds: float
    pictures_per_second: float
    share: float


@dataclass(frozen=True)
class Cost:
    """What a picture takes of all cores together, one worker at work; `share` is that of the plain pipeline in it."""

    engine: str
    core_seconds: float
    share: float


@dataclass(frozen=True)
class Plan:
    """An archive of `PICTURES` on so many machines, on paper.

    `commands` is how many have to work at the same time, each on a folder of its own, so that none of their drivers is
    what all wait for; `megabytes_per_second` is what the file system has to read and write.
    """

    machines: int
    cores: int
    pictures_per_second: float
    commands: int
    megabytes_per_second: float
    hours: float
    core_hours: float


PICTURES, CORES = 100_000_000, 16
"""What is planned: so many pictures, as large as those measured, on machines of so many cores."""

Measured = tuple[int, float, float, float]
"""Pictures, seconds until the first, pictures a second after that, core-seconds a picture after that."""


@dataclass(frozen=True)
class Step:
    """What a part of the work takes for one picture, on one core: by the clock, and of the core."""

    step: str
    milliseconds: float
    core_milliseconds: float


def plain(folder: Path, out: Path, workers: int) -> Iterator[JobResult]:
    """Clean a folder by the plain pipeline."""
    denoiser = denoisers.make(MODEL, engine=ENGINE, concurrency=cpu_count())
    with Manifest(out) as manifest:
        work = resume.ResumableRun(manifest, ASKED).clean
        jobs = planning.plan_jobs([folder], out, manifest.taken)
        yield from runner.run_jobs(jobs, DenoiseOptions(denoiser, SIGMA), workers=workers, work=work)


def on_ray(folder: Path, out: Path, workers: int) -> Iterator[JobResult]:
    """Clean a folder by the cluster."""
    order = ray_jobs.RayRun(MODEL, False, ENGINE, DenoiseOptions(denoisers.make("median"), SIGMA), ASKED)
    with Manifest(out) as manifest:
        yield from order.run(planning.plan_jobs([folder], out, manifest.taken), manifest, workers=workers)


def timed(outcomes: Iterator[JobResult], total: int) -> Measured:
    """Measure a run of so many pictures."""
    begun = time.perf_counter()
    moments: list[float] = []
    before, after = list[dict[int, int]](), dict[int, int]()
    for number, outcome in enumerate(outcomes):
        assert outcome.error is None, outcome.error
        moments.append(time.perf_counter() - begun)
        if number < 8:
            before.append(ticks())
        elif number >= total - 8:
            after |= ticks()  # an actor that has nothing more to do goes, and what it used is kept
    with_first = sum(moment - moments[0] < 0.05 for moment in moments)  # what came together with the first
    used = sum(after[one] - before[with_first - 1].get(one, 0) for one in after) / os.sysconf("SC_CLK_TCK")
    count, seconds = total - with_first, moments[-1] - moments[0]
    return total, moments[0], count / seconds, used / count


def ticks() -> dict[int, int]:
    """Return what this process, and each that comes from it, has used of the processors, by Linux's books."""
    used, parents = {}, {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            parents[int(entry.name)] = int(fields[1])
            used[int(entry.name)] = sum(map(int, fields[11:13]))
    ours = {os.getpid()}
    while more := {child for child, parent in parents.items() if parent in ours} - ours:
        ours |= more
    return {one: used[one] for one in ours}


def rates(folder: Path, place: Path, rounds: int) -> tuple[list[Rate], list[Cost]]:
    """Measure both, with one and two workers, in turn."""
    ways: dict[str, Callable[[Path, Path, int], Iterator[JobResult]]] = {"plain": plain, "Ray": on_ray}
    best: dict[tuple[int, str], list[Measured]] = {}
    for number in range(rounds):
        for workers in (1, 2):
            for name, way in ways.items():
                outcomes = way(folder, place / f"{name}-{workers}-{number}", workers)
                found = timed(outcomes, len(list(folder.rglob("*.png"))))
                best.setdefault((workers, name), []).append(found)
    assert len({contents(made) for made in place.iterdir()}) == 1, "all of them make the same"
    fastest = {key: max(one[2] for one in found) for key, found in best.items()}
    cheapest = {key: min(one[3] for one in found) for key, found in best.items()}
    table = []
    for (workers, name), found in best.items():
        share = fastest[workers, name] / fastest[workers, "plain"]
        start = min(one[1] for one in found)
        table.append(Rate(name, workers, found[0][0], start, fastest[workers, name], share))
    costs = [Cost(name, cheapest[1, name], cheapest[1, "plain"] / cheapest[1, name]) for name in ways]
    return table, costs


def contents(folder: Path) -> frozenset[tuple[str, str]]:
    """Return the names and hashes of the pictures in a folder."""
    return frozenset((str(one.relative_to(folder)), atomic.sha256(one)) for one in folder.rglob("*.png"))


def steps(pictures: list[Path], place: Path) -> list[Step]:
    """Take apart what is done for a picture, and what the driver does of it."""
    denoiser = denoisers.make(MODEL, engine=ENGINE, concurrency=cpu_count())
    place.mkdir()
    read = [io.read(path) for path in pictures]
    clean = [one.with_pixels(process.denoise_array(denoiser, one.pixels, SIGMA)) for one in read]
    tiny = io.from_array(np.zeros((8, 8, 3), np.uint8))
    done: dict[str, Callable[[int], object]] = {
        "hash of the input": lambda number: atomic.sha256(pictures[number]),
        "read and decode": lambda number: io.read(pictures[number]).pixels,
        "network": lambda number: process.denoise_array(denoiser, read[number].pixels, SIGMA),
        "encode as PNG": lambda number: io.encode(clean[number], ".png"),
        "write, sync and rename a small file": lambda number: tiny.save(place / f"{number}.png", overwrite=True),
    }
    found = [Step(name, *fastest(call, len(pictures))) for name, call in done.items()]
    with Manifest(place / "driver") as manifest:
        jobs = [planning.Job(path, place / "driver" / path.name) for path in pictures]
        (place / "driver").mkdir(exist_ok=True)

        def settle(number: int) -> None:
            held = atomic.staging_path(jobs[number].target)
            held.touch()
            outcome = JobResult(jobs[number], model=MODEL)
            resume.ResumableRun(manifest, ASKED).fail(outcome)
            atomic.commit(held, jobs[number].target)

        found.append(Step("the driver: a line that is synced, and a rename", *fastest(settle, len(pictures))))
    return found


def plan(machines: int, core_seconds: float, driver_seconds: float, size: int) -> Plan:
    """Reckon with what was measured for one picture: core-seconds, the driver's seconds, bytes in and out."""
    cores = machines * CORES
    rate = cores / core_seconds
    hours = PICTURES / rate / 3600
    return Plan(machines, cores, rate, math.ceil(rate * driver_seconds), rate * size / 1e6, hours, hours * cores)


def fastest(call: Callable[[int], object], count: int) -> tuple[float, float]:
    """Return the mean milliseconds of a call, by the clock and of the core; the faster of two passes over all."""
    passes = []
    for _ in range(2):
        begun, used = time.perf_counter(), time.process_time()
        for number in range(count):
            call(number)
        passes.append((time.perf_counter() - begun, time.process_time() - used))
    return min(one[0] for one in passes) * 1000 / count, min(one[1] for one in passes) * 1000 / count


def main() -> None:
    """Measure and print."""
    parser = common.parser(__doc__, data=True)
    parser.add_argument("--pictures", type=int, default=68, help="the first so many")
    parser.add_argument("--copies", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    sources = sorted((arguments.data / "cbsd68").glob("*.png"))[: arguments.pictures]
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        for copy in range(arguments.copies):
            (place / "noisy" / str(copy)).mkdir(parents=True)
            for source in sources:
                shutil.copy(source, place / "noisy" / str(copy))
        (place / "made").mkdir()
        with ray_pool.ray_session("local"):
            measured, costs = rates(place / "noisy", place / "made", arguments.rounds)
        print(report.markdown(measured, decimals={"pictures_per_second": 2, "start_seconds": 1}))
        print(f"\n{report.markdown(costs, decimals={'core_seconds': 3})}")
        parts = steps(sources, place / "steps")
        print(f"\n{report.markdown(parts, decimals={'milliseconds': 1, 'core_milliseconds': 1})}")
        made = sum(path.stat().st_size for path in (place / "made" / "Ray-2-0" / "0").glob("*.png"))
        size = (made + sum(path.stat().st_size for path in sources)) // len(sources)
        one = costs[-1].core_seconds, parts[-1].milliseconds / 1000, size
        table = [plan(machines, *one) for machines in (1, 10, 1000)]
        print(f"\n{report.markdown(table, decimals={'megabytes_per_second': 0, 'hours': 1, 'core_hours': 0})}")


if __name__ == "__main__":
    main()
