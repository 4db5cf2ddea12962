"""MNIST: digits from IDX files, and the errors for invalid files."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from unnoise import datasets
from unnoise.datasets.base import with_channels
from unnoise.datasets.mnist import Mnist
from unnoise.errors import UnnoiseError

IMAGES, LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


def idx(array: np.ndarray) -> bytes:
    """Write an array of bytes in the IDX format."""
    lengths = b"".join(length.to_bytes(4, "big") for length in array.shape)
    return bytes([0, 0, 0x08, array.ndim]) + lengths + array.tobytes()


@pytest.fixture
def digits(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(256, size=(5, 28, 28), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path, digits: np.ndarray) -> Path:
    """Return a folder with five test digits, the pictures compressed and the labels not."""
    (tmp_path / f"{IMAGES}.gz").write_bytes(gzip.compress(idx(digits)))
    (tmp_path / LABELS).write_bytes(idx(np.array([7, 2, 1, 0, 4], np.uint8)))
    return tmp_path


@pytest.mark.parametrize("channels", [None, 1, 3])
def test_digits_and_labels_as_stored(folder: Path, digits: np.ndarray, channels: int | None) -> None:
    dataset = datasets.make(f"mnist:{folder}#test", channels=channels)
    assert isinstance(dataset, Mnist)
    assert len(dataset) == 5
    for index in range(5):
        assert dataset[index].dtype == np.uint8
        np.testing.assert_array_equal(dataset[index], with_channels(digits[index][:, :, None], channels))
    assert dataset.labels.tolist() == [7, 2, 1, 0, 4]
    assert dataset.label(3) == "test 3 (0)"
    with pytest.raises(IndexError):
        dataset[5]


def test_training_is_the_first_part(folder: Path) -> None:
    with pytest.raises(UnnoiseError, match=r"no file 'train-images-idx3-ubyte'.*nor"):
        datasets.make(f"mnist:{folder}")
    for name in (f"{IMAGES}.gz", LABELS):
        (folder / name).rename(folder / name.replace("t10k", "train"))
    assert len(datasets.make(f"mnist:{folder}")) == len(datasets.make(f"mnist:{folder}#train")) == 5


PICTURES = np.zeros((5, 28, 28), np.uint8)


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        (IMAGES, idx(PICTURES)[:-1], "must hold 5x28x28 values and holds 3919"),
        (IMAGES, idx(PICTURES) + b"\0", "must hold 5x28x28 values and holds 3921"),
        (IMAGES, idx(PICTURES)[:12], "not an IDX file of unsigned bytes in 3 dimensions"),
        (IMAGES, idx(PICTURES[0]), "not an IDX file of unsigned bytes in 3"),
        (IMAGES, b"\0\0\x0d\x03" + idx(PICTURES)[4:], "not an IDX file of unsigned bytes"),
        (IMAGES, b"", "not an IDX file"),
        (IMAGES, idx(PICTURES[:4]), "4 images and 5 labels"),
        (IMAGES, gzip.compress(idx(PICTURES), mtime=0)[:-9], "cannot read"),
        (IMAGES, gzip.compress(idx(PICTURES), mtime=0)[:12] + b"rot" * 50, "cannot read"),
        (LABELS, idx(PICTURES), "not an IDX file of unsigned bytes in 1 dimensions"),
        (LABELS, idx(PICTURES[0, 0, :4]), "5 images and 4 labels"),
    ],
)
def test_invalid_files_give_a_one_line_error(folder: Path, name: str, data: bytes, why: str) -> None:
    (folder / name).write_bytes(data)  # the plain file is preferred to the compressed one
    with pytest.raises(UnnoiseError, match=why) as caught:
        datasets.make(f"mnist:{folder}#test")
    assert "\n" not in str(caught.value)


def test_no_digits_at_all(folder: Path) -> None:
    (folder / IMAGES).write_bytes(idx(PICTURES[:0]))
    (folder / LABELS).write_bytes(idx(PICTURES[:0, 0, 0]))
    with pytest.raises(UnnoiseError, match="0 images and 0 labels"):
        datasets.make(f"mnist:{folder}#test")


def test_invalid_spec_gives_a_one_line_error(folder: Path) -> None:
    with pytest.raises(UnnoiseError, match="did you mean 'test'"):
        datasets.make(f"mnist:{folder}#tests")
    with pytest.raises(UnnoiseError, match="no files of single images"):
        datasets.make(f"mnist:{folder}#test", exclude="list.txt")


def test_the_real_digits(data_root: Path) -> None:
    test, training = (datasets.make(f"mnist:{data_root / 'mnist'}#{part}") for part in ("test", "train"))
    assert (len(training), len(test)) == (60_000, 10_000)
    assert isinstance(test, Mnist)
    assert test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    pixels = np.stack([test[index] for index in range(len(test))]) / 255
    assert pixels.mean() == pytest.approx(0.1325, abs=1e-4), "as known: 0.1307 on the training digits"
