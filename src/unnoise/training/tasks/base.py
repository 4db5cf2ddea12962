"""The base class of tasks."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal

import torch

from unnoise.networks import Network
from unnoise.spec import HasSpec
from unnoise.training.losses import Loss

Batch = dict[str, torch.Tensor]


class Task(HasSpec):
    """A training objective: computes a loss from a batch.

    Attributes:
        target: what it needs besides the noisy image: the "clean" one, a "second" noisy shot of the scene, or "none".
        judged: name of the value by which validation compares weights; lower is better. Without clean images, it is one
            that a network cannot minimize by returning its input.
        shrinks: how many times smaller than a patch the input of the network is.
    """

    name: ClassVar[str]
    target: ClassVar[Literal["clean", "second", "none"]] = "clean"
    judged: ClassVar[str] = "loss"
    shrinks: ClassVar[int] = 1

    @abstractmethod
    def step(self, network: Network, loss: Loss, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the `loss` to minimize, and further named scalars to report.

        One of them may be `input`: the `judged` value of a network that returns its input. A training that does not get
        below it has learned nothing.

        Args:
            network: the network to train.
            loss: the loss function.
            batch: `noisy` and the target, `clean` or `second`, `[B, C, H, W]` in [0, 1]; `sigma` `[B, 1, 1, 1]` in
                [0, 1] units, NaN where the noise has no single sigma.
        """
