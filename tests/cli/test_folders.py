"""The main command on folders and pipes: what is passed over, planned, preserved, interrupted and completed."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.cli.test_main import encoded, files, here, unnoise
from unnoise import io as image_io
from unnoise.cli import main
from unnoise.pipeline import process

__all__ = ["here", "unnoise"]  # fixtures
Call = Callable[..., tuple[int, str, str]]
UNREADABLE = {  # name -> first bytes of images that are recognized and cannot be read, and of other files
    "a.xcf": b"gimp xcf v011\0",
    "b.xcf": b"gimp xcf file\0",
    "layers": b"8BPS\0\1" + bytes(20),
    "shot.dds": b"DDS \x7c\0\0\0" + bytes(20),
}
OTHERS = {"notes.txt": b"words", "more.TXT": b"more", "README": b"read me", ".hidden.png": b"?"}
WORDS = ("-m", "median")


def mode(path: str | Path) -> int:
    return stat.S_IMODE(Path(path).stat().st_mode)


def without_zarr(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the extra `zarr` be missing."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "zarr" else find(name))


@pytest.fixture
def mixed(here: Path) -> Path:
    """Change to a folder with mixed/: two images, one of which has no suffix, and files that are passed over."""
    folder = Path("mixed")
    folder.mkdir()
    for name, data in {**UNREADABLE, **OTHERS, "a.png": encoded(".png"), "scan": encoded(".jpg")}.items():
        (folder / name).write_bytes(data)
    return folder


def test_files_that_are_passed_over_are_counted(unnoise: Call, mixed: Path) -> None:
    status, out, err = unnoise(mixed, "-o", "out", *WORDS)
    assert status == 1  # since images were passed over
    assert [line.partition(":")[0] for line in out.splitlines()] == ["out/a.png", "out/scan.jpg"]
    assert err.startswith("unnoise: 8 files passed over: 2 xcf (convert it")
    assert err.endswith("2 txt, 1 hidden, 1 without suffix\n")
    assert "1 Photoshop (convert it" in err and "1 dds (convert it" in err


def test_a_zarr_store_is_one_image_that_is_passed_over_where_the_extra_is_missing(
    unnoise: Call, mixed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_zarr(monkeypatch)
    for name, head in (("old.zarr", ".zgroup"), ("new", "zarr.json")):
        (mixed / "sub" / name / "0" / "c").mkdir(parents=True)
        (mixed / "sub" / name / head).write_text("{}")
        (mixed / "sub" / name / "0" / "c" / "0").write_bytes(encoded(".png"))
    _, out, err = unnoise(mixed, "-o", "out", *WORDS)
    assert "10 files passed over" in err and "1 zarr (pip install 'unnoise[zarr]')" in err and "1 Zarr (" in err
    assert len(out.splitlines()) == 2
    status, _, err = unnoise(mixed / "sub" / "new", "-o", "other", *WORDS)
    assert status != 0 and "sub/new: Zarr is not read: pip install 'unnoise[zarr]'" in err


def test_json_counts_what_is_passed_over(unnoise: Call, mixed: Path) -> None:
    _, out, _ = unnoise(mixed, "-o", "out", *WORDS, "--json")
    counted = json.loads(out.splitlines()[-1])["passed_over"]
    assert (counted["files"], counted["pictures"]) == (8, 4)
    assert {kind["kind"]: kind["files"] for kind in counted["kinds"]} == {
        **{"xcf": 2, "Photoshop": 1, "dds": 1, "txt": 2, "hidden": 1, "without suffix": 1},
    }


def test_other_files_do_not_change_the_status(unnoise: Call, mixed: Path) -> None:
    for name in UNREADABLE:
        (mixed / name).unlink()
    for _ in range(2):  # the manifest and the outputs inside of the folder do not count
        status, _, err = unnoise(mixed, "-o", mixed / "out", *WORDS)
        assert status == 0 and "4 files passed over: 2 txt, 1 hidden, 1 without suffix" in err
    unnoise(mixed / "a.png", *WORDS)
    assert "1 outputs of earlier runs" in unnoise(mixed, "-o", "new", *WORDS)[2]


def test_a_folder_without_images_says_what_there_is(unnoise: Call, mixed: Path) -> None:
    for name in ("a.png", "scan"):
        (mixed / name).unlink()
    status, out, err = unnoise(mixed, "-o", "out", *WORDS)
    assert (status, out) == (2, "") and "no images in mixed: 8 files passed over: 2 xcf" in err


def test_verbose_names_each_file(unnoise: Call, mixed: Path) -> None:
    _, out, err = unnoise(mixed, "-o", "out", *WORDS, "--verbose")
    assert (
        "unnoise: mixed/a.xcf: passed over: xcf (" in err and "unnoise: mixed/.hidden.png: passed over: hidden" in err
    )
    assert all(line.endswith(" s)") and "megapixels" in line for line in out.splitlines())
    assert "out/a.png: skipped: done and unchanged" in unnoise(mixed, "-o", "out", *WORDS, "--verbose")[1]


def test_images_that_cannot_be_read_are_named_by_what_they_are(unnoise: Call, mixed: Path) -> None:
    assert "mixed/layers: Photoshop is not read" in unnoise(mixed / "layers", *WORDS)[2]
    assert "mixed/shot.dds: DDS is not read: convert" in unnoise(mixed / "shot.dds", *WORDS)[2]


@pytest.mark.parametrize("out", ["out", None])
def test_a_dry_run_writes_nothing(unnoise: Call, here: Path, out: str | None) -> None:
    to = [] if out is None else ["-o", out]
    before = files(here)
    status, lines, err = unnoise(".", *to, *WORDS, "--dry-run")
    names = ["out/a.png", "out/b ü [1].jpg", "out/bad/cut.png"]
    names = names if out else ["a.clean.png", "b ü [1].clean.jpg", "bad/cut.clean.png"]
    assert lines.splitlines() == [f"{name}: would be written" for name in names]
    assert status == 1 and files(here) == before  # that the pixels of a file are cut off is not seen in its header
    assert err.splitlines()[-1] == "unnoise: 3 would be written, 2 would fail: nothing was written"
    unnoise("a.png", *to, *WORDS)
    before = files(here)
    status, lines, err = unnoise("a.png", "*.jpg", *to, *WORDS, "--dry-run", "--json")
    rows = [json.loads(line) for line in lines.splitlines()]
    assert [row["done"] for row in rows if not row["skipped"] and not row["error"]] == ["planned"]
    assert files(here) == before
    assert rows[0]["skipped"] if out else "already exists" in rows[0]["error"]


def test_modes_are_kept(unnoise: Call, here: Path) -> None:
    os.chmod("a.png", 0o640)
    flat = image_io.from_array(np.full((40, 50, 3), 99, np.uint8))
    flat.save("flat.png")  # is copied
    os.chmod("flat.png", 0o600)
    unnoise("a.png", "flat.png", "-o", "out")
    assert (mode("out/a.png"), mode("out/flat.png")) == (0o640, 0o600)
    os.chmod("out/a.png", 0o604)
    unnoise("a.png", "-o", "out/a.png", "--overwrite", *WORDS)
    assert mode("out/a.png") == 0o604  # of the file that was replaced
    unnoise("a.png", "-o", "a.png", "--overwrite", *WORDS)
    assert mode("a.png") == 0o640


@pytest.mark.parametrize("large", [False, True])
def test_times_are_kept_on_request(unnoise: Call, here: Path, monkeypatch: pytest.MonkeyPatch, large: bool) -> None:
    if large:
        monkeypatch.setattr(process.streaming, "STREAMING_PIXELS", 100)
    os.utime("a.png", ns=(10**18, 10**18 + 5_000))
    unnoise("a.png", "-o", "out", *WORDS, "--preserve")
    assert Path("out/a.png").stat().st_mtime_ns == 10**18 + 5_000
    unnoise("a.png", "-o", "new", *WORDS)
    assert Path("new/a.png").stat().st_mtime > 1.1e9


def test_a_file_to_standard_output(here: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    for words in (["b ü [1].jpg", "-o", "-"], ["-", "-o", "-"]):
        sys.stdin = io.TextIOWrapper(io.BytesIO(encoded(".jpg")))
        try:
            with pytest.raises(SystemExit) as left:
                main.main([*words, *WORDS])
        finally:
            sys.stdin = sys.__stdin__
        out, err = capfdbinary.readouterr()
        assert (left.value.code, err) == (0, b"unnoise: denoised with median\n")
        assert image_io.suffix_of(out) == ".jpg" and not Path("-").exists()


@pytest.mark.parametrize("out", ["out", None])
def test_an_interruption_says_how_far_it_came(
    unnoise: Call, here: Path, monkeypatch: pytest.MonkeyPatch, out: str | None
) -> None:
    real = process.denoise_picture

    def second(picture: image_io.Picture, *rest: object, **options: object) -> object:
        if picture.metadata.get("jpeg-encoding"):
            raise KeyboardInterrupt
        return real(picture, *rest, **options)

    monkeypatch.setattr(process, "denoise_picture", second)
    status, _, err = unnoise("a.png", "*.jpg", "bad", *([] if out is None else ["-o", out]), *WORDS)
    goes_on = "; the same command does the rest" if out else ""
    assert (status, err) == (
        130, f"unnoise: interrupted: 1 of 5 files done (1 denoised, 0 copied, 0 failed){goes_on}\n",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("line", "word", "completed"),
    [
        ("unnoise ins", 1, "inspect"),
        ("unnoise photo.png --dry", 2, "--dry-run"),
        ("unnoise clean --dry", 2, "--dry-run"),
        ("unnoise inspect --ma", 2, "--map\n--max-pixels"),
    ],
)
@pytest.mark.parametrize("separator", [" ", "\n"])
def test_a_shell_completes(
    unnoise: Call, monkeypatch: pytest.MonkeyPatch, line: str, word: int, completed: str, separator: str
) -> None:
    monkeypatch.setenv("_UNNOISE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line.replace(" ", separator))
    monkeypatch.setenv("COMP_CWORD", str(word))
    assert unnoise() == (0, f"{completed}\n", "")


def test_the_script_for_a_shell_is_printed(unnoise: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shellingham.detect_shell", lambda: ("bash", "/bin/bash"))
    assert "complete_bash" in unnoise("--show-completion")[1]
