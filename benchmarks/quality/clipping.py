"""What is gained where the cut of noise at black and white is made up for, and where noise grows with the light.

    python benchmarks/quality/clipping.py [--data ../shared/data] [--pictures 12]

On crops of BSDS500's validation pictures, none of them a test picture: the network alone, told one level; what it
serves as, with `unnoise.declipping`, and a map of levels where noise is found to grow with the light; and `impulse`,
which is told nothing.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common
import numpy as np

from unnoise import datasets, denoisers, noise
from unnoise.datasets.base import as_float
from unnoise.evaluation import report
from unnoise.evaluation.metrics import psnr
from unnoise.noise import estimation

TOLD = ("gaussian:15", "gaussian:25", "gaussian:50")
FOUND = (
    "gaussian:50",
    "gaussian:25 + jpeg:60",
    "poisson:10",
    "poisson:30",
    "poisson:100",
    "speckle:25",
    "speckle:60",
    "poisson:30 + gaussian:10",
    "camera:3200,smooth=0.5 + jpeg:95",
)
CROP = 224


@dataclass(frozen=True)
class Gain:
    """Mean PSNR in dB of one model on one noise; `level` says whether that was told or found."""

    model: str
    noise: str
    level: str
    noisy: float
    alone: float
    served: float
    impulse: float


def measure(folder: Path, model: str, channels: int, pictures: int) -> list[Gain]:
    """Measure one model on all noises."""
    dataset, denoiser = datasets.make(f"images:{folder / 'bsds500/val'}", channels=channels), denoisers.make(model)
    alone, impulse, rows = denoisers.make(model), denoisers.make("impulse"), []
    alone.corrects_clipping = False
    for spec, told in [(spec, True) for spec in TOLD] + [(spec, False) for spec in FOUND]:
        spoil, scores = noise.make(f"{spec} + clip + quantize:8"), []
        for index in range(0, len(dataset), max(1, len(dataset) // pictures)):
            clean = as_float(dataset[index])[:CROP, :CROP]  # type: ignore[arg-type]
            noisy = spoil(clean, index)
            sigma = spoil.sigma if told else estimation.estimate_noise(noisy).sigma
            made = noisy, alone(noisy, sigma), denoiser(noisy, sigma if told else None), impulse(noisy)
            scores.append([min(psnr(clean, one), 60.0) for one in made])
        rows.append(Gain(model, spec, "told" if told else "found", *np.mean(scores, axis=0)))
    return rows


def main() -> None:
    """Print the table."""
    parser = common.parser(__doc__, data=True)
    parser.add_argument("--pictures", type=int, default=12)
    arguments = parser.parse_args()
    rows = [measure(arguments.data, *model, arguments.pictures) for model in (("color", 3), ("gray", 1))]
    print(report.markdown([row for each in rows for row in each]))


if __name__ == "__main__":
    main()
