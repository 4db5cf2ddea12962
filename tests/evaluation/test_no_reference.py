"""Scores without a reference agree with those against one, and a model that leaves the noise in does not win."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage import data

from tests.fakes import Identity, Recorder
from unnoise import datasets, denoisers, io, noise
from unnoise.cli import main
from unnoise.errors import UnnoiseError
from unnoise.evaluation import no_reference
from unnoise.evaluation.metrics import psnr


def scene() -> np.ndarray:
    return data.astronaut()[:256, :256].astype(np.float32) / 255


@pytest.mark.parametrize("model", ["idle", "median", "tv", "wavelet", "color"])
@pytest.mark.parametrize("spec", ["gaussian:25", "poisson:30"])
def test_the_error_with_extra_noise_is_that_against_the_truth(model: str, spec: str) -> None:
    clean = scene()
    noisy = noise.make(spec)(clean, 0)
    variance = clean / 30 if spec == "poisson:30" else np.full_like(clean, (25 / 255) ** 2)
    denoiser = Identity() if model == "idle" else denoisers.make(model)
    found = no_reference.error_with_extra_noise(denoiser, noisy, variance, np.random.default_rng(1))
    extra = np.sqrt(variance) * np.random.default_rng(1).standard_normal(clean.shape, dtype=np.float32)
    sigma = float(np.sqrt(1.25 * variance.mean()))
    truth = float(((denoiser(noisy + np.float32(0.5) * extra, sigma) - clean) ** 2).mean())
    assert found == pytest.approx(truth, rel=0.05, abs=0.02 * float(variance.mean()))


def test_what_an_idle_model_misses_is_the_noise() -> None:
    noisy = noise.make("gaussian:20")(scene(), 0)
    variance = np.full_like(noisy, (20 / 255) ** 2)
    found = no_reference.error_with_extra_noise(Identity(), noisy, variance, np.random.default_rng(1))
    assert found == pytest.approx(1.25 * (20 / 255) ** 2, rel=0.03)


def test_blind_spots_of_a_ramp_are_predicted_exactly() -> None:
    down, across = np.mgrid[0:64, 0:64].astype(np.float32) / 128
    ramp = (down + across)[1:-1, 1:-1, None]
    noisy = noise.make("gaussian:10")(np.zeros((300, 300, 1), np.float32), 0)
    variance = np.full_like(noisy, (10 / 255) ** 2)
    error = no_reference.error_in_blind_spots(Identity(), ramp, np.zeros_like(ramp), np.random.default_rng(0))
    assert error < 2e-5  # the mirror at the border alone
    share = (1 + 4 + 1 + 4 + 4 + 1 + 4 + 1) / 144  # of the variance, that the mean of the neighbours keeps
    found = no_reference.error_in_blind_spots(Identity(), noisy, variance, np.random.default_rng(0))
    assert found == pytest.approx(share * (10 / 255) ** 2, rel=0.2)


def variance_of(noisy: np.ndarray) -> tuple[np.ndarray, str]:
    return no_reference.variance_of(noisy, denoisers.estimate_noise(noisy))


def test_the_variance_is_estimated_or_a_reason_given() -> None:
    clean = scene()
    found, why_not = variance_of(noise.make("gaussian:20")(clean, 0))
    assert not why_not and found.mean() == pytest.approx((20 / 255) ** 2, rel=0.15)
    found, why_not = variance_of(noise.make("poisson:30")(clean, 0))
    assert not why_not and np.corrcoef(found.ravel(), clean.ravel())[0, 1] > 0.95
    assert "no noise" in variance_of(np.full_like(clean, 0.5))[1]
    assert "impulse" in variance_of(noise.make("salt-pepper:0.1")(clean, 0))[1]
    assert "correlated" in variance_of(noise.make("camera:12800,smooth=0.7")(clean, 0))[1]


def test_signal_dependent_noise_gives_the_denoiser_a_sigma_map(tmp_path: Path) -> None:
    """Its values are larger where extra noise is added."""
    io.from_array(noise.make("poisson:30")(scene(), 0)).save(tmp_path / "a.tif")
    model = Recorder()
    model.corrects_clipping = True
    no_reference.rank_models({"levels": model}, datasets.make(f"images:{tmp_path}"))
    level = float(np.sqrt(scene().mean() / 30))
    for noisy, sigma in zip(model.inputs, model.sigmas, strict=True):
        assert np.shape(sigma) == noisy.shape[:2]
    means = [float(np.sqrt(np.mean(np.square(sigma)))) for sigma in model.sigmas]
    assert means == pytest.approx([1.25**0.5 * level, level, level], rel=0.06)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("noisy").mkdir()
    for name, load in {"a": data.coffee, "b": data.chelsea}.items():
        noisy = noise.make("gaussian:25")(load()[:160, :200].astype(np.float32) / 255, 3)
        io.from_array(np.rint(255 * np.clip(noisy, 0, 1)).astype(np.uint8)).save(f"noisy/{name}.png")
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main.main(["evaluate", *words])
    return int(left.value.code or 0), *capsys.readouterr()


def test_the_command_ranks_as_the_truth_does(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    io.from_array(np.full((64, 64, 3), 128, np.uint8)).save("noisy/flat.png")
    status, out, err = run(capsys, "median:7", "color", "wavelet", "--no-reference", "noisy", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert status == 0 and [row["model"] for row in rows] == ["color", "wavelet", "median:7"]
    assert all(row["images"] == 2 and row["psnr_blind_spot"] < row["psnr_extra"] + 1 for row in rows)
    assert err == "unnoise: flat.png: skipped: no noise was found\n"


@pytest.mark.parametrize("seed", [0, (0, 0)])
def test_noise_that_came_of_the_same_seed_is_not_taken_for_the_extra_one(seed: Any, tmp_path: Path) -> None:
    """Seeds of the first image in `unnoise add`, in `table add` and in an evaluation."""
    noisy = noise.make("gaussian:25")(scene(), np.random.default_rng(seed))
    io.from_array(noisy).save(tmp_path / "a.tif")
    model = denoisers.make("median")
    (row,) = no_reference.rank_models({"median": model}, datasets.make(f"images:{tmp_path}"), seed=0)
    assert row.psnr_extra == pytest.approx(psnr(scene(), model(noisy)), abs=1.2)


def test_invalid_calls_give_a_one_line_error(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    for words, message in {
        ("color",): "--no-reference FOLDER",
        ("color", "--no-reference", "noisy", "--noise", "gaussian:5"): "leave out",
        ("color", "--no-reference", "gone"): "no data at 'gone'",
    }.items():
        status, out, err = run(capsys, *words)
        assert (status, out) == (2, "") and message in err and len(err.splitlines()) == 1
    Path("plain").mkdir()
    io.from_array(np.full((64, 64, 3), 128, np.uint8)).save("plain/flat.png")
    with pytest.raises(UnnoiseError, match="no image can be used without a clean reference"):
        no_reference.rank_models({"idle": Identity()}, datasets.make("images:plain"))
