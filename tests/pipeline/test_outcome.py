"""What was done to an image is reported: kind, level, model and reason, and that nothing was done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unnoise
from tests.fakes import ConstantSigma, Identity
from unnoise import denoisers, io, noise
from unnoise.errors import UnnoiseError
from unnoise.noise.estimation import NoiseEstimate
from unnoise.pipeline import jobs, manifest, process, resume, runner, streaming
from unnoise.pipeline.outcome import Outcome
from unnoise.pipeline.process import DenoiseOptions


@pytest.fixture(scope="module")
def auto() -> denoisers.Denoiser:
    return denoisers.make("auto", engine="onnx")


def image(spec: str, photograph: np.ndarray) -> io.Picture:
    """Return an 8-bit image: a large photograph with noise, or a constant one."""
    pixels = np.full((96, 128, 3), 0.4, np.float32) if spec == "constant" else np.tile(photograph, (2, 2, 1))
    if spec != "constant":
        pixels = noise.make(f"{spec} + clip")(pixels, 0)
    return io.from_array(np.rint(255 * pixels).astype(np.uint8))


@pytest.mark.parametrize(
    ("spec", "kind", "model", "text"),
    [
        ("constant", "none", "", "no noise found, copied (the estimated noise level, "),
        ("gaussian:20", "gaussian", "color", "Gaussian noise, sigma 2"),
        ("poisson:30", "signal-dependent", "color", "signal-dependent noise, sigma "),
        ("salt-pepper:0.1", "impulse", "impulse", "impulse noise, denoised with impulse"),
        ("camera:3200", None, None, "denoised with "),
    ],
)
@pytest.mark.parametrize("large", [False, True])
def test_each_kind_is_reported(
    spec: str, kind: str, model: str, text: str, large: bool,
    auto: Any, photograph: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if large:
        monkeypatch.setattr(streaming, "STREAMING_PIXELS", 1000)
    picture = image(spec, photograph)
    picture.save(tmp_path / "a.png")
    result = process.denoise_file(jobs.Job(tmp_path / "a.png", tmp_path / "b.png"), DenoiseOptions(auto))
    found = unnoise.inspect(picture)
    expected = (kind or found.kind, model if model is not None else found.model)
    assert (result.noise, result.model) == expected
    assert text in str(result.outcome) and "\n" not in str(result.outcome)
    assert result.done == ("copied" if kind == "none" else "denoised")
    if kind == "none":
        assert (tmp_path / "b.png").read_bytes() == (tmp_path / "a.png").read_bytes()
    else:
        assert result.sigma == pytest.approx(found.sigma, rel=0.01)
        assert result.reason == found.explanation
    row = result.to_dict()
    assert row["model"] == (result.model or None) and json.loads(json.dumps(row)) == row


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"sigma": 0.0}, "copied: the noise level is given as 0"),
        ({"strength": 0.0}, "copied: the strength is 0"),
        ({"sigma": 0.1}, "denoised with color at sigma 25.5"),
    ],
)
def test_what_is_given_is_no_noise_found(
    options: dict[str, float], text: str, auto: Any, photograph: np.ndarray
) -> None:
    result = process.denoise_picture(image("gaussian:20", photograph), DenoiseOptions(auto, **options))
    assert str(result.outcome) == text
    assert result.outcome.noise == ("gaussian" if "strength" in options else None)


def test_a_model_that_needs_no_level_has_found_nothing(photograph: np.ndarray) -> None:
    picture = image("gaussian:20", photograph)
    assert process.denoise_picture(picture, DenoiseOptions(Identity())).outcome.noise is None
    named = process.denoise_picture(picture, DenoiseOptions(ConstantSigma())).outcome
    assert (named.noise, named.done) == ("gaussian", "denoised")
    still = process.denoise_picture(image("constant", photograph), DenoiseOptions(ConstantSigma())).outcome
    assert str(still).startswith("no noise found, copied")


@pytest.mark.parametrize("scale", [1, 40.0, 0.01])
def test_the_limit_is_in_units_of_the_image(scale: float, auto: Any, photograph: np.ndarray) -> None:
    """Its noise level relative to the full scale, as sigma is reported, is what the limit is compared with."""
    noisy = io.from_array(scale * noise.make("gaussian:20")(np.tile(photograph, (2, 2, 1)), 0))
    level = unnoise.inspect(noisy).level
    assert level is not None
    for factor, done in [(0.95, "denoised"), (1.05, "copied")]:
        result = process.denoise_picture(noisy, DenoiseOptions(auto, min_level=factor * level))
        assert result.outcome.done == done
    assert f"{255 * level:.2g}/255, is below {255 * 1.05 * level:.2g}/255" in result.outcome.reason
    np.testing.assert_array_equal(result.picture.pixels, noisy.pixels)


def test_force_denoises_what_shows_no_noise(auto: Any, photograph: np.ndarray) -> None:
    clean = np.tile(photograph, (2, 2, 1))
    weak = noise.make("gaussian:4")(clean, 0)
    picture = io.from_array(np.rint(255 * weak.clip(0, 1)).astype(np.uint8))
    limits = {"min_level": 50 / 255}
    kept = process.denoise_picture(picture, DenoiseOptions(auto, **limits))
    forced = process.denoise_picture(picture, DenoiseOptions(auto, **limits, force=True))
    assert (kept.outcome.done, forced.outcome.done) == ("copied", "denoised")
    assert kept.outcome.noise == forced.outcome.noise == "none"
    assert str(forced.outcome) == "no noise found, denoised with blind all the same"
    error = [float(np.square(one.picture.pixels - clean).mean()) for one in (kept, forced)]
    assert error[1] < 0.7 * error[0]
    again = process.denoise_picture(picture, DenoiseOptions(auto, force=True))  # noise is found without the limit
    assert again.outcome.noise != "none"


def test_the_same_from_python(photograph: np.ndarray) -> None:
    flat = np.full((64, 64, 3), 99, np.uint8)
    noisy = image("gaussian:20", photograph).to_array()
    np.testing.assert_array_equal(unnoise.denoise(flat), flat)
    np.testing.assert_array_equal(unnoise.denoise(noisy, min_noise=60), noisy)
    assert (unnoise.denoise(noisy, min_noise=60, force=True) != noisy).any()
    assert (unnoise.denoise_with_error(noisy, min_noise=60)[0] == noisy).all()


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("auto", {"min_noise": -1}, "between 0 and 255, in 8-bit units, got -1"),
        ("auto", {"min_noise": float("nan")}, "between 0 and 255"),
        ("auto", {"min_noise": 3, "sigma": 5}, "leave sigma out"),
        ("auto", {"force": True, "sigma": 5}, "leave sigma out"),
        ("median", {"force": True}, "for the model auto: for 'median', give sigma instead"),
        ("color", {"min_noise": 3}, "for the model auto: for 'color', give sigma instead"),
    ],
)
def test_bad_limits_are_refused(model: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UnnoiseError, match=message):
        unnoise.denoise(np.zeros((8, 8), np.float32), model, **options)


def test_a_manifest_keeps_it(auto: Any, photograph: np.ndarray, tmp_path: Path) -> None:
    for name, spec in [("flat", "constant"), ("noisy", "gaussian:20")]:
        (tmp_path / "in").mkdir(exist_ok=True)
        image(spec, photograph).save(tmp_path / "in" / f"{name}.png")
    outcomes, results = [], []
    for _ in range(2):
        with manifest.open_manifest(tmp_path / "out") as opened:
            work = resume.ResumableRun(opened, {"model": "auto"}).clean
            planned = jobs.plan_jobs([tmp_path / "in"], tmp_path / "out")
            results = list(runner.run_jobs(planned, DenoiseOptions(auto), work=work))
        outcomes.append([str(result.outcome) for result in results])
    assert outcomes[0] == outcomes[1] and [result.skipped for result in results] == [True, True]
    assert [result.done for result in results] == ["copied", "denoised"]
    lines = [json.loads(line) for line in (tmp_path / "out" / manifest.NAME).read_text().splitlines()]
    assert [(line["done"], line["noise"]) for line in lines] == [("copied", "none"), ("denoised", "gaussian")]


def test_lines_of_earlier_versions_are_read() -> None:
    entry = manifest.Entry("a.png", None, {}, "b.png", model="color", sigma=3.0)
    assert (entry.done, entry.noise, entry.reason) == ("", None, "")


@pytest.mark.parametrize("kind", ["none", "gaussian", "signal-dependent", "impulse", "correlated", "mixed", "other"])
def test_every_kind_has_words(kind: str) -> None:
    estimate = NoiseEstimate(kind, 0.1)
    assert estimate.explanation and "{" not in estimate.explanation
    assert str(Outcome("denoised", kind, 0.1, "color", "x")).endswith(
        "denoised with color all the same" if kind == "none" else "denoised with color"
    )
