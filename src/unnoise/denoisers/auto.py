"""The denoiser "auto": selects a bundled model by the noise in each image."""

from __future__ import annotations

import contextlib
import copy
import threading
from collections.abc import Collection
from dataclasses import replace

import numpy as np

from unnoise.denoisers.base import MIN_SIGMA, Denoiser, Sigma, channel_count
from unnoise.denoisers.model_cache import ModelCache
from unnoise.denoisers.noise_estimation import estimate_noise
from unnoise.denoisers.noise_level import NoiseLevelEstimator
from unnoise.noise.estimation import NoiseEstimate

MODEL_FOR_NOISE = {
    "none": (("color",), ("gray",)),
    "gaussian": (("color",), ("gray",)),
    "signal-dependent": (("color",), ("gray",)),
    "impulse": (("impulse",), ("impulse",)),
    "mixed": (("impulse",), ("impulse", "gray")),
    "correlated": (("blind", "photo"), ("blind", "gray")),
    "other": (("blind",), ("blind", "gray")),
}
"""Kind of noise -> models for color and for gray images, best first; `color` if none of them is bundled.

Chosen on images of BSDS500's validation part by `--selection` of `benchmarks/quality/estimation.py`.
"""


class Auto(Denoiser):
    """Denoises each image with the model selected for it; a given sigma is taken as that of Gaussian noise.

    Args:
        models: opens models by name, when an image first needs them.
        names: names of the available models.
        estimator: the learned estimator of the noise level; None for the bundled one.

    Attributes:
        min_level: as for `estimate_noise`.
        force: denoise images in which no noise is found as if the noise were of an unknown kind.
    """

    name = "auto"
    min_level: float | None = None
    force: bool = False

    def __init__(
        self, models: ModelCache, names: Collection[str], estimator: NoiseLevelEstimator | None = None
    ) -> None:
        self._models, self._names, self._estimator = models, names, estimator

    def resolve(self, noisy: np.ndarray, sigma: Sigma | None = None) -> tuple[Denoiser, Sigma | None]:
        """Return the model for an image, with the estimate that it was selected by, and the sigma to call it with."""
        if sigma is not None:
            return self._model(NoiseEstimate("gaussian", 0.0), noisy).resolve(noisy, sigma)
        found = estimate_noise(noisy, self._estimator, self.min_level)
        removed = found
        if found.kind == "none" and self.force:
            level = max(found.level or 0.0, MIN_SIGMA)
            removed = NoiseEstimate("other", level, level)
            found = replace(found, reason=f"it was asked for, although {found.reason or found.explanation}")
        model, sigma = self._model(removed, noisy).for_noise(removed).resolve(noisy, removed.sigma)
        return model.with_estimate(found), sigma

    def with_limit(self, min_level: float | None, *, force: bool = False) -> Auto:
        """Return one with other attributes, which shares the models."""
        limited = copy.copy(self)
        limited.min_level, limited.force = min_level, force
        return limited

    def _model(self, estimate: NoiseEstimate, noisy: np.ndarray) -> Denoiser:
        return self._models.open(select_model(estimate, channel_count(noisy), self._names))

    def open(self, name: str) -> Denoiser:
        """Return a bundled model, opened as this denoiser opens the models that it selects."""
        return self._models.open(name)

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
