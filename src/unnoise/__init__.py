"""Image denoising: a tool that cleans pictures, and a workbench that makes the networks for it.

    import unnoise
    clean = unnoise.denoise("noisy.png")

Names are imported when they are first used, so that `import unnoise` costs next to nothing.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from unnoise._version import __version__ as __version__

if TYPE_CHECKING:
    from unnoise.api import add_noise, denoise, denoise_with_error, evaluate, inspect, train
    from unnoise.denoisers import Denoiser
    from unnoise.errors import UnnoiseError
    from unnoise.io import Picture
    from unnoise.noise import Noise

# Left to itself, ONNX Runtime keeps an identifier of this machine and sends events to its maker.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

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


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'unnoise' has no attribute '{name}'")
    module, _, attribute = _LAZY[name].partition(":")
    value = globals()[name] = getattr(importlib.import_module(module), attribute)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
