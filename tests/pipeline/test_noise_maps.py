"""Maps of the noise level: the levels that the estimator finds, on one scale, of images of any size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import unnoise
from unnoise import denoisers, io, noise
from unnoise.errors import UnnoiseError
from unnoise.io.picture import from_samples
from unnoise.pipeline import noise_maps, streaming
from unnoise.units import from_8bit


def levels_of(gray: np.ndarray) -> np.ndarray:
    """Return the levels that a map shows, in [0, 1] units, as its text says."""
    return from_8bit(0.5 * 128.0 ** (gray[..., 0] / 255.0))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def uneven(photograph: np.ndarray) -> np.ndarray:
    """Return a photograph with weak noise on the left and strong noise on the right, uint8."""
    clean = np.tile(photograph, (2, 3, 1))
    weak, strong = (noise.make(f"gaussian:{sigma}")(clean, 0) for sigma in (6, 30))
    weak[:, 240:] = strong[:, 240:]
    return np.rint(255 * weak.clip(0, 1)).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_it_shows_the_levels_of_the_estimator(channels: int, uneven: np.ndarray) -> None:
    samples = np.concatenate([uneven, np.full_like(uneven[..., :1], 200)], axis=2) if channels == 4 else uneven
    samples = samples[..., [0, -1]] if channels == 2 else samples[..., :channels]
    picture = io.from_array(samples)
    made, levels = noise_maps.map_picture(picture)
    parts = [picture.pixels] if channels != 2 else [picture.pixels[..., :1], picture.pixels[..., 1:]]
    expected = np.max([denoisers.level_estimator().level(part) for part in parts], axis=0)
    gray = made.to_array()
    assert gray.shape == (*uneven.shape[:2], 1) and gray.dtype == np.uint8
    inside = (expected > from_8bit(0.5)) & (expected < from_8bit(64))
    np.testing.assert_allclose(levels_of(gray)[inside], expected[inside], rtol=0.012)  # half a step of the scale
    assert levels.lowest == pytest.approx(255 * expected.min(), rel=1e-3)
    assert levels.highest == pytest.approx(255 * expected.max(), rel=1e-3)
    assert np.median(gray[:, 320:]) > np.median(gray[:, :160]) + 40  # a factor of two and more


@pytest.mark.parametrize(
    ("dtype", "scale", "offset"), [(np.uint8, 255, 0), (np.uint16, 65535, 0), (np.float32, 1, 0), (np.float32, 40, -9)]
)
def test_levels_are_relative_to_the_full_scale(dtype: Any, scale: float, offset: float, uneven: np.ndarray) -> None:
    values = uneven.astype(np.float64) / 255 * scale + offset
    picture = io.from_array((np.rint(values) if dtype != np.float32 else values).astype(dtype))
    found = unnoise.inspect(picture).level
    made, levels = noise_maps.map_picture(picture)
    assert found is not None and levels.lowest < 255 * found < levels.highest
    overall = float(np.sqrt(np.mean(np.square(levels_of(made.to_array())))))
    assert overall == pytest.approx(found, rel=0.1)


@pytest.mark.parametrize("pages", [1, 2])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_large_file_has_the_map_of_a_small_one(
    pages: int, suffix: str, uneven: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if pages > 1 and suffix == ".png":
        pytest.skip("PNG has no pages")
    samples, metadata = np.concatenate([uneven, uneven[::-1]][:pages]), {"page-height": len(uneven)}
    source = tmp_path / f"a{suffix}"
    source.write_bytes(io.encode(from_samples(samples, metadata if pages > 1 else {}), suffix))
    small = noise_maps.map_file(source, tmp_path / "small.png")
    estimate = noise_maps.inspect_file(source)
    monkeypatch.setattr(streaming, "STREAMING_PIXELS", 1000)
    monkeypatch.setattr(streaming, "TILE", 128)
    done: list[float] = []
    large = noise_maps.map_file(source, tmp_path / "large.png", progress=done.append)
    one, other = (io.read(tmp_path / name).to_array().astype(int) for name in ("small.png", "large.png"))
    assert one.shape == (len(samples), samples.shape[1], 1) and np.abs(one - other).max() <= 1
    assert (large.lowest, large.highest) == pytest.approx((small.lowest, small.highest), rel=1e-3)
    assert done == sorted(done) and done[-1] == 1 and len(done) > 1
    sampled = noise_maps.inspect_file(source)
    assert (sampled.kind, sampled.model) == (estimate.kind, estimate.model)


def test_tiles_of_an_image_in_memory_equal_the_whole(uneven: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = io.from_array(uneven)
    whole = noise_maps.map_picture(picture)[0].to_array().astype(int)
    monkeypatch.setattr(noise_maps.tiling.tiles, "__kwdefaults__", {"size": 128, "halo": 0, "multiple_of": 1})
    done: list[float] = []
    tiled = noise_maps.map_picture(picture, progress=done.append)[0].to_array()
    assert np.abs(tiled - whole).max() <= 1 and len(done) > 4 and done == sorted(done) and done[-1] == 1


def test_a_constant_image_has_an_even_map() -> None:
    gray = noise_maps.map_picture(io.from_array(np.full((70, 90), 0.3, np.float32)))[0].to_array()
    assert gray.max() - gray.min() < 40 and gray.max() < 128  # far from what noise looks like


def test_missing_values_leave_a_map(uneven: np.ndarray) -> None:
    holed = uneven.astype(np.float32) / 255
    holed[:60] = np.nan
    gray = noise_maps.map_picture(io.from_array(holed))[0].to_array()
    whole = noise_maps.map_picture(io.from_array(uneven))[0].to_array()
    assert np.abs(gray[130:].astype(int) - whole[130:]).mean() < 10


def test_the_file_says_what_its_values_mean(uneven: np.ndarray, tmp_path: Path) -> None:
    io.from_array(uneven).save(tmp_path / "a.png")
    levels = noise_maps.map_file(tmp_path / "a.png", tmp_path / "map.png")
    with Image.open(tmp_path / "map.png") as opened:
        assert opened.mode == "L" and opened.text["Comment"] == noise_maps.SCALE  # type: ignore[attr-defined]
    assert str(levels).startswith(noise_maps.SCALE) and "0.5 * 128^(V/255)" in noise_maps.SCALE


def test_a_map_is_turned_as_its_image(uneven: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(uneven).save(tmp_path / "a.png", exif=exif)
    noise_maps.map_file(tmp_path / "a.png", tmp_path / "small.png")
    monkeypatch.setattr(streaming, "STREAMING_PIXELS", 1000)
    noise_maps.map_file(tmp_path / "a.png", tmp_path / "large.png")
    shapes = [io.read(tmp_path / name).pixels.shape[:2] for name in ("small.png", "large.png")]
    assert shapes == [uneven.shape[1::-1]] * 2
    with Image.open(tmp_path / "large.png") as opened:
        assert opened.getexif()[0x0112] == 6 and opened.text["Comment"] == noise_maps.SCALE  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("target", "message"), [("map.tif", "a .png file"), ("a.png", "exists"), ("no/x.png", "exist")]
)
def test_a_bad_target_is_refused(target: str, message: str, uneven: np.ndarray, tmp_path: Path) -> None:
    io.from_array(uneven).save(tmp_path / "a.png")
    with pytest.raises(UnnoiseError, match=message):
        noise_maps.map_file(tmp_path / "a.png", tmp_path / target)
    with pytest.raises(UnnoiseError, match="would replace the image"):
        noise_maps.map_file(tmp_path / "a.png", tmp_path / "a.png", overwrite=True)


def test_a_damaged_file_leaves_nothing(uneven: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = io.encode(io.from_array(uneven), ".png")
    (tmp_path / "a.png").write_bytes(data[: len(data) // 2])
    for limit in (streaming.STREAMING_PIXELS, 1000):
        monkeypatch.setattr(streaming, "STREAMING_PIXELS", limit)
        with pytest.raises(UnnoiseError, match="damaged"):
            noise_maps.map_file(tmp_path / "a.png", tmp_path / "map.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
