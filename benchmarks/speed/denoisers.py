"""Seconds and decibels of the shipped model beside the classical filters, on the same noisy megapixel, and start-up.

    python benchmarks/speed/denoisers.py [--sigma 25] [--repeats 3]

The picture is made of scikit-image's own photographs, so that anyone can run this. Every method is told the level.
Times are the best of the repeats, taken in turn, on all cores that the process may use; compare ratios, not seconds.
OpenCV's `fastNlMeansDenoisingColored` takes part where it is installed (`pip install opencv-python-headless`).
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common
import numpy as np
from skimage import data

from unnoise import denoisers, io, noise
from unnoise.evaluation import report
from unnoise.evaluation.metrics import psnr
from unnoise.pipeline.process import denoise_array

SIDE = 1000  # one megapixel
NLM = "non-local means, scikit-image"


@dataclass(frozen=True)
class Row:
    """One method: its time, that as a share of non-local means, and what it makes of the picture."""

    method: str
    seconds_per_megapixel: float
    times_nlm: float
    psnr: float


@dataclass(frozen=True)
class Start:
    """One command from call to exit."""

    command: str
    seconds: float


def photograph() -> np.ndarray:
    """Tile the photographs that come with scikit-image to one megapixel; float32 `[1000, 1000, 3]`."""
    sheet = np.zeros((SIDE, SIDE, 3), np.uint8)
    pictures = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
    quarters = [(0, 0), (0, SIDE // 2), (SIDE // 2, 0), (SIDE // 2, SIDE // 2)]
    for (top, left), picture in zip(quarters, pictures, strict=True):
        part = np.pad(picture, ((0, SIDE), (0, SIDE), (0, 0)), mode="symmetric")[: SIDE // 2, : SIDE // 2]
        sheet[top : top + SIDE // 2, left : left + SIDE // 2] = part
    return sheet.astype(np.float32) / 255


def methods(sigma: float) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Return what is compared; `sigma` in [0, 1] units."""
    found: dict[str, Callable[[np.ndarray], np.ndarray]] = {}
    for name, label in (("color", "unnoise color, ONNX Runtime"), ("nlm", NLM),
                        ("wavelet", "wavelet, scikit-image"), ("tv", "total variation, scikit-image")):  # fmt: skip
        denoiser = denoisers.make(name, engine="onnx")
        found[label] = lambda noisy, denoiser=denoiser: denoise_array(denoiser, noisy, sigma)
    if importlib.util.find_spec("cv2"):
        import cv2

        level = round(255 * sigma)

        def opencv(noisy: np.ndarray) -> np.ndarray:
            eight = np.rint(np.clip(noisy, 0, 1) * 255).astype(np.uint8)
            return cv2.fastNlMeansDenoisingColored(eight, None, level, level, 7, 21).astype(np.float32) / 255

        found["fastNlMeansDenoisingColored, OpenCV"] = opencv
    return found


def compare(compared: Mapping[str, Callable[[np.ndarray], np.ndarray]], sigma: float, repeats: int) -> list[Row]:
    """Time every method on the same noisy picture, in turn; `NLM` must be among them, and `sigma` is in 8-bit units."""
    clean = photograph()
    noisy = noise.make(f"gaussian:{sigma}")(clean, 0)
    best: dict[str, float] = {}
    quality: dict[str, float] = {}
    for _ in range(repeats):
        for name, method in compared.items():
            start = time.perf_counter()
            cleaned = method(noisy)
            seconds = (time.perf_counter() - start) / (clean.shape[0] * clean.shape[1] / 1e6)
            best[name] = min(seconds, best.get(name, np.inf))
            quality[name] = psnr(clean, cleaned)
    reference = best[NLM]
    return [Row(name, best[name], best[name] / reference, quality[name]) for name in compared]


def start_up(repeats: int) -> list[Start]:
    """Time whole processes: `--version`, and a picture of 0.1 megapixels from file to file."""
    with tempfile.TemporaryDirectory() as folder:
        small = io.from_array(np.rint(photograph()[:316, :316] * 255).astype(np.uint8))
        small.save(Path(folder) / "small.png")
        cleaning = ["small.png", "-o", "clean.png", "--overwrite"]
        rows = []
        for words in (["--version"], cleaning):
            best = np.inf
            for _ in range(repeats):
                start = time.perf_counter()
                command = [sys.executable, "-m", "unnoise", *words]
                subprocess.run(command, cwd=folder, check=True, capture_output=True)
                best = min(best, time.perf_counter() - start)
            rows.append(Start(f"unnoise {' '.join(words)}", best))
    return rows


def main() -> None:
    """Print both tables."""
    parser = common.parser(__doc__)
    parser.add_argument("--sigma", type=float, default=25, help="noise level in 8-bit units")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    print(report.markdown(compare(methods(arguments.sigma / 255), arguments.sigma, arguments.repeats)))
    print()
    print(report.markdown(start_up(arguments.repeats)))


if __name__ == "__main__":
    main()
