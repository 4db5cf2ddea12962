"""Image tables: what the commands write, which rows they leave out, and training from a table."""

from __future__ import annotations

import datetime
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa  # noqa: TID253
import pyarrow.parquet as pq  # noqa: TID253
import pytest

from unnoise import datasets, denoisers, io, noise as noises, tables
from unnoise.datasets.base import as_float
from unnoise.errors import UnnoiseError
from unnoise.evaluation import benchmark
from unnoise.evaluation.metrics import psnr, ssim
from unnoise.io.formats import FORMATS
from unnoise.tables import base

NAMES = ["a", "b", "sub/c", "sub/d", "e"]


def array(cell: dict[str, Any]) -> np.ndarray:
    return io.read(cell["bytes"]).to_array()


def cell_of(samples: np.ndarray, suffix: str = ".png") -> dict[str, Any]:
    return {"bytes": io.encode(io.from_array(samples), suffix), "path": None}


def rows_of(path: Path) -> list[dict[str, Any]]:
    return pq.read_table(path).to_pylist()


def write(path: Path, columns: dict[str, list[Any]], **options: Any) -> Path:
    """Write a table as third-party software does that knows only the layout."""
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    arrays = {
        name: pa.array(values, image if any(isinstance(one, dict) for one in values) else None)
        for name, values in columns.items()
    }
    pq.write_table(pa.table(arrays), path, **options)
    return path


@pytest.fixture
def folder(tmp_path: Path, photograph: np.ndarray) -> Path:
    """Return a folder of five 8-bit images, the fifth smaller than the others."""
    levels = np.rint(photograph * 255).astype(np.uint8)
    (tmp_path / "set" / "sub").mkdir(parents=True)
    for index, name in enumerate(NAMES):
        side = 24 if name == "e" else 32
        piece = levels[10 * index : 10 * index + side, 15 * index : 15 * index + side + 8]
        io.from_array(piece).save(tmp_path / "set" / f"{name}.png")
    return tmp_path / "set"


@pytest.fixture
def clean(folder: Path) -> Path:
    tables.build(folder, folder.parent / "clean.parquet", column="clean")
    return folder.parent / "clean.parquet"


@pytest.fixture
def pairs(clean: Path) -> Path:
    tables.add(clean, clean.with_name("pairs.parquet"), "salt-pepper:0.1", seed=3)
    return clean.with_name("pairs.parquet")


# What is written


def test_a_table_holds_the_pictures_of_a_folder(folder: Path, tmp_path: Path) -> None:
    grey = np.arange(6 * 5, dtype=np.uint16).reshape(6, 5, 1) * 2000
    io.from_array(grey).save(folder / "f.tif")
    outcome = tables.build(folder, tmp_path / "t.parquet")
    rows = rows_of(tmp_path / "t.parquet")
    assert (outcome.target, outcome.rows, outcome.bad) == (tmp_path / "t.parquet", 6, [])
    assert [row["name"] for row in rows] == ["a", "b", "e", "f", "sub/c", "sub/d"]
    for row in rows:
        file = folder / f"{row['name']}{'.tif' if row['name'] == 'f' else '.png'}"
        np.testing.assert_array_equal(array(row["image"]), io.read(file).to_array(), strict=True)
        assert row["image"]["path"] == f"{row['name']}.png"
        assert row["image"]["bytes"].startswith(b"\x89PNG")


def test_a_list_leaves_pictures_out_and_folders_follow_each_other(folder: Path, tmp_path: Path) -> None:
    (folder / "leave_out.txt").write_text("sub/d.png\n")
    parts = [folder / "sub", folder / "a.png"]
    tables.build(parts, tmp_path / "t.parquet", exclude=str(folder / "leave_out.txt"))
    assert [row["name"] for row in rows_of(tmp_path / "t.parquet")] == ["c", "a"]


def test_other_programs_open_it(pairs: Path) -> None:
    schema = pq.read_schema(pairs)
    assert str(schema.field("noisy").type) == "struct<bytes: binary, path: string>"
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert features["noisy"] == features["clean"] == {"_type": "Image"}
    ours = rows_of(pairs)
    query = "select name, clean.bytes, noisy.path from read_parquet(?)"
    theirs = duckdb.connect().execute(query, [str(pairs)]).fetchall()
    assert theirs == [(row["name"], row["clean"]["bytes"], row["noisy"]["path"]) for row in ours]


