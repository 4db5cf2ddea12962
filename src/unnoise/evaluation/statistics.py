"""How certain a mean over images is: bootstrap intervals, and paired comparison of models on the same images."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from unnoise.errors import UnnoiseError

CONFIDENCE = 0.95
RESAMPLES = 9999


def interval(values: Sequence[float], *, confidence: float = CONFIDENCE, seed: int = 0) -> tuple[float, float]:
    """Return a confidence interval of the mean, by the bootstrap (BCa, Efron, JASA 82(397), 1987) over images.

    Args:
        values: one value per image.
        confidence: probability that the interval holds the mean of the images' population.
        seed: seed of the resampling.

    Returns:
        Low and high; NaN for fewer than two images, or where a value is NaN; the mean twice if all are equal.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if len(numbers) < 2 or np.isnan(numbers).any():
        return float("nan"), float("nan")
    if np.ptp(numbers) == 0:
        return float(numbers[0]), float(numbers[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of two images that are nearly equal
        found = stats.bootstrap(
            (numbers,), np.mean, n_resamples=RESAMPLES, confidence_level=confidence, rng=np.random.default_rng(seed)
        )
    low, high = found.confidence_interval
    return float(low), float(high)


@dataclass(frozen=True)
class Comparison:
    """Two models on the same images.

    Attributes:
        images: number of images.
        difference: mean of the first minus the second.
        low: lower end of its confidence interval.
        high: upper end of its confidence interval.
        higher: share of images where the first has the higher value.
    """

    images: int
    difference: float
    low: float
    high: float
    higher: float


def compare(first: Sequence[float], second: Sequence[float], *, seed: int = 0) -> Comparison:
    """Compare two models by their values on the same images.

    The interval is that of the differences, image by image, so that what makes an image hard for both does not widen
    it. An interval without 0 is a difference that other images of the kind would show as well.

    Raises:
        UnnoiseError: there are not as many values of one as of the other.
    """
    if len(first) != len(second):
        raise UnnoiseError(f"models are compared on the same images: got values of {len(first)} and {len(second)}")
    differences = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    low, high = interval(differences.tolist(), seed=seed)
    return Comparison(len(first), float(differences.mean()), low, high, float((differences > 0).mean()))
