"""The command line of tables: its output streams and exit statuses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq  # noqa: TID253
import pytest

from unnoise import io, tables
from unnoise.cli import main

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photograph: np.ndarray) -> Path:
    """Change to a folder with five images in `set` and a damaged one in `bad`."""
    monkeypatch.chdir(tmp_path)
    for name in ("set", "bad"):
        Path(name).mkdir()
    for index in range(5):
        piece = np.rint(photograph[20 * index : 20 * index + 24, :32] * 255).astype(np.uint8)
        io.from_array(piece).save(f"set/{index}.png")
    Path("bad/cut.png").write_bytes(Path("set/0.png").read_bytes()[:300])
    return tmp_path


@pytest.fixture
def table(capsys: pytest.CaptureFixture[str]) -> Call:
    """Return the command: words -> (exit status, stdout, stderr). All lines on stderr must be our own messages."""

    def call(*words: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main.main(["table", *map(str, words)])
        out, err = capsys.readouterr()
        assert all(line.startswith("unnoise: ") for line in err.splitlines()), err
        assert "unexpected error" not in err
        return int(left.value.code or 0), out, err

    return call


def test_from_folders_to_a_scored_table(table: Call, here: Path) -> None:
    steps = (
        ("build", "set", "-o", "clean.parquet", "--column", "clean"),
        ("add", "salt-pepper:0.1", "clean.parquet", "-o", "degraded.parquet", "--column", "x", "--seed", "4"),
        ("rename", "x", "noisy", "degraded.parquet", "-o", "pairs.parquet"),
        ("resize", "30x20", "pairs.parquet", "-o", "small.parquet"),
        ("split", "small.parquet", "train=0.6", "test=0.4", "-o", "split.parquet", "--seed", "1"),
    )
    for words in steps:
        target = words[words.index("-o") + 1]
        assert table(*words) == (0, f"{target}\n", "")
        assert Path(target).is_file()
    assert pq.read_schema("split.parquet").names == ["name", "clean", "noisy", "part"]
    status, out, err = table("score", "median", "split.parquet#test", "-o", "scored.parquet")
    head, _, row, target = out.splitlines()
    assert (status, err, head, target) == (0, "", "| images | psnr_noisy | psnr | ssim |", "scored.parquet")
    assert re.fullmatch(r"\| 2 \| \d\d\.\d\d \| \d\d\.\d\d \| 0\.\d{4} \|", row)
    assert table("show", "scored.parquet", "-o", "sheet.png", "--crop", "16", "--histograms", "h.png")[0] == 0
    assert Path("h.png").is_file()
    assert io.read("sheet.png").pixels.shape[0] > 32


def test_merge_tells_who_has_no_partner(table: Call, here: Path) -> None:
    table("build", "set", "-o", "clean.parquet", "--column", "clean")
    table("build", "set/1.png", "set/3.png", "-o", "noisy.parquet", "--column", "noisy")
    status, out, err = table("merge", "clean.parquet", "noisy.parquet", "-o", "pairs.parquet")
    assert (status, out) == (1, "pairs.parquet\n")
    assert err.splitlines() == [f"unnoise: {name}: no partner in noisy.parquet" for name in "024"]
    assert pq.read_table("pairs.parquet")["name"].to_pylist() == ["1", "3"]


def test_check_prints_a_table_and_what_is_wrong(table: Call, here: Path) -> None:
    table("build", "set", "-o", "t.parquet")
    status, out, err = table("check", "t.parquet")
    assert (status, err) == (0, "")
    assert out.splitlines()[0] == "5 rows; built from set"
    assert "| image | 5 | 32x24 (5) | 3 (5) | 8 (5) |" in out
    rows = pq.read_table("t.parquet")
    twice = rows.slice(0, 1)
    pq.write_table(type(rows).from_batches([*rows.to_batches(), *twice.to_batches()]), "twice.parquet")
    status, out, err = table("check", "twice.parquet")
    assert (status, err) == (1, "unnoise: 0: duplicate name\n")
    assert "odd: 0: image is the same image as image of 0" in out
    status, out, _ = table("check", "twice.parquet", "--json")
    assert status == 1
    found = json.loads(out)
    assert (found["rows"], found["bad"]) == (6, [{"row": "0", "text": "duplicate name"}])


def test_some_bad_rows_are_status_1_and_all_bad_rows_status_2(table: Call, here: Path) -> None:
    status, out, err = table("build", "set", "bad", "-o", "t.parquet")
    assert (status, out) == (1, "t.parquet\n")
    assert re.fullmatch("unnoise: cut: .*damaged.*\n", err)
    status, out, err = table("build", "bad", "-o", "none.parquet")
    assert (status, out) == (2, "")
    assert [line.partition(": ")[2].partition(":")[0] for line in err.splitlines()] == [
        "cut",
        "no row can be used",
    ]
    assert not Path("none.parquet").exists()


def test_existing_files_stay_without_overwrite(table: Call, here: Path) -> None:
    table("build", "set", "-o", "t.parquet")
    before = Path("t.parquet").read_bytes()
    status, _, err = table("build", "set/0.png", "-o", "t.parquet")
    assert (status, "already exists" in err) == (2, True)
    assert Path("t.parquet").read_bytes() == before
    status, _, err = table("rename", "image", "clean", "t.parquet", "-o", "t.parquet", "--overwrite")
    assert (status, "is the input: choose another output file" in err) == (2, True)
    assert table("build", "set/0.png", "-o", "t.parquet", "--overwrite")[0] == 0


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("resize", "12by8", "t.parquet", "-o", "o.parquet"), "'12by8' is not a size: write WIDTHxHEIGHT"),
        (("split", "t.parquet", "train", "-o", "o.parquet"), "'train' is not a share"),
        (("split", "t.parquet", "train=most", "-o", "o.parquet"), "'train=most' is not a share"),
        (("split", "t.parquet", "a=0.5", "a=0.5", "-o", "o.parquet"), "'a' is given twice"),
        (("add", "fog", "t.parquet", "-o", "o.parquet"), "unknown noise 'fog'"),
        (("check", "t.parquet#train"), "no part 'train'"),
        (("build", "nowhere", "-o", "o.parquet"), "no data at 'nowhere'"),
        (("chekc", "t.parquet"), "chekc"),
        ((), "table --help"),
    ],
)
def test_a_wrong_call_is_one_line_and_status_2(table: Call, here: Path, words: tuple[str, ...], why: str) -> None:
    table("build", "set", "-o", "t.parquet")
    status, out, err = table(*words)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert why in err
    assert not Path("o.parquet").exists()


def test_every_verb_is_a_function(fresh_python: Callable[[str], str]) -> None:
    verbs = fresh_python("""
import sys
from unnoise.cli import table
print(*(command.name or command.callback.__name__ for command in table.app.registered_commands))
assert not {"pyarrow", "skimage", "numpy"} & set(sys.modules), "the command line starts at once"
""").split()
    assert set(verbs) == {"build", "add", "check", "resize", "rename", "merge", "split", "push", "score", "show"}
    assert set(verbs) < set(tables.__all__)
