"""Tables and sheets as people see them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from unnoise.report import markdown, side_by_side


@dataclass(frozen=True)
class Line:
    model: str
    images: int
    psnr: float
    ssim: float = 0.98765


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
