"""Remove hot and dead pixels from mosaics, and the offsets that all pixels of a row share.

Both are found by comparison with pixels of the same color, in units of the noise that is known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from unnoise.denoisers.bayer import join
from unnoise.noise.shot import ShotNoise

_NEIGHBORS = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], bool)
_AROUND = [(row - 1, column - 1) for row, column in np.ndindex(3, 3) if (row, column) != (1, 1)]
_NEXT = [(-1, 0), (0, -1), (0, 1), (1, 0)]
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


def corrected(planes: Sequence[np.ndarray], noises: Sequence[ShotNoise]) -> list[np.ndarray]:
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
    mosaic = np.pad(planes[0] if len(planes) == 1 else join(planes), 4, mode="reflect")
    step = 1 if len(planes) == 1 else 2  # to the next pixel of the same color
    count, repaired = 0, []
    for place, (plane, noise) in enumerate(zip(planes, noises, strict=True)):
        rows, columns = np.nonzero(_is_far(plane, noise))
        rows, columns = 4 + step * rows + place // 2, 4 + step * columns + place % 2
        median = _median_around(mosaic, rows, columns, step)
        excess = mosaic[rows, columns] - median
        beside = [_excess(mosaic, rows + down, columns + right, step) for down, right in _NEXT]
        error = np.sqrt(noise.a * np.maximum(median, 0) + noise.b) / 2  # of a mean of four
        found = np.abs(np.mean(beside, axis=0)) + error < _SPREAD * np.abs(excess)
        count += int(found.sum())
        rows, columns = (rows[found] - 4) // step, (columns[found] - 4) // step
        plane = plane.copy() if len(rows) else plane
        plane[rows, columns] = median[found]
        repaired.append(plane)
    return repaired, count


def _is_far(plane: np.ndarray, noise: ShotNoise) -> np.ndarray:
    highest = ndimage.maximum_filter(plane, footprint=_NEIGHBORS, mode="mirror")
    lowest = ndimage.minimum_filter(plane, footprint=_NEIGHBORS, mode="mirror")
    sigma = np.sqrt(np.float32(noise.a) * np.maximum(highest, 0) + np.float32(noise.b))
    distance = np.float32(math.sqrt(2 * math.log(max(plane.size, 2)))) * sigma + 2 * (highest - lowest)
    return (plane > highest + distance) | (plane < lowest - distance)


def _median_around(mosaic: np.ndarray, rows: np.ndarray, columns: np.ndarray, step: int) -> np.ndarray:
    """Return the median of the eight pixels of the same color around each of some pixels."""
    around = [mosaic[rows + step * down, columns + step * right] for down, right in _AROUND]
    return np.median(np.asarray(around).reshape(len(_AROUND), -1), axis=0)


def _excess(mosaic: np.ndarray, rows: np.ndarray, columns: np.ndarray, step: int) -> np.ndarray:
    return mosaic[rows, columns] - _median_around(mosaic, rows, columns, step)


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
