"""Many files: what is found, where it goes, and what becomes of the good ones when one is bad."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import numpy as np
import pytest

from unnoise import image_io, pipeline
from unnoise.denoisers.base import Denoiser
from unnoise.errors import UnnoiseError
from unnoise.pipeline import Job, Settings
from unnoise.tiling import TILE


class Double(Denoiser):
    """Twice the picture: easy to tell from the input."""

    halo = 0

    def run(self, noisy, sigma):
        return 2 * noisy


class Told(Denoiser):
    """A constant picture of the level that it was told."""

    wants_sigma, halo = True, 0

    def run(self, noisy, sigma):
        return np.full_like(noisy, sigma)


class Broken(Denoiser):
    """Fails in a way of its own."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def run(self, noisy, sigma):
        raise self.error


def put(path: Path) -> Path:
    """Put a picture of the level 60 there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(path.suffix))
    return path


@functools.cache
def encoded(suffix: str) -> bytes:
    return image_io.encode(image_io.from_array(np.full((4, 5, 3), 60, np.uint8)), suffix)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder with b.png, a.jpg, notes.txt, what is hidden, and in/deep.PNG."""
    monkeypatch.chdir(tmp_path)
    for name in ("b.png", "a.jpg", ".hidden.png", ".cache/c.png"):
        put(Path(name))
    Path("notes.txt").write_text("no picture")
    put(Path("in/deep.png")).rename("in/deep.PNG")
    return Path()


def targets(paths: list[str], out: str | None = None) -> dict[str, str]:
    return {job.source.as_posix(): job.target.as_posix() for job in pipeline.plan(paths, out)}


def refusal(paths: list[str], out: str | None = None) -> str:
    with pytest.raises(UnnoiseError) as refused:
        pipeline.plan(paths, out)
    return str(refused.value)


# What is found


def test_a_folder_gives_its_pictures_in_order(here: Path) -> None:
    assert [path.as_posix() for path in pipeline.find(["."])] == ["a.jpg", "b.png", "in/deep.PNG"]
    assert [place.as_posix() for place in pipeline.find(["in", "b.png"]).values()] == ["deep.PNG", "b.png"]


def test_every_file_counts_once(here: Path) -> None:
    assert list(pipeline.find(["b.png", "*.png", ".", "b.png"])) == [Path("b.png"), Path("a.jpg"), Path("in/deep.PNG")]


def test_a_pattern_that_is_also_a_name_is_the_name(here: Path) -> None:
    put(Path("[b].png"))
    assert list(pipeline.find(["[b].png"])) == [Path("[b].png")]


@pytest.mark.parametrize("name", ["missing.png", "*.gif", "x" * 300, ".hidden.png", "notes.txt"])
def test_what_is_named_stands_for_a_file(here: Path, name: str) -> None:
    assert list(pipeline.find([name])) == [Path(name)]


def test_what_cannot_be_searched_is_refused(here: Path) -> None:
    Path("empty").mkdir()
    assert refusal(["empty"]) == "no pictures in empty"
    assert "empty name" in refusal(["b.png", ""])
    if hasattr(os, "mkfifo"):
        os.mkfifo("pipe.png")
        assert "pipe it in" in refusal(["pipe.png"])


# Where it goes


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("photo.jpg", "photo.clean.jpg"),
        ("a b.c.TIFF", "a b.c.clean.TIFF"),
        ("x/y.gif", "x/y.clean.png"),
        ("upload", "upload.clean.png"),
    ],
)
def test_the_output_lies_beside_the_input(name: str, target: str) -> None:
    assert pipeline.beside(Path(name)) == Path(target)


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
    assert not Path("new").exists(), "a plan touches nothing"


def test_folders_are_mirrored(here: Path) -> None:
    assert targets(["."], "out") == {"a.jpg": "out/a.jpg", "b.png": "out/b.png", "in/deep.PNG": "out/in/deep.PNG"}


def test_outputs_of_an_earlier_run_are_no_inputs(here: Path) -> None:
    put(Path("b.clean.png"))
    assert targets(["b.png", "b.clean.png"]) == {"b.png": "b.clean.png"}
    assert targets(["b.clean.png"]) == {"b.clean.png": "b.clean.clean.png"}, "alone, it is meant"
    put(Path("out/b.png"))
    assert set(targets(["."], "out")) == {"a.jpg", "b.png", "in/deep.PNG"}
    assert targets(["out/b.png"], "out") == {"out/b.png": "out/b.png"}, "named itself, it is meant"


def test_two_outputs_of_one_name_are_refused(here: Path) -> None:
    put(Path("other/b.png"))
    assert refusal(["b.png", "other/b.png"], "out") == (
        "b.png and other/b.png would both become out/b.png: clean them one by one"
    )
    assert "there are 2 pictures: name a folder" in refusal(["b.png", "a.jpg"], "c.png")


@pytest.mark.parametrize(("out", "why"), [("", "empty name"), ("notes.txt/x", "is a file"), ("b.png/", "is a file")])
def test_an_output_that_cannot_be_is_refused(here: Path, out: str, why: str) -> None:
    assert why in refusal(["a.jpg"], out)


def test_a_closed_output_folder_is_refused(here: Path) -> None:
    Path("closed").mkdir(mode=0o555)
    if os.access("closed", os.W_OK):
        pytest.skip("this user may write everywhere")
    assert "no permission" in refusal(["b.png"], "closed/new")


# The work


