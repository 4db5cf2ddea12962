"""Rows of an evaluation as they are printed: means or single images, further metrics, intervals, comparisons."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from unnoise.errors import UnnoiseError
from unnoise.evaluation import statistics
from unnoise.evaluation.benchmark import ImageRow, grouped, mean_rows

Row = dict[str, Any]
DECIMALS = {"ssim": 4, "ms-ssim": 4, "haarpsi": 4, "mdsi": 4, "lpips": 4, "dists": 4}


def per_image(rows: Sequence[ImageRow]) -> list[Row]:
    """Return a row for each image."""
    result = []
    for row in rows:
        fields = dataclasses.asdict(row)
        seconds, more = fields.pop("seconds_per_megapixel"), fields.pop("metrics")
        result.append({**fields, **more, "seconds_per_megapixel": seconds})
    return result


def means(rows: Sequence[ImageRow], *, intervals: bool = False, seed: int = 0) -> list[Row]:
    """Return a row for each noise and model.

    Args:
        rows: of single images.
        intervals: add the ends of a 95 % confidence interval of each metric.
        seed: seed of the resampling.
    """
    result = []
    for mean, group in zip(mean_rows(rows), grouped(rows), strict=True):
        fields = dataclasses.asdict(mean)
        seconds = fields.pop("seconds_per_megapixel")
        values = {key: [row.values[key] for row in group] for key in group[0].values}
        metrics: Row = {}
        for key, each in values.items():
            metrics[key] = fields.pop(key) if key in fields else sum(each) / len(each)
            if intervals:
                metrics[f"{key}_low"], metrics[f"{key}_high"] = statistics.interval(each, seed=seed)
        result.append({**fields, **metrics, "seconds_per_megapixel": seconds})
    return result


def versus(rows: Sequence[ImageRow], reference: str, *, seed: int = 0) -> list[Row]:
    """Return a row for each noise, other model and metric: how it compares with the reference, image by image.

    Raises:
        UnnoiseError: the reference is not among the models, or there is no other.
    """
    groups = {(group[0].noise, group[0].model): group for group in grouped(rows)}
    models = list(dict.fromkeys(row.model for row in rows))
    if reference not in models or len(models) < 2:
        raise UnnoiseError(f"--versus {reference}: name it and another model to compare with it")
    result = []
    for (noise, model), group in groups.items():
        if model == reference:
            continue
        base = groups[noise, reference]
        for metric in group[0].values:
            found = statistics.compare(
                [row.values[metric] for row in group], [row.values[metric] for row in base], seed=seed
            )
            result.append({"model": model, "versus": reference, "noise": noise, "metric": metric,
                           **dataclasses.asdict(found)})  # fmt: skip
    return result


def decimals(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return how many decimals to print of each column."""
    wide = {name: digits for key, digits in DECIMALS.items() for name in (key, f"{key}_low", f"{key}_high")}
    return wide | ({"difference": 4, "low": 4, "high": 4} if rows and "difference" in rows[0] else {})
