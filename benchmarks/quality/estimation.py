"""Accuracy of noise estimation: its level on BSD68, its kind on Kodak24, and the models selected by it.

    python benchmarks/quality/estimation.py [--data ../shared/data] [--selection] [--images 24]

`--selection` measures the selected models instead, on crops of Kodak24. Kinds and selection are measured with noise as
an 8-bit file stores it, clipped and quantized.

The comparison is scikit-image's `estimate_sigma`, the median of the finest wavelet coefficients (Donoho and Johnstone,
Biometrika 81, 1994). Noise levels are in 8-bit units.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common
import numpy as np
from skimage import restoration

from unnoise import datasets, denoisers, noise
from unnoise.denoisers.base import Denoiser
from unnoise.evaluation import report
from unnoise.evaluation.benchmark import noisy_pairs
from unnoise.pipeline import process
from unnoise.units import FULL_SCALE

LEVELS = (5, 10, 15, 25, 35, 50)


def wavelet(pixels: np.ndarray) -> float:
    """Return scikit-image's estimate, in [0, 1] units."""
    return float(np.mean(restoration.estimate_sigma(pixels, channel_axis=2)))


CASES = {
    "gaussian:0": "none",
    "gaussian:5": "gaussian",
    "gaussian:15": "gaussian",
    "gaussian:25": "gaussian",
    "gaussian:50": "gaussian",
    "poisson:10": "signal-dependent",
    "poisson:30": "signal-dependent",
    "poisson:100": "signal-dependent",
    "speckle:25": "signal-dependent",
    "speckle:60": "signal-dependent",
    "salt-pepper:0.01": "impulse",
    "salt-pepper:0.05": "impulse",
    "salt-pepper:0.3": "impulse",
    "camera:800 + jpeg:95": "correlated",
    "camera:3200,smooth=0.5,smooth_color=2 + jpeg:95": "correlated",
    "camera:12800,smooth=0.7,smooth_color=3 + jpeg:90": "correlated",
    "gaussian:25 + jpeg:60": "correlated",
    "gaussian:15 + salt-pepper:0.05": "mixed",
    "gaussian:25 + salt-pepper:0.2": "mixed",
    "poisson:30 + salt-pepper:0.1": "mixed",
}
"""Noise -> its true kind."""
KINDS = tuple(dict.fromkeys(CASES.values()))
CROP = 256  # side of the images of `selection`, pixels
WITHIN = 0.2  # dB: a selection this close to the best model counts as right

METHODS: dict[str, Callable[[np.ndarray], float]] = {
    "unnoise": lambda pixels: denoisers.estimate_noise(pixels).sigma,
    "wavelet median": wavelet,
}


@dataclass(frozen=True)
class WhiteNoise:
    """One level of white noise: the mean estimate and the mean absolute error of one method."""

    method: str
    sigma: int
    mean: float
    error: float


@dataclass(frozen=True)
class CleanImages:
    """Estimates of one method on images without added noise, and its time."""

    method: str
    mean: float
    largest: float
    seconds_per_10_megapixels: float


def white_noise(folder: Path) -> list[WhiteNoise]:
    """Measure every method on BSD68 with white noise, not clipped."""
    dataset, rows = datasets.make(f"images:{folder / 'bsd68'}"), []
    for sigma in LEVELS:
        noisy = [pair[0] for pair in noisy_pairs(dataset, noise.make(f"gaussian:{sigma}"))]
        for name, method in METHODS.items():
            estimates = FULL_SCALE * np.array([method(image) for image in noisy])
            rows.append(WhiteNoise(name, sigma, float(estimates.mean()), float(np.abs(estimates - sigma).mean())))
    return rows


def clean_images(folder: Path) -> list[CleanImages]:
    """Measure every method on Kodak24 as it is, and time it on 10 megapixels."""
    dataset = datasets.make(f"images:{folder / 'kodak24'}")
    kodak = [common.clean_image(dataset, index) for index in range(len(dataset))]
    large = np.tile(kodak[0], (5, 6, 1))[:2500, :4000]
    rows = []
    for name, method in METHODS.items():
        estimates = FULL_SCALE * np.array([method(image) for image in kodak])
        seconds, _ = common.timed(method, large)
        rows.append(CleanImages(name, float(estimates.mean()), float(estimates.max()), seconds))
    return rows


