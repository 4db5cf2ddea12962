"""A denoiser for images whose white is not 1: 12 bits stored in 16, photon counts, radiance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from unnoise.denoisers.base import Denoiser, Sigma


class Rescaled(Denoiser):
    """A denoiser that scales images to a white of 1, and its results back.

    Args:
        inside: the inner denoiser, which corrects clipping itself; sigma is relative to white.
        white: white of the image, as `io.picture.white_level` returns it.
    """

    def __init__(self, inside: Denoiser, white: float) -> None:
        self.inside, self.white = inside, np.float32(white)
        self.adopt(replace(inside.info, corrects_clipping=False))

    def __call__(self, noisy: np.ndarray, sigma: Sigma | None = None) -> np.ndarray:
        """Denoise an image; see `Denoiser`."""
        return self.run(self.checked(noisy), sigma)

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Denoise one image."""
        return self.inside(noisy / self.white, sigma) * self.white
