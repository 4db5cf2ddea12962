"""Time and PSNR of the bundled model beside classical filters on a noisy megapixel, and the start-up time.

    python benchmarks/speed/denoisers.py [--sigma 25] [--repeats 3]

The image is tiled from scikit-image's photographs, so that anyone can run this. Every method is given sigma. Times are
the best of the repeats, taken in turn, on all cores available to the process; compare ratios, not seconds. OpenCV's
`fastNlMeansDenoisingColored` is included if installed (`pip install opencv-python-headless`).
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common
import numpy as np
from skimage import data

from unnoise import denoisers, noise
from unnoise.evaluation import report
from unnoise.evaluation.metrics import psnr
from unnoise.pipeline.process import denoise_array

SIDE = 1000  # one megapixel
NLM = "non-local means, scikit-image"


@dataclass(frozen=True)
class Row:
    """One method: its time, also as a multiple of non-local means, and its PSNR in dB."""

    method: str
    seconds_per_megapixel: float
    times_nlm: float
    psnr: float


@dataclass(frozen=True)
class Start:
    """The time of one command from call to exit."""

    command: str
    seconds: float


def photograph() -> np.ndarray:
    """Tile the photographs that come with scikit-image to one megapixel; float32 `[1000, 1000, 3]`."""
    sheet = np.zeros((SIDE, SIDE, 3), np.uint8)
    images = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
    quarters = [(0, 0), (0, SIDE // 2), (SIDE // 2, 0), (SIDE // 2, SIDE // 2)]
    for (top, left), image in zip(quarters, images, strict=True):
        part = np.pad(image, ((0, SIDE), (0, SIDE), (0, 0)), mode="symmetric")[: SIDE // 2, : SIDE // 2]
        sheet[top : top + SIDE // 2, left : left + SIDE // 2] = part
    return sheet.astype(np.float32) / 255


def methods(sigma: float) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Return the methods to compare, name -> function of a noisy image; `sigma` in [0, 1] units."""
    result: dict[str, Callable[[np.ndarray], np.ndarray]] = {}
    for name, label in (("color", "unnoise color, ONNX Runtime"), ("nlm", NLM),
                        ("wavelet", "wavelet, scikit-image"), ("tv", "total variation, scikit-image")):  # fmt: skip
        denoiser = denoisers.make(name, engine="onnx")
        result[label] = lambda noisy, denoiser=denoiser: denoise_array(denoiser, noisy, sigma)
    if importlib.util.find_spec("cv2"):
        import cv2

        level = round(255 * sigma)

        def opencv(noisy: np.ndarray) -> np.ndarray:
            samples = np.rint(np.clip(noisy, 0, 1) * 255).astype(np.uint8)
            return cv2.fastNlMeansDenoisingColored(samples, None, level, level, 7, 21).astype(np.float32) / 255

        result["fastNlMeansDenoisingColored, OpenCV"] = opencv
    return result


def compare(compared: Mapping[str, Callable[[np.ndarray], np.ndarray]], sigma: float, repeats: int) -> list[Row]:
    """Time every method on the same noisy image, in turn; `NLM` must be among them, and `sigma` is in 8-bit units."""
    clean = photograph()
    noisy = noise.make(f"gaussian:{sigma}")(clean, 0)
    best: dict[str, float] = {}
    quality: dict[str, float] = {}
    for _ in range(repeats):
        for name, method in compared.items():
            seconds, denoised = common.timed(method, noisy)
            best[name] = min(seconds / (clean.shape[0] * clean.shape[1] / 1e6), best.get(name, np.inf))
            quality[name] = psnr(clean, denoised)
    reference = best[NLM]
    return [Row(name, best[name], best[name] / reference, quality[name]) for name in compared]


def start_up(repeats: int) -> list[Start]:
    """Time whole processes: `--version`, and an image of 0.1 megapixels from file to file."""
    with tempfile.TemporaryDirectory() as folder:
        common.save_image(photograph()[:316, :316], Path(folder) / "small.png")

        def call(*arguments: str) -> Callable[[], object]:
            return lambda: subprocess.run([*common.UNNOISE, *arguments], cwd=folder, check=True, capture_output=True)

        commands = [("--version",), ("small.png", "-o", "clean.png", "--overwrite")]
        calls = {f"unnoise {' '.join(arguments)}": call(*arguments) for arguments in commands}
        return [Start(name, seconds) for name, seconds in common.best_times(calls, repeats).items()]


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
