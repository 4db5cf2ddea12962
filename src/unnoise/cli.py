"""The command line: parse, call, print.

`unnoise PATH...` is the main job; every other verb is a word of its own. Errors are one line on stderr, without a
traceback unless `--debug` stands first. Exit status: 0 all done, 1 some inputs failed (the others are done), 2 the call
was wrong or nothing could be done.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from unnoise import __version__
from unnoise.errors import UnnoiseError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Take noise out of pictures.\n\nThe main job needs no verb: unnoise PATH... [-o OUT] (unnoise clean --help).",
)

Model = Annotated[str, typer.Option("--model", "-m", help="A model of `unnoise models`, or a model file.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")]
MaxPixels = Annotated[int, typer.Option(help="Refuse larger pictures.")]


@app.command()
def clean(
    paths: Annotated[list[str], typer.Argument(help="Files, folders, patterns, or - for a pipe.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A file, or a folder; beside the inputs by default.")
    ] = None,
    model: Model = "color",
    sigma: Annotated[
        float | None, typer.Option(min=0, help="Noise level in 8-bit units (25 is 25/255); found by default.")
    ] = None,
    strength: Annotated[float, typer.Option(min=0, max=1.5, help="0 leaves the picture, 1 is the model's own.")] = 1.0,
    quality: Annotated[int | None, typer.Option(min=1, max=100, help="Of JPEG, WebP and AVIF outputs.")] = None,
    overwrite: Overwrite = False,
    max_pixels: MaxPixels = 1_000_000_000,
    as_json: Json = False,
) -> None:
    """Clean pictures; the verb may be left out: unnoise photo.jpg."""
    from unnoise import denoisers, pipeline

    settings = pipeline.Settings(
        denoiser=denoisers.make(model),
        sigma=None if sigma is None else sigma / 255,
        strength=strength,
        max_pixels=max_pixels,
        overwrite=overwrite,
        quality=quality,
    )
    if "-" in paths:
        if paths != ["-"]:
            raise UnnoiseError("a pipe (-) cannot be mixed with files")
        _clean_pipe(settings, out)
        return
    jobs = pipeline.plan(paths, out)
    failed = 0
    with _bar(len(jobs)) as advance:
        for done, outcome in enumerate(
            pipeline.run(jobs, settings, lambda job, share: advance(job.source.name, share))
        ):
            failed += outcome.error is not None
            advance(outcome.job.source.name, 1.0, done + 1)
            _tell(outcome, as_json=as_json)
    if failed:
        raise typer.Exit(1 if failed < len(jobs) else 2)


@app.command()
def inspect(
    paths: Annotated[list[str], typer.Argument(help="Files, folders or patterns.")],
    as_json: Json = False,
    max_pixels: MaxPixels = 1_000_000_000,
) -> None:
    """Say what noise is in pictures: its kind, its level, and the model that fits."""
    from unnoise import estimation, image_io, pipeline

    jobs, failed = pipeline.plan(paths), 0
    for job in jobs:
        try:
            report = estimation.inspect(image_io.read(job.source, max_pixels=max_pixels).pixels)
        except UnnoiseError as error:
            failed += 1
            _complain(error)
            continue
        levels = {field.name: getattr(report, field.name) for field in dataclasses.fields(report)}
        if as_json:
            typer.echo(json.dumps({"path": str(job.source), **levels}))
        else:
            typer.echo(f"{job.source}: {report}")
    if failed:
        raise typer.Exit(1 if failed < len(jobs) else 2)


@app.command()
def add(
    noise: Annotated[str, typer.Argument(help="Noise spec, such as 'poisson:30 + gaussian:10'.")],
    path: Annotated[Path, typer.Argument(help="The picture.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The noisy picture.")],
    seed: Annotated[int, typer.Option(help="The same seed gives the same noise.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Put noise into a picture."""
    from unnoise import image_io, noise as noises

    made = noises.make(noise)
    image_io.check_target(out, overwrite=overwrite)
    picture = image_io.read(path)
    if reason := image_io.cannot_hold(picture, out.suffix):
        raise UnnoiseError(f"{path}: {reason}")
    picture.with_pixels(made(picture.pixels, seed)).save(out, overwrite=overwrite)


