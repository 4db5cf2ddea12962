"""Optimizers, spelt in the small language: `adam`, `adadelta:rho=0.95`.

A spec says all but the learning rate: the recipe states its peak, and a schedule (`schedules.py`) which share of it
holds at each moment.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

import torch

from unnoise.errors import UnnoiseError
from unnoise.spec import HasSpec, Registry


class Optimizer(HasSpec):
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


class Muon(Optimizer):
    """Muon: the mean gradient of a kernel, made orthogonal (Jordan et al., 2024, kellerjordan.github.io/posts/muon).

    A kernel counts as the matrix `[outputs, inputs * height * width]`, all of whose directions then move alike, also
    those that the gradient hardly points in. Its step is as long as one of AdamW's commonly is (Liu et al., "Muon is
    Scalable for LLM Training", arXiv:2502.16982, eq. 4), so that rates of the same order serve. What is no kernel or
    matrix, as biases are, follows AdamW.

    Args:
        momentum: decay of the mean of the gradients.
        weight_decay: share of a weight that is taken off, times the learning rate.
    """

    name: ClassVar[str] = "muon"

    def __init__(self, *, momentum: float = 0.95, weight_decay: float = 1e-4) -> None:
        _check_shares(self.name, momentum=momentum)
        _check_positive(self.name, weight_decay=weight_decay)
        self.momentum, self.weight_decay = momentum, weight_decay

    def build(self, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """Return AdamW that steps along orthogonal matrices where it finds kernels."""
        return _Muon(parameters, lr=0.0, momentum=self.momentum, weight_decay=self.weight_decay)


class _Muon(torch.optim.AdamW):
    """Both in one, as a training has one optimizer; AdamW itself never sees a gradient of a kernel."""

    def __init__(self, parameters: Iterable[torch.nn.Parameter], *, lr: float, momentum: float, weight_decay: float):
        super().__init__(parameters, lr=lr, weight_decay=weight_decay)
        self.defaults["momentum"] = momentum
        for group in self.param_groups:
            group["momentum"] = momentum

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move all weights."""
        for group in self.param_groups:
            kernels = [one for one in group["params"] if one.ndim > 1 and one.grad is not None]
            for kernel in kernels:
                self._move(kernel, group)
                kernel.grad = None
        super().step(closure)

    def _move(self, kernel: torch.Tensor, group: dict[str, Any]) -> None:
        gradient, state = kernel.grad, self.state[kernel]
        assert gradient is not None
        if not state:
            state["momentum"] = torch.zeros_like(gradient)
            state["step"] = torch.tensor(0.0)  # AdamW looks for one when it is loaded
        state["step"] += 1
        mean = state["momentum"].lerp_(gradient, 1 - group["momentum"])
        matrix = gradient.lerp(mean, group["momentum"]).flatten(1)  # Nesterov's look ahead
        length = 0.2 * max(matrix.shape) ** 0.5
        kernel.mul_(1 - group["lr"] * group["weight_decay"])
        kernel.sub_(group["lr"] * length * orthogonal(matrix).view_as(kernel))


def orthogonal(matrix: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Return a matrix with all singular values near 1 and the singular vectors of one that is given.

    Newton and Schulz's iteration, as a polynomial of the fifth degree chosen to lift small values fast, and to leave
    all of them between 0.7 and 1.2 (Jordan et al., 2024).
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.mT if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x


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
        "adadelta": "unnoise.training.optimizers:Adadelta",
        "adam": "unnoise.training.optimizers:Adam",
        "adamw": "unnoise.training.optimizers:AdamW",
        "muon": "unnoise.training.optimizers:Muon",
    },
)
