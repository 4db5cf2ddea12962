"""The whole command, from a JPEG to a clean JPEG, beside the network alone on the same pixels.

    python benchmarks/speed/command.py [--megapixels 12] [--repeats 3] [--engine onnx]

The picture is made of scikit-image's own photographs, side by side, with Gaussian noise of sigma 15. The command is a
process of its own, and is timed from its start to its end: Python, the libraries, the network's file, reading, finding
the noise, cleaning, writing. The network is timed in this process, opened and warm, on the same tiles, told the level.
Both take turns, and the best of the repeats counts: compare the ratio, not the seconds.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
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


@dataclass(frozen=True)
class Row:
    """One way to clean the picture, and its time as a multiple of the network's."""

    what: str
    megapixels: float
    seconds: float
    times_network: float


def noisy_jpeg(megapixels: float, target: Path) -> None:
    """Write a noisy picture of four by three."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    sheet = photograph()
    clean = np.tile(sheet, (-(-height // sheet.shape[0]), -(-height * 4 // 3 // sheet.shape[1]), 1))
    noisy = noise.make(f"gaussian:{SIGMA}")(clean[:height, : height * 4 // 3], 0)
    io.from_array(np.rint(255 * np.clip(noisy, 0, 1)).astype(np.uint8)).save(target, quality=95)


def seconds(work: Callable[[], object]) -> float:
    """Time one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Print the table."""
    parser = common.parser(__doc__)
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--engine", default="onnx")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "noisy.jpg", Path(folder) / "clean.jpg"
        noisy_jpeg(asked.megapixels, source)
        pixels = io.read(source).pixels
        color = denoisers.make("color", engine=asked.engine)
        command = [sys.executable, "-m", "unnoise", source, "-o", target, "--overwrite", "--engine", asked.engine]

        def call(*words: str) -> Callable[[], object]:
            return lambda: subprocess.run([*command, *words], check=True, capture_output=True)

        ways: dict[str, Callable[[], object]] = {
            "the network alone": lambda: denoise_array(color, pixels, SIGMA / 255),
            f"unnoise noisy.jpg --model color --sigma {SIGMA}": call("--model", "color", "--sigma", str(SIGMA)),
            "unnoise noisy.jpg --model color": call("--model", "color"),
            "unnoise noisy.jpg": call(),
        }
        denoise_array(color, pixels[:256, :256], SIGMA / 255)  # warms up
        turns = [{way: seconds(work) for way, work in ways.items()} for _ in range(asked.repeats)]
        best = {way: min(turn[way] for turn in turns) for way in ways}
        size = pixels.shape[0] * pixels.shape[1] / 1e6
    rows = [Row(way, size, spent, spent / best["the network alone"]) for way, spent in best.items()]
    print(report.markdown(rows))


if __name__ == "__main__":
    main()
