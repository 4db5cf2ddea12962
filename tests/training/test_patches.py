"""Patches: each one depends on its index alone."""

from __future__ import annotations

import numpy as np
import pytest

from tests.fakes import InMemory
from unnoise import noise
from unnoise.errors import UnnoiseError
from unnoise.noise import camera
from unnoise.training.augmentations import Mosaicing, dithered, stretch_contrast
from unnoise.training.patches import Patches


def coordinates(height: int = 12, width: int = 15) -> np.ndarray:
    """Return a float image of distinct values, so that the position of any patch can be identified."""
    return np.arange(height * width * 3, dtype=np.float32).reshape(height, width, 3)


def test_a_patch_depends_on_seed_and_number_alone() -> None:
    def patch(seed: int, index: int) -> dict[str, np.ndarray]:
        return Patches(InMemory(coordinates(), coordinates()), noise.make("gaussian:0..50"), 8, seed)[index]

    patches = Patches(InMemory(coordinates(), coordinates()), noise.make("gaussian:0..50"), 8, seed=1)
    backwards = [patches[index] for index in reversed(range(5))][::-1]
    for index, there in enumerate(backwards):
        for key, value in patch(1, index).items():
            np.testing.assert_array_equal(value, there[key])
    for other in (patch(2, 0), patch(1, 1)):
        assert not np.array_equal(other["noisy"], backwards[0]["noisy"])


def test_shapes_and_types() -> None:
    patch = Patches(InMemory(np.full((9, 9, 3), 51, np.uint8)), noise.make("gaussian:10"), 8)[0]
    assert {key: (value.shape, value.dtype.name) for key, value in patch.items()} == {
        "noisy": ((3, 8, 8), "float32"),
        "clean": ((3, 8, 8), "float32"),
        "sigma": ((1, 1, 1), "float32"),
    }
    np.testing.assert_allclose(patch["clean"], 0.2, rtol=1e-6)


def test_the_recorded_level_is_that_of_the_noise() -> None:
    patches = Patches(InMemory(np.zeros((64, 64, 3), np.uint8)), noise.make("gaussian:5..50"), 64)
    levels = np.array([patches[index]["sigma"].item() for index in range(12)])
    found = np.array([patches[index]["noisy"].std() for index in range(12)])
    np.testing.assert_allclose(found, levels, rtol=0.03)
    assert 5 / 255 <= levels.min() < 15 / 255 < 40 / 255 < levels.max() <= 50 / 255


@pytest.mark.parametrize("spec", ["poisson:30", "gaussian:10 + jpeg:90", None])
def test_a_level_that_no_number_says_is_nan(spec: str | None) -> None:
    item = coordinates() / 1000
    dataset = InMemory((item, item) if spec is None else item)
    assert np.isnan(Patches(dataset, spec and noise.make(spec), 8)[0]["sigma"]).all()


def test_all_eight_orientations_and_all_places_occur() -> None:
    picture = coordinates(8, 8)
    square = picture.transpose(2, 0, 1)
    turned = {np.rot90(side, turns, (1, 2)).tobytes() for side in (square, square[:, :, ::-1]) for turns in range(4)}
    patches = Patches(InMemory(picture), noise.make("gaussian:0"), 8)
    assert {patches[index]["clean"].tobytes() for index in range(100)} == turned
    corners = Patches(InMemory(picture), noise.make("gaussian:0"), 7)
    lowest = {corners[index]["clean"].min() for index in range(100)}
    assert lowest == {picture[y, x, 0] for y in (0, 1) for x in (0, 1)}


def test_all_pictures_occur_and_none_changes() -> None:
    dataset = InMemory(*(np.full((8, 8, 1), value, np.float32) for value in (0.1, 0.2, 0.3)))
    patches = Patches(dataset, noise.make("gaussian:20"), 8)
    seen = []
    for index in range(30):
        patch = patches[index]
        seen.append(patch["clean"].max())
        patch["clean"][:] = patch["noisy"][:] = 9
    np.testing.assert_allclose(sorted(set(seen)), [0.1, 0.2, 0.3], rtol=1e-6)


def test_pairs_stay_aligned() -> None:
    patches = Patches(InMemory(*((clean + 0.5, clean) for clean in (coordinates(), coordinates(20, 9)))), None, 8)
    for index in range(40):
        patch = patches[index]
        np.testing.assert_array_equal(patch["noisy"], patch["clean"] + 0.5)
    assert len({patches[index]["clean"].tobytes() for index in range(40)}) > 20


