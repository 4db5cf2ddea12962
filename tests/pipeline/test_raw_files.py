"""Raw files are denoised before development: their level, their noise and everything around the mosaic."""

from __future__ import annotations

import dataclasses
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rawpy
from scipy import ndimage
from skimage import data

from tests.io.raw_files import BLACK, PATTERNS, WHITE, dng, mosaic_of, tiff_ep, with_noise
from unnoise import denoisers, io as image_io
from unnoise.denoisers.adjusted import Adjustments
from unnoise.errors import UnnoiseError
from unnoise.io import raw
from unnoise.noise.shot import ShotNoise
from unnoise.pipeline import dry_run, jobs, noise_maps, process, raw_files
from unnoise.pipeline.jobs import Job
from unnoise.pipeline.process import DenoiseOptions

SPAN = WHITE - BLACK[0]
ISO = {"low": (1.0, 3.0), "high": (20.0, 40.0), "highest": (80.0, 120.0)}  # counts per electron, read noise in counts


@pytest.fixture(scope="module")
def options() -> DenoiseOptions:
    return DenoiseOptions(denoisers.make("auto"))


def photograph(height: int = 256, width: int = 256) -> np.ndarray:
    """A photograph taken back to linear light, through a sharp lens, `[H, W, 3]`."""
    light = (data.chelsea()[:height, 100 : 100 + width] / 255) ** 2.2 * 0.8
    return ndimage.gaussian_filter(light, (0.5, 0.5, 0))


def clean_of(file: bytes, options: DenoiseOptions) -> raw_files.CleanRaw:
    return raw_files.denoise(raw_files.open_checked(file, ".dng", options), options, "the image")


def signals(image: raw.RawImage, mosaic: np.ndarray) -> list[np.ndarray]:
    return [plane.signal(mosaic) for plane in image.planes]


@pytest.mark.parametrize("pattern", [*PATTERNS, "gray"])
def test_a_photograph_gains(pattern: str, options: DenoiseOptions) -> None:
    light = photograph()
    counts = mosaic_of(light[..., 1] if pattern == "gray" else light, pattern)
    result = clean_of(dng(with_noise(counts, pattern, *ISO["high"]), pattern), options)
    for noisy, clean, truth in zip(
        *(signals(result.source, mosaic) for mosaic in (result.source.mosaic, result.mosaic, counts)), strict=True
    ):
        before, after = np.mean((noisy - truth) ** 2), np.mean((clean - truth) ** 2)
        assert 10 * np.log10(before / after) > 3
    assert (result.outcome.done, result.outcome.model) == ("denoised", "gray" if pattern == "gray" else "raw")


def test_adjustments_are_left_out_with_a_line(options: DenoiseOptions, caplog: pytest.LogCaptureFixture) -> None:
    file = dng(with_noise(mosaic_of(photograph(64, 64)), "RGGB", *ISO["high"]), "RGGB")
    adjusted = dataclasses.replace(options, adjustments=Adjustments(luma=0.5, grain=0.2))
    plain = clean_of(file, options)
    assert not caplog.records
    np.testing.assert_array_equal(clean_of(file, adjusted).mosaic, plain.mosaic)
    assert [record.getMessage() for record in caplog.records] == [
        "the image: luma, grain: not for raw files, whose mosaic has no colors yet; left out"
    ]


def test_a_file_with_hardly_any_noise_does_not_lose(options: DenoiseOptions) -> None:
    counts = mosaic_of(photograph())
    result = clean_of(dng(with_noise(counts, "RGGB", 0.2, 1.0), noise=(0.2 / SPAN, 1.0 / SPAN**2) * 3), options)
    for noisy, clean, truth in zip(
        *(signals(result.source, mosaic) for mosaic in (result.source.mosaic, result.mosaic, counts)), strict=True
    ):
        assert np.mean((clean - truth) ** 2) < 1.02 * np.mean((noisy - truth) ** 2)


@pytest.mark.parametrize("iso", ISO)
@pytest.mark.parametrize("level", [0.0, 0.002, 0.05, 0.5])
def test_the_level_of_flat_fields_stays(level: float, iso: str, options: DenoiseOptions) -> None:
    counts = mosaic_of(np.full((180, 200), level))
    result = clean_of(dng(with_noise(counts, "RGGB", *ISO[iso])), options)
    for noisy, clean in zip(*(signals(result.source, m) for m in (result.source.mosaic, result.mosaic)), strict=True):
        assert abs(clean.mean(dtype=np.float64) - noisy.mean(dtype=np.float64)) < 1e-3  # of white
        assert clean.std() < 0.5 * noisy.std()


