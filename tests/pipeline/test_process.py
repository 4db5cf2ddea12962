"""Denoise arrays, files and many files, of which some fail."""

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
    """Returns twice the image."""

    halo = 0

    def run(self, noisy, sigma):
        return 2 * noisy


class ConstantSigma(Denoiser):
    """Returns a constant image of the value sigma."""

    wants_sigma, halo = True, 0

    def run(self, noisy, sigma):
        return np.full_like(noisy, sigma)


class DoubleWithSigma(Double):
    """Returns twice the image, and takes sigma."""

    wants_sigma = True


class Failing(Denoiser):
    """Raises an error."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def run(self, noisy, sigma):
        raise self.error


def write_image(path: Path) -> Path:
    """Write an image of the constant value 60."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(path.suffix))
    return path


@functools.cache
def encoded(suffix: str) -> bytes:
    return io.encode(io.from_array(np.full((4, 5, 3), 60, np.uint8)), suffix)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to a folder with b.png, a.jpg, notes.txt, hidden files, and in/deep.PNG."""
    monkeypatch.chdir(tmp_path)
    for name in ("b.png", "a.jpg", ".hidden.png", ".cache/c.png"):
        write_image(Path(name))
    Path("notes.txt").write_text("no picture")
    write_image(Path("in/deep.png")).rename("in/deep.PNG")
    return Path()


# Denoising


@pytest.mark.parametrize(
    "wrong", [{"sigma": -1}, {"sigma": np.nan}, {"strength": 1.6}, {"strength": np.nan}, {"quality": 0}]
)
def test_options_out_of_range_are_refused(wrong: dict) -> None:
    with pytest.raises(UnnoiseError):
        DenoiseOptions(Double(), **wrong)


def test_sigma_is_the_given_one_or_estimated_if_the_denoiser_needs_it(photograph: np.ndarray) -> None:
    assert Double().resolve(photograph, 0.1)[1] is None
    assert ConstantSigma().resolve(photograph, 0.1)[1] == 0.1
    level = ConstantSigma().resolve(photograph)[1]
    assert isinstance(level, float) and 0 <= level < 0.1


@pytest.mark.parametrize("strength", [0, 0.25, 1, 1.5])
def test_strength_interpolates_between_noisy_and_clean(photograph: np.ndarray, strength: float) -> None:
    noisy = photograph.copy()
    noisy[0, :3, 0] = np.nan, np.inf, -np.inf
    clean = process.denoise_array(Double(), noisy, None, strength=strength)
    np.testing.assert_allclose(clean[1:], (1 + strength) * photograph[1:], rtol=1e-6)
    np.testing.assert_array_equal(clean[0, :3, 0], [np.nan, np.inf, -np.inf])


def test_sigma_zero_leaves_the_image_unchanged(photograph: np.ndarray) -> None:
    clean = process.denoise_array(ConstantSigma(), photograph, 0.0)
    np.testing.assert_array_equal(clean, photograph)
    assert clean is not photograph


def test_large_images_are_denoised_in_tiles() -> None:
    fractions: list[float] = []
    noisy = np.random.default_rng(0).random((9, 3 * TILE + 1, 1), dtype=np.float32)
    clean = process.denoise_array(Double(), noisy, None, progress=fractions.append)
    np.testing.assert_array_equal(clean, 2 * noisy)
    assert len(fractions) == 5 and fractions == sorted(fractions) and fractions[-1] == 1


def test_one_bad_file_does_not_stop_the_others(here: Path) -> None:
    names = ["b.png", "notes.txt", "missing.png", "in"]
    progress: list[float] = []
    results = list(
        runner.run_jobs(
            planning.plan_jobs(names, "out"), DenoiseOptions(Double()), lambda job, done: progress.append(done)
        )
    )
    assert [bool(result.error) for result in results] == [False, True, True, False]
    assert sorted(path.name for path in Path("out").iterdir()) == ["b.png", "deep.PNG"]
    np.testing.assert_array_equal(io.read("out/b.png").to_array(), 120)
    assert progress == sorted(progress) and progress[-1] == 4
    assert results[0].to_dict() == {
        **{"source": "b.png", "target": str(Path("out/b.png")), "error": None, "sigma": None, "megapixels": 0.0},
        **{"done": "denoised", "noise": None, "model": None, "reason": "the model needs no estimate of the noise"},
        "seconds": pytest.approx(0, abs=5),
        "skipped": False,
    }


def test_sigma_is_reported_in_8_bit_units(here: Path) -> None:
    (result,) = runner.run_jobs(planning.plan_jobs(["b.png"]), DenoiseOptions(ConstantSigma(), sigma=51 / 255))
    assert result.to_dict()["sigma"] == 51
    np.testing.assert_array_equal(io.read("b.clean.png").to_array(), 51)


@pytest.mark.parametrize(("error", "message"), [(MemoryError(), "out of memory"), (KeyError("x"), "KeyError: 'x'")])
def test_an_unexpected_error_fails_one_file_only(here: Path, error: Exception, message: str) -> None:
    results = list(runner.run_jobs(planning.plan_jobs(["b.png", "a.jpg"], "out"), DenoiseOptions(Failing(error))))
    assert [str(result.error).startswith(f"{result.job.source}: {message}") for result in results] == [True, True]
    assert not Path("out").exists()


def test_an_interruption_leaves_no_files(here: Path) -> None:
    before = sorted(here.rglob("*"))
    with pytest.raises(KeyboardInterrupt):
        list(runner.run_jobs(planning.plan_jobs(["."], "out"), DenoiseOptions(Failing(KeyboardInterrupt()))))
    assert sorted(here.rglob("*")) == before


@pytest.mark.parametrize(
    ("target", "reason"), [("a.jpg", "exists"), ("x.xyz", "writes"), ("x.psd", "writes"), ("in", "folder")]
)
def test_a_bad_target_is_refused_before_denoising(here: Path, target: str, reason: str) -> None:
    with pytest.raises(UnnoiseError, match=reason):
        process.denoise_file(Job(Path("b.png"), Path(target)), DenoiseOptions(Failing(AssertionError())))


def test_files_are_overwritten_only_with_overwrite(here: Path) -> None:
    job = Job(Path("b.png"), Path("b.png"))
    with pytest.raises(UnnoiseError, match="exists"):
        process.denoise_file(job, DenoiseOptions(Double()))
    np.testing.assert_array_equal(io.read("b.png").to_array(), 60)
    process.denoise_file(job, DenoiseOptions(Double(), overwrite=True))
    np.testing.assert_array_equal(io.read("b.png").to_array(), 120)


def test_bytes_are_returned_or_written_to_a_file(here: Path) -> None:
    data = Path("b.png").read_bytes()
    clean, outcome = process.denoise_bytes(data, DenoiseOptions(Double()))
    assert outcome.done == "denoised" and clean is not None and clean.startswith(b"\x89PNG")
    np.testing.assert_array_equal(io.read(clean).to_array(), 120)
    assert process.denoise_bytes(data, DenoiseOptions(Double()), "new/c.tif")[0] is None
    np.testing.assert_array_equal(io.read("new/c.tif").to_array(), 120)
    with pytest.raises(UnnoiseError, match="exists"):
        process.denoise_bytes(data, DenoiseOptions(Double()), "new/c.tif")


def test_workers_run_in_parallel_and_results_keep_their_order(here: Path) -> None:
    jobs = [Job(Path(f"{n}"), Path(f"{n}.png")) for n in range(6)]
    met, progress = threading.Barrier(3, timeout=20), []

    def work(job: Job, options: DenoiseOptions, report: process.ProgressCallback) -> JobResult:
        met.wait()  # until three run at the same time
        report(0.5)
        if job.source.name == "4":
            raise UnnoiseError("no")
        return JobResult(job)

    report_total = lambda job, done: progress.append(done)  # noqa: E731
    results = list(runner.run_jobs(jobs, DenoiseOptions(Double()), report_total, workers=3, work=work))
    assert [result.job for result in results] == jobs
    assert [result.error for result in results] == [None, None, None, None, "no", None]
    assert progress == sorted(progress) and progress[-1] == 6


def test_no_new_jobs_start_after_the_results_are_closed(here: Path) -> None:
    begun: list[Path] = []

    def work(job: Job, options: DenoiseOptions, report: process.ProgressCallback) -> JobResult:
        begun.append(job.source)
        threading.Event().wait(0.02)
        return JobResult(job)

    results = runner.run_jobs(
        [Job(Path(str(n)), Path("x")) for n in range(50)], DenoiseOptions(Double()), workers=2, work=work
    )
    next(results)
    results.close()
    assert len(begun) < 10


def test_before_commit_is_called_before_the_output_exists(here: Path) -> None:
    def before_commit(result: JobResult, file: Path) -> None:
        assert not job.target.exists() and io.read(file).to_array().max() == 120
        assert result.seconds > 0 and result.sigma == 0.5
        raise UnnoiseError("not yet")

    job = Job(Path("b.png"), Path("new/b.png"))
    with pytest.raises(UnnoiseError, match="not yet"):
        process.denoise_file(job, DenoiseOptions(DoubleWithSigma(), sigma=0.5), before_commit=before_commit)
    assert list(Path("new").iterdir()) == []
