"""The denoiser "auto": selects a bundled model by the noise in each image."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection
from dataclasses import replace

import numpy as np

from unnoise.denoisers.base import Denoiser, Sigma, channel_count
from unnoise.denoisers.model_cache import ModelCache
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
"""Kind of noise -> models for color and for gray images, best first; `color` if none of them is bundled.

Chosen on images of BSDS500's validation part by `picks` of `benchmarks/quality/estimation.py`.
"""


class Auto(Denoiser):
    """Denoises each image with the model selected for it; a given sigma is taken as that of Gaussian noise.

    Args:
        models: opens models by name, when an image first needs them.
        names: names of the available models.
    """

    name = "auto"

    def __init__(self, models: ModelCache, names: Collection[str]) -> None:
        self._models, self._names = models, names

    def resolve(self, noisy: np.ndarray, sigma: Sigma | None = None) -> tuple[Denoiser, Sigma | None]:
        """Return the model for an image and the sigma to call it with."""
        estimate = estimation.estimate_noise(noisy[:, :, :3]) if sigma is None else NoiseEstimate("gaussian", 0.0, ())
        model = self._models.open(select_model(estimate, channel_count(noisy), self._names))
        return model.for_noise(estimate).resolve(noisy, estimate.sigma if sigma is None else sigma)

    def preload(self) -> None:
        """Start to open the model that most images need, on another thread, while the first image is being read."""

        def attempt() -> None:
            with contextlib.suppress(Exception):  # the caller that needs the model gets the error
                self._models.open("color")

        threading.Thread(target=attempt).start()

    def __call__(self, noisy: np.ndarray, sigma: Sigma | None = None) -> np.ndarray:
        """Denoise an image with the selected model; see `Denoiser`."""
        return self.run(self.checked(noisy), sigma)

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Denoise one image."""
        denoiser, sigma = self.resolve(noisy, sigma)
        return denoiser(noisy, sigma)


def select_model(estimate: NoiseEstimate, channels: int, names: Collection[str]) -> str:
    """Return the name of the model for an image.

    Args:
        estimate: the noise in it; for "none", the model is one that returns the image unchanged at sigma 0.
        channels: number of channels, see `channel_count`.
        names: names of the available models; `color` always is.
    """
    for_color, for_gray = MODEL_FOR_NOISE[estimate.kind]
    return next((name for name in (for_gray if channels == 1 else for_color) if name in names), "color")


def with_model(estimate: NoiseEstimate, channels: int, names: Collection[str]) -> NoiseEstimate:
    """Return an estimate that names the suggested model; none where there is no noise."""
    return estimate if estimate.kind == "none" else replace(estimate, model=select_model(estimate, channels, names))
