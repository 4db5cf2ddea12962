"""Models ranked without truth, beside what the truth says of the same pictures.

    python benchmarks/quality/ranking.py [MODEL...] [--noise gaussian:25 ...] [--data images:../shared/data/kodak24]

Noise is added to every picture, and `unnoise evaluate --no-reference` sees only the result. `psnr_truth` is measured on
the pictures as they are ranked; `psnr_extra` is estimated at 1.12 times their noise, and so is lower. What counts
is the order: Kendall's rank correlation of the two is 1 where it is the same. The noise level is not given.
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
from unnoise.datasets.base import Dataset, as_float
from unnoise.evaluation import no_reference, report
from unnoise.evaluation.metrics import psnr
from unnoise.pipeline import process

MODELS = ("color", "color-fast", "photo", "impulse", "nlm", "wavelet", "tv", "bilateral", "median")


@dataclass(frozen=True)
class Ranked:
    """One model on one noise: what is estimated without truth, and what it is; PSNR in dB, means over the pictures."""

    noise: str
    model: str
    images: int
    psnr_extra: float
    psnr_blind_spot: float
    psnr_truth: float


class Spoilt(Dataset):
    """The middles of clean pictures, each with noise of its own; pairs of noisy and clean."""

    def __init__(self, data: str, spec: str, side: int) -> None:
        self._clean, self._noise, self._side = datasets.make(data), noise.make(spec), side

    def __len__(self) -> int:
        """Count the pictures."""
        return len(self._clean)

    def label(self, index: int) -> str:
        """Name one as its clean picture is named."""
        return self._clean.label(index)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return one, noisy and clean."""
        whole = as_float(self._clean[index])  # type: ignore[arg-type]
        top, left = (max(length - self._side, 0) // 2 for length in whole.shape[:2])
        clean = whole[top : top + self._side, left : left + self._side]
        return self._noise(clean, np.random.default_rng((0, index))), clean


def ranked(models: Sequence[str], data: str, spec: str, side: int) -> list[Ranked]:
    """Rank models on spoilt pictures, best first, and say what each really makes of them."""
    pictures, opened = Spoilt(data, spec, side), {name: denoisers.make(name, engine="onnx") for name in models}
    rows = []
    for row in no_reference.rank_models(opened, pictures, data=data, blind=True):
        model, scores = opened[row.model], []
        for index in range(len(pictures)):
            noisy, clean = pictures[index]
            settled, told = model.resolve(noisy)
            scores.append(psnr(clean, process.denoise_array(settled, noisy, told)))
        truth = float(np.mean(scores))
        rows.append(Ranked(spec, row.model, row.images, row.psnr_extra, row.psnr_blind_spot, truth))
    return rows


def main() -> None:
    """Print a table per noise, and how alike the orders are."""
    parser = common.parser(__doc__)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--noise", nargs="+", default=["gaussian:25", "poisson:30"])
    parser.add_argument("--data", default="images:../shared/data/kodak24")
    parser.add_argument("--side", type=int, default=256, help="of the middles that are taken, in pixels")
    arguments = parser.parse_args()
    for spec in arguments.noise:
        rows = ranked(arguments.models, arguments.data, spec, arguments.side)
        print(report.markdown(rows))
        truth = [row.psnr_truth for row in rows]
        for score in ("psnr_extra", "psnr_blind_spot"):
            alike, _ = kendalltau([getattr(row, score) for row in rows], truth)
            print(f"\n{score}: rank correlation {alike:.2f}")
        print()


if __name__ == "__main__":
    main()
