"""Calibration: the parameters of known sensors are recovered from simulated frames, and doubts are reported."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from skimage import data

from unnoise import denoisers, io, noise
from unnoise.cli import main
from unnoise.errors import UnnoiseError
from unnoise.noise import estimation
from unnoise.noise.calibration import blind, calibrate
from unnoise.noise.sensor import Sensor

SIDE = 512
EXPOSURES = (0.08, 0.3, 0.7)


def store(path: Path, values: np.ndarray, dtype: type = np.uint16) -> Path:
    """Write pixels of white 1 as a file would hold them."""
    if dtype is not np.float32:
        values = np.rint(np.clip(values, 0, 1) * np.iinfo(dtype).max)
    io.from_array(values.astype(dtype)).save(path)
    return path


def scene(exposure: float, black: float, *, pattern: float = 0.02) -> np.ndarray:
    """Return an evenly lit surface with vignetting and pixel response nonuniformity."""
    down, across = np.mgrid[0:SIDE, 0:SIDE] / SIDE - 0.5
    gains = 1 + pattern * np.random.default_rng(9).standard_normal((SIDE, SIDE))
    light = exposure * (1 - 0.6 * (down**2 + across**2)) * gains
    return (black / 255 + light)[:, :, None].astype(np.float32)


def take(folder: Path, spec: str, *, shots: int = 2, exposures: tuple[float, ...] = EXPOSURES) -> tuple[list, list]:
    """Take flats and darks with a camera of this noise."""
    camera, rng = noise.make(spec), np.random.default_rng(1)
    black = float(camera.black)  # type: ignore[attr-defined]
    flats = [
        store(folder / f"flat{exposure}_{shot}.tif", camera(scene(exposure, black), rng))
        for exposure in exposures
        for shot in range(shots)
    ]
    darks = [store(folder / f"dark{shot}.tif", camera(scene(0, black), rng)) for shot in range(4)]
    return flats, darks


@pytest.mark.parametrize(
    "spec",
    ["sensor:15000,read=0.1,rows=0.06,black=1", "sensor:2000,read=0.5,rows=0.3,black=4", "sensor:400,read=1,black=8"],
)
def test_a_known_sensor_is_found_within_five_percent(tmp_path: Path, spec: str) -> None:
    truth, found = noise.make(spec), calibrate(*take(tmp_path, spec))
    for field in ("peak", "read", "rows", "black"):
        assert getattr(found.noise, field) == pytest.approx(getattr(truth, field), rel=0.05), field
    assert found.counts_per_electron == pytest.approx(65535 / truth.peak, rel=0.05)  # type: ignore[attr-defined]
    assert (found.frames, found.doubts) == (10, ())


def test_saturated_and_lonely_frames_do_not_count(tmp_path: Path) -> None:
    flats, darks = take(tmp_path, "sensor:2000,read=0.5,black=4", exposures=(0.3, 0.7, 1.3, 2.0))
    found = calibrate([*flats[1:]], darks)
    assert found.noise.peak == pytest.approx(2000, rel=0.05)  # type: ignore[attr-defined]
    assert found.doubts == ("1 flat frames without a second one of the same exposure are ignored",)


def test_hot_pixels_and_a_flickering_lamp_do_not_count(tmp_path: Path) -> None:
    camera, rng = Sensor(2000, read=0.5, black=4), np.random.default_rng(3)
    flats, hot = [], rng.integers(SIDE, size=(60, 2))
    for shot in range(4):
        frame = camera(scene(0.5 * (1 + 0.03 * shot), 4), rng)
        frame[hot[:, 0], hot[:, 1], 0] = rng.random(60)
        flats.append(store(tmp_path / f"flat{shot}.tif", frame))
    darks = [store(tmp_path / f"dark{shot}.tif", camera(scene(0, 4), rng)) for shot in range(2)]
    assert calibrate(flats, darks).noise.peak == pytest.approx(2000, rel=0.05)  # type: ignore[attr-defined]


def test_pages_and_floats_are_frames_too(tmp_path: Path) -> None:
    camera, rng = Sensor(2000, read=0.5, black=4), np.random.default_rng(3)
    flats = [store(tmp_path / f"flat{shot}.tif", camera(scene(0.5, 4), rng), np.float32) for shot in range(2)]
    darks = [store(tmp_path / f"dark{shot}.tif", camera(scene(0, 4), rng), np.float32) for shot in range(2)]
    found = calibrate(flats, darks)
    assert found.noise.peak == pytest.approx(2000, rel=0.05)  # type: ignore[attr-defined]
    assert found.counts_per_electron == pytest.approx(1 / 2000, rel=0.05)


def test_a_single_dark_and_clipped_darks_are_reported(tmp_path: Path) -> None:
    camera, rng = Sensor(2000, read=0.5), np.random.default_rng(3)
    flats = [store(tmp_path / f"flat{shot}.tif", camera(scene(0.5, 0), rng)) for shot in range(2)]
    found = calibrate(flats, [store(tmp_path / "dark.tif", camera(scene(0, 0), rng))])
    assert ["one dark frame" in doubt or "clipped at 0" in doubt for doubt in found.doubts] == [True, True]


@pytest.mark.parametrize(("blurred", "within"), [(20, 0.05), (0, 0.12)], ids=["smooth", "photograph"])
@pytest.mark.parametrize("spec", ["sensor:2000,black=4", "sensor:500,read=3", "gaussian:15"])
def test_one_picture_shows_the_line_of_its_noise(tmp_path: Path, spec: str, blurred: int, within: float) -> None:
    seen = ndimage.gaussian_filter(data.camera().astype(np.float32) / 255, blurred)[:, :, None]
    truth, clean = noise.make(spec), 0.05 + 0.9 * (seen - seen.min()) / np.ptp(seen)
    found = blind(store(tmp_path / "scene.tif", truth(clean, 0)))
    levels = np.array([0.1, 0.3, 0.6, 0.9])
    drawn = [[one(np.full((SIDE, SIDE, 1), x, np.float32), 1).std() for x in levels] for one in (found.noise, truth)]
    np.testing.assert_allclose(drawn[0], drawn[1], rtol=within)
    assert any("only one image" in doubt for doubt in found.doubts)


def test_a_developed_photograph_is_doubted(tmp_path: Path, photograph: np.ndarray) -> None:
    developed = noise.make("camera:12800,smooth=0.7,smooth_color=2")(data.astronaut().astype(np.float32) / 255, 0)
    stored = store(tmp_path / "a.png", developed, np.uint8)
    assert any("correlated" in doubt for doubt in blind(stored, estimate_noise=denoisers.estimate_noise).doubts)


def test_the_line_passes_over_textured_shades() -> None:
    light = np.linspace(0.1, 0.9, 24)
    variance = 1e-3 * light + 1e-4
    variance[[3, 11, 20]] *= 4
    np.testing.assert_allclose(estimation.fit_line(light, variance), (1e-3, 1e-4), rtol=1e-6)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main.main(list(words))
        return int(left.value.code or 0), *capsys.readouterr()

    return run


def test_the_command_prints_a_spec_that_add_takes(call, tmp_path: Path) -> None:
    take(tmp_path, "sensor:2000,read=0.5,rows=0.3,black=4")
    darks = [path.name for path in sorted(tmp_path.glob("dark*"))]
    status, out, err = call("calibrate", "flat*.tif", "--dark", *darks)
    assert status == 0 and "electrons" in err
    assert call("add", out.strip(), darks[0], "-o", "noisy.tif")[0] == 0
    parsed = json.loads(call("calibrate", "flat*.tif", "--dark", *darks, "--json")[1])
    assert parsed["noise"] == out.strip() and parsed["frames"] == 10
    assert call("calibrate", darks[0])[1].startswith("gaussian:")


def test_invalid_calls_give_a_one_line_error(call, tmp_path: Path, photograph: np.ndarray) -> None:
    flats, darks = take(tmp_path, "sensor:2000,read=0.5,black=4", exposures=(0.3,))
    store(tmp_path / "other.tif", photograph)
    store(tmp_path / "tiny.tif", photograph[:4, :4])
    names = [path.name for path in (*flats, *darks)]
    for words, message in {
        (names[0], names[1]): "need dark frames",
        (names[0], "--dark", names[2], names[3]): "two flat frames of the same exposure",
        (names[2], names[3], "--dark", names[4], names[5]): "",
        (names[0], "other.tif", "--dark", names[2]): "differs in size or data type",
        ("tiny.tif",): "too small",
        ("tiny.tif", "--dark", "tiny.tif"): "too small",
        ("gone.tif",): "gone.tif",
    }.items():
        status, out, err = call("calibrate", *words)
        assert (status, out) == (2, "") and message in err and len(err.splitlines()) == 1, words
    with pytest.raises(UnnoiseError, match="saturated"):
        calibrate([store(tmp_path / f"white{n}.tif", np.ones((64, 64, 1), np.float32)) for n in range(2)],
                  [store(tmp_path / "black.tif", np.zeros((64, 64, 1), np.float32))])  # fmt: skip
