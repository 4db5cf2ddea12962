"""README is true: its Python runs, its commands exist, its files are there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import typer

from unnoise import io
from unnoise.cli import main

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("**/*.md"))]


def test_python_runs(tmp_path: Path, photograph: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    io.from_array(np.rint(photograph * 255).astype(np.uint8)).save("photo.png")
    exec(compile(code, "README.md", "exec"), {})
    assert io.read("clean.png").pixels.shape == photograph.shape


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page: Path) -> None:
    verbs = typer.main.get_command(main.app).commands
    text = page.read_text(encoding="utf-8")
    words = re.findall(r"(?:^|`|&& |\| )unnoise ([a-z][\w-]*)(?= |`|$)", text, flags=re.MULTILINE)
    assert set(words) <= set(verbs), f"{page.name} names verbs that do not exist"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing, f"{page.name} links to what is not there: {missing}"
