"""Rows and pictures -> Markdown, and pictures side by side."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from unnoise.metrics import to_8_bit

_MARGIN, _TEXT = 8, 16  # pixels


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


def side_by_side(pictures: dict[str, np.ndarray]) -> np.ndarray:
    """Draw pictures of one size beside each other at their true size, each with its label below.

    Args:
        pictures: label -> `[H, W, C]` in [0, 1].

    Returns:
        float32 `[H + label, sum of W, 3]` in [0, 1], on white, with margins; labels wider than their picture make room.
    """
    from PIL import Image, ImageDraw, ImageFont

    shown = [np.broadcast_to(to_8_bit(picture), (*picture.shape[:2], 3)) for picture in pictures.values()]
    font = ImageFont.load_default(_TEXT)
    widths = [
        max(picture.shape[1], math.ceil(font.getlength(label))) for label, picture in zip(pictures, shown, strict=True)
    ]
    height = max(picture.shape[0] for picture in shown)
    sheet = Image.new("RGB", (sum(widths) + _MARGIN * (len(widths) + 1), height + 3 * _MARGIN + _TEXT), "white")
    draw, left = ImageDraw.Draw(sheet), _MARGIN
    for label, picture, width in zip(pictures, shown, widths, strict=True):
        sheet.paste(Image.fromarray(np.rint(picture * 255).astype(np.uint8)), (left, _MARGIN))
        draw.text((left, height + 2 * _MARGIN), label, fill="black", font=font, anchor="lt")
        left += width + _MARGIN
    return np.asarray(sheet, dtype=np.float32) / 255


def _cell(value: Any, digits: int) -> str:
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.{digits}f}"
    return str(value).replace("|", r"\|")
