"""The main job loses nothing but noise: depth, grey, alpha, profile, EXIF, orientation, size, NaN; as others read it.

Everything here goes through the command with its default model and the level that it finds.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps

from unnoise import cli, image_io

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LEVEL = 20 / 255


@pytest.fixture(scope="module")
def truth(photograph: np.ndarray) -> np.ndarray:
    return photograph[:96, :112]


@pytest.fixture(scope="module")
def noisy(truth: np.ndarray) -> np.ndarray:
    """Return the picture with noise, clipped to [0, 1]."""
    return np.clip(truth + np.random.default_rng(1).normal(0, LEVEL, truth.shape), 0, 1).astype(np.float32)


def cleaned(path: Path, *options: str) -> Path:
    """Clean a file; return the output."""
    with pytest.raises(SystemExit) as left:
        cli.main([str(path), *options])
    assert left.value.code == 0
    return path.with_name(f"{path.stem}.clean{path.suffix}")


def opened(path: Path) -> Image.Image:
    return Image.open(io.BytesIO(path.read_bytes()))


def levels(pixels: np.ndarray, dtype: str) -> np.ndarray:
    return np.rint(pixels * np.iinfo(dtype).max).astype(dtype)


def assert_cleaner(clean: np.ndarray, noisy: np.ndarray, truth: np.ndarray, full: float = 1.0) -> None:
    """The error has fallen to less than half in power, which is 3 dB."""
    assert clean.shape == noisy.shape
    before, after = (np.square(picture / full - truth).mean() for picture in (noisy.astype(float), clean.astype(float)))
    assert after < before / 2


# Depth


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_integers_keep_their_depth(
    truth: np.ndarray, noisy: np.ndarray, tmp_path: Path, suffix: str, channels: int, dtype: str
) -> None:
    given = levels(noisy[:, :, :channels], dtype).squeeze()
    path = tmp_path / f"x{suffix}"
    image_io.from_array(given).save(path)
    data = cleaned(path).read_bytes()
    if suffix == ".tif":
        clean = tifffile.imread(io.BytesIO(data))
    else:
        assert (data[24], data[25]) == (8 * given.dtype.itemsize, {1: 0, 3: 2}[channels]), (
            "depth and colour of its header"
        )
        clean = image_io.read(data).to_array().squeeze()
    assert clean.dtype == dtype
    assert_cleaner(clean, given, truth[:, :, :channels].squeeze(), np.iinfo(dtype).max)
    if dtype == "uint16":
        assert (clean % 257 != 0).mean() > 0.9, "more than 8 of the 16 bits are used"


def test_floats_stay_floats(truth: np.ndarray, noisy: np.ndarray, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.tif", noisy, photometric="rgb")
    clean = tifffile.imread(cleaned(tmp_path / "x.tif"))
    assert clean.dtype == np.float32
    assert_cleaner(clean, noisy, truth)


@pytest.mark.parametrize("options", [[], ["--sigma", "20"]], ids=["found", "told"])
def test_nan_and_infinity_stay_and_do_not_spread(truth, noisy, tmp_path: Path, options: list[str]) -> None:
    given = noisy.copy()
    given[10, 10], given[50:53, 60, 0], given[0, 0, 2] = np.nan, np.inf, -np.inf
    tifffile.imwrite(tmp_path / "x.tif", given, photometric="rgb")
    clean = tifffile.imread(cleaned(tmp_path / "x.tif", *options))
    lost = ~np.isfinite(given)
    np.testing.assert_array_equal(clean[lost], given[lost])
    assert np.isfinite(clean[~lost]).all()
    assert_cleaner(clean[~lost], noisy[~lost], truth[~lost])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_picture_without_a_single_number(tmp_path: Path, value: float) -> None:
    given = np.full((9, 8, 3), value, np.float32)
    tifffile.imwrite(tmp_path / "x.tif", given, photometric="rgb")
    np.testing.assert_array_equal(tifffile.imread(cleaned(tmp_path / "x.tif")), given)


# What lies beside the pixels


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_alpha_stays_bit_for_bit(truth, noisy, rng: np.random.Generator, tmp_path: Path, dtype: str) -> None:
    alpha = rng.integers(0, np.iinfo(dtype).max, (*noisy.shape[:2], 1), dtype=dtype, endpoint=True)
    alpha[:30] = 0  # the colours below count as well
    given = np.concatenate([levels(noisy, dtype), alpha], axis=2)
    image_io.from_array(given).save(tmp_path / "x.png")
    clean = image_io.read(cleaned(tmp_path / "x.png")).to_array()
    assert clean.dtype == dtype
    np.testing.assert_array_equal(clean[:, :, 3:], alpha)
    assert_cleaner(clean[:, :, :3], given[:, :, :3], truth, np.iinfo(dtype).max)


def test_a_sideways_jpeg_comes_back_upright_with_all_it_knew(truth, noisy, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x112], exif[0x10F], exif[0x8769] = 6, "Maker", {0x829A: (1, 60), 0x9003: "2024:05:06 07:08:09"}
    lying = np.rot90(levels(noisy, "uint8"))  # orientation 6: to be turned by 90 degrees clockwise
    Image.fromarray(lying).save(
        tmp_path / "x.jpg", exif=exif, icc_profile=SRGB, quality=98, subsampling=0, dpi=(300, 300)
    )
    image = opened(cleaned(tmp_path / "x.jpg"))
    assert image.format == "JPEG" and image.size == (112, 96)
    assert image.info["icc_profile"] == SRGB and image.info["dpi"] == (300, 300)
    told = image.getexif()
    assert (told.get(0x112, 1), told[0x10F]) == (1, "Maker")
    assert told.get_ifd(0x8769)[0x9003] == "2024:05:06 07:08:09"
    upright = np.asarray(ImageOps.exif_transpose(opened(tmp_path / "x.jpg")))
    assert_cleaner(np.asarray(image), upright, truth, 255)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".avif"])
def test_a_profile_stays(noisy: np.ndarray, tmp_path: Path, suffix: str) -> None:
    options = {} if suffix == ".tif" else {"lossless": True}
    Image.fromarray(levels(noisy, "uint8")).save(tmp_path / f"x{suffix}", icc_profile=SRGB, **options)
    assert opened(cleaned(tmp_path / f"x{suffix}")).info["icc_profile"] == SRGB


# Sizes and flat pictures


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (7, 5), (6, 8), (3000, 8), (8, 3001)], ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_size_goes_through(tmp_path: Path, size: tuple[int, int], channels: int) -> None:
    y, x = np.mgrid[: size[0], : size[1]]
    truth = (0.5 + 0.3 * np.sin(x / 3 + y / 40))[:, :, None] * np.ones(channels)
    noise = np.random.default_rng(2).normal(0, LEVEL, truth.shape)
    given = levels(truth + noise, "uint8")
    image_io.from_array(given).save(tmp_path / "x.png")
    clean = image_io.read(cleaned(tmp_path / "x.png")).to_array()
    assert clean.shape == given.shape
    told = image_io.read(cleaned(tmp_path / "x.png", "--sigma", "20", "--overwrite")).to_array()
    assert told.shape == given.shape
    assert np.abs(told - 255 * truth).mean() < 40
    if truth.size > 10_000:
        assert_cleaner(told, given, truth, 255)


@pytest.mark.parametrize("value", [0, 1, 100, 255])
@pytest.mark.parametrize(
    ("dtype", "size"), [("uint8", (40, 33)), ("uint16", (40, 33)), ("uint8", (1, 1)), ("uint8", (5, 3))]
)
def test_a_constant_picture_comes_back(tmp_path: Path, dtype: str, size: tuple[int, int], value: int) -> None:
    given = np.full((*size, 3), value * (np.iinfo(dtype).max // 255), dtype)
    image_io.from_array(given).save(tmp_path / "x.png")
    clean = image_io.read(cleaned(tmp_path / "x.png")).to_array()
    assert np.abs(clean.astype(int) - given).max() <= np.iinfo(dtype).max // 255, "within one level of 8 bits"


def test_a_black_picture_in_two_halves_comes_back(tmp_path: Path) -> None:
    given = np.zeros((40, 40, 3), np.uint8)
    given[:, 20:] = 80, 0, 200
    image_io.from_array(given).save(tmp_path / "x.png")
    clean = image_io.read(cleaned(tmp_path / "x.png")).to_array()
    assert np.abs(clean.astype(int) - given).max() <= 2
