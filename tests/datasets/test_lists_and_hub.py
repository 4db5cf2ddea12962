"""Images named by CSV files, datasets in the layout of Hugging Face's hub, and `unnoise data`."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fakes import Call
from unnoise import datasets, io
from unnoise.datasets.hugging_face import _part
from unnoise.errors import UnnoiseError


@pytest.fixture
def pixels(tmp_path: Path, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return four images by the path below tmp_path that they are saved under."""
    made = {}
    for index, name in enumerate(("a.png", "b.png", "sub/c d.png", "sub/e.tif")):
        made[name] = rng.integers(256, size=(12 + index, 9, 3), dtype=np.uint8)
        (tmp_path / name).parent.mkdir(exist_ok=True)
        io.from_array(made[name]).save(tmp_path / name)
    return made


def test_a_csv_names_images(tmp_path: Path, pixels: dict[str, np.ndarray]) -> None:
    for header in ("image", "clean", "path", "file"):
        text = f"id,{header},note\n1,a.png,\n2,sub/c d.png,x\n3,sub/e.tif\n"
        (tmp_path / "list.csv").write_text("\ufeff" + text, encoding="utf-8")
        dataset = datasets.make(f"csv:{tmp_path / 'list.csv'}")
        assert [dataset.label(index) for index in range(len(dataset))] == ["a.png", str(Path("sub/c d.png")),
                                                                           str(Path("sub/e.tif"))]  # fmt: skip
        for index, name in enumerate(("a.png", "sub/c d.png", "sub/e.tif")):
            np.testing.assert_array_equal(dataset[index], pixels[name])
    gray = datasets.make(f"csv:{tmp_path / 'list.csv'}", channels=1)
    assert gray[0].shape == (12, 9, 1)


def test_a_csv_names_pairs_and_parts(tmp_path: Path, pixels: dict[str, np.ndarray]) -> None:
    (tmp_path / "list.csv").write_text(
        f"noisy,clean,part\na.png,{tmp_path / 'a.png'},train\na.png,b.png,test\nb.png,b.png,train\n"
    )
    train = datasets.make(f"csv:{tmp_path / 'list.csv'}#train")
    assert len(train) == 2 and len(datasets.make(f"csv:{tmp_path / 'list.csv'}")) == 3
    noisy, clean = train[0]
    np.testing.assert_array_equal(noisy, pixels["a.png"])
    np.testing.assert_array_equal(clean, pixels["a.png"])
    with pytest.raises(UnnoiseError, match=r"a\.png: the images of the pair differ in shape"):
        datasets.make(f"csv:{tmp_path / 'list.csv'}#test")[0]
    with pytest.raises(UnnoiseError, match=r"unknown part 'trian'.*train"):
        datasets.make(f"csv:{tmp_path / 'list.csv'}#trian")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("name\na.png\n", "has no column of images: name one clean, image, path, file"),
        ("image\n", "has no rows"),
        ("image\na.png\nabsent.png\n", r"line 3: no file 'absent\.png' in the column 'image'"),
        ("noisy,clean\n,a.png\n", "line 2: no file '' in the column 'noisy'"),
        ("", "has no column of images"),
    ],
)
def test_a_csv_that_does_not_fit_is_refused(text: str, why: str, tmp_path: Path, pixels: dict[str, np.ndarray]) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(UnnoiseError, match=why):
        datasets.make(f"csv:{tmp_path / 'list.csv'}")
    (tmp_path / "list.csv").write_bytes(b"image\n\xff\xfe\x00")
    with pytest.raises(UnnoiseError, match="it is not a CSV file in UTF-8"):
        datasets.make(f"csv:{tmp_path / 'list.csv'}")


def test_parts_are_read_off_the_names() -> None:
    for path, part in {
        "data/train-00000-of-00002.parquet": "train",
        "default/test/0000.parquet": "test",
        "default/partial-train/0003.parquet": "train",
        "validation.parquet": "validation",
    }.items():
        assert _part(Path(path)) == part


