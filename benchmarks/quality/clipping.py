"""What the correction of clipping, and sigma maps for signal-dependent noise, gain.

    python benchmarks/quality/clipping.py [--data ../shared/data] [--images 12]

On crops of BSDS500's validation images, none of them a test image: the network alone, with one sigma; as it is used,
with `unnoise.denoisers.clipping`, and a sigma map where the estimated noise is signal-dependent; and `impulse`, which
is blind.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common
import numpy as np

from unnoise import datasets, denoisers
from unnoise.evaluation import report

SIGMA_GIVEN = ("gaussian:15", "gaussian:25", "gaussian:50")
SIGMA_ESTIMATED = (
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
    """Mean PSNR in dB of one model on one noise; `sigma` is "given" or "estimated"."""

    model: str
    noise: str
    sigma: str
    noisy: float
    alone: float
    corrected: float
    impulse: float


def measure(folder: Path, model: str, channels: int, count: int) -> list[Gain]:
    """Measure one model on all noises."""
    dataset, denoiser = datasets.make(f"images:{folder / 'bsds500/val'}", channels=channels), denoisers.make(model)
    alone, impulse, rows = denoisers.make(model), denoisers.make("impulse"), []
    alone.corrects_clipping = False
    for spec, given in [(spec, True) for spec in SIGMA_GIVEN] + [(spec, False) for spec in SIGMA_ESTIMATED]:
        noise, scores = common.file_noise(spec), []
        for index in range(0, len(dataset), max(1, len(dataset) // count)):
            clean = common.clean_image(dataset, index)[:CROP, :CROP]
            noisy = noise(clean, index)
            sigma = noise.sigma if given else denoisers.estimate_noise(noisy).sigma
            images = noisy, alone(noisy, sigma), denoiser(noisy, sigma if given else None), impulse(noisy)
            scores.append([common.capped_psnr(clean, image) for image in images])
        rows.append(Gain(model, spec, "given" if given else "estimated", *np.mean(scores, axis=0)))
    return rows


def main() -> None:
    """Print the table."""
    parser = common.parser(__doc__, data=True)
    parser.add_argument("--images", type=int, default=12)
    arguments = parser.parse_args()
    rows = measure(arguments.data, "color", 3, arguments.images) + measure(arguments.data, "gray", 1, arguments.images)
    print(report.markdown(rows))


if __name__ == "__main__":
    main()
