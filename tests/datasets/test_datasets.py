"""Datasets: files are read as images and pairs, unchanged."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from skimage import transform

from unnoise import datasets, io
from unnoise.datasets.base import ConcatDataset, as_float, with_channels
from unnoise.errors import UnnoiseError
from unnoise.io.value_range import estimate_range


def save(array: np.ndarray, path: Path) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    io.from_array(array).save(path)
    return array


@pytest.fixture
def folder(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Return a folder of three images, one of them in a subfolder, and one file that is not an image."""
    for name, shape in (("b.png", (5, 7, 3)), ("a.png", (6, 4, 3)), ("sub/c.png", (9, 8, 3))):
        save(rng.integers(256, size=shape, dtype=np.uint8), tmp_path / "set" / name)
    (tmp_path / "set" / "README.txt").write_text("no picture")
    return tmp_path / "set"


def test_pictures_come_sorted_and_as_stored(folder: Path) -> None:
    dataset = datasets.make(f"images:{folder}")
    assert [dataset.label(index) for index in range(len(dataset))] == ["a.png", "b.png", str(Path("sub/c.png"))]
    assert [dataset[index].shape for index in range(3)] == [(6, 4, 3), (5, 7, 3), (9, 8, 3)]
    assert dataset[0] is dataset[0], "read once"


@pytest.mark.parametrize(
    ("name", "dtype"), [("8.png", np.uint8), ("16.png", np.uint16), ("16.tif", np.uint16), ("f.tif", np.float32)]
)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_samples_are_those_of_the_file(
    tmp_path: Path, rng: np.random.Generator, name: str, dtype: type, channels: int
) -> None:
    raw = rng.random((5, 6, channels))
    levels = raw if dtype == np.float32 else np.rint(raw * np.iinfo(dtype).max)
    array = save(levels.astype(dtype), tmp_path / name)
    stored = datasets.make(f"images:{tmp_path}")[0]
    assert stored.dtype == dtype
    np.testing.assert_array_equal(stored, array[:, :, :3], err_msg="alpha is no colour")


def test_exclude_list(folder: Path) -> None:
    listing = folder.parent / "leave_out.txt"
    listing.write_text("# why\n\nset/b.png\n  set/sub/c.png  # twice seen\n")
    dataset = datasets.make(f"images:{folder}", exclude=str(listing))
    assert [dataset.label(index) for index in range(len(dataset))] == ["a.png"]


def test_a_misplaced_exclude_list_is_refused(folder: Path) -> None:
    listing = folder.parent / "leave_out.txt"
    listing.write_text("set/b.png\nset/not_there.png\n")
    with pytest.raises(UnnoiseError, match=r"excludes 'not_there\.png', which does not exist"):
        datasets.make(f"images:{folder}", exclude=str(listing))


def test_a_single_file_is_a_dataset(folder: Path) -> None:
    dataset = datasets.make(f"images:{folder / 'b.png'}")
    assert len(dataset) == 1
    assert dataset.label(0) == "b.png"


def test_the_data_root_is_looked_in_last(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNNOISE_DATA", str(folder))
    assert len(datasets.make("images:sub")) == 1
    assert len(datasets.make("images:set")) == 3


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_grey_and_colour(dtype: type) -> None:
    scale = 1 if dtype == np.float32 else np.iinfo(dtype).max
    colours = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1], [0, 0, 0]]) * scale
    grey = with_channels(colours.astype(dtype)[None], 1)
    expected = np.array([0.299, 0.587, 0.114, 1, 0]) * scale
    assert grey.dtype == dtype
    np.testing.assert_allclose(grey[0, :, 0], expected if scale == 1 else np.rint(expected), rtol=1e-6)
    np.testing.assert_array_equal(with_channels(grey, 3), np.concatenate([grey] * 3, axis=2))
    assert with_channels(grey, None) is with_channels(grey, 1) is grey
    with pytest.raises(UnnoiseError, match="2 channels"):
        with_channels(np.zeros((1, 1, 2), np.uint8), 3)


