"""Simulate a fluorescence microscope: a stack of cells as 16-bit TIFF, with shot noise and read noise.

    python examples/cells.py FOLDER [--pages 12] [--side 256] [--photons 30] [--read 3] [--rows 0] [--seed 0]

Writes FOLDER/noisy/cells.tif, the stack, and FOLDER/truth/cells.tif, the same without noise. Values are those of a
12-bit camera with an offset of 100, two counts for each electron. The brightest pixels of a cell get about `photons`
electrons in an exposure; read noise has a standard deviation of `read` electrons, and row noise one of `rows`
electrons.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyvips
from scipy import ndimage

OFFSET, GAIN = 100, 2.0  # counts, and counts per electron
BLUR = 1.2  # pixels: standard deviation of the point spread function


def light(rng: np.random.Generator, side: int) -> np.ndarray:
    """Draw cells, `[side, side]` from 0 to about 1: bodies with soft edges, nuclei, fibers and bright granules."""
    y, x = np.mgrid[:side, :side].astype(np.float32)
    # Fibers follow the level lines of a smooth random surface.
    surface = ndimage.gaussian_filter(rng.standard_normal((side, side)), 7)
    fibers = np.exp(-(np.sin(4 * surface / surface.std()) ** 2) / 0.12)
    image = np.full((side, side), 0.02, np.float32)
    for _ in range(max(3, side * side // 3600)):
        row, column, length, width, angle = rng.uniform((0, 0, 22, 14, 0), (side, side, 40, 24, np.pi))
        u = (x - column) * np.cos(angle) + (y - row) * np.sin(angle)
        v = (y - row) * np.cos(angle) - (x - column) * np.sin(angle)
        radius = np.sqrt((u / length) ** 2 + (v / width) ** 2)
        body = 1 / (1 + np.exp((radius - 1) * 14))
        nucleus = 1 / (1 + np.exp((radius - 0.42) * 20))
        image += body * rng.uniform(0.25, 0.6) * (0.4 + 0.8 * fibers) * (1 - 0.6 * nucleus)
    granules = np.zeros((side, side))
    granules[tuple(rng.integers(side, size=(2, side * side // 900)))] = rng.uniform(3, 9, side * side // 900)
    return ndimage.gaussian_filter(image + granules * (image > 0.1), BLUR)


def expose(
    image: np.ndarray, photons: float, read: float, rows: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the counts of a camera with and without noise, both uint16 `[H, W]`."""
    electrons = image * photons
    noisy = rng.poisson(electrons) + rng.normal(0, read, image.shape) + rng.normal(0, 1, (len(image), 1)) * rows
    return _counts(noisy), _counts(electrons)


def _counts(electrons: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(OFFSET + GAIN * electrons), 0, 4095).astype(np.uint16)


def write(pages: list[np.ndarray], path: Path) -> None:
    """Write pages of equal size as a TIFF stack."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stack = np.concatenate(pages)
    image = pyvips.Image.new_from_memory(stack.tobytes(), stack.shape[1], stack.shape[0], 1, "ushort")
    image = image.copy(interpretation="grey16")
    image.set_type(pyvips.GValue.gint_type, "page-height", len(pages[0]))
    image.tiffsave(str(path), compression="deflate", keep="all")


def main() -> None:
    """Simulate the stack, and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pages", type=int, default=12)
    parser.add_argument("--side", type=int, default=256, help="of a page, pixels")
    parser.add_argument("--photons", type=float, default=30, help="electrons at the brightest pixels")
    parser.add_argument("--read", type=float, default=3, help="read noise, electrons")
    parser.add_argument("--rows", type=float, default=0, help="row noise, electrons")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    pages = [
        expose(light(rng, options.side), options.photons, options.read, options.rows, rng) for _ in range(options.pages)
    ]
    target = options.folder / "noisy" / "cells.tif"
    write([noisy for noisy, _ in pages], target)
    write([clean for _, clean in pages], options.folder / "truth" / "cells.tif")
    print(f"{target}: {options.pages} pages of {options.side}x{options.side}, 16 bit")


if __name__ == "__main__":
    main()
