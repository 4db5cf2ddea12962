"""Which files are found, where their outputs go, and how colliding names are made unique."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from unnoise.errors import UnnoiseError
from unnoise.pipeline import jobs as planning


def touch(path: Path) -> Path:
    """Create an empty file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to a folder with b.png, a.jpg, notes.txt, hidden files, and in/deep.PNG."""
    monkeypatch.chdir(tmp_path)
    for name in ("b.png", "a.jpg", ".hidden.png", ".cache/c.png", "notes.txt", "in/deep.PNG"):
        touch(Path(name))
    return Path()


def targets(paths: list[str], out: str | None = None) -> dict[str, str]:
    return {job.source.as_posix(): job.target.as_posix() for job in planning.plan_jobs(paths, out)}


def refusal(paths: list[str], out: str | None = None) -> str:
    with pytest.raises(UnnoiseError) as caught:
        planning.plan_jobs(paths, out)
    return str(caught.value)


# Inputs


def test_images_of_a_folder_are_found_in_order(here: Path) -> None:
    assert [path.as_posix() for path in planning.find(["."])] == ["a.jpg", "b.png", "in/deep.PNG"]
    assert [place.as_posix() for place in planning.find(["in", "b.png"]).values()] == ["deep.PNG", "b.png"]


def test_every_file_is_found_once(here: Path) -> None:
    assert list(planning.find(["b.png", "*.png", ".", "b.png"])) == [Path("b.png"), Path("a.jpg"), Path("in/deep.PNG")]


def test_an_existing_name_is_not_a_pattern(here: Path) -> None:
    touch(Path("[b].png"))
    assert list(planning.find(["[b].png"])) == [Path("[b].png")]


@pytest.mark.parametrize("name", ["missing.png", "*.gif", "x" * 300, ".hidden.png", "notes.txt"])
def test_a_named_file_is_an_input_whatever_its_name(here: Path, name: str) -> None:
    assert list(planning.find([name])) == [Path(name)]


def test_inputs_that_cannot_be_searched_are_refused(here: Path) -> None:
    Path("empty").mkdir()
    assert refusal(["empty"]) == "no images in empty"
    assert "empty name" in refusal(["b.png", ""])
    if hasattr(os, "mkfifo"):
        os.mkfifo("pipe.png")
        assert "pipe it in" in refusal(["pipe.png"])


# Outputs


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("photo.jpg", "photo.clean.jpg"),
        ("a b.c.TIFF", "a b.c.clean.TIFF"),
        ("x/y.gif", "x/y.clean.gif"),
        ("x/y.scan", "x/y.clean.png"),
        ("upload", "upload.clean.png"),
    ],
)
def test_the_default_output_is_next_to_the_input(name: str, target: str) -> None:
    assert planning.default_output(Path(name)) == Path(target)


@pytest.mark.parametrize(
    ("out", "target"),
    [
        ("c.jpg", "c.jpg"),
        ("new/c.jpg", "new/c.jpg"),
        ("new", "new/b.png"),
        ("new.d/", "new.d/b.png"),
        ("in", "in/b.png"),
    ],
)
def test_out_is_a_file_or_a_folder(here: Path, out: str, target: str) -> None:
    assert targets(["b.png"], out) == {"b.png": target}
    assert not Path("new").exists(), "planning creates no folders"


def test_folders_are_mirrored(here: Path) -> None:
    assert targets(["."], "out") == {"a.jpg": "out/a.jpg", "b.png": "out/b.png", "in/deep.PNG": "out/in/deep.PNG"}


def test_outputs_of_an_earlier_run_are_not_inputs(here: Path) -> None:
    touch(Path("b.clean.png"))
    assert targets(["b.png", "b.clean.png"]) == {"b.png": "b.clean.png"}
    assert targets(["b.clean.png"]) == {"b.clean.png": "b.clean.clean.png"}, "unless it is the only input"
    touch(Path("out/b.png"))
    assert set(targets(["."], "out")) == {"a.jpg", "b.png", "in/deep.PNG"}
    assert targets(["out/b.png"], "out") == {"out/b.png": "out/b.png"}, "unless it is named itself"


def test_several_images_for_one_output_file_are_refused(here: Path) -> None:
    assert "there are 2 images: name a folder" in refusal(["b.png", "a.jpg"], "c.png")


def test_colliding_names_are_made_unique(here: Path) -> None:
    touch(Path("b.scan"))
    touch(Path("other/b.png"))
    assert targets(["b.scan", "b.png"], "out") == {"b.scan": "out/b.scan.png", "b.png": "out/b.png"}
    assert targets(["b.scan", "b.png"]) == {"b.scan": "b.scan.clean.png", "b.png": "b.clean.png"}
    assert targets(["b.scan"], "out") == {"b.scan": "out/b.png"}
    assert targets(["b.png", "other/b.png"], "out") == {"b.png": "out/b.png", "other/b.png": "out/b.2.png"}
    touch(Path("b.2.png"))
    assert targets(["b.png", "other/b.png", "b.2.png"], "out") == {
        "b.png": "out/b.png",
        "other/b.png": "out/b.3.png",
        "b.2.png": "out/b.2.png",
    }


def test_outputs_with_unique_names_are_not_inputs_later(here: Path) -> None:
    for name in ("b.scan", "b.clean.png", "b.scan.clean.png"):
        touch(Path(name))
    assert set(targets(["b*"])) == {"b.scan", "b.png"}


def test_a_target_of_another_source_is_not_taken(here: Path) -> None:
    owners = {Path("out/b.png"): Path("b.scan")}

    def taken(target: Path, source: Path) -> bool:
        return owners.get(target, source) != source

    touch(Path("b.scan"))
    jobs = planning.plan_jobs(["b.png", "b.scan"], "out", taken)
    assert [job.target.as_posix() for job in jobs] == ["out/b.2.png", "out/b.png"]


@pytest.mark.parametrize(("out", "reason"), [("", "empty name"), ("notes.txt/x", "is a file"), ("b.png/", "is a file")])
def test_impossible_outputs_are_refused(here: Path, out: str, reason: str) -> None:
    assert reason in refusal(["a.jpg"], out)


def test_a_read_only_output_folder_is_refused(here: Path) -> None:
    Path("closed").mkdir(mode=0o555)
    if os.access("closed", os.W_OK):
        pytest.skip("this user may write everywhere")
    assert "no permission" in refusal(["b.png"], "closed/new")
