"""A network for mosaics sees red in the corner, whatever the pattern, and is for raw files only."""

from __future__ import annotations

import numpy as np
import pytest

from unnoise import denoisers
from unnoise.denoisers import bayer
from unnoise.denoisers.base import Denoiser, Sigma
from unnoise.denoisers.bayer import Bayer
from unnoise.denoisers.mosaic import BayerNetwork
from unnoise.errors import UnnoiseError
from unnoise.noise.shot import ShotNoise

PATTERNS = ("RGGB", "GRBG", "GBRG", "BGGR")
LEVELS = {"R": 0.2, "G": 0.5, "B": 0.8}


class Watching(Denoiser):
    """Returns what it is given, and keeps it."""

    name, wants_sigma, mosaic, multiple_of, halo = "watching", True, True, 2, 4
    seen: np.ndarray

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        Watching.seen = noisy[:, :, 0] if noisy.shape[0] > 20 else Watching.seen
        return noisy


def planes_of(pattern: str, height: int, width: int) -> list[np.ndarray]:
    mosaic = np.zeros((height, width), np.float32)
    for place, color in enumerate(pattern):
        mosaic[place // 2 :: 2, place % 2 :: 2] = LEVELS[color]
    return bayer.split(mosaic)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("size", [(40, 60), (41, 60), (40, 61), (41, 61), (3, 5)])
def test_red_is_in_the_corner(pattern: str, size: tuple[int, int]) -> None:
    planes = planes_of(pattern, *size)
    arrangement = Bayer(pattern, planes)
    mosaic = arrangement.join(planes)
    expected = planes_of("RGGB", *mosaic.shape)
    assert all((a == b).all() for a, b in zip(bayer.split(mosaic), expected, strict=True))
    assert all((a == b).all() for a, b in zip(arrangement.split(mosaic), planes, strict=True))


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_network_sees_all_colors_at_once(pattern: str) -> None:
    planes = planes_of(pattern, 41, 60)
    clean = BayerNetwork(Watching())(planes, [ShotNoise(1e-3, 1e-6)] * 4, pattern)
    for before, after in zip(planes, clean, strict=True):
        np.testing.assert_allclose(after, before, atol=2e-3)
    margin = Watching.seen[2:-2, 2:-2]
    red, green, _, blue = (np.median(plane) for plane in bayer.split(margin))
    assert red < green < blue


@pytest.mark.parametrize("sigma", [None, 0.1])
def test_images_are_refused(sigma: float | None) -> None:
    with pytest.raises(UnnoiseError, match="raw files of cameras only"):
        denoisers.make("raw")(np.zeros((16, 16, 1), np.float32), sigma)


def test_it_is_no_model_for_images() -> None:
    assert "raw" in denoisers.bundled_files()
    assert "raw" not in denoisers.bundled_models()
