"""What the shipped networks cost, engine by engine, beside the classical filters; and quality over cost.

    python benchmarks/speed/cost.py [--repeats 3]
    python benchmarks/speed/cost.py --plot docs/images/cost.png [--rows rows.json] [--data ../shared/data]

The first prints learned values, multiplications with additions for a megapixel, and seconds for the noisy megapixel
of benchmarks/speed/denoisers.py: ONNX Runtime (float32), OpenVINO where it is installed (float32, and bfloat16 where
it takes that), PyTorch (bfloat16), each as a share of scikit-image's fast non-local means in the same run. Compare
ratios, not seconds.

`--plot` draws PSNR on CBSD68 at sigma 25 over the cost of the network instead: ours as measured by this run, or read
from the file that `benchmarks/quality/test_sets.py --json` wrote; those of others as published, hollow. Filters have no
such cost, and are lines.
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
    """One network: its learned values in millions, and multiplications with additions in billions."""

    model: str
    parameters_m: float
    gmac_per_megapixel: float


def sizes() -> dict[str, Size]:
    """Count every network that ships."""
    found = {}
    for name, path in denoisers.bundled_models().items():
        network = networks.make(Onnx(path).card.network)
        found[name] = Size(name, network.parameter_count / 1e6, multiply_adds(network) / 1e3)
    return found


def engines() -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Return every colour model that ships, on every engine that is here, and the classical filters."""
    found: dict[str, Denoiser] = {}
    for name in test_sets.models_for(3, denoisers.bundled_models()):
        path = denoisers.bundled_models()[name]
        learned = path.with_suffix(".safetensors")
        if not learned.exists():  # it came out of another model, by `unnoise quantize`
            found[f"{name}, ONNX Runtime, int8 inside"] = Onnx(path)
            continue
        found[f"{name}, ONNX Runtime, float32"] = Onnx(path)
        if importlib.util.find_spec("openvino"):
            from unnoise.denoisers.openvino import OpenVino

            found[f"{name}, OpenVINO, f32"] = OpenVino(path, precision="f32")
            fastest = OpenVino(path)
            if fastest.compiled.get_property("INFERENCE_PRECISION_HINT").to_string() == "bf16":
                found[f"{name}, OpenVINO, bf16"] = fastest
        network, _ = pytorch.load(learned)
        network.to(memory_format=torch.channels_last)
        found[f"{name}, PyTorch, bfloat16"] = pytorch.TorchDenoiser(network, bf16=True)
    found |= {speed.NLM if name == "nlm" else name: denoisers.make(name) for name in test_sets.CLASSICAL}
    return {name: functools.partial(_clean, denoiser) for name, denoiser in found.items()}


def _clean(denoiser: Denoiser, noisy: np.ndarray) -> np.ndarray:
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
        found = {row["model"]: row["psnr"] for row in read if (row["data"], row["noise"]) == ("cbsd68", "gaussian:25")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnnoiseError(f"'{rows}' does not hold rows of benchmarks/quality/test_sets.py") from error
    if not found:
        raise UnnoiseError(f"'{rows}' holds no rows of cbsd68 at sigma 25")
    return found


def plot(target: Path, found: dict[str, float]) -> None:
    """Draw quality over cost; what is one network in other numbers is one point."""
    ours = sizes()
    found = {name: psnr for name, psnr in found.items() if not name.endswith("-fast")}
    points = [report.Point(name, ours[name].gmac_per_megapixel, psnr) for name, psnr in found.items() if name in ours]
    theirs = {row.method: row.sigma_25 for row in published.QUALITY if row.data == "cbsd68"}
    points += [
        report.Point(one.method, one.gmac_per_megapixel, theirs[one.method], True) for one in published.COLOUR_COSTS
    ]
    levels = {name: psnr for name, psnr in found.items() if name not in ours and not math.isnan(psnr)}
    report.draw_points(
        points,
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
    parser.add_argument("--plot", type=Path, help="PNG file")
    parser.add_argument("--rows", type=Path, help="what test_sets.py --json wrote")
    parser.add_argument("--limit", type=int, help="pictures of CBSD68, for a quick look")
    arguments = parser.parse_args()
    if arguments.plot:
        io.check_target(arguments.plot, overwrite=True)
        plot(arguments.plot, psnrs(arguments.rows, arguments.data, arguments.limit))
        return
    print(report.markdown(list(sizes().values())))
    print()
    print(report.markdown(speed.compare(engines(), SIGMA, arguments.repeats)))


if __name__ == "__main__":
    try:
        main()
    except UnnoiseError as error:
        sys.exit(str(error))
