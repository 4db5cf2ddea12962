"""Quality where nothing is given but the picture: real cameras, microscopes, Gaussian noise, and clean pictures.

    python benchmarks/quality/blind.py [--data ../shared/data] [--model blind] [--folds runs/blind_folds]
                                       [--only polyu fmd gaussian clean levels] [--pictures 68]

`--model` is compared with `auto`. PSNR in dB; noisy pictures are as a file of 8 bits holds them. On PolyU, every pair
is cleaned by a model that has not seen its scene, where `folds.py --recipe recipes/blind_finish.yaml --out FOLDS` has
trained such; where it has not, by `--model`, which learned from these very pairs. What is missing is passed over, and
named.
"""

from __future__ import annotations

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
from unnoise.denoisers.base import Denoiser
from unnoise.errors import UnnoiseError
from unnoise.evaluation import report
from unnoise.evaluation.benchmark import noisy_pairs
from unnoise.evaluation.metrics import psnr
from unnoise.noise.estimation import estimate_noise
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
AGREE = 0.2
"""How far two levels may be apart, as a logarithm, to agree."""


@dataclass(frozen=True)
class Scores:
    """Mean PSNR over a set of pictures: as they are, by `auto`, by the model, by `checked` (see `trusts`)."""

    data: str
    images: int
    noisy: float
    auto: float
    blind: float
    checked: float


@dataclass(frozen=True)
class Microscopy:
    """One picture: PSNR as it is, by `auto`, by the model, and at the best constant level of the best model."""

    picture: str
    noisy: float
    auto: float
    blind: float
    checked: float
    best_constant: float
    behind: float


@dataclass(frozen=True)
class GivenSigma:
    """Gaussian noise in files of 8 bits: mean PSNR of `color` with the level given, and of what is given nothing.

    `behind` is how far `checked` is; `color_found` is `color` with the map of the level that the model finds.
    """

    data: str
    sigma: int
    color_given: float
    auto: float
    blind: float
    checked: float
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
    checked: float
    blind_lowest: float


@dataclass(frozen=True)
class Level:
    """The level of synthetic noise: the mean of found / true, and the share found within 10 %; `auto`'s beside it."""

    noise: str
    ratio: float
    within: float
    auto_within: float


def polyu(data: Path, auto: Denoiser, blind: Denoiser, out: Path) -> Iterator[Scores]:
    """Score PolyU, by models of other scenes where there are such."""
    if not all((out / str(fold) / LOSSES).exists() for fold in range(2)):
        print(f"no folds in '{out}': PolyU by the model itself, which learned from these pairs\n", file=sys.stderr)
        scores = _score(noisy_pairs(datasets.make(f"pairs:{data / 'polyu'}"), None), blind, auto, blind)
        yield Scores("polyu, seen in training", len(scores), *np.mean(scores, axis=0))
        return
    everything: list[tuple[float, ...]] = []
    for fold, (model, unseen) in enumerate(folds.trained(data, 2, out, FINISH)):
        scores = _score(noisy_pairs(unseen, None), blind, auto, model)
        everything += scores
        yield Scores(f"polyu, fold {fold + 1}", len(scores), *np.mean(scores, axis=0))
    yield Scores("polyu, all folds", len(everything), *np.mean(everything, axis=0))


def trusts(noisy: np.ndarray, blind: Denoiser) -> bool:
    """Say whether `auto` is to denoise an image and not the model: it finds white noise, at the level that this finds.

    Of signal-dependent noise, that is the root mean square. White noise is what `auto` has the better models for.
    """
    estimate = estimate_noise(noisy)
    if estimate.kind not in ("gaussian", "signal-dependent"):
        return False
    return abs(np.log(estimate.sigma / _rms(blind.level(noisy)))) < AGREE  # type: ignore[attr-defined]


def _score(
    pairs: Iterable[tuple[np.ndarray, np.ndarray, float | None]], blind: Denoiser, *methods: Method
) -> list[tuple[float, ...]]:
    """Return the PSNR of noisy images, of every method, and of the first or second one, as `trusts` says."""
    rows = []
    for noisy, clean, _ in pairs:
        scores = [min(psnr(clean, method(noisy)), MAX_PSNR) for method in methods]
        before = min(psnr(clean, noisy), MAX_PSNR)
        rows.append((before, *scores, scores[0 if trusts(noisy, blind) else 1]))
    return rows


def fmd(data: Path, auto: Denoiser, blind: Denoiser) -> Iterator[Microscopy]:
    """Score each picture of microscopes."""
    with_sigma = [denoisers.make(name, engine="onnx") for name in ("gray", "color")]
    photo = denoisers.make("photo", engine="onnx")
    for path in sorted((data / "fmd" / "raw").glob("*.png")):
        noisy, clean = (as_float(read_stored(data / "fmd" / part / path.name)) for part in ("raw", "gt"))
        at_levels = [psnr(clean, model(noisy, level / 255)) for model in with_sigma for level in CONSTANT_LEVELS]
        best = max(*at_levels, psnr(clean, photo(noisy)))
        ((before, by_auto, by_blind, checked),) = _score([(noisy, clean, None)], blind, auto, blind)
        yield Microscopy(path.stem, before, by_auto, by_blind, checked, best, best - checked)


def gaussian(folder: Path, auto: Denoiser, blind: Denoiser, pictures: int) -> Iterator[GivenSigma]:
    """Score Gaussian noise in files, beside `color` that is given the level."""
    color, dataset = denoisers.make("color", engine="onnx"), datasets.make(f"images:{folder}")
    only = slice(None, None, max(1, len(dataset) // pictures))
    for sigma in GAUSSIAN:
        degrade = noise.make(f"gaussian:{sigma} + clip + quantize")
        methods: list[Method] = [auto, blind, lambda noisy, sigma=sigma: color(noisy, sigma / 255)]
        methods.append(lambda noisy: color(noisy, blind.level(noisy)))  # type: ignore[attr-defined]
        scores = _score(noisy_pairs(dataset, degrade, only=only), blind, *methods)
        _, by_auto, by_blind, given, found, checked = np.mean(scores, axis=0)
        yield GivenSigma(folder.name, sigma, given, by_auto, by_blind, checked, given - checked, found)


def clean(name: str, pictures: list[np.ndarray], auto: Denoiser, blind: Denoiser) -> Clean:
    """Score clean pictures against themselves."""
    values = np.array(_score([(one, one, None) for one in pictures], blind, auto, blind))[:, 1:]
    (mean, other, checked), (lowest, other_lowest, _) = values.mean(axis=0), values.min(axis=0)
    return Clean(name, len(pictures), mean, lowest, other, checked, other_lowest)


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


def levels(data: Path, blind: Denoiser, pictures: int) -> Iterator[Level]:
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
            true = _rms(noisy - clean)
            found.append((_rms(blind.level(noisy)) / true, estimate_noise(noisy).sigma / true))  # type: ignore[attr-defined]
        everything += found
        yield _level(spec, found)
    yield _level("all of them", everything)


def _level(name: str, found: list[tuple[float, float]]) -> Level:
    ratios = np.array(found)
    within = (np.abs(ratios - 1) <= WITHIN).mean(axis=0)
    return Level(name, ratios[:, 0].mean(), *within)


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
        "levels": lambda: list(levels(data, blind, asked.pictures)),
    }
    for name in asked.only:
        try:
            print(report.markdown(parts[name]()), end="\n\n", flush=True)
        except (UnnoiseError, FileNotFoundError, IndexError) as error:
            print(f"skipped: {name}: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
