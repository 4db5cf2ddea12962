"""Optimizers, given as specs: `adam`, `adadelta:rho=0.95`.

The learning rate is not part of the spec: the recipe sets its peak, and a schedule (`schedules.py`) its share of that.
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
    """Settings of an optimizer, which build PyTorch's."""

    name: ClassVar[str]

    @abstractmethod
    def build(self, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """Return PyTorch's optimizer; the learning rate is set before every step."""


class Adam(Optimizer):
    """Adam (Kingma, Ba, ICLR 2015, arXiv:1412.6980).

    Args:
        b1: decay of the mean of the gradients, 0 up to 1.
        b2: decay of the mean of their squares, 0 up to 1.
        weight_decay: times the weight, added to the gradient.
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
    """Adam with decoupled weight decay (Loshchilov, Hutter, ICLR 2019, arXiv:1711.05101).

    Args:
        b1: decay of the mean of the gradients, 0 up to 1.
        b2: decay of the mean of their squares, 0 up to 1.
        weight_decay: share by which weights shrink per step, times the learning rate.
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
    """Adadelta (Zeiler, arXiv:1212.5701): step sizes are adapted; use a learning rate of 1.

    Args:
        rho: decay of the means of squares, 0 up to 1.
        epsilon: added to them before taking their root.
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
    """Muon: steps along orthogonalized mean gradients (Jordan et al., 2024, kellerjordan.github.io/posts/muon).

    A kernel is taken as the matrix `[outputs, inputs * height * width]`; all its singular directions get steps of the
    same length, even those with a small gradient. Steps are scaled to the usual length of AdamW's (Liu et al., "Muon is
    Scalable for LLM Training", arXiv:2502.16982, eq. 4), so that similar learning rates work. One-dimensional
    parameters, such as biases, are updated by AdamW.

    Args:
        momentum: decay of the mean of the gradients, 0 up to 1.
        weight_decay: share by which weights shrink per step, times the learning rate.
    """

    name: ClassVar[str] = "muon"

    def __init__(self, *, momentum: float = 0.95, weight_decay: float = 1e-4) -> None:
        _check_shares(self.name, momentum=momentum)
        _check_positive(self.name, weight_decay=weight_decay)
        self.momentum, self.weight_decay = momentum, weight_decay

    def build(self, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """Return an optimizer that updates kernels by Muon and the rest by AdamW."""
        return _Muon(parameters, lr=0.0, momentum=self.momentum, weight_decay=self.weight_decay)


class _Muon(torch.optim.AdamW):
    """Muon for kernels and AdamW for the rest in one optimizer."""

    def __init__(self, parameters: Iterable[torch.nn.Parameter], *, lr: float, momentum: float, weight_decay: float):
        super().__init__(parameters, lr=lr, weight_decay=weight_decay)
        self.defaults["momentum"] = momentum
        for group in self.param_groups:
            group["momentum"] = momentum

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update all weights."""
        for group in self.param_groups:
            kernels = [one for one in group["params"] if one.ndim > 1 and one.grad is not None]
            for kernel in kernels:
                self._update(kernel, group)
                kernel.grad = None
        super().step(closure)

    def _update(self, kernel: torch.Tensor, group: dict[str, Any]) -> None:
        gradient, state = kernel.grad, self.state[kernel]
        assert gradient is not None
        if not state:
            state["momentum"] = torch.zeros_like(gradient)
            state["step"] = torch.tensor(0.0)  # AdamW expects one when a state is loaded
        state["step"] += 1
        mean = state["momentum"].lerp_(gradient, 1 - group["momentum"])
        matrix = gradient.lerp(mean, group["momentum"]).flatten(1)  # Nesterov momentum
        length = 0.2 * max(matrix.shape) ** 0.5
        kernel.mul_(1 - group["lr"] * group["weight_decay"])
        kernel.sub_(group["lr"] * length * orthogonal(matrix).view_as(kernel))


def orthogonal(matrix: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Return a matrix with the singular vectors of the given one and all singular values near 1.

    It is a Newton-Schulz iteration with a polynomial of degree 5 that raises small values fast and leaves all of them
    between 0.7 and 1.2 (Jordan et al., 2024).
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
            raise UnnoiseError(f"{name}: {key} must be at least 0 and below 1, got {value}")


def _check_positive(name: str, **values: float) -> None:
    for key, value in values.items():
        if not 0 <= value < math.inf:
            raise UnnoiseError(f"{name}: {key} must be at least 0, got {value}")


OPTIMIZERS: Registry[Optimizer] = Registry(
    "optimizer",
    {
        "adadelta": "unnoise.training.optimizers:Adadelta",
        "adam": "unnoise.training.optimizers:Adam",
        "adamw": "unnoise.training.optimizers:AdamW",
        "muon": "unnoise.training.optimizers:Muon",
    },
)
