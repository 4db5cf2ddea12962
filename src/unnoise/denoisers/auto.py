"""The shipped model that fits a picture, chosen by what noise is in it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection
from dataclasses import replace

import numpy as np

from unnoise.denoisers.base import Denoiser, Sigma, channel_count
from unnoise.noise import estimation
from unnoise.noise.estimation import NoiseEstimate

MODEL_FOR_NOISE = {
    "none": (("color",), ("gray",)),
    "gaussian": (("color",), ("gray",)),
    "signal-dependent": (("color",), ("gray",)),
    "impulse": (("impulse",), ("impulse",)),
    "correlated": (("photo",), ("photo", "gray")),
    "mixed": (("impulse",), ("impulse", "gray")),
}
"""Kind of noise -> models for colour, and for grey, the best first; where none of them ships, `color` serves.

Chosen on pictures of BSDS500's validation part by `picks` of `benchmarks/quality/estimation.py`.
"""


class Auto(Denoiser):
    """Gives each picture to the model that fits the whole of it; a level that is told is that of Gaussian noise.

    Args:
        make: opens a model by its name; each is opened once, when a picture first needs it.
        shipped: names of the models that there are.
    """

    name = "auto"

    def __init__(self, make: Callable[[str], Denoiser], shipped: Collection[str]) -> None:
        self._make, self._shipped = make, shipped
        self._opened: dict[str, Denoiser] = {}
        self._lock = threading.Lock()

    def resolve(self, noisy: np.ndarray, sigma: Sigma | None = None) -> tuple[Denoiser, Sigma | None]:
        """Choose the model for a picture."""
        report = estimation.estimate_noise(noisy[:, :, :3]) if sigma is None else NoiseEstimate("gaussian", 0.0, ())
        name = select_model(report, channel_count(noisy), self._shipped)
        return self._open(name).for_noise(report).resolve(noisy, report.sigma if sigma is None else sigma)

    def preload(self) -> None:
        """Open, on a thread of its own, the model that most pictures need, while the first is still being read."""

        def attempt() -> None:
            with contextlib.suppress(Exception):  # who needs it will be told
                self._open("color")

        threading.Thread(target=attempt).start()

    def _open(self, name: str) -> Denoiser:
        with self._lock:
            if name not in self._opened:
                self._opened[name] = self._make(name)
            return self._opened[name]

    def __call__(self, noisy: np.ndarray, sigma: Sigma | None = None) -> np.ndarray:
        """Clean a picture by the model that fits; see `Denoiser`."""
        return self.run(self.checked(noisy), sigma)

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Clean one picture."""
        denoiser, told = self.resolve(noisy, sigma)
        return denoiser(noisy, told)


def select_model(report: NoiseEstimate, channels: int, shipped: Collection[str]) -> str:
    """Return the name of the model that fits a picture.

    Args:
        report: what noise is in it; with none, the model is one that leaves the picture as it is at level 0.
        channels: of the picture, see `colours`.
        shipped: names of the models that there are; `color` is always one of them.
    """
    in_colour, in_grey = MODEL_FOR_NOISE[report.kind]
    return next((name for name in (in_grey if channels == 1 else in_colour) if name in shipped), "color")


def with_model(report: NoiseEstimate, channels: int, shipped: Collection[str]) -> NoiseEstimate:
    """Return a report that names the model that fits."""
    return report if report.kind == "none" else replace(report, model=select_model(report, channels, shipped))
