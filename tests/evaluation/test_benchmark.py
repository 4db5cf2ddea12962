"""Evaluation: all models get the same noisy pixels, and a row is the mean over the images."""

from __future__ import annotations

import json
import math
from itertools import combinations, count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.fakes import InMemory
from unnoise import noise
from unnoise.datasets.base import Dataset
from unnoise.denoisers import Denoiser
from unnoise.errors import UnnoiseError
from unnoise.evaluation import benchmark
from unnoise.evaluation.benchmark import evaluate, noisy_pairs
from unnoise.evaluation.metrics import psnr, ssim


class Scaler(Denoiser):
    """Multiply the input by `share`; record the arguments of every call, before sigma is estimated."""

    def __init__(self, share: float = 1.0) -> None:
        self.share = share
        self.inputs: list[np.ndarray] = []
        self.sigmas: list[float | np.ndarray | None] = []

    def __call__(self, noisy: np.ndarray, sigma: float | np.ndarray | None = None) -> np.ndarray:
        self.inputs.append(noisy.copy())
        self.sigmas.append(sigma)
        return self.run(noisy, sigma)

    def run(self, noisy: np.ndarray, sigma: float | np.ndarray | None) -> np.ndarray:
        return np.float32(self.share) * noisy


@pytest.fixture
def pictures(photograph: np.ndarray) -> InMemory:
    """Return three pictures of different sizes, as they are stored."""
    stored = np.rint(photograph * 255).astype(np.uint8)
    return InMemory(stored[:40, :50], stored[30:60, 20:84], stored[50:, 40:60])


def seen(dataset: Dataset, spec: str, seed: int = 0) -> list[np.ndarray]:
    return [noisy for noisy, _, _ in noisy_pairs(dataset, noise.make(spec), seed=seed)]


