"""Image denoising: ready-to-use models, and what is needed to train new ones.

    import unnoise
    clean = unnoise.denoise("noisy.png")

Names are imported when they are first used, so that `import unnoise` is fast.
"""

from __future__ import annotations

import importlib as _importlib
import os as _os
import typing as _typing

from unnoise._version import __version__ as __version__

if _typing.TYPE_CHECKING:
    from unnoise.api import add_noise, denoise, denoise_with_error, evaluate, inspect, train
    from unnoise.denoisers import Denoiser
    from unnoise.errors import UnnoiseError
    from unnoise.io import Picture
    from unnoise.noise import Noise

# By default, ONNX Runtime stores an identifier of the machine and sends usage events to its vendor.
_os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_LAZY = {
    "Denoiser": "unnoise.denoisers:Denoiser",
    "Noise": "unnoise.noise:Noise",
    "Picture": "unnoise.io.reader:Picture",
    "UnnoiseError": "unnoise.errors:UnnoiseError",
    "add_noise": "unnoise.api:add_noise",
    "denoise": "unnoise.api:denoise",
    "denoise_with_error": "unnoise.api:denoise_with_error",
    "evaluate": "unnoise.api:evaluate",
    "inspect": "unnoise.api:inspect",
    "train": "unnoise.api:train",
}

__all__ = [
    "Denoiser",
    "Noise",
    "Picture",
    "UnnoiseError",
    "add_noise",
    "denoise",
    "denoise_with_error",
    "evaluate",
    "inspect",
    "train",
]


def __getattr__(name: str) -> _typing.Any:
    if name == "torch":  # needs PyTorch, and is no part of the names that are there without it
        return _importlib.import_module("unnoise.torch")
    if name not in _LAZY:
        raise AttributeError(f"module 'unnoise' has no attribute '{name}'")
    module, _, attribute = _LAZY[name].partition(":")
    value = globals()[name] = getattr(_importlib.import_module(module), attribute)
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
