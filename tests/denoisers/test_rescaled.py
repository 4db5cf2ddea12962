"""The range of values that a picture uses."""

from __future__ import annotations

import numpy as np
import pytest

from unnoise import denoisers
from unnoise.denoisers.rescaled import Rescaled
from unnoise.io.picture import white_level


@pytest.mark.parametrize(
    ("dtype", "top", "white"),
    [
        ("uint8", 20, 255),
        ("uint16", 255, 255),
        ("uint16", 256, 1023),
        ("uint16", 4095, 4095),
        ("uint16", 4096, 16383),
        ("uint16", 16384, 65535),
        ("uint16", 0, 65535),
        ("int16", -4000, 4095),
        ("float32", 1.0, 1),
        ("float32", 0.1, 1),
        ("float32", 3.9, 1),
        ("float32", 0.03, 1 / 32),
        ("float32", 60000, 65536),
        ("float32", -5, 8),
        ("float32", 0, 1),
        ("float32", np.nan, 1),
    ],
)
def test_white(dtype: str, top: float, white: float) -> None:
    full = 1 if dtype == "float32" else np.iinfo(dtype).max
    pixels = np.full((20, 30, 3), top / full, np.float32)
    assert white_level(pixels, np.dtype(dtype)) * full == pytest.approx(white, rel=1e-6)


def test_a_few_bright_points_are_no_white() -> None:
    pixels = np.full((100, 100, 1), 0.5, np.float32)
    pixels[3, 3:8] = 1000
    assert white_level(pixels, np.dtype(np.float32)) == 1


def test_the_denoiser_inside_sees_white_at_one(rng: np.random.Generator) -> None:
    noisy = rng.random((40, 30, 3), np.float32)
    inside = denoisers.make("color", engine="onnx")
    made = Rescaled(inside, 4096.0)(noisy * 4096, 0.1)
    np.testing.assert_array_equal(made, inside(noisy, 0.1) * 4096)


def test_it_has_the_facts_of_the_one_inside() -> None:
    inside = denoisers.make("color", engine="onnx")
    outside = Rescaled(inside, 2.0)
    assert str(outside) == "color"
    for fact in ("channels", "multiple_of", "halo", "wants_sigma", "margin"):
        assert getattr(outside, fact) == getattr(inside, fact)
