"""What a task is."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch

from unnoise.losses import Loss
from unnoise.networks import Network
from unnoise.spec import Spelled

Batch = dict[str, torch.Tensor]


class Task(Spelled):
    """A way of learning: how a batch becomes a loss."""

    name: ClassVar[str]

    @abstractmethod
    def step(self, network: Network, loss: Loss, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the `loss` to make small, and further named scalars to report.

        Args:
            network: what learns.
            loss: the distance that it learns by.
            batch: `noisy` and `clean` `[B, C, H, W]`, `sigma` `[B, 1, 1, 1]`.
        """
