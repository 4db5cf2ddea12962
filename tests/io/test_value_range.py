"""The value range moves with the values, and nothing that is not the image moves it."""

from __future__ import annotations

import numpy as np
import pytest

from unnoise.errors import UnnoiseError
from unnoise.io.value_range import ValueRange, estimate_range

FLOAT, UINT16 = np.dtype(np.float32), np.dtype(np.uint16)


@pytest.fixture
def image(photograph: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a noisy photograph, float32."""
    return photograph + rng.normal(0, 10 / 255, photograph.shape).astype(np.float32)


@pytest.mark.parametrize("scale", [1e-3, 0.3, 1, 7, 1e4])
@pytest.mark.parametrize("shift", [-3, 0, 0.5, 3])
def test_it_moves_with_scale_and_shift(image: np.ndarray, scale: float, shift: float) -> None:
    plain = estimate_range(image, FLOAT)
    moved = estimate_range((image + shift) * scale, FLOAT)
    assert moved.black == pytest.approx((plain.black + shift) * scale, abs=1e-5 * scale)
    assert moved.white == pytest.approx((plain.white + shift) * scale, abs=1e-5 * scale)


@pytest.mark.parametrize("value", [-9999, 65535, -3.4e38, 3.4e38, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("columns", [0, 1, 40])
def test_nodata_and_hot_pixels_do_not_move_it(image: np.ndarray, value: float, columns: int) -> None:
    marked = image.copy()
    marked[0, 0] = value
    marked[:, :columns] = value
    plain, found = estimate_range(image[:, columns:], FLOAT), estimate_range(marked, FLOAT)
    assert found.full_scale == plain.full_scale == 1
    span = plain.white - plain.black
    assert found.black == pytest.approx(plain.black, abs=0.02 * span)
    assert found.white == pytest.approx(plain.white, abs=0.02 * span)


def test_nodata_at_both_ends(image: np.ndarray) -> None:
    marked = image.copy()
    marked[:, :20], marked[:, -20:] = -9999, 65535
    found = estimate_range(marked, FLOAT)
    assert -0.1 < found.black < 0.2 < 0.8 < found.white < 1.1


def test_masked_values_are_missing(image: np.ndarray) -> None:
    values = np.where(np.arange(image.shape[1])[:, None] < 90, 5 * image, image)  # no constant: not nodata by itself
    masked = np.ma.masked_array(values, np.broadcast_to(np.arange(image.shape[1])[:, None] < 90, image.shape))
    assert estimate_range(masked, FLOAT).white == pytest.approx(estimate_range(image[:, 90:], FLOAT).white, rel=0.02)
    assert estimate_range(np.ma.masked_all_like(values), FLOAT) == ValueRange()


@pytest.mark.parametrize(
    ("top", "white"),
    [(200, 255), (1000, 1023), (4095, 4095), (4900, 4095), (5300, 16383), (30000, 65535), (65535, 65535)],
)
def test_unsigned_integers_have_bits(image: np.ndarray, top: int, white: int) -> None:
    counts = np.rint(np.clip(image, 0, 1) / np.quantile(image, 0.9) * top).clip(0, top)
    counts[3, 3] = 65535  # a hot pixel
    found = estimate_range(counts / 65535, UINT16)
    assert (found.black, found.full_scale * 65535) == pytest.approx((0, white))
    assert found.white * 65535 == pytest.approx(max(white, top), rel=0.01)


def test_large_integers_have_bits_too(image: np.ndarray) -> None:
    found = estimate_range(image.clip(0) * 10**7 / np.iinfo(np.uint32).max, np.dtype(np.uint32))
    assert found.full_scale * np.iinfo(np.uint32).max == pytest.approx(2**23 - 1, rel=1e-6)


def test_signed_integers_are_as_floats() -> None:
    counts = np.linspace(-1024, 3000, 10_000) / np.iinfo(np.int16).max
    found = estimate_range(counts, np.dtype(np.int16))
    assert found.full_scale * np.iinfo(np.int16).max == 4095
    assert found.contrast == pytest.approx(4024 / 4095, rel=0.01)


def test_eight_bits_have_their_whole_range(image: np.ndarray) -> None:
    assert estimate_range(image / 7 + 0.3, np.dtype(np.uint8)) == ValueRange() == ValueRange(0, 1, 1)
    assert ValueRange().is_unit


@pytest.mark.parametrize(
    ("low", "high", "full_scale"),
    [
        (0, 1, 1),
        (-1, 1, 1),
        (0, 4, 1),
        (0, 8, 8),
        (0, 100, 128),
        (110, 120, 128),
        (0, 255, 255),
        (-1024, 1000, 2047),
        (0, 65535, 65535),
        (0, 0.01, 2**-7),
    ],
)
def test_the_full_scale_of_floats(low: float, high: float, full_scale: float) -> None:
    found = estimate_range(np.linspace(low, high, 100_000), FLOAT)
    assert found.full_scale == full_scale
    assert found.contrast == pytest.approx((high - low) / full_scale, rel=0.01)


def test_noise_does_not_change_the_full_scale(image: np.ndarray, photograph: np.ndarray) -> None:
    full, noise = (photograph - photograph.min()) / np.ptp(photograph), image - photograph
    for scale in (1, 255, 4095):
        for sigma in (5, 15, 25):
            noisy = scale * (full + sigma / 10 * noise)
            assert estimate_range(noisy, FLOAT).full_scale == estimate_range(scale * full, FLOAT).full_scale == scale


def test_empty_images_have_the_unit_range() -> None:
    for values in ([], [np.nan] * 9, [0.0] * 9):
        assert estimate_range(np.array(values), FLOAT).full_scale == 1


def test_a_constant_has_the_full_scale_of_its_value() -> None:
    found = estimate_range(np.full(9, 200.0), FLOAT)
    assert found.full_scale == found.white - found.black == 255
    assert found.black < 200 < found.white


def test_normalize_and_restore(image: np.ndarray) -> None:
    found = estimate_range(1000 * image - 300, FLOAT)
    normalized = found.normalize(1000 * image - 300)
    assert normalized.dtype == np.float32
    assert np.quantile(normalized, [0.001, 0.999]) == pytest.approx([0, 1], abs=0.01)
    np.testing.assert_allclose(found.restore(normalized), 1000 * image - 300, atol=1e-3)


@pytest.mark.parametrize(("black", "white"), [(0, 4095 / 65535), (-0.3, 0.7), (100, 1234.5), (-1024, 3071)])
def test_black_and_white_become_0_and_1_exactly(black: float, white: float) -> None:
    ends = np.array([black, white], np.float32)
    np.testing.assert_array_equal(ValueRange(black, white).normalize(ends), [0, 1])


@pytest.mark.parametrize(("black", "white"), [(1, 0), (2, 2), (np.nan, 1), (0, np.inf)])
def test_an_empty_range_is_refused(black: float, white: float) -> None:
    with pytest.raises(UnnoiseError, match="two finite numbers, the smaller first"):
        ValueRange(black, white)
