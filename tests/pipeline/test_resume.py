"""An archive is brought up to date: nothing done twice, nothing lost, nothing of others touched."""

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

ASKED = {"model": "median", "sigma": None}
Clean = Callable[..., list[str]]


def put(name: str, level: int) -> Path:
    """Put a small picture with a loud pixel there."""
    pixels = np.full((6, 5, 3), level, np.uint8)
    pixels[2, 2] = 255 - level
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    io.from_array(pixels).save(name, overwrite=True)
    return Path(name)


@pytest.fixture
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clean:
    """Return a run over in/ into out/: settings -> a word for each picture. In there are a.png, b.png and bad.png."""
    monkeypatch.chdir(tmp_path)
    put("in/a.png", 10), put("in/b.png", 20)
    Path("in/bad.png").touch()

    def run(asked: dict = ASKED, *, overwrite: bool = False, workers: int = 1, also: Sequence[str] = ()) -> list[str]:
        settings = process.DenoiseOptions(denoisers.make(asked["model"]), overwrite=overwrite)
        with Manifest("out") as manifest:
            jobs = planning.plan_jobs(["in", *also], "out", manifest.taken)
            work = ResumableRun(manifest, asked).clean
            outcomes = list(runner.run_jobs(jobs, settings, workers=workers, work=work))
        return [o.error or ("skipped" if o.skipped else "cleaned") for o in outcomes]

    return run


def lines() -> list[dict]:
    return [json.loads(line) for line in Path("out", NAME).read_text().splitlines()]


EMPTY = "in/bad.png: the file is empty"


@pytest.mark.parametrize("workers", [1, 3])
def test_what_is_done_is_skipped_and_what_failed_tried_again(clean: Clean, workers: int) -> None:
    assert clean(workers=workers) == ["cleaned", "cleaned", EMPTY]
    first, *_, failed = sorted(lines(), key=lambda row: row["source"])
    assert first["source"] == "../in/a.png" and first["target"] == "a.png" and first["settings"] == ASKED
    assert first["source_sha256"] == atomic.sha256("in/a.png") and first["target_sha256"] == atomic.sha256("out/a.png")
    assert first["model"] == "median" and first["seconds"] > 0 and first["error"] is None
    assert failed["error"] == EMPTY and failed["target_sha256"] is None
    stood = os.stat("out/a.png").st_mtime_ns
    assert clean(workers=workers) == ["skipped", "skipped", EMPTY]
    put("in/bad.png", 30)
    assert clean(workers=workers) == ["skipped", "skipped", "cleaned"]
    assert clean(workers=workers) == ["skipped"] * 3 and len(lines()) == 5
    assert os.stat("out/a.png").st_mtime_ns == stood


