"""Models x noises x pictures -> rows: what each model makes of the same noisy pixels.

Noise is seeded by (seed, index of the picture): every model meets the same noisy pixels, and no two pictures share a
noise field. Noisy pictures are not clipped unless the noise says so.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unnoise.datasets.base import Dataset, as_float
from unnoise.denoisers.base import Denoiser
from unnoise.errors import UnnoiseError
from unnoise.evaluation.metrics import psnr, ssim
from unnoise.noise import Noise
from unnoise.noise.base import Chain
from unnoise.units import to_8bit

ALL = slice(None)
MAX_PSNR = 100.0
"""PSNR, in dB, that a cleaned picture without any error counts in a mean, which would be infinite else."""


@dataclass(frozen=True)
class Row:
    """The mean result of one model on one set of pictures under one noise.

    Attributes:
        model: its name.
        data: the dataset's spec.
        noise: the noise's spec; "" for pairs that are noisy by themselves.
        images: how many pictures.
        psnr_noisy: of the noisy pictures, in dB.
        psnr: of the cleaned ones, in dB; none counts more than `EXACT`.
        ssim: of the cleaned ones; NaN where a picture is too small for it.
        seconds_per_megapixel: of the model alone.
    """

    model: str
    data: str
    noise: str
    images: int
    psnr_noisy: float
    psnr: float
    ssim: float
    seconds_per_megapixel: float


def noisy_pairs(
    dataset: Dataset, noise: Noise | None, *, seed: int = 0, crop: int | None = None, only: slice = ALL
) -> Iterator[tuple[np.ndarray, np.ndarray, float | None]]:
    """Yield (noisy, clean, sigma) for every picture, float32 `[H, W, C]`; sigma is None where noise has no one level.

    Args:
        dataset: clean pictures, or pairs.
        noise: what spoils a clean picture; None for pairs.
        seed: of the noise.
        crop: cut the pictures to at most this side, from the top left.
        only: which of the pictures; their noise is the same, whoever else is there.
    """
    for index in range(len(dataset))[only]:
        item = dataset[index]
        pictures = item if isinstance(item, tuple) else (item,)
        cut = [as_float(picture[:crop, :crop]) for picture in pictures]
        if noise is None:
            if len(cut) == 1:
                raise UnnoiseError("these pictures are clean: name a noise to put into them, such as gaussian:25")
            yield cut[0], cut[-1], None
        else:
            rng = np.random.default_rng((seed, index))
            drawn = noise.draw(rng)
            yield drawn(cut[-1], rng), cut[-1], drawn.sigma


def evaluate(
    models: Mapping[str, Denoiser],
    dataset: Dataset,
    noises: Iterable[Noise | None],
    *,
    data: str = "",
    seed: int = 0,
    blind: bool = False,
    crop: int | None = None,
    with_ssim: bool = True,
    only: slice = ALL,
    progress: Callable[[str], None] = lambda _: None,
) -> Iterator[Row]:
    """Yield one row per noise and model, each as soon as it is measured.

    Args:
        models: name -> denoiser.
        dataset: clean pictures to spoil, or pairs.
        noises: what spoils them; None for pairs.
        data: how the rows call the dataset.
        seed: of the noise.
        blind: let models that want the noise level estimate it; else they are told, where one number says it.
        crop: see `noisy_pairs`.
        with_ssim: also measure SSIM, which takes longer than some models.
        only: see `noisy_pairs`; no row comes of no pictures.
        progress: called with a line per picture.
    """
    for noise in noises:
        before: list[float] = []
        after: dict[str, list[tuple[float, float, float]]] = {name: [] for name in models}
        for index, (noisy, clean, sigma) in enumerate(noisy_pairs(dataset, noise, seed=seed, crop=crop, only=only)):
            before.append(psnr(clean, noisy))
            megapixels = clean.shape[0] * clean.shape[1] / 1e6
            for name, model in models.items():
                start = time.perf_counter()
                cleaned = model(noisy, None if blind else sigma)
                seconds = time.perf_counter() - start
                similarity = ssim(clean, cleaned) if with_ssim and min(clean.shape[:2]) >= 11 else np.nan
                after[name].append((min(psnr(clean, cleaned), MAX_PSNR), similarity, seconds / megapixels))
            progress(f"{noise or data}: {index + 1} of {len(dataset)}")
        for name, results in after.items() if before else ():
            means = np.mean(results, axis=0).tolist()
            yield Row(name, data, "" if noise is None else str(noise), len(before), float(np.mean(before)), *means)


def levels(noises: Sequence[Noise | None]) -> list[float]:
    """Return the levels of Gaussian noises, 8-bit units, to draw curves over; `+ clip` may follow each.

    Raises:
        UnnoiseError: another noise is among them, or fewer than two levels.
    """
    found = []
    for noise in noises:
        steps = noise.steps if isinstance(noise, Chain) else (noise,)
        names = [step.name for step in steps if step is not None]
        sigma = steps[0].sigma if steps[0] is not None else None
        if sigma is None or names not in (["gaussian"], ["gaussian", "clip"]):
            told = "pairs, noisy by themselves" if noise is None else f"'{noise}'"
            raise UnnoiseError(f"a curve is drawn over levels of gaussian noise, such as gaussian:25, not over {told}")
        found.append(round(to_8bit(sigma), 6))
    if len(set(found)) < 2:
        raise UnnoiseError("a curve needs at least two noise levels, such as gaussian:15 and gaussian:25")
    return found


def curves(rows: Sequence[Row], levels: Sequence[float]) -> dict[str, list[tuple[float, float]]]:
    """Turn rows into lines: model -> points (level, PSNR in dB) and a line of the noisy pictures; levels rise.

    Args:
        rows: as `evaluate` yields them, noise by noise.
        levels: one for each noise.
    """
    models = list(dict.fromkeys(row.model for row in rows))
    lines = {name: [row.psnr for row in rows if row.model == name] for name in models}
    lines["noisy"] = [row.psnr_noisy for row in rows if row.model == models[0]]
    return {name: sorted(zip(levels, found, strict=True)) for name, found in lines.items()}


def read_scores(path: Path) -> dict[str, float]:
    """Read rows that `unnoise evaluate --json` printed, for a model's card: "folder, noise" -> PSNR in dB.

    Raises:
        UnnoiseError: the file cannot be read, or holds something else.
    """
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        return {f"{Path(row['data']).name}, {row['noise']}": round(float(row["psnr"]), 2) for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnnoiseError(f"'{path}' does not hold rows as evaluate --json prints them") from error