@app.command()
def models(as_json: Json = False) -> None:
    """List the models that travel inside the package, and the classical filters."""
    from unnoise import denoisers
    from unnoise.denoisers.onnx import Onnx

    cards = [Onnx(path).card for path in denoisers.shipped().values()]
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(card) for card in cards]))
        return
    for card in cards:
        typer.echo(f"{card.name}: {card.summary}\n  network  {card.network}\n  trained  {card.trained}")
        typer.echo(f"  data     {card.terms}")
        for label, value in card.scores.items():
            typer.echo(f"  {value:.2f} dB  {label}")
    typer.echo(f"classical filters: {', '.join(denoisers.DENOISERS)}")


@app.command()
def evaluate(
    model: Annotated[list[str], typer.Argument(help="Models, classical filters, or model files.")],
    data: Annotated[str, typer.Option(help="Dataset spec, such as images:FOLDER.")],
    noise: Annotated[
        list[str] | None, typer.Option(help="Noise specs; several may follow the option. Pairs need none.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the noise.")] = 0,
    blind: Annotated[bool, typer.Option("--blind", help="Do not tell the models the noise level.")] = False,
    as_json: Json = False,
) -> None:
    """Measure models on the same noisy pictures: a row per noise and model."""
    from unnoise import datasets, denoisers, evaluation, noise as noises, report

    opened = {one: denoisers.make(one) for one in model}
    made = [noises.make(spec) for spec in noise or []] or [None]
    dataset = datasets.make(data)
    rows = []
    with _status() as say:
        measured = evaluation.evaluate(opened, dataset, made, data=data, seed=seed, blind=blind, progress=say)
        for row in measured:
            rows.append(row)
            if as_json:
                typer.echo(json.dumps(dataclasses.asdict(row)))
    if not as_json:
        typer.echo(report.markdown(rows, decimals={"ssim": 4}))


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe, YAML or JSON.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Changes, such as train.steps=5000.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the run; runs/NAME by default.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run was broken off.")] = False,
) -> None:
    """Train a network from a recipe."""
    from unnoise.optional import need

    need("torch", extra="train")
    from unnoise import recipe as recipes, training

    changes = dict(_key_and_value(text) for text in overrides or [])
    loaded = recipes.load(recipe, changes)
    with _training_bar() as watch:
        typer.echo(training.train(loaded, out, resume=resume, watch=watch))


@app.command()
def export(
    model: Annotated[Path, typer.Argument(help="A .safetensors model.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The .onnx file; beside the model by default.")
    ] = None,
) -> None:
    """Write a trained model as ONNX, checked against the original."""
    from unnoise.optional import need

    need("torch", extra="train")
    from unnoise import export as exporting

    typer.echo(exporting.export(model, out))


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder for the pictures.")] = Path("unnoise-demo"),
    sigma: Annotated[float, typer.Option(min=0, help="Level of the noise that is added, 8-bit units.")] = 25.0,
    overwrite: Overwrite = False,
) -> None:
    """Make a noisy photograph, clean it, and write noisy, clean and both side by side."""
    from skimage import data

    from unnoise import api, image_io, metrics, pipeline, report

    truth = data.chelsea()
    noisy = image_io.from_array(api.add_noise(truth, f"gaussian:{sigma} + clip"))
    pipeline.make_folder(out)
    cleaned = api.denoise(noisy)
    pixels = image_io.from_array(truth).pixels
    pictures = {
        f"{name}, {metrics.psnr(pixels, one.pixels):.2f} dB": one.pixels
        for name, one in (("noisy", noisy), ("unnoise", cleaned))
    }
    sheet = report.side_by_side({**pictures, "original (Chelsea, scikit-image)": pixels})
    comparison = image_io.from_array((sheet * 255).round().astype("uint8"))
    for name, picture in (("noisy", noisy), ("clean", cleaned), ("comparison", comparison)):
        picture.save(out / f"{name}.png", overwrite=overwrite)
        typer.echo(out / f"{name}.png")
    typer.echo(", ".join(pictures))


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if debug := "--debug" in words[:1]:
        words.pop(0)
    if words[:1] == ["--version"]:
        typer.echo(f"unnoise {__version__}")
        sys.exit(0)
    command = typer.main.get_command(app)
    verbs = command.commands  # type: ignore[attr-defined]
    if words and words[0] not in verbs and words[0] not in ("--help", "-h"):
        words.insert(0, "clean")
    try:
        status = command.main(_spread(words), prog_name="unnoise", standalone_mode=False)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if debug:
            raise
        _complain(_one_line(error))
        sys.exit(2)
    sys.exit(status if isinstance(status, int) else 0)


