"""A denoiser at the range of values that a picture uses: 12 bits within 16, counts of photons, radiance."""

from __future__ import annotations

import numpy as np

from unnoise.denoisers.base import Denoiser, Sigma


class Rescaled(Denoiser):
    """A denoiser that is shown pictures with their white at 1, and gives them back at theirs.

    Args:
        inside: does the work; its facts are those of this one, levels are told as shares of white.
        white: of the picture, as `span` returns it.
    """

    def __init__(self, inside: Denoiser, white: float) -> None:
        self.inside, self.white, self.name = inside, np.float32(white), str(inside)
        self.channels, self.multiple_of = inside.channels, inside.multiple_of
        self.halo, self.wants_sigma, self.margin = inside.halo, inside.wants_sigma, inside.margin

    def __call__(self, noisy: np.ndarray, sigma: Sigma | None = None) -> np.ndarray:
        """Clean a picture; see `Denoiser`."""
        return self.run(self.checked(noisy), sigma)

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Clean one picture."""
        return self.inside(noisy / self.white, sigma) * self.white
