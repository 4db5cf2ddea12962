"""Atomic writes, and removal of the temporary files of killed processes, but not of running ones."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from unnoise.io import atomic

STALE = ".unnoise-0123456789abcdef.part"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_complete_file_replaces_its_target(tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.write_text("old")
    target.chmod(0o640)
    with atomic.atomic_write(target, lambda file: file.write_text("committed")) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old" and len(names(tmp_path)) == 2
    assert target.read_text() == "committed" and target.stat().st_mode & 0o777 == 0o640
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("failing", ["writing", "committing"])
def test_a_failure_keeps_the_existing_file(tmp_path: Path, failing: str) -> None:
    def fail(file: Path) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "a").write_text("old")
    with pytest.raises(OSError, match="No space"), atomic.atomic_write(tmp_path / "a", fail) as temporary:
        temporary.write_text("new")
        if failing == "writing":
            fail(temporary)
    assert names(tmp_path) == ["a"] and (tmp_path / "a").read_text() == "old"


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there/a")
    with atomic.atomic_write(tmp_path / "link") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "there/a").read_text() == "new"


def test_only_stale_files_are_removed(tmp_path: Path) -> None:
    for name in (STALE, ".unnoise-12.part", "photo.part", f"{STALE}.png", "unnoise.jsonl"):
        (tmp_path / name).touch()
    with atomic.atomic_write(tmp_path / "a") as temporary:
        atomic.remove_stale([tmp_path, tmp_path / "gone"])
        temporary.write_text("alive")
    assert names(tmp_path) == sorted([".unnoise-12.part", "a", "photo.part", f"{STALE}.png", "unnoise.jsonl"])


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_files_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    code = "from unnoise.io import atomic\n"
    code += f"with atomic.atomic_write({str(tmp_path / 'a')!r}): print('in', flush=True); input()"
    environment = {**os.environ, "PYTHONPATH": str(Path(atomic.__file__).parents[2])}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, **pipes) as child:
        assert child.stdout.readline()
        atomic.remove_stale([tmp_path])
        assert len(names(tmp_path)) == 1, "the process is running"
        child.kill()
    atomic.remove_stale([tmp_path])
    assert names(tmp_path) == []


def test_hashes_are_streamed(tmp_path: Path, fresh_python: Callable[[str], str]) -> None:
    with open(tmp_path / "large", "wb") as file:
        file.truncate(100_000_000)
    code = f"""
import resource
from unnoise.io import atomic
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(atomic.sha256({str(tmp_path / "large")!r}))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    digest, kilobytes = fresh_python(code).split()
    assert digest == hashlib.sha256(bytes(100_000_000)).hexdigest()
    assert int(kilobytes) < 20_000
