"""`unnoise list` and `unnoise models`: their output is complete."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from unnoise import denoisers, noise
from unnoise.cli import list as listing, main

Call = Callable[..., tuple[int, str, str]]
SOURCE = Path(main.__file__).parents[1]


@pytest.fixture
def unnoise(capsys: pytest.CaptureFixture[str]) -> Call:
    def call(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main.main([*words])
        return int(left.value.code or 0), *capsys.readouterr()

    return call


def test_every_kind_is_listed(unnoise: Call) -> None:
    pytest.importorskip("torch")
    status, out, err = unnoise("list")
    assert (status, err) == (0, "")
    assert [line for line in out.splitlines() if not line.startswith(" ")] == list(listing.KINDS)
    rows = [json.loads(line) for line in unnoise("list", "--json")[1].splitlines()]
    for kind in listing.REGISTRIES:
        named = [row["name"] for row in rows if row["kind"] == kind]
        assert named == sorted(listing.registry(kind).members)
    assert [row["name"] for row in rows if row["kind"] == "models"] == list(denoisers.bundled_models())
    assert all(row["summary"] for row in rows)


def test_every_registry_is_in_the_table() -> None:
    made = set()
    for path in SOURCE.glob("**/*.py"):
        module = ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")
        made |= {f"{module}:{name}" for name in re.findall(r"^([A-Z]+): Registry\[", path.read_text("utf-8"), re.M)}
    assert made == set(listing.REGISTRIES.values())


def test_a_row_has_arguments_and_defaults(unnoise: Call) -> None:
    rows = {row["name"]: row for row in map(json.loads, unnoise("list", "noises", "--json")[1].splitlines())}
    quality, full_color = rows["jpeg"]["arguments"]
    assert quality == {"name": "quality", "required": True, "default": None}
    assert full_color == {"name": "full_color", "required": False, "default": "false"}
    assert rows["jpeg"]["spec"] == "jpeg:QUALITY,full_color=false"
    assert re.search(r"^nlm:strength=[\d.]+  +Non-local means", unnoise("list", "denoisers")[1], re.MULTILINE)


def test_defaults_are_what_the_spec_language_reads() -> None:
    for member in map(noise.NOISES.describe, noise.NOISES):
        if all(argument.default is not None for argument in member.arguments):
            assert str(noise.make(member.spec)) == member.name


def test_an_unknown_kind_is_one_line(unnoise: Call) -> None:
    assert unnoise("list", "noise") == (2, "", "unnoise: unknown kind 'noise': did you mean 'noises'?\n")


def test_without_pytorch_its_kinds_are_errors(unnoise: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    status, out, err = unnoise("list")
    assert status == 1 and "gaussian:SD" in out and "models" in out
    assert [line.split(":")[1].strip() for line in err.splitlines()] == list(listing.NEED_TORCH)
    assert all('pip install "unnoise[train]"' in line for line in err.splitlines())


def test_models_are_a_line_each_and_a_card_in_full(unnoise: Call) -> None:
    lines = unnoise("models")[1].splitlines()
    networks = [name for name in denoisers.bundled_files() if name != denoisers.ESTIMATOR]
    assert [line.split()[0] for line in lines] == [*networks, *denoisers.DENOISERS]
    assert sum(bool(re.match(r"color +\d\.\d MB  \w", line)) for line in lines) == 1
    card = unnoise("models", "color")[1]
    assert all(re.search(f"^{label}  ", card, re.MULTILINE) for label in ("name", "network", "training", "scores"))
    assert "dB on images:kodak24, gaussian:25" in card and max(map(len, card.splitlines())) < 120
    file = str(denoisers.bundled_models()["color"])
    assert unnoise("models", file)[1] == card
    assert json.loads(unnoise("models", "color", "--json")[1])["name"] == "color"
    assert unnoise("models", "nlm")[1].startswith("nlm:strength=")
    assert unnoise("models", "colour") == (2, "", "unnoise: unknown model 'colour': did you mean 'color'?\n")


def test_h_is_help(unnoise: Call) -> None:
    assert unnoise("-h") == unnoise("--help")
    assert unnoise("clean", "-h") == unnoise("clean", "--help")
    assert unnoise("table", "add", "-h") == unnoise("table", "add", "--help")