def test_added_noise_is_that_of_an_evaluation(pairs: Path, folder: Path) -> None:
    dataset = datasets.make(f"images:{folder}")
    expected = benchmark.noisy_pairs(dataset, noises.make("salt-pepper:0.1"), seed=3)
    for row, (noisy, _, _) in zip(rows_of(pairs), expected, strict=True):
        np.testing.assert_array_equal(array(row["noisy"]), np.rint(noisy * 255).astype(np.uint8))
    lost = np.concatenate([(array(row["noisy"]) != array(row["clean"])).any(axis=2).ravel() for row in rows_of(pairs)])
    assert lost.mean() == pytest.approx(0.1, abs=5 * (0.09 / lost.size) ** 0.5 + 0.002)  # a few were black or white


def test_noise_depends_on_the_seed_and_goes_into_the_column_named(clean: Path, tmp_path: Path) -> None:
    made = []
    for seed, name in ((0, "one"), (0, "again"), (1, "other")):
        tables.add(clean, tmp_path / f"{name}.parquet", "gaussian:9..30", seed=seed, source="clean", column="x")
        made.append([row["x"]["bytes"] for row in rows_of(tmp_path / f"{name}.parquet")])
    assert made[0] == made[1]
    assert not set(made[0]) & set(made[2])


def test_sixteen_bits_stay_sixteen(tmp_path: Path) -> None:
    flat = np.full((8, 8, 1), 30001, np.uint16)
    table = write(tmp_path / "t.parquet", {"name": ["a"], "image": [cell_of(flat)]})
    tables.add(table, tmp_path / "n.parquet", "gaussian:0")
    tables.resize(tmp_path / "n.parquet", tmp_path / "r.parquet", 3)
    tables.score("median", tmp_path / "r.parquet", tmp_path / "s.parquet")
    (row,) = rows_of(tmp_path / "s.parquet")
    for column in ("image", "noisy", "prediction"):
        np.testing.assert_array_equal(array(row[column]), np.full((3, 3, 1), 30001, np.uint16), strict=True)
    assert row["ssim"] is None, "too small for it"


def test_resized_pictures_have_the_size_and_the_look(pairs: Path, tmp_path: Path) -> None:
    outcome = tables.resize(pairs, tmp_path / "r.parquet", 20, 12)
    assert outcome.rows == 5
    for before, after in zip(rows_of(pairs), rows_of(tmp_path / "r.parquet"), strict=True):
        for column in ("clean", "noisy"):
            assert array(after[column]).shape == (12, 20, 3)
        assert array(after["clean"]).mean() == pytest.approx(array(before["clean"]).mean(), abs=2)


def test_transparency_is_resized_beside_the_colours(tmp_path: Path) -> None:
    samples = np.zeros((8, 8, 4), np.uint8)
    samples[:4, :, 3] = 255
    table = write(tmp_path / "t.parquet", {"name": ["a"], "image": [cell_of(samples)]})
    tables.resize(table, tmp_path / "r.parquet", 4)
    (row,) = rows_of(tmp_path / "r.parquet")
    assert array(row["image"])[[0, 3], :, 3].tolist() == [[255] * 4, [0] * 4]


def test_renamed_columns_keep_what_is_in_them(clean: Path, tmp_path: Path) -> None:
    tables.rename(clean, tmp_path / "r.parquet", {"clean": "truth"})
    assert [row["truth"] for row in rows_of(tmp_path / "r.parquet")] == [row["clean"] for row in rows_of(clean)]
    features = json.loads(pq.read_schema(tmp_path / "r.parquet").metadata[b"huggingface"])["info"]["features"]
    assert features == {"truth": {"_type": "Image"}}


