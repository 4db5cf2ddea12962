"""The weight of least error is found without the clean image."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data

from unnoise import denoisers
from unnoise.denoisers.base import Denoiser, Sigma
from unnoise.denoisers.sure import best_weight


def noisy_and_clean(sigma: float) -> tuple[np.ndarray, np.ndarray]:
    clean = data.astronaut()[:300, 100:400, 1:2].astype(np.float32) / 255
    return clean + np.float32(sigma) * np.random.default_rng(3).standard_normal(clean.shape, dtype=np.float32), clean


@pytest.mark.parametrize("sigma", [0.5 / 255, 2 / 255, 10 / 255])
@pytest.mark.parametrize("spec", ["gray", "median", "tv"])
def test_the_error_is_the_least(spec: str, sigma: float) -> None:
    (noisy, clean), model = noisy_and_clean(sigma), denoisers.make(spec)
    change = model(noisy, sigma) - noisy
    weights = np.linspace(0, 1, 101)
    errors = [float(np.mean((noisy + np.float32(weight) * change - clean) ** 2)) for weight in weights]
    found = best_weight(model, noisy, sigma, sigma)
    assert np.interp(found, weights, errors) < 1.03 * min(errors)
    assert np.interp(found, weights, errors) < 1.01 * errors[0]  # never worse than the noisy image


class Same(Denoiser):
    """Changes nothing."""

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        return noisy


def test_without_a_change_there_is_nothing_to_weigh() -> None:
    assert best_weight(Same(), noisy_and_clean(0.1)[0], 0.1, None) == 1
