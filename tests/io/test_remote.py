"""Object stores, with the in-memory one of fsspec: names, copies, and manifests without appending."""

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
    """Yield the store, with three images and other files."""
    made = remote.to_path(IN).fs  # type: ignore[attr-defined]
    for name in ("b.png", "a.gif", "deep ü/C.JPG", ".hidden/d.png", "notes.txt"):
        made.pipe(f"/in/{name}", name.encode())
    yield made
    made.rm("/", recursive=True)


def targets(paths: list[str], out: str) -> dict[str, str]:
    return {str(job.source): str(job.target) for job in jobs.plan_jobs(paths, out)}


def test_addresses_are_distinguished_from_paths(tmp_path: Path) -> None:
    assert remote.is_remote("s3://bucket/a.png") and not any(map(remote.is_remote, ("a.png", "C:/a", "a:b", "s3:/b")))
    assert remote.to_path(tmp_path) == tmp_path and jobs.is_folder_target("s3://my.bucket")


def test_a_folder_is_mirrored_from_store_to_store(store: Any) -> None:
    assert targets([IN], OUT) == {
        f"{IN}/a.gif": f"{OUT}/a.gif",
        f"{IN}/b.png": f"{OUT}/b.png",
        f"{IN}/deep ü/C.JPG": f"{OUT}/deep ü/C.JPG",
    }
    assert targets([f"{IN}/*.png"], OUT) == {f"{IN}/b.png": f"{OUT}/b.png"}
    assert targets([f"{IN}/notes.txt"], OUT) == {f"{IN}/notes.txt": f"{OUT}/notes.png"}, "a named file is an input"


def test_a_folder_is_mirrored_from_and_to_this_machine(store: Any, tmp_path: Path) -> None:
    (tmp_path / "e.png").touch()
    assert targets([str(tmp_path)], OUT) == {f"{tmp_path}/e.png": f"{OUT}/e.png"}
    assert targets([IN], f"{tmp_path}/out/")[f"{IN}/b.png"] == f"{tmp_path}/out/b.png"


def test_outputs_inside_the_inputs_are_left_out(store: Any) -> None:
    store.pipe("/in/clean/z.png", b"")
    assert f"{IN}/clean/z.png" not in targets([IN], f"{IN}/clean") and len(targets([IN], f"{IN}/clean")) == 3


def test_local_copies_are_temporary(store: Any) -> None:
    store.pipe("/out/b.png", b"existing")
    source, target = remote.to_path(f"{IN}/b.png"), remote.to_path("memory://out/b.png")
    with remote.local_copies(source, target, known=True) as (here, there):
        assert (here.read_bytes(), there.read_bytes()) == (b"b.png", b"existing")
    assert not here.exists() and not there.exists()
    with remote.local_copies(source, target, known=False) as (_, there):
        assert there.read_bytes() == b"", "the target exists, but its content is not fetched"
    with remote.local_copies(source, source, known=True) as (here, there):
        assert here == there, "a file that is replaced in place"


def test_local_files_are_not_copied(tmp_path: Path) -> None:
    source, target = tmp_path / "a.png", tmp_path / "b.png"
    with remote.local_copies(source, target, known=True) as paths:
        assert paths == (source, target)


def test_a_missing_file_is_reported(store: Any) -> None:
    address = remote.to_path(f"{IN}/none.png")
    with (
        pytest.raises(UnnoiseError, match=rf"^{IN}/none\.png: no such file$"),
        remote.local_copies(address, Path(), known=False),
    ):
        pass


def test_errors_of_a_store_are_reported_in_one_line(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("no\ncredentials")

    monkeypatch.setattr(store, "cat_file", refuse)
    with pytest.raises(UnnoiseError, match=rf"^{IN}/b\.png: the object store refused the request: no credentials$"):
        remote.read(remote.to_path(f"{IN}/b.png"))


def test_an_unknown_protocol_is_reported() -> None:
    with pytest.raises(UnnoiseError, match="nonsense://a/b"):
        remote.to_path("nonsense://a/b")


# The manifest


def test_flushed_lines_survive_a_killed_process(store: Any) -> None:
    folder = remote.to_path(OUT)
    killed = manifest.open_manifest(OUT)
    assert isinstance(killed, RemoteManifest) and not store.exists("/out")
    killed.record(ENTRY)
    killed.flush()
    killed.record(replace(ENTRY, target="b.png"))  # not flushed
    with manifest.open_manifest(OUT) as known:
        assert known.last(folder / "deep/a.png") == ENTRY and known.last(folder / "b.png") is None
        known.record(replace(ENTRY, target_sha256="ee"))
        known.flush()
    Manifest.close(killed)  # as if the process were killed
    killed._local.cleanup()
    assert store.find("/out") == [f"/out/clean/{NAME}"], "one object at the end"
    assert len(store.cat(f"/out/clean/{NAME}").splitlines()) == 2
    with manifest.open_manifest(OUT) as known:
        assert known.written(folder / "deep/a.png") == {"ff", "ee"}
        assert known.taken(folder / "deep/a.png", remote.to_path(f"{IN}/b.png"))
        assert not known.taken(folder / "deep/a.png", remote.to_path(f"{IN}/a.png"))


def test_outputs_are_committed_within_the_store(store: Any, tmp_path: Path) -> None:
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


def test_files_elsewhere_have_their_full_name(tmp_path: Path) -> None:
    with manifest.open_manifest(OUT) as kept:
        assert kept.relative_name(remote.to_path(f"{OUT}/b/c.png")) == "b/c.png"
        assert kept.relative_name(remote.to_path(f"{IN}/c.png")) == f"{IN}/c.png"
        assert kept.relative_name(tmp_path / "c.png") == f"{tmp_path.as_posix()}/c.png"
    with Manifest(tmp_path) as here:
        assert here.relative_name(remote.to_path(f"{IN}/c.png")) == f"{IN}/c.png"


def test_a_foreign_file_is_not_a_manifest(store: Any) -> None:
    store.pipe(f"/out/clean/{NAME}", b"my own notes")
    with pytest.raises(UnnoiseError, match=f"^{OUT}/{NAME}: not a manifest of unnoise"):
        manifest.open_manifest(OUT)
