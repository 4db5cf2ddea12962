"""A denoiser for images of any value range: 12 bits stored in 16, photon counts, Hounsfield units, radiance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from unnoise.denoisers.base import Denoiser, Sigma
from unnoise.io.value_range import ValueRange


class Rescaled(Denoiser):
    """A denoiser that is given images with black at 0 and white at 1, and returns them in their own range.

    Outliers (hot pixels, nodata values, saturated stars) are missing values to the inner denoiser, so that they do not
    disturb their surroundings, and are returned as they were.

    Args:
        inside: the inner denoiser, which corrects clipping itself.
        value_range: of the images.
    """

    def __init__(self, inside: Denoiser, value_range: ValueRange) -> None:
        self.inside, self.value_range = inside, value_range
        self.adopt(replace(inside.info, corrects_clipping=False))

    def __call__(self, noisy: np.ndarray, sigma: Sigma | None = None) -> np.ndarray:
        """Denoise an image; `sigma` is a fraction of the full scale of the range. See `Denoiser`."""
        return self.run(self.checked(noisy), sigma)

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Denoise one image."""
        normalized = self.value_range.without_outliers(noisy)
        clean = self.inside(normalized, None if sigma is None else sigma / self.value_range.contrast)
        present = np.isfinite(normalized)
        change = np.where(present, clean, 0) - np.where(present, normalized, 0)
        return noisy + change * np.float32(self.value_range.white - self.value_range.black)