def test_noise_is_for_clean_pictures_and_pairs_keep_theirs() -> None:
    clean = np.zeros((12, 12, 3), np.float32)
    patches = Patches(InMemory(clean, (clean + 0.5, clean)), noise.make("uniform:10"), 8)
    noisy = [patches[index]["noisy"] for index in range(30)]
    unchanged = sum(np.array_equal(one, np.full_like(one, 0.5)) for one in noisy)
    with_noise = sum(0 < np.abs(one).max() <= 10 / 255 for one in noisy)
    assert min(unchanged, with_noise) > 5
    assert unchanged + with_noise == 30


def test_a_share_of_color_images_becomes_gray_with_equal_noise_in_all_channels() -> None:
    picture = np.random.default_rng(0).random((12, 12, 3), np.float32)
    patches = Patches(InMemory(picture), noise.make("gaussian:25 + salt-pepper:0.1,independent=true"), 8, gray=0.25)
    alike = 0
    for index in range(80):
        patch = patches[index]
        assert patch["noisy"].shape == patch["clean"].shape == (3, 8, 8)
        grey = {bool((patch[key] == patch[key][:1]).all()) for key in ("noisy", "clean")}
        assert len(grey) == 1, "both or none"
        alike += grey == {True}
    assert 10 <= alike <= 30
    assert not (patches[0]["noisy"] == patches[0]["clean"]).all()


def test_a_share_of_clean_pictures_is_stretched_until_some_of_it_is_black_or_white() -> None:
    picture = np.random.default_rng(0).uniform(0.3, 0.7, (24, 24, 3)).astype(np.float32)
    patches = Patches(InMemory(picture), noise.make("gaussian:25"), 16, stretch=0.25)
    edges = [(patches[index]["clean"] % 1 == 0).mean() for index in range(80)]
    assert 10 <= np.count_nonzero(edges) <= 30
    assert max(edges) > 0.3


def test_a_stretched_picture_keeps_the_order_of_its_shades_and_what_is_smooth() -> None:
    ramp = np.linspace(0, 1, 32 * 32, dtype=np.float32).reshape(32, 32, 1)
    for shares in ((0.0, 0.45), (0.45, 0.0), (0.2, 0.3)):
        drawn = stretch_contrast(ramp, *shares)
        assert (np.diff(drawn.ravel()) >= 0).all()
        np.testing.assert_allclose(((drawn == 0).mean(), (drawn == 1).mean()), shares, atol=2e-3)
        between = np.diff(drawn[(drawn > 0) & (drawn < 1)])
        np.testing.assert_allclose(between, between[0], rtol=1e-2)
    smooth = 0.5 + 0.01 * (ramp - 0.5)
    assert np.ptp(stretch_contrast(smooth, 0.2, 0.3)) <= 0.0601


def test_a_picture_that_is_too_small_is_named_beforehand() -> None:
    patches = Patches(InMemory(coordinates(8, 8), coordinates(8, 7)), noise.make("gaussian:5"), 8)
    with pytest.raises(UnnoiseError, match=r"^'item 1', 7x8 pixels, is smaller than a patch of 8$"):
        patches.check()
    with pytest.raises(UnnoiseError, match="item 1"):
        [patches[index] for index in range(20)]
    Patches(InMemory(coordinates(8, 8)), noise.make("gaussian:5"), 8).check()


def test_fixed_places_214_a_picture_make_the_epoch_of_dncnn() -> None:
    """400 pictures give 85,600 patches of 40x40, and 100 give 21,400 (Zhang et al., and those who followed)."""
    picture = np.zeros((321, 481, 3), np.uint8)
    for pictures, patches in ((400, 85_600), (100, 21_400)):
        assert Patches(InMemory(*[picture] * pictures), None, 40, per_picture=214).epoch == patches


def test_every_epoch_has_every_place_once_in_another_order_with_other_noise() -> None:
    dataset = InMemory(coordinates(), coordinates() + 1000)
    patches = Patches(dataset, noise.make("gaussian:10"), 6, per_picture=7, turn=False)
    epochs = [[patches[14 * epoch + index] for index in range(14)] for epoch in range(2)]
    corners = [[patch["clean"][0, 0, 0] for patch in epoch] for epoch in epochs]
    assert sorted(corners[0]) == sorted(corners[1])
    assert sum(corner >= 1000 for corner in corners[0]) == 7, "as many from each picture"
    assert len(set(corners[0])) > 10, "at different places"
    assert corners[0] != corners[1]
    again = corners[1].index(corners[0][0])
    first, second = epochs[0][0], epochs[1][again]
    np.testing.assert_array_equal(first["clean"], second["clean"])
    assert not np.array_equal(first["noisy"], second["noisy"])
    np.testing.assert_array_equal(patches[3]["noisy"], epochs[0][3]["noisy"], err_msg="and back to the first epoch")


