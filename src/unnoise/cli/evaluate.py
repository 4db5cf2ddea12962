"""`unnoise evaluate`: measure models against references, or rank them without any."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unnoise.cli.console import print_line, print_note
from unnoise.cli.options import Engine, Ensemble, Json, Overwrite, Seed, as_line
from unnoise.errors import UnnoiseError

if TYPE_CHECKING:
    from unnoise.denoisers import Denoiser
    from unnoise.evaluation.benchmark import ImageRow
    from unnoise.evaluation.perceptual import Metric
    from unnoise.noise import Noise


def evaluate(
    model: Annotated[list[str], typer.Argument(help="Bundled models, auto, classical filters, or model files.")],
    data: Annotated[str | None, typer.Option(help="Dataset spec, such as images:FOLDER or pairs:FOLDER.")] = None,
    noise: Annotated[
        list[str] | None, typer.Option(help="One or more noise specs; not with pairs, which are noisy already.")
    ] = None,
    no_reference: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Rank the models on noisy images without clean references.")
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(help="Further metrics: ms-ssim, haarpsi, mdsi; lpips and dists where their weights are on disk."),
    ] = None,
    per_image: Annotated[bool, typer.Option("--per-image", help="Print a row for each image.")] = False,
    intervals: Annotated[
        bool, typer.Option("--intervals", help="Add 95 % confidence intervals of the means, by the bootstrap.")
    ] = False,
    versus: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Compare the others with this one of the models, in pairs.")
    ] = None,
    seed: Seed = 0,
    blind: Annotated[bool, typer.Option("--blind", help="Let the models estimate sigma instead of giving it.")] = False,
    ensemble: Ensemble = False,
    engine: Engine = None,
    curve: Annotated[Path | None, typer.Option(help="PNG file for a plot of PSNR over the noise level.")] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="PNG file for the first images: noisy, denoised by each model, and clean.")
    ] = None,
    labels: Annotated[
        list[int] | None, typer.Option(metavar="N...", help="With --sheet: draw images of these classes, as of digits.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Measure models on the same noisy images.

    Prints PSNR, SSIM and time, one row per noise and model. With --versus, prints the mean difference of each metric,
    its interval, and the share of the images where the model has the higher value.
    """
    import numpy as np

    from unnoise import datasets, denoisers, noise as noises
    from unnoise.cli import console
    from unnoise.evaluation import benchmark, report, tables

    if sum((per_image, intervals, versus is not None)) > 1:
        raise UnnoiseError("--per-image, --intervals and --versus are different tables: choose one")
    if versus is not None and (versus not in model or len(set(model)) < 2):
        raise UnnoiseError(f"--versus {versus}: name it and another model to compare with it")
    if no_reference is not None and (metrics or per_image or intervals or versus):
        raise UnnoiseError("--no-reference has scores of its own: leave out other metrics and tables")
    if no_reference is not None and (data or noise or curve or sheet):
        raise UnnoiseError("--no-reference uses images as they are: leave out --data, --noise, --curve and --sheet")
    if labels and sheet is None:
        raise UnnoiseError("--labels chooses what --sheet draws: name a PNG file with it")
    if no_reference is None and data is None:
        raise UnnoiseError("no images: give --data images:FOLDER of clean ones, or --no-reference FOLDER of noisy ones")
    opened = {name: denoisers.make(name, ensemble=ensemble, engine=engine) for name in model}
    if no_reference is not None:
        _rank(opened, no_reference, seed=seed, blind=blind, as_json=as_json)
        return
    assert data is not None
    noise_models = [noises.make(spec) for spec in noise or []] or [None]
    levels = _check_curve(curve, noise_models, overwrite=overwrite) if curve else []
    if sheet:
        _check_png(sheet, "--sheet", overwrite=overwrite)
    dataset = datasets.make(data)
    more = _metrics(metrics or [])
    rows: list[ImageRow] = []
    printed: list[dict[str, Any]] = []
    for noise_model in noise_models:
        with console.line() as show:
            found = list(
                benchmark.measure(
                    opened, dataset, [noise_model], data=data, seed=seed, blind=blind, metrics=more, progress=show
                )
            )
        rows += found
        if per_image:
            lines = tables.per_image(found)
        elif versus:
            lines = tables.versus(found, versus, seed=seed)
        else:
            lines = tables.means(found, intervals=intervals, seed=seed)
        printed += lines
        if as_json:
            for line in lines:
                print_line(as_line(line))
    if not as_json and printed:
        print_line(report.markdown(printed, decimals=tables.decimals(printed)))
    if sheet:
        from unnoise import io
        from unnoise.evaluation import sheets

        page = sheets.draw(opened, dataset, noise_models, seed=seed, blind=blind, labels=labels or [])
        io.from_array(np.rint(255 * np.clip(page, 0, 1)).astype(np.uint8)).save(sheet, overwrite=overwrite)
    if curve:
        points = benchmark.curves(list(benchmark.mean_rows(rows)), levels)
        report.draw_curves(points, curve, x="noise level sigma, 8-bit units", y="PSNR, dB")


def _metrics(names: list[str]) -> dict[str, Metric]:
    """Return the further metrics; nothing is imported if there are none."""
    if not set(names) - {"psnr", "ssim"}:
        return {}
    from unnoise.optional import require

    require("torch", extra="metrics")
    from unnoise.evaluation import perceptual

    return perceptual.make(names)


def _check_curve(target: Path, noises: Sequence[Noise | None], *, overwrite: bool) -> list[float]:
    """Return the noise levels to plot over; raise before any work if the plot cannot be made."""
    from unnoise.evaluation import benchmark
    from unnoise.optional import require

    levels = benchmark.levels(noises)
    _check_png(target, "--curve", overwrite=overwrite)
    require("matplotlib", extra="train")
    return levels


def _check_png(target: Path, option: str, *, overwrite: bool) -> None:
    from unnoise import io

    if target.suffix.lower() != ".png":
        raise UnnoiseError(f"{target}: {option} writes a .png file")
    io.check_target(target, overwrite=overwrite)


def _rank(opened: dict[str, Denoiser], folder: str, *, seed: int, blind: bool, as_json: bool) -> None:
    """Print estimated scores of models on noisy images without references, best first."""
    from unnoise import datasets
    from unnoise.cli import console
    from unnoise.evaluation import no_reference, report

    data = folder if ":" in folder else f"images:{folder}"
    dataset = datasets.make(data)
    with console.line() as show:
        rows = no_reference.rank_models(
            opened, dataset, data=data, seed=seed, blind=blind, progress=show, skipped=print_note
        )
    if not as_json:
        print_line(report.markdown(rows))
        return
    for row in rows:
        print_line(as_line(dataclasses.asdict(row)))
