"""Fixtures and helpers shared by the tests."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

# The tests' arrays are small: threads would only fight for the cores, and change the order of sums between runs.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a CUDA device where there is none."""
    marked = [item for item in items if "gpu" in item.keywords]
    if marked and not _has_gpu():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


def _has_gpu() -> bool:
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


@pytest.fixture
def rng() -> np.random.Generator:
    """Return a seeded random generator."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def fresh_python() -> Callable[[str], str]:
    """Return a function that runs code in a new interpreter and returns its output; it fails if the code does."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}

    def run(code: str) -> str:
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs the command line and returns its status, output and errors."""
    from unnoise.cli import main

    def call(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main.main([str(word) for word in words])
        return (int(ended.value.code or 0), *capsys.readouterr())

    return call


@pytest.fixture(scope="session")
def photograph() -> np.ndarray:
    """Return a crop of a real photograph, float32 `[128, 160, 3]` in [0, 1]; read-only."""
    from skimage import data

    piece = data.chelsea()[60:188, 120:280].astype(np.float32) / 255
    piece.setflags(write=False)
    return piece


@pytest.fixture(scope="module")
def three_pictures(tmp_path_factory: pytest.TempPathFactory, photograph: np.ndarray) -> Path:
    """Return a folder of three PNGs of 32 x 40 pixels, to train on."""
    from unnoise import io

    folder = tmp_path_factory.mktemp("pictures")
    for index in range(3):
        piece = photograph[30 * index :][:32, 40 * index :][:, :40]
        io.from_array(np.rint(piece * 255).astype(np.uint8)).save(folder / f"{index}.png")
    return folder


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Return the folder of image sets: UNNOISE_DATA, or `data` in the folder `shared` beside the repository."""
    root = Path(os.environ.get("UNNOISE_DATA") or ROOT.parent / "shared" / "data")
    if not root.is_dir():
        pytest.skip("needs the image sets: set UNNOISE_DATA to their folder")
    return root


@contextlib.contextmanager
def serving(*, key: str | None = None, **limits: object) -> Iterator[str]:
    """Run the service in a process of its own, on ONNX Runtime; yield its address. It must end cleanly on SIGTERM."""
    limited = ", ".join(f"{name}={value!r}" for name, value in limits.items())
    code = "from unnoise.service import limits, server\n"
    code += f"server.run(port=0, limits=limits.Limits({limited}), key={key!r}, engine='onnx')"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    first = process.stderr.readline()
    drain = threading.Thread(target=process.stderr.read)
    drain.start()
    try:
        yield json.loads(first)["address"]
    finally:
        process.terminate()
        assert process.wait(30) == -signal.SIGTERM  # uvicorn, all done, gives the signal on
        drain.join()
        process.stderr.close()
