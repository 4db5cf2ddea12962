"""`unnoise inspect`, `add` and `models`: what is in an image, and what is in the package."""

from __future__ import annotations

import dataclasses
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unnoise.cli.console import print_error, print_line
from unnoise.cli.options import Json, MaxPixels, Overwrite, Seed, ValueRange, as_line, finish
from unnoise.errors import UnnoiseError

if TYPE_CHECKING:
    from unnoise.denoisers.model_card import Card


def inspect(
    paths: Annotated[list[str], typer.Argument(help="Files, folders or glob patterns.")],
    as_json: Json = False,
    value_range: ValueRange = None,
    noise_map: Annotated[
        Path | None,
        typer.Option(
            "--map", metavar="FILE", help="Write a .png map of the noise level of one image, bright is noisy."
        ),
    ] = None,
    overwrite: Overwrite = False,
    max_pixels: MaxPixels = 2**30,
) -> None:
    """Estimate the noise in images.

    Prints its kind, its level, and the suggested model; with --map, also the scale of the map.
    """
    from unnoise.pipeline import jobs, noise_maps
    from unnoise.units import FULL_SCALE

    files, failed = jobs.find(paths), 0
    if noise_map is not None:
        if len(files) != 1:
            raise UnnoiseError(f"--map takes one image, and here are {len(files)}: name one file")
        noise_maps.check(noise_map, overwrite=overwrite)
    for path in files:
        levels = None
        try:
            estimate = noise_maps.inspect_file(path, max_pixels=max_pixels, value_range=value_range)
            if noise_map is not None:
                levels = noise_maps.map_file(
                    path, noise_map, overwrite=overwrite, max_pixels=max_pixels, value_range=value_range
                )
        except UnnoiseError as error:
            failed += 1
            print_error(str(error))
            continue
        if not as_json:
            print_line(f"{path}: {estimate}")
            if levels is not None:
                print_line(f"{noise_map}: {levels}")
            continue
        row = {
            "path": str(path),
            "kind": estimate.kind,
            "sigma": round(FULL_SCALE * estimate.sigma, 2),
            "level": None if estimate.level is None else round(FULL_SCALE * estimate.level, 2),
            "correlation": None if estimate.correlation is None else round(estimate.correlation, 3),
            "impulses": round(estimate.impulses, 4),
            "model": estimate.model,
            "reason": estimate.explanation,
        }
        if levels is not None:
            row["map"] = {"path": str(noise_map), **levels.to_dict()}
        print_line(as_line(row))
    finish(failed, len(files))


def add(
    noise: Annotated[str, typer.Argument(help="Noise spec, such as 'poisson:30 + gaussian:10'; see unnoise list.")],
    path: Annotated[str, typer.Argument(help="Input image.")],
    out: Annotated[str, typer.Option("--out", "-o", help="Output file.")],
    seed: Seed = 0,
    value_range: ValueRange = None,
    overwrite: Overwrite = False,
    max_pixels: MaxPixels = 2**30,
) -> None:
    """Add synthetic noise to an image."""
    from unnoise import api, io, noise as noises

    noise_model, target = noises.make(noise), Path(out)
    io.check_target(target, overwrite=overwrite)
    picture = io.read(path, max_pixels=max_pixels)
    if reason := io.unsupported_reason(picture.header, target.suffix):
        raise UnnoiseError(f"{path}: {reason}")
    api.add_noise(picture, noise_model, seed=seed, value_range=value_range).save(target, overwrite=overwrite)
    print_line(target)


def models(
    name: Annotated[str | None, typer.Argument(help="A model, or a model file, whose card is printed.")] = None,
    as_json: Json = False,
) -> None:
    """List the bundled models and the classical filters.

    With NAME, print the whole card of a model: its training data, how it was trained, and its scores.
    """
    from unnoise import denoisers
    from unnoise.denoisers.onnx import Onnx

    files = {name: path for name, path in denoisers.bundled_files().items() if name != denoisers.ESTIMATOR}
    if name is not None:
        _print_card(name, as_json=as_json)
        return
    cards = {name: Onnx(path).card for name, path in files.items()}
    filters = {name: str(denoisers.DENOISERS.find(name).__doc__).partition("\n")[0] for name in denoisers.DENOISERS}
    if as_json:
        rows = [dataclasses.asdict(card) for card in cards.values()]
        print_line(as_line([*rows, *({"name": name, "summary": summary} for name, summary in filters.items())]))
        return
    sizes = {name: f"{files[name].stat().st_size / 1e6:.1f} MB" for name in cards}
    width = max(map(len, [*cards, *filters]))
    for name, summary in {**{name: card.summary for name, card in cards.items()}, **filters}.items():
        print_line(f"{name:{width}}  {sizes.get(name, ''):>6}  {summary}")


def _print_card(name: str, *, as_json: bool) -> None:
    """Print the card of a bundled model or a model file, or the arguments of a classical filter."""
    from unnoise import denoisers
    from unnoise.cli import list as listing

    if name in denoisers.DENOISERS:
        member = denoisers.DENOISERS.describe(name)
        print_line(as_line(listing.as_row("denoisers", member)) if as_json else f"{member.spec}\n{member.summary}")
        return
    card = _read_card(denoisers.bundled_files().get(name, Path(name)))
    print_line(as_line(dataclasses.asdict(card)) if as_json else _card_text(card))


def _read_card(path: Path) -> Card:
    from unnoise import denoisers
    from unnoise.denoisers.onnx import Onnx
    from unnoise.optional import require
    from unnoise.spec import unknown

    if path.suffix.lower() in denoisers.TORCH_FILES:
        require("torch", extra="train")
        from unnoise.denoisers import pytorch

        return pytorch.load(path)[1]
    if path.suffix != ".onnx":
        raise UnnoiseError(unknown("model", str(path), [*denoisers.bundled_models(), *denoisers.DENOISERS]))
    return Onnx(path).card


def _card_text(card: Card) -> str:
    """Format a model card: one field per line, long ones wrapped and indented."""
    scores = "\n".join(f"{score:.2f} dB on {label}" for label, score in card.scores.items())
    fields = {
        "name": card.name,
        "summary": card.summary,
        "network": card.network,
        "channels": str(card.channels),
        "trained on": f"{card.noise or 'pairs'} ({card.task})" if card.task else "not stated in the file",
        "training data": card.data_licence,
        "training": "\n".join(f"then {part}" if i else part for i, part in enumerate(card.trained.split(", then "))),
        "license": card.licence,
        "unnoise": card.version,
        "scores": scores,
    }
    lines: list[str] = []
    for label, text in fields.items():
        for number, line in enumerate(text.splitlines()):
            wrapped = textwrap.wrap(line, 100, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False)
            lines += [f"{'' if number or i else label:14} {piece}" for i, piece in enumerate(wrapped)]
    return "\n".join(lines)
