"""Learning rate schedules, given as specs: `cosine`, `exponential:0.95`."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar

from unnoise.errors import UnnoiseError
from unnoise.spec import HasSpec, Registry


class Schedule(HasSpec):
    """The learning rate over the training, as a share of its peak."""

    name: ClassVar[str]

    @abstractmethod
    def __call__(self, share: float, epoch: int) -> float:
        """Return the share of the peak.

        Args:
            share: share of the training that is done, 0 to 1.
            epoch: completed passes over the data.
        """


class Constant(Schedule):
    """A constant learning rate."""

    name: ClassVar[str] = "constant"

    def __call__(self, share: float, epoch: int) -> float:
        """Return 1."""
        return 1.0


class Cosine(Schedule):
    """Half a cosine, down to zero (Loshchilov, Hutter, ICLR 2017, arXiv:1608.03983)."""

    name: ClassVar[str] = "cosine"

    def __call__(self, share: float, epoch: int) -> float:
        """Return (1 + cos(pi share)) / 2."""
        return 0.5 * (1 + math.cos(math.pi * share))


class Exponential(Schedule):
    """Multiplied by a factor after every epoch.

    Args:
        factor: above 0 and up to 1.
    """

    name: ClassVar[str] = "exponential"

    def __init__(self, factor: float = 0.95) -> None:
        if not 0 < factor <= 1:
            raise UnnoiseError(f"exponential: factor must be above 0 and at most 1, got {factor}")
        self.factor = factor

    def __call__(self, share: float, epoch: int) -> float:
        """Return factor^epoch."""
        return self.factor**epoch


SCHEDULES: Registry[Schedule] = Registry(
    "schedule",
    {
        "constant": "unnoise.training.schedules:Constant",
        "cosine": "unnoise.training.schedules:Cosine",
        "exponential": "unnoise.training.schedules:Exponential",
    },
)
