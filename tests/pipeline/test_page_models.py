"""Stacks of OME and ImageJ: each channel has a range, a noise level and a model of its own, over all of its pages."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile

from unnoise import denoisers, io as image_io
from unnoise.io.layout import Layout
from unnoise.pipeline import encoded_errors, noise_maps, process, streaming
from unnoise.pipeline.jobs import Job

SIZES = {"T": 2, "Z": 3, "C": 2}
SCALES, LEVELS = (200, 9000), (0.1, 0.03)  # white and noise of the two channels


def stack(axes: str, size: tuple[int, int] = (48, 64)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a clean stack, its noisy one, and the channel of each page."""
    rng = np.random.default_rng(0)
    shape = [SIZES[name] for name in axes]
    channels = np.unravel_index(np.arange(np.prod(shape)), shape)[axes.index("C")]
    rows = np.mgrid[: size[0], : size[1]][0] / 20
    clean = [SCALES[channel] * (0.5 + 0.4 * np.sin(rows + page)) for page, channel in enumerate(channels)]
    noisy = [plane + rng.normal(0, LEVELS[c] * SCALES[c], size) for plane, c in zip(clean, channels, strict=True)]
    return np.array(clean), np.clip(np.rint(noisy), 0, 65535).astype(np.uint16), channels


def encoded(planes: np.ndarray, axes: str, kind: str) -> bytes:
    file = io.BytesIO()
    shape = [SIZES[name] for name in axes]
    tifffile.imwrite(file, planes.reshape(*shape, *planes.shape[1:]), metadata={"axes": f"{axes}YX"}, **{kind: True})
    return file.getvalue()


