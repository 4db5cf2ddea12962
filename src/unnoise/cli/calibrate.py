"""The command line of calibration: `unnoise calibrate FLAT... --dark DARK...`."""

from __future__ import annotations

from typing import Annotated

import typer

from unnoise.cli.clean import Json, MaxPixels, as_line
from unnoise.cli.console import print_line, print_note
from unnoise.errors import UnnoiseError


def calibrate(
    flats: Annotated[list[str], typer.Argument(help="Flat frames, two or more of each exposure; or one picture.")],
    dark: Annotated[list[str] | None, typer.Option(help="Frames without light, several may follow.")] = None,
    as_json: Json = False,
    max_pixels: MaxPixels = 2**30,
) -> None:
    """Measure the noise of a camera, and print it as a noise spec for add, train and evaluate.

    Gain, read noise and row noise are found from raw flat and dark frames; or, without darks, gain and read noise from
    one picture alone. What they are in counts and electrons is told on standard error.
    """
    from unnoise.noise import calibration
    from unnoise.pipeline import jobs

    frames = list(jobs.find(flats))
    if dark:
        found = calibration.calibrate(frames, list(jobs.find(dark)), max_pixels=max_pixels)
    elif len(frames) == 1:
        found = calibration.blind(frames[0], max_pixels=max_pixels)
    else:
        raise UnnoiseError("flat frames need dark ones beside them, --dark DARK...; without, give one picture alone")
    for doubt in found.doubts:
        print_note(doubt)
    if as_json:
        fields = ("counts_per_electron", "black", "read", "rows", "frames", "doubts")
        print_line(as_line({"noise": str(found.noise), **{field: getattr(found, field) for field in fields}}))
    else:
        print_note(str(found))
        print_line(found.noise)
