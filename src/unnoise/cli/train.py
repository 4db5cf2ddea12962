"""`unnoise train`, `export` and `quantize`: from a recipe to a model file."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unnoise.cli.console import print_line
from unnoise.errors import UnnoiseError

if TYPE_CHECKING:
    from unnoise.training.state import ProgressEvent

Scores = Annotated[
    Path | None, typer.Option(help="Output of evaluate --json, whose scores are stored on the model card.")
]


def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe in YAML or JSON, or a config.json.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Overrides, such as train.steps=5000.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Run folder. Default: runs/NAME.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted run, or lengthen it: train.steps=...")
    ] = False,
    device: Annotated[str | None, typer.Option(help="cpu or cuda. Default: a GPU if there is one.")] = None,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Train every combination of values: train.learning_rate=1e-3,3e-3.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the recipe, print a summary, and stop.")] = False,
) -> None:
    """Train a network from a recipe.

    To train on noisy images of your own: recipes/own_pictures.yaml data.train=images:FOLDER. With train.devices=N, N
    processes share the work; torchrun or SLURM start them on several machines. A config.json of the restoration
    framework is converted to a recipe, which is printed; if its mode is "test", its model is evaluated instead.
    """
    from unnoise.cli import console
    from unnoise.optional import require

    require("torch", extra="train")
    from unnoise.spec import unknown
    from unnoise.training import distributed, dry_run as checking, recipe as recipes, trainer

    changes = dict(_key_and_value(text) for text in overrides or [])
    if device not in (None, "cpu", "cuda"):
        raise UnnoiseError(unknown("device", str(device), ["cpu", "cuda"]))
    if sweep:
        if dry_run:
            raise UnnoiseError("--sweep and --dry-run: check one combination, without --sweep")
        _sweep(recipe, changes, out, resume=resume, device=device)
        return
    job = recipes.open(recipe, changes)
    if job.mode == "test":
        _measure(recipe, changes)
        return
    loaded, folder = job.recipe, out or job.folder
    if job.translated and distributed.is_rank_zero():
        print_line(recipes.dump(loaded))
    if dry_run:
        for line in checking.check(loaded, device or job.device):
            print_line(line)
        return
    summary = [loaded.name, loaded.summary, loaded.task, loaded.network, loaded.train.length]
    showing = console.over_training() if distributed.is_rank_zero() else contextlib.nullcontext(lambda event: None)
    with showing as show:

        def on_progress(event: ProgressEvent) -> None:
            if summary and distributed.is_rank_zero():  # at the first event: the recipe has been checked by then
                console.print_note("; ".join(filter(None, summary)))
                summary.clear()
            show(event)

        model = trainer.train(loaded, folder, resume=resume, device=device or job.device, on_progress=on_progress)
    if distributed.is_rank_zero():
        print_line(model)


def _sweep(recipe: Path, changes: dict[str, str], out: Path | None, *, resume: bool, device: str | None) -> None:
    """Train every combination and print one table."""
    from unnoise.cli import console
    from unnoise.cli.options import finish
    from unnoise.training import sweep

    with console.over_training() as show:

        def on_start(number: int, count: int, run: sweep.SweepRun) -> Callable[[ProgressEvent], object]:
            settings = " ".join(f"{key}={text}" for key, text in run.settings.items())
            console.print_note(f"{number} of {count}: {settings}")
            return show

        rows = sweep.run(recipe, changes, out, resume=resume, device=device, on_start=on_start)
    print_line(sweep.table(rows))
    finish(sum(bool(row.error) for row in rows), len(rows))


def export(
    model: Annotated[Path, typer.Argument(help="A .safetensors model, or a .pth file of weights.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Output file. Default: next to the model.")] = None,
    scores: Scores = None,
    fp16: Annotated[
        bool, typer.Option("--fp16", help="Round the weights of both files to 16-bit floats: half the size.")
    ] = False,
    part: Annotated[
        str | None, typer.Option(help="Export a part of the network, such as 'levels' of blind, and its weights.")
    ] = None,
) -> None:
    """Export a trained model to ONNX.

    The file is checked against the original model. Weights of another project need the extra spandrel.
    """
    from unnoise.optional import require

    require("torch", extra="train")
    require("onnx", extra="train")
    from unnoise.evaluation import benchmark
    from unnoise.training import export as exporting

    measured = benchmark.read_scores(scores) if scores else None
    print_line(exporting.export(model, out, scores=measured, half=fp16, part=part))


def quantize(
    model: Annotated[Path, typer.Argument(help="An .onnx model.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Output file; its name becomes the model's name.")],
    data: Annotated[str, typer.Option(help="Dataset spec of clean images for calibration, such as images:FOLDER.")],
    scores: Scores = None,
) -> None:
    """Quantize an ONNX model to 8-bit integers.

    The result is smaller and faster. The scales are calibrated on the images with the noise that the model was trained
    on. Refused if the model loses more than 0.1 dB.
    """
    from unnoise.optional import require

    require("onnx", extra="train")
    from unnoise import datasets, denoisers
    from unnoise.evaluation import benchmark
    from unnoise.training import quantization

    pictures = datasets.make(data, channels=denoisers.make(model).channels)
    measured = benchmark.read_scores(scores) if scores else None
    print_line(f"{out}: {quantization.quantize(model, out, pictures, scores=measured):.3f} dB lost")


def _key_and_value(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not (key and separator):
        raise UnnoiseError(f"'{text}' is not an override: write key=value, such as train.steps=5000")
    return key, value


def _measure(config: Path, changes: dict[str, str]) -> None:
    """Print how the model of a config.json scores on the test split of its data."""
    from unnoise import api
    from unnoise.cli import console
    from unnoise.evaluation import report

    with console.line() as show:
        rows = api.measure(config, changes, progress=show)
    print_line(report.markdown(rows, decimals={"ssim": 4}))
