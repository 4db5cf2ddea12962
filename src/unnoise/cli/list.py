"""`unnoise list`: every name of the spec language, with its arguments; the documentation prints the same table."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unnoise.cli.console import print_error, print_line
from unnoise.cli.options import Json, as_line, finish
from unnoise.errors import UnnoiseError

if TYPE_CHECKING:
    from unnoise.spec import Member, Registry

REGISTRIES = {
    "noises": "unnoise.noise:NOISES",
    "networks": "unnoise.networks:NETWORKS",
    "losses": "unnoise.training.losses:LOSSES",
    "tasks": "unnoise.training.tasks:TASKS",
    "datasets": "unnoise.datasets:DATASETS",
    "denoisers": "unnoise.denoisers:DENOISERS",
    "optimizers": "unnoise.training.optimizers:OPTIMIZERS",
    "schedules": "unnoise.training.schedules:SCHEDULES",
}
"""Kind -> "module:REGISTRY" of everything that a spec can name."""
NEED_TORCH = ("networks", "losses", "tasks", "optimizers")
KINDS = (*REGISTRIES, "models")


def list_members(
    kind: Annotated[str | None, typer.Argument(help=f"One of {', '.join(KINDS)}. Default: all of them.")] = None,
    as_json: Json = False,
) -> None:
    """List the names that specs can use.

    Specs are arguments of commands and values in recipes. Each name is printed with its arguments and defaults; an
    argument in capitals is required. Members of installed plug-ins are listed, too.
    """
    from unnoise.spec import unknown

    if kind not in (None, *KINDS):
        raise UnnoiseError(unknown("kind", str(kind), KINDS))
    listed = failed = 0
    for heading in [kind] if kind else KINDS:
        members = []
        for member in describe(heading):
            if isinstance(member, UnnoiseError):
                failed += 1
                print_error(str(member))
            else:
                members.append(member)
        listed += len(members)
        if as_json:
            for member in members:
                print_line(as_line(as_row(heading, member)))
            continue
        indent = "" if kind else "  "
        if not kind:
            print_line(heading)
        width = min(max((len(member.spec) for member in members), default=0), 40)
        for member in members:
            source = f" [{member.package}]" if member.package else ""
            if len(member.spec) > width:
                print_line(f"{indent}{member.spec}")
                print_line(f"{indent}{'':{width}}  {member.summary}{source}")
            else:
                print_line(f"{indent}{member.spec:{width}}  {member.summary}{source}")
    finish(failed, failed + listed)


def describe(kind: str) -> Iterator[Member | UnnoiseError]:
    """Yield the members of one kind, sorted by name; an error in the place of a plug-in that cannot be loaded.

    Args:
        kind: one of `KINDS`.
    """
    from unnoise.optional import require
    from unnoise.spec import Member

    if kind == "models":
        from unnoise import denoisers
        from unnoise.denoisers.onnx import Onnx

        yield from (Member(name, Onnx(path).card.summary) for name, path in denoisers.bundled_models().items())
        return
    try:
        if kind in NEED_TORCH:
            require("torch", extra="train")
        names = list(registry(kind))
    except UnnoiseError as error:
        yield UnnoiseError(f"{kind}: {error}")
        return
    for name in names:
        try:
            member = registry(kind).describe(name)
        except UnnoiseError as error:
            yield error
            continue
        if kind == "datasets":  # a dataset spec takes a path alone; keywords are set by recipe keys
            member = dataclasses.replace(member, arguments=tuple(a for a in member.arguments if not a.keyword_only))
        yield member


def registry(kind: str) -> Registry[Any]:
    """Import and return the registry of a kind, a key of `REGISTRIES`."""
    module, _, name = REGISTRIES[kind].partition(":")
    return getattr(importlib.import_module(module), name)


def as_row(kind: str, member: Member) -> dict[str, Any]:
    """Return a member as a JSON object; defaults are written as in a spec."""
    arguments = [{"name": a.name, "required": a.default is None, "default": a.default} for a in member.arguments]
    return {
        "kind": kind, "name": member.name, "spec": member.spec, "arguments": arguments,
        "summary": member.summary, "package": member.package or "unnoise",
    }  # fmt: skip