def test_columns_of_any_type_pass_by_as_they_are(tmp_path: Path) -> None:
    strange = {
        "when": pa.array([datetime.datetime(2024, 2, 3), None], pa.timestamp("ms", "UTC")),
        "tags": pa.array([["x", "y"], []], pa.list_(pa.string())),
        "kind": pa.array(["k", "k"]).dictionary_encode(),
    }
    image = pa.array([cell_of(np.full((4, 4), 7, np.uint8))] * 2, base.IMAGE)
    pq.write_table(pa.table({"image": image, **strange}), tmp_path / "t.parquet")
    tables.add(tmp_path / "t.parquet", tmp_path / "n.parquet", "gaussian:0")
    before, after = pq.read_table(tmp_path / "t.parquet"), pq.read_table(tmp_path / "n.parquet")
    for name in strange:
        assert after[name].to_pylist() == before[name].to_pylist()
        assert after.schema.field(name).type == before.schema.field(name).type


def test_a_table_tells_how_it_was_made(pairs: Path, tmp_path: Path) -> None:
    tables.split(pairs, tmp_path / "s.parquet", {"train": 0.6, "test": 0.4}, seed=2)
    assert tables.check(tmp_path / "s.parquet").notes == [
        "built from set",
        "noisy: salt-pepper:0.1 added to clean, seed 3",
        "split into train 0.6, test 0.4, seed 2",
    ]


# Merging and splitting


