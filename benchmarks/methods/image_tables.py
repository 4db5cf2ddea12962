"""Encoder-decoder pixel regression over image tables, from folders of pictures to the table of results.

    python benchmarks/methods/image_tables.py [--data ../shared/data] [--out runs/tables]

Salt-and-pepper noise on 10 % of the pixels. Learns from BSDS500 (train and test) without the pictures of the test sets,
scores on Kodak24, and prints one row per method, and one for the pictures of the validation part. Two networks: the one
of recipes/encoder_decoder.yaml, and the plain form without skips, with half as many steps. Takes about a quarter of an
hour on one core. What is there already is not made again.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common

from unnoise import tables
from unnoise.evaluation import report
from unnoise.training import recipe as recipes, trainer

NOISE = "salt-pepper:0.1"
RECIPE = Path(__file__).resolve().parent.parent / "recipes" / "encoder_decoder.yaml"
PLAIN = {"network": "encoder_decoder:widths=32/64", "train.steps": 7500}


@dataclass(frozen=True)
class Row:
    """A line of what is printed."""

    method: str
    data: str
    images: int
    psnr_noisy: float
    psnr: float
    ssim: float


def main() -> None:
    """Make tables, train, score, and print."""
    parser = common.parser(__doc__, data=True)
    parser.add_argument("--out", type=Path, default=Path("runs/tables"))
    arguments = parser.parse_args()
    data, out = arguments.data, arguments.out
    out.mkdir(parents=True, exist_ok=True)
    bsds = data / "bsds500"
    parts = noisy(out, "bsds500", [bsds / "train", bsds / "test"], exclude=str(bsds / "exclude_from_training.txt"))
    pairs = out / "pairs.parquet"
    if not pairs.exists():
        tables.split(parts, pairs, {"train": 0.95, "validation": 0.05})
    methods = {
        "median of 3x3": "median",
        "adaptive median": "adaptive-median",
        "encoder-decoder, plain": trained(out / "plain", pairs, PLAIN),
        "encoder-decoder": trained(out / "skips", pairs, {}),
    }
    sets = {"Kodak24": noisy(out, "kodak24", [data / "kodak24"]), "validation": f"{pairs}#validation"}
    rows = [scored(*method, *one, out) for one in sets.items() for method in methods.items()]
    print(report.markdown(rows, decimals={"ssim": 4}))


def noisy(out: Path, name: str, folders: list[Path], exclude: str | None = None) -> Path:
    """Make a table of pictures and of the same pictures with noise."""
    clean, both = out / f"{name}_clean.parquet", out / f"{name}.parquet"
    if not both.exists():
        tables.build(folders, clean, column="clean", exclude=exclude, overwrite=True)
        tables.add(clean, both, NOISE)
    return both


def trained(folder: Path, pairs: Path, changes: dict[str, Any]) -> Path:
    """Train on the pairs, or go on where the training was broken off."""
    model = folder / "encoder_decoder.safetensors"
    data = {"data.train": [f"table:{pairs}#train"], "data.validation": [f"table:{pairs}#validation"]}
    return model if model.exists() else trainer.train(recipes.load(RECIPE, data | changes), folder, resume=True)


def scored(method: str, model: str | Path, data: str, table: str | Path, out: Path) -> Row:
    """Score a model on a table, whose scored form is kept."""
    target = out / f"{data}, {method}.parquet"
    if not target.exists():
        tables.score(model, table, target)
    return Row(method, data, **vars(tables.mean(target)))


if __name__ == "__main__":
    main()
