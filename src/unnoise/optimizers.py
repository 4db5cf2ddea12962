"""Optimizers and learning-rate schedules, spelt in the small language: `adam`, `adadelta:rho=0.95`, `exponential:0.95`.

An optimizer's spec says all but the learning rate; the recipe states its peak, and the schedule which share of it holds
at each moment.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable
from typing import ClassVar

import torch

from unnoise.errors import UnnoiseError
from unnoise.spec import Registry, Spelled


class Optimizer(Spelled):
    """A way of following gradients; members keep their settings and build PyTorch's optimizer."""

    name: ClassVar[str]

    @abstractmethod
    def build(self, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """Return PyTorch's optimizer; its learning rate is set anew before every step."""


class Adam(Optimizer):
    """Adam (Kingma, Ba, ICLR 2015, arXiv:1412.6980).

    Args:
        b1: decay of the mean of the gradients.
        b2: decay of the mean of their squares.
        weight_decay: added to the gradient, times the weight.
    """

    name: ClassVar[str] = "adam"

    def __init__(self, *, b1: float = 0.9, b2: float = 0.999, weight_decay: float = 0.0) -> None:
        _check_shares(self.name, b1=b1, b2=b2)
        _check_positive(self.name, weight_decay=weight_decay)
        self.b1, self.b2, self.weight_decay = b1, b2, weight_decay

    def build(self, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """Return PyTorch's Adam."""
        return torch.optim.Adam(parameters, lr=0.0, betas=(self.b1, self.b2), weight_decay=self.weight_decay)


class AdamW(Optimizer):
    """Adam with weight decay apart from the gradient (Loshchilov, Hutter, ICLR 2019, arXiv:1711.05101).

    Args:
        b1: decay of the mean of the gradients.
        b2: decay of the mean of their squares.
        weight_decay: share of a weight that is taken off, times the learning rate.
    """

    name: ClassVar[str] = "adamw"

    def __init__(self, *, b1: float = 0.9, b2: float = 0.999, weight_decay: float = 1e-4) -> None:
        _check_shares(self.name, b1=b1, b2=b2)
        _check_positive(self.name, weight_decay=weight_decay)
        self.b1, self.b2, self.weight_decay = b1, b2, weight_decay

    def build(self, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """Return PyTorch's AdamW."""
        return torch.optim.AdamW(parameters, lr=0.0, betas=(self.b1, self.b2), weight_decay=self.weight_decay)


class Adadelta(Optimizer):
    """Adadelta (Zeiler, arXiv:1212.5701): it finds its own step sizes, and is meant for a learning rate of 1.

    Args:
        rho: decay of the means of squares.
        epsilon: added to them before their root is taken.
    """

    name: ClassVar[str] = "adadelta"

    def __init__(self, *, rho: float = 0.95, epsilon: float = 1e-6) -> None:
        _check_shares(self.name, rho=rho)
        _check_positive(self.name, epsilon=epsilon)
        self.rho, self.epsilon = rho, epsilon

    def build(self, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """Return PyTorch's Adadelta."""
        return torch.optim.Adadelta(parameters, lr=0.0, rho=self.rho, eps=self.epsilon)


class Schedule(Spelled):
    """How the learning rate goes over the training, as a share of its peak."""

    name: ClassVar[str]

    @abstractmethod
    def __call__(self, share: float, epoch: int) -> float:
        """Return the share of the peak.

        Args:
            share: of the training that is done, 0 to 1.
            epoch: full passes over the data that are done.
        """


class Constant(Schedule):
    """The peak, all along."""

    name: ClassVar[str] = "constant"

    def __call__(self, share: float, epoch: int) -> float:
        """Return 1."""
        return 1.0


class Cosine(Schedule):
    """Half a cosine down to zero (Loshchilov, Hutter, ICLR 2017, arXiv:1608.03983)."""

    name: ClassVar[str] = "cosine"

    def __call__(self, share: float, epoch: int) -> float:
        """Return (1 + cos(pi share)) / 2."""
        return 0.5 * (1 + math.cos(math.pi * share))


class Exponential(Schedule):
    """The same factor after every epoch.

    Args:
        factor: above 0, up to 1.
    """

    name: ClassVar[str] = "exponential"

    def __init__(self, factor: float = 0.95) -> None:
        if not 0 < factor <= 1:
            raise UnnoiseError(f"exponential: the factor lies above 0 and up to 1, not at {factor}")
        self.factor = factor

    def __call__(self, share: float, epoch: int) -> float:
        """Return factor^epoch."""
        return self.factor**epoch


def _check_shares(name: str, **values: float) -> None:
    for key, value in values.items():
        if not 0 <= value < 1:
            raise UnnoiseError(f"{name}: {key} lies from 0 up to, not including, 1, not at {value}")


def _check_positive(name: str, **values: float) -> None:
    for key, value in values.items():
        if not 0 <= value < math.inf:
            raise UnnoiseError(f"{name}: {key} must be at least 0, not {value}")


OPTIMIZERS: Registry[Optimizer] = Registry(
    "optimizer",
    {
        "adadelta": "unnoise.optimizers:Adadelta",
        "adam": "unnoise.optimizers:Adam",
        "adamw": "unnoise.optimizers:AdamW",
    },
)
SCHEDULES: Registry[Schedule] = Registry(
    "schedule",
    {
        "constant": "unnoise.optimizers:Constant",
        "cosine": "unnoise.optimizers:Cosine",
        "exponential": "unnoise.optimizers:Exponential",
    },
)