@pytest.mark.parametrize(
    "wrong", [{"sigma": -1}, {"sigma": np.nan}, {"strength": 1.6}, {"strength": np.nan}, {"quality": 0}]
)
def test_settings_out_of_range_are_refused(wrong: dict) -> None:
    with pytest.raises(UnnoiseError):
        Settings(Double(), **wrong)


def test_the_level_is_the_one_told_and_never_asked_in_vain(photograph: np.ndarray) -> None:
    assert Double().settle(photograph, 0.1)[1] is None
    assert Told().settle(photograph, 0.1)[1] == 0.1
    level = Told().settle(photograph)[1]
    assert isinstance(level, float) and 0 <= level < 0.1


@pytest.mark.parametrize("strength", [0, 0.25, 1, 1.5])
def test_strength_is_a_line_through_noisy_and_clean(photograph: np.ndarray, strength: float) -> None:
    noisy = photograph.copy()
    noisy[0, :3, 0] = np.nan, np.inf, -np.inf
    clean = pipeline.clean_pixels(Double(), noisy, None, strength=strength)
    np.testing.assert_allclose(clean[1:], (1 + strength) * photograph[1:], rtol=1e-6)
    np.testing.assert_array_equal(clean[0, :3, 0], [np.nan, np.inf, -np.inf])


def test_a_level_of_zero_leaves_the_picture(photograph: np.ndarray) -> None:
    clean = pipeline.clean_pixels(Told(), photograph, 0.0)
    np.testing.assert_array_equal(clean, photograph)
    assert clean is not photograph


def test_large_pictures_are_cleaned_in_tiles() -> None:
    shares: list[float] = []
    noisy = np.random.default_rng(0).random((9, 3 * TILE + 1, 1), dtype=np.float32)
    clean = pipeline.clean_pixels(Double(), noisy, None, progress=shares.append)
    np.testing.assert_array_equal(clean, 2 * noisy)
    assert len(shares) == 5 and shares == sorted(shares) and shares[-1] == 1


def test_one_bad_file_does_not_stop_the_others(here: Path) -> None:
    names = ["b.png", "notes.txt", "missing.png", "in"]
    progress: list[float] = []
    outcomes = list(
        pipeline.run(pipeline.plan(names, "out"), Settings(Double()), lambda job, done: progress.append(done))
    )
    assert [bool(outcome.error) for outcome in outcomes] == [False, True, True, False]
    assert sorted(path.name for path in Path("out").iterdir()) == ["b.png", "deep.PNG"]
    np.testing.assert_array_equal(image_io.read("out/b.png").to_array(), 120)
    assert progress == sorted(progress) and progress[-1] == 4
    assert outcomes[0].row() == {
        **{"source": "b.png", "target": str(Path("out/b.png")), "error": None, "sigma": None, "megapixels": 0.0},
        "model": "",
        "seconds": pytest.approx(0, abs=5),
    }


def test_the_level_is_told_in_8_bit_units(here: Path) -> None:
    (outcome,) = pipeline.run(pipeline.plan(["b.png"]), Settings(Told(), sigma=51 / 255))
    assert outcome.row()["sigma"] == 51
    np.testing.assert_array_equal(image_io.read("b.clean.png").to_array(), 51)


@pytest.mark.parametrize(("error", "told"), [(MemoryError(), "out of memory"), (KeyError("x"), "KeyError: 'x'")])
def test_what_nobody_foresaw_stops_one_file_only(here: Path, error: Exception, told: str) -> None:
    outcomes = list(pipeline.run(pipeline.plan(["b.png", "a.jpg"], "out"), Settings(Broken(error))))
    assert [str(outcome.error).startswith(f"{outcome.job.source}: {told}") for outcome in outcomes] == [True, True]
    assert not Path("out").exists()


def test_an_interruption_leaves_nothing_behind(here: Path) -> None:
    before = sorted(here.rglob("*"))
    with pytest.raises(KeyboardInterrupt):
        list(pipeline.run(pipeline.plan(["."], "out"), Settings(Broken(KeyboardInterrupt()))))
    assert sorted(here.rglob("*")) == before


@pytest.mark.parametrize(
    ("target", "why"), [("a.jpg", "exists"), ("x.bmp", "writes"), ("x.gif", "writes"), ("in", "folder")]
)
def test_a_target_is_refused_before_the_work(here: Path, target: str, why: str) -> None:
    with pytest.raises(UnnoiseError, match=why):
        pipeline.clean_file(Job(Path("b.png"), Path(target)), Settings(Broken(AssertionError())))


def test_only_overwriting_overwrites(here: Path) -> None:
    job = Job(Path("b.png"), Path("b.png"))
    with pytest.raises(UnnoiseError, match="exists"):
        pipeline.clean_file(job, Settings(Double()))
    np.testing.assert_array_equal(image_io.read("b.png").to_array(), 60)
    pipeline.clean_file(job, Settings(Double(), overwrite=True))
    np.testing.assert_array_equal(image_io.read("b.png").to_array(), 120)


def test_bytes_come_back_as_bytes_or_go_into_a_file(here: Path) -> None:
    data = Path("b.png").read_bytes()
    clean = pipeline.clean_bytes(data, Settings(Double()))
    assert clean is not None and clean.startswith(b"\x89PNG")
    np.testing.assert_array_equal(image_io.read(clean).to_array(), 120)
    assert pipeline.clean_bytes(data, Settings(Double()), "new/c.tif") is None
    np.testing.assert_array_equal(image_io.read("new/c.tif").to_array(), 120)
    with pytest.raises(UnnoiseError, match="exists"):
        pipeline.clean_bytes(data, Settings(Double()), "new/c.tif")