def test_as_float_divides_by_the_full_scale() -> None:
    for array in (np.array([0, 51, 255], np.uint8), np.array([0, 13107, 65535], np.uint16)):
        np.testing.assert_allclose(as_float(array), [0, 0.2, 1], rtol=1e-6)
        assert as_float(array).dtype == np.float32


def test_what_stands_twice_counts_twice(folder: Path) -> None:
    dataset = datasets.make([f"images:{folder}", f"images:{folder / 'sub'}", f"images:{folder}"], channels=1)
    assert isinstance(dataset, ConcatDataset)
    labels = [dataset.label(index) for index in range(len(dataset))]
    assert labels == ["a.png", "b.png", str(Path("sub/c.png")), "c.png", "a.png", "b.png", str(Path("sub/c.png"))]
    assert dataset[0] is dataset[4], "kept in memory once"
    assert dataset[3].shape == (9, 8, 1)
    for index in (-1, 7):
        with pytest.raises(IndexError):
            dataset[index]


def test_pairs_go_by_their_names(tmp_path: Path, rng: np.random.Generator) -> None:
    for ending in ("x_real.png", "x_mean.png", "sub/y_noisy.png", "sub/y_clean.png", "alone_real.png", "other.png"):
        save(rng.integers(256, size=(4, 5, 3), dtype=np.uint8), tmp_path / ending)
    dataset = datasets.make(f"pairs:{tmp_path}", channels=1)
    assert [dataset.label(index) for index in range(len(dataset))] == [str(Path("sub/y_noisy.png")), "x_real.png"]
    noisy, clean = dataset[1]
    np.testing.assert_array_equal(noisy, datasets.make(f"images:{tmp_path / 'x_real.png'}", channels=1)[0])
    np.testing.assert_array_equal(clean, datasets.make(f"images:{tmp_path / 'x_mean.png'}", channels=1)[0])


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("image:set", "did you mean 'images'"),
        ("images", "has no path: write images:FOLDER"),
        ("images:", "has no path"),
        ("images:nowhere", "no data at 'nowhere'.*UNNOISE_DATA"),
        ("images:empty", "no images in"),
        ("pairs:set", "no pairs in"),
    ],
)
def test_missing_data_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch, spec: str, why: str) -> None:
    monkeypatch.chdir(folder.parent)
    Path("empty").mkdir()
    with pytest.raises(UnnoiseError, match=why) as caught:
        datasets.make(spec)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_pictures_are_resized_as_scikit_image_does(tmp_path: Path, photograph: np.ndarray, dtype: type) -> None:
    full = 1 if dtype == np.float32 else np.iinfo(dtype).max
    save((photograph * full).astype(dtype), tmp_path / "a.tif")
    small = datasets.make(f"images:{tmp_path}", size=48)[0]
    assert isinstance(small, np.ndarray)
    assert small.dtype == dtype
    expected = transform.resize(photograph, (48, 48), order=1, anti_aliasing=True)
    np.testing.assert_allclose(as_float(small), expected, atol=1.01 / min(full, 255) if full > 1 else 1e-6)


def test_pairs_are_resized_alike_and_what_fits_is_left(folder: Path, rng: np.random.Generator) -> None:
    for name in ("x_noisy.png", "x_clean.png"):
        save(rng.integers(256, size=(6, 4, 3), dtype=np.uint8), folder.parent / "pairs" / name)
    noisy, clean = datasets.make(f"pairs:{folder.parent / 'pairs'}", size=8)[0]
    assert noisy.shape == clean.shape == (8, 8, 3)
    square = save(rng.integers(256, size=(8, 8, 3), dtype=np.uint8), folder.parent / "square" / "s.png")
    resized = datasets.make([f"images:{folder.parent / 'square'}", f"images:{folder}"], size=8)
    np.testing.assert_array_equal(resized[0], square)
    assert [resized[index].shape for index in range(4)] == [(8, 8, 3)] * 4
    assert (resized.label(0), len(resized)) == ("s.png", 4)


def stack(pages: list[np.ndarray], path: Path) -> None:
    """Write pages of one size as a TIFF."""
    whole = io.from_array(np.concatenate(pages))
    dataclasses.replace(whole, metadata={"page-height": len(pages[0])}).save(path)


