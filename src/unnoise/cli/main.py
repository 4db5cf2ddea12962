"""The command line: parse, call, print.

`unnoise PATH...` is the main job; every other verb is a word of its own. Errors are one line on stderr, without a
traceback unless `--debug` is given. Exit status: 0 all done, 1 some inputs failed (the others are done), 2 the call was
wrong or nothing could be done.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import io
import logging
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from unnoise._version import __version__
from unnoise.cli import calibrate, clean, serve, table
from unnoise.cli.clean import Engine, Ensemble, Json, MaxPixels, Overwrite, as_line, finish, with_address
from unnoise.cli.console import print_error, print_line
from unnoise.errors import UnnoiseError, one_line

if TYPE_CHECKING:
    from unnoise.noise import Noise
    from unnoise.training.state import ProgressEvent

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
app.add_typer(table.app, name="table")

log = logging.getLogger(__name__)


def _say_version(asked: bool) -> None:
    if asked:
        print_line(f"unnoise {__version__}")
        raise typer.Exit


@app.callback()
def unnoise(
    version: Annotated[bool, typer.Option("--version", help="Show the version.", callback=_say_version)] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error happened; goes with every verb.")] = False,
) -> None:
    """Take noise out of pictures.

    The main job needs no verb: unnoise PATH... [-o OUT]; its options are in unnoise clean --help.
    """


app.command()(clean.clean)
app.command()(calibrate.calibrate)
app.command()(serve.serve)


@app.command()
def inspect(
    paths: Annotated[list[str], typer.Argument(help="Files, folders or patterns.")],
    as_json: Json = False,
    max_pixels: MaxPixels = 2**30,
) -> None:
    """Say what noise is in pictures: its kind, its level, and the model that fits."""
    from unnoise import api, io as image_io
    from unnoise.pipeline import jobs
    from unnoise.units import FULL_SCALE

    found, failed = jobs.find(paths), 0
    for path in found:
        try:
            report = api.inspect(image_io.read(path, max_pixels=max_pixels))
        except UnnoiseError as error:
            failed += 1
            print_error(str(error))
            continue
        if as_json:
            profile = [round(FULL_SCALE * level, 2) for level in report.profile]
            levels = {"sigma": round(FULL_SCALE * report.sigma, 2), "profile": profile}
            rest = {"impulses": round(report.impulses, 4), "model": report.model}
            print_line(as_line({"path": str(path), "kind": report.kind, **levels, **rest}))
        else:
            print_line(f"{path}: {report}")
    finish(failed, len(found))


@app.command()
def add(
    noise: Annotated[str, typer.Argument(help="Noise spec, such as 'poisson:30 + gaussian:10'.")],
    path: Annotated[str, typer.Argument(help="The picture.")],
    out: Annotated[str, typer.Option("--out", "-o", help="The noisy picture.")],
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same noise.")] = 0,
    overwrite: Overwrite = False,
    max_pixels: MaxPixels = 2**30,
) -> None:
    """Put noise into a picture."""
    from unnoise import io as image_io, noise as noises

    made, target = noises.make(noise), Path(out)
    image_io.check_target(target, overwrite=overwrite)
    picture = image_io.read(path, max_pixels=max_pixels)
    if reason := image_io.cannot_hold(picture, target.suffix):
        raise UnnoiseError(f"{path}: {reason}")
    picture.with_pixels(made(picture.pixels, seed)).save(target, overwrite=overwrite)
    print_line(target)


@app.command()
def models(as_json: Json = False) -> None:
    """List the shipped models and the filters."""
    from unnoise import denoisers
    from unnoise.denoisers.onnx import Onnx

    cards = [Onnx(path).card for path in denoisers.bundled_models().values()]
    filters = {name: str(denoisers.DENOISERS.find(name).__doc__).partition("\n")[0] for name in denoisers.DENOISERS}
    if as_json:
        print_line(as_line([*map(dataclasses.asdict, cards), *({"name": n, "summary": s} for n, s in filters.items())]))
        return
    lines: list[tuple[str, str]] = []
    for card in cards:
        scores = [f"{score:.2f} dB on {label}" for label, score in card.scores.items()]
        facts = (card.network, f"learned from {card.noise}", card.trained, card.terms, *scores)
        lines += [(card.name, card.summary), *(("", fact) for fact in facts if fact)]
    lines += filters.items()
    width = max(len(name) for name, _ in lines)
    for name, text in lines:
        print_line(f"{name:{width}}  {' '.join(text.split())}")


@app.command()
def evaluate(
    model: Annotated[list[str], typer.Argument(help="Models, auto, classical filters, or model files.")],
    data: Annotated[str | None, typer.Option(help="Dataset spec, such as images:FOLDER.")] = None,
    noise: Annotated[list[str] | None, typer.Option(help="Noise specs, several may follow; none for pairs.")] = None,
    noisy: Annotated[
        str | None, typer.Option("--self", help="Folder of noisy pictures, to rank without truth.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the noise.")] = 0,
    blind: Annotated[bool, typer.Option("--blind", help="Do not tell the models the noise level.")] = False,
    ensemble: Ensemble = False,
    engine: Engine = None,
    curve: Annotated[Path | None, typer.Option(help="PNG file to draw PSNR over the levels of the noises in.")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Measure models on the same noisy pictures.

    A row per noise and model.
    """
    from unnoise import datasets, denoisers, noise as noises
    from unnoise.cli import console
    from unnoise.evaluation import benchmark, report

    if noisy is not None:
        if data or noise or curve:
            raise UnnoiseError("--self takes noisy pictures as they are: leave out --data, --noise and --curve")
    elif data is None:
        raise UnnoiseError("name the pictures: --data images:FOLDER of clean ones, or --self FOLDER of noisy ones")
    opened = {one: denoisers.make(one, ensemble=ensemble, engine=engine) for one in model}
    if noisy is not None:
        _rank(opened, noisy, seed=seed, blind=blind, as_json=as_json)
        return
    assert data is not None
    made = [noises.make(spec) for spec in noise or []] or [None]
    levels = _check_curve(curve, made, overwrite=overwrite) if curve else []
    dataset = datasets.make(data)
    rows = []
    with console.line() as show:
        measured = benchmark.evaluate(opened, dataset, made, data=data, seed=seed, blind=blind, progress=show)
        for row in measured:
            rows.append(row)
            if as_json:
                print_line(as_line(dataclasses.asdict(row)))
    if not as_json:
        print_line(report.markdown(rows, decimals={"ssim": 4}))
    if curve:
        report.draw_curves(benchmark.curves(rows, levels), curve, x="noise level sigma, 8-bit units", y="PSNR, dB")


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe, YAML or JSON, or a config.json.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Changes, such as train.steps=5000.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the run; runs/NAME by default.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run was broken off.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check it all, say what would be run, and stop.")] = False,
) -> None:
    """Train a network from a recipe.

    For noisy pictures of your own: recipes/own_pictures.yaml data.train=images:FOLDER. With train.devices=N, N
    processes share the work; torchrun and SLURM begin it on several machines. A config.json of the restoration
    framework is shown as the recipe that it becomes; where its mode is test, the model that it loads is measured
    instead.
    """
    from unnoise.cli import console
    from unnoise.optional import require

    require("torch", extra="train")
    from unnoise.training import distributed, recipe as recipes, trainer

    changes = dict(_key_and_value(text) for text in overrides or [])
    loaded = recipes.load(recipe, changes)
    device = None
    if job := recipes.read_config(recipe, changes):
        if job.mode == "test":
            _measure(recipe, changes)
            return
        device, out = job.device, out or (Path(job.folder) if job.folder else None)
        if distributed.is_rank_zero():
            print_line(recipes.dump(loaded))
    if dry_run:
        for line in trainer.check(loaded):
            print_line(line)
        return
    about = [loaded.name, loaded.summary, loaded.task, loaded.network, loaded.train.length]
    watching = console.over_training() if distributed.is_rank_zero() else contextlib.nullcontext(lambda look: None)
    with watching as watch:

        def shown(look: ProgressEvent) -> None:
            if about and distributed.is_rank_zero():  # at the first look, when nothing was wrong with the recipe
                console.print_note("; ".join(filter(None, about)))
                about.clear()
            watch(look)

        model = trainer.train(loaded, out, resume=resume, device=device, on_progress=shown)
    if distributed.is_rank_zero():
        print_line(model)


