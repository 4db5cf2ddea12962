"""The manifest: what is written is read again, whatever ended the one who wrote it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from unnoise.errors import UnnoiseError
from unnoise.pipeline import manifest
from unnoise.pipeline.manifest import Entry, Manifest

ENTRY = Entry("../in/a.png", "00", {"model": "tv", "sigma": None}, "b/a.png", "ff", 1.5, "tv", 25.0, 12.0)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def written(out: Path, *entries: Entry) -> bytes:
    with Manifest(out) as made:
        for entry in entries:
            made.record(entry)
    return made.path.read_bytes()


def test_what_is_recorded_is_known_again(out: Path) -> None:
    with Manifest(out) as made:
        assert not out.exists() and made.last(out / "b/a.png") is None
    failed = replace(ENTRY, target_sha256=None, error="damaged")
    assert json.loads(written(out, ENTRY).decode())["settings"] == {"model": "tv", "sigma": None}
    written(out, failed)
    with Manifest(out) as known:
        assert known.last(out / "b/a.png") == failed
        assert known.wrote(out / "b/a.png", "ff"), "what was written before a failure is still ours"
        assert not known.wrote(out / "b/a.png", "00") and not known.wrote(out / "a.png", "ff")
        assert not known.taken(out / "b/a.png", out.parent / "in/a.png")
        assert known.taken(out / "b/a.png", out.parent / "in/a.gif")
        assert known.folders() == {out / "b"}


def test_names_are_relative_wherever_one_stands(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(out.parent)
    assert Manifest("out").relative_name(Path("in/a.png")) == "../in/a.png"
    assert Manifest(out).relative_name(out / "b" / os.fsdecode(b"\xff.png")) == "b/" + os.fsdecode(b"\xff.png")


@pytest.mark.parametrize("kept", [0, 1, 5, 40, -1])
def test_a_line_that_was_cut_counts_as_none(out: Path, kept: int) -> None:
    second = replace(ENTRY, target="c.png")
    whole = written(out, ENTRY, second)
    first, begin = whole.splitlines()[0] + b"\n", whole.index(b"\n") + 1
    (out / manifest.NAME).write_bytes(whole[begin:][:kept])  # the very first line, cut
    assert written(out, second) == whole[begin:]
    (out / manifest.NAME).write_bytes(first + whole[begin:][:kept])
    with Manifest(out) as known:
        assert known.last(out / "b/a.png") == ENTRY and known.last(out / "c.png") is None
        known.record(second)
    assert known.path.read_bytes() == whole


def test_lines_of_others_are_passed_over(out: Path) -> None:
    mine = written(out, ENTRY)
    (out / manifest.NAME).write_bytes(mine + b'[]\n{"source": 1}\nnonsense\n\xff\n' + mine.replace(b"tv", b"nl"))
    with Manifest(out) as known:
        assert known.last(out / "b/a.png") == replace(ENTRY, model="nl", settings={"model": "nl", "sigma": None})


@pytest.mark.parametrize("content", [b"my notes\n", b"{", b'{"other": 1}\n'])
def test_a_file_of_others_is_left_alone(out: Path, content: bytes) -> None:
    out.mkdir()
    (out / manifest.NAME).write_bytes(content)
    if content == b"{":
        assert written(out) == b"", "it may be the beginning of a line"
        return
    with pytest.raises(UnnoiseError, match="not a manifest of unnoise"):
        Manifest(out)
    assert (out / manifest.NAME).read_bytes() == content


def test_a_manifest_that_cannot_be_is_told(out: Path) -> None:
    (out / manifest.NAME).mkdir(parents=True)
    with pytest.raises(UnnoiseError, match="cannot be written"):
        Manifest(out)
    (out.parent / "file").touch()
    with pytest.raises(UnnoiseError, match="cannot create the output folder"):
        written(out.parent / "file" / "x", ENTRY)


def test_a_full_disk_leaves_no_half_line(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    whole = written(out, ENTRY)
    with Manifest(out) as known, monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(UnnoiseError, match="No space left"):
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
def test_one_process_works_in_a_folder(out: Path) -> None:
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
