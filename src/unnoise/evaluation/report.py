"""Rows -> Markdown; pictures -> sheets of them at their true size; numbers -> figures.

Figures are PNG files, 100 dots an inch, and appear whole or not at all. They are drawn without pyplot, which keeps
every figure until it is told to forget it, and matplotlib is imported when the first one is drawn.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unnoise.errors import UnnoiseError
from unnoise.evaluation.metrics import to_8_bit
from unnoise.io.atomic import atomic_write
from unnoise.noise import NOISES
from unnoise.optional import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARGIN, _TEXT = 8, 16  # pixels
_PANEL = (5.0, 3.6)  # width and height of one panel of a figure, inches
_NO_LOSS = ("step", "epoch", "seconds", "learning_rate")
_VALIDATION = "validation_"
_MARKED = 40  # up to so many points of a line are marked


def markdown(rows: Sequence[Any], *, decimals: dict[str, int] | None = None) -> str:
    """Write dataclass rows of one type as a Markdown table, their field names as its head.

    Args:
        rows: at least one.
        decimals: field -> digits behind the point; two where it is not named.
    """
    names = [one.name for one in dataclasses.fields(rows[0])]
    lines = [names, ["---"] * len(names)]
    lines += [[_cell(getattr(row, name), (decimals or {}).get(name, 2)) for name in names] for row in rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def side_by_side(pictures: Mapping[str, np.ndarray]) -> np.ndarray:
    """Draw pictures beside each other at their true size, each with its label below: a `sheet` of one row."""
    return sheet([pictures])


def sheet(
    rows: Sequence[Mapping[str, np.ndarray]], *, captions: Sequence[str] | None = None, zoom: int = 1
) -> np.ndarray:
    """Draw pictures in a grid, pixel by pixel: a row per mapping, a column per label.

    The labels stand below the last row, or above the first one where the rows have captions.

    Args:
        rows: each label -> `[H, W, C]` in [0, 1], C = 1 or 3; sizes may differ, and a row may lack a label.
        captions: for each row the line of text below it.
        zoom: every pixel becomes a square of this side; 1 is the true size.

    Returns:
        float32 `[H, W, 3]` in [0, 1], on white, with margins; labels wider than their pictures make room, and so do
        captions wider than their row.
    """
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(_TEXT)
    ink: dict[str, Any] = {"fill": "black", "font": font, "anchor": "lt"}
    shown = [{label: _enlarged(picture, zoom) for label, picture in row.items()} for row in rows]
    widths: dict[str, int] = {}
    for row in shown:
        for label, picture in row.items():
            widths[label] = max(widths.get(label, math.ceil(font.getlength(label))), picture.shape[1])
    heights = [max(picture.shape[0] for picture in row.values()) for row in shown]
    line = _TEXT + _MARGIN
    lefts = dict(zip(widths, np.cumsum([_MARGIN, *(one + _MARGIN for one in widths.values())]).tolist(), strict=False))
    texts = [math.ceil(font.getlength(caption)) for caption in captions or []]
    width = max(sum(widths.values()) + _MARGIN * (len(widths) - 1), *texts, 0)
    height = sum(heights) + _MARGIN * len(rows) + line * (len(texts) + 1)
    paper = Image.new("RGB", (width + 2 * _MARGIN, height + _MARGIN), "white")
    draw = ImageDraw.Draw(paper)
    top = _MARGIN + (line if captions else 0)
    for label, left in lefts.items():
        draw.text((left, _MARGIN if captions else height + _MARGIN - line), label, **ink)
    for row, tall, caption in zip(shown, heights, captions or [""] * len(rows), strict=True):
        for label, picture in row.items():
            paper.paste(Image.fromarray(picture), (lefts[label], top))
        top += tall + _MARGIN
        if captions:
            draw.text((_MARGIN, top), caption, **ink)
            top += line
    return np.asarray(paper, dtype=np.float32) / 255


def draw_losses(log: Path, target: Path) -> None:
    """Draw what a training's log tells of the loss, of each of its parts and of the PSNR, a panel each.

    The training's own values are means since the last look; those of the validation stand beside them where the log
    has them. The axis is epochs, or steps where the log counts no epochs.

    Args:
        log: the `log.jsonl` of a run.
        target: PNG file.

    Raises:
        UnnoiseError: there is no log, or nothing stands in it yet.
    """
    try:
        lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise UnnoiseError(f"'{log}' is no log of a training") from error
    if not lines:
        raise UnnoiseError(f"nothing stands in '{log}' yet")
    x = "epoch" if all(line.get("epoch") is not None for line in lines) else "step"
    parts = list(dict.fromkeys(key for line in lines for key in line if _is_loss(key)))
    figure, panels = _figure(len(parts))
    for part, axes in zip(parts, panels, strict=True):
        series = {
            name: [(line[x], line[key]) for line in lines if line.get(key) is not None]
            for name, key in (("training", part), ("validation", _VALIDATION + part))
        }
        _draw_lines(axes, series, x=x, y="PSNR, dB" if part == "psnr" else part)
    _write(figure, target)


def draw_curves(series: Mapping[str, Sequence[tuple[float, float]]], target: Path, *, x: str, y: str) -> None:
    """Draw named lines over one axis.

    Args:
        series: name -> points (x, y).
        target: PNG file.
        x: what the horizontal axis is, with its unit: "sigma, 8-bit levels".
        y: the vertical one: "PSNR, dB".
    """
    figure, (axes,) = _figure(1, size=(7.0, 4.6))
    _draw_lines(axes, series, x=x, y=y)
    _write(figure, target)


@dataclass(frozen=True)
class Point:
    """One named point of a figure; a `hollow` one is quoted, not measured."""

    name: str
    x: float
    y: float
    hollow: bool = False


def draw_points(
    points: Sequence[Point], target: Path, *, x: str, y: str, levels: Mapping[str, float] | None = None, note: str = ""
) -> None:
    """Draw named points over a logarithmic axis; names stand beside them where none covers another.

    Args:
        points: x above 0.
        target: PNG file.
        x: what the horizontal axis is, with its unit.
        y: the vertical one.
        levels: names that have a y but no x: dashed lines.
        note: what hollow points are.
    """
    figure, (axes,) = _figure(1, size=(8.0, 5.2))
    for hollow, colour in ((False, "C0"), (True, "C7")):
        some = [point for point in points if point.hollow == hollow]
        face = "none" if hollow else colour
        label = note if hollow else "measured here"
        if some:
            places = [point.x for point in some], [point.y for point in some]
            axes.scatter(*places, s=45, facecolors=face, edgecolors=colour, label=label, zorder=3)
    heights = [*(point.y for point in points), *(levels or {}).values()]
    slack = 0.08 * (max(heights) - min(heights)) + 0.05
    axes.set(xscale="log", xlabel=x, ylabel=y, ylim=(min(heights) - slack, max(heights) + slack))
    axes.set_xlim(min(point.x for point in points) / 2, max(point.x for point in points) * 2)
    axes.grid(alpha=0.3, which="both")
    for height in (levels or {}).values():
        axes.axhline(height, color="C2", linestyle="--", linewidth=1)
    if points:
        axes.legend(loc="lower right")
    figure.canvas.draw()  # which settles where everything stands
    edge = axes.get_xlim()[0] * 1.04
    named = [(point.name, (point.x, point.y), True) for point in points]
    falling = sorted((levels or {}).items(), key=lambda level: -level[1])
    named += [(name, (edge, height), False) for name, height in falling]
    _name_points(axes, named)
    _write(figure, target)


def draw_histograms(pictures: Mapping[str, np.ndarray], target: Path) -> None:
    """Draw how many pixels have each of the 256 levels, a panel per picture, a line per channel.

    Args:
        pictures: title -> `[H, W, C]` in [0, 1], C = 1 or 3; clipped and rounded to 8 bits.
        target: PNG file.
    """
    figure, panels = _figure(len(pictures))
    for (title, picture), axes in zip(pictures.items(), panels, strict=True):
        levels = np.rint(to_8_bit(picture) * 255).astype(np.uint8)
        colours = {"grey": "black"} if picture.shape[2] == 1 else {"red": "C3", "green": "C2", "blue": "C0"}
        for channel, (name, colour) in enumerate(colours.items()):
            counts = np.bincount(levels[:, :, channel].ravel(), minlength=256)
            axes.plot(range(256), counts, color=colour, label=name, linewidth=1)
        axes.set(title=title, xlabel="intensity, 0 to 255", ylabel="pixels", xlim=(-4, 259), ylim=(0, None))
        axes.legend(loc="upper center")  # black and white stand at the ends
    _write(figure, target)


def _draw_lines(axes: Axes, series: Mapping[str, Sequence[tuple[float, float]]], *, x: str, y: str) -> None:
    for name, points in series.items():
        if points:
            axes.plot(*zip(*points, strict=True), marker="." if len(points) <= _MARKED else "", label=name)
    axes.set(xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    axes.legend()


_BESIDE = ((8, 0, "left", "center"), (-8, 0, "right", "center"), (0, 8, "center", "bottom"), (0, -8, "center", "top"))
_NEAR = ((7, 7, "left", "bottom"), (7, -7, "left", "top"), (-7, 7, "right", "bottom"), (-7, -7, "right", "top"))
_LINE = tuple((column, 2 * up, "left", side) for column in (0, 130, 260) for up, side in ((1, "bottom"), (-1, "top")))


def _name_points(axes: Axes, named: Sequence[tuple[str, tuple[float, float], bool]]) -> None:
    """Write names (name, place, whether it is a marker) where they cover no marker and no other name, if there is room.

    Needs a figure that was drawn once.
    """
    from matplotlib.transforms import Bbox

    markers = [axes.transData.transform(place) for _, place, marker in named if marker]
    taken = [Bbox.from_extents(x - 6, y - 6, x + 6, y + 6) for x, y in markers]
    legend = axes.get_legend()
    taken += [legend.get_window_extent()] if legend else []
    paper = axes.get_window_extent()
    for name, place, marker in named:
        text = axes.annotate(name, place, xytext=(0, 0), textcoords="offset points", fontsize=9)
        tried = []
        for *offset, across, up in (*_BESIDE, *_NEAR) if marker else _LINE:
            text.set(position=offset, ha=across, va=up)
            box = text.get_window_extent()
            inside = paper.x0 <= box.x0 and box.x1 <= paper.x1 and paper.y0 <= box.y0 and box.y1 <= paper.y1
            tried.append((sum(box.overlaps(one) for one in taken) + 9 * (not inside), len(tried), offset, across, up))
            if not tried[-1][0]:
                break
        _, _, offset, across, up = min(tried)
        text.set(position=offset, ha=across, va=up)
        taken.append(text.get_window_extent())


def _is_loss(key: str) -> bool:
    """Tell what a step measures from its circumstances, and from a validation's PSNRs, which noises name."""
    noise = key.partition(":")[0].partition(" ")[0]
    return bool(key) and key not in _NO_LOSS and not key.startswith(_VALIDATION) and noise not in NOISES.members


def _figure(panels: int, *, size: tuple[float, float] = _PANEL) -> tuple[Figure, list[Axes]]:
    """Return an empty figure of so many panels, up to three beside each other, and its panels."""
    require("matplotlib", extra="train")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(panels, 3)
    rows = math.ceil(panels / columns)
    figure = Figure(figsize=(size[0] * columns, size[1] * rows), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, [figure.add_subplot(rows, columns, 1 + index) for index in range(panels)]


def _write(figure: Figure, target: Path) -> None:
    """Write a figure as a PNG."""
    with atomic_write(target) as temporary:
        figure.savefig(temporary, format="png")


def _enlarged(picture: np.ndarray, zoom: int) -> np.ndarray:
    """Return a picture in three channels of 8 bits, every pixel a square of side `zoom`."""
    levels = np.rint(to_8_bit(picture) * 255).astype(np.uint8)
    return np.broadcast_to(levels, (*picture.shape[:2], 3)).repeat(zoom, axis=0).repeat(zoom, axis=1)


def _cell(value: Any, digits: int) -> str:
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.{digits}f}"
    return str(value).replace("|", r"\|")
