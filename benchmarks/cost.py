"""What denoising costs: parameters, multiplications, and seconds on each engine, beside fast non-local means.

    python benchmarks/cost.py [--repeats 3] [--plot docs/images/cost.png --data ../shared/data]

The picture is the megapixel of `speed.py`, at sigma 25, told. Times are the best of the repeats, taken in turn on all
cores that the process may use; compare the ratios to scikit-image's fast non-local means in the same run, not seconds.
OpenVINO takes part where it is installed (`pip install openvino`). The plot sets PSNR on CBSD68 at sigma 25, measured
here for ours and read from papers for the others, over multiplications; `published.py` names the sources.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from published import COST, PSNR
from speed import photograph

from unnoise import datasets, denoisers, evaluation, noise, report
from unnoise.denoisers import Denoiser, checkpoint
from unnoise.networks.base import multiply_adds
from unnoise.pipeline import clean_pixels

SIGMA = 25
REFERENCE = "nlm, scikit-image fast mode"
Method = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Row:
    """One model on one engine; a filter has neither parameters nor counted multiplications."""

    method: str
    engine: str
    parameters: str
    gmac_per_megapixel: str
    seconds_per_megapixel: float
    times_nlm: float


class OpenVINO(Denoiser):
    """A shipped model on OpenVINO, in one of its precisions."""

    def __init__(self, path: Path, precision: str) -> None:
        import openvino  # type: ignore[import-not-found]

        card = denoisers.make(path)
        self.channels, self.multiple_of = card.channels, card.multiple_of
        self.halo, self.wants_sigma, self.margin = card.halo, card.wants_sigma, card.margin
        settings = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
        self.model = openvino.Core().compile_model(str(path), "CPU", settings)

    def run(self, noisy: np.ndarray, sigma: float | np.ndarray | None) -> np.ndarray:
        """Clean one picture."""
        feed = {"noisy": np.ascontiguousarray(noisy.transpose(2, 0, 1))[None]}
        if sigma is not None:
            level = np.broadcast_to(np.asarray(sigma, np.float32), noisy.shape[:2])
            feed["sigma"] = np.ascontiguousarray(level)[None, None]
        return self.model(feed)["clean"][0].transpose(1, 2, 0)


def engines(name: str, path: Path) -> Iterator[tuple[str, Denoiser]]:
    """Yield a shipped model on every engine that is here."""
    yield "ONNX Runtime fp32", denoisers.make(name)
    if importlib.util.find_spec("openvino"):
        yield "OpenVINO fp32", OpenVINO(path, "f32")
        yield "OpenVINO bf16", OpenVINO(path, "bf16")
    network = checkpoint.load(path.with_suffix(".safetensors"))[0]
    yield "PyTorch bf16", checkpoint.Checkpoint(network, bf16=True)


def times(repeats: int) -> list[Row]:
    """Time every shipped model on every engine, and the filters, in turn."""
    noisy = noise.make(f"gaussian:{SIGMA}")(photograph(), 0)
    grey = noisy[:, :, :1]
    methods: dict[tuple[str, str, str, str], tuple[Method, np.ndarray]] = {}
    for name, path in denoisers.shipped().items():
        if not path.with_suffix(".safetensors").exists():
            continue
        network = checkpoint.load(path.with_suffix(".safetensors"))[0]
        size = f"{network.parameter_count / 1e6:.2f} M", f"{multiply_adds(network) / 1e3:.1f}"
        picture = grey if network.channels == 1 else noisy
        for engine, denoiser in engines(name, path):
            methods[name, engine, *size] = _cleaning(denoiser), picture
    for name, label in (("nlm", REFERENCE), ("wavelet", "wavelet, scikit-image")):
        methods[label, "NumPy, Cython", "", ""] = _cleaning(denoisers.make(name)), noisy
    best: dict[tuple[str, str, str, str], float] = {}
    for _ in range(repeats):
        for key, (method, picture) in methods.items():
            start = time.perf_counter()
            method(picture)
            seconds = (time.perf_counter() - start) / (picture.shape[0] * picture.shape[1] / 1e6)
            best[key] = min(seconds, best.get(key, np.inf))
    reference = next(seconds for key, seconds in best.items() if key[0] == REFERENCE)
    return [Row(*key, seconds, seconds / reference) for key, seconds in best.items()]


def plot(data: Path, target: Path) -> None:
    """Measure the colour models on CBSD68 at sigma 25 and draw them among the published ones."""
    ours: dict[str, tuple[float, float]] = {}
    pictures = datasets.make(f"images:{data / 'cbsd68'}")
    for name, path in denoisers.shipped().items():
        network, card = checkpoint.load(path.with_suffix(".safetensors"))
        if not (card.wants_sigma and card.channels == 3):
            continue
        noises = [noise.make(f"gaussian:{SIGMA}")]
        (row,) = evaluation.evaluate({name: denoisers.make(path)}, pictures, noises, with_ssim=False)
        ours[name] = multiply_adds(network) / 1e3, row.psnr
    others = {name: (cost, PSNR["cbsd68"][name][SIGMA]) for name, cost in COST.items() if name in PSNR["cbsd68"]}
    axes = {"x": "multiplications, 10^9 per megapixel", "y": f"PSNR on CBSD68 at sigma {SIGMA}, dB"}
    report.draw_points({"measured here": ours, "as published": others}, target, **axes)


def _cleaning(denoiser: Denoiser) -> Method:
    return lambda noisy: clean_pixels(denoiser, noisy, SIGMA / 255)


def main() -> None:
    """Print the table, and draw the plot where it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--plot", type=Path, help="PNG file")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    arguments = parser.parse_args()
    print(report.markdown(times(arguments.repeats)))
    if arguments.plot:
        plot(arguments.data, arguments.plot)


if __name__ == "__main__":
    main()