def test_tables_are_merged_by_name_across_row_groups(pairs: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    rows = rows_of(pairs)
    order = rng.permutation(5)
    left = write(tmp_path / "l.parquet", {key: [row[key] for row in rows] for key in ("name", "clean")})
    right = {key: [rows[index][key] for index in order] for key in ("noisy", "name")}
    write(tmp_path / "r.parquet", {**right, "note": [f"of {name}" for name in right["name"]]}, row_group_size=2)
    outcome = tables.merge(left, tmp_path / "r.parquet", tmp_path / "m.parquet")
    merged = rows_of(tmp_path / "m.parquet")
    assert outcome.bad == []
    assert [{key: row[key] for key in ("name", "clean")} for row in merged] == [
        {key: row[key] for key in ("name", "clean")} for row in rows
    ]
    for row, original in zip(merged, rows, strict=True):
        assert row["noisy"]["bytes"] == original["noisy"]["bytes"]
        assert row["note"] == f"of {row['name']}"


def test_rows_without_a_valid_partner_are_reported_and_left_out(tmp_path: Path) -> None:
    small, large = cell_of(np.full((4, 4, 3), 9, np.uint8)), cell_of(np.full((4, 5, 3), 9, np.uint8))
    broken = {"bytes": small["bytes"][:60], "path": "x.png"}
    left = write(
        tmp_path / "l.parquet",
        {"name": ["good", "alone", "size", "cut", "twice", None], "clean": [small] * 6},
    )
    right = write(
        tmp_path / "r.parquet",
        {
            "name": ["twice", "cut", "size", "good", "other", "twice"],
            "noisy": [small, broken, large, small, small, small],
        },
    )
    issues: list[tables.RowIssue] = []
    outcome = tables.merge(left, right, tmp_path / "m.parquet", on_issue=issues.append)
    assert [row["name"] for row in rows_of(tmp_path / "m.parquet")] == ["good"]
    assert outcome.bad == issues
    reasons = {issue.row: issue.text for issue in issues}
    assert reasons.pop("cut").startswith("the image: damaged")
    assert reasons == {
        "alone": "no partner in r.parquet",
        "size": "sizes differ: clean is 4x4x3, noisy is 5x4x3",
        "twice": "occurs 2 times in r.parquet",
        "row 5": "no name",
        "other": "no partner in l.parquet",
    }


def test_a_split_is_shuffled_seeded_and_complete(tmp_path: Path) -> None:
    picture = cell_of(np.zeros((2, 2), np.uint8))
    table = write(tmp_path / "t.parquet", {"name": [str(index) for index in range(100)], "image": [picture] * 100})
    parts = []
    for seed, name in ((0, "one"), (0, "again"), (1, "other")):
        tables.split(table, tmp_path / f"{name}.parquet", {"train": 0.7, "validation": 0.205, "test": 0.095}, seed=seed)
        parts.append([row["part"] for row in rows_of(tmp_path / f"{name}.parquet")])
    assert parts[0] == parts[1] != parts[2]
    assert {part: parts[0].count(part) for part in set(parts[0])} == {"train": 70, "validation": 20, "test": 10}
    assert parts[0] != sorted(parts[0]), "in no order"
    train = {row["name"] for row in rows_of(tmp_path / "one.parquet") if row["part"] == "train"}
    assert 20 < len([name for name in train if int(name) < 50]) < 50, "of every region"
    again = tables.rename(tmp_path / "one.parquet#train", tmp_path / "train.parquet", {"image": "clean"})
    assert again.rows == 70
    assert {row["name"] for row in rows_of(tmp_path / "train.parquet")} == train


@pytest.mark.parametrize(
    ("shares", "why"),
    [
        ({"train": 0.5, "test": 0.4}, "have a sum of 1"),
        ({"train": 1.2, "test": -0.2}, "above 0"),
        ({"train": float("nan"), "test": 0.5}, "above 0"),
        ({}, "such as train=0.9"),
        ({"train": 0.95, "test": 0.05}, "5 rows are too few: the part 'test' is empty"),
    ],
)
def test_shares_that_make_no_split_are_refused(clean: Path, tmp_path: Path, shares: dict[str, float], why: str) -> None:
    with pytest.raises(UnnoiseError, match=why):
        tables.split(clean, tmp_path / "s.parquet", shares)
    assert not (tmp_path / "s.parquet").exists()


# Looking and judging


def test_check_tells_what_a_table_holds(pairs: Path) -> None:
    found = tables.check(pairs)
    assert (found.rows, found.bad, found.odd) == (5, [], [])
    assert [column.column for column in found.columns] == ["clean", "noisy"]
    for column in found.columns:
        assert (column.pictures, column.sizes) == (5, "40x32 (4), 32x24 (1)")
        assert (column.channels, column.bits) == ("3 (5)", "8 (5)")


def test_check_finds_what_is_bad_and_what_is_odd(tmp_path: Path, rng: np.random.Generator) -> None:
    def picture(*shape: int, dtype: type = np.uint8) -> dict[str, Any]:
        return cell_of(rng.integers(256, size=shape).astype(dtype))

    same = picture(6, 6, 3)
    rows = {
        "fine": (picture(6, 6, 3), picture(6, 6, 3)),
        "same": (same, same),
        "sizes": (picture(6, 6, 3), picture(6, 7, 3)),
        "grey": (picture(6, 6, 1), picture(6, 6, 1)),
        "deep": (picture(6, 6, 3, dtype=np.uint16), picture(6, 6, 3)),
        "clear": (picture(6, 6, 4), picture(6, 6, 3)),
        "flat": (cell_of(np.full((6, 6, 3), 5, np.uint8)), picture(6, 6, 3)),
        "empty": (None, picture(6, 6, 3)),
        "far": ({"bytes": None, "path": "far.png"}, picture(6, 6, 3)),
        "text": ({"bytes": b"no picture", "path": "x"}, picture(6, 6, 3)),
    }
    names = [*rows, "fine", ""]
    cells = [*rows.values(), (picture(6, 6, 3), picture(6, 6, 3)), (picture(6, 6, 3), picture(6, 6, 3))]
    table = write(
        tmp_path / "t.parquet",
        {"name": names, "clean": [cell[0] for cell in cells], "noisy": [cell[1] for cell in cells]},
    )
    found = tables.check(table)
    assert [str(one) for one in found.bad] == [
        "sizes: sizes differ: clean is 6x6x3, noisy is 7x6x3",
        "empty: clean: no image",
        "far: clean: the path of an image without its bytes",
        f"text: clean: the image: not an image in a supported format ({', '.join(kind.name for kind in FORMATS)})",
        "fine: duplicate name",
        "row 11: no name",
    ]
    assert {str(one) for one in found.odd} == {
        "same: noisy is the same image as clean of same",
        "grey: clean has 1 channels of 8 bits, most have 3 of 8",
        "grey: noisy has 1 channels of 8 bits, most have 3 of 8",
        "deep: clean has 3 channels of 16 bits, most have 3 of 8",
        "clear: clean has transparency",
        "flat: clean is constant",
    }
    assert found.columns[0].pictures == 9
    assert found.columns[0].bits == "8 (8), 16 (1)"


def test_a_score_is_what_evaluation_measures(pairs: Path, folder: Path, tmp_path: Path) -> None:
    scored = tables.score("adaptive-median", pairs, tmp_path / "s.parquet")
    model = denoisers.make("adaptive-median")
    for row in rows_of(tmp_path / "s.parquet"):
        noisy, truth = as_float(array(row["noisy"])), as_float(array(row["clean"]))
        np.testing.assert_array_equal(array(row["prediction"]), np.rint(model(noisy) * 255).astype(np.uint8))
        assert row["psnr_noisy"] == pytest.approx(psnr(truth, noisy))
        assert row["psnr"] == pytest.approx(psnr(truth, model(noisy)))
        assert row["ssim"] == pytest.approx(ssim(truth, model(noisy)))
    spec = noises.make("salt-pepper:0.1")
    (row,) = benchmark.evaluate({"m": model}, datasets.make(f"images:{folder}"), [spec], seed=3)
    assert scored.mean is not None
    assert (scored.mean.images, scored.rows) == (5, 5)
    assert scored.mean.psnr_noisy == pytest.approx(row.psnr_noisy)
    assert scored.mean.psnr == pytest.approx(row.psnr)
    assert scored.mean.ssim == pytest.approx(row.ssim)
    assert scored.mean == tables.mean(tmp_path / "s.parquet")


def test_a_model_that_wants_the_level_finds_it_in_the_picture(clean: Path, tmp_path: Path) -> None:
    tables.add(clean, tmp_path / "n.parquet", "gaussian:25")
    scored = tables.score(denoisers.make("color"), tmp_path / "n.parquet", tmp_path / "s.parquet")
    assert scored.mean is not None
    assert scored.mean.psnr > scored.mean.psnr_noisy + 3
    for row in rows_of(tmp_path / "s.parquet"):
        noisy = as_float(array(row["noisy"]))
        cleaned = denoisers.make("color")(noisy, denoisers.estimate_noise(noisy).sigma)
        expected = np.rint(np.clip(cleaned, 0, 1) * 255)
        np.testing.assert_array_equal(array(row["prediction"]), expected)


def test_without_clean_pictures_there_are_predictions_alone(folder: Path, tmp_path: Path) -> None:
    tables.build(folder, tmp_path / "n.parquet", column="noisy")
    scored = tables.score("median", tmp_path / "n.parquet", tmp_path / "s.parquet")
    assert scored.mean is None
    assert pq.read_schema(tmp_path / "s.parquet").names == ["name", "noisy", "prediction"]
    with pytest.raises(UnnoiseError, match="is not scored"):
        tables.mean(tmp_path / "s.parquet")


def test_a_sheet_shows_pictures_at_their_true_size(pairs: Path, tmp_path: Path) -> None:
    tables.score("median", pairs, tmp_path / "s.parquet")
    sheet = tmp_path / "sheet.png"
    outcome = tables.show(tmp_path / "s.parquet", sheet, names=["sub/c", "a"], histograms=tmp_path / "h.png")
    drawn, rows = io.read(sheet).to_array(), {row["name"]: row for row in rows_of(tmp_path / "s.parquet")}
    assert outcome.rows == 2
    tops = []
    for name in ("sub/c", "a"):
        places = [place_of(array(rows[name][column]), drawn) for column in ("noisy", "prediction", "clean")]
        assert [left for _, left in places] == sorted(left for _, left in places)
        tops += {top for top, _ in places}
    assert tops == sorted(tops), "each row on its own line, as they were named"
    assert len(tops) == 2
    assert io.read(tmp_path / "h.png").pixels.shape[1] > 1000, "three panels"


def test_a_sheet_may_show_the_middle_alone(pairs: Path, tmp_path: Path) -> None:
    tables.show(pairs, tmp_path / "sheet.png", rows=1, crop=10)
    drawn, row = io.read(tmp_path / "sheet.png").to_array(), rows_of(pairs)[0]
    place_of(array(row["clean"])[11:21, 15:25], drawn)
    with pytest.raises(StopIteration):
        place_of(array(row["clean"])[10:21, 15:25], drawn)


def place_of(picture: np.ndarray, sheet: np.ndarray) -> tuple[int, int]:
    """Find an image in a sheet, pixel by pixel."""
    height, width = picture.shape[:2]
    corners = np.argwhere((sheet == picture[0, 0]).all(axis=2))
    return next((y, x) for y, x in corners if np.array_equal(sheet[y : y + height, x : x + width], picture))


# What must not happen


def test_unreadable_images_are_reported_and_left_out(folder: Path, tmp_path: Path) -> None:
    (folder / "b.png").write_bytes((folder / "b.png").read_bytes()[:200])
    io.from_array(np.zeros((4, 4), np.uint8)).save(folder / "a.tif")
    io.from_array(np.zeros((4, 4), np.float32)).save(folder / "float.tif")
    outcome = tables.build(folder, tmp_path / "t.parquet")
    assert [row["name"] for row in rows_of(tmp_path / "t.parquet")] == ["e", "sub/c", "sub/d"]
    assert outcome.rows == 3
    assert [one.row for one in outcome.bad] == ["a", "a", "b", "float"]
    assert "2 images have this name" in outcome.bad[0].text
    assert "damaged" in outcome.bad[2].text
    assert "PNG cannot hold float32" in outcome.bad[3].text


@pytest.mark.parametrize("verb", ["add", "resize", "score", "show"])
def test_a_bad_row_does_not_stop_the_others(tmp_path: Path, verb: str) -> None:
    good = cell_of(np.full((12, 12, 3), 9, np.uint8))
    cells = [good] * 20 + [{"bytes": b"text", "path": "x"}] + [good] * 20
    column = "noisy" if verb == "score" else "image"
    table = write(tmp_path / "t.parquet", {"name": [f"{index}" for index in range(41)], column: cells})
    calls: dict[str, Callable[[Path], tables.Outcome]] = {
        "add": lambda target: tables.add(table, target, "clip"),
        "resize": lambda target: tables.resize(table, target, 5),
        "score": lambda target: tables.score("median", table, target),
        "show": lambda target: tables.show(table, target.with_suffix(".png"), rows=41),
    }
    outcome = calls[verb](tmp_path / "o.parquet")
    assert outcome.rows == 40
    assert [one.row for one in outcome.bad] == ["20"]
    if verb != "show":
        assert [row["name"] for row in rows_of(outcome.target)] == [f"{index}" for index in range(41) if index != 20]


def test_where_no_row_is_left_nothing_is_written(tmp_path: Path) -> None:
    table = write(tmp_path / "t.parquet", {"name": ["a"], "image": [{"bytes": b"text", "path": "x"}]})
    before = sorted(tmp_path.iterdir())
    for verb in (
        lambda: tables.add(table, tmp_path / "o.parquet", "clip"),
        lambda: tables.show(table, tmp_path / "o.png"),
    ):
        with pytest.raises(UnnoiseError, match=r"no row can be .*: a: .*not an image"):
            verb()
    assert sorted(tmp_path.iterdir()) == before


def test_a_verb_that_breaks_leaves_what_was_there(clean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "o.parquet"
    target.write_bytes(b"before")
    before = sorted(tmp_path.rglob("*"))

    def broken(finding: object) -> None:
        raise RuntimeError("the power is gone")

    with pytest.raises(RuntimeError):
        tables.add(clean, target, "clip", overwrite=True, progress=broken)
    assert target.read_bytes() == b"before"
    assert sorted(tmp_path.rglob("*")) == before


def test_outputs_are_replaced_only_on_overwrite_and_inputs_never(clean: Path, pairs: Path) -> None:
    written = pairs.read_bytes()
    with pytest.raises(UnnoiseError, match="already exists"):
        tables.rename(clean, pairs, {"clean": "x"})
    with pytest.raises(UnnoiseError, match="is the input: choose another output file"):
        tables.rename(pairs, pairs, {"clean": "x"}, overwrite=True)
    with pytest.raises(UnnoiseError, match="is the input: choose another output file"):
        tables.split(f"{pairs}#all", pairs, {"train": 1}, overwrite=True)
    with pytest.raises(UnnoiseError, match=r"end in \.parquet"):
        tables.rename(clean, clean.with_suffix(".png"), {"clean": "x"})
    assert pairs.read_bytes() == written
    tables.rename(clean, pairs, {"clean": "x"}, overwrite=True)
    assert pq.read_schema(pairs).names == ["name", "x"]


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (lambda pairs, to: tables.add(pairs, to, "clip"), "already has a column 'noisy'"),
        (lambda pairs, to: tables.add(pairs, to, "clip", source="clear", column="x"), "did you mean 'clean'"),
        (lambda pairs, to: tables.add(pairs, to, "fog"), "unknown noise 'fog'"),
        (lambda pairs, to: tables.rename(pairs, to, {"nosy": "x"}), "did you mean 'noisy'"),
        (lambda pairs, to: tables.rename(pairs, to, {"noisy": "clean"}), "already has a column 'clean'"),
        (lambda pairs, to: tables.merge(pairs, pairs, to), "both tables have a column 'clean'"),
        (lambda pairs, to: tables.merge(pairs, pairs, to, by="nam"), "did you mean 'name'"),
        (lambda pairs, to: tables.resize(pairs, to, 0), "width and height must be at least 1"),
        (lambda pairs, to: tables.score("medain", pairs, to), "unknown model 'medain'"),
        (lambda pairs, to: tables.score("median", pairs, to, noisy="name"), "unknown column of images 'name'"),
        (lambda pairs, to: tables.show(pairs, to.with_suffix(".png"), names=["z"]), "has no row 'z'"),
        (lambda pairs, to: tables.check(f"{pairs}#train"), "has no part 'train': split it first"),
        (lambda pairs, to: tables.check(pairs.with_name("nowhere.parquet")), "no data at"),
        (lambda pairs, to: tables.check(__file__), "not a Parquet file"),
    ],
)
def test_invalid_call_gives_a_one_line_error(pairs: Path, call: Callable[[Path, Path], object], why: str) -> None:
    before = sorted(pairs.parent.iterdir())
    with pytest.raises(UnnoiseError, match=why) as caught:
        call(pairs, pairs.with_name("o.parquet"))
    assert "\n" not in str(caught.value)
    assert sorted(pairs.parent.iterdir()) == before