@pytest.mark.parametrize(("kind", "axes"), [("ome", "TZC"), ("ome", "CTZ"), ("ome", "ZC"), ("imagej", "TZC")])
def test_the_channel_of_each_page_is_known(kind: str, axes: str) -> None:
    _, noisy, channels = stack(axes)
    picture = image_io.read(encoded(noisy, axes, kind))
    assert picture.metadata["page-channels"] == tuple(channels)
    np.testing.assert_array_equal(picture.to_array()[..., 0], noisy)
    single = image_io.read(encoded(noisy, axes, kind), page=2)
    assert "page-channels" not in single.metadata


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize(("kind", "axes"), [("ome", "CTZ"), ("imagej", "TZC")])
def test_each_channel_has_range_and_noise_of_its_own(
    kind: str, axes: str, large: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean, noisy, channels = stack(axes)
    (tmp_path / "a.tif").write_bytes(encoded(noisy, axes, kind))
    if large:
        monkeypatch.setattr(streaming, "STREAMING_PIXELS", 100)
    result = process.denoise_file(
        Job(tmp_path / "a.tif", tmp_path / "b.tif"), process.DenoiseOptions(denoisers.make("auto"))
    )
    made = image_io.read(tmp_path / "b.tif").to_array()[..., 0]
    for channel in (0, 1):
        pages = channels == channel
        noise = LEVELS[channel] * SCALES[channel]
        assert np.sqrt(np.mean((made[pages] - clean[pages]) ** 2)) < 0.5 * noise
    assert 255 * result.sigma == pytest.approx(255 * max(LEVELS) * 200 / 255, rel=0.4)  # of the noisier one
    with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
        assert tiff.series[0].axes == f"{axes}YX"


def test_range_and_noise_are_found_once_for_each_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    real = denoisers.auto.estimate_noise
    monkeypatch.setattr(denoisers.auto, "estimate_noise", lambda *given: found.append(given[0].shape) or real(*given))
    _, noisy, _ = stack("TZC")
    process.denoise_picture(image_io.read(encoded(noisy, "TZC", "ome")), process.DenoiseOptions(denoisers.make("auto")))
    assert found == [(6 * 48, 64, 1)] * 2


def test_a_channel_without_noise_stays_as_it_is() -> None:
    clean, noisy, channels = stack("TZC")
    mixed = np.where((channels == 0)[:, None, None], 120, noisy).astype(np.uint16)
    picture = image_io.read(encoded(mixed, "TZC", "ome"))
    made = process.denoise_picture(picture, process.DenoiseOptions(denoisers.make("auto"))).picture.to_array()[..., 0]
    np.testing.assert_array_equal(made[channels == 0], mixed[channels == 0])
    assert np.abs(made[channels == 1] - clean[channels == 1]).mean() < 0.5 * np.abs(noisy - clean)[channels == 1].mean()


def test_the_error_map_is_that_of_each_channel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, noisy, channels = stack("TZC")
    options = process.DenoiseOptions(denoisers.make("gray"), value_range=(0, 10_000))
    error = process.denoise_picture(image_io.read(encoded(noisy, "TZC", "ome")), options, error_map=True).error
    assert error is not None and error.shape == (12 * 48, 64)
    means = error.reshape(12, 48, 64).mean(axis=(1, 2))
    assert means[channels == 1].min() > 2 * means[channels == 0].max()
    (tmp_path / "a.tif").write_bytes(encoded(noisy, "TZC", "ome"))
    monkeypatch.setattr(streaming, "STREAMING_PIXELS", 100)
    process.denoise_file(Job(tmp_path / "a.tif", tmp_path / "b.tif"), options, error_map=tmp_path / "e.tif")
    streamed = tifffile.imread(tmp_path / "e.tif")
    np.testing.assert_allclose(streamed.reshape(12, 48, 64).mean(axis=(1, 2)), means, rtol=0.02)
    mapped = encoded_errors.map_errors(encoded(noisy, "TZC", "ome"), options, gain=4.0).samples
    np.testing.assert_allclose(mapped.reshape(12, 48, 64).mean(axis=(1, 2)) / 4 / 257, means, rtol=0.02, atol=0.1)


def test_the_noise_level_is_that_of_each_channel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, noisy, channels = stack("TZC")
    picture = image_io.read(encoded(noisy, "TZC", "ome"))
    alone = encoded(noisy[channels == 0], "TZ", "ome")  # the noisier one
    sigma = denoisers.inspect_picture(picture).sigma
    assert sigma == pytest.approx(denoisers.inspect_picture(image_io.read(alone)).sigma)
    whole = noise_maps.map_picture(picture)[0].samples().reshape(12, 48, 64)
    own = noise_maps.map_picture(image_io.read(alone))[0].samples().reshape(6, 48, 64)
    np.testing.assert_array_equal(whole[channels == 0], own)
    (tmp_path / "a.tif").write_bytes(encoded(noisy, "TZC", "ome"))
    monkeypatch.setattr(streaming, "STREAMING_PIXELS", 100)
    noise_maps.map_file(tmp_path / "a.tif", tmp_path / "map.png")
    streamed = image_io.read(tmp_path / "map.png").samples().reshape(12, 48, 64)
    assert np.abs(streamed.astype(int) - whole).mean() < 3
    assert noise_maps.inspect_file(tmp_path / "a.tif").sigma == pytest.approx(sigma, rel=0.05)


def test_windows_are_those_of_the_pages(tmp_path: Path) -> None:
    planes = np.arange(12, dtype=np.uint8)[:, None, None].repeat(700, 1).repeat(30, 2)
    (tmp_path / "a.tif").write_bytes(encoded(planes, "TZC", "ome"))
    sample = streaming.sample_windows(image_io.RowReader(tmp_path / "a.tif"), [1, 3, 5, 7, 9, 11])
    assert set(np.unique(np.rint(255 * sample)).astype(int)) <= {1, 3, 5, 7, 9, 11} and sample.shape[1] == 30


def test_what_is_damaged_has_one_channel() -> None:
    _, noisy, _ = stack("TZC")
    data = encoded(noisy, "TZC", "imagej").replace(b"channels=2", b"channels=7")
    assert image_io.read(data).metadata.get("page-channels", ()) == ()
    header = image_io.Header(9, 2, Layout(1), np.dtype(np.uint8), {"page-channels": (0, 1), "page-height": 3})
    assert header.page_channels == (0, 0, 0)
