"""The kind of noise in an image, its level and its correlation, by the bundled estimator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage import data

from unnoise import datasets, denoisers, noise
from unnoise.datasets.base import as_float
from unnoise.denoisers.noise_estimation import CORRELATED, MIN_LEVEL, estimate_noise
from unnoise.evaluation.metrics import psnr
from unnoise.noise import estimation

PICTURES = {"astronaut": data.astronaut, "coffee": data.coffee, "camera": data.camera, "chelsea": data.chelsea}


def clean(name: str) -> np.ndarray:
    return np.atleast_3d(PICTURES[name]()).astype(np.float32) / 255


def degraded(name: str, spec: str) -> np.ndarray:
    return noise.make(f"{spec} + clip + quantize")(clean(name), 0)


class Found:
    """An estimator that finds the same in every image."""

    def __init__(self, level: float, correlation: float) -> None:
        self.found = level / 255, correlation

    def measure(self, pixels: np.ndarray) -> tuple[float, float]:
        return self.found


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize(
    ("spec", "kinds"),
    [
        ("gaussian:10", {"gaussian"}),
        ("gaussian:25", {"gaussian"}),
        ("gaussian:50", {"gaussian", "signal-dependent"}),
        ("poisson:30", {"signal-dependent"}),
        ("speckle:40", {"signal-dependent"}),
        ("salt-pepper:0.1", {"impulse"}),
        ("gaussian:20 + salt-pepper:0.1", {"mixed"}),
        ("correlated:15,smooth=0.8", {"correlated"}),
        ("varied:sd=15,smooth=1,smooth_color=1.5", {"correlated"}),
        ("camera:6400,smooth=0.6,smooth_color=2 + jpeg:95", {"correlated"}),
    ],
)
def test_kinds(name: str, spec: str, kinds: set[str]) -> None:
    assert estimate_noise(degraded(name, spec)).kind in kinds


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("sd", [10, 25])
def test_level_and_correlation_of_white_and_of_blurred_noise(name: str, sd: int) -> None:
    for blur in (0.0, 0.8):
        picture, noisy = clean(name), degraded(name, f"varied:sd={sd},smooth={blur},smooth_color={blur}")
        residual = noisy - picture
        pairs = (residual[1:] * residual[:-1]).mean() + (residual[:, 1:] * residual[:, :-1]).mean()
        found = estimate_noise(noisy)
        assert found.level == pytest.approx(float(residual.std()), rel=0.25)
        assert found.correlation == pytest.approx(float(pairs / (2 * residual.var())), abs=0.15)


@pytest.mark.parametrize("name", ["astronaut", "chelsea"])
@pytest.mark.parametrize("factor", [0.2, 0.5])
def test_a_darker_image_has_the_same_kind_at_a_lower_level(name: str, factor: float) -> None:
    noisy = noise.make("gaussian:20")(clean(name), 0)
    bright, dark = estimate_noise(noisy), estimate_noise(np.float32(factor) * noisy)
    assert bright.kind == dark.kind == "gaussian"
    assert dark.sigma == pytest.approx(factor * bright.sigma, rel=0.02)


@pytest.mark.parametrize(
    ("level", "correlation", "kind"),
    [
        (20, 0.0, "gaussian"),
        (20, CORRELATED + 0.01, "correlated"),
        (255 * MIN_LEVEL - 0.1, 0.5, "none"),
        (255 * MIN_LEVEL + 0.1, 0.5, "correlated"),
    ],
)
def test_the_network_decides_whether_noise_is_white(level: float, correlation: float, kind: str) -> None:
    estimator: Any = Found(level, correlation)
    found = estimate_noise(degraded("coffee", "gaussian:20"), estimator)
    assert found.kind == kind
    assert (found.level, found.correlation) == (level / 255, correlation)
    if kind == "correlated":
        assert found.sigma == estimation.equivalent_sigma(level / 255, correlation)
    assert "{" not in found.explanation


def test_the_limit_can_be_moved() -> None:
    estimator: Any = Found(5, 0.5)
    noisy = degraded("coffee", "correlated:5,smooth=0.8")
    assert estimate_noise(noisy, estimator, 4 / 255).kind == "correlated"
    assert estimate_noise(noisy, estimator, 6 / 255).kind == "none"
    assert estimate_noise(noisy, estimator, 6 / 255).explanation == "the estimated noise level, 5/255, is below 6/255"


@pytest.mark.parametrize("share", [0.25, 0.5])
@pytest.mark.parametrize(("weak", "strong"), [(5, 30), (8, 40)])
def test_white_noise_of_two_levels_is_removed_from_both_parts(
    share: float, weak: int, strong: int, photograph: np.ndarray
) -> None:
    image = np.tile(photograph, (2, 3, 1))
    border = int(share * image.shape[1])
    noisy = np.concatenate(
        [
            noise.make(f"gaussian:{weak} + clip + quantize")(image[:, :border], 0),
            noise.make(f"gaussian:{strong} + clip + quantize")(image[:, border:], 1),
        ],
        axis=1,
    )
    clean = denoisers.make("auto")(noisy)
    for part in (slice(None, border), slice(border, None)):
        assert psnr(image[:, part], clean[:, part]) > psnr(image[:, part], noisy[:, part]) + 2


@pytest.mark.parametrize("value", [0.0, 0.13, 1.0])
def test_a_constant_image_has_no_noise(value: float) -> None:
    found = estimate_noise(np.full((64, 48, 3), value, np.float32))
    assert (found.kind, found.sigma, str(found)) == ("none", 0.0, "no noise")


def test_bilevel_images_have_no_noise() -> None:
    lines = np.ones((300, 300, 3), np.float32)
    rows, columns = np.ogrid[:300, :300]
    for radius in range(5, 140, 7):
        lines[np.abs(np.hypot(rows - 150, columns - 150) - radius) < 1] = 0
    assert estimate_noise(lines).kind == "none"


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 5), (8, 8), (9, 30), (3000, 8), (17, 16)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_any_size(size: tuple[int, int], channels: int, rng: np.random.Generator) -> None:
    found = estimate_noise(rng.random((*size, channels), dtype=np.float32))
    assert np.isfinite(found.sigma) and found.sigma >= 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scattered_missing_pixels_hide_no_noise(value: float, photograph: np.ndarray) -> None:
    noisy = noise.make("gaussian:20 + clip + quantize")(np.tile(photograph, (2, 2, 1)), 0)
    whole = estimate_noise(noisy)
    noisy[::7, 10:90] = value
    noisy[5::9, 60::11] = value
    found = estimate_noise(noisy)
    assert found.kind == whole.kind == "gaussian"
    assert found.sigma == pytest.approx(whole.sigma, rel=0.1)
    assert found.level == pytest.approx(whole.level, rel=0.2)
    assert estimate_noise(np.full((32, 32, 1), np.nan, np.float32)).kind == "none"


def test_the_noise_of_cameras_is_found(data_root: Path) -> None:
    pairs = datasets.make(f"pairs:{data_root}/polyu")
    kinds = [estimate_noise(as_float(pairs[index][0])).kind for index in range(0, len(pairs), 4)]
    assert "none" not in kinds
    assert kinds.count("correlated") >= 0.9 * len(kinds)


def test_the_denoiser_of_white_noise_removes_that_which_blurs(photograph: np.ndarray) -> None:
    smooth = noise.make("correlated:12,smooth=0.8 + clip + quantize")
    flat = np.full((128, 128, 3), 0.4, np.float32)
    noisy = smooth(flat, 0)
    assert denoisers.make("color")(noisy).std() < 0.35 * noisy.std()
