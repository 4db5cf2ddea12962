"""Many files: what becomes of them, and of the good ones when one is bad."""

from __future__ import annotations

import functools
import threading
from pathlib import Path

import numpy as np
import pytest

from unnoise import io
from unnoise.denoisers.base import Denoiser
from unnoise.denoisers.tiling import TILE
from unnoise.errors import UnnoiseError
from unnoise.pipeline import jobs as planning, process, runner
from unnoise.pipeline.jobs import Job
from unnoise.pipeline.process import DenoiseOptions, JobResult


class Double(Denoiser):
    """Twice the picture: easy to tell from the input."""

    halo = 0

    def run(self, noisy, sigma):
        return 2 * noisy


class Told(Denoiser):
    """A constant picture of the level that it was told."""

    wants_sigma, halo = True, 0

    def run(self, noisy, sigma):
        return np.full_like(noisy, sigma)


class Level(Double):
    """Twice the picture, and the level counts."""

    wants_sigma = True


class Broken(Denoiser):
    """Fails in a way of its own."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def run(self, noisy, sigma):
        raise self.error


def put(path: Path) -> Path:
    """Put a picture of the level 60 there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(path.suffix))
    return path


@functools.cache
def encoded(suffix: str) -> bytes:
    return io.encode(io.from_array(np.full((4, 5, 3), 60, np.uint8)), suffix)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder with b.png, a.jpg, notes.txt, what is hidden, and in/deep.PNG."""
    monkeypatch.chdir(tmp_path)
    for name in ("b.png", "a.jpg", ".hidden.png", ".cache/c.png"):
        put(Path(name))
    Path("notes.txt").write_text("no picture")
    put(Path("in/deep.png")).rename("in/deep.PNG")
    return Path()


# The work


@pytest.mark.parametrize(
    "wrong", [{"sigma": -1}, {"sigma": np.nan}, {"strength": 1.6}, {"strength": np.nan}, {"quality": 0}]
)
def test_settings_out_of_range_are_refused(wrong: dict) -> None:
    with pytest.raises(UnnoiseError):
        DenoiseOptions(Double(), **wrong)


def test_the_level_is_the_one_told_and_never_asked_in_vain(photograph: np.ndarray) -> None:
    assert Double().resolve(photograph, 0.1)[1] is None
    assert Told().resolve(photograph, 0.1)[1] == 0.1
    level = Told().resolve(photograph)[1]
    assert isinstance(level, float) and 0 <= level < 0.1


@pytest.mark.parametrize("strength", [0, 0.25, 1, 1.5])
def test_strength_is_a_line_through_noisy_and_clean(photograph: np.ndarray, strength: float) -> None:
    noisy = photograph.copy()
    noisy[0, :3, 0] = np.nan, np.inf, -np.inf
    clean = process.denoise_array(Double(), noisy, None, strength=strength)
    np.testing.assert_allclose(clean[1:], (1 + strength) * photograph[1:], rtol=1e-6)
    np.testing.assert_array_equal(clean[0, :3, 0], [np.nan, np.inf, -np.inf])


def test_a_level_of_zero_leaves_the_picture(photograph: np.ndarray) -> None:
    clean = process.denoise_array(Told(), photograph, 0.0)
    np.testing.assert_array_equal(clean, photograph)
    assert clean is not photograph


def test_large_pictures_are_cleaned_in_tiles() -> None:
    shares: list[float] = []
    noisy = np.random.default_rng(0).random((9, 3 * TILE + 1, 1), dtype=np.float32)
    clean = process.denoise_array(Double(), noisy, None, progress=shares.append)
    np.testing.assert_array_equal(clean, 2 * noisy)
    assert len(shares) == 5 and shares == sorted(shares) and shares[-1] == 1


def test_one_bad_file_does_not_stop_the_others(here: Path) -> None:
    names = ["b.png", "notes.txt", "missing.png", "in"]
    progress: list[float] = []
    outcomes = list(
        runner.run_jobs(
            planning.plan_jobs(names, "out"), DenoiseOptions(Double()), lambda job, done: progress.append(done)
        )
    )
    assert [bool(outcome.error) for outcome in outcomes] == [False, True, True, False]
    assert sorted(path.name for path in Path("out").iterdir()) == ["b.png", "deep.PNG"]
    np.testing.assert_array_equal(io.read("out/b.png").to_array(), 120)
    assert progress == sorted(progress) and progress[-1] == 4
    assert outcomes[0].to_dict() == {
        **{"source": "b.png", "target": str(Path("out/b.png")), "error": None, "sigma": None, "megapixels": 0.0},
        "model": "",
        "seconds": pytest.approx(0, abs=5),
        "skipped": False,
    }


def test_the_level_is_told_in_8_bit_units(here: Path) -> None:
    (outcome,) = runner.run_jobs(planning.plan_jobs(["b.png"]), DenoiseOptions(Told(), sigma=51 / 255))
    assert outcome.to_dict()["sigma"] == 51
    np.testing.assert_array_equal(io.read("b.clean.png").to_array(), 51)


@pytest.mark.parametrize(("error", "told"), [(MemoryError(), "out of memory"), (KeyError("x"), "KeyError: 'x'")])
def test_what_nobody_foresaw_stops_one_file_only(here: Path, error: Exception, told: str) -> None:
    outcomes = list(runner.run_jobs(planning.plan_jobs(["b.png", "a.jpg"], "out"), DenoiseOptions(Broken(error))))
    assert [str(outcome.error).startswith(f"{outcome.job.source}: {told}") for outcome in outcomes] == [True, True]
    assert not Path("out").exists()


def test_an_interruption_leaves_nothing_behind(here: Path) -> None:
    before = sorted(here.rglob("*"))
    with pytest.raises(KeyboardInterrupt):
        list(runner.run_jobs(planning.plan_jobs(["."], "out"), DenoiseOptions(Broken(KeyboardInterrupt()))))
    assert sorted(here.rglob("*")) == before


@pytest.mark.parametrize(
    ("target", "why"), [("a.jpg", "exists"), ("x.bmp", "writes"), ("x.psd", "writes"), ("in", "folder")]
)
def test_a_target_is_refused_before_the_work(here: Path, target: str, why: str) -> None:
    with pytest.raises(UnnoiseError, match=why):
        process.denoise_file(Job(Path("b.png"), Path(target)), DenoiseOptions(Broken(AssertionError())))


def test_only_overwriting_overwrites(here: Path) -> None:
    job = Job(Path("b.png"), Path("b.png"))
    with pytest.raises(UnnoiseError, match="exists"):
        process.denoise_file(job, DenoiseOptions(Double()))
    np.testing.assert_array_equal(io.read("b.png").to_array(), 60)
    process.denoise_file(job, DenoiseOptions(Double(), overwrite=True))
    np.testing.assert_array_equal(io.read("b.png").to_array(), 120)


def test_bytes_come_back_as_bytes_or_go_into_a_file(here: Path) -> None:
    data = Path("b.png").read_bytes()
    clean = process.denoise_bytes(data, DenoiseOptions(Double()))
    assert clean is not None and clean.startswith(b"\x89PNG")
    np.testing.assert_array_equal(io.read(clean).to_array(), 120)
    assert process.denoise_bytes(data, DenoiseOptions(Double()), "new/c.tif") is None
    np.testing.assert_array_equal(io.read("new/c.tif").to_array(), 120)
    with pytest.raises(UnnoiseError, match="exists"):
        process.denoise_bytes(data, DenoiseOptions(Double()), "new/c.tif")


def test_workers_work_at_the_same_time_and_outcomes_keep_their_order(here: Path) -> None:
    jobs = [Job(Path(f"{n}"), Path(f"{n}.png")) for n in range(6)]
    met, progress = threading.Barrier(3, timeout=20), []

    def work(job: Job, settings: DenoiseOptions, report: process.ProgressCallback) -> JobResult:
        met.wait()  # nobody goes on alone
        report(0.5)
        if job.source.name == "4":
            raise UnnoiseError("no")
        return JobResult(job)

    tell = lambda job, done: progress.append(done)  # noqa: E731
    outcomes = list(runner.run_jobs(jobs, DenoiseOptions(Double()), tell, workers=3, work=work))
    assert [outcome.job for outcome in outcomes] == jobs
    assert [outcome.error for outcome in outcomes] == [None, None, None, None, "no", None]
    assert progress == sorted(progress) and progress[-1] == 6


def test_workers_get_no_new_jobs_when_somebody_leaves(here: Path) -> None:
    begun: list[Path] = []

    def work(job: Job, settings: DenoiseOptions, report: process.ProgressCallback) -> JobResult:
        begun.append(job.source)
        threading.Event().wait(0.02)
        return JobResult(job)

    outcomes = runner.run_jobs(
        [Job(Path(str(n)), Path("x")) for n in range(50)], DenoiseOptions(Double()), workers=2, work=work
    )
    next(outcomes)
    outcomes.close()
    assert len(begun) < 10


def test_a_picture_is_sealed_before_it_is_there(here: Path) -> None:
    def before_commit(outcome: JobResult, file: Path) -> None:
        assert not job.target.exists() and io.read(file).to_array().max() == 120
        assert outcome.seconds > 0 and outcome.sigma == 0.5
        raise UnnoiseError("not yet")

    job = Job(Path("b.png"), Path("new/b.png"))
    with pytest.raises(UnnoiseError, match="not yet"):
        process.denoise_file(job, DenoiseOptions(Level(), sigma=0.5), before_commit=before_commit)
    assert list(Path("new").iterdir()) == []
