"""Images of any number of channels, and nodata values: what is denoised, and what comes back."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile

import unnoise
from unnoise import denoisers, io as image_io
from unnoise.denoisers.base import Denoiser, Sigma
from unnoise.errors import UnnoiseError
from unnoise.io.layout import Layout, layout_of_array
from unnoise.pipeline import process, streaming
from unnoise.pipeline.jobs import Job
from unnoise.service.limits import Limits
from unnoise.service.operations import DenoiseRequest, Operations

BASES = {"minisblack": 1, "rgb": 3, "separated": 4}
FULL = {"uint8": 255, "uint16": 4095, "float32": 1}


class Moved(Denoiser):
    """Adds a tenth of the full scale, so that what was denoised is seen."""

    halo = 0

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        return noisy + np.float32(0.1)


def scene(channels: int, size: tuple[int, int] = (96, 112), sigma: float = 0.08) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy and clean float32 `[H, W, C]`, whose channels differ."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    clean = np.stack([0.5 + 0.3 * np.sin(rows / (9 + c) + columns / 7 + 2 * c) for c in range(channels)], axis=2)
    noise = np.random.default_rng(1).normal(0, sigma, clean.shape)
    return (clean + noise).astype(np.float32), clean.astype(np.float32)


def write(path: Path, pages: np.ndarray, photometric: str, planar: str = "contig", **options: object) -> None:
    """Write `[N, H, W, C]` as the pages of a TIFF."""
    with tifffile.TiffWriter(path) as file:
        for page in pages:
            samples = page.transpose(2, 0, 1) if planar == "separate" else page
            layout = {"planarconfig": planar} if page.shape[2] > 1 else {}
            file.write(samples.squeeze(), photometric=photometric, metadata=None, contiguous=False, **layout, **options)


def tags(path: Path) -> list[tuple[object, ...]]:
    """Return what each page says of its samples."""
    with tifffile.TiffFile(path) as file:
        return [(page.photometric, page.samplesperpixel, page.extrasamples, page.dtype) for page in file.pages]


def stored(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    with tifffile.TiffFile(path) as file:
        planes = [page.asarray() for page in file.pages]
        separate = file.pages.first.planarconfig == 2
    return np.stack([plane.transpose(1, 2, 0) if separate else plane for plane in planes]).reshape(shape)


def run(source: Path, target: Path, denoiser: Denoiser, *, large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Denoise a file in memory or in strips."""
    monkeypatch.setattr(streaming, "STREAMING_PIXELS", 1 if large else 10**9)
    options = process.DenoiseOptions(denoiser, value_range=(0, 1), overwrite=True)
    process.denoise_file(Job(source, target), options)


