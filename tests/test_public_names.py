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


def test_readme_tree_names_every_package_and_root_module() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (tree,) = re.findall(r"^```\nsrc/unnoise/\n(.*?)^\w", readme, flags=re.DOTALL | re.MULTILINE)
    named = set(re.findall(r"\w+(?:\.py|/(?= ))", tree))
    files = {path.name for path in PACKAGE.glob("*.py")}
    packages = {f"{path.parent.name}/" for path in PACKAGE.glob("*/__init__.py")}
    assert named == files | packages
