"""The contract of all denoisers: classical filters and bundled models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.fakes import Recorder
from unnoise import denoisers, noise
from unnoise.denoisers import DENOISERS, Denoiser
from unnoise.denoisers.base import Sigma
from unnoise.denoisers.tiling import denoise_tiled
from unnoise.errors import UnnoiseError
from unnoise.evaluation.metrics import psnr

NAMES = [*DENOISERS, *denoisers.bundled_models()]  # those of installed packages included
OWN = [*DENOISERS.members, *denoisers.bundled_models()]
BRIEFLY = {"deep_prior": "deep_prior:2,width=2", "zero_shot": "zero_shot:2,width=2"}
"""Denoisers trained per image, with too few steps to be useful: the contract is the same."""
LEVEL = 1 / 255
SIZES = [(1, 1), (1, 7), (7, 5), (30, 8), (11, 12)]


@pytest.fixture(scope="module", params=NAMES)
def denoiser(request: pytest.FixtureRequest) -> Denoiser:
    return denoisers.make(BRIEFLY.get(request.param, request.param))


def noisy_picture(height: int, width: int, channels: int) -> np.ndarray:
    """Return a ramp with noise that reaches beyond [0, 1]."""
    ramp = np.linspace(0, 1, height * width * channels, dtype=np.float32).reshape(height, width, channels)
    return noise.make("gaussian:25")(ramp, 0)


class TestContract:
    @pytest.mark.parametrize("sigma", [0.1, None])
    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize(("height", "width"), SIZES)
    def test_any_size_comes_back_and_the_input_stays(
        self, denoiser: Denoiser, height: int, width: int, channels: int, sigma: float | None
    ) -> None:
        noisy = noisy_picture(height, width, channels)
        before = noisy.copy()
        noisy.setflags(write=False)
        clean = denoiser(noisy, sigma)
        assert clean.shape == noisy.shape
        assert clean.dtype == np.float32
        assert np.isfinite(clean).all()
        assert not np.shares_memory(clean, noisy)
        np.testing.assert_array_equal(noisy, before)

    @pytest.mark.parametrize("value", [0, 0.5, 1])
    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize(("height", "width"), SIZES)
    def test_a_constant_comes_back(
        self, denoiser: Denoiser, height: int, width: int, channels: int, value: float
    ) -> None:
        """Within two levels: networks without sigma input see some grain in any image, and bfloat16 rounds."""
        flat = np.full((height, width, channels), value, np.float32)
        np.testing.assert_allclose(denoiser(flat), flat, atol=2 * LEVEL)

    @pytest.mark.parametrize("channels", [1, 3])
    def test_nan_and_infinity_stay_where_they_are_and_do_not_spread(self, denoiser: Denoiser, channels: int) -> None:
        noisy = noisy_picture(24, 20, channels)
        noisy[3:5, 7], noisy[10, 10, 0], noisy[20, 2, -1] = np.nan, np.inf, -np.inf
        clean = denoiser(noisy, 0.1)
        holes = ~np.isfinite(noisy)
        np.testing.assert_array_equal(~np.isfinite(clean), holes)
        np.testing.assert_array_equal(clean[holes], noisy[holes])
        assert np.isfinite(denoiser(noisy)[~holes]).all()

    def test_nothing_but_nan_comes_back(self, denoiser: Denoiser) -> None:
        assert np.isnan(denoiser(np.full((9, 9, 3), np.nan, np.float32), 0.1)).all()

    def test_a_level_is_a_constant_map(self, denoiser: Denoiser) -> None:
        noisy = noisy_picture(18, 21, 3)
        np.testing.assert_allclose(denoiser(noisy, 0.1), denoiser(noisy, np.full((18, 21), 0.1, np.float32)), atol=2e-6)

    def test_where_the_level_is_zero_nothing_changes(self, denoiser: Denoiser, photograph: np.ndarray) -> None:
        if not denoiser.wants_sigma:
            pytest.skip("it has no use for a level")
        np.testing.assert_array_equal(denoiser(photograph, 0), photograph)
        np.testing.assert_array_equal(denoiser(photograph, np.zeros(photograph.shape[:2])), photograph)

    def test_the_halo_that_it_states_is_enough(self, denoiser: Denoiser, photograph: np.ndarray) -> None:
        if denoiser.halo is None:
            pytest.skip("it looks at the whole picture")
        noisy = noise.make("gaussian:10 + salt-pepper:0.99 + clip")(photograph, 0)
        sigma, facts = 0.1 if denoiser.wants_sigma else None, (denoiser.halo, denoiser.multiple_of)
        result = denoise_tiled(denoiser, noisy, sigma, halo=facts[0], multiple_of=facts[1], size=40)
        np.testing.assert_allclose(result, denoiser(noisy, sigma), atol=1e-5)


# Noise that each is for, and the gain in dB that it must bring on the photograph; measured, less half a dB or more.
GAINS = {
    "adaptive-median": ("salt-pepper:0.1", 21),
    "bilateral": ("gaussian:25", 3.5),
    "bm3d": ("gaussian:25", 6.5),
    "median": ("salt-pepper:0.1", 13),
    "nlm": ("gaussian:25", 6.5),
    "tv": ("gaussian:25", 6.5),
    "wavelet": ("gaussian:25", 6.5),
    **dict.fromkeys(denoisers.bundled_models(), ("gaussian:25", 7.5)),
    "impulse": ("salt-pepper:0.1", 21),
    "photo": ("camera:3200,smooth=0.4,smooth_color=2", 1),
}


@pytest.mark.parametrize("name", [name for name in OWN if name not in BRIEFLY])
@pytest.mark.parametrize("channels", [1, 3])
def test_its_own_noise_is_taken_out(name: str, channels: int, photograph: np.ndarray) -> None:
    clean = photograph[:, :, :channels]
    spec, gain = GAINS[name]
    degrade = noise.make(spec)
    noisy = degrade(clean, 0)
    assert psnr(clean, denoisers.make(name)(noisy, degrade.sigma)) > psnr(clean, noisy) + gain


class Lopsided(Denoiser):
    """Mix each pixel with its left neighbor, with weight sigma: not equivariant to mirroring."""

    wants_sigma = True
    halo = 2

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        share = np.broadcast_to(np.asarray(sigma, np.float32), noisy.shape[:2])[..., None]
        return (1 - share) * noisy + share * np.concatenate([noisy[:, :1], noisy[:, :-1]], axis=1)


def levels_for(noisy: np.ndarray) -> np.ndarray:
    return np.random.default_rng(5).random(noisy.shape[:2], dtype=np.float32)


class TestEnsemble:
    def test_it_states_the_facts_of_the_one_inside(self) -> None:
        inside = denoisers.make("color")
        for fact in ("channels", "multiple_of", "halo", "wants_sigma", "margin", "corrects_clipping"):
            assert getattr(denoisers.make(inside, ensemble=True), fact) == getattr(inside, fact)

    def test_it_is_the_mean_of_eight(self) -> None:
        noisy, inside = noisy_picture(6, 9, 3), Lopsided()
        sigma = levels_for(noisy)
        eight = []
        for turns in range(4):
            eight.append(np.rot90(inside.run(np.rot90(noisy, turns).copy(), np.rot90(sigma, turns)), -turns))
            mirrored = np.rot90(noisy[::-1], turns).copy(), np.rot90(sigma[::-1], turns)
            eight.append(np.rot90(inside.run(*mirrored), -turns)[::-1])
        np.testing.assert_allclose(denoisers.Ensemble(inside)(noisy, sigma), np.mean(eight, axis=0), atol=1e-6)

    @pytest.mark.parametrize("kind", ["lopsided", "color"])
    def test_a_quarter_turn_of_the_picture_turns_the_result(self, kind: str) -> None:
        inside = Lopsided() if kind == "lopsided" else denoisers.make(kind)
        noisy, ensemble = noisy_picture(32, 48, 3), denoisers.Ensemble(inside)
        sigma = levels_for(noisy) / 4
        turned = ensemble(np.rot90(noisy), np.rot90(sigma))
        np.testing.assert_allclose(turned, np.rot90(ensemble(noisy, sigma)), atol=1e-5)
        assert np.abs(inside(np.rot90(noisy), np.rot90(sigma)) - np.rot90(inside(noisy, sigma))).max() > 1e-3

    def test_one_that_knows_no_direction_gains_nothing(self) -> None:
        noisy = noisy_picture(13, 8, 1)
        plain, ensemble = (denoisers.make("median", ensemble=eight)(noisy) for eight in (False, True))
        np.testing.assert_allclose(ensemble, plain, atol=1e-6)

    @pytest.mark.parametrize("kind", ["lopsided", "color"])
    def test_tiles_equal_the_whole(self, kind: str) -> None:
        ensemble = denoisers.Ensemble(Lopsided() if kind == "lopsided" else denoisers.make(kind))
        side = 2 * (ensemble.halo or 0) + 37  # no multiple of the grid
        noisy = noisy_picture(side, side + 12, 3)
        sigma = levels_for(noisy) / 4
        facts = {"halo": ensemble.halo, "multiple_of": ensemble.multiple_of}
        in_tiles = denoise_tiled(ensemble, noisy, sigma, size=side // 2, **facts)
        np.testing.assert_allclose(in_tiles, ensemble(noisy, sigma), atol=1e-5)


@pytest.mark.parametrize(
    "spec", [*DENOISERS, "median:5", "adaptive-median:largest=7,tolerance=8", "nlm:0.6", "bilateral:range=1", "tv:0.8"]
)
def test_the_spec_comes_back(spec: str) -> None:
    assert str(DENOISERS.make(spec)) == spec.replace("largest=7", "7")
    assert DENOISERS.make(str(DENOISERS.make(spec))) == DENOISERS.make(spec)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mediam", "unknown model 'mediam': did you mean 'median'?"),
        ("nlm:force=2", "unknown option of nlm 'force': choose one of: strength"),
        ("nlm:1 | tv", "'|' is not supported in a denoiser: 'nlm:1 | tv'"),
        ("gone.onnx", "there is no model file 'gone.onnx'"),
        ("gone.safetensors", "there is no model file 'gone.safetensors'"),
        ("median:4", "median: size must be a positive odd integer, got '4'"),
        ("median:2.5", "median: size must be a positive odd integer, got '2.5'"),
        ("adaptive-median:0", "adaptive-median: largest must be a positive odd integer, got '0'"),
        ("nlm:0", "nlm: strength must be a number above 0, got '0'"),
        ("nlm:0..1", "nlm: strength must be a number above 0, got '0..1'"),
        ("bilateral:spatial=wide", "bilateral: spatial must be a number above 0, got 'wide'"),
        ("tv:-1", "tv: weight must be a number above 0, got '-1'"),
        *[
            (f"{name}:3", f"the model '{name}' takes no arguments, got '{name}:3'")
            for name in denoisers.bundled_models()
        ],
    ],
)
def test_invalid_spec_gives_a_one_line_error(spec: str, message: str) -> None:
    with pytest.raises(UnnoiseError) as caught:
        denoisers.make(spec)
    assert str(caught.value) == message


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "letter.onnx"
    file.write_text("Dear reader")
    with pytest.raises(UnnoiseError, match=r"^cannot read the model '.*letter\.onnx': .*$"):
        denoisers.make(file)


def test_an_object_is_taken_as_it_is() -> None:
    model = denoisers.make("median")
    assert denoisers.make(model) is model


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_adaptive_median_leaves_sound_pixels_exactly_as_they_are(photograph: np.ndarray, share: float) -> None:
    sound = np.clip(photograph, 0.1, 0.9)
    noisy = noise.make(f"salt-pepper:{share},independent=true")(sound, 0)
    lost = noisy != sound
    clean = denoisers.make("adaptive-median")(noisy)
    np.testing.assert_array_equal(clean[~lost], sound[~lost])
    assert ((clean > 0) & (clean < 1))[lost].all()


def test_adaptive_median_leaves_what_differs_little_from_its_neighbours() -> None:
    bright = np.full((9, 9, 1), 0.95, np.float32)
    bright[4, 4] = 1
    np.testing.assert_array_equal(denoisers.make("adaptive-median")(bright), bright)
    assert denoisers.make("adaptive-median:tolerance=10")(bright)[4, 4] == bright[0, 0]


def test_adaptive_median_knows_paper_from_salt() -> None:
    page = np.ones((60, 80, 1), np.float32)
    page[10:50, 20:24], page[30:33, 36:64] = 0.3, 0.2  # strokes
    page[:, 75:] = 0  # and a dark margin
    filter_ = denoisers.make("adaptive-median")
    np.testing.assert_array_equal(filter_(page), page)
    noisy = noise.make("salt-pepper:0.1")(page, 0)
    assert psnr(page, filter_(noisy)) > psnr(page, noisy) + 10


def test_bilateral_means_the_same_by_a_difference_in_grey_and_in_colour(photograph: np.ndarray) -> None:
    grey = noise.make("gaussian:25")(photograph[:48, :48, :1], 0)
    filter_ = denoisers.make("bilateral")
    alike = filter_(grey.repeat(3, axis=2), 0.1)
    np.testing.assert_allclose(alike, filter_(grey, 0.1).repeat(3, axis=2), atol=1e-3)  # a table of 10000 values


@pytest.mark.parametrize("name", list(DENOISERS))
def test_classical_filters_take_any_number_of_channels(name: str) -> None:
    noisy = noisy_picture(12, 9, 5)
    assert DENOISERS.make(BRIEFLY.get(name, name))(noisy, 0.1).shape == noisy.shape


@pytest.mark.parametrize("sigma", [0.1, np.full((6, 5), 0.1, np.float32)], ids=["number", "map"])
def test_a_colour_network_gets_grey_thrice_and_the_level_that_this_means(sigma: Sigma) -> None:
    recorder, grey = Recorder(channels=3), noisy_picture(6, 5, 1)
    np.testing.assert_allclose(recorder(grey, sigma), grey, atol=1e-6)
    [seen], [scaled] = recorder.inputs, recorder.sigmas
    np.testing.assert_array_equal(seen, grey.repeat(3, axis=2))
    np.testing.assert_allclose(scaled, 3**0.5 * 0.1 * np.ones_like(sigma), rtol=1e-6)


def test_a_colour_network_returns_grey_as_the_mean_of_its_channels() -> None:
    class Tinter(Recorder):
        def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
            return noisy + np.array([0, 0.1, 0.5], np.float32)

    grey = noisy_picture(6, 5, 1)
    np.testing.assert_allclose(Tinter(channels=3)(grey, 0.1), grey + 0.2, atol=1e-6)


def test_a_grey_network_gets_colour_channel_by_channel_at_the_same_level() -> None:
    recorder, colour = Recorder(channels=1), noisy_picture(6, 5, 3)
    np.testing.assert_array_equal(recorder(colour, 0.1), colour)
    assert len(recorder.inputs) == 3
    for c, seen in enumerate(recorder.inputs):
        np.testing.assert_array_equal(seen, colour[:, :, c : c + 1])
    assert recorder.sigmas == [0.1] * 3


def test_sides_are_filled_up_to_what_the_network_takes_by_mirroring() -> None:
    recorder, noisy = Recorder(multiple_of=4), noisy_picture(7, 5, 3)
    level = np.arange(1, 36, dtype=np.float32).reshape(7, 5)
    np.testing.assert_array_equal(recorder(noisy, level), noisy)
    [seen], [sigma] = recorder.inputs, recorder.sigmas
    rows, columns = [*range(7), 6], [*range(5), 4, 3, 2]
    np.testing.assert_array_equal(seen, noisy[rows][:, columns])
    np.testing.assert_array_equal(sigma, level[rows][:, columns])


def test_sigma_is_estimated_where_it_is_needed_and_not_given(photograph: np.ndarray) -> None:
    noisy = noise.make("gaussian:25")(photograph, 0)
    blind, recorder = Recorder(wants_sigma=False), Recorder()
    for denoiser in (blind, recorder):
        denoiser(noisy)
    blind(noisy, 0.1)
    assert blind.sigmas == [None, None]
    assert recorder.sigmas[0] == pytest.approx(25 / 255, rel=0.25)


@pytest.mark.parametrize("shape", [(5,), (6, 5), (1, 6, 5, 3), (0, 5, 3), (6, 5, 0)])
def test_what_is_no_picture_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UnnoiseError, match=r"^expected an array \[H, W, C\] that is not empty, got shape"):
        Recorder()(np.zeros(shape, np.float32))


def test_inks_are_cleaned_as_the_negative_of_a_picture() -> None:
    inks = noisy_picture(6, 5, 4)
    denoiser = denoisers.make("color", engine="onnx")
    made = denoiser(inks, 0.1)
    np.testing.assert_allclose(made[..., :3], 1 - denoiser(1 - inks[..., :3], 0.1), atol=1e-6)
    np.testing.assert_allclose(made[..., 3:], 1 - denoiser(1 - inks[..., 3:], 0.1), atol=1e-6)


@pytest.mark.parametrize("channels", [2, 5])
def test_channels_that_a_network_cannot_take_are_refused(channels: int) -> None:
    with pytest.raises(UnnoiseError, match=f"takes images of 3 channels, got {channels}"):
        Recorder(channels=3)(noisy_picture(6, 5, channels), 0.1)


@pytest.mark.parametrize(
    "sigma", [-0.1, np.nan, np.inf, np.full((5, 6), 0.1), np.full((6, 5, 1), 0.1), np.full((6, 5), -1)]
)
def test_a_level_that_is_none_is_refused(sigma: Sigma) -> None:
    with pytest.raises(UnnoiseError, match=r"^sigma must be a non-negative number, or a map \[6, 5\] of such numbers$"):
        Recorder()(noisy_picture(6, 5, 3), sigma)


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (16, 24)])
def test_margin_is_mirrored_and_cut_off(size: tuple[int, int], rng: np.random.Generator) -> None:
    recorder = Recorder(multiple_of=4, wants_sigma=False)
    recorder.margin = 6  # becomes 8, a multiple of 4
    picture = rng.random((*size, 3), dtype=np.float32)
    np.testing.assert_array_equal(recorder(picture), picture)
    (seen,) = recorder.inputs
    height, width = seen.shape[:2]
    assert (height % 4, width % 4) == (0, 0)
    np.testing.assert_array_equal(seen[8 : 8 + size[0], 8 : 8 + size[1]], picture)
    np.testing.assert_array_equal(seen[7], seen[8])
    np.testing.assert_array_equal(seen[:, 7], seen[:, 8])


@pytest.mark.parametrize("name", ["wavelet", "tv", "bilateral", "nlm", "color"])
def test_a_level_that_nobody_can_see_is_none(name: str) -> None:
    """Its square underflows, and a division by that is not finite."""
    model, flat = denoisers.make(name), np.full((9, 12, 3), 0.4, np.float32)
    half = np.where(np.arange(12)[:, None] < 6, flat, np.float32(0.7))
    for picture in (flat, half):
        expected = model(picture, 0.0)
        for level in (1e-281, 1e-30, 1e-7, np.full((9, 12), 1e-30)):
            np.testing.assert_array_equal(model(picture, level), expected)