def _spread(words: list[str]) -> list[str]:
    """Let several values follow one `--noise`: each gets the option's name before it."""
    spread: list[str] = []
    repeating = False
    for word in words:
        if word.startswith("-") and word != "-":
            repeating = False
            if word == "--noise":
                repeating = True
                continue
        elif repeating:
            spread.append("--noise")
        spread.append(word)
    return spread


def _one_line(error: Exception) -> str:
    """Tell any error in one line; one that nobody foresaw is told as ours."""
    if hasattr(error, "format_message"):  # the parser's: an unknown option, a missing argument
        text = error.format_message()  # type: ignore[attr-defined]
    elif isinstance(error, UnnoiseError):
        text = str(error)
    elif isinstance(error, MemoryError):
        text = "out of memory: the picture is too large for this machine"
    else:
        text = f"{type(error).__name__}: {error} (nobody foresaw this; unnoise --debug ... shows where it happened)"
    return " ".join(text.split())


def _complain(text: str) -> None:
    typer.echo(f"unnoise: {text}", err=True)


def _key_and_value(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not (key and separator):
        raise UnnoiseError(f"'{text}' changes nothing: write key=value, such as train.steps=5000")
    return key, value


def _clean_pipe(settings: Any, out: Path | None) -> None:
    """Clean the picture on standard input; it leaves by standard output, of the same kind, or into a file."""
    from unnoise import image_io, pipeline

    data = sys.stdin.buffer.read()
    suffix = out.suffix if out else pipeline.writable(image_io.suffix_of(data))
    picture = image_io.read(data, max_pixels=settings.max_pixels)
    if reason := image_io.cannot_hold(picture, suffix):
        raise UnnoiseError(reason)
    picture, _ = pipeline.clean_picture(picture, settings)
    if out:
        picture.save(out, overwrite=settings.overwrite, quality=settings.quality)
    else:
        sys.stdout.buffer.write(image_io.encode(picture, suffix, quality=settings.quality))


def _tell(outcome: Any, *, as_json: bool) -> None:
    """Print what became of one file: where it went, or the error."""
    level = None if outcome.sigma is None else round(outcome.sigma * 255, 2)
    if as_json:
        paths = {"source": str(outcome.job.source), "target": str(outcome.job.target)}
        numbers = {"sigma": level, "megapixels": round(outcome.megapixels, 3), "seconds": round(outcome.seconds, 3)}
        typer.echo(json.dumps({**paths, "error": outcome.error, **numbers}))
    if outcome.error:
        _complain(outcome.error)
    elif not as_json:
        typer.echo(outcome.job.target)


@contextlib.contextmanager
def _bar(files: int) -> Iterator[Any]:
    """Show a bar over the files on a terminal, and nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda name, share, done=None: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar, before = progress.add_task("", total=files), 0

        def advance(name: str, share: float, done: int | None = None) -> None:
            nonlocal before
            before = before if done is None else done
            progress.update(bar, description=name, completed=before if done is not None else before + share)

        yield advance


@contextlib.contextmanager
def _status() -> Iterator[Any]:
    """Show the line that was said last on a terminal, and nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    from rich.console import Console

    with Console(stderr=True).status("") as status:
        yield status.update


@contextlib.contextmanager
def _training_bar() -> Iterator[Any]:
    """Show a bar with loss, PSNR and time left on a terminal; elsewhere a line for every validation."""
    if not sys.stderr.isatty():
        yield (
            lambda look: typer.echo(f"step {look.step}: {_numbers(look.values)}", err=True) if look.validated else None
        )
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("{task.fields[left]}"))
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("", total=1.0, left="")

        def watch(look: Any) -> None:
            shown = _numbers({key: look.values[key] for key in ("loss", "psnr") if key in look.values})
            left = f"{look.seconds_left / 60:.0f} min left"
            progress.update(bar, completed=look.share, description=f"step {look.step}: {shown}", left=left)
            if look.validated:
                progress.console.print(f"step {look.step}: {_numbers(look.values)}", highlight=False)

        yield watch


def _numbers(values: dict[str, float]) -> str:
    return ", ".join(f"{key} {value:.4g}" for key, value in values.items())
