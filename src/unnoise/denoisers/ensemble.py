"""The mean of what a denoiser makes of a picture in its eight orientations: eight times the work, for the last tenth.

After Timofte, Rothe, Van Gool, "Seven ways to improve example-based single image super resolution", CVPR 2016.
"""

from __future__ import annotations

import numpy as np

from unnoise.denoisers.base import Denoiser, Sigma


class Ensemble(Denoiser):
    """A denoiser over all quarter turns of a picture and of its mirror image, averaged.

    It turns what already fits the one inside, sides padded to its grid; so tiles remain equal to the whole picture.

    Args:
        inside: does the work; its facts are those of the ensemble.
    """

    def __init__(self, inside: Denoiser) -> None:
        self.inside, self.name = inside, str(inside)
        self.channels, self.multiple_of = inside.channels, inside.multiple_of
        self.halo, self.wants_sigma, self.margin = inside.halo, inside.wants_sigma, inside.margin
        self.corrects_clipping = inside.corrects_clipping

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Clean one picture, eight times."""
        total = np.zeros_like(noisy)
        for turns in range(4):
            for mirrored in (False, True):
                told = _turned(sigma, turns, mirrored) if isinstance(sigma, np.ndarray) else sigma
                clean = self.inside.run(_turned(noisy, turns, mirrored), told)
                total += np.rot90(clean[:, ::-1] if mirrored else clean, -turns)
        return total / np.float32(8)


def _turned(picture: np.ndarray, turns: int, mirrored: bool) -> np.ndarray:
    """Turn an array `[H, W, ...]` by quarters, then mirror it left to right."""
    turned = np.rot90(picture, turns)
    return np.ascontiguousarray(turned[:, ::-1] if mirrored else turned)
