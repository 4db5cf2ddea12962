"""A folder of everything: each file is denoised, or named with the reason why it is not."""

from __future__ import annotations

import importlib
import io
import json
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.cli.test_folders import without_zarr
from tests.cli.test_main import here, unnoise
from tests.conftest import ROOT
from unnoise import io as image_io

__all__ = ["here", "unnoise"]  # fixtures
FOLDER = ROOT / "benchmarks" / "robustness"
Call = Callable[..., tuple[int, str, str]]


def _archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.txt", "words")
    return file.getvalue()


def _tape() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"))
    return file.getvalue()


NO_IMAGES = {
    "notes.txt": b"words", "table.csv": b"a,b\n1,2\n", "data.json": b"{}", "page.html": b"<html></html>",
    "paper.pdf": b"%PDF-1.7\n", "more.zip": _archive(), "letter.docx": _archive(), "tape.tar": _tape(),
    "film.mp4": b"\0\0\0\x18ftypmp42" + bytes(40), "film.mov": b"\0\0\0\x14ftypqt  " + bytes(40),
    "film.avi": b"RIFF\x10\0\0\0AVI LIST", "song.mp3": b"ID3\4" + bytes(40), "sound.wav": b"RIFF\x24\0\0\0WAVEfmt ",
    "program": b"\x7fELF\2\1\1" + bytes(40), "base.sqlite": b"SQLite format 3\0", "drawing.svg": b"<svg/>",
    "print.eps": b"%!PS-Adobe-3.0 EPSF", "array.npy": b"\x93NUMPY\1\0", "store.h5": b"\x89HDF\r\n\x1a\n",
    "font.ttf": b"\0\1\0\0\0\x0f", "unknown.bin": np.random.default_rng(1).bytes(999), "nothing": b"", "none.dat": b"",
    ".hidden.png": b"?", "envi.hdr": b"ENVI\nsamples = 9\n",
}  # fmt: skip
UNREADABLE = {
    "layers.psd": b"8BPS\0\1" + bytes(20), "work.xcf": b"gimp xcf v011\0", "texture.dds": b"DDS \x7c\0\0\0" + bytes(20),
    "icon.ico": b"\0\0\1\0\1\0" + bytes(20), "fast.qoi": b"qoif\0\0\0\1\0\0\0\1\3\0",
    "old.jxr": b"II\xbc\1" + bytes(20),
}  # fmt: skip
DAMAGED = {"empty.png": b"", "words.jpg": b"no picture at all", "cut.webp": b"RIFF\x99\0\0\0WEBPVP8 "}


@pytest.fixture(scope="module")
def specimens() -> dict[str, bytes]:
    if not FOLDER.exists():
        pytest.skip("the benchmarks are not in the source distribution")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        return importlib.import_module("specimens").files(size=(24, 32))


@pytest.fixture
def everything(here: Path, specimens: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Fill a folder; images also under names that do not say what they are."""
    folder = here / "everything"
    (folder / "deep" / "er").mkdir(parents=True)
    for number, (name, data) in enumerate(specimens.items()):
        (folder / ("", "deep", "deep/er")[number % 3] / name).write_bytes(data)
    for name, data in {**NO_IMAGES, **UNREADABLE, **DAMAGED}.items():
        (folder / "deep" / name).write_bytes(data)
    (folder / "scan").write_bytes(specimens["rgb.jpg"])
    (folder / "scan.bak").write_bytes(specimens["half.exr"])
    without_zarr(monkeypatch)
    (folder / "cells.zarr").mkdir()
    (folder / "cells.zarr" / ".zgroup").write_text("{}")
    return folder


def test_every_file_is_done_or_named(unnoise: Call, everything: Path, specimens: dict[str, bytes]) -> None:
    images = len(specimens) + 2
    assert len({Path(name).suffix for name in (*specimens, *NO_IMAGES, *UNREADABLE, *DAMAGED)}) >= 40
    status, out, err = unnoise(everything, "-o", "out", "-m", "median", "--json", "--verbose")
    assert status == 1
    *rows, counted = map(json.loads, out.splitlines())
    done = {row["source"]: row for row in rows if not row["error"]}
    failed = {Path(row["source"]).name: row["error"] for row in rows if row["error"]}
    assert failed.keys() == DAMAGED.keys() and len(done) == images
    for name, error in failed.items():
        assert name in error and "\n" not in error and err.count(name) == 1
    for row in done.values():
        before, after = (image_io.read(Path(row[side])).header for side in ("source", "target"))
        assert (before.layout.base, before.dtype, before.pages) == (after.layout.base, after.dtype, after.pages)
    passed = counted["passed_over"]
    assert (passed["files"], passed["pictures"]) == (len(NO_IMAGES) + len(UNREADABLE) + 1, len(UNREADABLE) + 1)
    assert sum(kind["files"] for kind in passed["kinds"]) == passed["files"]
    kinds = Counter({kind["kind"]: kind["files"] for kind in passed["kinds"]})
    assert kinds["hidden"] == 1 and kinds["pdf"] == 1 and kinds["zarr"] == 1 and kinds["without suffix"] == 2
    assert all(kind["hint"] for kind in passed["kinds"] if kind["pictures"])
    assert len(rows) + passed["files"] == sum(path.is_file() for path in everything.rglob("*"))
    for name in (*NO_IMAGES, *UNREADABLE, "cells.zarr"):
        assert f"{name}: passed over" in err  # each of them, since it is verbose


def test_the_status_is_0_where_all_images_are_done(unnoise: Call, everything: Path) -> None:
    for name in (*UNREADABLE, *DAMAGED):
        (everything / "deep" / name).unlink()
    (everything / "cells.zarr" / ".zgroup").unlink()
    for _ in range(2):  # the second time, all is done
        status, _, err = unnoise(everything, "-o", "out", "-m", "median")
        assert status == 0 and f"{len(NO_IMAGES)} files passed over" in err
