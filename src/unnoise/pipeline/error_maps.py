"""A clean picture, and beside it a map of the error to be expected at each pixel."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unnoise import io
from unnoise.denoisers import uncertainty
from unnoise.errors import UnnoiseError
from unnoise.io import Picture
from unnoise.io.paths import check_target, make_folder
from unnoise.io.picture import white_level
from unnoise.noise import estimation
from unnoise.pipeline import process
from unnoise.pipeline.jobs import Job
from unnoise.pipeline.process import DenoiseOptions, JobResult
from unnoise.units import FULL_SCALE

SUFFIXES = (".tif", ".tiff", ".png")
"""Of maps: TIFF holds 8-bit units as floats, PNG a 257th of one as 16-bit integers, so that white is 255."""


def check(target: Path, settings: DenoiseOptions) -> None:
    """Refuse, before the work, a map that cannot be made.

    Raises:
        UnnoiseError: it has another suffix, stands in the way of a file, or a strength is asked for.
    """
    if target.suffix.lower() not in SUFFIXES:
        raise UnnoiseError(f"{target}: a map of the error is a .tif file, of floats, or a .png file")
    if settings.strength != 1:
        raise UnnoiseError("an error map describes the model's own result: strength must be 1")
    io.check_target(target, overwrite=settings.overwrite)


def clean_file(
    job: Job, settings: DenoiseOptions, target: Path, progress: Callable[[float], None] = lambda _: None
) -> tuple[JobResult, str]:
    """Clean one file, held in memory as a whole, and write its map.

    Args:
        job: the file and its target.
        settings: what is asked.
        target: the map, of one channel; pages lie in it below each other.
        progress: called with the share that is done.

    Returns:
        What became of it, and what makes the map less sure, "" for nothing.

    Raises:
        UnnoiseError: as `check` and `pipeline.clean_file`.
    """
    start = time.perf_counter()
    check(target, settings)
    check_target(job.target, overwrite=settings.overwrite, make_parents=True)
    picture = io.read(job.source, max_pixels=settings.max_pixels)
    if why_not := io.unsupported_reason(picture.header, job.target.suffix):
        raise UnnoiseError(f"{job.source}: {why_not}")
    made = clean_picture(picture, settings, progress)
    as_picture(made.error, target.suffix).save(target, overwrite=settings.overwrite)
    make_folder(job.target.parent)
    made.clean.save(job.target, overwrite=settings.overwrite, quality=settings.quality)
    size, seconds = picture.header.height * picture.header.width / 1e6, time.perf_counter() - start
    return JobResult(job, None, made.model, made.sigma, size, seconds), made.doubt


_OTHER = ("signal-dependent", "correlated", "impulse", "mixed")


@dataclass(frozen=True)
class Mapped:
    """A clean picture, and the error to be expected in it.

    Attributes:
        clean: the picture.
        error: as `uncertainty.of`, pages below each other.
        model: what it was cleaned by.
        sigma: the level that this was told, a share of white; None where it takes none.
        doubt: why the scale of the error is not to be relied on, one line; "" where it is.
    """

    clean: Picture
    error: np.ndarray
    model: str
    sigma: float | None
    doubt: str


def clean_picture(
    picture: Picture, settings: DenoiseOptions, progress: Callable[[float], None] = lambda _: None
) -> Mapped:
    """Clean one picture, at strength 1, and tell the error to be expected."""
    white = np.float32(white_level(picture.pixels, picture.dtype))
    noisy = picture.pixels / white
    denoiser, told = settings.denoiser.resolve(noisy, settings.sigma)
    found = estimation.estimate_noise(noisy[:, :, :3])
    doubtful = found.kind in _OTHER and denoiser.signal_noise is None
    level = found.sigma if told is None else float(np.mean(told))
    clean, maps = [], []
    for page in np.split(noisy, picture.header.pages):
        clean.append(process.denoise_array(denoiser, page, told, progress=progress))
        maps.append(uncertainty.estimate_error(denoiser, page, clean[-1], level))
    made = picture if settings.is_noop(told) else picture.with_pixels(np.concatenate(clean) * white)
    doubt = f"the map is calibrated for white noise, and this looks {found.kind}" if doubtful else ""
    return Mapped(made, np.concatenate(maps), str(denoiser), None if told is None else level, doubt)


def as_picture(found: np.ndarray, suffix: str) -> Picture:
    """Return a map in 8-bit units as a picture of one channel."""
    if suffix.lower() != ".png":
        return io.from_array(found)
    return io.from_array(np.rint(np.clip(found / FULL_SCALE, 0, 1) * 65535).astype(np.uint16))
