"""A denoiser for images of any value range."""

from __future__ import annotations

import numpy as np

from unnoise import denoisers
from unnoise.denoisers.rescaled import Rescaled
from unnoise.io.value_range import ValueRange


def test_the_denoiser_inside_sees_white_at_one(rng: np.random.Generator) -> None:
    noisy = rng.random((40, 30, 3), np.float32)
    inside = denoisers.make("color", engine="onnx")
    made = Rescaled(inside, ValueRange(-1024, 3072, 4096))(noisy * 4096 - 1024, 0.1)
    np.testing.assert_allclose(made, inside(noisy, 0.1) * 4096 - 1024, atol=0.02)


def test_sigma_is_a_fraction_of_the_full_scale(rng: np.random.Generator) -> None:
    noisy = rng.random((40, 30, 3), np.float32)
    inside = denoisers.make("color", engine="onnx")
    made = Rescaled(inside, ValueRange(0, 0.5, 1))(noisy / 2, 0.1)
    np.testing.assert_allclose(made, inside(noisy, 0.2) / 2, atol=1e-6)


def test_it_has_the_facts_of_the_one_inside() -> None:
    inside = denoisers.make("color", engine="onnx")
    outside = Rescaled(inside, ValueRange(0, 2, 1))
    assert str(outside) == "color"
    for fact in ("channels", "multiple_of", "halo", "wants_sigma", "margin"):
        assert getattr(outside, fact) == getattr(inside, fact)
