"""Progress display: drawn on a terminal, absent in a pipe."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from unnoise import io
from unnoise.cli import console

SOURCE = Path(console.__file__).parents[2]


class FakeProgress:
    """A stand-in for the progress events of a training, so that no test needs PyTorch."""

    def __init__(self, step: int, *, validated: bool) -> None:
        self.step, self.validated = step, validated
        self.share, self.seconds_left = step / 40, 60.0
        self.values = {"loss": 0.012345, "gaussian:25": 31.2}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("[red].png", "[b].png"):
        io.from_array(np.full((20, 20, 3), 99, np.uint8)).save(tmp_path / name)
    return tmp_path


def on_a_terminal(words: list[str], folder: Path, *, both: bool = False) -> tuple[int, str, str]:
    """Run the command with its standard error, or both outputs, on a terminal.

    Returns:
        The status, stdout, and what was drawn: without colours, `<` where a line is begun anew.
    """
    pty = pytest.importorskip("pty", reason="needs a pseudo-terminal")
    terminal, end = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "TERM": "xterm", "COLUMNS": "100"}
    command = [sys.executable, "-m", "unnoise", *words]
    running = subprocess.Popen(
        command, stdout=end if both else subprocess.PIPE, stderr=end, env=environment, cwd=folder
    )
    os.close(end)
    drawn = b""
    with contextlib.suppress(OSError):  # how Linux tells that the other end is closed
        while part := os.read(terminal, 4096):
            drawn += part
    os.close(terminal)
    out, _ = running.communicate(timeout=60)
    seen = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", drawn.decode().replace("\r\x1b[2K", "<"))
    return running.returncode, (out or b"").decode(), seen


def test_a_bar_over_files_leaves_the_pipe_its_lines(folder: Path) -> None:
    status, out, drawn = on_a_terminal(["missing.png", ".", "-m", "median", "-o", "out"], folder)
    assert (status, out.splitlines()) == (1, [f"out/[{name}].png: denoised with median" for name in ("b", "red")])
    assert "<unnoise: missing.png: cannot be read: No such file or directory\r\n" in drawn
    assert re.search(r"<\[red\].png \S+ 3/3", drawn)


def test_lines_stand_above_a_bar_on_the_same_terminal(folder: Path) -> None:
    drawn = on_a_terminal([".", "-m", "median"], folder, both=True)[2]
    assert all(f"<[{name}].clean.png: denoised with median\r\n" in drawn for name in ("b", "red"))


def test_the_line_of_an_evaluation_leaves_the_pipe_its_rows(folder: Path) -> None:
    words = ["evaluate", "median", "--data", "images:[red].png", "--noise", "gaussian:9", "--json"]
    status, out, drawn = on_a_terminal(words, folder)
    assert status == 0 and json.loads(out)["noise"] == "gaussian:9" and "gaussian:9: 1 of 1" in drawn


def test_a_pipe_sees_of_a_training_what_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    with console.over_training() as watch:
        for step in (20, 40):
            watch(FakeProgress(step, validated=step == 40))
    assert capsys.readouterr() == ("", "step 40: loss 0.01235, gaussian:25 31.2\n")


def test_a_pipe_sees_nothing_of_files(capsys: pytest.CaptureFixture[str]) -> None:
    with console.over_files(2) as show, console.line() as say:
        show("a.png", 0.5)
        say("1 of 2")
    assert capsys.readouterr() == ("", "")


def test_a_terminal_sees_a_training_go_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with console.over_training() as watch:
        for step in (20, 40):
            watch(FakeProgress(step, validated=step == 40))
    drawn = capsys.readouterr().err
    assert "step 40: loss 0.01235, gaussian:25 31.2\n" in drawn and "0:01:00 left" in drawn
