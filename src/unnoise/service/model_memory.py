"""The memory that a model takes, measured in a process of its own: for files of which nothing is known."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unnoise import denoisers, system
from unnoise.errors import UnnoiseError

UNKNOWN_PIXEL, UNKNOWN_OPENED = 8000.0, 800_000_000
"""What is assumed where the system does not tell the memory of a process; large published networks take as much."""

_SIDES = (128, 256)
"""Of the images that are denoised: small ones take more memory for each pixel than large ones."""
_QUICK = 2.0  # seconds for the first, beyond which its result is taken


@dataclass(frozen=True)
class ModelMemory:
    """What a model takes.

    Attributes:
        opened: bytes while it is open, with the libraries that it needs.
        pixel: bytes for each pixel that is denoised at once.
    """

    opened: int
    pixel: float


def measure(path: Path, engine: str | None) -> ModelMemory:
    """Open a model and denoise small images with it, in a new process.

    Args:
        path: the file.
        engine: as for `denoisers.make`.

    Raises:
        UnnoiseError: as `denoisers.make`, or the process ended, as it does when there is no memory left.
    """
    if system.resident_memory() is None:
        return ModelMemory(UNKNOWN_OPENED, UNKNOWN_PIXEL)
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            return process.submit(_measure, path, engine).result()
    except BrokenProcessPool as error:
        raise UnnoiseError(f"'{path}': the model cannot run here: its process ended, perhaps out of memory") from error


def _measure(path: Path, engine: str | None) -> ModelMemory:
    before = system.resident_memory() or 0
    denoiser = denoisers.make(path, engine=engine)
    opened = (system.resident_memory() or 0) - before
    pixel, sigma = 0.0, 0.1 if denoiser.wants_sigma else None
    for side in (denoiser.multiple_of, *_SIDES):
        side += -side % denoiser.multiple_of
        image = np.random.default_rng(0).random((side, side, denoiser.channels or 3), dtype=np.float32)
        system.trim_memory()
        held, start = system.resident_memory() or 0, time.perf_counter()
        system.restart_peak()
        denoiser.run(image, sigma)
        pixel = ((system.resident_memory(peak=True) or 0) - held) / side**2
        if side >= _SIDES[0] and time.perf_counter() - start > _QUICK:
            break
    return ModelMemory(opened, pixel)
