"""Evaluations of images of any value range, number of channels, and with missing values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

import unnoise
from tests.fakes import InMemory
from unnoise import denoisers, noise
from unnoise.evaluation.benchmark import Row, evaluate
from unnoise.evaluation.metrics import psnr, ssim

NOISE = "gaussian:20"


@pytest.fixture(scope="module")
def clean(photograph: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(photograph[:96, :96, 1:2])


def row(*items: np.ndarray, spec: str = NOISE, model: str = "gray", blind: bool = False) -> Row:
    (only,) = evaluate({"m": denoisers.make(model)}, InMemory(*items), [noise.make(spec)], blind=blind)
    return only


def pair(clean: np.ndarray, noisy: np.ndarray) -> Row:
    (only,) = evaluate({"m": denoisers.make("gray")}, InMemory((noisy, clean)), [None])  # type: ignore[arg-type]
    return only


@pytest.mark.parametrize("blind", [False, True])
@pytest.mark.parametrize("scale", [255, 4095, 65535])
def test_a_scale_changes_nothing(clean: np.ndarray, scale: float, blind: bool) -> None:
    clean = clean / clean.max()
    unit, scaled = row(clean, blind=blind), row((clean * np.float32(scale)).astype(np.float32), blind=blind)
    assert scaled.psnr_noisy == pytest.approx(unit.psnr_noisy, abs=0.02)
    assert scaled.psnr == pytest.approx(unit.psnr, abs=0.02)
    assert scaled.ssim == pytest.approx(unit.ssim, abs=0.002)


def test_twelve_bits_in_sixteen_are_as_in_add_noise(clean: np.ndarray) -> None:
    unit = row(clean / clean.max())
    counts = row((clean / clean.max() * 4095).astype(np.uint16))
    assert counts.psnr_noisy == pytest.approx(unit.psnr_noisy, abs=0.05)
    assert counts.psnr == pytest.approx(unit.psnr, abs=0.1)


@pytest.mark.parametrize(
    ("low", "high", "full_scale", "dtype"),
    [(-1024, 1023, 2047, np.float32), (-1024, 1023, 2047, np.int16), (-3, 0, 1, np.float32), (-1, 1, 1, np.float32),
     (2, 4.5, 1, np.float32)],
)  # fmt: skip
def test_negative_and_shifted_values_are_denoised_as_well(
    clean: np.ndarray, low: float, high: float, full_scale: float, dtype: type
) -> None:
    """Nothing is clipped, and the models see black at 0 and white at 1."""
    unit = (clean - clean.min()) / np.ptp(clean)
    truth = (low + (high - low) * unit).astype(dtype)
    level = 20 * (high - low) / full_scale
    moved = row(truth, spec=f"gaussian:{level}")
    assert moved.psnr_noisy == pytest.approx(-20 * np.log10(level / 255), abs=0.2)
    plain = row(unit)
    assert moved.psnr - moved.psnr_noisy == pytest.approx(plain.psnr - plain.psnr_noisy, abs=0.6)


def test_it_is_what_denoise_does(clean: np.ndarray) -> None:
    truth = (-1000 + 1800 * (clean - clean.min()) / np.ptp(clean)).astype(np.float32)
    noisy = truth + np.random.default_rng(0).normal(0, 100, truth.shape).astype(np.float32)
    made = unnoise.denoise(noisy[:, :, 0], "gray")
    error = np.sqrt(np.mean((made - truth[:, :, 0]) ** 2))
    assert pair(truth, noisy).psnr == pytest.approx(20 * np.log10(2047 / error), abs=0.02)


def test_missing_values_are_not_compared(clean: np.ndarray) -> None:
    holed = clean.copy()
    holed[:20, :30] = np.nan
    result, plain = row(holed), row(clean)
    assert result.psnr_noisy == pytest.approx(plain.psnr_noisy, abs=0.1)
    assert result.psnr == pytest.approx(plain.psnr, abs=0.6)
    assert 0 < result.ssim <= 1


def test_a_result_without_values_is_not_taken_for_a_good_one(clean: np.ndarray) -> None:
    lost = clean.copy()
    lost[0, 0] = np.nan
    assert np.isnan(psnr(clean, lost)) and not ssim(clean, lost) > 0.9


def test_channels_that_are_no_color_are_evaluated_one_by_one(clean: np.ndarray) -> None:
    """Each has a range of its own."""
    together = np.concatenate([clean / clean.max(), clean / clean.max() * 255], axis=2).astype(np.float32)
    result, plain = row(together), row(clean / clean.max())
    assert result.psnr_noisy == pytest.approx(plain.psnr_noisy, abs=0.1)
    assert result.psnr == pytest.approx(plain.psnr, abs=0.1)


def test_files_with_nodata(clean: np.ndarray, tmp_path: Path) -> None:
    samples = (255 * clean[:, :, 0] / clean.max()).astype(np.float32)
    tifffile.imwrite(tmp_path / "plain.tif", samples)
    samples[:20, :30] = -9999
    tifffile.imwrite(tmp_path / "holed.tif", samples, extratags=[(42113, "s", 0, "-9999", True)])
    (plain,) = unnoise.evaluate(["gray"], f"images:{tmp_path / 'plain.tif'}", [NOISE])
    (holed,) = unnoise.evaluate(["gray"], f"images:{tmp_path / 'holed.tif'}", [NOISE])
    assert holed.psnr == pytest.approx(plain.psnr, abs=0.6) and plain.psnr > 28
