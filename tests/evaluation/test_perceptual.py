"""Metrics of piq, intervals of means, paired comparison, and their tables on the command line."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from tests.fakes import Call, Hostile, Identity, InMemory
from unnoise import io, noise
from unnoise.errors import UnnoiseError
from unnoise.evaluation import sheets, statistics

PERFECT = {"ms-ssim": 1.0, "haarpsi": 1.0, "mdsi": 0.0}
no_piq = pytest.mark.skipif(not importlib.util.find_spec("piq"), reason="needs unnoise[metrics]")


@pytest.fixture
def folder(tmp_path: Path, photograph: np.ndarray) -> Path:
    for index in range(4):
        piece = photograph[20 * index :][:40, 25 * index :][:, :48]
        io.from_array(np.rint(piece * 255).astype(np.uint8)).save(tmp_path / f"{index}.png")
    return tmp_path


@no_piq
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", PERFECT)
def test_equal_images_are_perfect_and_noise_makes_it_worse(name: str, channels: int, photograph: np.ndarray) -> None:
    from unnoise.evaluation import perceptual

    metric = perceptual.make([name])[name]
    clean = np.tile(photograph[:, :, :channels], (2, 2, 1))
    noise = np.random.default_rng(0).normal(size=clean.shape).astype(np.float32)
    worse = [abs(metric(clean, clean + level * noise) - PERFECT[name]) for level in (0.0, 0.02, 0.05, 0.1, 0.2)]
    assert worse[0] == pytest.approx(0, abs=1e-4)
    assert worse == sorted(worse) and worse[-1] > 0.1, worse
    assert metric(clean, clean + 3) == metric(clean, np.ones_like(clean)), "values beyond white are clipped"
    for other in (
        clean[:4, :4],
        2 * clean,
        np.where(clean > 0.5, np.nan, clean),
        np.repeat(clean[:, :, :1], 5, axis=2),
    ):
        assert np.isnan(metric(other, other)), "it is not defined"


@no_piq
def test_metrics_that_are_not_there_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from unnoise.evaluation import perceptual

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(UnnoiseError, match=r"unknown metric 'haarpsy'.*haarpsi"):
        perceptual.make(["haarpsy"])
    for name in ("lpips", "dists"):
        with pytest.raises(
            UnnoiseError, match=rf"'{name}' needs weights that are not on disk: {name}_weights\.pt, vgg16"
        ):
            perceptual.make([name])
    assert perceptual.make(["psnr", "ssim"]) == {}


@pytest.fixture
def made_up_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return a cache with random weights, in the layout of piq and torchvision."""
    torch = pytest.importorskip("torch")
    from unnoise.evaluation import vgg

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    torch.save([torch.rand(1, width, 1, 1) for width in (64, 128, 256, 512, 512)], folder / "lpips_weights.pt")
    torch.save({key: torch.full((1, 1475, 1, 1), 1 / 2950) for key in ("alpha", "beta")}, folder / "dists_weights.pt")
    state = {f"features.{key}": value for key, value in vgg.features().state_dict().items()}
    torch.save({**state, "classifier.0.weight": torch.zeros(3)}, folder / vgg.FILE)
    return folder


@no_piq
@pytest.mark.parametrize("name", ["lpips", "dists"])
def test_metrics_of_features_work_with_weights_on_disk(
    name: str, made_up_weights: Path, photograph: np.ndarray, folder: Path, call: Call
) -> None:
    from unnoise.evaluation import perceptual

    metric = perceptual.make([name])[name]
    noise = np.random.default_rng(0).normal(size=photograph.shape).astype(np.float32)
    worse = [metric(photograph, photograph + level * noise) for level in (0.0, 0.05, 0.2)]
    assert abs(worse[0]) < 1e-3 * worse[2] and worse == sorted(worse), worse
    status, out, _ = call(
        "evaluate", "median", "--data", f"images:{folder}", "--noise", "gaussian:25", "--metrics", name, "--json"
    )
    rows = [json.loads(line) for line in out.splitlines()]
    assert status == 0 and np.isfinite(rows[0][name]), "the fixture `folder` is the folder of the cache, too"


