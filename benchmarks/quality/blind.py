"""Quality where nothing is given but the picture: real cameras, microscopes, Gaussian noise, and clean pictures.

    python benchmarks/quality/blind.py [--data ../shared/data] [--model blind] [--folds runs/blind_folds]
                                       [--only polyu fmd gaussian clean levels] [--pictures 68]

`--model` is compared with `auto`. PSNR in dB; noisy pictures are as a file of 8 bits holds them. On PolyU, every pair
is cleaned by a model that has not seen its scene, where `folds.py --recipe recipes/blind_finish.yaml --out FOLDS` has
trained such; where it has not, by `--model`, which learned from these very pairs. What is missing is passed over, and
named.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common
import folds
import numpy as np

from unnoise import datasets, denoisers, noise
from unnoise.datasets.base import as_float, read_stored
from unnoise.denoisers.auto import Auto
from unnoise.denoisers.base import Denoiser
from unnoise.denoisers.model_cache import ModelCache
from unnoise.errors import UnnoiseError
from unnoise.evaluation import report
from unnoise.evaluation.benchmark import noisy_pairs
from unnoise.evaluation.metrics import psnr
from unnoise.training.run_folder import LOSSES

FINISH = Path("recipes/blind_finish.yaml")
Method = Callable[[np.ndarray], np.ndarray]
MAX_PSNR = 100.0
"""What a picture that comes back unchanged counts in a mean."""
CONSTANT_LEVELS = (2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 30, 36, 43, 50, 60, 70)
GAUSSIAN = (5, 15, 25, 50)
CASES = ("exif2c08", "clipboard_target", "rgb24", "hopper_bw_500", "imagedraw_ellipse_various_sizes")
SYNTHETIC = (
    *(f"gaussian:{level}" for level in (2, 5, 10, 15, 25, 50)),
    *(
        f"varied:sd={level},smooth={width},smooth_color={width}"
        for level in (3, 6, 12, 25)
        for width in (0.6, 1.0, 1.8)
    ),
    *(f"varied:sd={level},smooth=0.7,smooth_color=2 + jpeg:92" for level in (6, 12, 25)),
    *(f"varied:sd={level},share=1,power=1" for level in (5, 15, 40)),
)
WITHIN = 0.1


@dataclass(frozen=True)
class Scores:
    """Mean PSNR over a set of pictures: as they are, by `auto`, and by the model."""

    data: str
    images: int
    noisy: float
    auto: float
    blind: float


@dataclass(frozen=True)
class Microscopy:
    """One picture: PSNR as it is, by `auto`, by the model, and at the best constant level of the best model."""

    picture: str
    noisy: float
    auto: float
    blind: float
    best_constant: float
    behind: float


@dataclass(frozen=True)
class GivenSigma:
    """Gaussian noise in files of 8 bits: mean PSNR of `color` with the level given, and of what is given nothing.

    `behind` is how far `auto` is; `color_found` is `color` with the map of the level that the model finds.
    """

    data: str
    sigma: int
    color_given: float
    auto: float
    blind: float
    behind: float
    color_found: float


@dataclass(frozen=True)
class Clean:
    """Clean pictures against themselves: mean and lowest PSNR; unchanged ones count `MAX_PSNR`."""

    data: str
    images: int
    auto: float
    auto_lowest: float
    blind: float
    blind_lowest: float


@dataclass(frozen=True)
class Level:
    """Synthetic noise: the mean of level found / true, the share within 10 %, and correlation between neighbors."""

    noise: str
    ratio: float
    within: float
    correlation: float
    correlation_found: float


def polyu(data: Path, auto: Denoiser, blind: Denoiser, out: Path) -> Iterator[Scores]:
    """Score PolyU, by models of other scenes where there are such."""
    if not all((out / str(fold) / LOSSES).exists() for fold in range(2)):
        print(f"no folds in '{out}': PolyU by the model itself, which learned from these pairs\n", file=sys.stderr)
        scores = _score(noisy_pairs(datasets.make(f"pairs:{data / 'polyu'}"), None), auto, blind)
        yield Scores("polyu, seen in training", len(scores), *np.mean(scores, axis=0))
        return
    everything: list[tuple[float, ...]] = []
    for fold, (model, unseen) in enumerate(folds.trained(data, 2, out, FINISH)):
        scores = _score(noisy_pairs(unseen, None), _auto_with(model), model)
        everything += scores
        yield Scores(f"polyu, fold {fold + 1}", len(scores), *np.mean(scores, axis=0))
    yield Scores("polyu, all folds", len(everything), *np.mean(everything, axis=0))


def _auto_with(blind: Denoiser) -> Denoiser:
    """Return `auto` with another model in the place of the bundled `blind`."""
    open_model = functools.partial(denoisers.make, engine="onnx")
    models = ModelCache(lambda name: blind if name == "blind" else open_model(name))
    return Auto(models, tuple(denoisers.bundled_models()))


def _score(pairs: Iterable[tuple[np.ndarray, np.ndarray, float | None]], *methods: Method) -> list[tuple[float, ...]]:
    """Return the PSNR of noisy images, and of every method."""
    return [
        tuple(min(psnr(clean, image), MAX_PSNR) for image in (noisy, *(method(noisy) for method in methods)))
        for noisy, clean, _ in pairs
    ]


def fmd(data: Path, auto: Denoiser, blind: Denoiser) -> Iterator[Microscopy]:
    """Score each picture of microscopes."""
    with_sigma = [denoisers.make(name, engine="onnx") for name in ("gray", "color")]
    photo = denoisers.make("photo", engine="onnx")
    for path in sorted((data / "fmd" / "raw").glob("*.png")):
        noisy, clean = (as_float(read_stored(data / "fmd" / part / path.name)) for part in ("raw", "gt"))
        at_levels = [psnr(clean, model(noisy, level / 255)) for model in with_sigma for level in CONSTANT_LEVELS]
        best = max(*at_levels, psnr(clean, photo(noisy)))
        ((before, by_auto, by_blind),) = _score([(noisy, clean, None)], auto, blind)
        yield Microscopy(path.stem, before, by_auto, by_blind, best, best - by_auto)


def gaussian(folder: Path, auto: Denoiser, blind: Denoiser, pictures: int) -> Iterator[GivenSigma]:
    """Score Gaussian noise in files, beside `color` that is given the level."""
    color, dataset = denoisers.make("color", engine="onnx"), datasets.make(f"images:{folder}")
    only = slice(None, None, max(1, len(dataset) // pictures))
    for sigma in GAUSSIAN:
        degrade = noise.make(f"gaussian:{sigma} + clip + quantize")
        methods: list[Method] = [auto, blind, lambda noisy, sigma=sigma: color(noisy, sigma / 255)]
        methods.append(lambda noisy: color(noisy, blind.level(noisy)))  # type: ignore[attr-defined]
        scores = _score(noisy_pairs(dataset, degrade, only=only), *methods)
        _, by_auto, by_blind, given, found = np.mean(scores, axis=0)
        yield GivenSigma(folder.name, sigma, given, by_auto, by_blind, given - by_auto, found)


def clean(name: str, pictures: list[np.ndarray], auto: Denoiser, blind: Denoiser) -> Clean:
    """Score clean pictures against themselves."""
    values = np.array(_score([(one, one, None) for one in pictures], auto, blind))[:, 1:]
    (mean, other), (lowest, other_lowest) = values.mean(axis=0), values.min(axis=0)
    return Clean(name, len(pictures), mean, lowest, other, other_lowest)


def clean_sets(data: Path) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Yield the sets of clean pictures, and each case for itself."""
    for folder in ("kodak24", "graphics"):
        if (data / folder).is_dir():
            dataset = datasets.make(f"images:{data / folder}")
            yield folder, [as_float(dataset[index]) for index in range(len(dataset))]  # type: ignore[arg-type]
    for case in CASES:
        path = data.parent / "cases" / f"{case}.png"
        if path.exists():
            yield f"cases/{path.name}", [as_float(read_stored(path))]
        else:
            print(f"skipped: no '{path}'", file=sys.stderr)