def test_an_upright_patch_stays_upright() -> None:
    patches = Patches(InMemory(coordinates(8, 8)), noise.make("gaussian:0"), 8, turn=False)
    for index in range(10):
        np.testing.assert_array_equal(patches[index]["clean"], coordinates(8, 8).transpose(2, 0, 1))


def test_a_clean_picture_without_a_noise_is_refused() -> None:
    with pytest.raises(UnnoiseError, match=r"'item 0' is a clean image: name a noise"):
        Patches(InMemory(coordinates()), None, 8).check()
    Patches(InMemory((coordinates(), coordinates())), None, 8).check()


def test_a_second_shot_has_noise_of_its_own_at_the_same_level() -> None:
    flat = np.full((64, 64, 1), 0.5, np.float32)
    patch = Patches(InMemory(flat), noise.make("gaussian:5..50"), 64, target="second")[0]
    assert set(patch) == {"noisy", "second", "sigma"}
    errors = np.stack([patch["noisy"].ravel(), patch["second"].ravel()]) - 0.5
    np.testing.assert_allclose(errors.std(axis=1), patch["sigma"].item(), rtol=0.05)
    assert abs(np.corrcoef(errors)[0, 1]) < 0.05


def test_two_shots_are_taken_as_they_are() -> None:
    patch = Patches(InMemory((coordinates(), coordinates() + 7)), None, 8, target="second")[0]
    np.testing.assert_array_equal(patch["second"], patch["noisy"] + 7)


def test_a_single_noisy_picture_is_enough_where_there_is_no_target() -> None:
    patches = Patches(InMemory(coordinates(), (coordinates(), coordinates() - 1000)), None, 8, target="none")
    patches.check()
    assert set(patches[0]) == {"noisy", "sigma"}
    assert min(patches[index]["noisy"].min() for index in range(20)) >= 0, "of a pair, the noisy one"
    patch = Patches(InMemory(coordinates() * 0), noise.make("gaussian:25"), 8, target="none")[0]
    assert patch["noisy"].std() > 0


def test_a_single_shot_is_refused_where_two_are_wanted() -> None:
    with pytest.raises(UnnoiseError, match=r"'item 0' is a single image: pairs:FOLDER needs"):
        Patches(InMemory(coordinates()), None, 8, target="second").check()


def test_halved_patches_are_means_of_2x2_where_the_picture_is_large_enough() -> None:
    picture = np.random.default_rng(0).integers(256, size=(40, 40, 3)).astype(np.uint8)
    patches = Patches(InMemory(picture), noise.make("gaussian:0"), 16, turn=False, halve=1.0)
    for index in range(5):
        plan, patch = patches.plan(index)[0], patches[index]["clean"]
        cut = picture[plan.top : plan.top + 32, plan.left : plan.left + 32].astype(np.float32) / 255
        expected = cut.reshape(16, 2, 16, 2, 3).mean(axis=(1, 3)).transpose(2, 0, 1)
        np.testing.assert_allclose(patch, expected, atol=1e-6)
    small = Patches(InMemory(picture[:30]), noise.make("gaussian:0"), 16, halve=1.0)
    assert {small.plan(index)[0].scale for index in range(20)} == {1}


def test_enlarged_patches_are_smooth() -> None:
    picture = np.random.default_rng(0).integers(256, size=(64, 64, 3)).astype(np.uint8)
    patches = Patches(InMemory(picture), noise.make("gaussian:0"), 32, enlarge=1.0)
    scales = {patches.plan(index)[0].scale for index in range(40)}
    assert scales == {0.25, 0.5}
    patch = patches[0]["clean"]
    assert patch.shape == (3, 32, 32)
    assert np.abs(np.diff(patch, axis=2)).mean() < 0.6 * np.abs(np.diff(picture / 255.0, axis=1)).mean()


def test_pairs_are_halved_together() -> None:
    clean = np.random.default_rng(0).integers(100, size=(40, 40, 3)).astype(np.uint8)
    patch = Patches(InMemory((clean + 100, clean)), None, 16, halve=1.0)[3]
    np.testing.assert_allclose(patch["noisy"] - patch["clean"], 100 / 255, atol=1e-6)