def test_a_table_without_pictures_is_none(tmp_path: Path) -> None:
    pq.write_table(pa.table({"name": ["a"], "image": [b"bytes"]}), tmp_path / "t.parquet")
    with pytest.raises(UnnoiseError, match="no column of images: their type is struct<bytes, path>"):
        tables.check(tmp_path / "t.parquet")
    empty = pa.table({"image": pa.array([], base.IMAGE)})
    pq.write_table(empty, tmp_path / "e.parquet")
    with pytest.raises(UnnoiseError, match="has no rows"):
        tables.check(tmp_path / "e.parquet")


def test_tables_larger_than_memory_pass_through_it(
    tmp_path: Path, rng: np.random.Generator, fresh_python: Callable[[str], str]
) -> None:
    rows = [{"bytes": rng.bytes(1 << 17), "path": ""} for _ in range(512)]
    write(tmp_path / "t.parquet", {"image": rows}, row_group_size=32)
    code = f"""
import contextlib, tracemalloc
import pyarrow as pa
with contextlib.suppress(ImportError):
    import pandas  # as pyarrow does where it is installed; its modules are not the table's memory
from unnoise import tables
from unnoise.tables import base

base.GROUP = 1 << 21
tracemalloc.start()
tables.split({str(tmp_path / "t.parquet")!r}, {str(tmp_path / "s.parquet")!r})
tables.rename({str(tmp_path / "s.parquet#all")!r}, {str(tmp_path / "r.parquet")!r}, {{"image": "clean"}})
print(pa.default_memory_pool().max_memory() + tracemalloc.get_traced_memory()[1])
"""
    most = int(fresh_python(code)) / 2**20
    metadata = pq.ParquetFile(tmp_path / "r.parquet").metadata
    assert metadata.num_rows == 512
    assert max(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups)) < 5 << 20
    assert most < 40, "megabytes, of a table of 64"


