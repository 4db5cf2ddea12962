"""Contribution of each residual block of a trained network: the PSNR lost where it is replaced by the identity.

    python benchmarks/methods/blocks.py [MODEL...] [--data ../shared/data] [--crop 128]

MODEL is a bundled model, or a `.safetensors` file, of the network `resunet`. Images are BSDS500's validation images,
cropped, none of them a test image. The first row is the PSNR of the whole network, the last one the loss without its
lowest level. A network trained without the block would do better: a small loss says more than a large one.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common
import numpy as np
import torch

from unnoise import datasets, denoisers, noise
from unnoise.datasets.base import Dataset
from unnoise.denoisers import pytorch
from unnoise.errors import UnnoiseError
from unnoise.evaluation import report
from unnoise.evaluation.benchmark import evaluate
from unnoise.networks.base import Network
from unnoise.networks.resunet import ResUNet

LEVELS = ("gaussian:15", "gaussian:25", "gaussian:50")


@dataclass(frozen=True)
class Contribution:
    """PSNR in dB at sigma 15, 25 and 50 of a whole network, or its change without a part."""

    model: str
    removed: str
    at_15: float
    at_25: float
    at_50: float


def parts(network: ResUNet) -> Iterator[tuple[str, Network]]:
    """Yield the name of each residual block, and of the lowest level, with the network without it."""
    for path in ("encoders", "decoders"):
        for level, blocks in enumerate(getattr(network, path)):
            for index in range(len(blocks)):
                reduced = copy.deepcopy(network)
                getattr(reduced, path)[level][index] = torch.nn.Identity()
                yield f"block {index + 1} of level {level + 1}, {'down' if path == 'encoders' else 'up'}", reduced
    reduced = copy.deepcopy(network)
    torch.nn.init.zeros_(reduced.up[-1].weight)  # type: ignore[arg-type]
    yield "the lowest level", reduced


def measure(model: str, folder: Path, crop: int) -> Iterator[Contribution]:
    """Measure the whole network, then its loss without each part."""
    network, _ = pytorch.load(denoisers.training_weights(model))
    if not isinstance(network, ResUNet):
        raise UnnoiseError(f"'{model}' must be a resunet, got {network}")
    dataset = datasets.make(f"images:{folder / 'bsds500/val'}", channels=network.channels)
    whole = _psnr(network, dataset, crop)
    yield Contribution(model, "nothing", *whole)
    for name, reduced in parts(network):
        yield Contribution(model, name, *np.subtract(_psnr(reduced, dataset, crop), whole))


def _psnr(network: Network, dataset: Dataset, crop: int) -> list[float]:
    noises = [noise.make(level) for level in LEVELS]
    rows = evaluate({"": pytorch.TorchDenoiser(network)}, dataset, noises, crop=crop, with_ssim=False)
    return [row.psnr for row in rows]


def main() -> None:
    """Measure the models and print the table."""
    parser = common.parser(__doc__, data=True)
    parser.add_argument("model", nargs="*", default=["color", "gray"])
    parser.add_argument("--crop", type=int, default=128, help="side of the images, pixels")
    arguments = parser.parse_args()
    rows = [row for model in arguments.model for row in measure(model, arguments.data, arguments.crop)]
    print(report.markdown(rows, decimals=dict.fromkeys(("at_15", "at_25", "at_50"), 3)))


if __name__ == "__main__":
    common.run(main)
