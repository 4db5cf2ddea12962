"""Generates the reference pages when mkdocs builds the site; see `hooks` in mkdocs.yml.

The command line comes from the typer app, recipe keys from the pydantic schema, the spec language from the registries,
and the Python API from docstrings by mkdocstrings. CHANGELOG.md and CONTRIBUTING.md become pages, and files of the
repository that pages link to are copied into the site.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import griffe
import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pydantic import BaseModel

from unnoise.errors import UnnoiseError
from unnoise.spec import Member

ROOT = Path(__file__).resolve().parent.parent
PAGES = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md", "README.md": "index.md"}
"""Files of the repository that are pages of the site; index.md is written for the site."""

PACKAGES = [
    *[
        "io",
        "noise",
        "networks",
        "datasets",
        "denoisers",
        "evaluation",
        "training",
        "pipeline",
        "tables",
        "service",
        "page",
        "torch",
    ],
]
_LINK = re.compile(r"(\]\()((?:\.\./)+)([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages, and the files of the repository that pages link to."""
    pages = {
        "changelog.md": (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
        "contributing.md": (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"),
        "reference/command_line.md": "\n".join(command_line()),
        "reference/spec_language.md": "\n".join(spec_language()),
        "reference/recipe.md": "\n".join(recipe_keys()),
        "reference/python/unnoise.md": "\n".join(public_names()),
        **{f"reference/python/{name}.md": f"# unnoise.{name}\n\n::: unnoise.{name}\n" for name in PACKAGES},
    }
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    for path in sorted(_linked_files(ROOT / "docs")):
        files.append(File.generated(config, f"repository/{path}", abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links that leave docs/ to the page or the copy of the file."""
    if page.file.src_uri in ("changelog.md", "contributing.md"):
        return re.sub(r"(\]\()docs/", r"\1", markdown).replace("](CHANGELOG.md", "](changelog.md")

    def rewritten(link: re.Match[str]) -> str:
        path = _outside(ROOT / "docs" / page.file.src_uri, link[2] + link[3])
        if path is None:
            return link[0]
        return link[1] + "../" * page.file.src_uri.count("/") + PAGES.get(path, f"repository/{path}")

    return _LINK.sub(rewritten, markdown)


def command_line() -> Iterator[str]:
    """Describe every verb with its arguments and options."""
    from unnoise.cli import main

    yield "# Command line\n"
    yield "`unnoise PATH...` is short for `unnoise clean PATH...`. `unnoise VERB --help` prints the same.\n"
    command: Any = typer.main.get_command(main.app)
    yield from _commands(command, "unnoise")


def _commands(group: Any, prefix: str) -> Iterator[str]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{prefix} {name}")
            continue
        yield f"## {prefix} {name}\n"
        yield f"{inspect.cleandoc(command.help or '')}\n"
        arguments = " ".join(_metavar(one) for one in command.params if one.param_type_name == "argument")
        yield f"```sh\n{prefix} {name} [OPTIONS] {arguments}\n```\n"
        rows = []
        for one in command.params:
            names = ", ".join(f"`{flag}`" for flag in [*one.opts, *one.secondary_opts])
            label = f"`{_metavar(one)}`" if one.param_type_name == "argument" else names
            rows.append((label, getattr(one, "help", None) or "", _default(one)))
        yield from _table(["argument or option", "meaning", "default"], rows)


def _metavar(parameter: Any) -> str:
    name = (parameter.metavar or parameter.name).upper()
    return f"{name if parameter.required else f'[{name}]'}{'...' if parameter.nargs == -1 else ''}"


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    flag = getattr(parameter, "is_flag", False)
    return "" if parameter.default is None or flag or callable(parameter.default) else f"`{parameter.default}`"


def spec_language() -> Iterator[str]:
    """Describe every name of the spec language with its arguments, from the registries."""
    import unnoise.spec
    from unnoise.cli.list import REGISTRIES, describe, registry

    yield "# Spec language\n"
    yield inspect.cleandoc(unnoise.spec.__doc__ or "").partition("\n\n")[0] + "\n"
    yield "```text"
    yield from re.findall(r"^    (.*)$", unnoise.spec.__doc__ or "", flags=re.MULTILINE)
    yield "```\n"
    yield "An argument with a default may be left out. The first one may be given without its name.\n"
    yield "`unnoise list` prints the same names. An argument in capitals is required.\n"
    for kind in REGISTRIES:
        yield f"## {kind.capitalize()}\n"
        for member in describe(kind):
            if isinstance(member, UnnoiseError):
                raise member
            if not member.package:  # plug-ins that happen to be installed here are not ours to document
                yield from _member(member, registry(kind).find(member.name))


def _member(member: Member, cls: type) -> Iterator[str]:
    """Describe one class: its spec with all arguments, its summary, and a row per argument."""
    sections = _sections(cls)
    described = _described(sections)
    yield f"### {member.name}\n"
    yield f"```text\n{member.spec}\n```\n"
    yield f"{sections[0].value if sections and sections[0].kind.value == 'text' else ''}\n"
    if member.arguments:
        rows = [
            (f"`{one.name}`", described.get(one.name, ""), "required" if one.default is None else f"`{one.default}`")
            for one in member.arguments
        ]
        yield from _table(["argument", "meaning", "default"], rows)


def recipe_keys() -> Iterator[str]:
    """Describe every key of a recipe, from its pydantic model."""
    from unnoise.training.recipe import Recipe

    yield "# Recipe keys\n"
    yield "A recipe is a YAML or JSON file with these keys; `unnoise train RECIPE key=value` changes any of them."
    yield "`unnoise train RECIPE --dry-run` checks a recipe and its data.\n"
    yield from _section(Recipe, "")


def _section(model: type[BaseModel], prefix: str) -> Iterator[str]:
    sections = _sections(model)
    described = _described(sections)
    yield f"## {prefix.rstrip('.') or 'Top level'}\n"
    yield f"{sections[0].value}\n"
    rows, nested = [], {}
    for key, field in model.model_fields.items():
        default = "required" if field.is_required() else f"`{_value(field.default)}`"
        inner = [one for one in _types(field.annotation) if isinstance(one, type) and issubclass(one, BaseModel)]
        if inner:
            nested[key] = inner[0]
        if inner and isinstance(field.default, BaseModel):
            default = "its defaults"
        rows.append((f"`{prefix}{key}`", _type(field.annotation, field.metadata), default, described.get(key, "")))
    yield from _table(["key", "type", "default", "meaning"], rows)
    for key, inner_model in nested.items():
        listed = typing.get_origin(model.model_fields[key].annotation) is list
        yield from _section(inner_model, f"{prefix}{key}{'[]' if listed else ''}.")


def public_names() -> Iterator[str]:
    """Describe the names of `unnoise.__all__`: functions here, classes by a link to their package's page."""
    import unnoise

    yield "# unnoise\n"
    yield "```python\nimport unnoise\n```\n"
    things = [getattr(unnoise, name) for name in unnoise.__all__ if name in unnoise._LAZY]
    places = {f"{thing.__module__}.{thing.__qualname__}": thing for thing in things}
    own = [place for place in places if place.split(".")[1] not in PACKAGES]
    for place in places:
        if place not in own:
            summary = (places[place].__doc__ or "").partition("\n")[0]
            yield f"* [`unnoise.{places[place].__name__}`][{place}]: {summary}"
    yield from (f"\n::: {place}\n" for place in own)


def _sections(cls: type) -> list[Any]:
    """Parse the Google-style docstring of a class."""
    return griffe.Docstring(inspect.cleandoc(cls.__doc__ or "")).parse("google", warnings=False)


def _described(sections: Iterable[Any]) -> dict[str, str]:
    """Return name -> description of all arguments and attributes."""
    entries = [entry for one in sections if one.kind.value in ("parameters", "attributes") for entry in one.value]
    return {entry.name: " ".join(entry.description.split()) for entry in entries}


def _table(head: list[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"| {' | '.join('---' for _ in head)} |"
    for row in rows:
        yield f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in row)} |"
    yield ""


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_plain, value))}]"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return str(value) if str(value) else '""'


