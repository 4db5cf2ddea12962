"""Cross-validation of `photo`: it is trained without some scenes of PolyU, and scored on them.

    python benchmarks/quality/folds.py [--data ../shared/data] [--folds 2] [--out runs/folds]
                                       [--recipe recipes/photo.yaml]

The pairs are divided by scene (camera and subject), every n-th scene into one fold. For each fold, the recipe is
trained on the pairs of the other folds; a finished training is not repeated. The comparison is `color`, from which
`photo` is initialized, with the estimated sigma. `blind` has `recipes/blind_finish.yaml`, and a folder of its own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common
import numpy as np

from unnoise import datasets, denoisers
from unnoise.datasets.base import Dataset, find
from unnoise.denoisers.base import Denoiser
from unnoise.evaluation import report
from unnoise.evaluation.benchmark import noisy_pairs
from unnoise.evaluation.metrics import psnr
from unnoise.training import recipe as recipes

RECIPE = Path("recipes/photo.yaml")


@dataclass(frozen=True)
class Result:
    """Mean PSNR in dB over the pairs of one fold, or of all."""

    fold: str
    pairs: int
    noisy: float
    color: float
    trained: float


def scenes(folder: Path) -> dict[str, list[Path]]:
    """Return the files of every scene: names that differ only in the number of the shot."""
    result: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.JPG")):
        result.setdefault(path.stem.rsplit("_", 2)[0], []).append(path)
    return result


def leave_out(files: list[Path], always: Path | None, target: Path) -> str:
    """Write a list of images to exclude, with those of the list `always`; return its path."""
    lines = [str(path.resolve()) for path in files]
    if always:
        entries = (line.partition("#")[0].strip() for line in always.read_text(encoding="utf-8").splitlines())
        lines += [str((always.parent / entry).resolve()) for entry in entries if entry]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(target)


def trained(data: Path, folds: int, out: Path, source: Path = RECIPE) -> Iterator[tuple[Denoiser, Dataset]]:
    """Yield the model of every fold, trained where necessary, with its held-out pairs."""
    os.environ.setdefault("UNNOISE_DATA", str(data))
    recipe = recipes.load(source)
    by_scene = list(scenes(data / "polyu").values())
    for fold in range(folds):
        held_out = [path for index, files in enumerate(by_scene) if index % folds == fold for path in files]
        rest = [path for index, files in enumerate(by_scene) if index % folds != fold for path in files]
        exclude = leave_out(held_out, find(str(recipe.data.exclude)), out / f"without_{fold}.txt")
        folder = out / str(fold)
        common.train_once(recipes.load(source, {"data.exclude": exclude}), folder)
        pairs = datasets.make("pairs:polyu", exclude=leave_out(rest, None, out / f"only_{fold}.txt"))
        yield denoisers.make(folder / f"{recipe.name}.safetensors"), pairs


def run(data: Path, folds: int, out: Path, source: Path) -> list[Result]:
    """Score every fold."""
    color = denoisers.make("color", engine="onnx")
    all_scores, rows = [], []
    for fold, (model, pairs) in enumerate(trained(data, folds, out, source)):
        scores = [
            (psnr(clean, noisy), psnr(clean, color(noisy)), psnr(clean, model(noisy)))
            for noisy, clean, _ in noisy_pairs(pairs, None)
        ]
        all_scores += scores
        rows.append(Result(str(fold + 1), len(scores), *np.mean(scores, axis=0)))
    return [*rows, Result("all", len(all_scores), *np.mean(all_scores, axis=0))]


def main() -> None:
    """Print the table."""
    parser = common.parser(__doc__, data=True)
    parser.add_argument("--folds", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/folds"))
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    arguments = parser.parse_args()
    print(report.markdown(run(arguments.data, arguments.folds, arguments.out, arguments.recipe)))


if __name__ == "__main__":
    main()
