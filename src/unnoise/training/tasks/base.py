"""What a task is."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal

import torch

from unnoise.networks import Network
from unnoise.spec import HasSpec
from unnoise.training.losses import Loss

Batch = dict[str, torch.Tensor]


class Task(HasSpec):
    """A way of learning: how a batch becomes a loss.

    Attributes:
        target: what it needs beside the noisy picture: the "clean" one, a "second" noisy shot of the scene, or "none".
        judged: the value by which validation tells better weights from worse, the smaller the better. Where there is
            no clean picture, it is one that the noisy pixels themselves cannot win by being left as they are.
        shrinks: how many times smaller than a patch is what the network is shown.
    """

    name: ClassVar[str]
    target: ClassVar[Literal["clean", "second", "none"]] = "clean"
    judged: ClassVar[str] = "loss"
    shrinks: ClassVar[int] = 1

    @abstractmethod
    def step(self, network: Network, loss: Loss, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the `loss` to make small, and further named scalars to report.

        One of them may be `input`: the `judged` value of a network that leaves noisy pixels as they are. A training
        that does not get below it has learned nothing.

        Args:
            network: what learns.
            loss: the distance that it learns by.
            batch: `noisy` and the task's `target`, `clean` or `second`, `[B, C, H, W]`; `sigma` `[B, 1, 1, 1]`.
        """
