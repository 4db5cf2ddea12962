"""Reports: Markdown tables, contact sheets of images at their true size, and figures.

Figures are PNG files of 100 dpi; on an error nothing is written. They are drawn without pyplot, which would keep every
figure in memory, and matplotlib is imported when the first one is drawn.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
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
_NO_LOSS = ("step", "epoch", "seconds", "precision", "learning_rate")
_VALIDATION = "validation_"
_MARKED = 40  # largest number of points of a line with markers


def markdown(rows: Sequence[Any], *, decimals: dict[str, int] | None = None) -> str:
    """Return dataclass instances of one type, or mappings with the same keys, as a Markdown table with a header.

    Args:
        rows: at least one.
        decimals: field -> decimals; the default is 2.
    """
    columns = rows[0] if isinstance(rows[0], Mapping) else [one.name for one in dataclasses.fields(rows[0])]
    names, digits = list(columns), decimals or {}
    trees = [row if isinstance(row, Mapping) else {name: getattr(row, name) for name in names} for row in rows]
    return table(names, [[_cell(tree[name], digits.get(name, 2)) for name in names] for tree in trees])


def table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows of text as a Markdown table."""
    lines = [names, ["---"] * len(names), *([cell.replace("|", r"\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def side_by_side(pictures: Mapping[str, np.ndarray]) -> np.ndarray:
    """Draw images side by side at their true size, each with its label below: a `sheet` of one row."""
    return sheet([pictures])


def sheet(
    rows: Sequence[Mapping[str, np.ndarray]], *, captions: Sequence[str] | None = None, zoom: int = 1
) -> np.ndarray:
    """Draw images in a grid at their true size: a row per mapping, a column per label.

    Labels are below the last row, or above the first one if the rows have captions.

    Args:
        rows: each label -> `[H, W, C]` in [0, 1], C = 1 or 3; sizes may differ, and a row may lack a label.
        captions: the line of text below each row.
        zoom: integer magnification; every pixel becomes a square of this side.

    Returns:
        float32 `[H, W, 3]` in [0, 1], on white with margins; it is widened for long labels and captions.
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
    """Draw the loss of a training, its parts and the PSNR from its log, one panel each.

    Training values are means since the last line of the log; validation values are drawn beside them. The x-axis is
    epochs, or steps in logs without epochs.

    Args:
        log: the `log.jsonl` of a run.
        target: PNG file.

    Raises:
        UnnoiseError: the log does not exist, or is empty.
    """
    try:
        lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise UnnoiseError(f"'{log}' is not the log of a training") from error
    if not lines:
        raise UnnoiseError(f"'{log}' is empty")
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
    """Draw named lines in one panel.

    Args:
        series: name -> points (x, y).
        target: PNG file.
        x: label of the x-axis with its unit: "sigma, 8-bit levels".
        y: label of the y-axis: "PSNR, dB".
    """
    figure, (axes,) = _figure(1, size=(7.0, 4.6))
    _draw_lines(axes, series, x=x, y=y)
    _write(figure, target)


def draw_histograms(pictures: Mapping[str, np.ndarray], target: Path) -> None:
    """Draw histograms of the 256 levels, a panel per image, a line per channel.

    Args:
        pictures: title -> `[H, W, C]` in [0, 1], C = 1 or 3; clipped and rounded to 8 bits.
        target: PNG file.
    """
    figure, panels = _figure(len(pictures))
    for (title, picture), axes in zip(pictures.items(), panels, strict=True):
        levels = np.rint(to_8_bit(picture) * 255).astype(np.uint8)
        colors = {"gray": "black"} if picture.shape[2] == 1 else {"red": "C3", "green": "C2", "blue": "C0"}
        for channel, (name, color) in enumerate(colors.items()):
            counts = np.bincount(levels[:, :, channel].ravel(), minlength=256)
            axes.plot(range(256), counts, color=color, label=name, linewidth=1)
        axes.set(title=title, xlabel="intensity, 0 to 255", ylabel="pixels", xlim=(-4, 259), ylim=(0, None))
        axes.legend(loc="upper center")  # the peaks of black and white are at the ends
    _write(figure, target)


def _draw_lines(axes: Axes, series: Mapping[str, Sequence[tuple[float, float]]], *, x: str, y: str) -> None:
    for name, points in series.items():
        if points:
            axes.plot(*zip(*points, strict=True), marker="." if len(points) <= _MARKED else "", label=name)
    axes.set(xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    axes.legend()


def _is_loss(key: str) -> bool:
    """Return whether a key of the log is a loss or a part of it, not a counter or the PSNR of a noise."""
    noise = key.partition(":")[0].partition(" ")[0]
    return bool(key) and key not in _NO_LOSS and not key.startswith(_VALIDATION) and noise not in NOISES.members


def _figure(panels: int, *, size: tuple[float, float] = _PANEL) -> tuple[Figure, list[Axes]]:
    """Return an empty figure with panels, up to three in a row, and the panels."""
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
    """Return an image with three 8-bit channels, magnified `zoom` times."""
    levels = np.rint(to_8_bit(picture) * 255).astype(np.uint8)
    return np.broadcast_to(levels, (*picture.shape[:2], 3)).repeat(zoom, axis=0).repeat(zoom, axis=1)


def _cell(value: Any, digits: int) -> str:
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.{digits}f}"
    return str(value)
