"""Denoisers: a noisy array in, a clean array out.

`make("color")` opens a bundled model, `make("auto")` selects one for each image, `make("nlm:strength=1")` is a
classical filter, and `make("mine.onnx")`, `make("mine.safetensors")` or `make("theirs.pth")` opens a model file. To add
a denoiser, write its class in a file of this package and add a row to `DENOISERS`.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from unnoise.denoisers import auto, onnx_graph
from unnoise.denoisers.base import Denoiser, channel_count
from unnoise.denoisers.ensemble import Ensemble
from unnoise.denoisers.info import DenoiserInfo
from unnoise.denoisers.model_cache import ModelCache
from unnoise.denoisers.noise_estimation import estimate_noise
from unnoise.denoisers.noise_level import NoiseLevelEstimator, level_estimator
from unnoise.errors import UnnoiseError
from unnoise.io.picture import Picture
from unnoise.io.value_range import range_of
from unnoise.noise.estimation import NoiseEstimate
from unnoise.optional import require
from unnoise.spec import Registry, unknown
from unnoise.system import cpu_count

BM3D = "bm3d"
"""A denoiser that is there where the user has installed it, since its license restricts its use."""
DENOISERS: Registry[Denoiser] = Registry(
    "denoiser",
    {
        "adaptive-median": "unnoise.denoisers.classical:AdaptiveMedian",
        "bilateral": "unnoise.denoisers.classical:Bilateral",
        "deep_prior": "unnoise.denoisers.deep_prior:DeepPrior",
        "median": "unnoise.denoisers.classical:Median",
        "nlm": "unnoise.denoisers.classical:NLM",
        "tv": "unnoise.denoisers.classical:TV",
        "wavelet": "unnoise.denoisers.classical:Wavelet",
        "zero_shot": "unnoise.denoisers.zero_shot:ZeroShot",
        **({BM3D: "unnoise.denoisers.bm3d:BM3D"} if importlib.util.find_spec(BM3D) else {}),
    },
)
ENGINES = ("onnx", "openvino", "torch")
"""Libraries that run networks: ONNX Runtime and OpenVINO run `.onnx` files, PyTorch runs `.safetensors` files.

