"""Tables in the layout of Hugging Face's hub: a file for each part, in a folder or uploaded."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unnoise.datasets.table import PART, Rows
from unnoise.errors import UnnoiseError
from unnoise.io.paths import check_target
from unnoise.optional import require
from unnoise.tables.base import Outcome, RowIssue, silent, writing

HUB = "hf:"


def push(
    table: str | Path,
    target: str | Path,
    *,
    overwrite: bool = False,
    on_issue: Callable[[RowIssue], None] = silent,
    progress: Callable[[str], None] = silent,
) -> Outcome:
    """Write a table as `data/PART-00000-of-00001.parquet`, a file for each part, or `train` without parts.

    `hf:FOLDER` reads it again, and so does `datasets.load_dataset`.

    Args:
        table: the table.
        target: a folder, or "hf:USER/NAME" to upload it to the hub, which needs the extra `hf` and an account.
        overwrite: replace files of the folder.
        on_issue: not called.
        progress: called with a line per part.

    Returns:
        The target.

    Raises:
        UnnoiseError: the table cannot be read, a file exists, or the upload fails.
    """
    name = str(target).removeprefix(HUB)
    uploads = str(target).startswith(HUB)
    hub: Any = require("huggingface_hub", extra="hf") if uploads else None
    with tempfile.TemporaryDirectory() if uploads else contextlib.nullcontext(name) as folder:
        count = _write(str(table), Path(folder), overwrite=overwrite, progress=progress)
        if uploads:
            progress(f"uploading to {name}")
            try:
                hub.HfApi().create_repo(name, repo_type="dataset", private=True, exist_ok=True)
                hub.HfApi().upload_folder(repo_id=name, repo_type="dataset", folder_path=str(folder))
            except Exception as error:  # those of its HTTP client as well
                why = " ".join(str(error).split())[:200]
                raise UnnoiseError(f"the hub does not take the dataset '{name}': {why}") from error
    return Outcome(Path(str(target)), count, [])


def _write(table: str, folder: Path, *, overwrite: bool, progress: Callable[[str], None]) -> int:
    """Write the files; return the number of rows."""
    place, _, chosen = table.partition("#")
    with Rows(table) as rows:
        has_parts = PART in rows.schema.names
        parts = sorted({str(row[PART]) for _, row in rows.each([PART])}) if has_parts else [chosen or "train"]
    targets = {part: folder / "data" / f"{part}-00000-of-00001.parquet" for part in parts}
    for target in targets.values():
        if target.parent.exists():
            check_target(target, overwrite=overwrite)
    count = 0
    for part, target in targets.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        with Rows(f"{place}#{part}" if has_parts else place) as rows, writing(target, rows.schema) as put:
            for numbers, batch in rows.batches():
                put(batch)
                count += len(numbers)
        progress(f"{part}: {target}")
    return count