def _plain(value: Any) -> str:
    if isinstance(value, BaseModel):
        return f"{{{', '.join(f'{key}: {_value(one)}' for key, one in value.model_dump().items())}}}"
    return _value(value)


def _types(annotation: Any) -> list[Any]:
    inner = [one for part in typing.get_args(annotation) for one in _types(part)]
    return [annotation, *inner]


def _type(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    """Write a type as a reader of recipes knows it, with its bounds."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        text = " or ".join(f"`{one}`" for one in arguments)
    elif origin in (typing.Union, types.UnionType):
        text = " or ".join("null" if one is type(None) else _type(one) for one in arguments)
    elif origin is list:
        text = f"list of {_type(arguments[0]).replace('section', 'sections').replace('text', 'texts')}"
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        text = "section"
    else:
        names = {str: "text", int: "integer", float: "number", bool: "true or false"}
        text = names.get(annotation, getattr(annotation, "__name__", str(annotation)))
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    bounds = [f"{sign} {bound:g}" for one in metadata for key, sign in signs.items()
              if isinstance(bound := getattr(one, key, None), int | float)]  # fmt: skip
    return f"{text}, {', '.join(bounds)}" if bounds else text


def _linked_files(folder: Path) -> set[str]:
    """Return the files outside docs/, and not pages of the site, that the pages in `folder` link to."""
    found: set[str] = set()
    for page in folder.glob("**/*.md"):
        links = _LINK.findall(page.read_text(encoding="utf-8"))
        found |= {path for _, up, rest in links if (path := _outside(page, up + rest)) and path not in PAGES}
    return found


def _outside(page: Path, link: str) -> str | None:
    """Return a link's target relative to the repository; None if it lies within docs/."""
    target = (page.parent / link).resolve()
    return None if target.is_relative_to(ROOT / "docs") else target.relative_to(ROOT).as_posix()
