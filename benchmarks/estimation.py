"""How well the noise level is found: on white noise over BSD68, on clean Kodak24, and how fast.

    python benchmarks/estimation.py [--data ../shared/data]

Beside it stands scikit-image's `estimate_sigma`, the median of the finest wavelet coefficients (Donoho and Johnstone,
Biometrika 81, 1994). Levels are in 8-bit units.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from skimage import restoration

from unnoise import datasets, estimation, noise, report
from unnoise.datasets.base import as_float
from unnoise.evaluation import noisy_pairs

LEVELS = (5, 10, 15, 25, 35, 50)


def wavelet(pixels: np.ndarray) -> float:
    """Return scikit-image's estimate, [0, 1] units."""
    return float(np.mean(restoration.estimate_sigma(pixels, channel_axis=2)))


METHODS: dict[str, Callable[[np.ndarray], float]] = {
    "unnoise": lambda pixels: estimation.inspect(pixels).sigma,
    "wavelet median": wavelet,
}


@dataclass(frozen=True)
class White:
    """One level of white noise: the mean estimate and the mean absolute error of one method."""

    method: str
    sigma: int
    mean: float
    error: float


@dataclass(frozen=True)
class Clean:
    """What one method finds in pictures without noise, and its time."""

    method: str
    mean: float
    largest: float
    seconds_per_10_megapixels: float


def white(folder: Path) -> list[White]:
    """Measure every method on BSD68 with white noise, not clipped."""
    pictures, rows = datasets.make(f"images:{folder / 'bsd68'}"), []
    for sigma in LEVELS:
        noisy = [pair[0] for pair in noisy_pairs(pictures, noise.make(f"gaussian:{sigma}"))]
        for name, method in METHODS.items():
            found = 255 * np.array([method(picture) for picture in noisy])
            rows.append(White(name, sigma, float(found.mean()), float(np.abs(found - sigma).mean())))
    return rows


def clean(folder: Path) -> list[Clean]:
    """Measure every method on Kodak24 as it is, and time it on 10 megapixels."""
    pictures = datasets.make(f"images:{folder / 'kodak24'}")
    kodak = [as_float(pictures[index]) for index in range(len(pictures))]  # type: ignore[arg-type]
    large = np.tile(kodak[0], (5, 6, 1))[:2500, :4000]
    rows = []
    for name, method in METHODS.items():
        found = 255 * np.array([method(picture) for picture in kodak])
        start = time.perf_counter()
        method(large)
        rows.append(Clean(name, float(found.mean()), float(found.max()), time.perf_counter() - start))
    return rows


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    folder = parser.parse_args().data
    print("White noise on BSD68:\n")
    print(report.markdown(white(folder)))
    print("\nClean Kodak24:\n")
    print(report.markdown(clean(folder)))


if __name__ == "__main__":
    main()
