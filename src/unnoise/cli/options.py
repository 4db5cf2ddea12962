"""Options that several commands share, and how a command ends."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON, one document per line.")]
ValueRange = Annotated[
    tuple[float, float] | None,
    typer.Option("--range", metavar="LOW HIGH", help="Black and white, in the values of the file. Default: estimated."),
]
MaxPixels = Annotated[int, typer.Option(help="Reject images with more pixels, all pages together.")]
Engine = Annotated[
    str | None,
    typer.Option(help="Inference engine: onnx, openvino or torch. Default: the fastest one that is installed."),
]
Ensemble = Annotated[
    bool, typer.Option("--ensemble", help="Average over 8 flips and rotations: about 0.1 dB better at 8x the cost.")
]
Ray = Annotated[
    str | None,
    typer.Option(
        metavar="[ADDRESS]",
        help="Run on a Ray cluster: HOST:PORT, auto or local. Default: RAY_ADDRESS if it is set, else local.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing output files.")]
Seed = Annotated[int, typer.Option(min=0, help="Random seed.")]


def with_address(words: list[str]) -> list[str]:
    """Let `--ray` stand without an address: insert an empty one where none follows."""
    spread: list[str] = []
    for word, following in zip(words, [*words[1:], ""], strict=True):
        spread.append(word)
        if word == "--ray" and not _is_address(following):
            spread.append("")
    return spread


def _is_address(word: str) -> bool:
    host, _, port = word.removeprefix("ray://").rpartition(":")
    return word in ("auto", "local") or bool(host and port.isdigit())


def finish(failed: int, total: int) -> None:
    """Exit with status 1 if some inputs failed, with 2 if all of them did."""
    if failed:
        raise typer.Exit(1 if failed < total else 2)


def as_line(value: Any) -> str:
    """Serialize to one line of JSON; NaN and infinity, which JSON does not have, become null."""
    return json.dumps(json.loads(json.dumps(value), parse_constant=lambda _: None))
