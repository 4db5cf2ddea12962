"""The façade: what it names exists, what it costs is little, and every file says what it is."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import unnoise

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "unnoise"
FILES = [path.relative_to(PACKAGE).as_posix() for path in sorted(PACKAGE.glob("**/*.py"))]


def test_public_names_are_sorted_and_lazy() -> None:
    assert unnoise.__all__ == sorted(unnoise.__all__)
    assert set(unnoise.__all__) - {"__version__"} == set(unnoise._LAZY)
    assert set(unnoise.__all__) <= set(dir(unnoise))


@pytest.mark.parametrize("name", unnoise.__all__)
def test_public_name_resolves(name: str) -> None:
    try:
        assert getattr(unnoise, name) is not None
    except ImportError as error:
        if importlib.util.find_spec("torch") is not None:
            raise
        pytest.skip(f"needs an extra: {error}")


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = unnoise.no_such_name


def test_importing_the_package_loads_nothing_heavy(fresh_python: Callable[[str], str]) -> None:
    heavy = {"torch", "onnxruntime", "skimage", "pyvips", "scipy"}
    assert fresh_python(f"import unnoise, sys; print(*sorted({heavy} & set(sys.modules)))").split() == []


def test_onnx_runtime_keeps_no_identifier_of_the_machine(tmp_path: Path) -> None:
    code = "from unnoise import denoisers; denoisers.make('color', engine='onnx')"
    environment = {"PYTHONPATH": str(ROOT / "src"), "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    assert not list(tmp_path.rglob("*onnx*"))


@pytest.mark.parametrize("path", FILES)
def test_module_says_what_it_is(path: str) -> None:
    assert ast.get_docstring(ast.parse((PACKAGE / path).read_text(encoding="utf-8")))


def readme_tree(readme: str) -> dict[str, str]:
    """Read the tree of `src/unnoise/` from the README: path inside the package -> what stands beside it.

    A line is an indented name and a text; a folder ends in a slash. Lines drawn with box characters read the same.
    """
    for block in re.findall(r"^```\w*\n(.*?)^```", readme, flags=re.DOTALL | re.MULTILINE):
        lines = block.splitlines()
        start = next((i for i, line in enumerate(lines) if re.match(r"\W*src/unnoise/", line)), None)
        if start is not None:
            break
    else:
        return {}
    tree: dict[str, str] = {}
    folders = [(_indent(lines[start]), "")]
    for line in lines[start + 1 :]:
        if not (entry := re.match(r"[\s│├└─]*(?P<name>[\w.][\w./-]*)\s*(?P<text>.*)", line)):
            continue
        while folders and folders[-1][0] >= _indent(line):
            folders.pop()
        if not folders:
            break
        path = folders[-1][1] + entry["name"]
        tree[path] = entry["text"]
        if path.endswith("/"):
            folders.append((_indent(line), path))
    return tree


def _indent(line: str) -> int:
    return len(re.match(r"[\s│├└─]*", line)[0])


def test_readme_tree_is_read() -> None:
    tree = readme_tree(
        "```\nsrc/unnoise/   the package\n  spec.py   words\n  noise/    base, codec\n    base.py  x\ntests/\n```\n"
    )
    assert tree == {"spec.py": "words", "noise/": "base, codec", "noise/base.py": "x"}


def test_readme_tree_lists_every_module() -> None:
    readme = ROOT / "README.md"
    tree = readme_tree(readme.read_text(encoding="utf-8")) if readme.exists() else {}
    if not tree:
        pytest.skip("README.md shows no tree of src/unnoise/ yet")
    gone = [path for path in tree if not (PACKAGE / path).exists()]
    assert not gone, f"README's tree lists what is not there: {gone}"
    members = [path for path in FILES if path == "__init__.py" or not path.endswith("__init__.py")]
    missing = [path for path in members if path not in tree and not _beside_its_folder(path, tree)]
    assert not missing, f"README's tree leaves out: {missing}"


def _beside_its_folder(path: str, tree: dict[str, str]) -> bool:
    """Whether a shelf's own line names the member, as in `noise/  base, synthetic, codec`."""
    folder, _, name = path.rpartition("/")
    return bool(folder) and name.removesuffix(".py") in re.findall(r"\w+", tree.get(f"{folder}/", ""))
