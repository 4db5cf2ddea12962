"""Networks of other projects beside the bundled models, on the same noisy pixels.

    python benchmarks/quality/peers.py SCUNet.pth drunet_color.pth [--data images:../shared/data/cbsd68]
        [--noise gaussian:15 gaussian:25 gaussian:50] [--models color gray] [--limit N] [--seed 0] [--json FILE]

Any file that spandrel reads can be named; needs `pip install "unnoise[spandrel]"`. All run in PyTorch, in float32 on
this machine, on whole images. GMAC are multiply-adds for a megapixel as PyTorch's own counter has them, attention
included. PSNR and SSIM are those of `unnoise evaluate`: results are rounded to 8 bits, noisy images are not clipped.
Networks that take no sigma are not given it, and a network of another channel count than the images is adapted to them.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common
import torch
from torch.utils.flop_counter import FlopCounterMode

from unnoise import datasets, denoisers, noise
from unnoise.denoisers import pytorch
from unnoise.denoisers.pytorch import TorchDenoiser
from unnoise.evaluation import benchmark, report


@dataclass(frozen=True)
class Peer:
    """A row: one network on one noise."""

    model: str
    network: str
    noise: str
    images: int
    parameters_m: float
    gmac_per_megapixel: float
    seconds_per_megapixel: float
    psnr: float
    ssim: float


def gmac_per_megapixel(model: TorchDenoiser) -> float:
    """Count the multiply-adds for a megapixel, in billions, on an image of 256 pixels or the next multiple."""
    network, side = model.network, 256 + -256 % model.multiple_of
    image = torch.zeros(1, network.channels, side, side)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network.eval()(image, torch.zeros(1, 1, 1, 1) if network.wants_sigma else None)
    return counter.get_total_flops() / 2 / side**2 / 1e3


def rows(files: list[str], data: str, noises: list[str], *, limit: int | None, seed: int) -> Iterator[Peer]:
    """Measure all models on all noises."""
    models: dict[str, TorchDenoiser] = {}
    for name in files:
        network, card = pytorch.load(denoisers.training_weights(name))
        models[name] = TorchDenoiser(network, card)
    costs = {name: gmac_per_megapixel(model) for name, model in models.items()}
    made = [noise.make(spec) for spec in noises]
    only = slice(limit)
    for row in benchmark.evaluate(models, datasets.make(data), made, data=data, seed=seed, only=only):
        network = models[row.model].network
        yield Peer(
            row.model, str(network), row.noise, row.images, network.parameter_count / 1e6, costs[row.model],
            row.seconds_per_megapixel, row.psnr, row.ssim,
        )  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = common.parser(__doc__)
    parser.add_argument("files", nargs="*", help="weights of other projects, or models of this one")
    parser.add_argument("--models", nargs="*", default=["color", "color-large"], help="bundled models to compare with")
    parser.add_argument("--data", default="images:../shared/data/cbsd68", help="dataset spec of clean images")
    parser.add_argument("--noise", nargs="+", default=["gaussian:15", "gaussian:25", "gaussian:50"])
    parser.add_argument("--limit", type=int, help="use only the first images")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="also write the rows to this file, one JSON document per line")
    options = parser.parse_args()
    names = [*options.models, *options.files]
    measured = list(rows(names, options.data, options.noise, limit=options.limit, seed=options.seed))
    print(report.markdown(measured, decimals={"ssim": 4}))
    if options.json:
        options.json.write_text("".join(json.dumps(dataclasses.asdict(row)) + "\n" for row in measured))


if __name__ == "__main__":
    common.run(main)
