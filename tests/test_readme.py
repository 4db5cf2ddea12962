"""README and docs/ are correct: Python examples run; commands, options, recipe keys and link targets exist."""

from __future__ import annotations

import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from unnoise import io
from unnoise.cli import main

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("**/*.md"))]
LOG = ROOT / "docs" / "research-log.md"
"""Its commands are those of older commits, each named there."""

GENERATED = {ROOT / "docs" / path for path in re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text("utf-8"))}
"""Pages of the site; some are made only when it is built."""


GROUPS = ("table", "data")
"""Commands that have verbs of their own."""


def name(page: Path) -> str:
    """Return the path of a page in the repository, as the name of a test."""
    return page.relative_to(ROOT).as_posix()


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each `unnoise` command in `sh` blocks and in inline code, without the word itself."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    blocks = [re.sub(r"<<'EOF'\n.*?^EOF$", "", block, flags=re.DOTALL | re.MULTILINE) for block in blocks]
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    inline = re.findall(r"(?<!`)`(unnoise [^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
    for line in [*lines, *inline]:
        lexer = shlex.shlex(line.replace("[", "").replace("]", ""), posix=True, punctuation_chars="|&;<>()")
        lexer.whitespace_split = True
        words = list(lexer)
        starts = [index for index, word in enumerate(words) if word == "unnoise"]
        for start in starts:
            end = next((i for i in range(start, len(words)) if set(words[i]) <= set("|&;<>()")), len(words))
            yield words[start + 1 : end]


def parsers() -> dict[str, Any]:
    """Return the parser of each verb; those of tables and data as "table VERB" and "data VERB"."""
    verbs = dict(typer.main.get_command(main.app).commands)
    groups = {group: verbs.pop(group) for group in GROUPS}
    return verbs | {f"{group} {verb}": one for group in groups for verb, one in groups[group].commands.items()}


def objections(words: list[str], known: dict[str, Any]) -> Iterator[str]:
    """Yield what the command line does not know in one command."""
    grouped = words[:1] != [] and words[0] in GROUPS
    verb = " ".join(words[:2]) if grouped else words[0] if words else ""
    if verb not in known:
        if re.fullmatch(r"[a-z]+", verb) and verb not in GROUPS:
            yield f"verb {verb}"
        if grouped and len(words) > 1 and words[1].islower():
            yield f"verb {verb}"
        verb = "clean"
    options = {flag for one in known[verb].params for flag in one.opts} | {"--help", "--version", "--debug"}
    yield from (f"{verb} {word}" for word in words if re.match(r"--?[a-z]", word) and word not in options)


def test_python_runs(tmp_path: Path, photograph: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    io.from_array(np.rint(photograph * 255).astype(np.uint8)).save("photo.png")
    exec(compile(code, "README.md", "exec"), {})
    assert io.read("clean.png").pixels.shape == photograph.shape


@pytest.mark.parametrize("page", ["index.md", "tutorials/first-steps.md"])
def test_python_of_the_first_pages_runs(
    page: str, tmp_path: Path, photograph: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    (tmp_path / "unnoise-demo").mkdir()
    monkeypatch.chdir(tmp_path)
    for path in ("photo.png", "unnoise-demo/noisy.png"):
        io.from_array(np.rint(photograph * 255).astype(np.uint8)).save(path)
    exec(compile(code, page, "exec"), {})


def test_python_of_the_modules_runs() -> None:
    """The wrapper of a module keeps the size of an image that is no multiple of the grid, and its gradient."""
    torch = pytest.importorskip("torch")
    text = (ROOT / "docs" / "how-to" / "use_networks_of_other_projects.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {}
    exec(compile("\n".join(blocks), "use_networks_of_other_projects.md", "exec"), names)
    assert names["clean"].shape == names["noisy"].shape
    image = torch.rand(2, 3, 21, 30, requires_grad=True)
    clean = names["Unnoise"]()(image, 0.1)
    clean.sum().backward()
    assert clean.shape == image.shape and image.grad.abs().sum() > 0


def test_the_set_up_lines_are_found() -> None:
    found = runpy.run_path(str(ROOT / ".ci" / "readme_commands.py"))["commands"](README)
    assert ["unnoise demo" in found[0], found[1].endswith("&& pytest"), len(found)] == [True, True, 2]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_exist(page: Path) -> None:
    known = parsers()
    unknown = [one for words in commands(page.read_text(encoding="utf-8")) for one in objections(words, known)]
    assert not unknown, f"{name(page)} names what does not exist: {unknown}"


@pytest.mark.parametrize("page", [page for page in PAGES if page != LOG], ids=name)
def test_recipe_keys_exist(page: Path) -> None:
    recipe = pytest.importorskip("unnoise.training.recipe", exc_type=ImportError)
    from unnoise.training.restoration_config import KEYS

    keys = {
        *recipe._keys(recipe.Recipe),
        *KEYS,
        "model",
        "key",
    }  # `model` is one of own_pictures.yaml, `key` stands for any
    text = page.read_text(encoding="utf-8")
    changes = [word.partition("=")[0] for words in commands(text) if words[:1] == ["train"] for word in words
               if re.match(r"[a-z_.]+=", word)]  # fmt: skip
    named = re.findall(r"`((?:data|train|validation)\.[a-z_]+)(?=[:=`])", text)
    assert not {*changes, *named} - keys


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    targets = {link: (page.parent / link).resolve() for link in links}
    missing = [link for link, target in targets.items() if not target.exists() and target not in GENERATED]
    assert not missing, f"{name(page)} links to files that do not exist: {missing}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_scripts_and_recipes_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    paths = re.findall(r"(?<![\w/])((?:benchmarks|recipes|examples|tests|src)/[\w/-]+\.(?:py|yaml|json|ipynb))\b", text)
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert not missing, f"{name(page)} names files that do not exist: {missing}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_options_of_scripts_exist(page: Path) -> None:
    """An option of a script in benchmarks/ is spelled in its source."""
    common = (ROOT / "benchmarks" / "common.py").read_text(encoding="utf-8")
    calls = re.findall(r"python (benchmarks/\S+\.py)([^`|\n]*)", page.read_text(encoding="utf-8").replace("\\\n", " "))
    sources = {path: (ROOT / path).read_text(encoding="utf-8") + common for path, _ in calls}
    unknown = [f"{path} {option}" for path, words in calls for option in re.findall(r"--[a-z-]+", words)
               if f'"{option}"' not in sources[path]]  # fmt: skip
    assert not unknown


def test_contributing_names_what_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    code = "\n".join(
        path.read_text(encoding="utf-8") for part in ("src", "tests") for path in (ROOT / part).rglob("*.py")
    )
    named = set(re.findall(r"`(test_\w+|_?[A-Z][A-Z_]{3,})`", text))
    assert len(named) > 15
    assert [one for one in sorted(named) if not re.search(rf"\b{one}\b", code)] == []
