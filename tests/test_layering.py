"""The house stands: imports run downward only, and PyTorch stays in its rooms.

The table is the plan in DESIGN: layers from the ground to the roof, each a list of storeys, each storey a line of rooms
(modules or shelves). A room may import the rooms of any storey below its own, never one beside or above it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pytest

HOUSE = {
    "ground": ["errors", "optional spec card files", "stores"],
    "pixels": [
        "formats jpeg exif",
        "picture",
        "image_io growing tiling metrics impulses blockiness declipping",
        "estimation",
    ],
    "vocabularies": ["noise networks losses optimizers schedules"],
    "what denoises": ["weights denoisers"],
    "what learns": [
        "datasets tasks framework calibration looks",
        "tailoring",
        "recipe evaluation report processes uncertainty self_evaluation",
        "batches",
        "training export quantization",
    ],
    "faces": [
        "streaming planning manifest",
        "pipeline progress tables",
        "sources archive error_maps cluster",
        "api orders",
        "service demo table_cli clean_cli",
        "calibrate_cli serve_cli",
        "cli",
        "__init__ __main__",
    ],
}
# A wing is a room whose members build on each other: storeys of its own, into which only the faces above it lead.
WINGS = {
    "service": [
        "limits",
        "problems",
        "tasks work watch",
        "bodies pool door",
        "schemas",
        "app",
        "server",
    ],
}
SHARED = ["base", "blocks"]  # what members of a shelf may import from it; each may import those before it

TORCH = ["torch", "torchvision", "lightning", "lightning_fabric", "safetensors.torch"]
TORCH_ROOMS = [
    "batches",
    *["networks", "losses", "optimizers", "tasks", "processes", "training", "export"],
    *["denoisers.checkpoint", "denoisers.deep_prior", "denoisers.zero_shot"],
]
# Rooms that open only with an extra, beside those of PyTorch; all others live on the base install.
EXTRA_ROOMS = [*TORCH_ROOMS, "recipe", "report", "quantization", "denoisers.openvino", "tables", "service"]
EXTRAS = [
    *["torch", "lightning_fabric", "safetensors", "pydantic", "yaml", "onnx", "matplotlib"],
    *[
        "fastapi",
        "uvicorn",
        "starlette",
        "prometheus_client",
        "python_multipart",
        "pyarrow",
        "ray",
        "upath",
        "openvino",
    ],
]

SOURCE = Path(__file__).resolve().parent.parent / "src"
FLOOR = {
    room: floor
    for floor, storey in enumerate(storey for storeys in HOUSE.values() for storey in storeys)
    for room in storey.split()
}
FILES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(SOURCE.glob("unnoise/**/*.py"))
}


def imports(source: str, module: str, package: bool, modules: Collection[str]) -> Iterator[tuple[int, str]]:
    """Yield the line and the dotted name of every import, wherever it stands, by statement or by function.

    `need("torch", extra="train")` as a statement of its own imports nothing into the module: it is how a door asks
    whether the room behind it will open.
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
                    yield node.lineno, full if full in modules or full == "unnoise.__version__" else origin
            case ast.Call(
                func=ast.Name(id=called) | ast.Attribute(attr=called), args=[ast.Constant(value=str(name)), *_]
            ):
                if called in ("import_module", "__import__") or (called == "need" and node not in statements):
                    yield node.lineno, name


def objection(module: str, target: str) -> str | None:
    """Say why `module` must not import `target`; None if it may."""
    if _within(target, TORCH):
        return None if _within(_inside(module), TORCH_ROOMS) else "PyTorch stays in its rooms"
    if not _within(target, ["unnoise"]) or target == "unnoise.__version__":
        return None
    importer, imported = _room(module), _room(target)
    if imported not in FLOOR:
        return f"'{imported}' is in no layer: put it in a layer of HOUSE"
    if importer != imported:
        return None if FLOOR[imported] < FLOOR[importer] else f"{importer} may not import {imported}: it is not below"
    wing = importer
    importer, imported = _inside(module).partition(".")[2], _inside(target).partition(".")[2]
    if wing in WINGS:
        return _objection_in_wing(WINGS[wing], importer, imported)
    allowed = SHARED[: SHARED.index(importer)] if importer in SHARED else SHARED
    if not importer or imported in allowed:  # the shelf's own __init__ knows all its members
        return None
    return f"members of a shelf may import only {' and '.join(SHARED)} from it"


def _objection_in_wing(storeys: list[str], importer: str, imported: str) -> str | None:
    floor = {member: floor for floor, storey in enumerate(storeys) for member in storey.split()}
    if not {importer, imported} - {""} <= floor.keys():
        return "a member is in no storey of its wing: put it into WINGS"
    return None if importer and floor.get(imported, -1) < floor[importer] else f"{imported} is not below {importer}"


def complaints(source: str, module: str, package: bool = False, modules: Collection[str] = FILES) -> list[str]:
    """List what is wrong with the imports of one module, a line each."""
    if _room(module) not in FLOOR:
        return [f"{module}: put it in a layer of HOUSE"]
    found = ((line, target, objection(module, target)) for line, target in imports(source, module, package, modules))
    return [f"{module}:{line} imports {target}: {why}" for line, target, why in found if why]


