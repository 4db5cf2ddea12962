"""The whole command, from a JPEG to a denoised JPEG, beside the network alone on the same pixels.

    python benchmarks/speed/command.py [--megapixels 12] [--repeats 3] [--engine onnx]

The image is tiled from scikit-image's photographs, with Gaussian noise of sigma 15. The command is a process of its
own, timed from start to exit: Python, libraries, loading the network, reading, noise estimation, denoising, writing.
The network is timed in this process, loaded and warm, on the same tiles, with sigma given. Both take turns, and the
best of the repeats counts: compare the ratio, not the seconds.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common
import numpy as np
from denoisers import photograph

from unnoise import denoisers, io, noise
from unnoise.evaluation import report
from unnoise.pipeline.process import denoise_array

SIGMA = 15
NETWORK = "network alone"


@dataclass(frozen=True)
class Row:
    """One way to denoise the image, and its time as a multiple of the network's."""

    method: str
    megapixels: float
    seconds: float
    times_network: float


def noisy_jpeg(megapixels: float, target: Path) -> None:
    """Write a noisy image of aspect ratio 4:3."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    sheet = photograph()
    clean = np.tile(sheet, (-(-height // sheet.shape[0]), -(-height * 4 // 3 // sheet.shape[1]), 1))
    noisy = noise.make(f"gaussian:{SIGMA}")(clean[:height, : height * 4 // 3], 0)
    common.save_image(noisy, target, quality=95)


def main() -> None:
    """Print the table."""
    parser = common.parser(__doc__)
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--engine", default="onnx")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "noisy.jpg", Path(folder) / "clean.jpg"
        noisy_jpeg(arguments.megapixels, source)
        pixels = io.read(source).pixels
        color = denoisers.make("color", engine=arguments.engine)
        command = [*common.UNNOISE, source, "-o", target, "--overwrite", "--engine", arguments.engine]

        def call(*options: str) -> Callable[[], object]:
            return lambda: subprocess.run([*command, *options], check=True, capture_output=True)

        methods: dict[str, Callable[[], object]] = {
            NETWORK: lambda: denoise_array(color, pixels, SIGMA / 255),
            f"unnoise noisy.jpg --model color --sigma {SIGMA}": call("--model", "color", "--sigma", str(SIGMA)),
            "unnoise noisy.jpg --model color": call("--model", "color"),
            "unnoise noisy.jpg": call(),
        }
        denoise_array(color, pixels[:256, :256], SIGMA / 255)  # warms up
        best = common.best_times(methods, arguments.repeats)
        size = pixels.shape[0] * pixels.shape[1] / 1e6
    print(report.markdown([Row(name, size, seconds, seconds / best[NETWORK]) for name, seconds in best.items()]))


if __name__ == "__main__":
    main()
