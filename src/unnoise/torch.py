"""Models as PyTorch modules, to use inside other PyTorch code. Needs the extra `train`.

import unnoise.torch
network, card = unnoise.torch.load("color")
"""

from __future__ import annotations

from pathlib import Path

from torch import nn

from unnoise import denoisers
from unnoise.denoisers import pytorch
from unnoise.denoisers.model_card import Card
from unnoise.errors import UnnoiseError
from unnoise.spec import unknown

__all__ = ["load"]


def load(model: str | Path) -> tuple[nn.Module, Card]:
    """Open a model as a PyTorch module, and what is known of it.

    Args:
        model: the name of a bundled model, a `.safetensors` file, or weights of another project (`.pth`; needs the
            extra `spandrel`).

    Returns:
        The network in evaluation mode, on the processor, differentiable; and its card. It is called as
        `network(noisy, sigma)`: `noisy` `[B, C, H, W]`, nominally in [0, 1], with H and W multiples of
        `card.multiple_of` and C equal to `card.channels`; `sigma`, the standard deviation of the noise in the same
        units, `[B, 1, 1, 1]` or a map `[B, 1, H, W]`, where `card.wants_sigma`. The result has the shape of `noisy`.

    Raises:
        UnnoiseError: there is no such model, or its file cannot be read.

    >>> network, card = load("gray")
    >>> card.channels, card.multiple_of, card.wants_sigma
    (1, 8, True)
    """
    path = denoisers.training_weights(model)
    if path.suffix.lower() not in denoisers.TORCH_FILES:
        raise UnnoiseError(unknown("model", str(model), denoisers.bundled_models()))
    if not path.is_file():
        raise UnnoiseError(f"there is no model file '{path}'")
    network, card = pytorch.load(path)
    return network.eval(), card
