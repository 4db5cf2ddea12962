"""Denoisers that learn the noisy picture itself, beside others, on the same pictures; seconds are those of one core.

    python benchmarks/quality/per_image.py MODEL... [--noise NOISE] [--data images:FOLDER] [--pictures 12] [--side 256]

Where a side is given, only the middle of a larger picture is taken. Seconds are processor time, so that what runs
beside does not count.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common
import numpy as np

from unnoise import datasets, denoisers, noise
from unnoise.datasets.base import as_float
from unnoise.evaluation import report
from unnoise.evaluation.metrics import psnr


@dataclass(frozen=True)
class Learned:
    """One model on one noise: means over the pictures, and how large these are together."""

    model: str
    noise: str
    pictures: int
    megapixels: float
    psnr_noisy: float
    psnr: float
    seconds_a_picture: float


def middle(picture: np.ndarray, side: int | None) -> np.ndarray:
    """Return no more than so many rows and columns of `[H, W, C]`, from its middle."""
    if side is None:
        return picture
    top, left = (max(length - side, 0) // 2 for length in picture.shape[:2])
    return picture[top : top + side, left : left + side]


def measure(model: str, spec: str, pieces: list[np.ndarray]) -> Learned:
    """Clean the pieces; nothing is told but a level that one number says."""
    denoiser, rows = denoisers.make(model), []
    for index, clean in enumerate(pieces):
        rng = np.random.default_rng((0, index))
        spoil = noise.make(spec).draw(rng)
        noisy = spoil(clean, rng)
        start = time.process_time()
        cleaned = denoiser(noisy, spoil.sigma)
        rows.append((psnr(clean, noisy), psnr(clean, cleaned), time.process_time() - start))
    megapixels = sum(piece.shape[0] * piece.shape[1] for piece in pieces) / 1e6
    return Learned(str(denoiser) or model, spec, len(pieces), megapixels, *np.mean(rows, axis=0).tolist())


def main() -> None:
    """Print the table."""
    parser = common.parser(__doc__)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--noise", default="gaussian:25")
    parser.add_argument("--data", default="images:../shared/data/set12")
    parser.add_argument("--pictures", type=int, default=12)
    parser.add_argument("--side", type=int)
    arguments = parser.parse_args()
    pictures = datasets.make(arguments.data, channels=1)
    chosen = [as_float(pictures[index]) for index in range(min(arguments.pictures, len(pictures)))]  # type: ignore[arg-type]
    pieces = [middle(picture, arguments.side) for picture in chosen]
    print(report.markdown([measure(model, arguments.noise, pieces) for model in arguments.models]))


if __name__ == "__main__":
    main()
