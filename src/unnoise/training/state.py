"""How far a training is, and what its watchers are shown."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class TrainingState:
    """How far a run is; all of it travels in the checkpoint.

    Attributes:
        step: optimizer steps done.
        samples: patches seen.
        seconds: time spent training, over all resumptions.
        sums: the values of every step since the last line of the log, summed by name.
        summed: how many steps these are.
        best: the lowest value so far by which validation judges, and that of the input beside it; None before a look.
        input: see there.
    """

    step: int = 0
    samples: int = 0
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    summed: int = 0
    best: float | None = None
    input: float | None = None


@dataclass(frozen=True)
class ProgressEvent:
    """What a watcher of the training is shown now and then.

    Attributes:
        step: optimizer steps done.
        share: of the whole schedule, 0 to 1.
        seconds_left: estimated from the pace so far.
        values: averages since the last line of the log (loss, its parts, psnr), the learning rate, and, on a
            validation, the same as `validation_...` and a PSNR in dB by noise.
        validated: whether this is one of the looks that go into the log.
    """

    step: int
    share: float
    seconds_left: float
    values: dict[str, float] = field(default_factory=dict)
    validated: bool = False
