"""Peak memory of the whole command over the size of the image.

    python benchmarks/speed/memory.py [--megapixels 1 12 50 200 1000] [--engine onnx]

The images are square 8-bit RGB TIFFs, noise over a slow wave, generated strip by strip. Sigma and model are given, so
that all are processed alike. A gigapixel takes at least 15 minutes, and 3 GB of disk.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common
import numpy as np

from unnoise.evaluation import report
from unnoise.io import stream_writer
from unnoise.io.formats import Header
from unnoise.io.layout import Layout


@dataclass(frozen=True)
class Row:
    """One image: its size, peak memory of the process, and time from start to exit."""

    megapixels: float
    peak_mb: float
    seconds: float
    seconds_per_megapixel: float


def generate(side: int, target: Path) -> None:
    """Write a noisy square image."""
    rng = np.random.default_rng(0)
    columns = np.sin(np.arange(side) / 97)[None, :, None]

    def strips() -> Iterator[np.ndarray]:
        for top in range(0, side, 256):
            rows = np.arange(top, min(top + 256, side))[:, None, None]
            grain = rng.integers(-40, 41, (len(rows), side, 3), dtype=np.int16)
            yield np.clip(128 + 60 * columns * np.cos(rows / 61) + grain, 0, 255).astype(np.uint8)

    stream_writer.write_stream(strips(), Header(side, side, Layout(3), np.dtype(np.uint8), {}), target, overwrite=True)


def measure(megapixels: float, engine: str, folder: Path) -> Row:
    """Denoise one image with the command, and read its resource usage."""
    side = round((megapixels * 1e6) ** 0.5)
    source, target = folder / "noisy.tif", folder / "clean.tif"
    generate(side, source)
    command = [*common.UNNOISE, str(source), "-o", str(target), "--overwrite"]
    start = time.perf_counter()
    child = subprocess.Popen([*command, "--model", "color", "--sigma", "23", "--engine", engine])
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise SystemExit(f"the command failed at {megapixels} megapixels")
    return Row(side**2 / 1e6, usage.ru_maxrss / 1e3, seconds, seconds / megapixels)


def main() -> None:
    """Print the table."""
    parser = common.parser(__doc__)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[1, 12, 50, 200, 1000])
    parser.add_argument("--engine", default="onnx")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(size, arguments.engine, Path(folder)) for size in arguments.megapixels]
    print(report.markdown(rows))


if __name__ == "__main__":
    main()
