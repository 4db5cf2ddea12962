"""No-reference ranking of models, compared with the ranking by PSNR against the truth.

    python benchmarks/quality/ranking.py [MODEL...] [--noise gaussian:25 ...] [--data images:../shared/data/kodak24]

Noise is added to every image, and `unnoise evaluate --no-reference` sees only the result. `psnr_truth` is measured on
the images as they are ranked; `psnr_extra` is estimated at 1.12 times their noise, and so is lower. What counts is the
order: Kendall's rank correlation of the two is 1 where it is the same. The noise level is not given.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common
import numpy as np
from scipy.stats import kendalltau

from unnoise import datasets, denoisers, noise
from unnoise.datasets.base import Dataset
from unnoise.evaluation import no_reference, report
from unnoise.evaluation.metrics import psnr

MODELS = ("color", "color-fast", "photo", "impulse", "nlm", "wavelet", "tv", "bilateral", "median")


@dataclass(frozen=True)
class Ranked:
    """One model on one noise: mean PSNR in dB, estimated without reference in two ways, and measured."""

    noise: str
    model: str
    images: int
    psnr_extra: float
    psnr_blind_spot: float
    psnr_truth: float


class NoisyCrops(Dataset):
    """Central crops of clean images with noise added; pairs of noisy and clean."""

    def __init__(self, data: str, spec: str, side: int) -> None:
        self._clean, self._noise, self._side = datasets.make(data), noise.make(spec), side

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._clean)

    def label(self, index: int) -> str:
        """Return the name of the clean image."""
        return self._clean.label(index)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return a noisy and a clean crop, float32 `[H, W, C]`."""
        clean = common.center_crop(common.clean_image(self._clean, index), self._side)
        return self._noise(clean, np.random.default_rng((0, index))), clean


def ranked(names: Sequence[str], data: str, spec: str, side: int) -> list[Ranked]:
    """Rank models on noisy images without reference, best first, and measure their PSNR."""
    dataset, models = NoisyCrops(data, spec, side), {name: denoisers.make(name, engine="onnx") for name in names}
    rows = []
    for row in no_reference.rank_models(models, dataset, data=data, blind=True):
        scores = []
        for index in range(len(dataset)):
            noisy, clean = dataset[index]
            scores.append(psnr(clean, common.denoise_blind(models[row.model], noisy)))
        truth = float(np.mean(scores))
        rows.append(Ranked(spec, row.model, row.images, row.psnr_extra, row.psnr_blind_spot, truth))
    return rows


def main() -> None:
    """Print a table per noise, and the rank correlations."""
    parser = common.parser(__doc__)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--noise", nargs="+", default=["gaussian:25", "poisson:30"])
    parser.add_argument("--data", default="images:../shared/data/kodak24")
    parser.add_argument("--side", type=int, default=256, help="of the central crops, in pixels")
    arguments = parser.parse_args()
    for spec in arguments.noise:
        rows = ranked(arguments.models, arguments.data, spec, arguments.side)
        print(report.markdown(rows))
        truth = [row.psnr_truth for row in rows]
        for score in ("psnr_extra", "psnr_blind_spot"):
            correlation, _ = kendalltau([getattr(row, score) for row in rows], truth)
            print(f"\n{score}: rank correlation {correlation:.2f}")
        print()


if __name__ == "__main__":
    main()
