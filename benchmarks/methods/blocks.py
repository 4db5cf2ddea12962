"""What every residual block of a trained network is worth: PSNR lost where it is the identity.

    python benchmarks/methods/blocks.py [MODEL...] [--data ../shared/data] [--crop 128]

A model is the name of one that ships, or a `.safetensors` file, of the network `resunet`. Pictures are BSDS500's
validation pictures, cropped, none of them a test picture. The first row holds the PSNR of the whole network, the last
one what is lost without the way through its lowest level. A network that had learned without the block would do better
than this, so that little lost says more than much.
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
class Worth:
    """PSNR in dB at sigma 15, 25 and 50, or what of it is lost, as the network is without a part."""

    model: str
    without: str
    at_15: float
    at_25: float
    at_50: float


def parts(network: ResUNet) -> Iterator[tuple[str, Network]]:
    """Yield the network without each of its residual blocks, and without the lowest level, under the part's name."""
    for way in ("encoders", "decoders"):
        for level, blocks in enumerate(getattr(network, way)):
            for index in range(len(blocks)):
                less = copy.deepcopy(network)
                getattr(less, way)[level][index] = torch.nn.Identity()
                yield f"block {index + 1} of level {level + 1}, {'down' if way == 'encoders' else 'up'}", less
    less = copy.deepcopy(network)
    torch.nn.init.zeros_(less.up[-1].weight)  # type: ignore[arg-type]
    yield "the lowest level", less


def measure(model: str, folder: Path, crop: int) -> Iterator[Worth]:
    """Measure the whole network, then what it loses without each of its parts."""
    network, _ = pytorch.load(denoisers.training_weights(model))
    if not isinstance(network, ResUNet):
        raise UnnoiseError(f"'{model}' is no resunet: it is {network}")
    pictures = datasets.make(f"images:{folder / 'bsds500/val'}", channels=network.channels)
    whole = _psnr(network, pictures, crop)
    yield Worth(model, "nothing", *whole)
    for name, less in parts(network):
        yield Worth(model, name, *np.subtract(_psnr(less, pictures, crop), whole))


def _psnr(network: Network, pictures: Dataset, crop: int) -> list[float]:
    how = {"crop": crop, "with_ssim": False}
    rows = evaluate({"": pytorch.TorchDenoiser(network)}, pictures, [noise.make(level) for level in LEVELS], **how)
    return [row.psnr for row in rows]


def main() -> None:
    """Measure what is asked for and print the table."""
    parser = common.parser(__doc__, data=True)
    parser.add_argument("model", nargs="*", default=["color", "gray"])
    parser.add_argument("--crop", type=int, default=128)
    arguments = parser.parse_args()
    rows = [row for model in arguments.model for row in measure(model, arguments.data, arguments.crop)]
    print(report.markdown(rows, decimals=dict.fromkeys(("at_15", "at_25", "at_50"), 3)))


if __name__ == "__main__":
    main()
