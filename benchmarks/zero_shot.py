"""Denoisers that learn the noisy picture itself, beside others, on the same pieces; seconds are those of one core.

    python benchmarks/zero_shot.py MODEL... [--noise NOISE] [--data images:FOLDER] [--pictures 6] [--side 96]

The pieces are the middles of the first pictures. Seconds are processor time, so that what runs beside does not count.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np

from unnoise import datasets, denoisers, noise, report
from unnoise.datasets.base import as_float
from unnoise.metrics import psnr


@dataclass(frozen=True)
class Learned:
    """One model on one noise: means over the pieces."""

    model: str
    noise: str
    pictures: int
    side: int
    psnr_noisy: float
    psnr: float
    seconds_a_picture: float


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
    return Learned(str(denoiser) or model, spec, len(pieces), len(pieces[0]), *np.mean(rows, axis=0).tolist())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--noise", default="gaussian:25")
    parser.add_argument("--data", default="images:../shared/data/set12")
    parser.add_argument("--pictures", type=int, default=6)
    parser.add_argument("--side", type=int, default=96)
    arguments = parser.parse_args()
    pictures, pieces = datasets.make(arguments.data, channels=1), []
    for index in range(min(arguments.pictures, len(pictures))):
        whole = as_float(pictures[index])  # type: ignore[arg-type]
        top, left = ((length - arguments.side) // 2 for length in whole.shape[:2])
        pieces.append(whole[top : top + arguments.side, left : left + arguments.side])
    print(report.markdown([measure(model, arguments.noise, pieces) for model in arguments.models]))


if __name__ == "__main__":
    main()
