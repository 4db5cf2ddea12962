"""`varied`: its moments, and the shape of its grain, against the law that it states."""

from __future__ import annotations

import numpy as np
import pytest

from unnoise import noise
from unnoise.errors import UnnoiseError
from unnoise.noise.varied import blurred, smooth_field

GREY = np.full((256, 256, 3), 0.5, np.float32)


def of(spec: str, picture: np.ndarray = GREY, seed: int = 0) -> np.ndarray:
    return noise.make(spec)(picture, seed) - picture


def rms(values: np.ndarray) -> float:
    return 255 * float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


@pytest.mark.parametrize("more", ["", ",share=1,power=2", ",smooth=1,smooth_color=1", ",channels=0.5", ",uneven=1"])
def test_the_root_mean_square_is_what_is_stated(more: str) -> None:
    picture = np.random.default_rng(1).random((256, 256, 3), dtype=np.float32)
    assert rms(of(f"varied:sd=10{more}", picture)) == pytest.approx(10, rel=0.04)


@pytest.mark.parametrize(("power", "ratio"), [(1, 4), (2, 16), (-1, 0.25)])
def test_the_variance_grows_with_the_power_of_the_light(power: int, ratio: float) -> None:
    picture = np.concatenate([np.full((128, 256, 3), 0.2), np.full((128, 256, 3), 0.8)]).astype(np.float32)
    dark, light = np.split(of(f"varied:sd=10,share=1,power={power}", picture), 2)
    assert light.var() / dark.var() == pytest.approx(ratio, rel=0.05)


def test_half_of_the_variance_depends_on_the_light() -> None:
    picture = np.concatenate([np.full((128, 256, 3), 0.2), np.full((128, 256, 3), 0.8)]).astype(np.float32)
    dark, light = np.split(of("varied:sd=10,share=0.5,power=1", picture), 2)
    assert light.var() / dark.var() == pytest.approx((0.5 + 0.8) / (0.5 + 0.2), rel=0.04)  # over the mean light, 0.5


@pytest.mark.parametrize("width", [0.5, 1.0, 2.0])
def test_neighbours_are_alike_as_behind_a_gaussian_blur(width: float) -> None:
    grain = of(f"varied:sd=10,smooth={width},smooth_color={width}")[:, :, 1]
    kernel = np.exp(-0.5 * (np.arange(-12, 13) / width) ** 2)
    for distance in (1, 2):
        expected = np.sum(kernel[distance:] * kernel[:-distance]) / np.sum(kernel**2)
        found = np.mean(grain[:, distance:] * grain[:, :-distance]) / grain.var()
        assert found == pytest.approx(expected, abs=0.05)


def test_colour_is_blurred_and_scaled_by_itself() -> None:
    grain = of("varied:sd=10,smooth_color=2,color=3")
    luma = grain @ np.array([0.299, 0.587, 0.114], np.float32)
    white = of("varied:sd=10")
    luma_of_white = white @ np.array([0.299, 0.587, 0.114], np.float32)
    assert luma.std() == pytest.approx(luma_of_white.std(), rel=0.05)
    assert abs(np.mean(luma[:, 1:] * luma[:, :-1])) < 0.05 * luma.var()
    colour, colour_of_white = (one[:, :, 2] - shade for one, shade in ((grain, luma), (white, luma_of_white)))
    assert colour.std() == pytest.approx(3 * colour_of_white.std(), rel=0.1)
    assert np.mean(colour[:, 1:] * colour[:, :-1]) > 0.8 * colour.var()


def test_channels_differ_by_their_gains_alone() -> None:
    ratios = [
        np.log(sds.max() / sds.min())
        for seed in range(20)
        for sds in [of("varied:10,channels=0.5", seed=seed).std((0, 1))]
    ]
    assert 0.5 < max(ratios) <= 1.02  # two gains differ by e^(2 * 0.5) at most


def test_rows_share_a_value() -> None:
    means = of("varied:sd=10,rows=0.5").mean(axis=(1, 2))
    assert 255 * means.std() == pytest.approx(5, rel=0.15)


def test_a_range_of_levels_is_drawn_by_its_logarithm() -> None:
    rng, law = np.random.default_rng(0), noise.make("varied:1..100")
    drawn = [law.draw(rng).sd for _ in range(2000)]  # type: ignore[attr-defined]
    assert np.mean(np.array(drawn) < 10) == pytest.approx(0.5, abs=0.04)


def test_the_field_is_smooth_and_bounded() -> None:
    field = smooth_field((64, 40), np.random.default_rng(0))
    assert field.shape == (64, 40)
    assert np.abs(field).max() <= 1
    assert np.abs(np.diff(field, axis=0)).max() <= 2 * 2 / 63 + 1e-6  # two cells of two units each


def test_a_blur_keeps_the_deviation_and_width_0_changes_nothing() -> None:
    white = np.random.default_rng(0).standard_normal((400, 400, 1), dtype=np.float32)
    assert blurred(white, 0) is white
    assert blurred(white, 1.3)[8:-8, 8:-8].std() == pytest.approx(1, rel=0.04)


def test_grey_has_a_grain_too() -> None:
    assert rms(of("varied:sd=10,smooth=1,share=1", GREY[:, :, :1])) == pytest.approx(10, rel=0.06)


@pytest.mark.parametrize("spec", ["varied:sd=-1", "varied:10,share=2", "varied:10,power=5", "varied:10,uneven=3"])
def test_what_makes_no_sense_is_refused(spec: str) -> None:
    with pytest.raises(UnnoiseError, match="must be a number"):
        noise.make(spec)


def test_camera_sharpening_lifts_the_fine_grain() -> None:
    plain, sharp = (of(f"camera:3200,smooth=1,smooth_color=1{more}") for more in ("", ",sharpen=1"))
    assert sharp.std() > 1.1 * plain.std()
    fine = [np.diff(one, axis=0).std() / one.std() for one in (plain, sharp)]
    assert fine[1] > 1.1 * fine[0]
