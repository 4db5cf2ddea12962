"""Real camera noise: `photo`, told nothing, beside others that are told their best level.

    python benchmarks/quality/camera.py [--data ../shared/data] [--folds runs/folds]

First PolyU's development pairs, single shots against the mean of many. `photo` learned from such pairs; so that no
pair is scored by a model that has seen its scene, the models of benchmarks/quality/folds.py take its place, each on
its own fold, also where `auto` picks it. The others are given every level of `LEVELS`, and stand with the best one
for all pairs and with the best one for each pair: both know the truth. Then what is done to clean photographs,
Kodak24, by the `photo` that ships. A shift is the change of a channel's mean from input to output, in 8-bit levels,
at its largest.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common
import folds
import numpy as np

from unnoise import datasets, denoisers
from unnoise.denoisers.base import Denoiser
from unnoise.evaluation import report
from unnoise.evaluation.benchmark import noisy_pairs
from unnoise.evaluation.metrics import psnr
from unnoise.noise.synthetic import Gaussian
from unnoise.units import FULL_SCALE

LEVELS = (2, 4, 6, 8, 10, 12, 15, 20)
Pairs = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Real:
    """One method on the pairs: what it was told, the mean PSNR in dB, and its largest shift."""

    method: str
    told: str
    psnr: float
    shift: float


@dataclass(frozen=True)
class Clean:
    """One method on clean photographs: the PSNR against themselves, mean and lowest, and the largest shift."""

    method: str
    psnr: float
    lowest: float
    shift: float


def measure(method: Callable[[np.ndarray], np.ndarray], pairs: Pairs) -> np.ndarray:
    """Return PSNR and largest shift for every pair, `[N, 2]`."""
    rows = []
    for noisy, clean in pairs:
        cleaned = method(noisy)
        moved = np.abs((cleaned - noisy).mean(axis=(0, 1))).max()
        rows.append((psnr(clean, cleaned), FULL_SCALE * moved))
    return np.array(rows)


def real(folder: Path, trained: Path) -> list[Real]:
    """Measure every method on PolyU."""
    pairs = [pair[:2] for pair in noisy_pairs(datasets.make(f"pairs:{folder / 'polyu'}"), None)]
    rows = [_real("noisy input", "", measure(lambda noisy: noisy, pairs))]
    for name in ("wavelet", "nlm", "color"):
        denoiser = denoisers.make(name, engine="onnx")
        at = {level: measure(lambda noisy, level=level: denoiser(noisy, level / FULL_SCALE), pairs) for level in LEVELS}  # noqa: B023
        best = max(LEVELS, key=lambda level: at[level][:, 0].mean())
        rows.append(_real(name, f"{best}, the best for all", at[best]))
        every = np.stack(list(at.values()))
        chosen = every[:, :, 0].argmax(axis=0)
        rows.append(_real(name, "the best for each", every[chosen, np.arange(len(pairs))]))
        if name == "color":
            rows.append(_real(name, "nothing: estimated", measure(lambda noisy: denoiser(noisy), pairs)))  # noqa: B023
    auto, unseen, picked = denoisers.make("auto", engine="onnx"), [], []
    for model, dataset in folds.trained(folder, 2, trained):
        pairs = [pair[:2] for pair in noisy_pairs(dataset, None)]
        unseen.append(measure(model, pairs))
        picked.append(measure(lambda noisy: _as_picked(auto, noisy, photo=model), pairs))  # noqa: B023
    rows.append(_real("photo, of the other scenes", "nothing", np.concatenate(unseen)))
    return [*rows, _real("auto, with that photo", "nothing", np.concatenate(picked))]


def _as_picked(auto: Denoiser, noisy: np.ndarray, photo: Denoiser) -> np.ndarray:
    """Clean by the model that `auto` picks, with another in the place of `photo`."""
    model, told = auto.resolve(noisy)
    return photo(noisy) if model.name == "photo" else model(noisy, told)


def clean(folder: Path) -> list[Clean]:
    """Measure on Kodak24 what is lost of clean pictures."""
    pairs = [pair[:2] for pair in noisy_pairs(datasets.make(f"images:{folder / 'kodak24'}"), Gaussian(0))]
    rows = []
    for name in ("color", "photo"):
        denoiser = denoisers.make(name, engine="onnx")
        values = measure(lambda noisy: denoiser(noisy), pairs)  # noqa: B023
        rows.append(Clean(name, values[:, 0].mean(), values[:, 0].min(), values[:, 1].max()))
    return rows


def _real(method: str, told: str, values: np.ndarray) -> Real:
    return Real(method, told, values[:, 0].mean(), values[:, 1].max())


def main() -> None:
    """Print both tables."""
    parser = common.parser(__doc__, data=True)
    parser.add_argument("--folds", type=Path, default=Path("runs/folds"))
    arguments = parser.parse_args()
    print(report.markdown(real(arguments.data, arguments.folds)))
    print()
    print(report.markdown(clean(arguments.data)))


if __name__ == "__main__":
    main()
