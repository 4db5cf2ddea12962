"""Tables, curves and contact sheets of results."""

from __future__ import annotations

import importlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unnoise.errors import UnnoiseError
from unnoise.evaluation import report
from unnoise.evaluation.report import markdown, side_by_side


@dataclass(frozen=True)
class Line:
    model: str
    images: int
    psnr: float
    ssim: float = 0.98765


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the list that every figure goes into when it is saved."""
    from matplotlib.figure import Figure

    saved: list[Any] = []
    save = Figure.savefig

    def keep(figure: Any, *arguments: Any, **options: Any) -> None:
        saved.append(figure)
        save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return saved


def lines(axes: Any) -> dict[str, list[tuple[float, float]]]:
    """Return the points of every named line."""
    return {line.get_label(): list(zip(*map(list, line.get_data()), strict=True)) for line in axes.lines}


def names(axes: Any) -> tuple[str, str]:
    """Return the axis labels."""
    return axes.get_xlabel(), axes.get_ylabel()


def test_a_table_in_markdown() -> None:
    rows = [Line("color", 68, 31.145), Line("a | b", 1, math.nan, 1.0), Line("best", 0, math.inf)]
    assert markdown(rows, decimals={"ssim": 4}).splitlines() == [
        "| model | images | psnr | ssim |",
        "| --- | --- | --- | --- |",
        "| color | 68 | 31.14 | 0.9877 |",
        r"| a \| b | 1 | - | 1.0000 |",
        "| best | 0 | inf | 0.9877 |",
    ]


def test_pictures_stand_beside_each_other_pixel_by_pixel(photograph: np.ndarray) -> None:
    grey = photograph[:, :, :1] * 1.5 - 0.2  # is clipped, and shown in three channels
    sheet = side_by_side({"noisy": photograph, "clean": grey})
    height, width = photograph.shape[:2]
    assert sheet.dtype == np.float32
    assert sheet.shape[2] == 3
    assert sheet.shape[1] == 2 * width + 3 * 8
    np.testing.assert_allclose(sheet[8 : 8 + height, 8 : 8 + width], photograph, atol=1e-6)
    shown = np.rint(np.clip(grey.astype(np.float64), 0, 1) * 255) / 255
    np.testing.assert_allclose(sheet[8 : 8 + height, 16 + width : -8], shown.repeat(3, axis=2), atol=1e-6)
    for margin in (sheet[:8], sheet[:, :8], sheet[:, -8:], sheet[8 : 8 + height, 8 + width : 16 + width]):
        assert (margin == 1).all()


def test_labels_stand_below_and_beside_each_other() -> None:
    black = np.zeros((10, 4, 1), np.float32)
    labels = ["one", "a much longer label", "three"]
    sheet = side_by_side(dict.fromkeys(labels, black))
    ink = (sheet[10 + 2 * 8 :] < 1).any(axis=(0, 2))
    below = (sheet[-8:] == 1).all()
    starts = np.flatnonzero((sheet[8] == 0).all(axis=1))[::4]  # of the pictures
    assert len(starts) == 3
    assert below
    for start in starts:
        assert not ink[start - 8 : start].any()  # the label before has ended
        assert ink[start : start + 20].any()
    assert side_by_side({"one": black}).shape[0] == sheet.shape[0]


def test_a_sheet_holds_the_very_pixels(photograph: np.ndarray) -> None:
    small, tall, wide = photograph[:20, :30], photograph[:50, :25], photograph[:10, :60, :1]
    rows = [{"a": small, "b": tall}, {"b": wide}]
    plain, sheet = report.sheet(rows), report.sheet(rows, captions=["first", "second"])
    assert plain.shape == (8 + 50 + 8 + 10 + 8 + 16 + 8, 8 + 30 + 8 + 60 + 8, 3)
    assert sheet.shape == (plain.shape[0] + 2 * (16 + 8), *plain.shape[1:])
    line = 16 + 8
    for shown, first, second in ((plain, 8, 66), (sheet, 8 + line, 66 + 2 * line)):
        np.testing.assert_allclose(shown[first : first + 20, 8:38], small, atol=1e-6)
        np.testing.assert_allclose(shown[first : first + 50, 46:71], tall, atol=1e-6)
        np.testing.assert_allclose(shown[second : second + 10, 46:106], wide.repeat(3, axis=2), atol=1e-6)
        assert (shown[second : second + 10, :46] == 1).all(), "the second row has no 'a'"
    for shown, tops in ((plain, [84]), (sheet, [8, 90, 132])):  # the labels; the labels and two captions
        for top in tops:
            assert (shown[top : top + 16] < 0.1).any()


def test_a_long_caption_widens_the_sheet() -> None:
    black = np.zeros((4, 4, 1), np.float32)
    narrow, sheet = report.sheet([{"a": black}]), report.sheet([{"a": black}], captions=["W" * 40])
    assert narrow.shape[1] == side_by_side({"a": black}).shape[1] < 40
    assert (sheet[44:60, -40:-8] < 1).any(), "the caption goes on to the margin"
    assert (sheet[:, -6:] == 1).all(), "but for the overhang of a letter"


def test_a_zoomed_sheet_repeats_pixels(photograph: np.ndarray) -> None:
    sheet = report.sheet([{"a": photograph[:5, :7]}], zoom=3)
    np.testing.assert_allclose(sheet[8:23, 8:29], photograph[:5, :7].repeat(3, axis=0).repeat(3, axis=1), atol=1e-6)
    assert (sheet[8:23, 29:] == 1).all()


LOOK = {"step": 10, "epoch": 1, "seconds": 2.5, "loss": 0.4, "l1": 0.1, "tv": 0.3, "psnr": 20.0, "learning_rate": 0.1}
VALIDATED = {"validation_loss": 0.5, "validation_l1": 0.2, "validation_psnr": 19.0, "gaussian:25 + clip": 28.0, "": 1.0}


def write_log(folder: Path, *looks: dict[str, Any]) -> Path:
    log = folder / "log.jsonl"
    log.write_text("".join(json.dumps(look) + "\n" for look in looks))
    return log


def test_losses_by_epoch_with_every_part(tmp_path: Path, figures: list[Any]) -> None:
    log = write_log(tmp_path, {**LOOK, **VALIDATED}, {**LOOK, **VALIDATED, "step": 20, "epoch": 2, "loss": 0.2})
    report.draw_losses(log, tmp_path / "losses.png")
    panels = {axes.get_ylabel(): axes for axes in figures[0].axes}
    assert list(panels) == ["loss", "l1", "tv", "PSNR, dB"]
    assert {axes.get_xlabel() for axes in figures[0].axes} == {"epoch"}
    assert lines(panels["loss"]) == {"training": [(1, 0.4), (2, 0.2)], "validation": [(1, 0.5), (2, 0.5)]}
    assert lines(panels["tv"]) == {"training": [(1, 0.3), (2, 0.3)]}, "the validation does not have it"
    assert lines(panels["PSNR, dB"])["validation"] == [(1, 19.0), (2, 19.0)]
    assert [text.get_text() for text in panels["l1"].get_legend().get_texts()] == ["training", "validation"]


@pytest.mark.parametrize("epoch", [{"epoch": None}, {}])
def test_losses_by_step_where_no_epochs_are_counted(tmp_path: Path, figures: list[Any], epoch: dict[str, Any]) -> None:
    log = write_log(tmp_path, {"step": 10, "loss": 0.4, "seconds": 1.0, "gaussian:0..55": 9.0, **epoch})
    report.draw_losses(log, tmp_path / "losses.png")
    (axes,) = figures[0].axes
    assert (names(axes), lines(axes)) == (("step", "loss"), {"training": [(10, 0.4)]})


@pytest.mark.parametrize(("text", "why"), [("", "is empty"), ("{", "is not the log"), (None, "is not the log")])
def test_a_log_that_is_none(tmp_path: Path, text: str | None, why: str) -> None:
    if text is not None:
        (tmp_path / "log.jsonl").write_text(text)
    with pytest.raises(UnnoiseError, match=why):
        report.draw_losses(tmp_path / "log.jsonl", tmp_path / "losses.png")
    assert not (tmp_path / "losses.png").exists()


def test_curves(tmp_path: Path, figures: list[Any]) -> None:
    series = {"one": [(5.0, 38.0), (25.0, 30.0)], "two": [(5.0, 36.0), (25.0, 31.0), (50.0, 27.0)]}
    report.draw_curves(series, tmp_path / "curves.png", x="sigma, 8-bit levels", y="PSNR, dB")
    (axes,) = figures[0].axes
    assert lines(axes) == series
    assert names(axes) == ("sigma, 8-bit levels", "PSNR, dB")
    with Image.open(tmp_path / "curves.png") as picture:
        assert (picture.format, picture.size) == ("PNG", (700, 460))


def test_names_of_points_cover_neither_points_nor_each_other(
    tmp_path: Path, figures: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    places = {"a small one": (50.0, 31.1), "a slow one": (2118.0, 31.69), "a slower one": (2140.0, 31.75)}
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[2] / "benchmarks" / "speed")
    drawing = importlib.import_module("points")
    points = [drawing.Point(name, x, y, hollow=x > 99) for name, (x, y) in places.items()]
    levels = {"a filter": 27.28, "another filter": 27.30}
    drawing.draw_points(points, tmp_path / "p.png", x="GMAC", y="PSNR, dB", levels=levels, note="as published")
    (axes,) = figures[0].axes
    assert names(axes) == ("GMAC", "PSNR, dB") and axes.get_xscale() == "log"
    assert {text.get_text(): text.xy for text in axes.texts if text.get_text() in places} == places
    measured, published = axes.collections
    assert (len(measured.get_offsets()), len(published.get_offsets())) == (1, 2)
    assert len(measured.get_facecolors()) == 1 and len(published.get_facecolors()) == 0
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == 5 and all(one.count_overlaps(boxes) == 1 for one in boxes)
    seen = axes.transData.transform(list(places.values()))
    assert not any(box.contains(*place) for box in boxes for place in seen)
    with Image.open(tmp_path / "p.png") as picture:
        assert (picture.format, picture.size) == ("PNG", (800, 520))


def test_histograms_count_every_pixel(tmp_path: Path, figures: list[Any]) -> None:
    colour = np.zeros((2, 3, 3), np.float32)
    colour[0, :, 1], colour[0, 0, 2] = 1.2, 51 / 255
    report.draw_histograms({"colour": colour, "grey": colour[:, :, 2:]}, tmp_path / "histograms.png")
    first, second = figures[0].axes
    counts = {name: dict(point for point in points if point[1]) for name, points in lines(first).items()}
    assert counts == {"red": {0: 6}, "green": {0: 3, 255: 3}, "blue": {0: 5, 51: 1}}
    assert lines(second)["gray"] == lines(first)["blue"]
    assert (first.get_title(), second.get_title()) == ("colour", "grey")
    assert names(first) == ("intensity, 0 to 255", "pixels")


def test_a_figure_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    def break_off(figure: Any, target: Path, **options: Any) -> None:
        target.write_bytes(b"half")
        raise KeyboardInterrupt

    target = tmp_path / "curves.png"
    report.draw_curves({"one": [(0, 0)]}, target, x="x", y="y")
    before = target.read_bytes()
    monkeypatch.setattr(Figure, "savefig", break_off)
    with pytest.raises(KeyboardInterrupt):
        report.draw_curves({"two": [(0, 0)]}, target, x="x", y="y")
    assert list(tmp_path.iterdir()) == [target]
    assert target.read_bytes() == before


def test_many_panels_stand_in_rows_of_three(tmp_path: Path) -> None:
    report.draw_histograms({str(n): np.zeros((2, 2, 1), np.float32) for n in range(4)}, tmp_path / "many.png")
    with Image.open(tmp_path / "many.png") as picture:
        assert picture.size == (1500, 720)
