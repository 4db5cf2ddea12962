"""CIFAR-100: both versions of its files; malicious pickles are refused."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fakes import Hostile
from unnoise import datasets
from unnoise.datasets import cifar100
from unnoise.datasets.base import with_channels
from unnoise.errors import UnnoiseError


@pytest.fixture
def pictures(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(256, size=(6, 32, 32, 3), dtype=np.uint8)


def planes(pictures: np.ndarray) -> np.ndarray:
    """Return `[N, 3072]`: red, green and blue plane of each picture, row by row."""
    return np.stack([np.concatenate([one[:, :, c].ravel() for c in range(3)]) for one in pictures])


def write_binary(pictures: np.ndarray, path: Path) -> None:
    """Write coarse label, fine label and planes, in the binary format of CIFAR-100."""
    labels = np.arange(2 * len(pictures), dtype=np.uint8).reshape(-1, 2)
    path.write_bytes(np.concatenate([labels, planes(pictures)], axis=1).tobytes())


def content(pictures: np.ndarray, key: Any = b"data") -> dict[Any, Any]:
    """Return what the Python version pickles."""
    return {b"batch_label": b"training batch 1 of 1", b"fine_labels": [1] * len(pictures), key: planes(pictures)}


def write_as_python_2(pictures: np.ndarray, path: Path, module: bytes = b"numpy.core.multiarray") -> None:
    """Write a pickle as Python 2 did, with strings as bytes, opcode by opcode."""
    data = planes(pictures)
    count, raw = len(data).to_bytes(1, "little"), data.tobytes()
    words = [
        b"\x80\x02}",  # protocol 2, an empty dictionary
        b"U\x04data",
        b"c" + module + b"\n_reconstruct\n" + b"cnumpy\nndarray\n" + b"K\x00\x85U\x01b\x87R",
        b"(K\x01" + b"K" + count + b"M\x00\x0c\x86" + b"cnumpy\ndtype\n" + b"U\x02u1K\x00K\x01\x87R",
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb",
        b"\x89T" + len(raw).to_bytes(4, "little") + raw + b"tb",
        b"s.",
    ]
    path.write_bytes(b"".join(words))


@pytest.mark.parametrize("channels", [None, 3, 1])
@pytest.mark.parametrize("version", ["binary", "python 2", "python 3"])
def test_pictures_come_as_stored(tmp_path: Path, pictures: np.ndarray, version: str, channels: int | None) -> None:
    if version == "binary":
        write_binary(pictures, tmp_path / "test.bin")
    elif version == "python 2":
        write_as_python_2(pictures, tmp_path / "test")
    else:
        (tmp_path / "test").write_bytes(pickle.dumps(content(pictures), protocol=2))
    dataset = datasets.make(f"cifar100:{tmp_path}#test", channels=channels)
    assert len(dataset) == 6
    for index in range(6):
        assert dataset[index].dtype == np.uint8
        np.testing.assert_array_equal(dataset[index], with_channels(pictures[index], channels))
    assert dataset.label(2) == "test 2"
    assert len(datasets.make(f"cifar100:{tmp_path}#test:0..0.5")) == 3


def test_the_hand_written_pickle_is_one_that_numpy_reads(tmp_path: Path, pictures: np.ndarray) -> None:
    write_as_python_2(pictures, tmp_path / "train", b"numpy._core.multiarray")
    stored = pickle.loads((tmp_path / "train").read_bytes(), encoding="bytes")
    np.testing.assert_array_equal(stored[b"data"], planes(pictures))


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_numpy_before_and_after_its_move(tmp_path: Path, pictures: np.ndarray, module: str) -> None:
    write_as_python_2(pictures, tmp_path / "train", module.encode())
    np.testing.assert_array_equal(datasets.make(f"cifar100:{tmp_path}")[5], pictures[5])


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_protocols_and_keys_of_python_3(tmp_path: Path, pictures: np.ndarray, protocol: int) -> None:
    (tmp_path / "train").write_bytes(pickle.dumps(content(pictures, "data"), protocol))
    np.testing.assert_array_equal(datasets.make(f"cifar100:{tmp_path}")[5], pictures[5])


def test_a_hostile_file_would_do_harm_and_is_refused(tmp_path: Path, pictures: np.ndarray) -> None:
    harm = tmp_path / "harm"
    stored = pickle.dumps({**content(pictures), b"filenames": Hostile(harm)}, protocol=2)
    pickle.loads(stored)
    assert harm.is_dir(), "the file is what it says"
    harm.rmdir()
    (tmp_path / "train").write_bytes(stored)
    with pytest.raises(UnnoiseError, match=r"train' is refused: it names \w+\.mkdir") as caught:
        datasets.make(f"cifar100:{tmp_path}")
    assert "\n" not in str(caught.value)
    assert not harm.exists()


@pytest.mark.parametrize(
    "stream",
    [
        b"cbuiltins\neval\n(U\x031+1tR.",
        b"cbuiltins\ngetattr\n.",
        b"cnumpy\nfrombuffer\n.",
        b"cnumpy\nndarray.__class__\n.",
        b"\x80\x04\x8c\x05numpy\x8c\x0fndarray.tofile\x93.",
        b"cunnoise.datasets.cifar100\n_Array\n.",
        b"Pan object outside\n.",  # a persistent id
        b"\x82\x01.",  # a registered extension
        # Attributes written into the stand-ins themselves: of a class, and of what one of them makes.
        b"cnumpy\nndarray\n(dU\x05shapeK\x01stb.",
        b"c_codecs\nencode\n(dU\x08__call__K\x01stb.",
        # An array of objects, and one whose state is no state.
        b"cnumpy\nndarray\n)R(K\x01)cnumpy\ndtype\n(U\x01Ot R\x89(ltb.",
        b"cnumpy\nndarray\n)RNb.",
        b"",
        b"\x80\x02}",
        b"no pickle at all",
        b"(" * 3000 + b".",
    ],
)
def test_anything_else_is_refused(tmp_path: Path, stream: bytes) -> None:
    (tmp_path / "train").write_bytes(stream)
    with pytest.raises(UnnoiseError, match="is refused") as caught:
        datasets.make(f"cifar100:{tmp_path}")
    assert "\n" not in str(caught.value)
    assert cifar100._Array.shape == ()


@pytest.mark.parametrize(
    "stored",
    [
        [1, 2, 3],
        {b"fine_labels": [1]},
        {b"data": b"bytes"},
        {b"data": np.zeros((2, 3072), np.float32)},
        {b"data": np.zeros((2, 3071), np.uint8)},
        {b"data": np.zeros(3072, np.uint8)},
        {b"data": np.zeros((3072, 2), np.uint8).T},
        {b"data": np.zeros((0, 3072), np.uint8)},
    ],
)
def test_pickles_without_a_table_of_images_are_refused(tmp_path: Path, stored: Any) -> None:
    (tmp_path / "train").write_bytes(pickle.dumps(stored, protocol=3))
    with pytest.raises(UnnoiseError, match="is not a CIFAR-100 file") as caught:
        datasets.make(f"cifar100:{tmp_path}")
    assert "\n" not in str(caught.value)


def test_a_binary_file_cut_short_and_none_at_all(tmp_path: Path, pictures: np.ndarray) -> None:
    write_binary(pictures, tmp_path / "train.bin")
    (tmp_path / "train.bin").write_bytes((tmp_path / "train.bin").read_bytes()[:-1])
    with pytest.raises(UnnoiseError, match=r"18443 bytes, not a multiple of 3074"):
        datasets.make(f"cifar100:{tmp_path}")
    with pytest.raises(UnnoiseError, match=r"no 'test.bin' in .*, nor 'test' of the Python version"):
        datasets.make(f"cifar100:{tmp_path}#test")


def test_the_real_files_are_read(data_root: Path) -> None:
    if not (data_root / "cifar100" / "cifar-100-python").is_dir():
        pytest.skip("needs CIFAR-100")
    for part in cifar100.PARTS:
        dataset = datasets.make(f"cifar100:{data_root}/cifar100/cifar-100-python#{part}")
        assert len(dataset) >= 100
        steps = [
            np.abs(np.diff(dataset[index].astype(float), axis=axis)).mean() for index in range(50) for axis in (0, 1)
        ]
        mixed = [np.abs(np.diff(dataset[index].astype(float).ravel())).mean() for index in range(50)]
        assert np.mean(steps) < 0.8 * np.mean(mixed), "neighbours are alike, along both axes"
