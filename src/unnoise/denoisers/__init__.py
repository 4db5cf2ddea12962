"""Denoisers: everything that takes a noisy array and returns a clean one.

`make("color")` opens a model that travels inside the package, `make("auto")` the one of these that fits each picture,
`make("nlm:strength=1")` a classical filter, and `make("mine.onnx")` or `make("mine.safetensors")` a model file. To
add one, write its class in a file here and its row in the table below.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from unnoise.denoisers import auto
from unnoise.denoisers.base import Denoiser, channel_count
from unnoise.denoisers.ensemble import Ensemble
from unnoise.errors import UnnoiseError
from unnoise.noise.estimation import NoiseEstimate
from unnoise.optional import require
from unnoise.spec import Registry, unknown
from unnoise.system import cpu_count

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
    },
)
ENGINES = ("onnx", "openvino", "torch")
"""What runs a network: ONNX Runtime and OpenVINO an `.onnx` file, PyTorch a `.safetensors` one.

Where none is named, that is OpenVINO if it is installed, else ONNX Runtime, and PyTorch for `.safetensors`: all in
float32, and so with the same result. OpenVINO and PyTorch that are named take bfloat16 where that is faster here, and
PyTorch takes CUDA or Apple's GPU.
"""
WEIGHTS = Path(__file__).parent / "weights"


def bundled_models() -> dict[str, Path]:
    """Return the models that travel inside the package, name -> `.onnx` file."""
    return {path.stem: path for path in sorted(WEIGHTS.glob("*.onnx"))}


def make(
    spec: str | Path | Denoiser, *, ensemble: bool = False, engine: str | None = None, concurrency: int = 1
) -> Denoiser:
    """Open the denoiser that `spec` names: "auto", a shipped model, a classical filter, or a model file.

    Args:
        spec: the name, the filter's spec, or the file; a denoiser is taken as it is.
        ensemble: average over the eight orientations of a picture, see `Ensemble`.
        engine: what runs a network, one of `ENGINES`; None for the fastest that is installed.
        concurrency: threads that will call it at the same time; ONNX Runtime then takes so many fewer of its own.

    Raises:
        UnnoiseError: no such model or engine, or a file that is no model.
    """
    if str(spec) == auto.Auto.name:
        return auto.Auto(
            lambda name: make(name, ensemble=ensemble, engine=engine, concurrency=concurrency), bundled_models()
        )
    opened = _open(spec, engine, concurrency)
    return Ensemble(opened) if ensemble else opened


def _open(spec: str | Path | Denoiser, engine: str | None, callers: int) -> Denoiser:
    if isinstance(spec, Denoiser):
        return spec
    path = bundled_models().get(str(spec), Path(spec))
    if path.suffix in (".onnx", ".safetensors"):
        return _open_file(path, engine, callers)
    name = str(spec).partition(":")[0].strip()
    if name in bundled_models():
        raise UnnoiseError(f"the model '{name}' takes no arguments: '{spec}'")
    if name not in DENOISERS:
        raise UnnoiseError(unknown("model", name, [auto.Auto.name, *DENOISERS, *bundled_models()]))
    return DENOISERS.make(str(spec))


def _open_file(path: Path, engine: str | None, callers: int) -> Denoiser:
    if engine not in (None, *ENGINES):
        raise UnnoiseError(unknown("engine", engine, ENGINES))
    if engine == "torch":
        path = path.with_suffix(".safetensors")
    if not path.is_file():
        raise UnnoiseError(f"no model file '{path}'")
    if path.suffix == ".safetensors":
        if engine not in (None, "torch"):
            raise UnnoiseError(f"the engine '{engine}' runs .onnx files: unnoise export {path}")
        require("torch", extra="train")
        from unnoise.denoisers import pytorch

        network, card = pytorch.load(path)
        if engine:
            return pytorch.on_fastest_device(network, card.name, corrects_clipping=card.corrects_clipping)
        return pytorch.TorchDenoiser(network, name=card.name, corrects_clipping=card.corrects_clipping)
    if engine == "openvino" or (engine is None and importlib.util.find_spec("openvino")):
        require("openvino", extra="openvino")
        from unnoise.denoisers.openvino import OpenVino

        return OpenVino(path, precision=None if engine else "f32")
    from unnoise.denoisers.onnx import Onnx

    # All callers share its threads, and each works beside them; OpenVINO serves one caller after the other.
    return Onnx(path, threads=max(1, cpu_count() - callers + 1))


def training_weights(spec: str | Path) -> Path:
    """Return the file of weights, to learn on, of a shipped model; or the file that is named.

    >>> trained("photo").name
    'photo.safetensors'
    """
    return bundled_models()[str(spec)].with_suffix(".safetensors") if str(spec) in bundled_models() else Path(spec)


def with_model(report: NoiseEstimate, pixels: np.ndarray) -> NoiseEstimate:
    """Return what was found in a picture `[H, W, C]`, with the shipped model that fits."""
    return auto.with_model(report, channel_count(pixels), bundled_models())


__all__ = ["DENOISERS", "ENGINES", "Denoiser", "Ensemble", "with_model", "make", "bundled_models", "training_weights"]
