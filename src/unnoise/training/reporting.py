"""What a run shows while it trains: its log, curves, a page of samples, and the loggers of the recipe.

Nothing here changes what is learned. Drawing takes a share of the time that is limited: after a drawing, none is made
until ten times as long has passed, and the last validation is drawn always.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

import numpy as np

from unnoise.denoisers.base import Denoiser
from unnoise.training import distributed
from unnoise.training.loggers import LOGGERS, Logger
from unnoise.training.run_folder import RunFolder

_REST = 10
"""Time between two drawings in multiples of the time that one takes: at most a tenth is spent on them."""


class Reporter:
    """Writes the validations of a run, on the first process only.

    Args:
        files: the folder of the run, which exists, with its log cut back to `step`.
        step: the step from which the run goes on.
        draw_samples: draws a page of samples by a model, `[H, W, 3]` in [0, 1]; None if there are no images for it.
        clock: returns seconds.

    Raises:
        UnnoiseError: a library of `train.log` is not installed.
    """

    def __init__(
        self,
        files: RunFolder,
        step: int,
        draw_samples: Callable[[Denoiser], np.ndarray] | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.files, self._draw_samples, self._clock = files, draw_samples, clock
        self._next = -math.inf
        self._undrawn = 0
        self._loggers: list[Logger] = []
        if distributed.is_rank_zero():
            settings = files.recipe.model_dump()
            for name in files.recipe.train.log:
                self._loggers.append(LOGGERS[name](files.path, files.log_path, step, settings))

    def write(self, values: Mapping[str, float], model: Callable[[], Denoiser]) -> None:
        """Write a line of the log; redraw the pictures if it is time.

        Args:
            values: the line, with its `step`.
            model: returns the denoiser as it is now.
        """
        if not distributed.is_rank_zero():
            return
        self.files.log(dict(values))
        self._undrawn = int(values["step"])
        curves = {key: value for key, value in values.items() if key != "step"}
        for logger in self._loggers:
            logger.write(self._undrawn, curves)
        start = self._clock()
        if start >= self._next:
            self._draw(model)
            now = self._clock()
            self._next = now + _REST * (now - start)

    def finish(self, model: Callable[[], Denoiser]) -> None:
        """Draw what was not drawn yet."""
        if distributed.is_rank_zero() and (self._undrawn or not self.files.losses.exists()):
            self._draw(model)

    def close(self) -> None:
        """Finish all loggers."""
        for logger in self._loggers:
            logger.close()

    def _draw(self, model: Callable[[], Denoiser]) -> None:
        step, self._undrawn = self._undrawn, 0
        self.files.draw_losses()
        if self._draw_samples is None:
            return
        page = np.rint(255 * np.clip(self._draw_samples(model()), 0, 1)).astype(np.uint8)
        self.files.save_samples(page)
        for logger in self._loggers:
            logger.show(step, page)