class TestHub:
    @pytest.fixture
    def pushed(self, tmp_path: Path, pixels: dict[str, np.ndarray], call: Call) -> Path:
        """Return a folder with a table of the images, split into parts."""
        pytest.importorskip("pyarrow")
        table, split = tmp_path / "table.parquet", tmp_path / "split.parquet"
        assert call("table", "build", tmp_path, "--exclude", self.nothing(tmp_path), "-o", table)[0] == 0
        assert call("table", "split", table, "train=0.5", "test=0.5", "-o", split)[0] == 0
        status, out, _ = call("table", "push", split, tmp_path / "pushed")
        assert (status, out) == (0, f"{tmp_path / 'pushed'}\n")
        return tmp_path / "pushed"

    @staticmethod
    def nothing(folder: Path) -> Path:
        (folder / "nothing.txt").write_text("")
        return folder / "nothing.txt"

    def test_what_is_pushed_is_read_again(self, pushed: Path, pixels: dict[str, np.ndarray], call: Call) -> None:
        names = sorted(path.relative_to(pushed).as_posix() for path in pushed.rglob("*.parquet"))
        assert names == ["data/test-00000-of-00001.parquet", "data/train-00000-of-00001.parquet"]
        parts = [datasets.make(f"hf:{pushed}#{part}") for part in ("test", "train")]
        assert [len(part) for part in parts] == [2, 2] and len(datasets.make(f"hf:{pushed}")) == 4
        seen = {part.label(index): part[index] for part in parts for index in range(2)}
        assert set(seen) == {name.rpartition(".")[0] for name in pixels}
        for name, image in pixels.items():
            np.testing.assert_array_equal(seen[name.rpartition(".")[0]], image)
        split = pushed.parent / "split.parquet"
        assert "already exists" in call("table", "push", split, pushed)[2]
        assert call("table", "push", split, pushed, "--overwrite")[0] == 0
        with pytest.raises(UnnoiseError, match=r"unknown part 'tets': .*test"):
            datasets.make(f"hf:{pushed}#tets")
        with pytest.raises(UnnoiseError, match="is a file: write table:"):
            datasets.make(f"hf:{split}")

    def test_the_library_reads_what_is_pushed(self, pushed: Path, pixels: dict[str, np.ndarray]) -> None:
        library = pytest.importorskip("datasets")
        loaded = library.load_dataset(str(pushed), split="train", cache_dir=str(pushed.parent / "cache"))
        assert np.asarray(loaded[0]["image"]).shape[2] == 3

    def test_a_name_is_fetched_from_the_hub(
        self, pushed: Path, monkeypatch: pytest.MonkeyPatch, call: Call, tmp_path: Path
    ) -> None:
        seen: list[tuple[str, dict[str, Any]]] = []
        hub: Any = types.ModuleType("huggingface_hub")
        hub.snapshot_download = lambda name, **options: seen.append((name, options)) or str(pushed)
        api = types.SimpleNamespace(
            create_repo=lambda name, **options: seen.append((name, options)),
            upload_folder=lambda **options: seen.append(
                (options["repo_id"], {"files": sorted(p.name for p in Path(options["folder_path"]).rglob("*.parquet"))})
            ),
        )
        hub.HfApi = lambda: api
        monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
        assert len(datasets.make("hf:someone/pictures#train")) == 2
        name, options = seen.pop()
        assert name == "someone/pictures" and options["repo_type"] == "dataset"
        assert options["allow_patterns"] == ["*.parquet"], "nothing else is fetched"
        assert call("table", "push", tmp_path / "split.parquet", "hf:someone/new")[0] == 0
        assert seen[0][1]["private"] is True
        assert seen[1] == ("someone/new", {"files": ["test-00000-of-00001.parquet", "train-00000-of-00001.parquet"]})

        def offline(*_: Any, **__: Any) -> None:
            raise ConnectionError("cannot reach\nthe hub")

        hub.snapshot_download = offline
        with pytest.raises(UnnoiseError, match=r"no folder 'someone/absent', and the hub .*: cannot reach the hub$"):
            datasets.make("hf:someone/absent")
        with pytest.raises(UnnoiseError, match="no data at"):
            datasets.make("hf:./no/such/folder")


def test_data_list_says_what_is_where(
    tmp_path: Path, pixels: dict[str, np.ndarray], call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    for name in ("set/a.png", "set/deep/b.png", "shots/x_noisy.png", "shots/x_clean.png", "notes/readme.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes((tmp_path / "a.png").read_bytes())
    (root / "list.csv").write_text("image\nset/a.png\n")
    (root / "digits").mkdir()
    (root / "digits" / "train-images-idx3-ubyte.gz").write_bytes(b"0")
    monkeypatch.setenv("UNNOISE_DATA", str(root))
    rows = [json.loads(line) for line in call("data", "list", "--json")[1].splitlines()]
    assert [(row["spec"], row["files"]) for row in rows] == [
        ("mnist:digits", 1), ("csv:list.csv", 1), ("images:set", 2), ("pairs:shots", 2),
    ]  # fmt: skip
    for row in rows[1:]:
        assert len(datasets.make(row["spec"])) > 0, "each spec opens it"
    assert "| images:set |" in call("data", "list", root)[1]
    assert "no folder" in call("data", "list", tmp_path / "absent")[2]
    assert "no images in" in call("data", "list", root / "notes")[2]


def test_data_check_reads_everything(tmp_path: Path, pixels: dict[str, np.ndarray], call: Call) -> None:
    spec = f"images:{tmp_path}"
    assert call("data", "check", spec) == (0, f"{spec}: 4 images, 9x12 to 9x15 pixels: 4 of 3 channels, uint8\n", "")
    (tmp_path / "broken.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    status, out, err = call("data", "check", spec, "--json")
    found = json.loads(out)
    assert (status, found["items"], len(found["errors"])) == (1, 5, 1)
    assert err.count("\n") == 1 and "broken.png" in err
    assert call("data", "check", f"images:{tmp_path / 'broken.png'}")[0] == 2
    assert "no data at" in call("data", "check", "images:absent")[2]
