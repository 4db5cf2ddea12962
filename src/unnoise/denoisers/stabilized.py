"""Denoise linear light by a denoiser for white noise: signal-dependent noise is made the same everywhere, and back.

With f(x) = (2 / a) sqrt(a x + 3/8 a^2 + b), noise of the variance a x + b has a variance of about 1 (the generalized
Anscombe transform; Starck, Murtagh, Bijaoui, "Image Processing and Data Analysis", Cambridge 1998). The mean of f(x) is
not f of the mean; so f is not inverted, but the mean of f over the noise is, here computed for normal noise (Makitalo
and Foi, "Optimal inversion of the generalized Anscombe transformation for Poisson-Gaussian noise", IEEE TIP 22, 2013).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from unnoise.denoisers import sure, tiling
from unnoise.denoisers.base import Denoiser
from unnoise.noise.shot import ShotNoise

_NODES = 4096  # of the table of the inverse
_QUADRATURE = 32  # nodes of the mean over the noise
_LEVEL_WINDOW = 67  # pixels; two means over it leave 2 / 3 / 67, 1 %, of the noise
_MARGIN = 4.0  # sigmas that the noise reaches beyond black and white


@dataclass(frozen=True)
class Stabilizer:
    """The transform for one noise, and its inverse."""

    noise: ShotNoise

    def forward(self, signal: np.ndarray) -> np.ndarray:
        """Return the transform, in units of sigma: 0 at black, and straight below, where there is no light."""
        a = self.noise.a
        offset = self.noise.b + 3 / 8 * a**2
        roots = np.sqrt(a * np.maximum(signal, 0) + offset) + np.sqrt(offset)
        return 2 * signal / roots  # the formula above, less that of black, without a difference of large numbers

    def inverse(self, values: np.ndarray, brightest: float) -> np.ndarray:
        """Return the signal whose transform, with its noise, has the mean `values`."""
        signal, mean = self._table(brightest)
        return np.interp(values, mean, signal).astype(np.float32)

    def _table(self, brightest: float) -> tuple[np.ndarray, np.ndarray]:
        nodes, weights = np.polynomial.hermite_e.hermegauss(_QUADRATURE)
        below = _MARGIN * np.sqrt(self.noise.b)
        ends = self.forward(np.array([-2 * below, brightest + 2 * _MARGIN * self.noise.sigma(brightest)]))
        # Steps that are equal after the transform: the dark ones are small.
        grid = np.linspace(ends[0], ends[1], _NODES)
        offset = self.noise.b + 3 / 8 * self.noise.a**2
        signal = np.where(grid < 0, grid * np.sqrt(offset), grid * np.sqrt(offset) + self.noise.a * grid**2 / 4)
        sigma = np.sqrt(self.noise.a * np.maximum(signal, 0) + self.noise.b)
        noisy = signal[:, None] + sigma[:, None] * nodes
        return signal, self.forward(noisy) @ (weights / weights.sum())


def denoise(
    denoiser: Denoiser, signal: np.ndarray, noise: ShotNoise, progress: Callable[[float], None] = lambda _: None
) -> np.ndarray:
    """Denoise linear light. Noise is left where a denoiser would take more than that away, see `sure`.

    Args:
        denoiser: for images of one channel with white noise; it is given sigma.
        signal: float32 `[h, w]`, black at 0 and white at 1, not clipped at black.
        noise: the noise in it.
        progress: called with the fraction that is done.

    Returns:
        The denoised signal, the same shape; it may be below 0, where the mean of the noise is. The mean of each
        neighborhood is kept.
    """
    # Up to the brightest pixel alone: a network does better on noise that is not faint on its scale.
    stabilizer, brightest = Stabilizer(noise), max(float(signal.max()), noise.sigma(0.0))
    low, high = stabilizer.forward(np.array([0.0, brightest])) + np.array([-_MARGIN, _MARGIN])
    # Within 0 and 1, exclusively: at these, a denoiser may take values for clipped.
    image = ((stabilizer.forward(signal.astype(np.float64)) - low) / (high - low)).astype(np.float32)[..., None]
    chosen, sigma = denoiser.resolve(image, float(1 / (high - low)))
    if chosen.halo is None:
        clean = tiling.denoise_blended(chosen, image, sigma, multiple_of=chosen.multiple_of, progress=progress)
    else:
        clean = tiling.denoise_tiled(
            chosen, image, sigma, halo=chosen.halo, multiple_of=chosen.multiple_of, progress=progress
        )
    result = stabilizer.inverse(clean[..., 0].astype(np.float64) * (high - low) + low, brightest)
    if chosen.halo is not None:  # others are slow, and may draw random numbers
        weight = sure.best_weight(chosen, image, float(1 / (high - low)), sigma)
        result = signal + np.float32(weight) * (result - signal)
    return result + _level_shift(signal, result)


def _level_shift(noisy: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """Return how much the level of each neighborhood was shifted, by a denoiser or by a wrong estimate of the noise."""
    difference = noisy - clean
    for _ in range(2):
        difference = ndimage.uniform_filter(difference, _LEVEL_WINDOW)
    return difference
