"""What is gained where the cut of noise at black and white is undone by arithmetic, behind the network.

    python benchmarks/clipping.py [--data ../shared/data] [--pictures 12]

Noise of deviation s on a value x, cut off below 0, has the mean s g(x / s) with g(u) = u Phi(u) + phi(u) (Foi, "Clipped
noisy images: Heteroskedastic modeling and practical denoising", Signal Processing 89(12), 2009), which a denoiser takes
for x. Here g is inverted, as far as there are as many values at 0 around as such noise would leave there: what is told
too strong is not darkened. At white it is the same upside down. On crops of BSDS500's validation pictures, none of them
a test picture, where noise is told or found; camera noise and Poisson noise, for which it is not meant, beside it. No
shipped model does this yet.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.special import ndtr

from unnoise import datasets, denoisers, estimation, noise, report
from unnoise.datasets.base import as_float
from unnoise.metrics import psnr

TOLD = ("gaussian:15", "gaussian:25", "gaussian:50")
FOUND = ("gaussian:50", "gaussian:25 + jpeg:60", "poisson:10", "poisson:30", "camera:3200,smooth=0.5 + jpeg:95")
CROP = 224
RADIUS = 7  # pixels, of the square in which values at 0 are counted
_U = np.linspace(0, 4, 1025)
_MEANS = _U * ndtr(_U) + np.exp(-(_U**2) / 2) / np.sqrt(2 * np.pi)


@dataclass(frozen=True)
class Gain:
    """Mean PSNR in dB of one model on one noise, as it is and with the cut undone."""

    model: str
    noise: str
    level: str
    noisy: float
    cleaned: float
    undone: float


def undone(noisy: np.ndarray, clean: np.ndarray, sigma: float) -> np.ndarray:
    """Return the cleaned picture `[H, W, C]` without the bias of the cut; `sigma` in [0, 1] units."""
    return clean - _excess(noisy == 0, clean, sigma) + _excess(noisy == 1, 1 - clean, sigma)


def _excess(cut: np.ndarray, mean: np.ndarray, sigma: float) -> np.ndarray:
    """Return how far the mean of what was cut off at 0 stands above the value that it was."""
    seen = np.maximum(mean, 0) / sigma
    value = np.where(seen < _MEANS[-1], np.interp(seen, _MEANS, _U), seen)
    expected = ndtr(0.5 / 255 / sigma - value)  # rounding to 8 bits takes half a step more to 0
    side = 2 * RADIUS + 1
    found, expected = (ndimage.uniform_filter(x.astype(np.float32), side, axes=(0, 1)) for x in (cut, expected))
    share = np.where(expected > 1e-4, np.minimum(found / np.maximum(expected, 1e-4), 1), 0)
    return (share * (seen - value) * sigma).astype(np.float32)


def measure(folder: Path, model: str, channels: int, pictures: int) -> list[Gain]:
    """Measure one model on all noises."""
    dataset, denoiser = datasets.make(f"images:{folder / 'bsds500/val'}", channels=channels), denoisers.make(model)
    rows = []
    for spec, told in [(spec, True) for spec in TOLD] + [(spec, False) for spec in FOUND]:
        spoil, scores = noise.make(f"{spec} + clip + quantize:8"), []
        for index in range(0, len(dataset), max(1, len(dataset) // pictures)):
            clean = as_float(dataset[index])[:CROP, :CROP]  # type: ignore[arg-type]
            noisy = spoil(clean, index)
            sigma = spoil.sigma if told else estimation.inspect(noisy).sigma
            if sigma:
                cleaned = denoiser(noisy, sigma)
                scores.append([psnr(clean, one) for one in (noisy, cleaned, undone(noisy, cleaned, sigma))])
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