# What learns from them


def test_a_dataset_yields_noisy_and_clean(pairs: Path) -> None:
    dataset, rows = datasets.make(f"table:{pairs}"), rows_of(pairs)
    assert len(dataset) == 5
    for index, row in enumerate(rows):
        noisy, truth = dataset[index]
        np.testing.assert_array_equal(noisy, array(row["noisy"]), strict=True)
        np.testing.assert_array_equal(truth, array(row["clean"]), strict=True)
        assert dataset.label(index) == row["name"]
    assert dataset[3] is dataset[3], "decoded once"
    assert pickle.loads(pickle.dumps(dataset))[2][0].shape == dataset[2][0].shape, "it travels to other processes"


def test_a_part_of_a_table_is_a_dataset(tmp_path: Path) -> None:
    cells = [cell_of(np.full((4, 4), index, np.uint8)) for index in range(9)]
    parts = ["train", "test", "train", "train", "test", "train", "train", "test", "train"]
    table = write(tmp_path / "t.parquet", {"image": cells, "part": parts}, row_group_size=2)
    dataset = datasets.make(f"table:{table}#test")
    assert [dataset[index][0, 0, 0] for index in (2, 0, 1)] == [7, 1, 4]
    assert [dataset.label(index) for index in range(3)] == ["row 1", "row 4", "row 7"]
    assert len(datasets.make(f"table:{table}#all")) == 9
    with pytest.raises(UnnoiseError, match="unknown part 'tset': did you mean 'test'"):
        datasets.make(f"table:{table}#tset")


