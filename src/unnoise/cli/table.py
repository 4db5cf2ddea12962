"""The verbs of `unnoise table`: parse, call, print. See `unnoise.tables` for what they do."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unnoise.cli.console import print_error, print_line
from unnoise.errors import UnnoiseError

if TYPE_CHECKING:
    from unnoise.tables import Outcome

app = typer.Typer(
    help="Make, check, split, score and show image tables in Parquet.",
)

Table = Annotated[str, typer.Argument(help="The table: FILE.parquet, or FILE.parquet#train for a part of it.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="What is written.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")]
Ray = Annotated[
    str | None,
    typer.Option(metavar="[ADDRESS]", help="Work on a Ray cluster; as for unnoise clean."),
]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same.")]


@app.command()
def build(
    folders: Annotated[list[str], typer.Argument(help="Folders of pictures, or pictures.")],
    out: Out,
    column: Annotated[str, typer.Option(help="Column of the pictures.")] = "image",
    exclude: Annotated[str | None, typer.Option(help="Text file of pictures to leave out, a path a line.")] = None,
    overwrite: Overwrite = False,
    ray: Ray = None,
) -> None:
    """Make a table of the pictures in folders; a picture's name is its path there, without suffix."""
    _run("build", folders, out, column=column, exclude=exclude, overwrite=overwrite, ray=ray)


@app.command()
def add(
    noise: Annotated[str, typer.Argument(help="Noise spec, such as salt-pepper:0.1.")],
    table: Table,
    out: Out,
    source: Annotated[str | None, typer.Option(help="Column of the clean pictures; clean or image by default.")] = None,
    column: Annotated[str, typer.Option(help="Column of the noisy pictures.")] = "noisy",
    seed: Seed = 0,
    overwrite: Overwrite = False,
    ray: Ray = None,
) -> None:
    """Add a column of noisy pictures."""
    _run("add", table, out, noise, source=source, column=column, seed=seed, overwrite=overwrite, ray=ray)


@app.command()
def check(
    table: Table, as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False
) -> None:
    """Say what pictures a table holds, and what is bad or odd.

    Exit status 1 where a row is bad.
    """
    from unnoise.cli import console
    from unnoise.evaluation import report

    with console.line() as show_progress:
        found = _tables().check(table, progress=show_progress)
    if as_json:
        print_line(json.dumps(dataclasses.asdict(found)))
    else:
        print_line(f"{found.rows} rows" + "".join(f"; {note}" for note in found.notes))
        print_line(report.markdown(found.columns))
        for finding in found.odd:
            print_line(f"odd: {finding}")
        for finding in found.bad:
            print_error(str(finding))
    if found.bad:
        raise typer.Exit(1 if len({one.row for one in found.bad}) < found.rows else 2)


@app.command()
def resize(
    size: Annotated[str, typer.Argument(help="WIDTHxHEIGHT in pixels, or one number for squares.")],
    table: Table,
    out: Out,
    overwrite: Overwrite = False,
    ray: Ray = None,
) -> None:
    """Bring all pictures to one size; their proportions are not kept."""
    sides = size.split("x")
    if len(sides) > 2 or not all(side.isdecimal() for side in sides):
        raise UnnoiseError(f"'{size}' is no size: write WIDTHxHEIGHT, such as 320x240, or one number")
    _run("resize", table, out, *map(int, sides), overwrite=overwrite, ray=ray)


@app.command()
def rename(
    old: Annotated[str, typer.Argument(help="The column's name.")],
    new: Annotated[str, typer.Argument(help="Its new name.")],
    table: Table,
    out: Out,
    overwrite: Overwrite = False,
) -> None:
    """Give a column another name."""
    _run("rename", table, out, {old: new}, overwrite=overwrite)


@app.command()
def merge(
    left: Annotated[str, typer.Argument(help="A table, such as one of clean pictures.")],
    right: Annotated[str, typer.Argument(help="Another one, such as one of noisy pictures.")],
    out: Out,
    by: Annotated[str, typer.Option(help="Column of the names.")] = "name",
    overwrite: Overwrite = False,
    ray: Ray = None,
) -> None:
    """Put the columns of two tables beside each other, rows of one name together."""
    _run("merge", left, right, out, by=by, overwrite=overwrite, ray=ray)


@app.command()
def split(
    table: Table,
    out: Out,
    shares: Annotated[
        list[str] | None, typer.Argument(help="Such as train=0.9 validation=0.1; else 0.8, 0.1, and 0.1 for test.")
    ] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    ray: Ray = None,
) -> None:
    """Put each row into a part by chance, told by the column part."""
    _run("split", table, out, _shares(shares) if shares else None, seed=seed, overwrite=overwrite, ray=ray)


@app.command()
def score(
    model: Annotated[str, typer.Argument(help="One of `unnoise models`, or a model file.")],
    table: Table,
    out: Out,
    noisy: Annotated[str, typer.Option(help="Column of the noisy pictures.")] = "noisy",
    overwrite: Overwrite = False,
    ray: Ray = None,
) -> None:
    """Clean the noisy pictures; add the prediction and, where there are clean ones, PSNR and SSIM."""
    from unnoise.evaluation import report

    outcome = _call("score", model, table, out, noisy=noisy, overwrite=overwrite, ray=ray)
    if outcome.mean:
        print_line(report.markdown([outcome.mean], decimals={"ssim": 4}))
    _finish(outcome)


@app.command()
def show(
    table: Table,
    out: Out,
    name: Annotated[list[str] | None, typer.Option(help="A row to show, may be repeated; else the first ones.")] = None,
    rows: Annotated[int, typer.Option(min=1, help="How many of the first ones.")] = 4,
    crop: Annotated[int | None, typer.Option(min=1, help="Only the middle of each picture, to this side.")] = None,
    histograms: Annotated[Path | None, typer.Option(help="PNG for the histograms of the first row's pictures.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Draw a sheet of noisy, predicted and clean pictures, at their true size."""
    _run("show", table, out, names=name or [], rows=rows, crop=crop, histograms=histograms, overwrite=overwrite)


def _tables() -> ModuleType:
    """Import the verbs; only now, since they take their time."""
    from unnoise.optional import require

    require("pyarrow", extra="tables")
    from unnoise import tables

    return tables


def _run(verb: str, *arguments: Any, **options: Any) -> None:
    """Call a verb, and tell what became of it."""
    _finish(_call(verb, *arguments, **options))


def _call(verb: str, *arguments: Any, ray: str | None = None, **options: Any) -> Any:
    """Call a verb of `unnoise.tables`, here or on a cluster; bad rows are told at once."""
    from unnoise.cli import console

    function = getattr(_tables(), verb)
    with console.line() as show_progress:
        how = {**options, "tell": lambda bad: print_error(str(bad)), "progress": show_progress}
        if ray is None:
            return function(*arguments, **how)
        from unnoise.pipeline import ray_pool
        from unnoise.tables import ray as table_ray

        with ray_pool.ray_session(ray or None):
            return function(*arguments, **how, spread=table_ray.distribute(verb, arguments, options))


def _finish(outcome: Outcome) -> None:
    print_line(outcome.target)
    if outcome.bad:
        raise typer.Exit(1)


def _shares(texts: list[str]) -> dict[str, float]:
    shares: dict[str, float] = {}
    for text in texts:
        part, _, share = text.partition("=")
        if part in shares:
            raise UnnoiseError(f"'{part}' is named twice: a part has one share")
        try:
            shares[part] = float(share)
        except ValueError:
            raise UnnoiseError(f"'{text}' is no share: write part=share, such as train=0.9") from None
    return shares
