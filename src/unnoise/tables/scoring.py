"""Commands that evaluate: score a model on a table, and show its images."""

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
from unnoise.tables.base import IMAGE, Outcome, Row, RowIssue, WriteOptions, cell, label, rewrite_rows, silent

PREDICTION, SCORES = "prediction", ("psnr_noisy", "psnr", "ssim")


@dataclass(frozen=True)
class Score:
    """Means over the rows of a scored table.

    Attributes:
        images: number of images.
        psnr_noisy: PSNR of the noisy images, in dB.
        psnr: PSNR of the predictions, in dB.
        ssim: SSIM of the predictions that are at least 11x11 pixels.
    """

    images: int
    psnr_noisy: float
    psnr: float
    ssim: float


@dataclass(frozen=True)
class Scored(Outcome):
    """The result of `score`.

    Attributes:
        mean: mean scores; None if the table has no clean images.
    """

    mean: Score | None = None


def score(
    model: str | Path | Denoiser,
    table: str | Path,
    target: str | Path,
    *,
    noisy: str = NOISY,
    **options: Unpack[WriteOptions],
) -> Scored:
    """Denoise the noisy images; add the results and their quality.

    The new columns are `prediction` and, if there are clean images, `psnr_noisy`, `psnr` (both in dB) and `ssim`.

    Args:
        model: a denoiser, its spec, or a model file. Sigma is estimated from each image if the model needs it.
        table: the input.
        target: the output.
        noisy: column of the noisy images.
        **options: see `WriteOptions`.

    Raises:
        UnnoiseError: the table cannot be read, lacks the column or is scored already; the model does not exist; no row
            can be used; or the target cannot be written.
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
        outcome = rewrite_rows(rows, target, change, fields, f"{PREDICTION}: {name} applied to {noisy}", options)
    return Scored(**vars(outcome), mean=mean(target) if clean and "shard" not in options else None)


def mean(table: str | Path) -> Score:
    """Return the mean scores of a scored table.

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
    **options: Unpack[WriteOptions],
) -> Outcome:
    """Draw images of a table at their true size, one row below the other: noisy, predicted, clean.

    Args:
        table: the input.
        target: the image file to write.
        names: names of the rows to show; empty for the first ones.
        rows: number of rows to show without names.
        crop: show the center of each image, up to this side in pixels.
        histograms: PNG file for histograms of the images of the first row, uncropped.
        **options: see `WriteOptions`.

    Raises:
        UnnoiseError: the table cannot be read, lacks a row or has none that can be shown; or a file cannot be written.
    """
    overwrite = options.get("overwrite", False)
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
                    bad.append(RowIssue(name, str(error)))
                    options.get("on_issue", silent)(bad[-1])
            if len(shown) == (len(set(names)) or rows):
                break
    if missing := [name for name in names if name not in {*shown, *(one.row for one in bad)}]:
        raise UnnoiseError(f"'{table}' has no row '{missing[0]}'")
    if not shown:
        raise UnnoiseError(f"no row can be shown: {bad[0]}")
    drawn = [shown[name] for name in names or shown if name in shown]
    cut = [{column: _middle(picture, crop) for column, picture in pictures.items()} for _, pictures in drawn]
    sheet = report.sheet(cut, captions=[caption for caption, _ in drawn])
    io.from_array(np.rint(sheet * 255).astype(np.uint8)).save(target, overwrite=overwrite)
    if histograms:
        report.draw_histograms(drawn[0][1], Path(histograms))
    return Outcome(Path(target), len(drawn), bad)


def _clean(denoiser: Denoiser, noisy: np.ndarray) -> np.ndarray:
    """Denoise an image, in tiles if the halo is known; model and sigma are chosen from the whole image."""
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
