"""Benchmark of models on noisy images: a row of results for each model and noise.

Noise is seeded by (seed, index of the image): all models get the same noisy pixels, and each image has its own noise.
Noisy images are not clipped unless the noise spec says so. Noise levels and the peak of the PSNR are relative to the
full scale of an image, see `ranges`; NaN and infinity in it are missing values, and not compared.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from unnoise.datasets.base import Dataset, as_float
from unnoise.denoisers.base import Denoiser
from unnoise.errors import UnnoiseError
from unnoise.evaluation import ranges
from unnoise.evaluation.metrics import fits_8_bits, psnr, ssim
from unnoise.noise import Noise
from unnoise.noise.base import Chain
from unnoise.units import to_8bit

ALL = slice(None)
MAX_PSNR = 100.0
"""PSNR of an image without any error in means, in dB, which would be infinite otherwise."""


@dataclass(frozen=True)
class ImageRow:
    """Results of one model on one image; the fields are those of `Row`.

    Attributes:
        image: label of the image in its dataset.
        metrics: further metrics by name.
    """

    model: str
    data: str
    noise: str
    image: str
    psnr_noisy: float
    psnr: float
    ssim: float
    seconds_per_megapixel: float
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, float]:
        """All metrics by name."""
        return {"psnr": self.psnr, "ssim": self.ssim, **self.metrics}


@dataclass(frozen=True)
class Row:
    """Mean results of one model on one dataset with one noise.

    Attributes:
        model: name of the model.
        data: dataset spec.
        noise: noise spec; "" for pairs, which are noisy already.
        images: number of images.
        psnr_noisy: mean PSNR of the noisy images, in dB.
        psnr: mean PSNR of the denoised images, in dB; each is limited to `MAX_PSNR`.
        ssim: mean SSIM of the denoised images; NaN if an image is too small.
        seconds_per_megapixel: time of the model alone.
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
    """Yield (noisy, clean, sigma) for every image, float32 `[H, W, C]`; sigma is None if the noise has no single sigma.

    Images are divided by their full scale, see `ranges`.

    Args:
        dataset: clean images, or pairs.
        noise: noise that is added to clean images; None for pairs.
        seed: seed of the noise.
        crop: crop images to at most this side, at the top left, in pixels.
        only: the images to use; their noise does not depend on the others.
    """
    for index in range(len(dataset))[only]:
        item = dataset[index]
        pictures = item if isinstance(item, tuple) else (item,)
        cut = [as_float(picture[:crop, :crop]) for picture in pictures]
        cut = [picture / ranges.full_scales(cut[-1], pictures[-1].dtype) for picture in cut]
        if noise is None:
            if len(cut) == 1:
                raise UnnoiseError("the images are clean: name a noise to add, such as gaussian:25")
            yield cut[0], cut[-1], None
        else:
            rng = np.random.default_rng((seed, index))
            drawn = noise.draw(rng)
            yield drawn(cut[-1], rng), cut[-1], drawn.sigma


def measure(
    models: Mapping[str, Denoiser],
    dataset: Dataset,
    noises: Iterable[Noise | None],
    *,
    data: str = "",
    seed: int = 0,
    blind: bool = False,
    crop: int | None = None,
    with_ssim: bool = True,
    metrics: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] | None = None,
    only: slice = ALL,
    progress: Callable[[str], None] = lambda _: None,
) -> Iterator[ImageRow]:
    """Yield one row per noise, image and model, each as soon as it is measured.

    Args:
        models: name -> denoiser.
        dataset: clean images, or pairs.
        noises: noises that are added to clean images; None for pairs.
        data: name of the dataset in the rows.
        seed: seed of the noise.
        blind: let models that need sigma estimate it; otherwise they are given it where the noise has a single sigma.
        crop: see `noisy_pairs`.
        with_ssim: also measure SSIM, which is slower than some models.
        metrics: further metrics, see `perceptual.make`.
        only: see `noisy_pairs`; without images there are no rows.
        progress: called with a line per image.
    """
    labels = range(len(dataset))[only]
    for noise in noises:
        pairs = noisy_pairs(dataset, noise, seed=seed, crop=crop, only=only)
        for count, (index, (noisy, clean, level)) in enumerate(zip(labels, pairs, strict=True), start=1):
            sigma, rounded = None if blind else level, fits_8_bits(clean)
            before = psnr(clean, noisy, rounded=rounded)
            megapixels = clean.shape[0] * clean.shape[1] / 1e6
            for name, model in models.items():
                ranged = ranges.with_range(model, noisy, sigma, known=rounded)
                start = time.perf_counter()
                cleaned = ranged(noisy, sigma)
                seconds = time.perf_counter() - start
                large = with_ssim and min(clean.shape[:2]) >= 11
                similarity = ssim(clean, cleaned, rounded=rounded) if large else np.nan
                quality = min(psnr(clean, cleaned, rounded=rounded), MAX_PSNR)
                more = {key: metric(clean, cleaned) for key, metric in (metrics or {}).items()}
                yield ImageRow(
                    name, data, "" if noise is None else str(noise), dataset.label(index), before,
                    quality, similarity, seconds / megapixels, more,
                )  # fmt: skip
            progress(f"{noise or data}: {count} of {len(labels)}")


