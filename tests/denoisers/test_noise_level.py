"""The exported estimator, and the denoiser that is given its map: tiles, sizes, and statistics of the whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch  # noqa: TID253

from unnoise import denoisers, networks
from unnoise.denoisers import noise_level, pytorch
from unnoise.denoisers.blind import Blind
from unnoise.denoisers.model_card import Card
from unnoise.denoisers.noise_level import NoiseLevelEstimator
from unnoise.denoisers.tiling import denoise_tiled
from unnoise.errors import UnnoiseError
from unnoise.training.export import export

SPEC = "blind:widths=4/8,blocks=1/1,estimator=4/6/8,codes=2"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a small blind model of random weights, and its estimator."""
    path = tmp_path_factory.mktemp("blind")
    torch.manual_seed(0)
    network = networks.make(SPEC)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.15)
    card = Card(
        name="tiny", network=str(network), channels=3, noise="", multiple_of=network.multiple_of, reach=network.reach
    )
    pytorch.save(network, card, path / "tiny.safetensors")
    export(path / "tiny.safetensors")
    export(path / "tiny.safetensors", path / "noise_level.onnx", part="levels", half=True)
    return path


def picture(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).random((height, width, channels), dtype=np.float32)


def test_the_part_has_a_card_of_its_own(folder: Path) -> None:
    network, card = pytorch.load(folder / "noise_level.safetensors")
    assert network.name == "noise_estimator"
    assert (card.name, card.reach) == ("noise_level", network.reach)
    with pytest.raises(UnnoiseError, match="no part 'nonsense'"):
        export(folder / "tiny.safetensors", folder / "x.onnx", part="nonsense")


def test_any_engine_cleans_a_whole_picture_alike(folder: Path) -> None:
    noisy = picture(50, 70)
    by_torch = denoisers.make(folder / "tiny.safetensors")(noisy)
    by_onnx = denoisers.make(folder / "tiny.onnx", engine="onnx")(noisy)
    np.testing.assert_allclose(by_onnx, by_torch, atol=0.03)  # PyTorch takes statistics of the mirrored margin, too


def test_a_tile_is_judged_by_the_statistics_of_the_whole(folder: Path) -> None:
    estimator, noisy = NoiseLevelEstimator(folder / "noise_level.onnx"), picture(160, 200)
    noisy[:, 120:] *= 0.1
    statistics = estimator.statistics(noisy)
    whole, tile = estimator.level(noisy), estimator.level(noisy[24:136, 40:152], statistics)
    reach = -(-estimator.halo // 8) * 8
    assert 2 * reach < 112
    np.testing.assert_allclose(
        tile[reach:-reach, reach:-reach], whole[24:136, 40:152][reach:-reach, reach:-reach], atol=1e-5
    )
    alone = estimator.level(noisy[24:136, 40:152])
    assert np.abs(alone - tile).max() > 1e-4


def test_a_large_picture_is_judged_by_windows(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    estimator, noisy = NoiseLevelEstimator(folder / "noise_level.onnx"), picture(300, 270)
    exact = estimator.statistics(noisy)
    monkeypatch.setattr(noise_level, "WHOLE", 1)
    sampled = estimator.statistics(noisy)
    assert sampled.shape == exact.shape
    np.testing.assert_allclose(sampled, exact, rtol=0.25, atol=0.05)  # windows have more border


@pytest.mark.parametrize(("height", "width"), [(128, 128), (100, 900), (1000, 3000), (5000, 200)])
def test_windows_lie_in_the_picture_on_the_grid(height: int, width: int) -> None:
    windows = noise_level._windows(height, width)
    assert 1 <= len(windows) <= 36
    for rows, columns in windows:
        assert rows.start % 16 == columns.start % 16 == 0
        assert rows.start < height
        assert columns.start < width
    assert max(rows.stop for rows, _ in windows) >= min(height, 128) - 16


def test_tiles_of_the_denoiser_agree_with_the_whole(folder: Path) -> None:
    tool, noisy = denoisers.make(folder / "tiny.onnx", engine="onnx"), picture(240, 256)
    assert isinstance(tool, Blind)
    whole = tool(noisy)
    resolved, sigma = tool.resolve(noisy)
    tiled = denoise_tiled(resolved, noisy, sigma, halo=resolved.halo or 0, multiple_of=resolved.multiple_of, size=96)
    np.testing.assert_allclose(tiled, whole, atol=1e-5)
    assert tool.level(noisy).shape == (240, 256)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_grey_colours_and_inks(folder: Path, channels: int) -> None:
    noisy = picture(40, 40, channels)
    assert denoisers.make(folder / "tiny.onnx", engine="onnx")(noisy).shape == noisy.shape