@pytest.mark.parametrize("large", [False, True], ids=["memory", "strips"])
@pytest.mark.parametrize("pages", [1, 2])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize(
    ("photometric", "extras"),
    [
        *(("minisblack", extras) for extras in ((0,), (2,), (0, 0), (0, 0, 0), (0, 0, 0, 0), (0, 2), (2, 0), (1, 0))),
        *(("rgb", extras) for extras in ((), (0,), (2,), (0, 0), (0, 2), (2, 0, 0), (1, 0))),
        *(("separated", extras) for extras in ((), (0,), (2,))),
    ],
)
def test_only_declared_alpha_is_kept_and_all_samples_come_back_as_they_were(
    photometric: str, extras: tuple[int, ...], planar: str, pages: int, large: bool, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    source, target, base = tmp_path / "in.tif", tmp_path / "out.tif", BASES[photometric]
    samples = np.random.default_rng(0).random((pages, 20, 23, base + len(extras))).astype(np.float32)
    write(source, samples, photometric, planar, **({"extrasamples": extras} if extras else {}))
    run(source, target, Moved(), large=large, monkeypatch=monkeypatch)
    assert tags(target) == tags(source)
    moved = np.array([0.1] * base + [0.1 if kind == 0 else 0 for kind in extras])
    np.testing.assert_allclose(stored(target, samples.shape), samples + moved, atol=1e-6)


@pytest.mark.parametrize("large", [False, True], ids=["memory", "strips"])
@pytest.mark.parametrize("dtype", FULL)
@pytest.mark.parametrize("channels", [2, 4, 5, 7])
def test_each_channel_is_denoised_as_a_gray_image(
    channels: int, dtype: str, large: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scale = FULL[dtype] * (np.arange(channels) % 3 + 1) / 3 if dtype != "uint8" else np.full(channels, 255)
    noisy = scene(channels)[0] * scale
    samples = noisy.astype(dtype) if dtype == "float32" else noisy.round().clip(0, FULL[dtype]).astype(dtype)
    source, target = tmp_path / "in.tif", tmp_path / "out.tif"
    write(source, samples[None], "minisblack", extrasamples=[0] * (channels - 1))
    monkeypatch.setattr(streaming, "STREAMING_PIXELS", 1 if large else 10**9)
    process.denoise_file(Job(source, target), process.DenoiseOptions(denoisers.make("gray"), sigma=0.08))
    each = [unnoise.denoise(samples[:, :, c], "gray", sigma=0.08 * 255) for c in range(channels)]
    made = stored(target, samples.shape)
    assert np.abs(made.astype(float) - np.stack(each, axis=2)).max() <= (1e-5 if dtype == "float32" else 1)
    if channels != 4:
        np.testing.assert_allclose(unnoise.denoise(samples, "gray", sigma=0.08 * 255), made, atol=1)
    np.testing.assert_allclose(unnoise.denoise(samples, "gray", sigma=0.08 * 255, alpha=False), made, atol=1)


def test_a_missing_tag_means_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.random.default_rng(0).random((1, 20, 23, 4)).astype(np.float32)
    source, target = tmp_path / "in.tif", tmp_path / "out.tif"
    write(source, samples, "rgb", extrasamples=[0])
    data = bytearray(source.read_bytes())
    with tifffile.TiffFile(source) as file:
        at = file.pages.first.tags[338].offset
    data[at : at + 2] = (60000).to_bytes(2, "little")  # a private tag in its place
    source.write_bytes(data)
    run(source, target, Moved(), large=False, monkeypatch=monkeypatch)
    np.testing.assert_allclose(stored(target, samples.shape), samples + 0.1, atol=1e-6)
    assert [int(kind) for kind in tags(target)[0][2]] == [0]


@pytest.mark.parametrize(("count", "large"), [(70, False), (70, True), (66, False)])
def test_more_samples_than_libvips_labels_stay_data(
    count: int, large: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "STREAMING_PIXELS", 100 if large else 10**9)
    planes = np.random.default_rng(0).integers(0, 255, (2, 20, 24, count), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="minisblack", planarconfig="contig")
    process.denoise_file(Job(tmp_path / "a.tif", tmp_path / "b.tif"), process.DenoiseOptions(denoisers.make("median")))
    with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
        assert len(tiff.pages) == 2
        for page in tiff.pages:
            assert tuple(map(int, page.tags[338].value)) == (0,) * (count - 1)  # type: ignore[union-attr]
    assert image_io.read(tmp_path / "b.tif").layout == image_io.read(tmp_path / "a.tif").layout


def test_subsampled_colors_stay_three_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """libvips reads YCbCr as RGB with an opaque alpha."""
    ycc = np.full((1, 32, 48, 3), (100, 128, 128), np.uint8)  # gray
    data = bytearray(tiff_of_blocks(ycc[0]))
    source, target = tmp_path / "in.tif", tmp_path / "out.tif"
    source.write_bytes(data)
    assert image_io.read(source).layout == image_io.RowReader(source).header.layout == Layout(3)
    run(source, target, Moved(), large=False, monkeypatch=monkeypatch)
    assert stored(target, ycc.shape).shape == ycc.shape and tags(target)[0][1:3] == (3, ())


def tiff_of_blocks(ycc: np.ndarray) -> bytes:
    """Return an uncompressed TIFF of YCbCr with 2x2 subsampling: four Y, then Cb and Cr (TIFF 6.0, section 21)."""
    height, width = ycc.shape[:2]
    blocks = np.empty((height // 2, width // 2, 6), np.uint8)
    blocks[:, :, :4] = (
        ycc[:, :, 0].reshape(height // 2, 2, width // 2, 2).transpose(0, 2, 1, 3).reshape(*blocks.shape[:2], 4)
    )
    blocks[:, :, 4:] = ycc[::2, ::2, 1:]
    fields = {256: (3, [width]), 257: (3, [height]), 258: (3, [8, 8, 8]), 259: (3, [1]), 262: (3, [6]), 277: (3, [3]),
              278: (3, [height]), 279: (4, [blocks.size]), 530: (3, [2, 2])}  # fmt: skip
    start = 8 + 2 + 12 * (len(fields) + 1) + 4
    fields[273] = (4, [start + 6])
    entries, outside = b"", b""
    for tag, (kind, values) in sorted(fields.items()):
        data = b"".join(value.to_bytes(2 if kind == 3 else 4, "little") for value in values)
        if len(data) > 4:
            data, outside = start.to_bytes(4, "little"), data
        entries += tag.to_bytes(2, "little") + kind.to_bytes(2, "little") + len(values).to_bytes(4, "little")
        entries += data.ljust(4, b"\0")
    directory = len(fields).to_bytes(2, "little") + entries + bytes(4)
    return b"II*\0" + (8).to_bytes(4, "little") + directory + outside + blocks.tobytes()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".avif", ".gif"])
@pytest.mark.parametrize("channels", [2, 5])
def test_other_formats_refuse_data_channels(channels: int, suffix: str) -> None:
    picture = image_io.from_array(np.zeros((8, 8, channels), np.uint8))
    with pytest.raises(UnnoiseError, match=f"{channels} channels that are no color image: write .tif"):
        image_io.encode(picture, suffix)


@pytest.mark.parametrize(
    ("channels", "alpha", "expected"),
    [
        (1, None, Layout(1)), (2, None, Layout(1, (0,))), (3, None, Layout(3)), (4, None, Layout(3, (2,))),
        (5, None, Layout(1, (0,) * 4)), (2, True, Layout(1, (2,))), (4, False, Layout(1, (0,) * 3)),
        (5, True, Layout(1, (0, 0, 0, 2))), (3, True, Layout(1, (0, 2))),
    ],
)  # fmt: skip
def test_layout_of_arrays(channels: int, alpha: bool | None, expected: Layout) -> None:
    assert layout_of_array(channels, alpha) == expected


def test_alpha_needs_a_channel_beside_it() -> None:
    with pytest.raises(UnnoiseError, match="no channel beside alpha"):
        unnoise.denoise(np.zeros((4, 4, 1), np.uint8), "median", alpha=True)


def test_auto_inspect_noise_and_errors_agree_on_every_channel() -> None:
    """Each channel has units of its own: noise of sigma 20 of 255 is that much in each."""
    _, clean = scene(2, (160, 160))
    units = np.array([1, 1000], np.float32)
    noisy = unnoise.add_noise(clean * units, "gaussian:20")
    deviation = np.std((noisy - clean * units) / units, axis=(0, 1))
    np.testing.assert_allclose(deviation, 20 / 255, rtol=0.05)
    assert 255 * unnoise.inspect(noisy).sigma == pytest.approx(20, rel=0.15)
    out, error = unnoise.denoise_with_error(noisy)
    of_alone = []
    for channel in range(2):
        alone, expected = unnoise.denoise_with_error(noisy[:, :, channel])
        of_alone.append(expected)
        np.testing.assert_allclose(out[:, :, channel], alone, rtol=1e-5)
        assert (
            np.std(out[..., channel] - clean[..., channel] * units[channel]) < 0.4 * deviation[channel] * units[channel]
        )
    np.testing.assert_allclose(error, np.sqrt(np.mean(np.square(of_alone), axis=0)), rtol=1e-4)


def test_error_maps_in_strips_equal_those_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noisy, _ = scene(2, (90, 70))
    write(tmp_path / "in.tif", noisy[None] * np.array([1, 300], np.float32), "minisblack", extrasamples=[0])
    maps = []
    for large in (False, True):
        monkeypatch.setattr(streaming, "STREAMING_PIXELS", 1 if large else 10**9)
        options = process.DenoiseOptions(denoisers.make("median"), sigma=0.08, overwrite=True)
        job = Job(tmp_path / "in.tif", tmp_path / "out.tif")
        process.denoise_file(job, options, error_map=tmp_path / f"{large}.tif")
        maps.append(tifffile.imread(tmp_path / f"{large}.tif"))
    np.testing.assert_allclose(maps[0], maps[1], rtol=1e-4)


def test_the_service_denoises_and_shows_data_channels(tmp_path: Path) -> None:
    noisy, _ = scene(5)
    write(tmp_path / "in.tif", (255 * noisy.clip(0, 1)).astype(np.uint8)[None], "minisblack", extrasamples=[0] * 4)
    data, operations = (tmp_path / "in.tif").read_bytes(), Operations(Limits())
    request = DenoiseRequest(model="gray", sigma=20)
    made = operations.denoise(data, request, lambda _: None)
    expected = unnoise.denoise(tmp_path / "in.tif", "gray", sigma=20).to_array()
    np.testing.assert_array_equal(image_io.read(made.data).to_array(), expected)
    assert operations.inspect(data, None, lambda _: None).colours == 5
    shown = operations.preview(data, request, (0, 0, None, None), lambda _: None)
    assert image_io.read(shown.data).pixels.shape[:2] == noisy.shape[:2]
    assert operations.uncertainty(data, request, 1.0, lambda _: None).pixels == noisy[..., 0].size


# Nodata values


@pytest.mark.parametrize("large", [False, True], ids=["memory", "strips"])
@pytest.mark.parametrize(
    ("dtype", "text"),
    [("uint8", "0"), ("uint16", "65535"), ("uint16", "700"), ("int16", "-32768"), ("float32", "-9999"),
     ("float32", "-3.4028234663852886e+38"), ("float32", "0.5"), ("float32", "-inf")],
)  # fmt: skip
def test_nodata_values_are_missing(
    dtype: str, text: str, large: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have no influence on the others, and come back as they were, whatever value it is."""
    noisy = scene(1, (192, 200))[0][:, :, 0]
    samples = noisy if dtype == "float32" else (noisy.clip(0, 1) * {"uint8": 255}.get(dtype, 4095)).astype(dtype)
    value = np.array(float(text)).astype(dtype)
    samples = np.where(samples == value, samples + np.ones((), dtype), samples)
    hole = np.zeros(samples.shape, bool)
    hole[:50, :60], hole[:, 193:] = True, True
    results = []
    for number, tag in enumerate((text, text if dtype != "float32" else "nan")):
        source, target = tmp_path / f"{number}.tif", tmp_path / f"{number}.clean.tif"
        there = np.where(hole, value if tag == text else np.nan, samples).astype(dtype)
        write(source, there[None, :, :, None], "minisblack", extratags=[(42113, "s", 0, tag, True)])
        monkeypatch.setattr(streaming, "STREAMING_PIXELS", 1 if large else 10**9)
        process.denoise_file(Job(source, target), process.DenoiseOptions(denoisers.make("auto")))
        results.append(stored(target, samples.shape))
    np.testing.assert_array_equal(results[0][hole], value)
    with tifffile.TiffFile(tmp_path / "0.clean.tif") as file:
        assert file.pages.first.tags[42113].value == text
    np.testing.assert_array_equal(results[0][~hole], results[1][~hole])
    assert (results[0][~hole] != samples[~hole]).mean() > 0.5
    if dtype in ("uint16", "float32"):  # masks of NumPy mean the same
        masked = unnoise.denoise(np.ma.masked_array(samples, hole))
        np.testing.assert_allclose(masked.data[~hole], results[0][~hole], rtol=1e-5)


def test_nodata_beside_nan_keeps_both(tmp_path: Path) -> None:
    noisy = scene(1)[0]
    noisy[:10], noisy[20:30] = -9999, np.nan
    write(tmp_path / "in.tif", noisy[None], "minisblack", extratags=[(42113, "s", 0, "-9999", True)])
    back = unnoise.denoise(tmp_path / "in.tif", "gray", sigma=20).to_array()
    assert (back[:10] == -9999).all() and np.isnan(back[20:30]).all() and np.isfinite(back[30:]).all()


@pytest.mark.parametrize("text", ["nan", "none", "", "1e400", "70000", "2.5"])
def test_a_nodata_value_that_no_sample_can_have_changes_nothing(text: str, tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(0, 4096, (1, 16, 16, 1)).astype(np.uint16)
    write(tmp_path / "in.tif", samples, "minisblack", extratags=[(42113, "s", 0, text, True)])
    assert np.isfinite(image_io.read(tmp_path / "in.tif").pixels).all()


def test_nodata_is_read_from_bytes_too() -> None:
    file = io.BytesIO()
    tifffile.imwrite(file, np.full((4, 4), -1, np.float32), extratags=[(42113, "s", 0, "-1", True)])
    assert not np.isfinite(image_io.read(file.getvalue()).pixels).any()
