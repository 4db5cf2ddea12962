"""Rules for all members of all registries; a new member is tested automatically, one of another package as well."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from unnoise.cli import main
from unnoise.cli.list import REGISTRIES
from unnoise.errors import UnnoiseError

ROOT = Path(__file__).resolve().parent.parent
BASES = {
    "noises": "unnoise.noise.base:Noise",
    "networks": "unnoise.networks.base:Network",
    "losses": "unnoise.training.losses:Loss",
    "tasks": "unnoise.training.tasks.base:Task",
    "datasets": "unnoise.datasets.base:Dataset",
    "denoisers": "unnoise.denoisers.base:Denoiser",
    "optimizers": "unnoise.training.optimizers:Optimizer",
    "schedules": "unnoise.training.schedules:Schedule",
}


def load(place: str) -> Any:
    """Import "module:name"."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def members() -> list[Any]:
    """Return kind, name and place of all members, those of installed packages included."""
    found = []
    for kind, place in REGISTRIES.items():
        registry = load(place)
        others = {entry.name: entry.value for entry in importlib.metadata.entry_points(group=registry.group)}
        rows = {**others, **registry.members}.items()
        found += [pytest.param(kind, name, where, id=f"{kind}-{name}") for name, where in rows]
    return found


def arguments(cls: type) -> dict[str, inspect.Parameter]:
    """Return the named arguments of a constructor."""
    rest = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {key: one for key, one in inspect.signature(cls).parameters.items() if one.kind not in rest}


@pytest.mark.parametrize(("kind", "name", "place"), members())
class TestEveryMember:
    def test_it_is_of_its_kind_and_in_its_package(self, kind: str, name: str, place: str) -> None:
        assert issubclass(load(place), load(BASES[kind]))
        own = load(REGISTRIES[kind]).members
        assert name not in own or place.startswith(REGISTRIES[kind].partition(":")[0])

    def test_its_name_is_that_of_the_row(self, kind: str, name: str, place: str) -> None:
        assert re.fullmatch(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*", name)
        assert kind == "datasets" or load(place).name == name

    def test_it_is_documented(self, kind: str, name: str, place: str) -> None:
        """The reference prints the first line and the arguments."""
        cls = load(place)
        assert cls.__doc__ is not load(BASES[kind]).__doc__
        text = inspect.cleandoc(cls.__doc__ or "")
        assert 10 < len(text.splitlines()[0]) <= 120
        described = {key for key in arguments(cls) if re.search(rf"^\s+{key}: |`{key}`", text, flags=re.MULTILINE)}
        assert kind == "datasets" or described == set(arguments(cls))

    def test_its_spec_makes_it_again(self, kind: str, name: str, place: str) -> None:
        cls = load(place)
        if kind == "datasets":
            assert next(iter(arguments(cls))) in ("path", "folder")
            assert {"channels", "exclude"} <= set(arguments(cls))
        elif all(one.default is not one.empty for one in arguments(cls).values()):
            assert str(load(REGISTRIES[kind]).make(name)) == name
        else:
            with pytest.raises(UnnoiseError, match="missing"):
                load(REGISTRIES[kind]).make(name)


def test_the_reference_lists_what_the_command_lists(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("mkdocs")
    with pytest.raises(SystemExit):
        main.main(["list", "--json"])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    listed = {(row["kind"], row["spec"]) for row in rows if row["kind"] != "models" and row["package"] == "unnoise"}
    hooks = runpy.run_path(str(ROOT / "docs" / "hooks.py"))
    page = "\n".join(hooks["spec_language"]())
    kind, documented = "", set()
    for heading, spec in re.findall(r"^## (.+)$|^### .+\n+```text\n(.+)$", page, flags=re.MULTILINE):
        kind = heading.lower() or kind
        documented |= {(kind, spec)} if spec else set()
    assert documented == listed


def test_the_reference_describes_every_recipe_key() -> None:
    pytest.importorskip("mkdocs")
    page = "\n".join(runpy.run_path(str(ROOT / "docs" / "hooks.py"))["recipe_keys"]())
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    assert len(rows) > 40
    assert [row[0] for row in rows if len(row) != 4] == []