def test_a_touch_is_no_change_and_a_change_is_one(clean: Clean) -> None:
    clean()
    os.utime("in/a.png", (1, 1))
    size, times = os.stat("in/b.png").st_size, os.stat("in/b.png")
    put("in/b.png", 21)
    os.utime("in/b.png", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert os.stat("in/b.png").st_size == size, "neither size nor time tells"
    assert clean() == ["skipped", "cleaned", EMPTY]
    assert io.read("out/b.png").to_array().max() == 21


def test_other_settings_are_done_anew(clean: Clean) -> None:
    clean()
    before = Path("out/a.png").read_bytes()
    other = {"model": "tv", "sigma": None}
    assert clean(other)[0] == "cleaned" and Path("out/a.png").read_bytes() != before
    assert clean(other)[0] == "skipped"
    assert clean()[0] == "cleaned" and Path("out/a.png").read_bytes() == before


def test_an_output_that_went_is_made_again(clean: Clean) -> None:
    clean()
    Path("out/a.png").unlink()
    assert clean() == ["cleaned", "skipped", EMPTY]


def test_a_file_that_is_not_known_is_never_replaced(clean: Clean) -> None:
    put("out/a.png", 99)
    mine = Path("out/a.png").read_bytes()
    assert clean()[:2] == ["out/a.png: already exists: choose another name, or allow overwriting", "cleaned"]
    assert Path("out/a.png").read_bytes() == mine
    Path("out/b.png").write_bytes(mine)  # the user paints over ours
    assert "already exists" in clean({"model": "tv", "sigma": None})[1] and Path("out/b.png").read_bytes() == mine
    assert clean(overwrite=True)[:2] == ["cleaned", "cleaned"]


def test_an_input_that_is_new_takes_no_name_of_another(clean: Clean) -> None:
    put("x.png", 0).rename("x.scan")  # its content tells what it is
    clean(also=["x.scan"])
    assert Path("out/x.png").exists()
    put("in/x.png", 40)
    assert clean(also=["x.scan"])[3:] == ["cleaned", "skipped"] and Path("out/x.2.png").exists()
    assert clean(also=["x.scan"])[3:] == ["skipped", "skipped"]


def test_a_kill_between_line_and_rename_is_made_good(clean: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
    clean()
    put("in/a.png", 50)

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
        told = clean()
    assert [error.count("No space left") for error in told] == [2, 2, 1]
    assert [path.name for path in Path("out").iterdir()] == [NAME] and lines() == []
    assert clean() == ["cleaned", "cleaned", EMPTY]


def test_what_is_cleaned_in_its_place_is_cleaned_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    put("a.png", 10)
    settings = process.DenoiseOptions(denoisers.make("median"), overwrite=True)
    for word in (False, True):
        with Manifest(".") as manifest:
            jobs = planning.plan_jobs(["a.png"], ".", manifest.taken)
            (outcome,) = runner.run_jobs(jobs, settings, work=ResumableRun(manifest, ASKED).clean)
        assert (outcome.error, outcome.skipped) == (None, word)
    with Manifest(".") as manifest:
        never = ResumableRun(manifest, ASKED | {"sigma": 5})
        (outcome,) = runner.run_jobs(jobs, process.DenoiseOptions(settings.denoiser), work=never.clean)
    assert "already exists" in str(outcome.error), "without being allowed to, an input is not replaced"


# Watching


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[list[str]]]:
    """Return a watch over *.png here: what happens before each look -> the names in each round of jobs."""
    monkeypatch.chdir(tmp_path)

    def run(*events: Callable[[], object]) -> list[list[str]]:
        following = iter(events)

        def look() -> list[Job]:
            return [Job(path, Path("out") / path) for path in planning.find(["*.png"]) if "*" not in path.name]

        def sleep(seconds: float) -> None:
            event = next(following, None)
            if event is None:
                raise KeyboardInterrupt
            event()

        rounds: list[list[str]] = []
        with contextlib.suppress(KeyboardInterrupt):
            rounds.extend([job.source.name for job in jobs] for jobs in watch.watch_folder(look, sleep))
        return rounds

    return run


def write(name: str, text: str, age: float = 0) -> Callable[[], object]:
    def event() -> None:
        Path(name).write_text(text)
        os.utime(name, (time.time() - age,) * 2)

    return event


def nothing() -> None:
    """Let a look pass."""


def test_what_is_old_is_done_at_once_and_only_once(watched: Callable[..., list[list[str]]]) -> None:
    write("a.png", "1", 60)()
    assert watched(nothing, nothing, write("b.png", "1", 60), nothing) == [["a.png"], ["b.png"]]


def test_what_is_being_written_is_left_until_it_stands_still(watched: Callable[..., list[list[str]]]) -> None:
    growing = [write("a.png", "x" * n) for n in (1, 2, 3)]
    assert watched(*growing) == []
    assert watched(nothing, nothing) == [["a.png"]]


def test_what_changes_is_done_again_and_what_goes_is_not(watched: Callable[..., list[list[str]]]) -> None:
    write("a.png", "1", 60)()
    assert watched(write("a.png", "22", 50), nothing, Path("a.png").unlink, nothing) == [["a.png"], ["a.png"]]
