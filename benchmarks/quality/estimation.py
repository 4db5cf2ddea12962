"""How well noise is found: its level over BSD68, its kind over Kodak24, and whether the model that is picked fits.

    python benchmarks/quality/estimation.py [--data ../shared/data] [--picks] [--pictures 24]

With `--picks`, only what the models make of crops of Kodak24 is told. Noise is put in as a file of 8 bits holds it.

Beside it stands scikit-image's `estimate_sigma`, the median of the finest wavelet coefficients (Donoho and Johnstone,
Biometrika 81, 1994). Levels are in 8-bit units.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common
import numpy as np
from skimage import restoration

from unnoise import datasets, denoisers, noise
from unnoise.datasets.base import as_float
from unnoise.denoisers.base import Sigma
from unnoise.evaluation import report
from unnoise.evaluation.benchmark import noisy_pairs
from unnoise.evaluation.metrics import psnr
from unnoise.noise import estimation
from unnoise.pipeline import process

LEVELS = (5, 10, 15, 25, 35, 50)


def wavelet(pixels: np.ndarray) -> float:
    """Return scikit-image's estimate, [0, 1] units."""
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
"""Noise -> the kind that it is."""
KINDS = tuple(dict.fromkeys(CASES.values()))
CROP = 256  # side of the pictures of `picks`
WITHIN = 0.2  # dB behind the best model, that a pick may be

METHODS: dict[str, Callable[[np.ndarray], float]] = {
    "unnoise": lambda pixels: estimation.estimate_noise(pixels).sigma,
    "wavelet median": wavelet,
}


@dataclass(frozen=True)
class White:
    """One level of white noise: the mean estimate and the mean absolute error of one method."""

    method: str
    sigma: int
    mean: float
    error: float


@dataclass(frozen=True)
class Clean:
    """What one method finds in pictures without noise, and its time."""

    method: str
    mean: float
    largest: float
    seconds_per_10_megapixels: float


def white(folder: Path) -> list[White]:
    """Measure every method on BSD68 with white noise, not clipped."""
    pictures, rows = datasets.make(f"images:{folder / 'bsd68'}"), []
    for sigma in LEVELS:
        noisy = [pair[0] for pair in noisy_pairs(pictures, noise.make(f"gaussian:{sigma}"))]
        for name, method in METHODS.items():
            found = 255 * np.array([method(picture) for picture in noisy])
            rows.append(White(name, sigma, float(found.mean()), float(np.abs(found - sigma).mean())))
    return rows


def clean(folder: Path) -> list[Clean]:
    """Measure every method on Kodak24 as it is, and time it on 10 megapixels."""
    pictures = datasets.make(f"images:{folder / 'kodak24'}")
    kodak = [as_float(pictures[index]) for index in range(len(pictures))]  # type: ignore[arg-type]
    large = np.tile(kodak[0], (5, 6, 1))[:2500, :4000]
    rows = []
    for name, method in METHODS.items():
        found = 255 * np.array([method(picture) for picture in kodak])
        start = time.perf_counter()
        method(large)
        rows.append(Clean(name, float(found.mean()), float(found.max()), time.perf_counter() - start))
    return rows


@dataclass(frozen=True)
class Kinds:
    """What one noise is taken for: pictures of each kind found, and its level, true and found (impulses left aside)."""

    noise: str
    is_: str
    none: int
    gaussian: int
    signal_dependent: int
    impulse: int
    correlated: int
    mixed: int
    level: float
    found: float


@dataclass(frozen=True)
class Pick:
    """What one noise leaves to the models: PSNR of each, how often which was picked, and how often that was right."""

    noise: str
    channels: int
    best: str
    psnr_best: float
    psnr_picked: float
    picked: str
    right: float


def spoiled(spec: str) -> noise.Noise:
    """Return a noise as it lies in a file of 8 bits."""
    return noise.make(f"{spec} + clip + quantize:8")


def kinds(folder: Path, pictures: int) -> Iterator[Kinds]:
    """Tell what every noise over Kodak24 is taken for."""
    kodak = datasets.make(f"images:{folder / 'kodak24'}")
    for spec, kind in CASES.items():
        counted, true, found = Counter[str](), list[float](), list[float]()
        other = noise.make(spec.partition(" + salt-pepper")[0]) if kind != "impulse" else noise.make("gaussian:0")
        for index, (noisy, clean, _) in enumerate(noisy_pairs(kodak, spoiled(spec))):
            if index == pictures:
                break
            seen = estimation.estimate_noise(noisy)
            counted[seen.kind] += 1
            true.append(255 * float(np.std(other(clean, index) - clean)))
            found.append(255 * seen.sigma)
        named = {key.replace("-", "_"): counted[key] for key in KINDS}
        yield Kinds(spec, kind, **named, level=float(np.mean(true)), found=float(np.mean(found)))


def picks(folder: Path, pictures: int) -> Iterator[Pick]:
    """Give crops of Kodak24, in colour and in grey, to every shipped model of a size and to the one that fits."""
    auto = denoisers.make("auto", engine="onnx")
    names = [name for name in denoisers.bundled_models() if not name.endswith("-large")]
    models = {name: denoisers.make(name, engine="onnx") for name in names}
    for channels in (3, 1):
        kodak = datasets.make(f"images:{folder / 'kodak24'}", channels=channels)
        able = {name: model for name, model in models.items() if model.channels in (channels, 3)}
        for spec in CASES:
            scores, picked, chosen = {name: list[float]() for name in able}, Counter[str](), list[float]()
            for index, (noisy, clean, _) in enumerate(noisy_pairs(kodak, spoiled(spec), crop=CROP)):
                if index == pictures:
                    break
                for name, model in able.items():
                    scores[name].append(_score(*model.resolve(noisy), noisy, clean))
                model, told = auto.resolve(noisy)
                picked[str(model)] += 1
                chosen.append(_score(model, told, noisy, clean))
            top = np.max(list(scores.values()), axis=0)
            best = max(scores, key=lambda name: float(np.mean(scores[name])))
            right = float(np.mean(np.array(chosen) >= top - WITHIN))
            names = ", ".join(f"{name} {times}" for name, times in picked.most_common())
            yield Pick(spec, channels, best, float(np.mean(scores[best])), float(np.mean(chosen)), names, 100 * right)


def _score(model: denoisers.Denoiser, told: Sigma | None, noisy: np.ndarray, clean: np.ndarray) -> float:
    return min(psnr(clean, process.denoise_array(model, noisy, told)), 60.0)


def main() -> None:
    """Print the tables."""
    parser = common.parser(__doc__, data=True)
    parser.add_argument("--picks", action="store_true", help="measure what the models make of it, instead")
    parser.add_argument("--pictures", type=int, default=24, help="how many of Kodak24")
    asked = parser.parse_args()
    folder = asked.data
    if asked.picks:
        rows = list(picks(folder, asked.pictures))
        print(f"The model that is picked, on crops of Kodak24; right is within {WITHIN} dB of the best, in per cent:\n")
        print(report.markdown(rows))
        print(f"\nRight in all: {np.mean([row.right for row in rows]):.1f} %")
        return
    print("White noise on BSD68:\n")
    print(report.markdown(white(folder)))
    print("\nClean Kodak24:\n")
    print(report.markdown(clean(folder)))
    print("\nKinds of noise over Kodak24, pictures:\n")
    print(report.markdown(list(kinds(folder, asked.pictures))))


if __name__ == "__main__":
    main()
