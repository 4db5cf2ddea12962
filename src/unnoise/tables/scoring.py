"""Verbs that judge: score a model on a table, and show pictures of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pyarrow as pa

from unnoise import denoisers, io
from unnoise.datasets.table import NAME, NOISY, Rows, check_sizes, clean_column, decode
from unnoise.denoisers import tiling
from unnoise.denoisers.base import Denoiser
from unnoise.errors import UnnoiseError
from unnoise.evaluation import report
from unnoise.evaluation.metrics import psnr, ssim
from unnoise.tables.base import IMAGE, Outcome, Row, RowIssue, WriteOptions, cell, complain, label, rewrite_rows

PREDICTION, SCORES = "prediction", ("psnr_noisy", "psnr", "ssim")


@dataclass(frozen=True)
class Score:
    """Means over the rows of a scored table.

    Attributes:
        images: how many.
        psnr_noisy: of the noisy pictures, in dB.
        psnr: of the predictions, in dB.
        ssim: of the predictions, where a picture is not too small for it.
    """

    images: int
    psnr_noisy: float
    psnr: float
    ssim: float


@dataclass(frozen=True)
class Scored(Outcome):
    """What `score` did.

    Attributes:
        mean: of the scores; None where the table has no clean pictures.
    """

    mean: Score | None


def score(
    model: str | Path | Denoiser,
    table: str | Path,
    target: str | Path,
    *,
    noisy: str = NOISY,
    **how: Unpack[WriteOptions],
) -> Scored:
    """Clean the noisy pictures; add what comes out, and how good it is.

    The new columns are `prediction` and, where there are clean pictures, `psnr_noisy`, `psnr` (both in dB) and `ssim`.

    Args:
        model: a denoiser, its spec, or a model file. One that wants the noise level finds it in each picture.
        table: what is read.
        target: what is written.
        noisy: column of the noisy pictures.
        **how: see `How`.

    Raises:
        UnnoiseError: the table cannot be read, has no such column or is scored already; there is no such model, or it
            can use no row; or the target cannot be written.
    """
    denoiser = denoisers.make(model)
    with Rows(table) as rows:
        rows.picture(noisy)
        clean = clean_column(rows.schema, rows.path) if len(rows.pictures) > 1 else None

        def change(number: int, row: Row) -> Row:
            picture = decode(row[noisy])
            predicted = _clean(denoiser, picture.pixels)
            prediction = {PREDICTION: cell(picture.with_pixels(predicted), label(number, row))}
            if clean is None:
                return prediction
            truth = decode(row[clean]).pixels
            check_sizes({noisy: predicted, clean: truth})
            similarity = ssim(truth, predicted) if min(truth.shape[:2]) >= 11 else None
            values = psnr(truth, picture.pixels), psnr(truth, predicted), similarity
            return prediction | dict(zip(SCORES, values, strict=True))

        fields = {PREDICTION: IMAGE} | dict.fromkeys(SCORES if clean else (), pa.float64())
        name = type(model).__name__ if isinstance(model, Denoiser) else Path(model).name
        outcome = rewrite_rows(rows, target, change, fields, f"{PREDICTION}: {name} applied to {noisy}", how)
    return Scored(**vars(outcome), mean=mean(target) if clean and "share" not in how else None)


def mean(table: str | Path) -> Score:
    """Average the scores of a scored table.

    Raises:
        UnnoiseError: the table cannot be read, or is not scored.
    """
    with Rows(table) as rows:
        if len(rows.present(*SCORES)) < len(SCORES):
            raise UnnoiseError(f"'{rows.path}' is not scored: unnoise table score MODEL {rows.path} -o SCORED.parquet")
        values = [[row[key] for key in SCORES] for _, row in rows.each(list(SCORES))]
    known = ([value for value in column if value is not None] for column in zip(*values, strict=True))
    return Score(len(values), *(float(np.mean(column or [np.nan])) for column in known))


def show(
    table: str | Path,
    target: str | Path,
    *,
    names: Sequence[str] = (),
    rows: int = 4,
    crop: int | None = None,
    histograms: str | Path | None = None,
    **how: Unpack[WriteOptions],
) -> Outcome:
    """Draw pictures of a table at their true size, a row under the other: noisy, predicted, clean.

    Args:
        table: what is read.
        target: the sheet, a picture file.
        names: the rows to show; none for the first ones.
        rows: how many these are.
        crop: show but the middle of each picture, up to this side in pixels.
        histograms: PNG file; how often each intensity stands in the pictures of the first row, uncropped.
        **how: see `How`.

    Raises:
        UnnoiseError: the table cannot be read, has no such row or none that can be shown; or a file cannot be written.
    """
    overwrite = how.get("overwrite", False)
    for path in (target, *([histograms] if histograms else [])):
        io.check_target(path, overwrite=overwrite)
    bad, shown = list[RowIssue](), dict[str, tuple[str, dict[str, np.ndarray]]]()
    with Rows(table) as opened:
        order = sorted(opened.pictures, key=lambda column: (column != NOISY, column != PREDICTION))
        for number, row in opened.each(opened.present(NAME, *SCORES, *order)):
            name = label(number, row)
            if not names or name in names:
                try:
                    shown[name] = _caption(name, row), {column: decode(row[column]).pixels for column in order}
                except UnnoiseError as error:
                    complain(bad, RowIssue(name, str(error)), how)
            if len(shown) == (len(set(names)) or rows):
                break
    if missing := [name for name in names if name not in {*shown, *(one.row for one in bad)}]:
        raise UnnoiseError(f"'{table}' has no row '{missing[0]}'")
    if not shown:
        raise UnnoiseError(f"none of the rows can be shown: {bad[0]}")
    drawn = [shown[name] for name in names or shown if name in shown]
    cut = [{column: _middle(picture, crop) for column, picture in pictures.items()} for _, pictures in drawn]
    sheet = report.sheet(cut, captions=[caption for caption, _ in drawn])
    io.from_array(np.rint(sheet * 255).astype(np.uint8)).save(target, overwrite=overwrite)
    if histograms:
        report.draw_histograms(drawn[0][1], Path(histograms))
    return Outcome(Path(target), len(drawn), bad)


def _clean(denoiser: Denoiser, noisy: np.ndarray) -> np.ndarray:
    """Clean a picture, in tiles where the reach allows it; model and noise level are found over the whole."""
    denoiser, sigma = denoiser.resolve(noisy)
    if denoiser.halo is None:
        return denoiser(noisy, sigma)
    return tiling.denoise_tiled(denoiser, noisy, sigma, halo=denoiser.halo, multiple_of=denoiser.multiple_of)


def _middle(picture: np.ndarray, side: int | None) -> np.ndarray:
    if side is None:
        return picture
    top, left = (max(0, (length - side) // 2) for length in picture.shape[:2])
    return picture[top : top + side, left : left + side]


def _caption(name: str, row: Mapping[str, Any]) -> str:
    if row.get("psnr") is None:
        return name
    similarity = "" if row["ssim"] is None else f", SSIM {row['ssim']:.4f}"
    return f"{name}: noisy {row['psnr_noisy']:.2f} dB, predicted {row['psnr']:.2f} dB{similarity}"