def evaluate(
    models: Mapping[str, Denoiser], dataset: Dataset, noises: Iterable[Noise | None], **options: Any
) -> Iterator[Row]:
    """Yield one row per noise and model, each as soon as it is measured.

    Args:
        models: name -> denoiser.
        dataset: clean images, or pairs.
        noises: noises that are added to clean images; None for pairs.
        options: as for `measure`.
    """
    for noise in noises:
        yield from mean_rows(list(measure(models, dataset, [noise], **options)))


def mean_rows(rows: Sequence[ImageRow]) -> Iterator[Row]:
    """Yield the means over images, a row for each noise and model in their order."""
    for group in grouped(rows):
        means = np.mean([(row.psnr_noisy, row.psnr, row.ssim, row.seconds_per_megapixel) for row in group], axis=0)
        yield Row(group[0].model, group[0].data, group[0].noise, len(group), *means.tolist())


def grouped(rows: Sequence[ImageRow]) -> list[list[ImageRow]]:
    """Return the rows of each noise and model, in their order."""
    groups: dict[tuple[str, str], list[ImageRow]] = {}
    for row in rows:
        groups.setdefault((row.noise, row.model), []).append(row)
    return list(groups.values())


def levels(noises: Sequence[Noise | None]) -> list[float]:
    """Return the sigmas of Gaussian noises in 8-bit units, for curves; `+ clip` may follow each.

    Raises:
        UnnoiseError: another kind of noise, or fewer than two different sigmas.
    """
    sigmas = []
    for noise in noises:
        steps = noise.steps if isinstance(noise, Chain) else (noise,)
        names = [step.name for step in steps if step is not None]
        sigma = steps[0].sigma if steps[0] is not None else None
        if sigma is None or names not in (["gaussian"], ["gaussian", "clip"]):
            other = "pairs" if noise is None else f"'{noise}'"
            raise UnnoiseError(f"a curve needs gaussian noise, such as gaussian:25, got {other}")
        sigmas.append(round(to_8bit(sigma), 6))
    if len(set(sigmas)) < 2:
        raise UnnoiseError("a curve needs at least two noise levels, such as gaussian:15 and gaussian:25")
    return sigmas


def curves(rows: Sequence[Row], levels: Sequence[float]) -> dict[str, list[tuple[float, float]]]:
    """Return the curve of each model, and of the noisy images, as points (sigma, PSNR in dB) with increasing sigma.

    Args:
        rows: rows of `evaluate`, in its order.
        levels: sigma of each noise.
    """
    models = list(dict.fromkeys(row.model for row in rows))
    lines = {name: [row.psnr for row in rows if row.model == name] for name in models}
    lines["noisy"] = [row.psnr_noisy for row in rows if row.model == models[0]]
    return {name: sorted(zip(levels, values, strict=True)) for name, values in lines.items()}


def read_scores(path: Path) -> dict[str, float]:
    """Read the output of `unnoise evaluate --json` for a model card: "folder, noise" -> PSNR in dB.

    Raises:
        UnnoiseError: the file cannot be read, or holds something else.
    """
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        return {f"{Path(row['data']).name}, {row['noise']}": round(float(row["psnr"]), 2) for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnnoiseError(f"'{path}' is not the JSON output of unnoise evaluate") from error
