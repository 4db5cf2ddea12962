"""`unnoise calibrate FLAT... --dark DARK...`: measure the noise of a camera."""

from __future__ import annotations

from typing import Annotated

import typer

from unnoise.cli.console import print_line, print_note
from unnoise.cli.options import Json, MaxPixels, as_line
from unnoise.errors import UnnoiseError


def calibrate(
    flats: Annotated[
        list[str], typer.Argument(help="Raw flat frames, two or more per exposure; or a single raw image.")
    ],
    dark: Annotated[list[str] | None, typer.Option(help="One or more dark frames.")] = None,
    as_json: Json = False,
    max_pixels: MaxPixels = 2**30,
) -> None:
    """Measure the noise of a camera.

    Prints it as a noise spec for add, train and evaluate. Gain, read noise and row noise are measured from raw flat
    and dark frames, or gain and read noise alone from a single image. Standard error shows the values in counts and
    electrons.
    """
    from unnoise import denoisers
    from unnoise.noise import calibration
    from unnoise.pipeline import jobs

    frames = list(jobs.find(flats))
    if dark:
        result = calibration.calibrate(frames, list(jobs.find(dark)), max_pixels=max_pixels)
    elif len(frames) == 1:
        result = calibration.blind(frames[0], max_pixels=max_pixels, estimate_noise=denoisers.estimate_noise)
    else:
        raise UnnoiseError("flat frames need dark frames: add --dark DARK..., or give a single image")
    for doubt in result.doubts:
        print_note(doubt)
    if not as_json:
        print_note(str(result))
        print_line(result.noise)
        return
    row = {
        "noise": str(result.noise),
        "counts_per_electron": result.counts_per_electron,
        "black": result.black,
        "read": result.read,
        "rows": result.rows,
        "frames": result.frames,
        "doubts": result.doubts,
    }
    print_line(as_line(row))
