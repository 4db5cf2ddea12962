"""How much of a denoiser's change to take, by Stein's unbiased risk estimate: the error without the clean image.

The expected squared error of `y + w (D(y) - y)`, with white noise of a known sigma in y, is known but for a constant
from y, D(y) and the divergence of D, which one more run on a slightly changed image measures (Stein, "Estimation of the
mean of a multivariate normal distribution", Annals of Statistics 9, 1981; Ramani, Blu, Unser, "Monte-Carlo SURE", IEEE
TIP 17(9), 2008). It is a parabola in w.
"""

from __future__ import annotations

import numpy as np

from unnoise.denoisers.base import Denoiser, Sigma

_SIDE = 512  # of the central square that it is measured on, pixels
_STEP = 0.1  # of the change, in sigmas: small, and far above rounding


def best_weight(denoiser: Denoiser, noisy: np.ndarray, sigma: float, given: Sigma | None) -> float:
    """Return the weight w from 0 to 1 of the least expected squared error.

    Args:
        denoiser: the denoiser D; the same input has to give the same output.
        noisy: the noisy image y, float32 `[H, W, C]`.
        sigma: of white noise in it.
        given: the sigma that the denoiser is called with.
    """
    rows, columns = (slice((side - min(side, _SIDE)) // 2, (side + min(side, _SIDE)) // 2) for side in noisy.shape[:2])
    part = noisy[rows, columns]
    probe = np.random.default_rng(0).standard_normal(part.shape, dtype=np.float32)
    step = np.float32(_STEP * sigma)
    clean, moved = denoiser(part, given), denoiser(part + step * probe, given)
    divergence = np.mean(probe * (moved - clean), dtype=np.float64) / step
    change = np.mean((clean - part) ** 2, dtype=np.float64)
    return float(np.clip(sigma**2 * (1 - divergence) / change, 0, 1)) if change else 1.0
