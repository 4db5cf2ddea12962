"""Averages of weights: the running average of a training, and its mean with the initial weights."""

from __future__ import annotations

import copy

import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn

from unnoise.networks import Network


@torch.no_grad()
def update(average: torch.nn.Module, network: torch.nn.Module, decay: float) -> None:
    """Move an average towards the weights and statistics of a network; integers are copied.

    Args:
        average: changed in place.
        network: of the same structure.
        decay: weight of the average, 0 to 1.
    """
    pairs = list(zip(_tensors(average), _tensors(network), strict=True))
    floats = [pair for pair in pairs if pair[0].is_floating_point()]
    get_ema_multi_avg_fn(decay)([mean for mean, _ in floats], [now for _, now in floats], None)
    for mean, now in pairs:
        if not mean.is_floating_point():
            mean.copy_(now)


@torch.no_grad()
def interpolate(trained: Network, initial: Network, start_weight: float) -> Network:
    """Return a copy of a trained network whose weights are a mean with the initial ones (WiSE-FT).

    Args:
        trained: the trained weights.
        initial: the initial weights.
        start_weight: weight of the initial ones, 0 to 1.
    """
    mean = copy.deepcopy(trained)
    for now, start in zip(_tensors(mean), _tensors(initial), strict=True):
        if now.is_floating_point():
            now.lerp_(start, start_weight)
    return mean


def _tensors(module: torch.nn.Module) -> list[torch.Tensor]:
    return [*module.parameters(), *module.buffers()]
