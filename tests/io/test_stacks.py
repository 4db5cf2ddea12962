"""Arrays with named axes: every plane is denoised; range and noise are those of the stack, for each channel."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import unnoise
from unnoise import denoisers
from unnoise.errors import UnnoiseError
from unnoise.io import stacks

SIZES = {"T": 2, "Z": 3, "C": 2, "Y": 10, "X": 12, "S": 3}


def array(axes: str, dtype: type = np.uint16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 4096, [SIZES[name] for name in axes]).astype(dtype)


@pytest.mark.parametrize("axes", ["YX", "XY", "TZCYX", "CYXZ", "TYXS", "SYX", "ZTXCY", "CYX"])
def test_planes_come_back_where_they_were(axes: str) -> None:
    values = array(axes)
    picture = stacks.to_picture(values, axes, None)
    planes = int(np.prod([SIZES[name] for name in axes if name not in "YXCS"]))
    assert picture.header.pages == planes
    assert picture.pixels.shape[:2] == (planes * SIZES["Y"], SIZES["X"])
    np.testing.assert_array_equal(stacks.from_picture(picture, axes, values.shape), values)


@pytest.mark.parametrize("axes", ["ZYX", "TZYX"])
def test_a_median_is_that_of_each_plane(axes: str) -> None:
    values = array(axes)
    result = unnoise.denoise(values, "median", axes=axes, value_range=(0, 65535))
    for place in itertools.product(*(range(SIZES[name]) for name in axes[:-2])):
        expected = unnoise.denoise(values[place], "median", value_range=(0, 65535))
        np.testing.assert_array_equal(result[place], expected)


def test_the_order_of_the_axes_does_not_matter() -> None:
    values = array("TZCYX")
    result = unnoise.denoise(values, "median", axes="TZCYX")
    moved = unnoise.denoise(np.ascontiguousarray(values.transpose(2, 4, 0, 3, 1)), "median", axes="CXTYZ")
    np.testing.assert_array_equal(moved.transpose(2, 4, 0, 3, 1), result)


def test_channels_have_ranges_and_noise_of_their_own() -> None:
    rng = np.random.default_rng(0)
    rows = np.mgrid[:64, :64][0] / 20
    clean = np.stack([[0.5 + 0.4 * np.sin(rows + shift)] * 2 for shift in (0, 1)]).transpose(1, 0, 2, 3)
    scale = np.array([200, 9000]).reshape(1, 2, 1, 1)  # of the two channels
    noise = np.array([0.1, 0.03]).reshape(1, 2, 1, 1)
    noisy = (scale * (clean + rng.normal(0, noise, clean.shape))).astype(np.float32)
    result = unnoise.denoise(noisy, axes="TCYX")
    error = np.sqrt(np.mean((result / scale - clean) ** 2, axis=(0, 2, 3)))
    assert (error < 0.5 * noise[0, :, 0, 0]).all()


def test_range_and_noise_are_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    real = denoisers.auto.estimate_noise
    monkeypatch.setattr(denoisers.auto, "estimate_noise", lambda *given: found.append(given[0].shape) or real(*given))
    unnoise.denoise(np.random.default_rng(0).normal(0.5, 0.1, (3, 2, 40, 50)).astype(np.float32), axes="ZCYX")
    assert found == [(120, 50, 1)] * 2  # of each channel, over all planes


def test_colors_are_denoised_together() -> None:
    values = np.random.default_rng(0).integers(0, 255, (2, 20, 30, 4)).astype(np.uint8)
    result = unnoise.denoise(values, "color", sigma=20, axes="TYXS")
    np.testing.assert_array_equal(result[..., 3], values[..., 3])  # alpha
    for page, clean in zip(values, result, strict=True):
        assert np.abs(unnoise.denoise(page, "color", sigma=20).astype(int) - clean).max() <= 1


def test_masks_are_kept() -> None:
    values = np.ma.masked_greater(array("ZYX"), 4000)
    result = unnoise.denoise(values, "median", axes="ZYX")
    assert isinstance(result, np.ma.MaskedArray)
    np.testing.assert_array_equal(result.mask, values.mask)
    np.testing.assert_array_equal(result.data[values.mask], values.data[values.mask])


def test_noise_is_added_to_and_found_in_stacks() -> None:
    clean = np.full((2, 3, 64, 64), 0.5, np.float32)
    noisy = unnoise.add_noise(clean, "gaussian:20", axes="ZCYX")
    assert noisy.shape == clean.shape and np.std(noisy) == pytest.approx(20 / 255, rel=0.03)
    estimate = unnoise.inspect(noisy, axes="ZCYX", value_range=(0, 1))
    assert 255 * estimate.sigma == pytest.approx(20, rel=0.15)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ("YX", "do not fit an array of shape"),
        ("ZZYX", "must be different capital letters"),
        ("zcyx", "must be different capital letters"),
        ("TZCY", "have no plane"),
        ("CSYX", "channels .C. of colors"),
    ],
)
def test_axes_that_make_no_sense_are_refused(axes: str, message: str) -> None:
    with pytest.raises(UnnoiseError, match=message):
        unnoise.denoise(array("ZCYX"), axes=axes)
    with pytest.raises(UnnoiseError, match="axes are for arrays"):
        unnoise.denoise("a.tif", axes="YX")
