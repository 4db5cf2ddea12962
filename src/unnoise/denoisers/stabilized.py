"""Denoise linear light by a denoiser for white noise: signal-dependent noise is made the same everywhere, and back.

With f(x) = (2 / a) sqrt(a x + 3/8 a^2 + b), noise of the variance a x + b has a variance of about 1 (the generalized
Anscombe transform; Starck, Murtagh, Bijaoui, "Image Processing and Data Analysis", Cambridge 1998). The mean of f(x) is
not f of the mean; so f is not inverted, but the mean of f over the noise is, here computed for normal noise (Makitalo
and Foi, "Optimal inversion of the generalized Anscombe transformation for Poisson-Gaussian noise", IEEE TIP 22, 2013).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import ndimage

from unnoise.denoisers import sure, tiling
from unnoise.denoisers.base import Denoiser
from unnoise.noise.shot import ShotNoise

_NODES = 4096  # of the table of the inverse
_QUADRATURE = 32  # nodes of the mean over the noise
_LEVEL_WINDOW = 67  # pixels; two means over it leave 2 / 3 / 67, 1 %, of the noise
_MARGIN = 4.0  # sigmas that the noise reaches beyond black and white


class Arrangement(Protocol):
    """How several signals make up one image."""

    def join(self, signals: Sequence[np.ndarray]) -> np.ndarray:
        """Return the image `[H, W]` of signals `[h, w]`."""
        ...

    def split(self, image: np.ndarray) -> list[np.ndarray]:
        """Return the signals of an image."""
        ...


class _Alone:
    """A single signal is the image."""

    def join(self, signals: Sequence[np.ndarray]) -> np.ndarray:
        (signal,) = signals
        return signal

    def split(self, image: np.ndarray) -> list[np.ndarray]:
        return [image]


ALONE = _Alone()


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
        # By a table at equal steps of the mean, which is looked up without a search.
        steps = np.linspace(mean[0], mean[-1], _NODES)
        table = np.interp(steps, mean, signal).astype(np.float32)
        place = np.clip((values - np.float32(mean[0])) / np.float32(steps[1] - steps[0]), 0, _NODES - 1)
        below = np.minimum(place.astype(np.int32), _NODES - 2)
        low = table[below]
        return low + (place - below).astype(np.float32) * (table[below + 1] - low)

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
    denoiser: Denoiser,
    signals: Sequence[np.ndarray],
    noises: Sequence[ShotNoise],
    arrangement: Arrangement = ALONE,
    progress: Callable[[float], None] = lambda _: None,
) -> list[np.ndarray]:
    """Denoise linear light. Noise is left where a denoiser would take more than that away, see `sure`.

    Args:
        denoiser: for images of one channel with white noise; it is given sigma.
        signals: float32 `[h, w]` each, black at 0 and white at 1, not clipped at black.
        noises: the noise in each of them.
        arrangement: how the signals make up one image; `ALONE` for a single one.
        progress: called with the fraction that is done.

    Returns:
        The denoised signals, of the same shapes; they may be below 0, where the mean of the noise is. The mean of each
        neighborhood is kept.
    """
    # Up to the brightest pixel alone: a network does better on noise that is not faint on its scale.
    stabilizers = [Stabilizer(noise) for noise in noises]
    brightest = [max(float(one.max()), noise.sigma(0.0)) for one, noise in zip(signals, noises, strict=True)]
    ends = [one.forward(np.array(peak)) for one, peak in zip(stabilizers, brightest, strict=True)]
    span = float(max(ends)) + 2 * _MARGIN
    # Within 0 and 1, exclusively: at these, a denoiser may take values for clipped.
    flat = [
        ((one.forward(signal.astype(np.float64)) + _MARGIN) / span).astype(np.float32)
        for one, signal in zip(stabilizers, signals, strict=True)
    ]
    image = arrangement.join(flat)[..., None]
    clean, weight = _without_noise(denoiser, image, 1 / span, progress)
    denoised = []
    for one, peak, signal, part in zip(stabilizers, brightest, signals, arrangement.split(clean[..., 0]), strict=True):
        result = one.inverse(part * np.float32(span) - np.float32(_MARGIN), peak)
        result = signal + np.float32(weight) * (result - signal)
        denoised.append(result + _level_shift(signal, result))
    return denoised


def _without_noise(
    denoiser: Denoiser, image: np.ndarray, sigma: float, progress: Callable[[float], None]
) -> tuple[np.ndarray, float]:
    """Denoise an image `[H, W, 1]` with white noise; return it, and how much of the change to take."""
    chosen, given = denoiser.resolve(image, sigma)
    if chosen.halo is None:  # it is slow, and may draw random numbers
        return tiling.denoise_blended(chosen, image, given, multiple_of=chosen.multiple_of, progress=progress), 1.0
    clean = tiling.denoise_tiled(
        chosen, image, given, halo=chosen.halo, multiple_of=chosen.multiple_of, progress=progress
    )
    return clean, sure.best_weight(chosen, image, sigma, given)


def _level_shift(noisy: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """Return how much the level of each neighborhood was shifted, by a denoiser or by a wrong estimate of the noise."""
    difference = noisy - clean
    for _ in range(2):
        difference = ndimage.uniform_filter(difference, _LEVEL_WINDOW)
    return difference
