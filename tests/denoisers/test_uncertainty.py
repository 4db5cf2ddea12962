"""The expected error matches the real one, on held-out photographs and for denoisers without a fitted error model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from skimage import data

from unnoise import denoisers, io, noise
from unnoise.cli import main
from unnoise.denoisers import uncertainty
from unnoise.denoisers.ensemble import Ensemble
from unnoise.noise.estimation import NoiseEstimate

PICTURES = {"astronaut": data.astronaut, "coffee": data.coffee, "chelsea": data.chelsea}


POISSON = NoiseEstimate("signal-dependent", 0.1, line=(1 / 30, 0, 0))


def cleaned(model: str, picture: np.ndarray, sd: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the expected and the real root mean square error of each pixel, 8-bit units; no `sd` is Poisson noise."""
    denoiser = denoisers.make(model) if sd else denoisers.make(model).for_noise(POISSON)
    noisy, sigma = noise.make(f"gaussian:{sd}" if sd else "poisson:30")(picture, 0), (sd or 25) / 255
    clean = denoiser(noisy, sigma)
    real = 255 * np.sqrt(np.mean((clean - picture) ** 2, axis=2))
    return uncertainty.estimate_error(denoiser, noisy, clean, sigma), real


@pytest.mark.parametrize("model", ["color", "gray"])
@pytest.mark.parametrize("sd", [15, 25, 50, None])
def test_every_fifth_of_the_pixels_errs_as_expected(model: str, sd: int | None) -> None:
    channels, pairs = 1 if model == "gray" else 3, []
    for load in PICTURES.values():
        piece = load()[60:220, 100:300].astype(np.float32) / 255
        pairs.append([np.ravel(one) for one in cleaned(model, piece[:, :, :channels], sd)])
    expected, real = np.concatenate(pairs, axis=1)
    fifths = np.array_split(np.argsort(expected), 5)
    ratios = [np.sqrt((real[one] ** 2).mean() / (expected[one] ** 2).mean()) for one in fifths]
    np.testing.assert_allclose(ratios, 1, atol=0.3)
    assert expected[fifths[-1]].mean() > 1.7 * expected[fifths[0]].mean()


@pytest.mark.parametrize("model", ["median:5", "tv", "wavelet"])
def test_other_denoisers_are_scaled_to_what_they_really_miss(model: str) -> None:
    expected, real = cleaned(model, data.astronaut()[:256, :256].astype(np.float32) / 255, 25)
    assert np.sqrt((expected**2).mean()) == pytest.approx(np.sqrt((real**2).mean()), rel=0.1)


def test_the_name_of_a_model_calibrates_nothing() -> None:
    """A user's model named "color" has another error than the bundled one."""
    picture = data.astronaut()[:256, :256].astype(np.float32) / 255
    noisy, model = noise.make("gaussian:25")(picture, 0), Ensemble(denoisers.make("median:5"))
    model.name = "color"
    clean = model(noisy)
    expected = uncertainty.estimate_error(model, noisy, clean, 25 / 255)
    real = 255 * np.sqrt(np.mean((clean - picture) ** 2))
    assert np.sqrt((expected**2).mean()) == pytest.approx(real, rel=0.1)
    np.testing.assert_array_equal(
        expected, uncertainty.estimate_error(denoisers.make("median:5"), noisy, clean, 25 / 255)
    )


CALIBRATED = {"color": {1, 3}, "color-fast": {1, 3}, "gray": {1}}


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(denoisers.WEIGHTS.glob("*.*")) if path.stem != denoisers.ESTIMATOR],
    ids=lambda path: path.name,
)
def test_bundled_files_carry_their_coefficients(path: Path) -> None:
    if path.suffix == ".safetensors":
        pytest.importorskip("torch", reason="needs the extra train")
    model = denoisers.make(path)
    assert set(model.error_model or ()) == CALIBRATED.get(path.stem, set())
    for channels, coefficients in (model.error_model or {}).items():
        assert coefficients == uncertainty.DEFAULT_COEFFICIENTS[channels]


