"""STL-10: its column-major binary files, and ranges of their images."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from unnoise import datasets
from unnoise.datasets import stl10
from unnoise.datasets.base import with_channels
from unnoise.errors import UnnoiseError


@pytest.fixture
def pictures(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(256, size=(10, 96, 96, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path, pictures: np.ndarray) -> Path:
    """Return a folder with ten training pictures."""
    stl10.write(pictures, tmp_path / "train_X.bin")
    return tmp_path


@pytest.mark.parametrize("channels", [None, 3, 1])
def test_what_is_written_is_read(folder: Path, pictures: np.ndarray, channels: int | None) -> None:
    dataset = datasets.make(f"stl10:{folder}", channels=channels)
    assert len(dataset) == 10
    for index in range(10):
        assert dataset[index].dtype == np.uint8
        np.testing.assert_array_equal(dataset[index], with_channels(pictures[index], channels))
    assert dataset.label(3) == "train 3"
    with pytest.raises(IndexError):
        dataset[10]


def test_the_layout_is_that_of_the_files(folder: Path, pictures: np.ndarray) -> None:
    stored = (folder / "train_X.bin").read_bytes()
    assert len(stored) == 10 * 96 * 96 * 3
    # Of the second picture, its green plane: the first column from top to bottom, then the second column.
    begin = (3 + 1) * 96 * 96
    assert list(stored[begin : begin + 96]) == pictures[1, :, 0, 1].tolist()
    assert list(stored[begin + 96 : begin + 192]) == pictures[1, :, 1, 1].tolist()


@pytest.mark.parametrize(
    ("stretch", "first", "count"),
    [
        (":0..0.9", 0, 9),
        (":0.9..1", 9, 1),
        (":0..1", 0, 10),
        (":0..4", 0, 4),
        (":4..", 4, 6),
        (":0.5..", 5, 5),
        (":7..10", 7, 3),
    ],
)
def test_stretches(folder: Path, pictures: np.ndarray, stretch: str, first: int, count: int) -> None:
    dataset = datasets.make(f"stl10:{folder}#train{stretch}")
    assert len(dataset) == count
    np.testing.assert_array_equal(dataset[0], pictures[first])
    np.testing.assert_array_equal(dataset[count - 1], pictures[first + count - 1])
    assert dataset.label(0) == f"train {first}"
    with pytest.raises(IndexError):
        dataset[count]


def test_the_file_is_mapped_and_not_sent_to_other_processes(folder: Path, pictures: np.ndarray) -> None:
    dataset = datasets.make(f"stl10:{folder}#train:2..5")
    assert isinstance(dataset, stl10.Stl10)
    assert isinstance(dataset.pixels, np.memmap)
    sent = pickle.dumps(dataset)
    assert len(sent) < 2000
    np.testing.assert_array_equal(pickle.loads(sent)[1], pictures[3])


def test_nothing_is_left_of_a_file_that_cannot_be_written(tmp_path: Path, pictures: np.ndarray) -> None:
    for wrong in (np.zeros((96, 96, 1), np.uint8), np.zeros((96, 96, 3), np.float32)):
        with pytest.raises(UnnoiseError, match="images must be uint8 96x96x3, got"):
            stl10.write([pictures[0], wrong], tmp_path / "test_X.bin")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("nowhere", "no data at 'nowhere'"),
        (".#tset", "unknown part 'tset': did you mean 'test'"),
        (".#test", "cannot read 'test_X.bin': No such file"),
        (".#unlabeled", "has 1000 bytes, not a multiple of 27648"),
        (".#train:0..11", "beyond the 10 images"),
        (".#train:0.5..0.5", "the range 0.5..0.5 is empty"),
        (".#train:10..", "or beyond the"),
        (".#train:half", "cannot read the range 'half'"),
    ],
)
def test_errors_name_the_cause(folder: Path, monkeypatch: pytest.MonkeyPatch, spec: str, why: str) -> None:
    monkeypatch.chdir(folder)
    Path("unlabeled_X.bin").write_bytes(bytes(1000))
    with pytest.raises(UnnoiseError, match=why) as caught:
        datasets.make(f"stl10:{spec}")
    assert "\n" not in str(caught.value)


def test_no_single_pictures_can_be_left_out(folder: Path) -> None:
    with pytest.raises(UnnoiseError, match=r"data.exclude does not work"):
        datasets.make(f"stl10:{folder}", exclude="list.txt")
