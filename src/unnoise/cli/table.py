"""`unnoise table`: parse, call, print. The work itself is in `unnoise.tables`."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unnoise.cli.console import print_error, print_line
from unnoise.cli.options import Json, Overwrite, Ray, Seed, as_line
from unnoise.errors import UnnoiseError

if TYPE_CHECKING:
    from unnoise.tables import Outcome

app = typer.Typer(help="Build, check, split, score and show image tables in Parquet.")

Table = Annotated[str, typer.Argument(help="Table: FILE.parquet, or FILE.parquet#train for one part of it.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Output file.")]


@app.command()
def build(
    folders: Annotated[list[str], typer.Argument(help="Folders of images, or images.")],
    out: Out,
    column: Annotated[str, typer.Option(help="Column of the images.")] = "image",
    exclude: Annotated[str | None, typer.Option(help="Text file of images to leave out, one path per line.")] = None,
    overwrite: Overwrite = False,
    ray: Ray = None,
) -> None:
    """Build a table from folders of images; an image's name is its path in the folder, without suffix."""
    _run("build", folders, out, column=column, exclude=exclude, overwrite=overwrite, ray=ray)


@app.command()
def add(
    noise: Annotated[str, typer.Argument(help="Noise spec, such as salt-pepper:0.1; see unnoise list noises.")],
    table: Table,
    out: Out,
    source: Annotated[str | None, typer.Option(help="Column of the clean images. Default: clean, else image.")] = None,
    column: Annotated[str, typer.Option(help="Column of the noisy images.")] = "noisy",
    seed: Seed = 0,
    overwrite: Overwrite = False,
    ray: Ray = None,
) -> None:
    """Add a column of noisy images."""
    _run("add", table, out, noise, source=source, column=column, seed=seed, overwrite=overwrite, ray=ray)


@app.command()
def check(table: Table, as_json: Json = False) -> None:
    """Print what images a table holds, and which rows are invalid or odd.

    Exit status 1 if a row is invalid.
    """
    from unnoise.cli import console
    from unnoise.evaluation import report

    with console.line() as show_progress:
        result = _tables().check(table, progress=show_progress)
    if as_json:
        print_line(as_line(dataclasses.asdict(result)))
    else:
        print_line(f"{result.rows} rows" + "".join(f"; {note}" for note in result.notes))
        print_line(report.markdown(result.columns))
        for issue in result.odd:
            print_line(f"odd: {issue}")
        for issue in result.bad:
            print_error(str(issue))
    if result.bad:
        raise typer.Exit(1 if len({issue.row for issue in result.bad}) < result.rows else 2)


@app.command()
def resize(
    size: Annotated[str, typer.Argument(help="WIDTHxHEIGHT in pixels, or one number for squares.")],
    table: Table,
    out: Out,
    overwrite: Overwrite = False,
    ray: Ray = None,
) -> None:
    """Resize all images to one size; aspect ratios are not preserved."""
    sides = size.split("x")
    if len(sides) > 2 or not all(side.isdecimal() for side in sides):
        raise UnnoiseError(f"'{size}' is not a size: write WIDTHxHEIGHT, such as 320x240, or one number")
    _run("resize", table, out, *map(int, sides), overwrite=overwrite, ray=ray)


@app.command()
def rename(
    old: Annotated[str, typer.Argument(help="Current column name.")],
    new: Annotated[str, typer.Argument(help="New column name.")],
    table: Table,
    out: Out,
    overwrite: Overwrite = False,
) -> None:
    """Rename a column."""
    _run("rename", table, out, {old: new}, overwrite=overwrite)


@app.command()
def merge(
    left: Annotated[str, typer.Argument(help="A table, such as one of clean images.")],
    right: Annotated[str, typer.Argument(help="Another table, such as one of noisy images.")],
    out: Out,
    by: Annotated[str, typer.Option(help="Column of the names.")] = "name",
    overwrite: Overwrite = False,
    ray: Ray = None,
) -> None:
    """Join two tables by the names of their rows."""
    _run("merge", left, right, out, by=by, overwrite=overwrite, ray=ray)


