"""Losses: how far a prediction is from its target, as one number to make small.

Each takes `[B, C, H, W]` tensors in [0, 1] and returns a scalar. Sums are spelt with their weights: `0.8*l1 + 0.2*mse`.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from unnoise.errors import UnnoiseError
from unnoise.spec import Registry, Spelled


class Loss(Spelled, nn.Module):
    """A distance between prediction and target."""

    name: ClassVar[str]

    def forward(self, prediction: torch.Tensor, target: torch.Tensor, **extras: torch.Tensor) -> torch.Tensor:
        """Return the loss, a scalar; `extras` are further outputs of the network that some losses need."""
        raise NotImplementedError

    def parts(self, prediction: torch.Tensor, target: torch.Tensor, **extras: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the `loss` and, where it is a sum, each of its parts by name."""
        return {"loss": self(prediction, target, **extras)}


class MSE(Loss):
    """Mean squared error; its minimum is the largest PSNR."""

    name: ClassVar[str] = "mse"

    def forward(self, prediction: torch.Tensor, target: torch.Tensor, **extras: torch.Tensor) -> torch.Tensor:
        """Average (p - t)^2."""
        return (prediction - target).square().mean()


class L1(Loss):
    """Mean absolute error; less drawn to outliers, and in practice the faster way to a high PSNR."""

    name: ClassVar[str] = "l1"

    def forward(self, prediction: torch.Tensor, target: torch.Tensor, **extras: torch.Tensor) -> torch.Tensor:
        """Average |p - t|."""
        return (prediction - target).abs().mean()


class Charbonnier(Loss):
    """A smooth L1, sqrt((p - t)^2 + epsilon^2) (Charbonnier et al., ICIP 1994).

    Args:
        epsilon: where the parabola turns into the line, in [0, 1] units; above 0.
    """

    name: ClassVar[str] = "charbonnier"

    def __init__(self, epsilon: float = 1e-3) -> None:
        super().__init__()
        if not epsilon > 0:
            raise UnnoiseError(f"charbonnier: epsilon must be above 0, not {epsilon} (at 0 it is l1)")
        self.epsilon = epsilon

    def forward(self, prediction: torch.Tensor, target: torch.Tensor, **extras: torch.Tensor) -> torch.Tensor:
        """Average the smooth absolute error."""
        return torch.sqrt((prediction - target).square() + self.epsilon**2).mean()


class WeightedSum(Loss):
    """Several losses, each times its weight; every part is reported by its spec."""

    name: ClassVar[str] = "sum"

    def __init__(self, terms: list[tuple[float, Loss]]) -> None:
        super().__init__()
        self.weights = [weight for weight, _ in terms]
        self.losses = nn.ModuleList(loss for _, loss in terms)

    def forward(self, prediction: torch.Tensor, target: torch.Tensor, **extras: torch.Tensor) -> torch.Tensor:
        """Return the weighted sum."""
        return self.parts(prediction, target, **extras)["loss"]

    def parts(self, prediction: torch.Tensor, target: torch.Tensor, **extras: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the sum and each unweighted part."""
        parts = [loss(prediction, target, **extras) for loss in self._members()]
        total = sum(weight * part for weight, part in zip(self.weights, parts, strict=True))
        return {"loss": torch.as_tensor(total), **dict(zip(map(str, self._members()), parts, strict=True))}

    def __str__(self) -> str:
        """Spell the sum."""
        terms = zip(self.weights, self._members(), strict=True)
        return " + ".join(str(loss) if weight == 1 else f"{weight:.15g}*{loss}" for weight, loss in terms)

    def _members(self) -> list[Loss]:
        return [loss for loss in self.losses if isinstance(loss, Loss)]


LOSSES: Registry[Loss] = Registry(
    "loss",
    {
        "charbonnier": "unnoise.losses:Charbonnier",
        "l1": "unnoise.losses:L1",
        "mse": "unnoise.losses:MSE",
    },
    join=WeightedSum,
)
make = LOSSES.make
