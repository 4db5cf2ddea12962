"""Denoisers: everything that takes a noisy array and returns a clean one.

`make("color")` opens a model that travels inside the package, `make("auto")` the one of these that fits each picture,
`make("nlm:strength=1")` a classical filter, and `make("mine.onnx")` or `make("mine.safetensors")` a model file. To
add one, write its class in a file here and its row in the table below.
"""

from __future__ import annotations

from pathlib import Path

from unnoise.denoisers import auto
from unnoise.denoisers.base import Denoiser
from unnoise.denoisers.ensemble import Ensemble
from unnoise.errors import UnnoiseError
from unnoise.estimation import NoiseReport
from unnoise.optional import need
from unnoise.spec import Registry, unknown

DENOISERS: Registry[Denoiser] = Registry(
    "denoiser",
    {
        "adaptive-median": "unnoise.denoisers.classical:AdaptiveMedian",
        "bilateral": "unnoise.denoisers.classical:Bilateral",
        "median": "unnoise.denoisers.classical:Median",
        "nlm": "unnoise.denoisers.classical:NLM",
        "tv": "unnoise.denoisers.classical:TV",
        "wavelet": "unnoise.denoisers.classical:Wavelet",
    },
)
WEIGHTS = Path(__file__).parent.parent / "weights"


def shipped() -> dict[str, Path]:
    """Return the models that travel inside the package, name -> `.onnx` file."""
    return {path.stem: path for path in sorted(WEIGHTS.glob("*.onnx"))}


def make(spec: str | Path | Denoiser, *, ensemble: bool = False) -> Denoiser:
    """Open the denoiser that `spec` names: "auto", a shipped model, a classical filter, or a model file.

    Args:
        spec: the name, the filter's spec, or the file; a denoiser is taken as it is.
        ensemble: average over the eight orientations of a picture, see `Ensemble`.

    Raises:
        UnnoiseError: no such model, or a file that is none.
    """
    if str(spec) == auto.Auto.title:
        return auto.Auto(lambda name: make(name, ensemble=ensemble), shipped())
    return Ensemble(_open(spec)) if ensemble else _open(spec)


def _open(spec: str | Path | Denoiser) -> Denoiser:
    if isinstance(spec, Denoiser):
        return spec
    path = shipped().get(str(spec), Path(spec))
    if path.suffix == ".onnx":
        from unnoise.denoisers.onnx import Onnx

        _check_file(path)
        return Onnx(path)
    if path.suffix == ".safetensors":
        _check_file(path)
        need("torch", extra="train")
        from unnoise.denoisers import checkpoint

        network, card = checkpoint.load(path)
        return checkpoint.Checkpoint(network, title=card.name)
    name = str(spec).partition(":")[0].strip()
    if name in shipped():
        raise UnnoiseError(f"the model '{name}' takes no arguments: '{spec}'")
    if name not in DENOISERS.members:
        raise UnnoiseError(unknown("model", name, [auto.Auto.title, *DENOISERS.members, *shipped()]))
    return DENOISERS.make(str(spec))


def fitted(report: NoiseReport, channels: int) -> NoiseReport:
    """Return what was found in a picture of so many channels, with the shipped model that fits."""
    return auto.fitted(report, channels, shipped())


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise UnnoiseError(f"no model file '{path}'")


__all__ = ["DENOISERS", "Denoiser", "Ensemble", "fitted", "make", "shipped"]
