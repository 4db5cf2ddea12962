"""What is gained where the cut of noise at black and white is made up for behind the network.

    python benchmarks/clipping.py [--data ../shared/data] [--pictures 12]

`unnoise.declipping`, on crops of BSDS500's validation pictures, none of them a test picture, where the level is told or
found; camera noise and Poisson noise, for which it is not meant, beside it.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unnoise import datasets, denoisers, estimation, noise, report
from unnoise.datasets.base import as_float
from unnoise.declipping import declipped
from unnoise.metrics import psnr

TOLD = ("gaussian:15", "gaussian:25", "gaussian:50")
FOUND = (
    "gaussian:50",
    "gaussian:25 + jpeg:60",
    "poisson:10",
    "poisson:30",
    "speckle:50",
    "salt-pepper:0.1 + gaussian:15",
    "camera:3200,smooth=0.5 + jpeg:95",
)
CROP = 224


@dataclass(frozen=True)
class Gain:
    """Mean PSNR in dB of one model on one noise, as it is and with the cut made up for."""

    model: str
    noise: str
    level: str
    noisy: float
    cleaned: float
    declipped: float


def measure(folder: Path, model: str, channels: int, pictures: int) -> list[Gain]:
    """Measure one model on all noises."""
    dataset, denoiser = datasets.make(f"images:{folder / 'bsds500/val'}", channels=channels), denoisers.make(model)
    denoiser.declips = False
    rows = []
    for spec, told in [(spec, True) for spec in TOLD] + [(spec, False) for spec in FOUND]:
        spoil, scores = noise.make(f"{spec} + clip + quantize:8"), []
        for index in range(0, len(dataset), max(1, len(dataset) // pictures)):
            clean = as_float(dataset[index])[:CROP, :CROP]  # type: ignore[arg-type]
            noisy = spoil(clean, index)
            sigma = spoil.sigma if told else estimation.inspect(noisy).sigma
            if sigma:
                cleaned = denoiser(noisy, sigma)
                scores.append([psnr(clean, one) for one in (noisy, cleaned, declipped(noisy, cleaned, sigma))])
        rows.append(Gain(model, spec, "told" if told else "found", *np.mean(scores, axis=0)))
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--pictures", type=int, default=12)
    arguments = parser.parse_args()
    rows = [measure(arguments.data, *model, arguments.pictures) for model in (("color", 3), ("gray", 1))]
    print(report.markdown([row for each in rows for row in each]))


if __name__ == "__main__":
    main()
