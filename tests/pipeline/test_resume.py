"""Resumed runs do nothing twice, lose nothing, and replace only their own outputs."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from unnoise import denoisers, io
from unnoise.io import atomic
from unnoise.pipeline import jobs as planning, process, runner, watch
from unnoise.pipeline.jobs import Job
from unnoise.pipeline.manifest import NAME, Manifest
from unnoise.pipeline.resume import ResumableRun

RECORDED = {"model": "median", "sigma": None}
Clean = Callable[..., list[str]]


def write_image(name: str, level: int) -> Path:
    """Write a small image with one outlier pixel."""
    pixels = np.full((6, 5, 3), level, np.uint8)
    pixels[2, 2] = 255 - level
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    io.from_array(pixels).save(name, overwrite=True)
    return Path(name)


@pytest.fixture
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clean:
    """Return a run from in/, with a.png, b.png and bad.png, to out/: settings -> the status of each image."""
    monkeypatch.chdir(tmp_path)
    write_image("in/a.png", 10), write_image("in/b.png", 20)
    Path("in/bad.png").touch()

    def run(
        recorded: dict = RECORDED, *, overwrite: bool = False, workers: int = 1, also: Sequence[str] = ()
    ) -> list[str]:
        settings = process.DenoiseOptions(denoisers.make(recorded["model"]), overwrite=overwrite)
        with Manifest("out") as manifest:
            jobs = planning.plan_jobs(["in", *also], "out", manifest.taken)
            work = ResumableRun(manifest, recorded).clean
            results = list(runner.run_jobs(jobs, settings, workers=workers, work=work))
        return [o.error or ("skipped" if o.skipped else "cleaned") for o in results]

    return run


def lines() -> list[dict]:
    return [json.loads(line) for line in Path("out", NAME).read_text().splitlines()]


EMPTY = "in/bad.png: the file is empty"


@pytest.mark.parametrize("workers", [1, 3])
def test_finished_jobs_are_skipped_and_failed_ones_tried_again(clean: Clean, workers: int) -> None:
    assert clean(workers=workers) == ["cleaned", "cleaned", EMPTY]
    first, *_, failed = sorted(lines(), key=lambda row: row["source"])
    assert first["source"] == "../in/a.png" and first["target"] == "a.png" and first["settings"] == RECORDED
    assert first["source_sha256"] == atomic.sha256("in/a.png") and first["target_sha256"] == atomic.sha256("out/a.png")
    assert first["model"] == "median" and first["seconds"] > 0 and first["error"] is None
    assert failed["error"] == EMPTY and failed["target_sha256"] is None
    modified = os.stat("out/a.png").st_mtime_ns
    assert clean(workers=workers) == ["skipped", "skipped", EMPTY]
    write_image("in/bad.png", 30)
    assert clean(workers=workers) == ["skipped", "skipped", "cleaned"]
    assert clean(workers=workers) == ["skipped"] * 3 and len(lines()) == 5
    assert os.stat("out/a.png").st_mtime_ns == modified


def test_changes_are_detected_by_content(clean: Clean) -> None:
    clean()
    os.utime("in/a.png", (1, 1))
    size, times = os.stat("in/b.png").st_size, os.stat("in/b.png")
    write_image("in/b.png", 21)
    os.utime("in/b.png", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert os.stat("in/b.png").st_size == size, "neither size nor time has changed"
    assert clean() == ["skipped", "cleaned", EMPTY]
    assert io.read("out/b.png").to_array().max() == 21


def test_other_settings_are_denoised_again(clean: Clean) -> None:
    clean()
    before = Path("out/a.png").read_bytes()
    other = {"model": "tv", "sigma": None}
    assert clean(other)[0] == "cleaned" and Path("out/a.png").read_bytes() != before
    assert clean(other)[0] == "skipped"
    assert clean()[0] == "cleaned" and Path("out/a.png").read_bytes() == before


def test_a_missing_output_is_written_again(clean: Clean) -> None:
    clean()
    Path("out/a.png").unlink()
    assert clean() == ["cleaned", "skipped", EMPTY]


def test_a_foreign_file_is_never_replaced(clean: Clean) -> None:
    write_image("out/a.png", 99)
    foreign = Path("out/a.png").read_bytes()
    assert clean()[:2] == ["out/a.png: already exists: choose another name, or allow overwriting", "cleaned"]
    assert Path("out/a.png").read_bytes() == foreign
    Path("out/b.png").write_bytes(foreign)  # the user edits the output
    assert "already exists" in clean({"model": "tv", "sigma": None})[1] and Path("out/b.png").read_bytes() == foreign
    assert clean(overwrite=True)[:2] == ["cleaned", "cleaned"]


def test_a_new_input_does_not_take_the_target_of_another(clean: Clean) -> None:
    write_image("x.png", 0).rename("x.scan")  # the format is detected by content
    clean(also=["x.scan"])
    assert Path("out/x.png").exists()
    write_image("in/x.png", 40)
    assert clean(also=["x.scan"])[3:] == ["cleaned", "skipped"] and Path("out/x.2.png").exists()
    assert clean(also=["x.scan"])[3:] == ["skipped", "skipped"]


def test_a_kill_between_record_and_rename_is_recovered(clean: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
    clean()
    write_image("in/a.png", 50)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            clean()
    assert io.read("out/a.png").to_array().max() == 10 and lines()[-1]["source"] == "../in/a.png"
    assert clean() == ["cleaned", "skipped", EMPTY]
    assert io.read("out/a.png").to_array().max() == 50


def test_a_full_disk_loses_nothing(clean: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        statuses = clean()
    assert [error.count("is full") for error in statuses] == [2, 2, 1]
    assert [path.name for path in Path("out").iterdir()] == [NAME] and lines() == []
    assert clean() == ["cleaned", "cleaned", EMPTY]


def test_a_file_replaced_in_place_is_denoised_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_image("a.png", 10)
    settings = process.DenoiseOptions(denoisers.make("median"), overwrite=True)
    for skipped in (False, True):
        with Manifest(".") as manifest:
            jobs = planning.plan_jobs(["a.png"], ".", manifest.taken)
            (result,) = runner.run_jobs(jobs, settings, work=ResumableRun(manifest, RECORDED).clean)
        assert (result.error, result.skipped) == (None, skipped)
    with Manifest(".") as manifest:
        changed = ResumableRun(manifest, RECORDED | {"sigma": 5})
        (result,) = runner.run_jobs(jobs, process.DenoiseOptions(settings.denoiser), work=changed.clean)
    assert "already exists" in str(result.error), "without overwrite, an input is not replaced"


# Watching


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[list[str]]]:
    """Return a watch over *.png in this folder: events before each scan -> the names in each batch of jobs."""
    monkeypatch.chdir(tmp_path)

    def run(*events: Callable[[], object]) -> list[list[str]]:
        following = iter(events)

        def scan() -> list[Job]:
            return [Job(path, Path("out") / path) for path in planning.find(["*.png"]) if "*" not in path.name]

        def sleep(seconds: float) -> None:
            event = next(following, None)
            if event is None:
                raise KeyboardInterrupt
            event()

        rounds: list[list[str]] = []
        with contextlib.suppress(KeyboardInterrupt):
            rounds.extend([job.source.name for job in jobs] for jobs in watch.watch_folder(scan, sleep))
        return rounds

    return run


def write(name: str, text: str, age: float = 0) -> Callable[[], object]:
    def event() -> None:
        Path(name).write_text(text)
        os.utime(name, (time.time() - age,) * 2)

    return event


def nothing() -> None:
    """Do nothing before a scan."""


def test_old_files_are_yielded_immediately_and_once(watched: Callable[..., list[list[str]]]) -> None:
    write("a.png", "1", 60)()
    assert watched(nothing, nothing, write("b.png", "1", 60), nothing) == [["a.png"], ["b.png"]]


def test_files_that_are_being_written_are_held_back(watched: Callable[..., list[list[str]]]) -> None:
    growing = [write("a.png", "x" * n) for n in (1, 2, 3)]
    assert watched(*growing) == []
    assert watched(nothing, nothing) == [["a.png"]]


def test_changed_files_are_yielded_again_and_removed_ones_are_not(watched: Callable[..., list[list[str]]]) -> None:
    write("a.png", "1", 60)()
    assert watched(write("a.png", "22", 50), nothing, Path("a.png").unlink, nothing) == [["a.png"], ["a.png"]]
