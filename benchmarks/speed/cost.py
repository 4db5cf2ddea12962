"""Cost of the bundled networks on each engine, beside classical filters; and quality over cost.

    python benchmarks/speed/cost.py [--repeats 3]
    python benchmarks/speed/cost.py --plot docs/images/cost.png [--rows rows.json] [--data ../shared/data]

The first prints parameters, multiply-adds for a megapixel, and seconds for the noisy megapixel of
benchmarks/speed/denoisers.py: ONNX Runtime (float32), OpenVINO if installed (float32, and bfloat16 where it uses that),
PyTorch (bfloat16), each as a multiple of scikit-image's fast non-local means in the same run. Compare ratios, not
seconds.

`--plot` draws PSNR on CBSD68 at sigma 25 over the cost of the network instead: bundled models as measured by this run,
or read from a file written by `benchmarks/quality/test_sets.py --json`; others as published, hollow. Filters have no
such cost, and are drawn as lines.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common
import denoisers as speed
import numpy as np
import points
import torch
from quality import published, test_sets

from unnoise import denoisers, io, networks
from unnoise.denoisers import pytorch
from unnoise.denoisers.base import Denoiser
from unnoise.denoisers.onnx import Onnx
from unnoise.errors import UnnoiseError
from unnoise.evaluation import report
from unnoise.networks.base import multiply_adds
from unnoise.pipeline.process import denoise_array

SIGMA = 25


@dataclass(frozen=True)
class Size:
    """One network: parameters in millions, and multiply-adds (GMAC) in billions."""

    model: str
    parameters_m: float
    gmac_per_megapixel: float


def sizes() -> dict[str, Size]:
    """Count parameters and multiply-adds of every bundled network."""
    result = {}
    for name, path in denoisers.bundled_models().items():
        network = networks.make(Onnx(path).card.network)
        result[name] = Size(name, network.parameter_count / 1e6, multiply_adds(network) / 1e3)
    return result


def methods() -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Return every bundled color model on every installed engine, and the classical filters."""
    result: dict[str, Denoiser] = {}
    for name in test_sets.models_for(3, denoisers.bundled_models()):
        path = denoisers.bundled_models()[name]
        weights = path.with_suffix(".safetensors")
        if not weights.exists():  # a model made by `unnoise quantize`
            result[f"{name}, ONNX Runtime, int8 inside"] = Onnx(path)
            continue
        result[f"{name}, ONNX Runtime, float32"] = Onnx(path)
        if importlib.util.find_spec("openvino"):
            from unnoise.denoisers.openvino import OpenVino

            result[f"{name}, OpenVINO, f32"] = OpenVino(path, precision="f32")
            default = OpenVino(path)
            if default.compiled.get_property("INFERENCE_PRECISION_HINT").to_string() == "bf16":
                result[f"{name}, OpenVINO, bf16"] = default
        network, _ = pytorch.load(weights)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        result[f"{name}, PyTorch, bfloat16"] = pytorch.TorchDenoiser(network, bf16=True)
    result |= {speed.NLM if name == "nlm" else name: denoisers.make(name) for name in test_sets.CLASSICAL}
    return {name: functools.partial(_denoise, denoiser) for name, denoiser in result.items()}


def _denoise(denoiser: Denoiser, noisy: np.ndarray) -> np.ndarray:
    return denoise_array(denoiser, noisy, SIGMA / 255)


def psnrs(rows: Path | None, data: Path, limit: int | None) -> dict[str, float]:
    """Return the PSNR of every model on CBSD68, from a file of rows or measured now."""
    if rows is None:
        models = test_sets.models_for(3)
        measured = test_sets.measure(data / "cbsd68", models, [SIGMA], limit=limit, seed=0)
        print(report.markdown(measured))
        return {row.model: row.psnr for row in measured}
    try:
        read = [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]
        result = {row["model"]: row["psnr"] for row in read if (row["data"], row["noise"]) == ("cbsd68", "gaussian:25")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnnoiseError(f"'{rows}' must be a file of benchmarks/quality/test_sets.py --json") from error
    if not result:
        raise UnnoiseError(f"'{rows}' has no rows of cbsd68 at sigma 25")
    return result


def plot(target: Path, psnr_by_name: dict[str, float]) -> None:
    """Draw quality over cost; quantized copies of a network are left out."""
    ours = sizes()
    psnr_by_name = {name: psnr for name, psnr in psnr_by_name.items() if not name.endswith("-fast")}
    shown = [
        points.Point(name, ours[name].gmac_per_megapixel, psnr) for name, psnr in psnr_by_name.items() if name in ours
    ]
    theirs = {row.method: row.sigma_25 for row in published.QUALITY if row.data == "cbsd68"}
    shown += [
        points.Point(cost.method, cost.gmac_per_megapixel, theirs[cost.method], True) for cost in published.COLOR_COSTS
    ]
    levels = {name: psnr for name, psnr in psnr_by_name.items() if name not in ours and not math.isnan(psnr)}
    points.draw_points(
        shown,
        target,
        x="GMAC per megapixel",
        y="PSNR on CBSD68 at sigma 25, dB",
        levels=levels | {"BM3D (published)": theirs["BM3D"]},
        note="as published",
    )


def main() -> None:
    """Print the tables, or draw the figure."""
    parser = common.parser(__doc__, data=True)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--plot", type=Path, help="PNG file to draw instead")
    parser.add_argument("--rows", type=Path, help="file written by test_sets.py --json")
    parser.add_argument("--limit", type=int, help="number of images of CBSD68; all by default")
    arguments = parser.parse_args()
    if arguments.plot:
        io.check_target(arguments.plot, overwrite=True)
        plot(arguments.plot, psnrs(arguments.rows, arguments.data, arguments.limit))
        return
    print(report.markdown(list(sizes().values())))
    print()
    print(report.markdown(speed.compare(methods(), SIGMA, arguments.repeats)))


if __name__ == "__main__":
    common.run(main)
