"""A figure of named points, such as models by quality and cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox


@dataclass(frozen=True)
class Point:
    """A named point of a figure; a `hollow` one is a published value, not measured."""

    name: str
    x: float
    y: float
    hollow: bool = False


def draw_points(
    points: Sequence[Point], target: Path, *, x: str, y: str, levels: Mapping[str, float] | None = None, note: str = ""
) -> None:
    """Draw named points over a logarithmic x-axis, with their names next to them where they fit.

    Args:
        points: x above 0.
        target: PNG file.
        x: label of the x-axis with its unit.
        y: label of the y-axis with its unit.
        levels: name -> y, drawn as dashed lines.
        note: legend of the hollow points.
    """
    figure = Figure(figsize=(8.0, 5.2), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for hollow, color in ((False, "C0"), (True, "C7")):
        some = [point for point in points if point.hollow == hollow]
        face = "none" if hollow else color
        label = note if hollow else "measured here"
        if some:
            places = [point.x for point in some], [point.y for point in some]
            axes.scatter(*places, s=45, facecolors=face, edgecolors=color, label=label, zorder=3)
    heights = [*(point.y for point in points), *(levels or {}).values()]
    slack = 0.08 * (max(heights) - min(heights)) + 0.05
    axes.set(xscale="log", xlabel=x, ylabel=y, ylim=(min(heights) - slack, max(heights) + slack))
    axes.set_xlim(min(point.x for point in points) / 2, max(point.x for point in points) * 2)
    axes.grid(alpha=0.3, which="both")
    for height in (levels or {}).values():
        axes.axhline(height, color="C2", linestyle="--", linewidth=1)
    if points:
        axes.legend(loc="lower right")
    figure.canvas.draw()  # computes the layout
    edge = axes.get_xlim()[0] * 1.04
    named = [(point.name, (point.x, point.y), True) for point in points]
    falling = sorted((levels or {}).items(), key=lambda level: -level[1])
    named += [(name, (edge, height), False) for name, height in falling]
    _name_points(axes, named)
    figure.savefig(target, format="png")


_BESIDE = ((8, 0, "left", "center"), (-8, 0, "right", "center"), (0, 8, "center", "bottom"), (0, -8, "center", "top"))
_NEAR = ((7, 7, "left", "bottom"), (7, -7, "left", "top"), (-7, 7, "right", "bottom"), (-7, -7, "right", "top"))
_LINE = tuple((column, 2 * up, "left", side) for column in (0, 130, 260) for up, side in ((1, "bottom"), (-1, "top")))


def _name_points(axes: Axes, named: Sequence[tuple[str, tuple[float, float], bool]]) -> None:
    """Write names (name, place, whether it is a marker) where they cover no marker and no other name if possible.

    The figure must have been drawn once.
    """
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
