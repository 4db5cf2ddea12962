"""Ablations of `color`: short trainings of equal time from fresh weights, each with one change.

    python benchmarks/methods/ablation.py [VARIANT...] [--minutes 3] [--out runs/ablation]

Every variant gets the same time and data, so that slower steps count against it. PSNR is that of the averaged weights
on the validation images of the recipe (BSDS500 val, 320 pixels from the top left), not a test set. Finished trainings
are not repeated. Use one thread and an idle core: `OMP_NUM_THREADS=1 taskset -c 0`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common

from unnoise import networks
from unnoise.evaluation import report
from unnoise.training import recipe as recipes

BASE = Path("recipes/color.yaml")
SMALL = [{"until": 1, "patch": 64, "batch": 16}]
MUON = {"train.stages": SMALL, "train.optimizer": "muon", "train.learning_rate": 0.008}
VARIANTS: dict[str, dict[str, Any]] = {
    "as color": {},
    "the same, another seed": {"train.seed": 1},
    "more blocks below, 1/2/4": {"network": "resunet:widths=32/64/128,blocks=1/2/4"},
    "more blocks on top, 3/2/1": {"network": "resunet:widths=32/64/128,blocks=3/2/1"},
    "four levels, 32/64/128/192": {"network": "resunet:widths=32/64/128/192,blocks=2/2/1/1"},
    "wider and shallower, 48/96/144": {"network": "resunet:widths=48/96/144,blocks=1/1/1"},
    "narrower and deeper, 24/48/96": {"network": "resunet:widths=24/48/96,blocks=4/3/4"},
    "loss charbonnier": {"loss": "charbonnier"},
    "loss mse": {"loss": "mse"},
    "patches of 128 all along": {"train.stages": [{"until": 1, "patch": 128, "batch": 8}]},
    "batch 16": {"train.stages": SMALL},
    "batch 16, learning rate 0.004": {"train.stages": SMALL, "train.learning_rate": 0.004},
    **{
        f"batch 16, muon, learning rate {rate}": {**MUON, "train.learning_rate": rate}
        for rate in (0.002, 0.004, 0.008, 0.016)
    },
    "muon, wider and shallower, 48/96/144": {**MUON, "network": "resunet:widths=48/96/144,blocks=1/1/1"},
    "muon, two levels, 3/4": {**MUON, "network": "resunet:widths=32/64,blocks=3/4"},
    "learning rate 0.001": {"train.learning_rate": 0.001},
    "learning rate 0.004": {"train.learning_rate": 0.004},
    "no average of weights": {"train.ema": 0},
    "low levels more often": {"noise": "gaussian:0..75 | gaussian:0..30"},
}


@dataclass(frozen=True)
class Result:
    """One training: the change, parameters of the network, steps, and PSNR in dB at sigma 15, 25 and 50."""

    variant: str
    parameters: int
    steps: int
    at_15: float
    at_25: float
    at_50: float


def run(variant: str, minutes: float, out: Path) -> Result:
    """Train one variant, unless that is done, and return its last validation."""
    stages = [{"until": 1, "patch": 64, "batch": 32}]
    short = {"train.minutes": minutes, "train.steps": 10**6, "train.stages": stages, "validation.every": 10**6}
    recipe = recipes.load(BASE, {**short, **VARIANTS[variant]})
    folder = out / variant.replace("/", "-").replace(" ", "_").replace(",", "")
    last = common.train_once(recipe, folder)
    levels = (last[f"gaussian:{level}"] for level in (15, 25, 50))
    return Result(variant, networks.make(recipe.network).parameter_count, last["step"], *levels)


def main() -> None:
    """Run the variants and print the table."""
    parser = common.parser(__doc__)
    parser.add_argument("variant", nargs="*", help="all by default")
    parser.add_argument("--minutes", type=float, default=3, help="of each training")
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"))
    arguments = parser.parse_args()
    variants = arguments.variant or list(VARIANTS)
    if unknown := set(variants) - set(VARIANTS):
        parser.error(f"no variant {', '.join(sorted(unknown))}; the variants are: {', '.join(VARIANTS)}")
    print(report.markdown([run(variant, arguments.minutes, arguments.out) for variant in variants]))


if __name__ == "__main__":
    main()