@app.command()
def split(
    table: Table,
    out: Out,
    shares: Annotated[
        list[str] | None,
        typer.Argument(help="Such as train=0.9 validation=0.1. Default: train=0.8 validation=0.1 test=0.1."),
    ] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    ray: Ray = None,
) -> None:
    """Assign each row to a part at random; the column "part" holds its name."""
    _run("split", table, out, _shares(shares) if shares else None, seed=seed, overwrite=overwrite, ray=ray)


@app.command()
def push(
    table: Table,
    target: Annotated[str, typer.Argument(help="Folder, or hf:USER/NAME to upload to the hub of Hugging Face.")],
    overwrite: Overwrite = False,
) -> None:
    """Write a table in the layout of Hugging Face's hub, a file for each part; hf:FOLDER reads it again."""
    _run("push", table, target, overwrite=overwrite)


@app.command()
def score(
    model: Annotated[str, typer.Argument(help="A model or filter of unnoise models, or a model file.")],
    table: Table,
    out: Out,
    noisy: Annotated[str, typer.Option(help="Column of the noisy images.")] = "noisy",
    overwrite: Overwrite = False,
    ray: Ray = None,
) -> None:
    """Denoise the noisy images and add the predictions, with PSNR and SSIM where there are clean images."""
    from unnoise.evaluation import report

    outcome = _call("score", model, table, out, noisy=noisy, overwrite=overwrite, ray=ray)
    if outcome.mean:
        print_line(report.markdown([outcome.mean], decimals={"ssim": 4}))
    _finish(outcome)


@app.command()
def show(
    table: Table,
    out: Out,
    name: Annotated[
        list[str] | None, typer.Option(help="A row to show; may be repeated. Default: the first rows.")
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="Number of rows to show without --name.")] = 4,
    crop: Annotated[int | None, typer.Option(min=1, help="Crop each image to a centered square of this side.")] = None,
    histograms: Annotated[Path | None, typer.Option(help="PNG file for the histograms of the first row.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Draw noisy, predicted and clean images side by side, at full size."""
    _run("show", table, out, names=name or [], rows=rows, crop=crop, histograms=histograms, overwrite=overwrite)


def _tables() -> ModuleType:
    """Import `unnoise.tables`, which is slow, only when it is needed."""
    from unnoise.optional import require

    require("pyarrow", extra="tables")
    from unnoise import tables

    return tables


def _run(verb: str, *arguments: Any, **options: Any) -> None:
    """Call a function of `unnoise.tables` and print its result."""
    _finish(_call(verb, *arguments, **options))


def _call(verb: str, *arguments: Any, ray: str | None = None, **options: Any) -> Any:
    """Call a function of `unnoise.tables`, here or on a cluster; invalid rows are printed as they are found."""
    from unnoise.cli import console

    function = getattr(_tables(), verb)
    with console.line() as show_progress:
        local = functools.partial(
            function, *arguments, **options, on_issue=lambda issue: print_error(str(issue)), progress=show_progress
        )
        if ray is None:
            return local()
        from unnoise.pipeline import ray_pool
        from unnoise.tables import ray as table_ray

        with ray_pool.ray_session(ray or None):
            return local(distribute=table_ray.distribute(verb, arguments, options))


def _finish(outcome: Outcome) -> None:
    print_line(outcome.target)
    if outcome.bad:
        raise typer.Exit(1)


def _shares(texts: list[str]) -> dict[str, float]:
    shares: dict[str, float] = {}
    for text in texts:
        part, _, share = text.partition("=")
        if part in shares:
            raise UnnoiseError(f"the part '{part}' is given twice")
        try:
            shares[part] = float(share)
        except ValueError:
            raise UnnoiseError(f"'{text}' is not a share: write part=share, such as train=0.9") from None
    return shares
