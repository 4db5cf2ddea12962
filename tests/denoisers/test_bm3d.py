"""BM3D: what its package is given, and what is said where it is not installed."""

from __future__ import annotations

import importlib.util
import sys
import types
from typing import Any

import numpy as np
import pytest

from unnoise import denoisers, noise
from unnoise.denoisers.bm3d import BM3D
from unnoise.errors import UnnoiseError
from unnoise.evaluation.metrics import psnr

INSTALLED = importlib.util.find_spec("bm3d") is not None


@pytest.mark.skipif(INSTALLED, reason="bm3d is installed")
def test_without_the_package_one_line_says_what_to_install() -> None:
    with pytest.raises(UnnoiseError, match=r"^bm3d is not installed; install it with: pip install bm3d$"):
        denoisers.make("bm3d")
    assert "bm3d" not in denoisers.DENOISERS


@pytest.mark.parametrize(("channels", "calls"), [(1, ["bm3d"]), (2, ["bm3d"] * 2), (3, ["bm3d_rgb"])])
def test_it_is_given_the_image_and_sigma(monkeypatch: pytest.MonkeyPatch, channels: int, calls: list[str]) -> None:
    seen: list[str] = []
    fake: Any = types.ModuleType("bm3d")

    def filter_(name: str, pixels: np.ndarray, level: float) -> np.ndarray:
        seen.append(name)
        assert pixels.dtype == np.float64 and min(pixels.shape[:2]) >= 16 and level == pytest.approx(0.2)
        return pixels / 2

    for name in ("bm3d", "bm3d_rgb"):
        setattr(fake, name, lambda pixels, level, name=name: filter_(name, pixels, level))
    monkeypatch.setitem(sys.modules, "bm3d", fake)
    for shape in ((1, 1), (20, 33)):
        seen.clear()
        noisy = np.random.default_rng(0).random((*shape, channels), dtype=np.float32)
        np.testing.assert_array_equal(BM3D(strength=2)(noisy, 0.1), noisy / 2)
        assert seen == calls
    with pytest.raises(UnnoiseError, match="strength must be a number above 0"):
        BM3D(strength=0)


@pytest.mark.skipif(not INSTALLED, reason="needs bm3d")
@pytest.mark.parametrize("channels", [1, 3])
def test_it_removes_noise(channels: int, photograph: np.ndarray) -> None:
    clean = photograph[:64, :64, :channels]
    noisy = noise.make("gaussian:25")(clean, 0)
    assert psnr(clean, denoisers.make("bm3d")(noisy, 25 / 255)) > psnr(clean, noisy) + 6.5