def _inside(module: str) -> str:
    return module.partition(".")[2] or "__init__"


def _room(module: str) -> str:
    return _inside(module).partition(".")[0]


def _within(module: str, places: list[str]) -> bool:
    return any(module == place or module.startswith(f"{place}.") for place in places)


@pytest.mark.parametrize("module", FILES)
def test_imports_run_downward(module: str) -> None:
    path = FILES[module]
    found = complaints(path.read_text(encoding="utf-8"), module, package=path.name == "__init__.py")
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("module", "source", "why"),
    [
        ("unnoise.tiling", "from unnoise.denoisers.base import Denoiser", "not below"),
        ("unnoise.tiling", "from unnoise import denoisers", "not below"),
        ("unnoise.tiling", "from .denoisers import base", "not below"),
        ("unnoise.tiling", "def later():\n    import unnoise.cli", "not below"),
        ("unnoise.tiling", "import importlib\nimportlib.import_module('unnoise.cli')", "not below"),
        ("unnoise.metrics", "from unnoise import image_io", "not below"),
        ("unnoise.cli", "import unnoise", "not below"),
        ("unnoise.cli", "from unnoise import denoise", "not below"),
        ("unnoise.noise.codec", "from unnoise.networks.base import Network", "not below"),
        ("unnoise.noise.codec", "from unnoise.noise.synthetic import Gaussian", "members of a shelf"),
        ("unnoise.noise.codec", "from .synthetic import Gaussian", "members of a shelf"),
        ("unnoise.noise.codec", "from unnoise.noise import make", "members of a shelf"),
        ("unnoise.noise.codec", "from . import make", "members of a shelf"),
        ("unnoise.networks.base", "from unnoise.networks.blocks import conv", "members of a shelf"),
        ("unnoise.cli", "def train():\n    import torch", "PyTorch"),
        ("unnoise.datasets.images", "from torch.utils.data import Dataset", "PyTorch"),
        ("unnoise.denoisers.onnx", "from safetensors.torch import load_file", "PyTorch"),
        ("unnoise.evaluation", "torch = need('torch', extra='train')", "PyTorch"),
        ("unnoise.service.limits", "from unnoise.service.pool import Pool", "not below"),
        ("unnoise.service.pool", "from unnoise.service import bodies", "not below"),
        ("unnoise.service.pool", "from unnoise.service.attic import chest", "put it into WINGS"),
        ("unnoise.demo", "from unnoise.service import app", "not below"),
        ("unnoise.attic", "", "put it in a layer"),
        ("unnoise.cli", "from unnoise.attic import chest", "put it in a layer"),
    ],
)
def test_a_wrong_import_is_caught(module: str, source: str, why: str) -> None:
    known = ["unnoise", "unnoise.denoisers", "unnoise.image_io", "unnoise.noise", "unnoise.noise.synthetic"]
    known += ["unnoise.service", "unnoise.service.bodies"]
    found = complaints(source, module, modules=known)
    assert len(found) == 1
    assert why in found[0]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("unnoise.cli", "from unnoise import __version__, pipeline\nimport unnoise.training"),
        ("unnoise.cli", "def train():\n    need('torch', extra='train')\n    import unnoise.training"),
        ("unnoise.noise.codec", "from unnoise.noise.base import Noise\nfrom . import base\nfrom ..errors import Oops"),
        ("unnoise.networks.blocks", "import torch\nfrom .base import Network"),
        ("unnoise.denoisers.checkpoint", "import torch\nfrom unnoise import networks"),
        ("unnoise.tiling", "import numpy\nimport torchless"),
        ("unnoise.service.app", "from unnoise.service import pool\nfrom unnoise import api"),
        ("unnoise.serve_cli", "def serve():\n    from unnoise.service import server"),
    ],
)
def test_a_right_import_passes(module: str, source: str) -> None:
    known = ["unnoise", "unnoise.pipeline", "unnoise.noise", "unnoise.noise.base", "unnoise.networks"]
    known += ["unnoise.api", "unnoise.service", "unnoise.service.pool", "unnoise.service.server"]
    assert complaints(source, module, modules=known) == []


def test_a_shelf_knows_its_members() -> None:
    source = "from unnoise.noise.base import Noise\nfrom .codec import Jpeg"
    assert complaints(source, "unnoise.noise", package=True, modules=["unnoise.noise.codec"]) == []


def test_base_rooms_open_without_the_extras(fresh_python: Callable[[str], str]) -> None:
    rooms = [module for module in FILES if not _within(_inside(module), [*EXTRA_ROOMS, "__main__"])]
    code = f"""
import importlib, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {EXTRAS}:
            raise ModuleNotFoundError(f"{{name}} is left out", name=name)

sys.meta_path.insert(0, Absent())
for room in {rooms}:
    try:
        importlib.import_module(room)
    except ImportError as error:
        sys.exit(f"{{room}} does not open on the base install: {{error}}")
"""
    fresh_python(code)
