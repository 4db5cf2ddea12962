"""Real camera noise: `photo`, which is blind, beside other denoisers with their best sigma.

    python benchmarks/quality/camera.py [--data ../shared/data] [--folds runs/folds]

First PolyU's development pairs, single shots against the mean of many. `photo` is trained on such pairs; so that no
scene is scored by a model trained on it, the models of benchmarks/quality/folds.py replace it, each on its held-out
fold, also where `auto` selects it. The others run with every sigma of `SIGMAS`; the table has the best sigma for all
pairs, and the best one for each pair, both chosen with knowledge of the truth. Then the effect on clean photographs,
Kodak24, of the bundled `photo`. `shift` is the largest change of a channel's mean from input to output, in 8-bit units.
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
from unnoise.evaluation.metrics import psnr
from unnoise.noise.synthetic import Gaussian
from unnoise.units import FULL_SCALE

SIGMAS = (2, 4, 6, 8, 10, 12, 15, 20)


@dataclass(frozen=True)
class Real:
    """One method on the pairs: how sigma was chosen, the mean PSNR in dB, and the largest shift."""

    method: str
    sigma: str
    psnr: float
    shift: float


@dataclass(frozen=True)
class Clean:
    """One method on clean photographs: mean and lowest PSNR against the input in dB, and the largest shift."""

    method: str
    psnr: float
    lowest: float
    shift: float


def measure(method: Callable[[np.ndarray], np.ndarray], pairs: common.Pairs) -> np.ndarray:
    """Return the PSNR in dB and the largest shift for every pair, `[N, 2]`."""
    rows = []
    for noisy, clean in pairs:
        denoised = method(noisy)
        shift = np.abs((denoised - noisy).mean(axis=(0, 1))).max()
        rows.append((psnr(clean, denoised), FULL_SCALE * shift))
    return np.array(rows)


def real(folder: Path, fold_models: Path) -> list[Real]:
    """Measure every method on PolyU."""
    pairs = common.pairs(datasets.make(f"pairs:{folder / 'polyu'}"))
    rows = [_real("noisy input", "", measure(lambda noisy: noisy, pairs))]
    for name in ("wavelet", "nlm", "color"):
        denoiser = denoisers.make(name, engine="onnx")
        by_sigma = {sigma: measure(_with_sigma(denoiser, sigma), pairs) for sigma in SIGMAS}
        best = max(SIGMAS, key=lambda sigma: by_sigma[sigma][:, 0].mean())
        rows.append(_real(name, f"{best}, the best for all", by_sigma[best]))
        values = np.stack(list(by_sigma.values()))
        best_each = values[:, :, 0].argmax(axis=0)
        rows.append(_real(name, "the best for each", values[best_each, np.arange(len(pairs))]))
        if name == "color":
            rows.append(_real(name, "estimated", measure(denoiser, pairs)))
    auto, held_out, selected = denoisers.make("auto", engine="onnx"), [], []
    for model, dataset in folds.trained(folder, 2, fold_models):
        pairs = common.pairs(dataset)
        held_out.append(measure(model, pairs))
        selected.append(measure(_with_photo(auto, model), pairs))
    rows.append(_real("photo, held-out scenes", "blind", np.concatenate(held_out)))
    return [*rows, _real("auto, with that photo", "blind", np.concatenate(selected))]


def _with_sigma(denoiser: Denoiser, sigma: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda noisy: denoiser(noisy, sigma / FULL_SCALE)


def _with_photo(auto: Denoiser, photo: Denoiser) -> Callable[[np.ndarray], np.ndarray]:
    """Return `auto` with another model in place of `photo`."""

    def denoise(noisy: np.ndarray) -> np.ndarray:
        model, sigma = auto.resolve(noisy)
        return photo(noisy) if model.name == "photo" else model(noisy, sigma)

    return denoise


def clean(folder: Path) -> list[Clean]:
    """Measure what models change in the clean images of Kodak24."""
    pairs = common.pairs(datasets.make(f"images:{folder / 'kodak24'}"), Gaussian(0))
    rows = []
    for name in ("color", "photo"):
        values = measure(denoisers.make(name, engine="onnx"), pairs)
        rows.append(Clean(name, values[:, 0].mean(), values[:, 0].min(), values[:, 1].max()))
    return rows


def _real(method: str, sigma: str, values: np.ndarray) -> Real:
    return Real(method, sigma, values[:, 0].mean(), values[:, 1].max())


def main() -> None:
    """Print both tables."""
    parser = common.parser(__doc__, data=True)
    parser.add_argument("--folds", type=Path, default=Path("runs/folds"), help="folder of the models of folds.py")
    arguments = parser.parse_args()
    print(report.markdown(real(arguments.data, arguments.folds)))
    print()
    print(report.markdown(clean(arguments.data)))


if __name__ == "__main__":
    main()