@app.command()
def export(
    model: Annotated[Path, typer.Argument(help="A .safetensors model.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The file; beside the model by default.")] = None,
    scores: Annotated[Path | None, typer.Option(help="Rows of evaluate --json, to put on the model's card.")] = None,
    half: Annotated[
        bool, typer.Option("--half", help="Round the weights of both files to 16 bits: half as large.")
    ] = False,
) -> None:
    """Write a trained model as ONNX.

    The file is checked against the original.
    """
    from unnoise.optional import require

    require("torch", extra="train")
    from unnoise.evaluation import benchmark
    from unnoise.training import export as exporting

    measured = benchmark.read_scores(scores) if scores else None
    print_line(exporting.export(model, out, scores=measured, half=half))


@app.command()
def quantize(
    model: Annotated[Path, typer.Argument(help="An .onnx model.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file, named as the new model is to be.")],
    data: Annotated[str, typer.Option(help="Dataset spec of clean pictures, such as images:FOLDER.")],
    scores: Annotated[Path | None, typer.Option(help="Rows of evaluate --json, to put on the model's card.")] = None,
) -> None:
    """Write an ONNX model with 8-bit integers inside: smaller, faster, and hardly worse.

    Features are scaled by what they reach on the pictures with the noise that the model learned. Refused if it loses
    more than a tenth of a dB.
    """
    from unnoise.optional import require

    require("onnx", extra="train")
    from unnoise import datasets, denoisers
    from unnoise.evaluation import benchmark
    from unnoise.training import quantization

    pictures = datasets.make(data, channels=denoisers.make(model).channels)
    measured = benchmark.read_scores(scores) if scores else None
    print_line(f"{out}: {quantization.quantize(model, out, pictures, scores=measured):.3f} dB lost")


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder for the pictures.")] = Path("unnoise-demo"),
    sigma: Annotated[float, typer.Option(min=0, help="Level of the noise that is added, 8-bit units.")] = 25.0,
    overwrite: Overwrite = False,
) -> None:
    """Make a noisy photograph and clean it.

    Writes noisy, clean, and both beside the original.
    """
    from unnoise.cli import demo as demonstration

    for path, caption in demonstration.make(out, sigma=sigma, overwrite=overwrite).items():
        print_line(f"{path}: {caption}")


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if "--debug" in words:
        words.remove("--debug")
        logging.basicConfig(level=logging.WARNING)
        logging.getLogger("unnoise").setLevel(logging.DEBUG)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")  # names of files need not be text
    command: Any = typer.main.get_command(app)
    try:
        asked = _with_verb(_spread(with_address(words)), command.commands) if words else ["--help"]
        status = command.main(asked, prog_name="unnoise", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except Exception as error:
        log.debug("", exc_info=True)
        print_error(_parser_line(error) if hasattr(error, "format_message") else one_line(error))
        sys.exit(2)
    sys.exit((status or 0) if words else 2)


def _with_verb(words: list[str], verbs: Collection[str]) -> list[str]:
    """Put the verb of the main job before words that begin with none; one that is nearly a verb is an error."""
    first = words[0]
    if first in (*verbs, "--help", "--version"):
        return words
    near = difflib.get_close_matches(first, [*verbs, "--help", "--version"], n=1)
    if near and first.isalpha() and not Path(first).exists():
        raise UnnoiseError(f"no file, folder or verb '{first}': did you mean unnoise {near[0]}?")
    return ["clean", *words]


def _spread(words: list[str]) -> list[str]:
    """Let several values follow one `--noise` or `--dark`: each gets the option's name before it."""
    spread: list[str] = []
    repeating = ""
    for word in words:
        if word.startswith("-") and word != "-":
            repeating = word if word in ("--noise", "--dark") else ""
            if repeating:
                continue
        elif repeating:
            spread.append(repeating)
        spread.append(word)
    return spread


def _parser_line(error: Any) -> str:
    """Tell an error of the parser, such as an unknown option, with the page that lists what there is."""
    context = getattr(error, "ctx", None)
    text = " ".join(error.format_message().split()).rstrip(".")
    return f"{text}; see {context.command_path if context else 'unnoise'} --help"


def _key_and_value(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not (key and separator):
        raise UnnoiseError(f"'{text}' changes nothing: write key=value, such as train.steps=5000")
    return key, value


def _check_curve(target: Path, noises: Sequence[Noise | None], *, overwrite: bool) -> list[float]:
    """Return the levels to draw over, or say before the work why nothing can be drawn."""
    from unnoise import io as image_io
    from unnoise.evaluation import benchmark
    from unnoise.optional import require

    levels = benchmark.levels(noises)
    if target.suffix.lower() != ".png":
        raise UnnoiseError(f"{target}: a curve is drawn in a .png file")
    image_io.check_target(target, overwrite=overwrite)
    require("matplotlib", extra="train")
    return levels


def _rank(opened: dict[str, Any], folder: str, *, seed: int, blind: bool, as_json: bool) -> None:
    """Print what models make of noisy pictures, the best first."""
    from unnoise import datasets
    from unnoise.cli import console
    from unnoise.evaluation import no_reference, report

    data = folder if ":" in folder else f"images:{folder}"
    dataset = datasets.make(data)
    with console.line() as show:
        how = {"data": data, "seed": seed, "blind": blind, "progress": show, "skipped": console.print_note}
        rows = no_reference.rank_models(opened, dataset, **how)
    for row in rows if as_json else []:
        print_line(as_line(dataclasses.asdict(row)))
    if not as_json:
        print_line(report.markdown(rows))


def _measure(config: Path, changes: dict[str, str]) -> None:
    """Print how the model of a config.json does on the test part of its data."""
    from unnoise import api
    from unnoise.cli import console
    from unnoise.evaluation import report

    with console.line() as show:
        rows = api.measure(config, changes, progress=show)
    print_line(report.markdown(rows, decimals={"ssim": 4}))