def test_each_page_is_a_picture(tmp_path: Path, rng: np.random.Generator) -> None:
    pages = [rng.integers(4000, size=(6, 5, 1), dtype=np.uint16) for _ in range(3)]
    stack(pages, tmp_path / "b.tif")
    first = save(rng.integers(256, size=(4, 4, 1), dtype=np.uint8), tmp_path / "a.png")
    dataset = datasets.make(f"images:{tmp_path}")
    assert [dataset.label(index) for index in range(4)] == ["a.png", *(f"b.tif, page {n}" for n in (1, 2, 3))]
    for index in (2, 0, 3, 1):
        np.testing.assert_array_equal(dataset[index], [first, *pages][index])
    assert dataset[1] is dataset[1]


def test_white_is_that_of_the_file_as_in_the_main_job(tmp_path: Path, rng: np.random.Generator) -> None:
    dim, bright = (rng.integers(top, size=(6, 5, 1), dtype=np.uint16) for top in (300, 4000))
    bright[0, 0] = 4000
    stack([dim, bright], tmp_path / "12.tif")
    counts = save((1000 * rng.random((6, 5, 1))).astype(np.float32), tmp_path / "counts.tif")
    eight = save(rng.integers(256, size=(4, 4, 1), dtype=np.uint8), tmp_path / "eight.png")
    dataset = datasets.make(f"images:{tmp_path}", white=True)
    expected = [dim / 4095, bright / 4095, estimate_range(counts, counts.dtype).normalize(counts), eight / 255]
    for index, picture in enumerate(expected):
        assert dataset[index].dtype == np.float32
        np.testing.assert_allclose(dataset[index], picture, rtol=1e-5, atol=1e-6)
    with pytest.raises(UnnoiseError, match=r"data.normalize_white needs images: or pairs: datasets"):
        datasets.make("mnist:somewhere", white=True)


def test_two_shots_have_the_white_of_the_brighter(tmp_path: Path) -> None:
    shots = [save(np.full((4, 4, 1), top, np.uint16), tmp_path / f"x_shot{n}.tif") for n, top in ((1, 900), (2, 3000))]
    noisy, second = datasets.make(f"pairs:{tmp_path}", white=True)[0]
    np.testing.assert_allclose([noisy, second], np.array(shots) / 4095, rtol=1e-6)


def test_whole_pictures_of_many_are_held_back(tmp_path: Path) -> None:
    for index in range(12):
        save(np.full((4, 4, 1), index, np.uint8), tmp_path / f"{index:02d}.png")
    learned, held = datasets.split(datasets.make(f"images:{tmp_path}"), 0.25, 4)
    values = [[int(one[index][0, 0, 0]) for index in range(len(one))] for one in (learned, held)]
    assert values == [[0, 1, 3, 4, 5, 7, 8, 9, 11], [2, 6, 10]]
    assert held.label(1) == "06.png"


def test_of_few_pictures_the_lowest_rows_are_held_back(tmp_path: Path, rng: np.random.Generator) -> None:
    tall = save(rng.integers(256, size=(50, 8, 1), dtype=np.uint8), tmp_path / "tall.png")
    dataset = datasets.make(f"images:{tmp_path}")
    for share, least, rows in ((0.1, 16, 16), (0.4, 16, 20)):
        learned, held = datasets.split(dataset, share, least)
        np.testing.assert_array_equal(learned[0], tall[: 50 - rows])
        np.testing.assert_array_equal(held[0], tall[50 - rows :])
    with pytest.raises(UnnoiseError, match=r"'tall.png' has 50 rows: too few to hold out some with patches of 32"):
        datasets.split(dataset, 0.1, 32)


def test_both_of_a_pair_are_held_back_alike(tmp_path: Path, rng: np.random.Generator) -> None:
    for name in ("x_shot1.png", "x_shot2.png"):
        save(rng.integers(256, size=(40, 8, 1), dtype=np.uint8), tmp_path / name)
    dataset = datasets.make(f"pairs:{tmp_path}")
    _, held = datasets.split(dataset, 0.1, 8)
    np.testing.assert_array_equal(held[0], np.array(dataset[0])[:, 32:])
