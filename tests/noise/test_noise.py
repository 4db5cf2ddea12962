"""Noise models: moments against theory, randomness, chains, and what stays unchanged."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from unnoise.errors import UnnoiseError
from unnoise.evaluation.metrics import psnr
from unnoise.noise import NOISES, Noise, make
from unnoise.noise.base import level
from unnoise.noise.synthetic import Gaussian
from unnoise.spec import Range

# One of each row of the table, and words of several: a new row wants its example here.
EXAMPLES = {
    "camera": "camera:100..6400,rows=0.5",
    "clip": "clip",
    "correlated": "correlated:0..25,smooth=1.5,alike=0.3,sigma_factor=2",
    "gaussian": "gaussian:25",
    "jpeg": "jpeg:40",
    "poisson": "poisson:30",
    "quantize": "quantize:3",
    "salt-pepper": "salt-pepper:0.2,independent=true",
    "sensor": "sensor:1000..5000,read=0.5,rows=0.2,black=4",
    "speckle": "speckle:0..60",
    "uniform": "uniform:40",
    "varied": "varied:1..20,share=0.5,power=-1..2,smooth=0.7,smooth_color=1.5,color=2,channels=0.2,uneven=0.3,rows=0.1",
}
SENTENCES = ["poisson:30 + gaussian:0..10 + clip", "gaussian:25 | salt-pepper:0.1 + jpeg:50..90 | clip"]
OTHERS = [name for name in NOISES if name not in NOISES.members]
"""Of installed packages, with their default arguments."""
SIDE = 512


def test_every_noise_has_an_example() -> None:
    assert sorted(EXAMPLES) == sorted(NOISES.members)


@pytest.mark.parametrize("spec", [*EXAMPLES.values(), *SENTENCES, *OTHERS])
class TestContract:
    def test_the_spec_comes_back(self, spec: str) -> None:
        assert str(make(spec)) == spec
        assert make(str(make(spec))) == make(spec)

    @pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 3), (7, 5, 1), (16, 12, 3), (6, 5, 4)])
    def test_the_seed_decides_and_the_input_stays(self, spec: str, shape: tuple[int, ...]) -> None:
        image = np.random.default_rng(1).uniform(0.2, 0.8, shape).astype(np.float32)
        before = image.copy()
        image.setflags(write=False)
        first, again = make(spec)(image, 3), make(spec)(image, np.random.default_rng(3))
        assert first.dtype == np.float32
        assert first.shape == shape
        assert not np.shares_memory(first, image)
        np.testing.assert_array_equal(first, again)
        np.testing.assert_array_equal(image, before)

    def test_nan_and_infinity_stay_where_they_are(self, spec: str) -> None:
        image = np.full((8, 8, 3), 0.5, np.float32)
        image[2, 3], image[4, 4, 0], image[5, 5, 1] = np.nan, np.inf, -np.inf
        noisy = make(spec)(image, 0)
        np.testing.assert_array_equal(np.isfinite(noisy), np.isfinite(image))
        np.testing.assert_array_equal(noisy[~np.isfinite(image)], image[~np.isfinite(image)])

    def test_float64_is_taken_too(self, spec: str) -> None:
        assert make(spec)(np.full((8, 8, 1), 0.5), 0).dtype == np.float32


@pytest.mark.parametrize("spec", ["gaussian:25", "uniform:40", "speckle:50", "poisson:30", "salt-pepper:0.2"])
def test_another_seed_is_another_noise(spec: str, photograph: np.ndarray) -> None:
    assert (make(spec)(photograph, 0) != make(spec)(photograph, 1)).mean() > 0.15


def impulses(share: float, x: float) -> tuple[float, float, float]:
    """Return mean, standard deviation and kurtosis of a value x that becomes 0 or 1 with probability `share`."""
    values, odds = np.array([0, x, 1]), np.array([share / 2, 1 - share, share / 2])
    mean = values @ odds
    deviation = np.sqrt((values - mean) ** 2 @ odds)
    return mean, deviation, (values - mean) ** 4 @ odds / deviation**4


@pytest.mark.parametrize(
    ("spec", "x", "mean", "deviation", "kurtosis"),
    [
        ("gaussian:25", 0.5, 0.5, 25 / 255, 3),
        ("gaussian:70", 0.0, 0.0, 70 / 255, 3),
        ("uniform:40", 0.3, 0.3, 40 / 255 / 3**0.5, 1.8),
        ("speckle:50", 0.6, 0.6, 0.6 * 50 / 255, 3),
        ("poisson:30", 0.4, 0.4, (0.4 / 30) ** 0.5, 3 + 1 / (30 * 0.4)),
        ("poisson:1e+6", 0.9, 0.9, (0.9 / 1e6) ** 0.5, 3),
        ("poisson:0.5", 1.0, 1.0, 2**0.5, 5),
        ("sensor:200,black=51", 0.6, 0.6, (0.4 / 200) ** 0.5, 3 + 1 / (200 * 0.4)),
        ("sensor:1000,read=5", 0.4, 0.4, (0.4 / 1000 + (5 / 255) ** 2) ** 0.5, 3),
        ("salt-pepper:0.3", 0.6, *impulses(0.3, 0.6)),
        ("salt-pepper:1", 0.6, *impulses(1, 0.6)),
        ("poisson:30 + gaussian:10", 0.4, 0.4, (0.4 / 30 + (10 / 255) ** 2) ** 0.5, 3.1),
        ("gaussian:25 + uniform:40", 0.4, 0.4, ((25**2 + 40**2 / 3) ** 0.5) / 255, 3),
    ],
)
def test_moments_are_those_of_theory(spec: str, x: float, mean: float, deviation: float, kurtosis: float) -> None:
    noisy = make(spec)(np.full((SIDE, SIDE, 1), x, np.float32), 0).astype(np.float64)
    five = 5 / SIDE  # standard errors
    assert noisy.mean() == pytest.approx(mean, abs=five * deviation + 1e-7)
    assert noisy.var() == pytest.approx(deviation**2, rel=five * max(kurtosis - 1, 0.001) ** 0.5)


def test_noise_is_white_and_differs_between_channels() -> None:
    noisy = make("gaussian:25")(np.zeros((SIDE, SIDE, 2), np.float32), 0)
    pairs = [(noisy[:, 1:, 0], noisy[:, :-1, 0]), (noisy[1:, :, 0], noisy[:-1, :, 0]), (noisy[..., 0], noisy[..., 1])]
    for one, other in pairs:
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 5 / SIDE


@pytest.mark.parametrize("smooth", [0, 0.6, 1.5])
@pytest.mark.parametrize("alike", [0, 0.4, 1])
def test_correlated_noise_is_a_blurred_one(smooth: float, alike: float) -> None:
    noisy = make(f"correlated:25,smooth={smooth},alike={alike}")(np.full((SIDE, SIDE, 2), 0.5, np.float32), 0)
    rows, columns = np.indices((SIDE, SIDE))
    distance = np.hypot(np.minimum(rows, SIDE - rows), np.minimum(columns, SIDE - columns))
    kernel = np.exp(-(distance**2) / (2 * smooth**2)) if smooth else (distance == 0) * 1.0
    wanted = np.fft.ifft2(np.abs(np.fft.fft2(kernel)) ** 2).real / np.square(kernel).sum()  # theory: k * k
    (one, other), five = np.moveaxis(noisy - noisy.mean(axis=(0, 1)), 2, 0), 5 * max(1, 3.5 * smooth) / SIDE
    for near in ((0, 0), (0, 1), (1, 1), (2, 0)):
        neighbour = np.roll(one, near, axis=(0, 1))
        assert (one * neighbour).mean() == pytest.approx((25 / 255) ** 2 * wanted[near], abs=five * (25 / 255) ** 2)
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] == pytest.approx(alike, abs=five)


def test_speckle_and_poisson_leave_black_black() -> None:
    below = np.array([0, -0.2], np.float32).reshape(1, 2, 1)
    assert make("speckle:50")(below[:, :1], 0) == 0
    np.testing.assert_array_equal(make("poisson:30")(below, 0), np.zeros((1, 2, 1)))


def test_a_sensor_has_no_light_below_black_and_counts_electrons_above() -> None:
    below = np.full((8, 8, 1), 3 / 255, np.float32)
    np.testing.assert_array_equal(make("sensor:100,black=4")(below, 0), np.full_like(below, 4 / 255))
    counts = (make("sensor:40,black=4")(np.full((64, 64, 3), 0.5, np.float32), 0) - 4 / 255) * 40
    np.testing.assert_allclose(counts, np.rint(counts), atol=1e-4)


def test_a_sensor_shifts_whole_rows() -> None:
    noisy = make("sensor:1e+9,rows=3")(np.full((4 * SIDE, 16, 3), 0.5, np.float32), 0)
    np.testing.assert_allclose(noisy, noisy[:, :1, :1].repeat(16, axis=1).repeat(3, axis=2), atol=3e-4)
    assert noisy[:, 0, 0].std() == pytest.approx(3 / 255, rel=0.1)


def test_poisson_counts_photons(photograph: np.ndarray) -> None:
    counts = make("poisson:30")(photograph, 0) * 30
    np.testing.assert_allclose(counts, np.rint(counts), atol=1e-4)


@pytest.mark.parametrize("share", [0, 0.05, 0.5, 1])
@pytest.mark.parametrize("independent", [False, True])
def test_salt_and_pepper_lose_their_shares(share: float, independent: bool) -> None:
    image = np.full((SIDE, SIDE, 3), 0.5, np.float32)
    noisy = make(f"salt-pepper:{share},independent={str(independent).lower()}")(image, 0)
    assert set(np.unique(noisy)) <= {0, 0.5, 1}
    apart = (noisy != noisy[:, :, :1]).any(axis=2).mean()
    half, error = share / 2, 5 * (share / 2 * (1 - share / 2)) ** 0.5 / SIDE
    for channel in range(3):
        assert (noisy[:, :, channel] == 0).mean() == pytest.approx(half, abs=error)
        assert (noisy[:, :, channel] == 1).mean() == pytest.approx(half, abs=error)
    same = 2 * half**3 + (1 - share) ** 3 if independent else 1.0  # the odds that three channels agree
    assert apart == pytest.approx(1 - same, abs=5 * 0.5 / SIDE if independent else 0)


@pytest.mark.parametrize("bits", [1, 3, 8, 12, 16])
def test_quantize_errs_by_half_a_step_and_no_more(bits: int) -> None:
    image = np.linspace(-0.5, 1.5, 100_001, dtype=np.float32).reshape(-1, 1, 1)
    top = 2**bits - 1
    seen = make(f"quantize:{bits}")(image, 0)
    assert np.abs(seen - image).max() <= 0.5 / top + 1e-7
    assert np.abs(seen - image).max() > 0.45 / top * (bits < 16)
    np.testing.assert_allclose(seen * top, np.rint(seen * top), atol=0.01)
    np.testing.assert_array_equal(make(f"quantize:{bits}")(np.array([[[0.0, 1.0]]]), 0), [[[0, 1]]])


@pytest.mark.parametrize("quality", [10, 50, 90])
@pytest.mark.parametrize(("full_color", "subsampling"), [(True, 0), (False, 2)])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_is_what_another_library_makes_of_it(
    quality: int, full_color: bool, subsampling: int, mode: str, photograph: np.ndarray
) -> None:
    clean = photograph[:, :, : len(mode)]
    file = io.BytesIO()
    pixels = np.rint(clean * 255).astype(np.uint8)
    Image.fromarray(np.squeeze(pixels)).save(file, "JPEG", quality=quality, subsampling=subsampling)
    theirs = np.asarray(Image.open(file), np.float32).reshape(clean.shape) / 255
    ours = make(f"jpeg:{quality},full_color={str(full_color).lower()}")(clean, 0)
    assert psnr(theirs, ours) > 50
    assert abs(psnr(clean, ours) - psnr(clean, theirs)) < 0.05


@pytest.mark.parametrize("part", [-0.4, 0.4])
def test_jpeg_rounds_to_the_nearest_of_256_levels(part: float, photograph: np.ndarray) -> None:
    np.testing.assert_array_equal(make("jpeg:90")(photograph + part / 255, 0), make("jpeg:90")(photograph, 0))


def test_jpeg_gets_better_with_quality_and_with_full_colour(photograph: np.ndarray) -> None:
    ladder = [psnr(photograph, make(f"jpeg:{quality}")(photograph, 0)) for quality in (1, 10, 30, 50, 70, 90, 100)]
    assert ladder == sorted(ladder)
    assert ladder[-1] > ladder[0] + 10
    assert psnr(photograph, make("jpeg:90,full_color=true")(photograph, 0)) > ladder[-2]


def test_jpeg_stores_other_channels_one_by_one(photograph: np.ndarray) -> None:
    pair = make("jpeg:50")(photograph[:, :, :2], 0)
    for c in range(2):
        np.testing.assert_array_equal(pair[:, :, c : c + 1], make("jpeg:50")(photograph[:, :, c : c + 1], 0))


@pytest.mark.parametrize(
    "spec", ["gaussian:50", "uniform:99", "speckle:90", "poisson:9", "salt-pepper:0.1", "quantize"]
)
def test_nothing_is_clipped_where_the_chain_does_not_say_so(spec: str) -> None:
    image = np.array([1.5, 0.0, 1.0], np.float32).reshape(1, 3, 1).repeat(300, axis=0)
    assert make(spec)(image, 0).max() > 1.4
    clipped = make(f"{spec} + clip")(image, 0)
    assert (clipped.min(), clipped.max()) == (0, 1)
    np.testing.assert_array_equal(clipped, np.clip(make(spec)(image, 0), 0, 1))


def test_a_chain_goes_in_its_order(photograph: np.ndarray) -> None:
    rounded_last, rounded_first = make("gaussian:25 + quantize:2"), make("quantize:2 + gaussian:25")
    assert len(np.unique(rounded_last(photograph, 0))) < 9 < len(np.unique(rounded_first(photograph, 0)))
    assert rounded_last == make("gaussian:25") + make("quantize:2")


def test_a_range_is_drawn_per_image_and_the_drawn_noise_knows_its_level() -> None:
    ranged, rng = make("gaussian:10..50"), np.random.default_rng(0)
    levels = np.array([ranged.draw(rng).sigma for _ in range(2000)], float) * 255
    assert 10 <= levels.min() < 11 < 49 < levels.max() <= 50
    assert levels.mean() == pytest.approx(30, abs=5 * 40 / 12**0.5 / 2000**0.5)
    drawn = ranged.draw(rng)
    noisy = drawn(np.zeros((SIDE, SIDE, 1), np.float32), rng)
    assert noisy.std() == pytest.approx(drawn.sigma, rel=5 / SIDE)
    assert ranged == make("gaussian:10..50")  # a noise is a value: drawing leaves it as it is


def test_a_call_draws_a_new_level_for_every_image() -> None:
    rng, image = np.random.default_rng(0), np.zeros((64, 64, 1), np.float32)
    levels = [make("gaussian:0..50 + clip | uniform:0..90")(image, rng).std() for _ in range(20)]
    assert len(set(levels)) == 20


@pytest.mark.parametrize(
    ("spec", "sigma"),
    [
        ("gaussian:25", 25 / 255),
        ("uniform:30", 30 / 255 / 3**0.5),
        ("gaussian:30 + gaussian:40", 50 / 255),
        ("correlated:25", 25 / 255),
        ("correlated:5,smooth=2,sigma_factor=3", 15 / 255),
        ("correlated:5,sigma_factor=1..3", None),
        ("gaussian:0..25", None),
        ("gaussian:25 + clip", 25 / 255),
        ("gaussian:3 + quantize:4", ((3 / 255) ** 2 + 1 / 15**2 / 12) ** 0.5),
        ("quantize:2..8", None),
        ("gaussian:25 + jpeg:90", None),
        ("poisson:30", None),
        ("gaussian:25 | gaussian:25", None),
    ],
)
def test_sigma_is_known_where_it_is_one_number(spec: str, sigma: float | None) -> None:
    assert make(spec).sigma == (sigma and pytest.approx(sigma))


@pytest.mark.parametrize("text", ["gaussian:1 | gaussian:2 | gaussian:3", "nested"])
def test_each_of_a_choice_is_as_likely_as_the_next(text: str) -> None:
    one, two, three = make("gaussian:1"), make("gaussian:2"), make("gaussian:3")
    either: Noise = (one | two) | three if text == "nested" else make(text)
    rng, count = np.random.default_rng(0), 6000
    drawn = [str(either.draw(rng)) for _ in range(count)]
    for member in (one, two, three):
        assert drawn.count(str(member)) / count == pytest.approx(1 / 3, abs=5 * (2 / 9 / count) ** 0.5)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("gausian:25", "unknown noise 'gausian': did you mean 'gaussian'?"),
        ("gaussian:-5", "gaussian: sd must be a number of at least 0, got '-5'"),
        ("gaussian:loud", "gaussian: sd must be a number of at least 0, got 'loud'"),
        ("gaussian:5/6", "gaussian: sd must be a number of at least 0, got '(5, 6)'"),
        ("gaussian:true", "gaussian: sd must be a number of at least 0, got 'True'"),
        ("gaussian:-5..5", "gaussian: sd must be a number of at least 0, got '-5..5'"),
        ("gaussian:50..5", "the range 50..5 is empty: write the smaller number first"),
        ("gaussian:level=5", "unknown option of gaussian 'level': choose one of: sd"),
        ("correlated:5,smooth=20", "correlated: smooth must be a number from 0 to 10, got '20'"),
        ("correlated:5,alike=2", "correlated: alike must be a number from 0 to 1, got '2'"),
        ("correlated:5,sigma_factor=-1", "correlated: sigma_factor must be a number from 0 to 100, got '-1'"),
        ("uniform:-1", "uniform: width must be a number of at least 0, got '-1'"),
        ("speckle:none", "speckle: sd must be a number of at least 0, got 'None'"),
        ("poisson:0", "poisson: peak must be a number from 0.001 to 1e+09, got '0'"),
        ("salt-pepper:3", "salt-pepper: share must be a number from 0 to 1, got '3'"),
        ("salt-pepper:0.1,independent=no", "salt-pepper: independent must be true or false, got 'no'"),
        ("jpeg:0..50", "jpeg: quality must be a number from 1 to 100, got '0..50'"),
        ("jpeg:50,full_color=1", "jpeg: full_color must be true or false, got '1'"),
        ("quantize:0", "quantize: bits must be a number from 1 to 16, got '0'"),
        ("2*gaussian:5", "a noise has no weight: scale the arguments of gaussian:5 instead"),
    ],
)
def test_invalid_spec_gives_a_one_line_error(spec: str, message: str) -> None:
    with pytest.raises(UnnoiseError) as caught:
        make(spec)
    assert str(caught.value) == message


@pytest.mark.parametrize("spec", ["gaussian", "gaussian:1,2", "clip:1"])
def test_missing_and_surplus_arguments_give_a_one_line_error(spec: str) -> None:
    with pytest.raises(UnnoiseError, match=r"^noise '[a-z]+': .* argument.*\(arguments: (sd|none)\)$"):
        make(spec)


def test_a_choice_is_of_whole_chains() -> None:
    with pytest.raises(UnnoiseError, match="binds weaker"):
        make("gaussian:1 | gaussian:2") + make("clip")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), Range(0, float("inf"))])
def test_a_level_is_finite(value: float | Range) -> None:
    with pytest.raises(UnnoiseError, match="sd must be a number"):
        Gaussian(value)


def test_a_range_must_be_drawn_before_it_is_a_level() -> None:
    with pytest.raises(TypeError, match="was not drawn"):
        level(Range(0, 5))
