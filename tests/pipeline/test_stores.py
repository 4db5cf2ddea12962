"""Zarr stores: what is denoised is what is denoised of the same arrays, and everything else stays as it was."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unnoise
from unnoise.errors import UnnoiseError
from unnoise.io import atomic, zarr_store

zarr = pytest.importorskip("zarr")

Call = Callable[..., tuple[int, str, str]]
AXES = [{"name": "c", "type": "channel"}, {"name": "z", "type": "space"}, {"name": "y", "type": "space"}]
AXES += [{"name": "x", "type": "space"}]
SHAPE = (2, 3, 21, 30)


def noisy(shape: tuple[int, ...], dtype: str = "uint16") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape).astype(dtype)


def pyramid(folder: Path, version: int, shapes: tuple[tuple[int, ...], ...] = (SHAPE, (2, 3, 11, 15))) -> np.ndarray:
    """Write an OME-Zarr store with labels; return its image."""
    group = zarr.open_group(folder, mode="w", zarr_format=version)
    scales = [{"axes": AXES, "datasets": [{"path": str(level)} for level in range(len(shapes))]}]
    if version == 2:
        group.attrs.update({"multiscales": scales, "omero": {"channels": []}})
    else:
        group.attrs.update({"ome": {"version": "0.5", "multiscales": scales}})
    for level, shape in enumerate(shapes):
        array = group.create_array(str(level), shape=shape, dtype="uint16", chunks=(1, 1, 8, 16), fill_value=7)
        array[...] = noisy(shape)
        array.attrs["note"] = "kept"
    group.create_group("labels").create_array("cells", shape=(4, 4), dtype="int32")[...] = 3
    (folder / "README.txt").write_text("any other file")
    return noisy(shapes[0])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def described(array: Any) -> dict[str, Any]:
    return json.loads(json.dumps(array.metadata.to_dict(), default=str))


@pytest.mark.parametrize("version", [2, 3])
def test_the_image_is_denoised_and_all_else_is_kept(
    tmp_path: Path, call: Call, version: int, caplog: pytest.LogCaptureFixture
) -> None:
    source, target = tmp_path / "cells.zarr", tmp_path / "clean.zarr"
    values = pyramid(source, version)
    before = contents(source)
    status, out, _ = call(source, "-o", target, "-m", "median")
    assert status == 0 and out == f"{target}: denoised with median\n"
    assert caplog.messages == [f"{source}: not denoised, but carried as they are: labels/cells"]
    after = zarr.open_group(target, mode="r")
    expected = unnoise.denoise(values, "median", axes="CZYX")
    np.testing.assert_array_equal(after["0"][...], expected)
    blocks = np.pad(expected, [(0, 0), (0, 0), (0, 1), (0, 0)], mode="edge").reshape(2, 3, 11, 2, 15, 2)
    np.testing.assert_array_equal(after["1"][...], np.rint(blocks.mean((3, 5))))
    for level in ("0", "1"):
        assert described(after[level]) == described(zarr.open_group(source, mode="r")[level])
    assert contents(source) == before
    kept, changed = contents(target), {"0/", "1/"}
    assert kept.keys() == before.keys()
    differing = {name for name in kept if kept[name] != before[name]}
    assert {name[:2] for name in differing} == changed and not any("zarr" in name or ".z" in name for name in differing)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cells.zarr", "clean.zarr"]


@pytest.mark.parametrize(
    ("shape", "axes", "names"),
    [((20, 30), "YX", None), ((4, 20, 30), "ZYX", None), ((20, 30, 3), "YXS", None), ((20, 30, 2), "YXC", "yxc")],
)
def test_bare_arrays(tmp_path: Path, call: Call, shape: tuple[int, ...], axes: str, names: str | None) -> None:
    source, values = tmp_path / "plain", noisy(shape, "float32")
    array = zarr.create_array(source, shape=shape, dtype="float32", dimension_names=names and list(names))
    array[...] = values
    assert call(source, "-m", "median")[0] == 0
    result = zarr.open_array(tmp_path / "plain.clean.zarr", mode="r")
    np.testing.assert_array_equal(result[...], unnoise.denoise(values, "median", axes=axes))


@pytest.mark.parametrize("options", [("--strength", 0), ("--min-noise", 255)])
def test_a_store_that_is_not_denoised_stays_byte_for_byte(tmp_path: Path, call: Call, options: tuple[object]) -> None:
    pyramid(tmp_path / "a.zarr", 2)
    assert call(tmp_path / "a.zarr", "-o", tmp_path / "b.zarr", *options)[0] == 0
    assert contents(tmp_path / "a.zarr") == contents(tmp_path / "b.zarr")


def test_stores_in_folders_are_resumed_and_overwritten(tmp_path: Path, call: Call) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    pyramid(tmp_path / "in" / "deep" / "a.zarr", 3)
    words = (tmp_path / "in", "-o", tmp_path / "out", "-m")
    status, out, err = call(*words, "median")
    assert status == 0 and out == f"{tmp_path / 'out' / 'deep' / 'a.zarr'}: denoised with median\n"
    assert "passed over" not in err
    first = contents(tmp_path / "out" / "deep" / "a.zarr")
    status, out, _ = call(*words, "median", "--json")
    assert status == 0 and json.loads(out.splitlines()[0])["skipped"]
    status, out, _ = call(*words, "tv")
    assert status == 0 and "denoised with tv" in out
    assert contents(tmp_path / "out" / "deep" / "a.zarr") != first
    alone = (tmp_path / "in" / "deep" / "a.zarr", "-o", tmp_path / "out" / "deep" / "a.zarr", "-m", "median")
    status, _, err = call(*alone)
    assert status != 0 and "already exists" in err
    assert call(*alone, "--overwrite")[0] == 0
    assert contents(tmp_path / "out" / "deep" / "a.zarr") == first
    assert sorted(path.name for path in (tmp_path / "out").rglob(".unnoise*")) == []


def test_a_store_replaces_itself(tmp_path: Path, call: Call) -> None:
    values = pyramid(tmp_path / "a.zarr", 2)
    assert call(tmp_path / "a.zarr", "-o", tmp_path / "a.zarr", "-m", "median", "--overwrite")[0] == 0
    result = zarr.open_group(tmp_path / "a.zarr", mode="r")["0"][...]
    np.testing.assert_array_equal(result, unnoise.denoise(values, "median", axes="CZYX"))


def test_nothing_is_left_of_a_run_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call) -> None:
    pyramid(tmp_path / "a.zarr", 2)
    pyramid(tmp_path / "b.zarr", 2)
    before = contents(tmp_path)
    chunks = zarr_store.averaged

    def full(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        if values.shape != shape:
            raise OSError(28, os.strerror(28))
        return chunks(values, shape)

    monkeypatch.setattr(zarr_store, "averaged", full)
    status, _, err = call(tmp_path / "a.zarr", "-o", tmp_path / "b.zarr", "-m", "median", "--overwrite")
    assert status != 0 and f"{tmp_path / 'b.zarr'}: cannot be written" in err and "is full" in err
    assert contents(tmp_path) == before


def test_temporary_folders_of_killed_processes_are_removed(tmp_path: Path) -> None:
    stale = tmp_path / f".unnoise-{'0' * 16}.part"
    (stale / "0").mkdir(parents=True)
    with atomic.atomic_folder(tmp_path / "new") as running:
        atomic.remove_stale([tmp_path])
        assert running.exists() and not stale.exists()


def test_inspect_and_dry_run(tmp_path: Path, call: Call) -> None:
    pyramid(tmp_path / "a.zarr", 3)
    status, out, _ = call("inspect", tmp_path / "a.zarr", "--json")
    assert status == 0 and json.loads(out)["sigma"] > 0
    assert call(tmp_path / "a.zarr", "-o", tmp_path / "b.zarr", "--dry-run")[0] == 0
    assert not (tmp_path / "b.zarr").exists()


def _edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / ".zattrs"
    attributes = json.loads(path.read_text())
    change(attributes["multiscales"][0])
    path.write_text(json.dumps(attributes))


def _pickled(folder: Path) -> None:
    path = folder / "0" / ".zarray"
    path.write_text(json.dumps({**json.loads(path.read_text()), "filters": [{"id": "pickle", "protocol": 5}]}))


REFUSED = {
    "no such level": (lambda a: _edit(a, lambda first: first["datasets"].append({"path": "9"})), "damaged"),
    "a level outside": (lambda a: _edit(a, lambda first: first["datasets"][0].update(path="../b")), "damaged"),
    "no plane": (lambda a: _edit(a, lambda first: first.update(axes=["a", "b", "c", "d"])), "name Y and X"),
    "too few axes": (lambda a: _edit(a, lambda first: first.update(axes=AXES[:2])), "do not fit"),
    "no axes": (lambda a: _edit(a, lambda first: first.update(axes=5)), "damaged"),
    "not JSON": (lambda a: (a / ".zattrs").write_text("{"), "damaged"),
    "no image": (lambda a: (a / ".zattrs").write_text("{}"), "no image of its own"),
    "labels": (lambda a: (a / ".zattrs").write_text('{"image-label": {}}'), "labels are not denoised"),
    "a damaged chunk": (lambda a: (a / "0" / "0.0.0.0").write_bytes(b"no chunk"), "damaged"),
    "a pickle": (_pickled, "pickle"),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_is_refused_is_said_in_one_line(tmp_path: Path, call: Call, reason: str) -> None:
    damage, expected = REFUSED[reason]
    pyramid(tmp_path / "a.zarr", 2)
    damage(tmp_path / "a.zarr")
    status, out, err = call(tmp_path / "a.zarr", "-o", tmp_path / "c.zarr", "-m", "median")
    lines = [line for line in err.splitlines() if "carried as they are" not in line]
    assert status != 0 and out == "" and len(lines) == 1
    assert f"unnoise: {tmp_path / 'a.zarr'}: " in lines[0] and expected in lines[0] and "unexpected" not in lines[0]
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("-o", "b.tif"), "write .zarr"),
        (("-o", "a.zarr/b.zarr"), "outside of it"),
        (("-o", "b.zarr", "--error-map", "e.tif"), "no error map"),
        (("-o", "b.zarr", "--max-pixels", "100"), "raise --max-pixels"),
        (("-o", "-"), "is a folder"),
    ],
)
def test_outputs_that_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call, words: tuple[str, ...], expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    pyramid(Path("a.zarr"), 2)
    before = contents(tmp_path)
    status, _, err = call("a.zarr", "-m", "median", *words)
    assert status != 0 and expected in err and contents(tmp_path) == before


def test_other_integers_and_paths_in_python_are_refused(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "a.zarr", shape=(9, 9), dtype="int32")
    with pytest.raises(UnnoiseError, match="values of type int32 are not denoised"):
        zarr_store.open_store(tmp_path / "a.zarr", max_pixels=99)
    with pytest.raises(UnnoiseError, match=r"Zarr is not read as an image: denoise it as a store"):
        unnoise.denoise(tmp_path / "a.zarr")


@pytest.mark.parametrize(("size", "wanted"), [(12, 6), (13, 7), (13, 6), (12, 4), (3, 2), (10, 7), (1, 1), (5, 1)])
def test_levels_keep_the_mean(size: int, wanted: int) -> None:
    ramp = np.arange(size, dtype=np.uint16) * 100
    level = zarr_store.averaged(ramp, (wanted,))
    assert level.shape == (wanted,) and np.all(np.diff(level) > 0)
    assert abs(level.mean() - ramp.mean()) <= 100