def test_a_share_of_clean_pictures_is_darkened_before_the_noise() -> None:
    picture = np.full((16, 16, 3), 200, np.uint8)
    patches = Patches(InMemory(picture), noise.make("gaussian:1"), 16, darken=0.5)
    dark = 0
    for index in range(60):
        plan, patch = patches.plan(index)[0], patches[index]
        assert abs((patch["noisy"] - patch["clean"]).std() - 1 / 255) < 0.3 / 255
        if plan.darken is not None:
            dark += 1
            light = 1 - 200 / 255 if plan.darken.negative else 200 / 255
            expected = min(1, plan.darken.offset + plan.darken.factor * light**plan.darken.power)
            np.testing.assert_allclose(patch["clean"], expected, atol=1e-5)
        else:
            np.testing.assert_allclose(patch["clean"], 200 / 255, atol=1e-6)
    assert 15 < dark < 45


@pytest.mark.parametrize("colors", [2, 4, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_dithered_picture_has_few_colours_and_keeps_its_means(colors: int, channels: int) -> None:
    ramp = np.linspace(0.1, 0.9, 64, dtype=np.float32)
    picture = np.stack([np.broadcast_to(ramp, (64, 64))] * channels, axis=2)
    made = dithered(picture, colors)
    assert made.shape == picture.shape
    assert made.dtype == np.float32
    assert len(np.unique(made.reshape(-1, channels), axis=0)) <= colors
    means = made[:, 8:-8].reshape(64, 6, 8, channels).mean(axis=(0, 2, 3))
    np.testing.assert_allclose(means, picture[0, 8:-8, 0].reshape(6, 8).mean(axis=1), atol=0.05)


def test_dithered_patches_have_no_noise() -> None:
    picture = np.random.default_rng(0).integers(256, size=(32, 32, 3)).astype(np.uint8)
    patches = Patches(InMemory(picture), noise.make("gaussian:20"), 16, dither=0.5)
    drawn = [(patches.plan(index)[0].colors, patches[index]) for index in range(40)]
    assert {colors for colors, _ in drawn} > {0, 2, 8}
    for colors, patch in drawn:
        assert np.array_equal(patch["noisy"], patch["clean"]) == bool(colors)


def test_blurred_patches_keep_their_mean_and_lose_their_detail() -> None:
    picture = np.random.default_rng(0).integers(256, size=(96, 96, 3)).astype(np.uint8)
    patches = Patches(InMemory(picture), noise.make("gaussian:0"), 64, blur=0.5)
    drawn = [(patches.plan(index)[0].blur, patches[index]["clean"]) for index in range(40)]
    assert 8 < sum(bool(blur) for blur, _ in drawn) < 32
    for blur, clean in drawn:
        assert clean.mean() == pytest.approx(127.5 / 255, abs=0.02)
        # White noise blurred by a Gaussian keeps 1 / (4 pi sigma^2) of its variance, from about one pixel on.
        kept = clean.var() / (picture / 255).var()
        assert kept == pytest.approx(1, abs=0.05) if not blur else kept < 0.75
        if blur > 1:
            assert kept == pytest.approx(1 / (4 * np.pi * blur**2), rel=0.35)


def test_mosaics_have_red_in_the_corner_and_one_channel() -> None:
    colors = np.full((40, 40, 3), (0.9, 0.5, 0.1), np.float32)
    patches = Patches(InMemory(colors), noise.make("gaussian:0"), 16, mosaic=True)
    for index in range(8):
        patch = patches[index]
        assert patch["clean"].shape == patch["noisy"].shape == (1, 16, 16)
        red, green, other, blue = (patch["clean"][0, row::2, column::2] for row, column in np.ndindex(2, 2))
        assert np.ptp(red) == 0 and (green == other).all()
        assert blue.max() < green.min() and blue.min() >= 0 and red.max() <= 1


def test_the_curve_of_mosaics_stabilizes_the_noise() -> None:
    """Noise of a variance in proportion to x + offset is the same everywhere after it."""
    sensor = Mosaicing(np.ones(3, np.float32), np.eye(3, dtype=np.float32), 1.0, 0.01)
    slopes = []
    for level in (0.05, 0.3, 0.8):  # of light
        low, high = (
            sensor.apply(camera.toned(np.full((2, 2, 3), level + step, np.float32))).mean() for step in (-0.01, 0.01)
        )
        slopes.append((high - low) / 0.02 * np.sqrt(level + sensor.offset))
    np.testing.assert_allclose(slopes, slopes[0], rtol=0.01)