Without a choice, it is OpenVINO if installed, else ONNX Runtime, and PyTorch for `.safetensors`: always in float32, so
that the results agree. If chosen, OpenVINO and PyTorch use bfloat16 where it is faster, and PyTorch uses CUDA or
Apple's GPU.
"""
TORCH_FILES = (".safetensors", ".pth", ".pt", ".ckpt")
"""Suffixes of files that PyTorch runs: models of this package, and weights of other projects."""
WEIGHTS = Path(__file__).parent / "weights"
RAW = "raw"
"""Name of the network for the mosaics of raw files, which denoises no images."""
ESTIMATOR = "noise_level"
"""Name of the network that estimates the noise level, next to the denoiser that it is a part of; not a denoiser."""


def bundled_models() -> dict[str, Path]:
    """Return the models for images inside this package, name -> `.onnx` file."""
    return {name: path for name, path in bundled_files().items() if name not in (ESTIMATOR, RAW)}


def bundled_files() -> dict[str, Path]:
    """Return all networks inside this package, name -> `.onnx` file: `RAW` and `ESTIMATOR`, too."""
    return {path.stem: path for path in sorted(WEIGHTS.glob("*.onnx"))}


def make(
    spec: str | Path | Denoiser, *, ensemble: bool = False, engine: str | None = None, concurrency: int = 1
) -> Denoiser:
    """Open a denoiser: "auto", a bundled model, a classical filter, or a model file.

    Args:
        spec: name, spec of a filter, or path of a file; a denoiser is returned as it is.
        ensemble: average over the eight orientations of an image, see `Ensemble`.
        engine: library that runs the network, one of `ENGINES`; None for the fastest installed one.
        concurrency: number of threads that will call it at the same time; ONNX Runtime then uses fewer of its own.

    Raises:
        UnnoiseError: there is no such model or engine, or the file is not a model.
    """
    if str(spec) == auto.Auto.name:
        models = functools.partial(make, ensemble=ensemble, engine=engine, concurrency=concurrency)
        return auto.Auto(ModelCache(models), tuple(bundled_models()), level_estimator())
    denoiser = _open(spec, engine, concurrency)
    return Ensemble(denoiser) if ensemble else denoiser


def _open(spec: str | Path | Denoiser, engine: str | None, concurrency: int) -> Denoiser:
    if isinstance(spec, Denoiser):
        return spec
    path = bundled_files().get(str(spec), Path(spec))
    if path.suffix.lower() in (".onnx", *TORCH_FILES):
        return _open_file(path, engine, concurrency)
    name = str(spec).partition(":")[0].strip()
    if name in bundled_models():
        raise UnnoiseError(f"the model '{name}' takes no arguments, got '{spec}'")
    if name == BM3D and name not in DENOISERS:
        require(BM3D, extra="")
    if name not in DENOISERS:
        raise UnnoiseError(unknown("model", name, [auto.Auto.name, *DENOISERS, *bundled_models()]))
    return DENOISERS.make(str(spec))


def _open_file(path: Path, engine: str | None, concurrency: int) -> Denoiser:
    if engine not in (None, *ENGINES):
        raise UnnoiseError(unknown("engine", engine, ENGINES))
    if engine == "torch" and path.suffix == ".onnx":
        path = path.with_suffix(".safetensors")
    if path.stem == ESTIMATOR:
        raise UnnoiseError(f"'{path}' is not a denoiser: it estimates the noise level for 'blind'")
    if not path.is_file():
        raise UnnoiseError(f"there is no model file '{path}'")
    if path.suffix.lower() in TORCH_FILES:
        if engine not in (None, "torch"):
            raise UnnoiseError(f"engine '{engine}' runs .onnx files only: run `unnoise export {path}` first")
        require("torch", extra="train" if path.suffix.lower() == ".safetensors" else "spandrel")
        from unnoise.denoisers import pytorch

        return pytorch.open_model(path, accelerate=engine is not None)
    if path.parent != WEIGHTS:
        onnx_graph.check(path)
    if engine == "openvino" or (engine is None and importlib.util.find_spec("openvino")):
        require("openvino", extra="openvino")
        from unnoise.denoisers.openvino import OpenVino

        network = OpenVino(path, precision=None if engine else "f32")
        if network.card.reach is None:
            return network  # others need the statistics of the whole image, which ONNX Runtime is given below
    from unnoise.denoisers.blind import Blind
    from unnoise.denoisers.onnx import Onnx

    # All callers share its threads, and each one works beside them; OpenVINO serves one caller at a time.
    threads = max(1, cpu_count() - concurrency + 1)
    network, estimator = Onnx(path, threads=threads), path.with_name(f"{ESTIMATOR}.onnx")
    if network.card.reach is None or not estimator.is_file():
        return network
    return Blind(network, NoiseLevelEstimator(estimator, threads=threads))


def training_weights(spec: str | Path) -> Path:
    """Return the `.safetensors` file of a bundled network; any other spec is the path of a file.

    >>> training_weights("photo").name
    'photo.safetensors'
    """
    bundled = WEIGHTS / f"{spec}.safetensors"
    return bundled if bundled.parent == WEIGHTS and bundled.is_file() else Path(spec)


def inspect_picture(picture: Picture, value_range: tuple[float, float] | None = None) -> NoiseEstimate:
    """Estimate the noise in a picture, relative to the full scale of its value range, and suggest a bundled model.

    Of channels that are no color image, which are denoised one by one, it is that of the noisiest; they are those of a
    pixel, or the pages of a stack.
    """
    parts = (pixels[:, :, group] for pixels in picture.channel_pages() for group in picture.layout.groups)
    estimates = [_inspect_channels(part, picture.dtype, value_range) for part in parts]
    return noisiest(estimates)


def noisiest(estimates: Iterable[NoiseEstimate]) -> NoiseEstimate:
    """Return the estimate of the highest noise level; of equal ones, that with the most impulses."""
    return max(estimates, key=lambda estimate: (estimate.sigma, estimate.impulses))


def _inspect_channels(
    channels: np.ndarray, dtype: np.dtype[Any], value_range: tuple[float, float] | None
) -> NoiseEstimate:
    values = range_of(value_range, channels, dtype)
    colors = channels[:, :, :3]
    pixels = colors if values.is_unit else values.without_outliers(colors)
    estimate = estimate_noise(pixels)
    estimate = auto.with_model(estimate, channel_count(pixels), bundled_models())
    return estimate.scaled(values.contrast)


__all__ = [
    "DENOISERS",
    "ENGINES",
    "Denoiser",
    "DenoiserInfo",
    "Ensemble",
    "ModelCache",
    "RAW",
    "bundled_files",
    "bundled_models",
    "estimate_noise",
    "inspect_picture",
    "level_estimator",
    "make",
    "noisiest",
    "training_weights",
]
