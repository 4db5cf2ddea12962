"""Denoisers that are trained on each noisy image alone, beside others.

    python benchmarks/quality/per_image.py MODEL... [--noise NOISE] [--data images:FOLDER] [--images 12] [--side 256]

`--side` takes the central part of larger images. Seconds are processor time: other load does not count.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common
import numpy as np

from unnoise import datasets, denoisers, noise
from unnoise.evaluation import report
from unnoise.evaluation.metrics import psnr


@dataclass(frozen=True)
class Row:
    """One model on one noise: means over the images, and their total size."""

    model: str
    noise: str
    images: int
    megapixels: float
    psnr_noisy: float
    psnr: float
    seconds_per_image: float


def measure(model: str, spec: str, images: list[np.ndarray]) -> Row:
    """Denoise the images; sigma is given where the noise has one."""
    denoiser, rows = denoisers.make(model), []
    for index, clean in enumerate(images):
        rng = np.random.default_rng((0, index))
        drawn = noise.make(spec).draw(rng)
        noisy = drawn(clean, rng)
        start = time.process_time()
        denoised = denoiser(noisy, drawn.sigma)
        seconds = time.process_time() - start
        rows.append((psnr(clean, noisy), psnr(clean, denoised), seconds))
    megapixels = sum(image.shape[0] * image.shape[1] for image in images) / 1e6
    return Row(str(denoiser) or model, spec, len(images), megapixels, *np.mean(rows, axis=0).tolist())


def main() -> None:
    """Print the table."""
    parser = common.parser(__doc__)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--noise", default="gaussian:25")
    parser.add_argument("--data", default="images:../shared/data/set12")
    parser.add_argument("--images", type=int, default=12, help="how many")
    parser.add_argument("--side", type=int, help="take the central SIDE x SIDE pixels")
    arguments = parser.parse_args()
    dataset = datasets.make(arguments.data, channels=1)
    images = [common.clean_image(dataset, index) for index in range(min(arguments.images, len(dataset)))]
    if arguments.side:
        images = [common.center_crop(image, arguments.side) for image in images]
    print(report.markdown([measure(model, arguments.noise, images) for model in arguments.models]))


if __name__ == "__main__":
    main()
