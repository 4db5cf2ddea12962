"""Sheets of examples: images noisy, denoised by each model, and clean, side by side."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np

from unnoise.datasets.base import Dataset
from unnoise.denoisers.base import Denoiser
from unnoise.errors import UnnoiseError
from unnoise.evaluation import ranges, report
from unnoise.evaluation.benchmark import noisy_pairs
from unnoise.evaluation.metrics import fits_8_bits, psnr
from unnoise.noise import Noise

ROWS, CROP, _WIDTH = 4, 256, 96
"""Images on a sheet, the side in pixels that they are cropped to, and the width that small ones are magnified to."""


def draw(
    models: Mapping[str, Denoiser],
    dataset: Dataset,
    noises: Sequence[Noise | None],
    *,
    seed: int = 0,
    blind: bool = False,
    labels: Collection[int] = (),
) -> np.ndarray:
    """Draw the first images of a dataset with the noise that `benchmark.evaluate` gives them.

    Args:
        models: name -> denoiser.
        dataset: clean images, or pairs.
        noises: each is drawn below the others.
        seed: seed of the noise.
        blind: let models estimate sigma.
        labels: draw images of these classes only, as for digits; empty for any.

    Returns:
        `[H, W, 3]` in [0, 1]; the PSNR of each image, cropped as it is shown, is written below it.

    Raises:
        UnnoiseError: the dataset has no classes, or no image of these.
    """
    rows, captions = [], []
    for noise, index in itertools.product(noises, _chosen(dataset, labels)):
        ((noisy, clean, level),) = noisy_pairs(dataset, noise, seed=seed, crop=CROP, only=slice(index, index + 1))
        sigma, known = None if blind else level, fits_8_bits(clean)
        row = {"noisy": noisy}
        for name, model in models.items():
            row[name] = ranges.with_range(model, noisy, sigma, known=known)(noisy, sigma)
        values = ", ".join(f"{name} {psnr(clean, image, rounded=known):.2f} dB" for name, image in row.items())
        rows.append({**row, "clean": clean})
        captions.append(f"{dataset.label(index)}{f', {noise}' if noise else ''}: {values}")
    widest = max(image.shape[1] for row in rows for image in row.values())
    return report.sheet(rows, captions=captions, zoom=max(1, _WIDTH // widest))


def _chosen(dataset: Dataset, labels: Collection[int]) -> list[int]:
    """Return the indices of the images to draw."""
    found: Iterator[int] = iter(range(len(dataset)))
    if labels:
        classes = getattr(dataset, "labels", None)
        if classes is None:
            raise UnnoiseError("--labels needs a dataset with classes, such as mnist:FOLDER")
        found = (index for index in found if int(classes[index]) in labels)
    chosen = list(itertools.islice(found, ROWS))
    if not chosen:
        raise UnnoiseError(f"the dataset has no images of the classes {', '.join(map(str, labels))}")
    return chosen