def test_clean_pictures_alone_come_by_themselves_in_the_channels_asked_for(clean: Path) -> None:
    colour, grey = datasets.make(f"table:{clean}"), datasets.make(f"table:{clean}", channels=1)
    assert [colour[0].shape, grey[0].shape] == [(32, 40, 3), (32, 40, 1)]


def test_a_dataset_says_which_row_is_bad(tmp_path: Path) -> None:
    small, large = (cell_of(np.full((4, side, 3), 9, np.uint8)) for side in (4, 5))
    table = write(tmp_path / "t.parquet", {"name": ["a", "b"], "noisy": [small] * 2, "clean": [small, large]})
    with pytest.raises(UnnoiseError, match=r"t.parquet, b: sizes differ: noisy is 4x4x3, clean is 5x4x3"):
        datasets.make(f"table:{table}")[0]


@pytest.mark.parametrize(
    ("columns", "why"),
    [(["noisy"], "rename the column of the clean ones"), (["x", "y"], "images in x, y: rename")],
)
def test_the_column_of_clean_images_must_be_unambiguous(tmp_path: Path, columns: list[str], why: str) -> None:
    table = write(tmp_path / "t.parquet", {name: [cell_of(np.zeros((4, 4), np.uint8))] for name in columns})
    with pytest.raises(UnnoiseError, match=why):
        datasets.make(f"table:{table}")