@no_piq
def test_damaged_weights_are_one_line(made_up_weights: Path, call: Call, folder: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    words = ["evaluate", "median", "--data", f"images:{folder}", "--noise", "gaussian:25", "--metrics", "lpips"]
    good = {path.name: path.read_bytes() for path in made_up_weights.iterdir()}
    cases = {
        "vgg16-397923af.pth": (b"PK", {"features.0.weight": torch.zeros(3)}, Hostile(tmp_path / "made"), [1]),
        "lpips_weights.pt": (b"", {"a": 1}, Hostile(tmp_path / "made"), 3),
    }
    for file, contents in cases.items():
        for content in contents:
            if isinstance(content, bytes):
                (made_up_weights / file).write_bytes(content)
            else:
                torch.save(content, made_up_weights / file)
            status, _, err = call(*words)
            assert status == 2 and err.count("\n") == 1 and file in err, err
        (made_up_weights / file).unlink()
        status, _, err = call(*words)
        assert status == 2 and f"are not on disk: {file} in {made_up_weights}" in err
        (made_up_weights / file).write_bytes(good[file])
    assert not (tmp_path / "made").exists(), "code in the file was run"


def test_an_interval_holds_the_mean_as_often_as_it_says() -> None:
    rng, held = np.random.default_rng(0), []
    for trial in range(200):
        low, high = statistics.interval(rng.normal(30, 2, size=30).tolist(), seed=trial)
        held.append(low <= 30 <= high)
    assert 0.89 <= np.mean(held) <= 0.99, "95 % in 200 trials, within three standard errors and BCa's bias"


def test_an_interval_of_few_or_equal_values() -> None:
    assert np.isnan(statistics.interval([3.0])).all()
    assert np.isnan(statistics.interval([3.0, float("nan")])).all()
    assert statistics.interval([3.0, 3.0, 3.0]) == (3.0, 3.0)
    assert statistics.interval([1.0, 2.0, 4.0]) == statistics.interval([1.0, 2.0, 4.0])


def test_pairs_are_compared_image_by_image() -> None:
    """Images differ by 20 dB, models by 0.1 dB on each of them: only pairs show it."""
    rng = np.random.default_rng(0)
    images = rng.uniform(20, 40, size=40)
    better = images + 0.1 + rng.normal(0, 0.05, size=40)
    found = statistics.compare(better.tolist(), images.tolist())
    assert found.images == 40 and 0 < found.low < found.difference < found.high
    assert found.difference == pytest.approx(np.mean(better - images))
    assert found.higher == np.mean(better > images)
    apart = [statistics.interval(one.tolist()) for one in (better, images)]
    assert apart[0][0] < apart[1][1], "the intervals of the means overlap"
    with pytest.raises(UnnoiseError, match="got values of 2 and 1"):
        statistics.compare([1.0, 2.0], [1.0])


def test_tables_of_the_command_line(folder: Path, call: Call) -> None:
    words = ["evaluate", "median", "wavelet", "--data", f"images:{folder}", "--noise", "gaussian:25", "gaussian:50"]

    def rows(*more: str) -> list[dict[str, object]]:
        status, out, _ = call(*words, *more, "--json")
        assert status == 0
        return [json.loads(line) for line in out.splitlines()]

    means, images, wide, pairs = rows(), rows("--per-image"), rows("--intervals"), rows("--versus", "median")
    assert [(row["noise"], row["model"]) for row in means] == [
        (noise, model) for noise in ("gaussian:25", "gaussian:50") for model in ("median", "wavelet")
    ]
    assert [row["image"] for row in images[:8:2]] == ["0.png", "1.png", "2.png", "3.png"] and len(images) == 16
    for row, wider in zip(means, wide, strict=True):
        same = [one for one in images if (one["noise"], one["model"]) == (row["noise"], row["model"])]
        for key in ("psnr", "ssim", "psnr_noisy"):
            assert row[key] == pytest.approx(np.mean([one[key] for one in same]))
        assert wider["psnr_low"] < wider["psnr"] < wider["psnr_high"]
        assert wider["psnr"] == row["psnr"]
    assert [(row["model"], row["versus"], row["noise"], row["metric"]) for row in pairs] == [
        ("wavelet", "median", noise, metric) for noise in ("gaussian:25", "gaussian:50") for metric in ("psnr", "ssim")
    ]
    assert pairs[0]["difference"] == pytest.approx(means[1]["psnr"] - means[0]["psnr"])
    for more, why in {
        ("--per-image", "--intervals"): "choose one",
        ("--versus", "nlm"): "--versus nlm: name it and another model",
        ("--metrics", "nonsense"): "unknown metric 'nonsense'",
    }.items():
        status, _, err = call(*words, *more)
        assert status == 2 and why in err


@no_piq
def test_further_metrics_are_columns(folder: Path, call: Call) -> None:
    words = ["evaluate", "median", "--data", f"images:{folder}", "--noise", "gaussian:25"]
    status, out, _ = call(*words, "--metrics", "haarpsi", "mdsi", "--intervals")
    assert status == 0
    assert " | haarpsi | haarpsi_low | haarpsi_high | mdsi | mdsi_low | mdsi_high | seconds" in out.splitlines()[0]
    assert "| haarpsi | mdsi |" in call(*words, "--metrics", "haarpsi,mdsi")[1]
    out = call(*words, "--metrics", "haarpsi", "--per-image")[1]
    assert " | ssim | haarpsi | seconds_per_megapixel |" in out.splitlines()[0] and len(out.splitlines()) == 6


class Digits(InMemory):
    """Flat images whose gray level is their class."""

    labels = np.array([3, 8, 3, 1, 8, 8, 8])

    def __init__(self) -> None:
        super().__init__(*(np.full((12, 12, 1), 20 * label, np.uint8) for label in self.labels))


def test_a_sheet_shows_the_classes_that_are_asked_for() -> None:
    page = sheets.draw({"as it is": Identity()}, Digits(), [noise.make("gaussian:0")], labels=[8])
    levels = [int(one) for one in np.rint(255 * page[:, :, 0]).ravel()]
    shown = {level for level in (20, 60, 160) if levels.count(level) > 3 * 8 * 96 * 96 * 0.9 / 8}
    assert shown == {160}, "four rows of noisy, denoised and clean eights, magnified eight times"
    assert levels.count(160) >= 4 * 3 * 96 * 96
    with pytest.raises(UnnoiseError, match="no images of the classes 5"):
        sheets.draw({}, Digits(), [None], labels=[5])
    with pytest.raises(UnnoiseError, match="needs a dataset with classes"):
        sheets.draw({}, InMemory(np.zeros((4, 4, 1), np.uint8)), [None], labels=[5])


def test_the_command_writes_a_sheet(folder: Path, call: Call) -> None:
    words = ["evaluate", "median", "--data", f"images:{folder}", "--noise", "gaussian:25", "gaussian:50"]
    target = folder.parent / f"{folder.name}.png"
    assert call(*words, "--sheet", target)[0] == 0
    assert io.read(target).pixels.shape[0] > 8 * 40, "four images with two noises"
    for more, why in {
        ("--sheet", target): "already exists",
        ("--sheet", "sheet.jpg"): "--sheet writes a .png file",
        ("--labels", "3", "8"): "--labels chooses what --sheet draws",
        ("--sheet", target, "--overwrite", "--labels", "3", "8"): "needs a dataset with classes",
    }.items():
        status, _, err = call(*words, *more)
        assert status == 2 and why in err
