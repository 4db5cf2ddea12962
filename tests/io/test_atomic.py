"""Files appear whole or not at all, and what the killed have left is swept up; what is alive is not."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from unnoise.io import atomic

LEFT = ".unnoise-0123456789abcdef.part"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_its_place_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.write_text("old")
    target.chmod(0o640)
    with atomic.atomic_write(target, lambda file: file.write_text("sealed")) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old" and len(names(tmp_path)) == 2
    assert target.read_text() == "sealed" and target.stat().st_mode & 0o777 == 0o640
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("failing", ["writing", "sealing"])
def test_what_fails_leaves_what_was_there(tmp_path: Path, failing: str) -> None:
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


def test_only_what_was_left_is_swept(tmp_path: Path) -> None:
    for name in (LEFT, ".unnoise-12.part", "photo.part", f"{LEFT}.png", "unnoise.jsonl"):
        (tmp_path / name).touch()
    with atomic.atomic_write(tmp_path / "a") as temporary:
        atomic.remove_stale([tmp_path, tmp_path / "gone"])
        temporary.write_text("alive")
    assert names(tmp_path) == sorted([".unnoise-12.part", "a", "photo.part", f"{LEFT}.png", "unnoise.jsonl"])


@pytest.mark.skipif(sys.platform == "win32", reason="processes are not killed there")
def test_what_a_killed_process_leaves_is_swept(tmp_path: Path) -> None:
    code = "from unnoise.io import atomic\n"
    code += f"with atomic.atomic_write({str(tmp_path / 'a')!r}): print('in', flush=True); input()"
    environment = {**os.environ, "PYTHONPATH": str(Path(atomic.__file__).parents[2])}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, **pipes) as child:
        assert child.stdout.readline()
        atomic.remove_stale([tmp_path])
        assert len(names(tmp_path)) == 1, "it lives"
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