def levels(data: Path, pictures: int) -> Iterator[Level]:
    """Compare levels found with true ones on BSDS500's validation pictures, those of the test sets left out.

    They are averaged 2x2, which takes out most of their own noise and JPEG.
    """
    dataset = datasets.make(f"images:{data / 'bsds500/val'}", exclude=str(data / "bsds500/exclude_from_training.txt"))
    only = slice(None, None, max(1, len(dataset) // pictures))
    everything = []
    for spec in SYNTHETIC:
        degrade, found = noise.make(f"{spec} + clip + quantize"), []
        for index in range(len(dataset))[only]:
            image = as_float(dataset[index])[:320, :320]  # type: ignore[arg-type]
            clean = (image[::2, ::2] + image[1::2, ::2] + image[::2, 1::2] + image[1::2, 1::2]) / 4
            noisy = degrade(clean, index)
            level, correlation = denoisers.level_estimator().measure(noisy)
            found.append((level / _rms(noisy - clean), _neighbors(noisy - clean), correlation))
        everything += found
        yield _level(spec, found)
    yield _level("all of them", everything)


def _level(name: str, found: list[tuple[float, float, float]]) -> Level:
    ratios, *correlations = np.array(found).T
    within = float((np.abs(ratios - 1) <= WITHIN).mean())
    return Level(name, ratios.mean(), within, *(float(one.mean()) for one in correlations))


def _neighbors(residual: np.ndarray) -> float:
    """Return the correlation of a residual between neighboring pixels."""
    away = residual - residual.mean(axis=(0, 1))
    pairs = (away[1:] * away[:-1]).mean() + (away[:, 1:] * away[:, :-1]).mean()
    return float(pairs / (2 * np.square(away).mean()))


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def main() -> None:
    """Print the tables."""
    parser = common.parser(__doc__, data=True)
    parser.add_argument("--model", default="blind")
    parser.add_argument("--folds", type=Path, default=Path("runs/blind_folds"))
    parser.add_argument("--only", nargs="+", default=["polyu", "fmd", "gaussian", "clean", "levels"])
    parser.add_argument("--pictures", type=int, default=68)
    asked = parser.parse_args()
    auto, blind, data = denoisers.make("auto", engine="onnx"), denoisers.make(asked.model, engine="onnx"), asked.data
    parts: dict[str, Callable[[], list]] = {
        "polyu": lambda: list(polyu(data, auto, blind, asked.folds)),
        "fmd": lambda: list(fmd(data, auto, blind)),
        "gaussian": lambda: list(gaussian(data / "cbsd68", auto, blind, asked.pictures)),
        "clean": lambda: [clean(name, pictures, auto, blind) for name, pictures in clean_sets(data)],
        "levels": lambda: list(levels(data, asked.pictures)),
    }
    for name in asked.only:
        try:
            print(report.markdown(parts[name]()), end="\n\n", flush=True)
        except (UnnoiseError, FileNotFoundError, IndexError) as error:
            print(f"skipped: {name}: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
