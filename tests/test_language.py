"""Messages, help, docstrings, comments and pages are in plain technical English, without a private vocabulary."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
WORDS = re.compile(
    r"""\b(
    told | spoil\w* | spoilt | wings? | storeys? | shelf | shelves | doors? | house | rooms?
    | whole\ noise | so-manieth | nobody\ foresaw | the\ models?\ that\ fits?
    )\b""",
    re.IGNORECASE | re.VERBOSE,
)
ALLOWED = [
    (r"CHANGELOG\.md", r"."),  # what versions before this were like
    (r"tests/test_language\.py", r"."),
    (r".*", r"\btold=|\btold\b.*resunet|resunet\b.*\btold\b|`told`|\"told\"|self\.told|\btold:"),  # resunet's argument
    (r"src/unnoise/networks/resunet\.py", r"\btold (and|or) |\(told and|= told$"),
    (r".*", r"no room|room for|make room|room on|enough room"),  # of a disk or in memory
]
"""Where a word may stand: path, and what the line matches."""


def tracked(*suffixes: str) -> list[Path]:
    try:
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs a checkout with git")
    return [ROOT / line for line in listed.splitlines() if line.endswith(suffixes) and (ROOT / line).is_file()]


def offences(text: str, path: str) -> list[str]:
    lines = enumerate(text.splitlines(), 1)
    return [
        f"{path}:{number}: {line.strip()[:120]}"
        for number, line in lines
        if WORDS.search(line) and not any(re.fullmatch(a, path) and re.search(b, line) for a, b in ALLOWED)
    ]


def test_no_private_vocabulary() -> None:
    files = tracked(".py", ".md", ".yaml", ".json", ".html", ".js", ".toml")
    found = [line for file in files for line in offences(file.read_text("utf-8"), str(file.relative_to(ROOT)))]
    assert not found, "\n".join([f"{len(found)} lines", *found])


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("sigma: what the model is told", True),
        ("the Spoilt picture", True),
        ("a wing of the house", True),
        ("the model that fits the noise", True),
        ("no room on the disk", False),
        ("network: resunet:told=false", False),
        ("knowing the household", False),
    ],
)
def test_the_words_are_found(line: str, wrong: bool) -> None:
    assert bool(offences(line, "a.md")) == wrong