def test_a_dark_field_is_not_clipped_at_black(options: DenoiseOptions) -> None:
    noisy = with_noise(mosaic_of(np.zeros((120, 120))), "RGGB", *ISO["high"]) - np.uint16(6)  # an error of the black
    result = clean_of(dng(noisy), options)
    for before, after in zip(*(signals(result.source, m) for m in (noisy, result.mosaic)), strict=True):
        assert after.mean() * SPAN == pytest.approx(before.mean() * SPAN, abs=0.5)
        assert np.mean(after < 0) > 0.8


def test_saturated_areas_and_the_masked_border_are_kept(options: DenoiseOptions) -> None:
    counts = mosaic_of(photograph())
    counts[60:90, 60:90] = WHITE + 500
    noisy = with_noise(counts, "RGGB", *ISO["high"])
    noisy[60:90, 60:90] = WHITE + 3
    result = clean_of(dng(noisy, active=(8, 10, 240, 250)), options)
    border = np.ones(noisy.shape, bool)
    border[8:240, 10:250] = False
    np.testing.assert_array_equal(result.mosaic[border], noisy[border])
    np.testing.assert_array_equal(result.mosaic[62:88, 62:88], noisy[62:88, 62:88])
    assert (result.mosaic != noisy)[~border].mean() > 0.8


def test_single_saturated_pixels_are_denoised(options: DenoiseOptions) -> None:
    noisy = np.minimum(with_noise(mosaic_of(np.full((120, 120), 0.95)), "RGGB", *ISO["high"]), WHITE)
    assert 0.05 < np.mean(noisy == WHITE) < 0.5
    result = clean_of(dng(noisy), options)
    assert np.mean(result.mosaic == WHITE) < 0.01


def test_the_noise_that_a_file_states_is_used(options: DenoiseOptions) -> None:
    noisy = with_noise(mosaic_of(photograph()), "RGGB", *ISO["high"])
    stated = raw_files.inspect(dng(noisy, noise=(1e-3, 1e-6, 2e-3, 2e-6, 3e-3, 3e-6)), max_pixels=10**6)
    assert stated.laws == (ShotNoise(1e-3, 1e-6), *[ShotNoise(2e-3, 2e-6)] * 2, ShotNoise(3e-3, 3e-6))
    assert "NoiseProfile" in str(stated)
    measured = raw_files.inspect(dng(noisy), max_pixels=10**6)
    assert "measured" in str(measured) and "ISO 3200, Maker One" in str(measured)
    assert measured.laws != stated.laws


def test_the_noise_that_is_left_is_stated(options: DenoiseOptions, tmp_path: Path) -> None:
    counts = mosaic_of(np.linspace(0.02, 0.8, 300) * np.ones((200, 1)))
    source, target = tmp_path / "a.dng", tmp_path / "b.dng"
    source.write_bytes(dng(with_noise(counts, "RGGB", *ISO["high"])))
    process.denoise_file(Job(source, target), options)
    before, after = (raw_files.inspect(path, max_pixels=10**6) for path in (source, target))
    assert "NoiseProfile" in str(after)
    assert max(law.sigma(0.4) for law in after.laws) < 0.5 * min(law.sigma(0.4) for law in before.laws)


def test_strength(options: DenoiseOptions) -> None:
    file = dng(with_noise(mosaic_of(photograph(96, 96)), "RGGB", *ISO["high"]))
    none, half, full = (clean_of(file, DenoiseOptions(options.denoiser, strength=strength)) for strength in (0, 0.5, 1))
    np.testing.assert_array_equal(none.mosaic, none.source.mosaic)
    assert none.outcome.done == "copied"
    middle = (none.mosaic.astype(int) + full.mosaic) / 2
    np.testing.assert_allclose(half.mosaic, middle, rtol=0, atol=1)


@pytest.mark.parametrize("make", [dng, tiff_ep])
@pytest.mark.parametrize("suffix", [".dng", ".tif", ".jpg", ".png", ".webp"])
def test_files(make: object, suffix: str, tmp_path: Path, options: DenoiseOptions) -> None:
    source, target = tmp_path / "night.raw", tmp_path / f"out/clean{suffix}"
    assert callable(make)
    file = make(with_noise(mosaic_of(photograph(120, 160)), "RGGB", *ISO["high"]), orientation=6)
    source.write_bytes(file)
    result = process.denoise_file(Job(source, target), options)
    assert (result.done, result.model, result.megapixels) == ("denoised", "raw", 120 * 160 / 1e6)
    assert {path.name for path in tmp_path.rglob("*")} == {"night.raw", "out", target.name}
    if suffix == ".dng":
        assert raw.read(target, max_pixels=10**6).mosaic.shape == (120, 160)
        with rawpy.imread(io.BytesIO(target.read_bytes())) as again:
            height, width = again.postprocess(use_camera_wb=True).shape[:2]
    else:
        picture = image_io.read(target)
        height, width = picture.pixels.shape[:2]
        assert picture.dtype == (np.uint16 if suffix in (".tif", ".png") else np.uint8)
        assert b"2026:01:02 03:04:05" in picture.metadata["exif-data"]
    assert width == 120 and height in (159, 160)  # LibRaw crops the last column of one of these cameras