def test_a_table_takes_no_list_of_files(clean: Path) -> None:
    with pytest.raises(UnnoiseError, match="leave images out when the table is built"):
        datasets.make(f"table:{clean}", exclude="list.txt")


# Shared work


VERBS: dict[str, tuple[Callable[..., tables.Outcome], tuple[Any, ...]]] = {
    "build": (tables.build, ("set",)),
    "add": (lambda *words, **how: tables.add(*words, "gaussian:9..30", seed=5, **how), ("clean.parquet",)),
    "resize": (lambda *words, **how: tables.resize(*words, 20, **how), ("pairs.parquet",)),
    "merge": (tables.merge, ("clean.parquet", "other.parquet")),
    "split": (lambda *words, **how: tables.split(*words, {"a": 0.5, "b": 0.5}, seed=7, **how), ("pairs.parquet",)),
    "score": (lambda *words, **how: tables.score("median", *words, **how), ("pairs.parquet",)),
}


@pytest.mark.parametrize("shares", [1, 2, 5, 9])
@pytest.mark.parametrize("name", VERBS)
def test_it_does_not_matter_who_makes_which_rows(
    name: str, shares: int, pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pairs.parent)
    monkeypatch.setattr(base, "GROUP", 6000)
    tables.rename(pairs, "other.parquet", {"clean": "truth"})
    (pairs.parent / "set" / "b.png").write_bytes(b"broken")
    verb, words = VERBS[name]

    def spread(rows: int) -> Any:
        assert rows == 5
        for number in range(shares):
            yield from verb(*words, "nowhere.parquet", shard=base.Shard(number, shares)).batches

    alone = verb(*words, "alone.parquet")
    shared = verb(*words, "shared.parquet", distribute=spread)
    assert (shared.rows, shared.bad) == (alone.rows, alone.bad) == ((4, alone.bad) if name == "build" else (5, []))
    assert Path("shared.parquet").read_bytes() == Path("alone.parquet").read_bytes()
    assert pq.ParquetFile("alone.parquet").num_row_groups > 1 or name == "resize"
