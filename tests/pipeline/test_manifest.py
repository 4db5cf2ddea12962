"""The manifest: entries survive crashes, truncated lines and full disks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from unnoise import denoisers, io as image_io
from unnoise.errors import UnnoiseError
from unnoise.pipeline import manifest, process, runner
from unnoise.pipeline.jobs import Job
from unnoise.pipeline.manifest import Entry, Manifest
from unnoise.pipeline.resume import ResumableRun

ENTRY = Entry("../in/a.png", "00", {"model": "tv", "sigma": None}, "b/a.png", "ff", 1.5, "tv", 25.0, 12.0)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def written(out: Path, *entries: Entry) -> bytes:
    with Manifest(out) as made:
        for entry in entries:
            made.record(entry)
    return made.path.read_bytes()


def test_recorded_entries_are_read_again(out: Path) -> None:
    with Manifest(out) as made:
        assert not out.exists() and made.last(out / "b/a.png") is None
    failed = replace(ENTRY, target_sha256=None, error="damaged")
    assert json.loads(written(out, ENTRY).decode())["settings"] == {"model": "tv", "sigma": None}
    written(out, failed)
    with Manifest(out) as known:
        assert known.last(out / "b/a.png") == failed
        assert known.wrote(out / "b/a.png", "ff"), "outputs written before a failure are known"
        assert not known.wrote(out / "b/a.png", "00") and not known.wrote(out / "a.png", "ff")
        assert not known.taken(out / "b/a.png", out.parent / "in/a.png")
        assert known.taken(out / "b/a.png", out.parent / "in/a.gif")
        assert known.folders() == {out / "b"}


def test_names_are_relative_to_the_folder(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(out.parent)
    assert Manifest("out").relative_name(Path("in/a.png")) == "../in/a.png"
    assert Manifest(out).relative_name(out / "b" / os.fsdecode(b"\xff.png")) == "b/" + os.fsdecode(b"\xff.png")


@pytest.mark.parametrize("kept", [0, 1, 5, 40, -1])
def test_truncated_lines_are_ignored(out: Path, kept: int) -> None:
    second = replace(ENTRY, target="c.png")
    whole = written(out, ENTRY, second)
    first, begin = whole.splitlines()[0] + b"\n", whole.index(b"\n") + 1
    (out / manifest.NAME).write_bytes(whole[begin:][:kept])  # a truncated first line
    assert written(out, second) == whole[begin:]
    (out / manifest.NAME).write_bytes(first + whole[begin:][:kept])
    with Manifest(out) as known:
        assert known.last(out / "b/a.png") == ENTRY and known.last(out / "c.png") is None
        known.record(second)
    assert known.path.read_bytes() == whole


def test_foreign_lines_are_ignored(out: Path) -> None:
    mine = written(out, ENTRY)
    (out / manifest.NAME).write_bytes(mine + b'[]\n{"source": 1}\nnonsense\n\xff\n' + mine.replace(b"tv", b"nl"))
    with Manifest(out) as known:
        assert known.last(out / "b/a.png") == replace(ENTRY, model="nl", settings={"model": "nl", "sigma": None})


@pytest.mark.parametrize("content", [b"my notes\n", b"{", b'{"other": 1}\n'])
def test_a_foreign_file_is_refused_and_kept(out: Path, content: bytes) -> None:
    out.mkdir()
    (out / manifest.NAME).write_bytes(content)
    if content == b"{":
        assert written(out) == b"", "it may be a truncated line"
        return
    with pytest.raises(UnnoiseError, match="not a manifest of unnoise"):
        Manifest(out)
    assert (out / manifest.NAME).read_bytes() == content


def test_impossible_manifests_are_refused(out: Path) -> None:
    (out / manifest.NAME).mkdir(parents=True)
    with pytest.raises(UnnoiseError, match="cannot be written"):
        Manifest(out)
    (out.parent / "file").touch()
    with pytest.raises(UnnoiseError, match="cannot create the output folder"):
        written(out.parent / "file" / "x", ENTRY)


def test_a_full_disk_leaves_no_partial_line(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    whole = written(out, ENTRY)
    with Manifest(out) as known, monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(UnnoiseError, match="is full"):
            known.record(replace(ENTRY, target="c.png"))
        assert known.last(out / "c.png") is None
    assert known.path.read_bytes() == whole


def test_threads_write_whole_lines(out: Path) -> None:
    with Manifest(out) as made, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: made.record(replace(ENTRY, target=f"{n}.png", error="x" * 5000)), range(60)))
    assert sorted(json.loads(line)["target"] for line in made.path.read_text().splitlines()) == sorted(
        f"{n}.png" for n in range(60)
    )


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such locks")
def test_only_one_process_can_open_a_manifest(out: Path) -> None:
    code = """
import sys
from unnoise.pipeline.manifest import Manifest
try:
    Manifest(sys.argv[1])
except ValueError as error:
    print(error)
"""
    command = [sys.executable, "-c", code, str(out)]
    environment = {**os.environ, "PYTHONPATH": str(Path(manifest.__file__).parents[2])}
    written(out, ENTRY)
    with Manifest(out):
        assert b"another unnoise process is working" in subprocess.check_output(command, env=environment)
    assert subprocess.check_output(command, env=environment) == b""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such locks")
@pytest.mark.parametrize(("workers", "running"), [(1, True), (1, False), (3, True)])
def test_a_second_process_in_a_folder_ends_in_one_line(workers: int, running: bool, out: Path, tmp_path: Path) -> None:
    image = image_io.from_array(np.full((8, 8), 99, np.uint8))
    jobs = [Job(tmp_path / f"{number}.png", out / f"{number}.png") for number in range(5)]
    for job in jobs:
        image.save(job.source)
    jobs.insert(1, Job(tmp_path / "missing.png", out / "missing.png"))
    options = process.DenoiseOptions(denoisers.make("median"))
    with Manifest(out) as second, Manifest(out) as first:  # both find an empty folder
        first.record(ENTRY)
        if not running:
            first.close()
        with pytest.raises(manifest.FolderInUseError, match="another unnoise process"):
            list(runner.run_jobs(jobs, options, workers=workers, work=ResumableRun(second, {}).clean))
    assert [path.name for path in out.iterdir()] == [manifest.NAME]
