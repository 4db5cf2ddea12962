"""Folders in stores, on the one that fsspec keeps in memory: names, copies, and a manifest that nothing appends to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from unnoise.errors import UnnoiseError
from unnoise.io import remote
from unnoise.pipeline import jobs, manifest
from unnoise.pipeline.manifest import NAME, Entry, Manifest, RemoteManifest

pytest.importorskip("upath", reason="needs universal_pathlib: the extra ray")
IN, OUT = "memory://in", "memory://out/clean"
ENTRY = Entry(f"{IN}/a.png", "00", {"model": "tv"}, "deep/a.png", "ff")


@pytest.fixture
def store() -> Iterator[Any]:
    """Give the store, with three pictures and what is none."""
    made = remote.to_path(IN).fs  # type: ignore[attr-defined]
    for name in ("b.png", "a.gif", "deep ü/C.JPG", ".hidden/d.png", "notes.txt"):
        made.pipe(f"/in/{name}", name.encode())
    yield made
    made.rm("/", recursive=True)


def targets(paths: list[str], out: str) -> dict[str, str]:
    return {str(job.source): str(job.target) for job in jobs.plan_jobs(paths, out)}


def test_addresses_are_told_from_paths(tmp_path: Path) -> None:
    assert remote.is_remote("s3://bucket/a.png") and not any(map(remote.is_remote, ("a.png", "C:/a", "a:b", "s3:/b")))
    assert remote.to_path(tmp_path) == tmp_path and jobs.is_folder_target("s3://my.bucket")


def test_a_folder_is_mirrored_from_store_to_store(store: Any) -> None:
    assert targets([IN], OUT) == {
        f"{IN}/a.gif": f"{OUT}/a.gif",
        f"{IN}/b.png": f"{OUT}/b.png",
        f"{IN}/deep ü/C.JPG": f"{OUT}/deep ü/C.JPG",
    }
    assert targets([f"{IN}/*.png"], OUT) == {f"{IN}/b.png": f"{OUT}/b.png"}
    assert targets([f"{IN}/notes.txt"], OUT) == {f"{IN}/notes.txt": f"{OUT}/notes.png"}, "what is named counts"


def test_a_folder_is_mirrored_from_and_to_this_machine(store: Any, tmp_path: Path) -> None:
    (tmp_path / "e.png").touch()
    assert targets([str(tmp_path)], OUT) == {f"{tmp_path}/e.png": f"{OUT}/e.png"}
    assert targets([IN], f"{tmp_path}/out/")[f"{IN}/b.png"] == f"{tmp_path}/out/b.png"


def test_outputs_inside_the_inputs_are_left_out(store: Any) -> None:
    store.pipe("/in/clean/z.png", b"")
    assert f"{IN}/clean/z.png" not in targets([IN], f"{IN}/clean") and len(targets([IN], f"{IN}/clean")) == 3


def test_what_is_near_is_a_copy_that_goes(store: Any) -> None:
    store.pipe("/out/b.png", b"stands")
    source, target = remote.to_path(f"{IN}/b.png"), remote.to_path("memory://out/b.png")
    with remote.local_copies(source, target, known=True) as (here, there):
        assert (here.read_bytes(), there.read_bytes()) == (b"b.png", b"stands")
    assert not here.exists() and not there.exists()
    with remote.local_copies(source, target, known=False) as (_, there):
        assert there.read_bytes() == b"", "told that something stands there, and not what"
    with remote.local_copies(source, source, known=True) as (here, there):
        assert here == there, "a picture that is to be replaced by its own clean one"


def test_what_is_on_this_machine_is_its_own_copy(tmp_path: Path) -> None:
    source, target = tmp_path / "a.png", tmp_path / "b.png"
    with remote.local_copies(source, target, known=True) as near:
        assert near == (source, target)


def test_what_is_not_there_is_told(store: Any) -> None:
    address = remote.to_path(f"{IN}/none.png")
    with (
        pytest.raises(UnnoiseError, match=rf"^{IN}/none\.png: no such file$"),
        remote.local_copies(address, Path(), known=False),
    ):
        pass


def test_what_a_store_refuses_is_told_in_one_line(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("no\ncredentials")

    monkeypatch.setattr(store, "cat_file", refuse)
    with pytest.raises(UnnoiseError, match=rf"^{IN}/b\.png: the object store refused the request: no credentials$"):
        remote.read(remote.to_path(f"{IN}/b.png"))


def test_a_protocol_that_nobody_knows_is_told() -> None:
    with pytest.raises(UnnoiseError, match="nonsense://a/b"):
        remote.to_path("nonsense://a/b")


# The manifest


def test_lines_outlive_the_one_who_wrote_them(store: Any) -> None:
    home = remote.to_path(OUT)
    lost = manifest.open_manifest(OUT)
    assert isinstance(lost, RemoteManifest) and not store.exists("/out")
    lost.record(ENTRY)
    lost.flush()
    lost.record(replace(ENTRY, target="b.png"))  # of which nobody else knows yet
    with manifest.open_manifest(OUT) as known:
        assert known.last(home / "deep/a.png") == ENTRY and known.last(home / "b.png") is None
        known.record(replace(ENTRY, target_sha256="ee"))
        known.flush()
    Manifest.close(lost)  # as a process that is killed
    lost._local.cleanup()
    assert store.find("/out") == [f"/out/clean/{NAME}"], "one object when the work is done"
    assert len(store.cat(f"/out/clean/{NAME}").splitlines()) == 2
    with manifest.open_manifest(OUT) as known:
        assert known.written(home / "deep/a.png") == {"ff", "ee"}
        assert known.taken(home / "deep/a.png", remote.to_path(f"{IN}/b.png"))
        assert not known.taken(home / "deep/a.png", remote.to_path(f"{IN}/a.png"))


def test_an_output_takes_its_place_within_the_store(store: Any, tmp_path: Path) -> None:
    made = tmp_path / "made.png"
    made.write_bytes(b"clean")
    target = remote.to_path(f"{OUT}/deep/a.png")
    with manifest.open_manifest(OUT) as kept:
        held, other = kept.staging_path(target), kept.staging_path(target)
        assert held and other and held != other and held.suffix == ".png"
        remote.put(made, held)
        remote.put(made, other)
        kept.commit(str(held), target)
        assert store.cat("/out/clean/deep/a.png") == b"clean" and not remote.exists(held)
        kept.remove_stale()
        assert not remote.exists(other) and remote.exists(target)


def test_what_lies_elsewhere_has_its_whole_name(tmp_path: Path) -> None:
    with manifest.open_manifest(OUT) as kept:
        assert kept.relative_name(remote.to_path(f"{OUT}/b/c.png")) == "b/c.png"
        assert kept.relative_name(remote.to_path(f"{IN}/c.png")) == f"{IN}/c.png"
        assert kept.relative_name(tmp_path / "c.png") == f"{tmp_path.as_posix()}/c.png"
    with Manifest(tmp_path) as here:
        assert here.relative_name(remote.to_path(f"{IN}/c.png")) == f"{IN}/c.png"


def test_a_file_that_is_no_manifest_is_refused(store: Any) -> None:
    store.pipe(f"/out/clean/{NAME}", b"my own notes")
    with pytest.raises(UnnoiseError, match=f"^{OUT}/{NAME}: not a manifest of unnoise"):
        manifest.open_manifest(OUT)