def test_a_model_with_coefficients_is_not_run_again(photograph: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Ensemble(denoisers.make("color"))
    assert model.error_model is not None
    monkeypatch.setattr(Ensemble, "run", lambda *_: pytest.fail("it ran again"))
    double = 2 * np.array(model.error_model[3])
    found = uncertainty.estimate_error(model, photograph, photograph, 0.1)
    np.testing.assert_array_equal(found, uncertainty.expected_error(photograph, 0.1))
    model.error_model = {3: tuple(double)}
    again = uncertainty.estimate_error(model, photograph, photograph, 0.1)
    np.testing.assert_array_equal(again, uncertainty.expected_error(photograph, 0.1, double))
    assert np.abs(again - found).max() > 1


@pytest.mark.parametrize("model", ["tv", "wavelet"])
def test_steins_estimate_is_the_mean_square_error(model: str) -> None:
    picture = data.coffee()[:256, :256].astype(np.float32) / 255
    noisy, denoiser = noise.make("gaussian:25")(picture, 1), denoisers.make(model)
    truth = float(((denoiser(noisy, 25 / 255) - picture) ** 2).mean())
    assert uncertainty.mean_square_error(denoiser, noisy, 25 / 255) == pytest.approx(truth, rel=0.1)


def test_no_noise_is_no_error_and_more_noise_is_more(photograph: np.ndarray) -> None:
    assert not uncertainty.expected_error(photograph, 0).any()
    means = [float(uncertainty.expected_error(photograph, sd / 255).mean()) for sd in (5, 15, 30, 60)]
    assert means == sorted(means) and 0 < means[0] < 5 and means[-1] < 60


def test_what_is_not_finite_has_no_error(photograph: np.ndarray) -> None:
    holed = photograph.copy()
    holed[10:12, 5] = np.nan
    found = uncertainty.estimate_error(denoisers.make("color"), holed, holed, 0.1)
    assert np.isfinite(found).all() and not found[10:12, 5].any() and found[20, 20] > 0


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photograph: np.ndarray):
    monkeypatch.chdir(tmp_path)
    noisy = noise.make("gaussian:25 + clip + quantize:8")(photograph, 0)
    io.from_array(np.rint(255 * noisy).astype(np.uint8)).save("a.png")

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main.main(list(words))
        return int(left.value.code or 0), *capsys.readouterr()

    return run


def test_the_command_writes_picture_and_map(call) -> None:
    status, out, err = call("a.png", "--error-map", "error.tif")
    assert (status, [line.partition(": ")[0] for line in out.splitlines()], err) == (
        0,
        ["a.clean.png", "error.tif"],
        "",
    )
    floats = io.read("error.tif").pixels
    assert floats.shape == (128, 160, 1) and 3 < floats.mean() < 12
    assert call("a.png", "--error-map", "error.png", "-o", "b.png")[0] == 0
    np.testing.assert_allclose(255 * io.read("error.png").pixels, floats, atol=0.01)
    call("a.png", "-o", "c.png")
    assert Path("b.png").read_bytes() == Path("c.png").read_bytes() == Path("a.clean.png").read_bytes()


def test_what_the_scale_does_not_hold_for_is_said(call, caplog: pytest.LogCaptureFixture) -> None:
    for spec, doubt in (("poisson:30 + clip", ""), ("salt-pepper:0.1", "calibrated for white noise")):
        io.from_array(noise.make(spec)(data.coffee().astype(np.float32) / 255, 0)).save("b.tif", overwrite=True)
        caplog.clear()
        status, _, err = call("b.tif", "--error-map", "error.tif", "--overwrite")
        assert (status, err) == (0, "")
        assert doubt in caplog.text if doubt else not caplog.records  # which Python prints on standard error


def test_invalid_calls_fail_before_denoising(call) -> None:
    Path("there.tif").write_text("mine")
    Path("b.png").write_bytes(Path("a.png").read_bytes())
    for words, message in {
        ("a.png", "--error-map", "error.jpg"): ".tif",
        ("a.png", "--error-map", "there.tif"): "already exists",
        ("a.png", "b.png", "--error-map", "e.tif"): "one image",
        ("a.png", "-o", "folder/", "--error-map", "e.tif"): "one image",
        ("a.png", "--strength", "0.5", "--error-map", "e.tif"): "--strength",
        ("-", "--error-map", "e.tif"): "not in a pipe",
        ("gone.png", "--error-map", "e.tif"): "gone.png",
    }.items():
        status, out, err = call(*words)
        assert (status, out) == (2, "") and message in err and len(err.splitlines()) == 1, words
    assert sorted(path.name for path in Path().iterdir()) == ["a.png", "b.png", "there.tif"]


@pytest.mark.parametrize("model", ["color", "median"])
@pytest.mark.parametrize("sigma", [1e-253, 1e-7, 1e30, 1e200])
def test_levels_that_no_picture_has_are_no_trouble(model: str, sigma: float) -> None:
    picture = data.astronaut()[:24, :32].astype(np.float32) / 255
    expected = uncertainty.estimate_error(denoisers.make(model), picture, picture, sigma)
    assert np.isfinite(expected).all() and (expected == 0).all() == (sigma < 1)
