"""Parts shared by the benchmarks: command line, data, scores, timing, trained models."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from unnoise import io, noise
from unnoise.datasets.base import Dataset, as_float
from unnoise.denoisers.base import Denoiser
from unnoise.errors import UnnoiseError
from unnoise.evaluation.benchmark import noisy_pairs
from unnoise.evaluation.metrics import psnr
from unnoise.pipeline import process

if TYPE_CHECKING:
    from unnoise.training.recipe import Recipe

ROOT = Path(__file__).resolve().parents[1]
"""The root of the repository."""
UNNOISE = (sys.executable, "-m", "unnoise")
"""The `unnoise` command, run by this interpreter."""
MAX_PSNR = 60.0
"""Upper limit of `capped_psnr` in dB: keeps means finite where an image is returned unchanged."""

T = TypeVar("T")
Pairs = list[tuple[np.ndarray, np.ndarray]]
"""Noisy and clean images, float32 `[H, W, C]`."""


def parser(description: str | None, *, data: bool = False) -> argparse.ArgumentParser:
    """Return a parser that prints the module's docstring with its line breaks.

    Args:
        description: `__doc__` of the script.
        data: whether to add `--data`, the folder of the image sets.
    """
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if data:
        result.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the image sets")
    return result


def run(main: Callable[[], None]) -> None:
    """Call the main function of a script; an `UnnoiseError` ends it with one line and status 1."""
    try:
        main()
    except UnnoiseError as error:
        sys.exit(str(error))


def clean_image(dataset: Dataset, index: int) -> np.ndarray:
    """Return an image of a dataset without pairs, float32 `[H, W, C]`."""
    item = dataset[index]
    if isinstance(item, tuple):
        raise UnnoiseError("a dataset of clean images is needed, not of pairs")
    return as_float(item)


def pairs(dataset: Dataset, model: noise.Noise | None = None) -> Pairs:
    """Return all pairs of a dataset, or its clean images with noise added."""
    return [(noisy, clean) for noisy, clean, _ in noisy_pairs(dataset, model)]


def center_crop(image: np.ndarray, side: int) -> np.ndarray:
    """Return the central `side` x `side` pixels of `[H, W, C]`, or fewer where the image is smaller."""
    top, left = (max(length - side, 0) // 2 for length in image.shape[:2])
    return image[top : top + side, left : left + side]


def file_noise(spec: str) -> noise.Noise:
    """Return a noise as an 8-bit file stores it, clipped and quantized."""
    return noise.make(f"{spec} + clip + quantize:8")


def denoise_blind(denoiser: Denoiser, noisy: np.ndarray) -> np.ndarray:
    """Denoise an image with the model and the sigma that the denoiser selects for it."""
    model, sigma = denoiser.resolve(noisy)
    return process.denoise_array(model, noisy, sigma)


def capped_psnr(clean: np.ndarray, image: np.ndarray) -> float:
    """Return the PSNR in dB, at most `MAX_PSNR`."""
    return min(psnr(clean, image), MAX_PSNR)


def save_image(pixels: np.ndarray, path: Path, *, quality: int | None = None) -> None:
    """Write an image in [0, 1] with 8 bits, replacing an existing file."""
    samples = np.rint(255 * np.clip(pixels, 0, 1)).astype(np.uint8)
    io.from_array(samples).save(path, overwrite=True, quality=quality)


def timed(function: Callable[..., T], *arguments: object) -> tuple[float, T]:
    """Return the seconds that a call takes, and its result."""
    start = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - start, result


def best_times(functions: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the shortest time of each function in seconds; the functions take turns."""
    rounds = [{name: timed(function)[0] for name, function in functions.items()} for _ in range(repeats)]
    return {name: min(times[name] for times in rounds) for name in functions}


def train_once(recipe: Recipe, folder: Path, *, clock: Callable[[], float] = time.monotonic) -> dict[str, Any]:
    """Train a recipe, or resume its training, unless the folder holds a finished one; return the last log entry."""
    from unnoise.training import run_folder, trainer

    if not (folder / run_folder.LOSSES).exists():
        trainer.train(recipe, folder, resume=True, clock=clock)
    return json.loads((folder / run_folder.LOG).read_text(encoding="utf-8").splitlines()[-1])
