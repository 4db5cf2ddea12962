"""`unnoise data`: what images there are, and whether they can be read."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unnoise.cli.console import print_error, print_line
from unnoise.cli.options import Json, as_line, finish
from unnoise.errors import UnnoiseError

if TYPE_CHECKING:
    from unnoise.datasets.inventory import Checked

app = typer.Typer(help="List and check the images to train and to evaluate on.")


@app.command("list")
def list_sets(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder whose sets are listed. Default: the data root, UNNOISE_DATA.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the sets of images in a folder, each with the spec that opens it.

    Relative paths in specs are searched in the working directory, then in the data root.
    """
    from unnoise.datasets import inventory
    from unnoise.evaluation import report

    rows = list(inventory.find_sets(folder or inventory.root()))
    if as_json:
        for row in rows:
            print_line(as_line(dataclasses.asdict(row)))
    elif rows:
        print_line(report.markdown(rows, decimals={"megabytes": 1}))
    else:
        raise UnnoiseError(f"no images in '{folder or inventory.root()}'")


@app.command()
def check(
    specs: Annotated[list[str], typer.Argument(help="Dataset specs, such as images:FOLDER or csv:FILE.csv#train.")],
    as_json: Json = False,
) -> None:
    """Read every image of datasets, and print what they are.

    Exit status 1 if an image cannot be read, or the two of a pair do not fit.
    """
    from unnoise.cli import console
    from unnoise.datasets import inventory

    failed = total = 0
    for spec in specs:
        with console.line() as show:
            found = inventory.check(spec, show)
        print_line(as_line(dataclasses.asdict(found)) if as_json else _text(found))
        for line in found.errors:
            print_error(line)
        failed += len(found.errors)
        total += found.items
    finish(failed, total)


def _text(found: Checked) -> str:
    items = f"{found.items} {'pairs' if found.pairs else 'images'}"
    if not found.kinds:
        return f"{found.spec}: {items}, none of which can be read"
    kinds = "; ".join(f"{count} of {kind}" for kind, count in found.kinds.items())
    sizes = " to ".join(f"{wide}x{high}" for wide, high in dict.fromkeys((found.smallest, found.largest)))
    return f"{found.spec}: {items}, {sizes} pixels: {kinds}"
