"""Encoder-decoder pixel regression over image tables, from folders of images to the table of results.

    python benchmarks/methods/image_tables.py [--data ../shared/data] [--out runs/tables]

Salt-and-pepper noise on 10 % of the pixels. Trains on BSDS500 (train and test) without the images of the test sets, and
prints one row per method, first on Kodak24, then on the validation split. Two networks: that of
recipes/encoder_decoder.yaml, and the plain form without skips, with half as many steps. Takes about 15 minutes on one
core. Existing tables and models are reused.
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
RECIPE = common.ROOT / "recipes" / "encoder_decoder.yaml"
PLAIN = {"network": "encoder_decoder:widths=32/64", "train.steps": 7500}


@dataclass(frozen=True)
class Row:
    """Mean scores of one method on one table; PSNR in dB."""

    method: str
    data: str
    images: int
    psnr_noisy: float
    psnr: float
    ssim: float


def main() -> None:
    """Build the tables, train, score, and print."""
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
    rows = [score(*method, *data_set, out) for data_set in sets.items() for method in methods.items()]
    print(report.markdown(rows, decimals={"ssim": 4}))


def noisy(out: Path, name: str, folders: list[Path], exclude: str | None = None) -> Path:
    """Build a table of clean and noisy images; return its path."""
    clean, target = out / f"{name}_clean.parquet", out / f"{name}.parquet"
    if not target.exists():
        tables.build(folders, clean, column="clean", exclude=exclude, overwrite=True)
        tables.add(clean, target, NOISE)
    return target


def trained(folder: Path, pairs: Path, changes: dict[str, Any]) -> Path:
    """Train on the pairs, or resume an interrupted training; return the model."""
    model = folder / "encoder_decoder.safetensors"
    data = {"data.train": [f"table:{pairs}#train"], "data.validation": [f"table:{pairs}#validation"]}
    return model if model.exists() else trainer.train(recipes.load(RECIPE, data | changes), folder, resume=True)


def score(method: str, model: str | Path, data: str, table: str | Path, out: Path) -> Row:
    """Score a model on a table, and keep the scored table."""
    target = out / f"{data}, {method}.parquet"
    if not target.exists():
        tables.score(model, table, target)
    return Row(method, data, **vars(tables.mean(target)))


if __name__ == "__main__":
    main()
