"""Imports follow the table of packages in `ALLOWED`, without cycles, and PyTorch is imported by few modules."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pytest

CORE = ["errors", "interruption", "optional", "spec", "system", "units", "_version"]
"""Modules that every package may import; they import only `errors`."""

ALLOWED = {
    "io": [],
    "networks": [],
    "noise": ["io"],
    "datasets": ["io"],
    "denoisers": ["noise", "networks", "io"],
    "evaluation": ["io", "noise", "datasets", "denoisers"],
    "pipeline": ["io", "noise", "denoisers"],
    "training": ["io", "noise", "networks", "datasets", "denoisers", "evaluation"],
    "tables": ["io", "noise", "datasets", "denoisers", "evaluation", "pipeline"],
    "service": ["io", "noise", "denoisers", "pipeline"],
    "page": ["io", "noise", "denoisers", "pipeline"],
    "torch": ["denoisers"],
    "napari": ["api", "denoisers"],
    "api": ["io", "noise", "networks", "datasets", "denoisers", "evaluation", "training", "pipeline"],
}
"""Package (or module beside the packages) -> the packages that it may import, besides `CORE`.

`cli` and the `__init__` and `__main__` of `unnoise` may import everything.
"""

ONLY_FROM = {
    ("noise", "io"): ["noise.calibration"],
    ("denoisers", "networks"): [
        *["denoisers.pytorch", "denoisers.spandrel", "denoisers.deep_prior", "denoisers.zero_shot"]
    ],
    ("tables", "pipeline"): ["tables.ray"],
    ("tables", "pipeline.ray_pool"): ["tables.ray"],
}
"""Imports of `ALLOWED` that only some modules of a package may make."""

TORCH = ["torch", "torchvision", "lightning", "lightning_fabric", "safetensors.torch"]
TORCH_MODULES = [
    "networks",
    "torch",
    *["denoisers.pytorch", "denoisers.spandrel", "denoisers.torchvision_stand_in"],
    *["denoisers.deep_prior", "denoisers.zero_shot"],
    *[
        "training.trainer",
        "training.averaging",
        "training.validation",
        "training.run_folder",
        "training.batches",
        "training.distributed",
        "training.dry_run",
        "training.gradients",
        "training.loggers",
        "training.reporting",
    ],
    *["evaluation.perceptual", "evaluation.vgg"],
    *["training.losses", "training.optimizers", "training.tasks", "training.export"],
]
EXTRA_MODULES = [
    *TORCH_MODULES,
    *[
        "training.recipe",
        "training.recipe_file",
        "training.compatibility",
        "training.sweep",
        "training.quantization",
        "evaluation.report",
        "denoisers.openvino",
        "tables",
        "service",
    ],
]
"""Modules that need an extra; all others are imported on the base install."""
EXTRAS = [
    *["torch", "lightning_fabric", "safetensors", "pydantic", "yaml", "onnx", "matplotlib", "fastapi", "uvicorn"],
    *["starlette", "prometheus_client", "python_multipart", "pyarrow", "ray", "upath", "openvino", "spandrel"],
]

SOURCE = Path(__file__).resolve().parent.parent / "src"
FILES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(SOURCE.glob("unnoise/**/*.py"))
}


def imports(source: str, module: str, package: bool, modules: Collection[str]) -> Iterator[tuple[int, str]]:
    """Yield the line and the dotted name of every import, wherever it stands, by statement or by function.

    `require("torch", extra="train")` as a statement of its own imports nothing into the module: it only asks whether
    the extra is installed.
    """
    tree = ast.parse(source)
    statements = [node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)]
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=origin, names=names, level=level):
                here = module.split(".")
                above = here[: len(here) - level + package] if level else []
                origin = ".".join([*above, *([origin] if origin else [])])
                for alias in names:
                    full = f"{origin}.{alias.name}"
                    yield node.lineno, full if full in modules else origin
            case ast.Call(
                func=ast.Name(id=called) | ast.Attribute(attr=called), args=[ast.Constant(value=str(name)), *_]
            ):
                if called in ("import_module", "__import__") or (called == "require" and node not in statements):
                    yield node.lineno, name


def objection(module: str, target: str) -> str | None:
    """Return why `module` must not import `target`; None if it may."""
    inside, wanted = _inside(module), _inside(target)
    if _within(target, TORCH):
        return None if _within(inside, TORCH_MODULES) else "PyTorch is not imported here"
    if not _within(target, ["unnoise"]):
        return None
    importer, imported = _package(module), _package(target)
    if imported == "__init__":
        return None if importer in ("__init__", "__main__") else "the package itself is imported by users alone"
    if imported in CORE:
        return None if importer not in CORE or imported == "errors" or importer == imported else "core imports errors"
    if imported not in {*ALLOWED, "cli"}:
        return f"'{imported}' is not in the table: put it into ALLOWED"
    if importer in ("cli", "__init__", "__main__", imported):
        return None
    if imported not in ALLOWED.get(importer, []):
        return f"{importer} may not import {imported}"
    for (package, place), allowed in ONLY_FROM.items():
        if package == importer and _within(wanted, [place]) and not _within(inside, allowed):
            return f"of {importer}, only {', '.join(allowed)} may import {place}"
    return None


def complaints(source: str, module: str, package: bool = False, modules: Collection[str] = FILES) -> list[str]:
    """List what is wrong with the imports of one module, a line each."""
    if _package(module) not in {*CORE, *ALLOWED, "cli", "__init__", "__main__"}:
        return [f"{module}: '{_package(module)}' is not in the table: put it into ALLOWED"]
    found = ((line, target, objection(module, target)) for line, target in imports(source, module, package, modules))
    return [f"{module}:{line} imports {target}: {why}" for line, target, why in found if why]


def _inside(module: str) -> str:
    return module.partition(".")[2] or "__init__"


def _package(module: str) -> str:
    return _inside(module).partition(".")[0]


def _within(module: str, places: list[str]) -> bool:
    return any(module == place or module.startswith(f"{place}.") for place in places)


@pytest.mark.parametrize("module", FILES)
def test_imports_follow_the_table(module: str) -> None:
    path = FILES[module]
    found = complaints(path.read_text(encoding="utf-8"), module, package=path.name == "__init__.py")
    assert not found, "\n".join(found)


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    graph = {
        module: {
            target
            for _, target in imports(path.read_text(encoding="utf-8"), module, path.name == "__init__.py", FILES)
            if target in FILES and target != module
        }
        for module, path in FILES.items()
    }
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError


KNOWN = [
    *["unnoise", "unnoise.api", "unnoise.io", "unnoise.io.reader", "unnoise.noise", "unnoise.noise.synthetic"],
    *["unnoise.denoisers", "unnoise.networks", "unnoise.pipeline", "unnoise.pipeline.ray_pool", "unnoise.service"],
    *["unnoise.training", "unnoise.training.trainer", "unnoise.spec", "unnoise.errors"],
]


@pytest.mark.parametrize(
    ("module", "source", "why"),
    [
        ("unnoise.io.reader", "from unnoise.denoisers.base import Denoiser", "io may not import denoisers"),
        ("unnoise.io.reader", "from unnoise import denoisers", "io may not import denoisers"),
        ("unnoise.io.reader", "from ..denoisers import base", "io may not import denoisers"),
        ("unnoise.io.reader", "def later():\n    import unnoise.cli", "io may not import cli"),
        ("unnoise.io.reader", "import importlib\nimportlib.import_module('unnoise.cli')", "io may not import cli"),
        ("unnoise.noise.codec", "from unnoise.io import reader", "only noise.calibration may import io"),
        ("unnoise.denoisers.base", "from unnoise import networks", "may import networks"),
        ("unnoise.tables.base", "from unnoise.pipeline import ray_pool", "only tables.ray may import pipeline"),
        ("unnoise.service.app", "from unnoise import training", "service may not import training"),
        ("unnoise.service.app", "from unnoise import api", "service may not import api"),
        ("unnoise.spec", "from unnoise.optional import require", "core imports errors"),
        ("unnoise.cli.main", "import unnoise", "imported by users alone"),
        ("unnoise.cli.main", "from unnoise import denoise", "imported by users alone"),
        ("unnoise.cli.train", "def train():\n    import torch", "PyTorch"),
        ("unnoise.datasets.images", "from torch.utils.data import Dataset", "PyTorch"),
        ("unnoise.training", "import torch", "PyTorch"),
        ("unnoise.denoisers.onnx", "from safetensors.torch import load_file", "PyTorch"),
        ("unnoise.evaluation.metrics", "torch = require('torch', extra='train')", "PyTorch"),
        ("unnoise.attic", "", "put it into ALLOWED"),
        ("unnoise.cli.main", "from unnoise.attic import chest", "put it into ALLOWED"),
    ],
)
def test_a_wrong_import_is_caught(module: str, source: str, why: str) -> None:
    found = complaints(source, module, package=module == "unnoise.training", modules=KNOWN)
    assert len(found) == 1
    assert why in found[0]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("unnoise.cli.train", "from unnoise import api, pipeline\nimport unnoise.training.trainer"),
        ("unnoise.cli.train", "def train():\n    require('torch', extra='train')\n    import unnoise.training"),
        ("unnoise.noise.codec", "from unnoise.noise.base import Noise\nfrom . import base\nfrom ..errors import Oops"),
        ("unnoise.networks.blocks", "import torch\nfrom .base import Network"),
        ("unnoise.denoisers.pytorch", "import torch\nfrom unnoise import networks"),
        ("unnoise.denoisers.tiling", "import numpy\nimport torchless"),
        ("unnoise.tables.ray", "from unnoise.pipeline import ray_pool"),
        ("unnoise.service.app", "from unnoise.service import pool\nfrom unnoise.pipeline import process"),
    ],
)
def test_a_right_import_passes(module: str, source: str) -> None:
    assert complaints(source, module, modules=KNOWN) == []


def test_base_modules_are_imported_without_the_extras(fresh_python: Callable[[str], str]) -> None:
    modules = [module for module in FILES if not _within(_inside(module), [*EXTRA_MODULES, "__main__"])]
    code = f"""
import importlib, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {EXTRAS}:
            raise ModuleNotFoundError(f"{{name}} is left out", name=name)

sys.meta_path.insert(0, Absent())
for module in {modules}:
    try:
        importlib.import_module(module)
    except ImportError as error:
        sys.exit(f"{{module}} cannot be imported on the base install: {{error}}")
"""
    fresh_python(code)
