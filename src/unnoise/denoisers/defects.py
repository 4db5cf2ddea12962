"""Remove hot and dead pixels from mosaics, and the offsets that all pixels of a row share.

Both are found by comparison with pixels of the same color, in units of the noise that is known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from unnoise.denoisers.bayer import join, split
from unnoise.noise.shot import ShotNoise

_NEIGHBORS = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], bool)
_SPREAD = 0.05
"""Least share of a point of light that each of the four nearest pixels receives. Of a Gaussian spot of 1.1 pixels full
width at half maximum, smaller than that of any lens, it is a tenth, which filters of other colors may halve."""
_MEDIAN_ERROR = math.sqrt(math.pi / 2)
"""Standard error of a median of normal values, as a multiple of that of their mean."""
_MAD = 0.6745
"""Median of the absolute values of a standard normal variable."""
_SECOND_DIFFERENCE = 1.5
"""Variance of x[i] - (x[i-1] + x[i+1]) / 2 of independent x of variance 1."""
_OUTLIER = 4.0
"""Standard deviations beyond which an offset of a row is an edge in the image: of 10,000, less than one by chance."""


def removed(planes: Sequence[np.ndarray], noises: Sequence[ShotNoise]) -> list[np.ndarray]:
    """Return the planes of a Bayer sensor, four `[h, w]`, or of a monochrome one, one, without defects and offsets."""
    planes, _ = without_defects(planes, noises)
    beside = 2 if len(planes) == 4 else 1
    result: list[np.ndarray] = []
    for start in range(0, len(planes), beside):
        same_rows = slice(start, start + beside)
        offsets, _ = row_offsets(planes[same_rows], noises[same_rows])
        result += [plane - offsets[: len(plane), None] for plane in planes[same_rows]]
    return result


def without_defects(planes: Sequence[np.ndarray], noises: Sequence[ShotNoise]) -> tuple[list[np.ndarray], int]:
    """Replace hot and dead pixels by the median of the pixels of the same color around.

    A pixel is defective if it is far above or below all of these, and the pixels between, of other colors, show nothing
    of it: lens and filters spread the light of a point over neighboring pixels. Far is beyond the universal threshold
    sqrt(2 log n) sigma, which the noise of n pixels hardly exceeds (Donoho, Johnstone, "Ideal spatial adaptation by
    wavelet shrinkage", Biometrika 81, 1994), and beyond twice the difference of the pixels around among each other.

    Args:
        planes: signals, float32 `[h, w]` each: four of a Bayer sensor, or one.
        noises: the noise in each of them.

    Returns:
        The planes, and the number of defective pixels.
    """
    medians = [ndimage.median_filter(plane, footprint=_NEIGHBORS, mode="mirror") for plane in planes]
    spill = _around([plane - median for plane, median in zip(planes, medians, strict=True)])
    count, mended = 0, []
    for plane, median, noise, light in zip(planes, medians, noises, spill, strict=True):
        sigma = np.sqrt(noise.a * np.maximum(median, 0) + noise.b).astype(np.float32)
        found = _is_far(plane, sigma) & (np.abs(light) + sigma / 2 < _SPREAD * np.abs(plane - median))
        count += int(found.sum())
        mended.append(np.where(found, median, plane) if found.any() else plane)
    return mended, count


def _is_far(plane: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    highest = ndimage.maximum_filter(plane, footprint=_NEIGHBORS, mode="mirror")
    lowest = ndimage.minimum_filter(plane, footprint=_NEIGHBORS, mode="mirror")
    distance = np.float32(math.sqrt(2 * math.log(max(plane.size, 2)))) * sigma + 2 * (highest - lowest)
    return (plane > highest + distance) | (plane < lowest - distance)


def _around(planes: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the mean of the four pixels next to each pixel of the sensor, as planes."""
    if len(planes) == 1:
        return [_mean_of_four(planes[0])]
    mosaic = join(planes)
    around = _mean_of_four(mosaic)
    return split(around)


def _mean_of_four(values: np.ndarray) -> np.ndarray:
    weights = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float32) / 4
    return ndimage.convolve(values, weights, mode="mirror")


def row_offsets(planes: Sequence[np.ndarray], noises: Sequence[ShotNoise]) -> tuple[np.ndarray, float]:
    """Estimate the offset that the readout has added to each row of a plane, or of planes side by side.

    The offsets are independent of each other. Their second difference along the columns is the median of that of the
    pixels, in which edges of the image that not most columns have in the same row do not count. Wiener's filter returns
    from it to the offsets.

    Args:
        planes: those with pixels in the same rows, `[h, w]` each.
        noises: the noise in each of them.

    Returns:
        The offsets, float32 `[h]`, and their standard deviation; zeros where none are found.
    """
    height = len(planes[0])
    nothing = np.zeros(height, np.float32), 0.0
    if height < 3 or any(plane.shape[1] < 3 for plane in planes):
        return nothing
    values = np.concatenate([_second_difference(plane) for plane in planes], axis=1)
    sigmas = [noise.sigma(float(np.median(plane))) for plane, noise in zip(planes, noises, strict=True)]
    values /= np.repeat(np.asarray(sigmas, np.float32), [plane.shape[1] for plane in planes])
    differences = np.median(values, axis=1)
    spread = np.median(np.abs(values - differences[:, None])) / _MAD
    if spread**2 > 2 * _SECOND_DIFFERENCE:
        return nothing  # there is more texture than noise, and it has rows, too
    chance = (_MEDIAN_ERROR * spread) ** 2 / values.shape[1]
    total = (float(np.median(np.abs(differences))) / _MAD) ** 2
    variance = (total - chance) / _SECOND_DIFFERENCE
    # The estimate of a variance from the median of n values is off by 2.33 / sqrt(n) of it, by chance.
    if variance * _SECOND_DIFFERENCE <= 3 * 2.33 / math.sqrt(height) * chance:
        return nothing
    differences[np.abs(differences) > _OUTLIER * math.sqrt(total)] = 0
    scale = float(np.mean(sigmas))
    return (scale * _wiener(differences, variance, chance)).astype(np.float32), scale * math.sqrt(variance)


def _second_difference(plane: np.ndarray) -> np.ndarray:
    around = ndimage.convolve1d(plane, np.array([0.5, 0, 0.5], np.float32), axis=0, mode="wrap")
    return plane - around


def _wiener(differences: np.ndarray, variance: float, chance: float) -> np.ndarray:
    """Return the values of which the second differences, around a ring, are known up to an error."""
    response = 1 - np.cos(2 * np.pi * np.fft.rfftfreq(len(differences)))
    gain = variance * response / (variance * response**2 + chance)
    return np.fft.irfft(gain * np.fft.rfft(differences), len(differences))
