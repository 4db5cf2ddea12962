"""`unnoise evaluate`: measure models against references, or rank them without any."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unnoise.cli.console import print_line, print_note
from unnoise.cli.options import Engine, Ensemble, Json, Overwrite, Seed, as_line
from unnoise.errors import UnnoiseError

if TYPE_CHECKING:
    from unnoise.denoisers import Denoiser
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
    seed: Seed = 0,
    blind: Annotated[bool, typer.Option("--blind", help="Let the models estimate sigma instead of giving it.")] = False,
    ensemble: Ensemble = False,
    engine: Engine = None,
    curve: Annotated[Path | None, typer.Option(help="PNG file for a plot of PSNR over the noise level.")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Measure models on the same noisy images.

    Prints PSNR, SSIM and time, one row per noise and model.
    """
    from unnoise import datasets, denoisers, noise as noises
    from unnoise.cli import console
    from unnoise.evaluation import benchmark, report

    if no_reference is not None and (data or noise or curve):
        raise UnnoiseError("--no-reference uses noisy images as they are: leave out --data, --noise and --curve")
    if no_reference is None and data is None:
        raise UnnoiseError("no images: give --data images:FOLDER of clean ones, or --no-reference FOLDER of noisy ones")
    opened = {name: denoisers.make(name, ensemble=ensemble, engine=engine) for name in model}
    if no_reference is not None:
        _rank(opened, no_reference, seed=seed, blind=blind, as_json=as_json)
        return
    assert data is not None
    noise_models = [noises.make(spec) for spec in noise or []] or [None]
    levels = _check_curve(curve, noise_models, overwrite=overwrite) if curve else []
    dataset = datasets.make(data)
    rows = []
    with console.line() as show:
        for row in benchmark.evaluate(opened, dataset, noise_models, data=data, seed=seed, blind=blind, progress=show):
            rows.append(row)
            if as_json:
                print_line(as_line(dataclasses.asdict(row)))
    if not as_json:
        print_line(report.markdown(rows, decimals={"ssim": 4}))
    if curve:
        report.draw_curves(benchmark.curves(rows, levels), curve, x="noise level sigma, 8-bit units", y="PSNR, dB")


def _check_curve(target: Path, noises: Sequence[Noise | None], *, overwrite: bool) -> list[float]:
    """Return the noise levels to plot over; raise before any work if the plot cannot be made."""
    from unnoise import io
    from unnoise.evaluation import benchmark
    from unnoise.optional import require

    levels = benchmark.levels(noises)
    if target.suffix.lower() != ".png":
        raise UnnoiseError(f"{target}: --curve writes a .png file")
    io.check_target(target, overwrite=overwrite)
    require("matplotlib", extra="train")
    return levels


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
