"""A sweep: a recipe trained with every combination of several values of its keys, and one table at the end."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unnoise.errors import UnnoiseError
from unnoise.evaluation import report
from unnoise.training import recipe as recipes

_OPEN, _CLOSE = "([{", ")]}"


@dataclass(frozen=True)
class SweepRun:
    """One training of a sweep.

    Attributes:
        settings: the values that were varied, dotted key -> value as text.
        folder: of the run.
        values: the last line of its log; empty if it failed.
        error: why it failed, in one line; "" if it did not.
    """

    settings: dict[str, str]
    folder: Path
    values: dict[str, float] = field(default_factory=dict)
    error: str = ""


def split_values(text: str) -> list[str]:
    """Split the values of a key at commas, but not inside brackets, nor before a named argument of a spec.

    >>> split_values("1e-3,3e-3")
    ['1e-3', '3e-3']
    >>> split_values("dncnn:depth=5,width=8,unet")
    ['dncnn:depth=5,width=8', 'unet']
    """
    parts, depth = [""], 0
    for sign in text:
        depth += (sign in _OPEN) - (sign in _CLOSE)
        if sign == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    values: list[str] = []
    for part in parts:
        if values and re.match(r"[a-z_]\w*=", part.strip()) and ":" in values[-1]:
            values[-1] += f",{part}"
        else:
            values.append(part.strip())
    return values


def plan(overrides: Mapping[str, str], folder: Path) -> list[tuple[dict[str, str], Path]]:
    """Return the settings of every training and its folder.

    Args:
        overrides: dotted key -> its values, separated by commas.
        folder: of the sweep.

    Raises:
        UnnoiseError: no key has several values.
    """
    values = {key: split_values(text) for key, text in overrides.items()}
    varied = [key for key, several in values.items() if len(several) > 1]
    if not varied:
        raise UnnoiseError("--sweep needs a key with several values, such as train.learning_rate=1e-3,3e-3")
    result = []
    for chosen in itertools.product(*values.values()):
        settings = dict(zip(values, chosen, strict=True))
        name = ",".join(f"{key.rpartition('.')[2]}={settings[key]}" for key in varied)
        result.append((settings, folder / re.sub(r"[^\w.,=+-]", "_", name)))
    if len({path for _, path in result}) < len(result):
        raise UnnoiseError("two trainings of the sweep would have the same folder: a value is given twice")
    return result


def run(
    source: str | Path | Mapping[str, Any],
    overrides: Mapping[str, str],
    folder: str | Path | None = None,
    *,
    resume: bool = False,
    device: str | None = None,
    on_start: Callable[[int, int, SweepRun], Callable[[Any], object]] = lambda number, count, run: lambda event: None,
) -> list[SweepRun]:
    """Train every combination, one after the other; one that fails does not end the others.

    Args:
        source: a recipe, as for `recipe.open`.
        overrides: dotted key -> text, with several values separated by commas; they are combined.
        folder: of the sweep; by default `runs/NAME-sweep`.
        resume: continue: trainings that are done are read, those that are not go on.
        device: as for `trainer.train`.
        on_start: called with number, count and settings at the start of each; returns its `on_progress`.

    Returns:
        One row for each, in the order of the values.

    Raises:
        UnnoiseError: a recipe is invalid, before any training starts.
    """
    from unnoise.training import trainer

    first = recipes.load(source, {key: split_values(text)[0] for key, text in overrides.items()})
    planned = plan(overrides, Path(folder or Path("runs") / f"{first.name}-sweep"))
    loaded = [(recipes.load(source, settings), settings, path) for settings, path in planned]
    rows = []
    for number, (recipe, settings, path) in enumerate(loaded, start=1):
        row = SweepRun({key: settings[key] for key in settings if len(split_values(overrides[key])) > 1}, path)
        on_progress = on_start(number, len(loaded), row)
        try:
            trainer.train(recipe, path, resume=resume, device=device, on_progress=on_progress)
        except UnnoiseError as error:
            rows.append(dataclasses.replace(row, error=str(error)))
            continue
        last = (path / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1]
        rows.append(dataclasses.replace(row, values=json.loads(last)))
    return rows


def table(rows: Sequence[SweepRun]) -> str:
    """Return a sweep as a Markdown table: what was varied, and the last line of each log."""
    skipped = {"epoch", "seconds", "precision", "learning_rate"}
    keys = list(dict.fromkeys(key for row in rows for key in row.values if key not in skipped))
    names = [*rows[0].settings, *keys, "folder"]
    cells = [
        [*row.settings.values(), *(_number(row.values.get(key)) for key in keys), row.error or str(row.folder)]
        for row in rows
    ]
    return report.table(names, cells)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
