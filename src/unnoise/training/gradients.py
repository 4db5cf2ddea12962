"""One step's loss and gradients, computed at once or in parts that need less memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning_fabric import Fabric

from unnoise.training.losses import Loss
from unnoise.training.tasks import Task

Values = dict[str, torch.Tensor]


def backward(
    fabric: Fabric, network: Any, task: Task, loss: Loss, batch: Mapping[str, torch.Tensor], parts: int
) -> Values:
    """Compute the loss of a batch and add its gradients to those of the network.

    In several parts, the gradient is the same up to the order of summation, except where a network has statistics of
    the batch: batch normalization sees a part at a time.

    Args:
        fabric: that of the process.
        network: set up by it.
        task: computes the loss.
        loss: the loss function.
        batch: the patches of this process; their number is a multiple of `parts`.
        parts: how many parts to compute, one after the other.

    Returns:
        The values of the task for the whole batch, detached.
    """
    split = {key: value.chunk(parts) for key, value in batch.items()}
    pieces = [{key: chunks[index] for key, chunks in split.items()} for index in range(parts)]
    every: list[Values] = []
    for index, piece in enumerate(pieces):
        with fabric.no_backward_sync(network, enabled=index < len(pieces) - 1):
            with fabric.autocast():
                values = task.step(network, loss, piece)
            fabric.backward(values["loss"] / len(pieces))
        every.append({key: value.detach() for key, value in values.items()})
    return every[0] if len(every) == 1 else _mean(every)


def _mean(every: Sequence[Values]) -> Values:
    """Average the values of equal parts; `psnr` by its mean squared error."""
    together = {key: torch.stack([values[key].float() for values in every]) for key in every[0]}
    return {
        key: -10 * (10 ** (-values / 10)).mean().log10() if key == "psnr" else values.mean()
        for key, values in together.items()
    }
