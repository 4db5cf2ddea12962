"""A network in an ONNX file that is given nothing but the picture, with the statistics of the whole in every tile.

It estimates a map of the noise level and denoises with it, and looks at the whole picture through statistics alone.
These are taken once, of a sample of windows: then all tiles and strips of a picture are cleaned alike.
"""

from __future__ import annotations

import copy
import dataclasses

import numpy as np

from unnoise.denoisers.base import Denoiser, Sigma
from unnoise.denoisers.noise_level import NoiseLevelEstimator
from unnoise.denoisers.onnx import Onnx


class Blind(Denoiser):
    """A blind network on ONNX Runtime.

    Args:
        network: takes `statistics` of the whole picture beside `noisy`.
        estimator: the part of it that estimates the noise level, whose statistics these are.
    """

    def __init__(self, network: Onnx, estimator: NoiseLevelEstimator) -> None:
        self.network, self.estimator = network, estimator
        self.adopt(dataclasses.replace(network.info, halo=network.card.reach))
        self._statistics: np.ndarray | None = None

    def resolve(self, noisy: np.ndarray, sigma: Sigma | None = None) -> tuple[Denoiser, Sigma | None]:
        """Return the denoiser with the statistics of a picture, which it keeps; `sigma` is not looked at."""
        if self._statistics is not None:
            return self, None
        resolved = copy.copy(self)
        resolved._statistics = self.statistics(noisy)
        return resolved, None

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Denoise a picture, or a tile of the one that the statistics are of."""
        inputs = self.network.feed(noisy, None)
        if self._statistics is not None:
            inputs["statistics"] = self._statistics
        (clean,) = self.network.session.run(["clean"], inputs)
        return np.asarray(clean)[0].transpose(1, 2, 0)

    def statistics(self, noisy: np.ndarray) -> np.ndarray:
        """Return the statistics of a picture `[H, W, C]`, float32 `[1, N]`."""
        return self.estimator.statistics(self._three_channels(noisy))

    def level(self, noisy: np.ndarray) -> np.ndarray:
        """Return the map of the noise level, standard deviation in [0, 1] units, float32 `[H, W]`."""
        return self.estimator.level(self._three_channels(noisy))

    def _three_channels(self, noisy: np.ndarray) -> np.ndarray:
        """Return what the network takes: colours, those of inks in the negative, or three copies of grey."""
        have = noisy.shape[2]
        if have == 4:
            return 1 - noisy[:, :, :3]
        return noisy if have == 3 else np.repeat(noisy.mean(axis=2, keepdims=True), 3, axis=2)