def test_every_model_meets_the_same_pixels(pictures: InMemory) -> None:
    models = {"first": Scaler(), "second": Scaler(0.5), "third": Scaler()}
    list(evaluate(models, pictures, [noise.make("gaussian:5..50"), noise.make("poisson:30")], seed=3))
    assert [len(model.inputs) for model in models.values()] == [6, 6, 6]
    for others in zip(*(model.inputs for model in models.values()), strict=True):
        for other in others:
            np.testing.assert_array_equal(other, others[0])
    again = Scaler()
    list(evaluate({"alone": again}, pictures, [noise.make("poisson:30")], seed=3))
    for mine, theirs in zip(again.inputs, models["first"].inputs[3:], strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_one_picture_that_comes_back_exactly_does_not_make_the_mean_infinite(pictures: InMemory) -> None:
    (row,) = evaluate({"idle": Scaler()}, pictures, [noise.make("gaussian:0")])
    assert (row.psnr_noisy, row.psnr) == (math.inf, benchmark.MAX_PSNR)


def test_a_noise_field_belongs_to_seed_and_index() -> None:
    flat = np.full((64, 64, 3), 0.5, np.float32)
    fields = [noisy - flat for noisy in seen(InMemory(*[flat] * 6), "gaussian:25")]
    fields += [noisy - flat for noisy in seen(InMemory(*[flat] * 6), "gaussian:25", seed=1)]
    for one, other in combinations(fields, 2):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 5 / math.sqrt(one.size)
    for longer, shorter in zip(fields, seen(InMemory(*[flat] * 3), "gaussian:25"), strict=False):
        np.testing.assert_array_equal(longer, shorter - flat)


def test_noise_is_clipped_only_where_it_says_so() -> None:
    white = InMemory(np.full((32, 32, 1), 255, np.uint8))
    assert seen(white, "gaussian:25")[0].max() > 1.05
    assert seen(white, "gaussian:25 + clip")[0].max() == 1


def test_a_row_is_the_mean_over_the_pictures(pictures: InMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "time", SimpleNamespace(perf_counter=count(step=0.5).__next__))
    models = {"half": Scaler(0.5), "whole": Scaler()}
    specs = ["gaussian:10", "salt-pepper:0.03"]
    rows = list(evaluate(models, pictures, map(noise.make, specs), data="images:three", seed=7))
    assert [(row.noise, row.model) for row in rows] == [(spec, name) for spec in specs for name in ("half", "whole")]
    for row in rows:
        pairs = list(noisy_pairs(pictures, noise.make(row.noise), seed=7))
        share = models[row.model].share
        assert (row.data, row.images) == ("images:three", 3)
        assert row.psnr_noisy == pytest.approx(np.mean([psnr(clean, noisy) for noisy, clean, _ in pairs]))
        assert row.psnr == pytest.approx(np.mean([psnr(clean, share * noisy) for noisy, clean, _ in pairs]))
        assert row.ssim == pytest.approx(np.mean([ssim(clean, share * noisy) for noisy, clean, _ in pairs]))
        megapixels = [noisy.shape[0] * noisy.shape[1] / 1e6 for noisy, _, _ in pairs]
        assert row.seconds_per_megapixel == pytest.approx(np.mean([0.5 / size for size in megapixels]))


def test_psnr_by_hand() -> None:
    black = InMemory(np.zeros((16, 16, 1), np.float32), np.zeros((20, 16, 1), np.float32))
    (row,) = evaluate({"x": Scaler(0.5)}, InMemory(*((clean + 0.2, clean) for clean in black.items)), [None])
    assert row.psnr_noisy == pytest.approx(-20 * math.log10(0.2))
    assert row.psnr == pytest.approx(-20 * math.log10(26 / 255)), "0.1 is rounded to 26 of 255 levels"


@pytest.mark.parametrize("blind", [False, True])
def test_sigma_is_passed_unless_blind(pictures: InMemory, blind: bool) -> None:
    model = Scaler()
    specs = ["gaussian:25", "gaussian:5..50", "poisson:30"]
    list(evaluate({"x": model}, pictures, map(noise.make, specs), blind=blind))
    if blind:
        assert model.sigmas == [None] * 9
        return
    assert model.sigmas[:3] == pytest.approx([25 / 255] * 3)
    assert model.sigmas[6:] == [None] * 3, "it has no single sigma"
    clean = [truth for _, truth, _ in noisy_pairs(pictures, noise.make("gaussian:5..50"))]
    found = [(noisy - truth).std() for noisy, truth in zip(model.inputs[3:6], clean, strict=True)]
    assert model.sigmas[3:6] == pytest.approx(found, rel=0.05)
    assert len(set(model.sigmas[3:6])) == 3, "each picture draws its own"


def test_pairs_are_noisy_by_themselves(rng: np.random.Generator) -> None:
    pairs = [tuple(rng.integers(256, size=(12, 14, 3), dtype=np.uint8) for _ in range(2)) for _ in range(2)]
    model = Scaler()
    (row,) = evaluate({"x": model}, InMemory(*pairs), [None], data="pairs:two")
    assert (row.noise, row.data, row.images) == ("", "pairs:two", 2)
    assert model.sigmas == [None, None]
    for given, (noisy, clean) in zip(model.inputs, pairs, strict=True):
        np.testing.assert_allclose(given, noisy / 255, rtol=1e-6)
        assert not np.array_equal(noisy, clean)
    truth = [psnr(clean / 255, noisy / 255) for noisy, clean in pairs]
    assert row.psnr == row.psnr_noisy == pytest.approx(np.mean(truth))


def test_clean_pictures_need_a_noise(pictures: InMemory) -> None:
    with pytest.raises(UnnoiseError, match="the images are clean: name a noise"):
        list(evaluate({"x": Scaler()}, pictures, [None]))


def test_crops_come_from_the_top_left(pictures: InMemory) -> None:
    cropped = list(noisy_pairs(pictures, noise.make("gaussian:0"), crop=32))
    assert [clean.shape for _, clean, _ in cropped] == [(32, 32, 3), (30, 32, 3), (32, 20, 3)]
    np.testing.assert_allclose(cropped[0][1], pictures.items[0][:32, :32] / 255, rtol=1e-6)


def test_ssim_is_nan_where_it_was_not_measured(pictures: InMemory) -> None:
    (fast,) = evaluate({"x": Scaler()}, pictures, [noise.make("gaussian:5")], with_ssim=False)
    (small,) = evaluate({"x": Scaler()}, pictures, [noise.make("gaussian:5")], crop=10)
    assert math.isnan(fast.ssim)
    assert math.isnan(small.ssim)
    assert math.isfinite(small.psnr)


def test_rows_come_as_they_are_measured_with_progress_messages(pictures: InMemory) -> None:
    messages: list[str] = []
    rows = evaluate({"x": Scaler()}, pictures, map(noise.make, ["gaussian:5", "clip"]), progress=messages.append)
    assert messages == []
    next(rows)
    assert messages == ["gaussian:5: 1 of 3", "gaussian:5: 2 of 3", "gaussian:5: 3 of 3"]


def test_curves_run_from_the_lowest_level_up() -> None:
    noises = [noise.make(spec) for spec in ("gaussian:50", "gaussian:2.5 + clip")]
    levels = benchmark.levels(noises)
    assert levels == [50, 2.5]
    rows = [
        benchmark.Row(model, "", str(one), 1, noisy, noisy + gain, math.nan, 0.0)
        for one, noisy in zip(noises, (15.0, 40.0), strict=True)
        for model, gain in (("a", 5.0), ("b", 7.0))
    ]
    lines = {"a": [(2.5, 45), (50, 20)], "b": [(2.5, 47), (50, 22)], "noisy": [(2.5, 40), (50, 15)]}
    assert benchmark.curves(rows, levels) == lines


@pytest.mark.parametrize("spec", ["uniform:25", "gaussian:5..25", "clip + gaussian:25", "gaussian:5 | gaussian:9", ""])
def test_only_gaussian_noise_has_curves(spec: str) -> None:
    with pytest.raises(UnnoiseError, match="a curve needs gaussian noise"):
        benchmark.levels([noise.make("gaussian:9"), noise.make(spec) if spec else None])


def test_scores_are_read_back(tmp_path: Path) -> None:
    rows = [{"data": "images:some/where/kodak24", "noise": "gaussian:25", "psnr": 32.256}]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)) + "\n")
    assert benchmark.read_scores(file) == {"kodak24, gaussian:25": 32.26}
    file.write_text('{"data": 1}')
    with pytest.raises(UnnoiseError, match="is not the JSON output of unnoise evaluate"):
        benchmark.read_scores(file)
