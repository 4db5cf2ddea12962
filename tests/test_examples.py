"""The notebooks in `examples/` run from start to end with tiny settings, and are committed with their output."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

import nbclient
import nbformat
import numpy as np
import pytest

from unnoise import io

FOLDER = Path(__file__).resolve().parent.parent / "examples"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

# The kernel's own libraries warn of each other; what our code warns of is raised inside the kernel.
pytestmark = [pytest.mark.notebook, pytest.mark.filterwarnings("default")]


def test_there_is_one_for_every_method() -> None:
    names = {path.stem for path in NOTEBOOKS}
    assert names >= {"dncnn", "restoration_framework", "image_tables", "digits_autoencoder"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_on_tiny_settings(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNNOISE_TINY", "1")
    monkeypatch.setenv("UNNOISE_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")  # a kernel's start is not ours
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FOLDER.parent / "src"), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    assert client.code_cells_executed == sum(cell.cell_type == "code" for cell in notebook.cells)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_as_it_ran(path: Path) -> None:
    code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 2
    assert path.stat().st_size < 2_500_000


def test_the_cells_have_the_noise_that_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = f"cells.py {tmp_path} --pages 3 --side 128 --photons 90 --read 5 --rows 3".split()
    monkeypatch.setattr(sys, "argv", words)
    runpy.run_path(str(FOLDER / "cells.py"), run_name="__main__")
    noisy, truth = (io.read(tmp_path / part / "cells.tif") for part in ("noisy", "truth"))
    assert (noisy.dtype, noisy.header.pages) == (np.uint16, 3)
    counts, clean = (one.samples()[:, :, 0].astype(float) for one in (noisy, truth))
    rows = (counts - clean).mean(axis=1)
    electrons = (clean - 100) / 2
    assert rows.std() / 2 == pytest.approx(np.sqrt(9 + (25 + electrons.mean()) / 128), rel=0.1)
    error = (counts - clean - rows[:, None]) / 2
    for part in (electrons < 5, electrons > 30):  # of read noise alone, and of photons above all
        assert error[part].var() == pytest.approx(electrons[part].mean() + 25, rel=0.1)