def test_bytes_and_names(tmp_path: Path, options: DenoiseOptions) -> None:
    file = dng(with_noise(mosaic_of(photograph(64, 64)), "RGGB", *ISO["high"]))
    (tmp_path / "b.nef").write_bytes(file)
    (tmp_path / "c.dng").write_bytes(file)
    encoded, outcome = process.denoise_bytes(file, options)
    assert encoded is not None and raw.is_raw(encoded) and outcome.done == "denoised"
    planned = jobs.plan_jobs([tmp_path], tmp_path / "out")
    assert [job.target.name for job in planned] == ["b.dng", "c.dng"]
    assert jobs.default_output(tmp_path / "b.nef").name == "b.clean.dng"
    assert dry_run.check_file(planned[0], options).done == "planned"
    assert str(noise_maps.inspect_file(tmp_path / "b.nef")).startswith("raw, RGGB, ISO 3200")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [({"sigma": 0.1}, "--sigma"), ({"min_level": 0.1}, "--min-noise"), ({"value_range": (0, 1)}, "--range")],
)
def test_options_without_a_meaning_are_refused(arguments: dict, named: str, options: DenoiseOptions) -> None:
    given = DenoiseOptions(options.denoiser, **arguments)
    with pytest.raises(UnnoiseError, match=f"measured in its mosaic: leave {named} out"):
        raw_files.open_checked(dng(np.full((40, 40), 900, np.uint16)), ".dng", given)


def test_formats_that_cannot_hold_it_are_refused_before_the_work(options: DenoiseOptions) -> None:
    with pytest.raises(UnnoiseError, match=r"not \.xyz; raw files are also written as \.dng"):
        raw_files.open_checked(dng(np.full((40, 40), 900, np.uint16)), ".xyz", options)


@pytest.mark.parametrize("value", [WHITE, 65535])
def test_a_saturated_file_has_the_noise_of_its_iso(value: int, options: DenoiseOptions) -> None:
    file = dng(np.full((40, 40), value, np.uint16), iso=800)
    assert "typical camera at ISO 800" in raw_files.inspect(file, max_pixels=10**6).explanation
    assert (clean_of(file, options).mosaic == value).all()
    with pytest.raises(UnnoiseError, match="not saturated"):
        clean_of(dng(np.full((40, 40), value, np.uint16), iso=0), options)


MUTATIONS = 500


def test_broken_files_fail_in_one_line_and_leave_nothing_behind(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Bytes of the header are replaced, or the file is cut off; an error of LibRaw in its own code would end Python."""
    mosaic = with_noise(mosaic_of(photograph(48, 64)), "RGGB", *ISO["high"])
    file, rng = dng(mosaic, crop=(2, 2, 60, 40)), np.random.default_rng(5)
    options = DenoiseOptions(denoisers.make("median"), max_pixels=10**6)
    places = [*range(600), *range(len(file) - 600, len(file))]  # both ends hold directories
    source, target, failed = tmp_path / "a.dng", tmp_path / "b.dng", 0
    for number in range(MUTATIONS):
        damaged = bytearray(file)
        for place in rng.choice(places, rng.integers(1, 9)):
            damaged[place] = rng.integers(256)
        source.write_bytes(damaged[: rng.integers(len(damaged))] if number % 4 == 0 else damaged)
        try:
            process.denoise_file(Job(source, target), options)
            assert raw.is_raw(target) or image_io.read(target)
            target.unlink()
        except UnnoiseError as error:
            failed += 1
            assert str(error).startswith(str(source)) and "\n" not in str(error)
        assert [path.name for path in tmp_path.iterdir()] == ["a.dng"]
    assert MUTATIONS / 4 < failed < MUTATIONS
    assert capfd.readouterr() == ("", "")


def test_without_rawpy_the_extra_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.dng").write_bytes(dng(np.full((40, 40), 900, np.uint16)))
    script = """
import sys; sys.modules["rawpy"] = None
from unnoise.cli.main import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", script, "a.dng", "-o", "b.dng", "-m", "median"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0 and len(done.stderr.splitlines()) == 1
    assert 'rawpy is not installed; install it with: pip install "unnoise[raw]"' in done.stderr
