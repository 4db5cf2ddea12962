"""Where a training can be watched besides its folder: a CSV file, TensorBoard, Weights & Biases.

All are written by the first process, at each validation. `log.jsonl` of the run folder is always there, and is what the
others are made from.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unnoise.io.atomic import atomic_write
from unnoise.optional import require

CSV = "log.csv"


class Logger(ABC):
    """A place that validations are reported to.

    Args:
        folder: of the run; it exists.
        log: its `log.jsonl`.
        step: the step from which the run goes on; what was reported after it is no longer true.
        settings: the recipe, as plain values.
    """

    def __init__(self, folder: Path, log: Path, step: int, settings: Mapping[str, Any]) -> None:
        self.folder, self.log, self.step, self.settings = folder, log, step, settings

    @abstractmethod
    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Report the values of a validation, which are in the log already."""

    def show(self, step: int, page: np.ndarray) -> None:  # noqa: B027 (a table shows no images)
        """Report a page of samples, uint8 `[H, W, 3]`."""

    def close(self) -> None:  # noqa: B027 (a file is closed after each write)
        """Finish."""


class CsvLogger(Logger):
    """`log.csv`: the lines of the log as a table, for spreadsheets; a key that a line lacks is empty."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Write the table anew, since a later line may have more columns."""
        rows = [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]
        table = io.StringIO(newline="")
        writer = csv.DictWriter(table, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        with atomic_write(self.folder / CSV) as temporary:
            temporary.write_text(table.getvalue(), encoding="utf-8")


class TensorBoardLogger(Logger):
    """Events for TensorBoard in the folder `tensorboard`: `tensorboard --logdir runs`."""

    def __init__(self, folder: Path, log: Path, step: int, settings: Mapping[str, Any]) -> None:
        super().__init__(folder, log, step, settings)
        require("tensorboard", extra="tensorboard")
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(folder / "tensorboard", purge_step=step + 1 if step else None)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to the curve of each value; training and validation are groups of their own."""
        for key, value in values.items():
            self._writer.add_scalar(_group(key), value, step)
        self._writer.flush()

    def show(self, step: int, page: np.ndarray) -> None:
        """Add the page under Images."""
        self._writer.add_image("samples", page, step, dataformats="HWC")
        self._writer.flush()

    def close(self) -> None:
        """Close the file of events."""
        self._writer.close()


class WandbLogger(Logger):
    """Weights & Biases; offline, in the folder `wandb`, unless WANDB_MODE says "online"."""

    def __init__(self, folder: Path, log: Path, step: int, settings: Mapping[str, Any]) -> None:
        super().__init__(folder, log, step, settings)
        self._wandb: Any = require("wandb", extra="wandb")
        self._run = self._wandb.init(
            project=os.environ.get("WANDB_PROJECT", "unnoise"),
            name=str(settings["name"]),
            id=hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16],  # a resumed run is the same run
            dir=str(folder),
            config=dict(settings),
            mode=os.environ.get("WANDB_MODE", "offline"),
            resume="allow",
        )

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Log the values."""
        self._run.log({_group(key): value for key, value in values.items()}, step=step)

    def show(self, step: int, page: np.ndarray) -> None:
        """Log the page."""
        self._run.log({"samples": self._wandb.Image(page)}, step=step)

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()


LOGGERS: dict[str, type[Logger]] = {"csv": CsvLogger, "tensorboard": TensorBoardLogger, "wandb": WandbLogger}
"""Name in `train.log` -> class."""


def _group(key: str) -> str:
    """Return the name of a curve: "validation/loss", "training/loss", or "psnr/gaussian_25" for that of a noise.

    >>> _group("validation_loss"), _group("learning_rate"), _group("gaussian:25")
    ('validation/loss', 'training/learning_rate', 'psnr/gaussian_25')
    """
    if key.startswith("validation_"):
        return f"validation/{key.removeprefix('validation_')}"
    group = "psnr" if ":" in key or key == "pairs" else "training"
    return f"{group}/{''.join(sign if sign.isalnum() or sign in '_-.' else '_' for sign in key)}"
