"""Estimation of the noise in an image, of whatever kind: a network finds its level and how correlated it is.

Where the noise is white, its sigma, and how that depends on the brightness, are then measured in the flattest parts of
the image (`noise.estimation`), which is more accurate.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from unnoise.denoisers.noise_level import NoiseLevelEstimator, flat_fraction, level_estimator
from unnoise.noise import estimation
from unnoise.noise.estimation import NoiseEstimate

MIN_LEVEL = 1 / 255
"""Noise below this is none: one step of 8 bits, which is invisible."""
CORRELATED = 0.15
"""Correlation between neighboring pixels from which noise counts as correlated.

Below it, a denoiser for white noise that is given the level does best (docs/research-log.md, "Nothing given").
"""

IMPULSES = 0.1
"""Least ratio of the estimated level to that of impulses on gray, for what looks like impulses to be noise.

On BSDS500's training images with 1 to 30 % of impulses it is 0.5 at least, on clean graphics 0.007 at most.
"""
BESIDE = 3 / 255
"""Sigma of the pixels beside impulses from which they are noisy, too: texture alone stays below it on clean images."""
UNEVEN = 2.0
"""Level over sigma of the flattest parts, from which there is more noise elsewhere: the largest mean error of the level
on white noise (docs/research-log.md, "Nothing given")."""

_BELOW = "the estimated noise level, {level}, is below {limit}"
_FLAT = "most pixels equal their neighbors, as in graphics"
_BILEVEL = "every pixel is black or white"
_UNEVEN = "the flattest parts of the image show less noise than there is on average, {level}"


def estimate_noise(
    pixels: np.ndarray, estimator: NoiseLevelEstimator | None = None, min_level: float | None = None
) -> NoiseEstimate:
    """Estimate the kind and the strength of the noise in an image.

    Args:
        pixels: float32 `[H, W, C]`, nominally in [0, 1]; NaN and infinity are ignored, and channels after the third.
        estimator: the learned estimator; None for the bundled one.
        min_level: noise of a level below this is none, in [0, 1] units; None for `MIN_LEVEL`.
    """
    pixels = pixels[:, :, :3]
    level, correlation = (estimator or level_estimator()).measure(pixels)
    limit = MIN_LEVEL if min_level is None else min_level
    none = NoiseEstimate("none", 0.0, level, correlation, limit=limit)
    if level < limit:
        return replace(none, reason=_BELOW)
    white = replace(estimation.estimate_white_noise(pixels), level=level, correlation=correlation, limit=limit)
    if white.impulses:
        if level < IMPULSES * np.sqrt(white.impulses) / 2:  # black and white in equal parts are half from their mean
            return replace(none, kind="other", sigma=level)
        return replace(white, kind="impulse") if white.sigma < BESIDE else white
    if ((pixels <= 0) | (pixels >= 1)).all():
        return replace(none, reason=_BILEVEL)
    if white.sigma < limit and flat_fraction(pixels) > 0.5:
        return replace(none, reason=_FLAT)
    if correlation < CORRELATED and 0 < white.sigma < level / UNEVEN:
        return replace(none, kind="other", sigma=level, reason=_UNEVEN)
    if correlation < CORRELATED and white.sigma > 0:
        return white
    return NoiseEstimate("correlated", estimation.equivalent_sigma(level, correlation), level, correlation, limit=limit)
