"""The state of a training, and the progress events that it reports to functions of the caller."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class TrainingState:
    """The progress of a run; all of it is stored in the checkpoint.

    Attributes:
        step: optimizer steps done.
        samples: patches that were trained on.
        seconds: training time, including that before the run was resumed.
        sums: sums by name of the values of all steps since the last line of the log.
        summed: number of these steps.
        best: lowest validation value so far (see `Task.judged`); None before the first validation.
        input: the same value of the unchanged noisy patches, at that validation.
        stale: number of validations since then, none of which was better.
    """

    step: int = 0
    samples: int = 0
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    summed: int = 0
    best: float | None = None
    input: float | None = None
    stale: int = 0


@dataclass(frozen=True)
class ProgressEvent:
    """Progress of a training, reported every few steps.

    Attributes:
        step: optimizer steps done.
        share: share of the schedule that is done, 0 to 1.
        seconds_left: estimate from the speed so far.
        values: means since the last line of the log (loss, its parts, psnr), the learning rate, and after a validation
            also `validation_...` values and the PSNR in dB of each noise.
        validated: whether validation was due at this step; such events are also written to the log.
    """

    step: int
    share: float
    seconds_left: float
    values: dict[str, float] = field(default_factory=dict)
    validated: bool = False


Callback = Callable[[ProgressEvent], object]
"""A function that is called at each event; the training ends after an event for which it returns True."""