@dataclass(frozen=True)
class Kinds:
    """One noise: images by estimated kind, and mean noise level without impulses, true and estimated."""

    noise: str
    true_kind: str
    none: int
    gaussian: int
    signal_dependent: int
    impulse: int
    correlated: int
    mixed: int
    sigma: float
    estimated: float


@dataclass(frozen=True)
class Selection:
    """One noise: the best model on average, the selected models with their counts, mean PSNR of both in dB.

    `right` is the share of images in percent whose selected model is within `WITHIN` of the best one for that image.
    """

    noise: str
    channels: int
    best: str
    psnr_best: float
    psnr_selected: float
    selected: str
    right: float


def kinds(folder: Path, count: int) -> Iterator[Kinds]:
    """Estimate the kind and the level of every noise on Kodak24."""
    kodak = datasets.make(f"images:{folder / 'kodak24'}")
    for spec, kind in CASES.items():
        counts, true, estimated = Counter[str](), list[float](), list[float]()
        without_impulses = noise.make(spec.partition(" + salt-pepper")[0] if kind != "impulse" else "gaussian:0")
        pairs = noisy_pairs(kodak, common.file_noise(spec), only=slice(count))
        for index, (noisy, clean, _) in enumerate(pairs):
            estimate = denoisers.estimate_noise(noisy)
            counts[estimate.kind] += 1
            true.append(FULL_SCALE * float(np.std(without_impulses(clean, index) - clean)))
            estimated.append(FULL_SCALE * estimate.sigma)
        by_kind = {name.replace("-", "_"): counts[name] for name in KINDS}
        yield Kinds(spec, kind, **by_kind, sigma=float(np.mean(true)), estimated=float(np.mean(estimated)))


def selection(folder: Path, count: int) -> Iterator[Selection]:
    """Compare `auto` with every bundled model but the large ones, on color and gray crops of Kodak24."""
    auto = denoisers.make("auto", engine="onnx")
    names = [name for name in denoisers.bundled_models() if not name.endswith("-large")]
    models = {name: denoisers.make(name, engine="onnx") for name in names}
    for channels in (3, 1):
        kodak = datasets.make(f"images:{folder / 'kodak24'}", channels=channels)
        applicable = {name: model for name, model in models.items() if model.channels in (channels, 3)}
        for spec in CASES:
            pairs = noisy_pairs(kodak, common.file_noise(spec), crop=CROP, only=slice(count))
            yield _select(spec, channels, auto, applicable, [(noisy, clean) for noisy, clean, _ in pairs])


def _select(spec: str, channels: int, auto: Denoiser, models: Mapping[str, Denoiser], pairs: common.Pairs) -> Selection:
    scores, selected, of_selected = {name: list[float]() for name in models}, Counter[str](), list[float]()
    for noisy, clean in pairs:
        for name, model in models.items():
            scores[name].append(common.capped_psnr(clean, common.denoise_blind(model, noisy)))
        model, sigma = auto.resolve(noisy)
        selected[str(model)] += 1
        of_selected.append(common.capped_psnr(clean, process.denoise_array(model, noisy, sigma)))
    best_each = np.max(list(scores.values()), axis=0)
    means = {name: float(np.mean(values)) for name, values in scores.items()}
    best = max(means, key=lambda name: means[name])
    right = 100 * float(np.mean(np.array(of_selected) >= best_each - WITHIN))
    counts = ", ".join(f"{name} {count}" for name, count in selected.most_common())
    return Selection(spec, channels, best, means[best], float(np.mean(of_selected)), counts, right)


def main() -> None:
    """Print the tables."""
    parser = common.parser(__doc__, data=True)
    parser.add_argument("--selection", action="store_true", help="measure the selected models instead")
    parser.add_argument("--images", type=int, default=24, help="how many of Kodak24")
    arguments = parser.parse_args()
    if arguments.selection:
        rows = list(selection(arguments.data, arguments.images))
        print(f"Selected models on crops of Kodak24; `right`: within {WITHIN} dB of the best model, in percent:\n")
        print(report.markdown(rows))
        print(f"\nRight in all: {np.mean([row.right for row in rows]):.1f} %")
        return
    print("White noise on BSD68:\n")
    print(report.markdown(white_noise(arguments.data)))
    print("\nClean Kodak24:\n")
    print(report.markdown(clean_images(arguments.data)))
    print("\nEstimated kinds of noise on Kodak24, number of images:\n")
    print(report.markdown(list(kinds(arguments.data, arguments.images))))


if __name__ == "__main__":
    main()
