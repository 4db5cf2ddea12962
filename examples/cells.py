"""Simulate a microscope: a stack of cells as 16-bit TIFF, with photon noise and read noise.

    python examples/cells.py FOLDER [--pages 12] [--side 256] [--photons 30] [--read 3] [--rows 0] [--seed 0]

Writes FOLDER/noisy/cells.tif, the stack, and FOLDER/truth/cells.tif, the same without noise. Values are those of a
12-bit camera: an offset of 100, two counts per electron. The brightest pixels of a cell get about `photons` electrons
in an exposure; read noise has a standard deviation of `read` electrons, and row noise one of `rows` electrons.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyvips
from scipy import ndimage

OFFSET, GAIN = 100, 2.0  # counts, and counts per electron
OPTICS = 1.2  # standard deviation of the point spread function, in pixels


def light(rng: np.random.Generator, side: int) -> np.ndarray:
    """Draw cells, `[side, side]` from 0 to about 1: bodies that fade outwards, nuclei, fibers and bright grains."""
    y, x = np.mgrid[:side, :side].astype(np.float32)
    # Fibers follow the level lines of a smooth random surface.
    surface = ndimage.gaussian_filter(rng.standard_normal((side, side)), 7)
    fibres = np.exp(-(np.sin(4 * surface / surface.std()) ** 2) / 0.12)
    picture = np.full((side, side), 0.02, np.float32)
    for _ in range(max(3, side * side // 3600)):
        row, column, long, wide, turn = rng.uniform((0, 0, 22, 14, 0), (side, side, 40, 24, np.pi))
        u = (x - column) * np.cos(turn) + (y - row) * np.sin(turn)
        v = (y - row) * np.cos(turn) - (x - column) * np.sin(turn)
        radius = np.sqrt((u / long) ** 2 + (v / wide) ** 2)
        body = 1 / (1 + np.exp((radius - 1) * 14))
        nucleus = 1 / (1 + np.exp((np.sqrt((u / long) ** 2 + (v / wide) ** 2) - 0.42) * 20))
        picture += body * rng.uniform(0.25, 0.6) * (0.4 + 0.8 * fibres) * (1 - 0.6 * nucleus)
    grains = np.zeros((side, side))
    grains[tuple(rng.integers(side, size=(2, side * side // 900)))] = rng.uniform(3, 9, side * side // 900)
    return ndimage.gaussian_filter(picture + grains * (picture > 0.1), OPTICS)


def expose(
    picture: np.ndarray, photons: float, read: float, rows: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the image as a camera counts it, and what it would count without noise, both uint16."""
    electrons = picture * photons
    noisy = rng.poisson(electrons) + rng.normal(0, read, picture.shape) + rng.normal(0, 1, (len(picture), 1)) * rows
    counts = (np.clip(np.rint(OFFSET + GAIN * one), 0, 4095).astype(np.uint16) for one in (noisy, electrons))
    noisy_counts, clean_counts = counts
    return noisy_counts, clean_counts


def write(pages: list[np.ndarray], path: Path) -> None:
    """Write pages of one size as a TIFF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = np.concatenate(pages)
    image = pyvips.Image.new_from_memory(whole.tobytes(), whole.shape[1], whole.shape[0], 1, "ushort")
    image = image.copy(interpretation="grey16")
    image.set_type(pyvips.GValue.gint_type, "page-height", len(pages[0]))
    image.tiffsave(str(path), compression="deflate", keep="all")


def main() -> None:
    """Draw and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pages", type=int, default=12)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--photons", type=float, default=30)
    parser.add_argument("--read", type=float, default=3)
    parser.add_argument("--rows", type=float, default=0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    pages = [expose(light(rng, given.side), given.photons, given.read, given.rows, rng) for _ in range(given.pages)]
    write([noisy for noisy, _ in pages], given.folder / "noisy" / "cells.tif")
    write([clean for _, clean in pages], given.folder / "truth" / "cells.tif")
    print(f"{given.folder / 'noisy' / 'cells.tif'}: {given.pages} pages of {given.side}x{given.side}, 16 bit")


if __name__ == "__main__":
    main()
