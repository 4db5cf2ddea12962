"""Neighbor2Neighbor: a picture taken apart into two small ones, the one in, the other as target.

Huang et al., "Neighbor2Neighbor: Self-Supervised Denoising from Single Noisy Images", CVPR 2021, arXiv:2101.02824. Of
each cell of 2x2 pixels, two neighbours are drawn: g1(y) and g2(y), of half the size. They show nearly the same, with
noise of their own, as Noise2Noise wants it. That they do not show quite the same is made good by the regulariser, which
lets the network differ on them as it differs on the picture itself:

    ||f(g1(y)) - g2(y)||^2 + gamma ||f(g1(y)) - g2(y) - (g1(f(y)) - g2(f(y)))||^2

with no gradient through f(y) (their regularised loss, and Algorithm 1). The paper raises gamma from 0 over the
training; here it stands still. Both norms are the loss of the recipe.

What it cannot handle: noise that neighbours share (demosaiced, blurred or compressed pictures, rows and columns), which
it learns to keep; the network sees half-size pictures only, and detail of single pixels, such as stars, suffers.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F

from unnoise.errors import UnnoiseError
from unnoise.networks import Network
from unnoise.training.losses import Loss
from unnoise.training.tasks.base import Batch, Task

SIDE = 2
_NEIGHBOURS = ((0, 1), (2, 3), (0, 2), (1, 3))  # places in a cell, row by row, that touch


class Neighbor2Neighbor(Task):
    """Compare what the network makes of one half-size picture with its neighbour.

    Args:
        gamma: weight of the regulariser: without it, detail is smoothed away; too much of it leaves noise.
    """

    name: ClassVar[str] = "neighbor2neighbor"
    target: ClassVar[Literal["clean", "second", "none"]] = "none"
    judged: ClassVar[str] = "pair"
    shrinks: ClassVar[int] = SIDE

    def __init__(self, gamma: float = 1.0) -> None:
        if not gamma >= 0:
            raise UnnoiseError(f"neighbor2neighbor: gamma must be at least 0, not {gamma}")
        self.gamma = gamma

    def step(self, network: Network, loss: Loss, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the loss and its two terms, and the mean squared errors of prediction (`pair`) and `input`."""
        noisy, sigma = batch["noisy"], batch["sigma"]
        places = draw_neighbours(noisy)
        first, second = (take(noisy, place) for place in places)
        outputs = network.forward_train(first, sigma)
        prediction = outputs.pop("prediction")
        reconstruction = loss(prediction, second, **outputs)
        values = {"loss": reconstruction, "reconstruction": reconstruction}
        if self.gamma:
            with torch.no_grad():
                whole = network(noisy, sigma)
                allowed = take(whole, places[0]) - take(whole, places[1])
            values["regulariser"] = loss(prediction - second, allowed)
            values["loss"] = reconstruction + self.gamma * values["regulariser"]
        errors = {"pair": prediction.detach() - second, "input": first - second}
        return {**values, **{key: error.square().mean() for key, error in errors.items()}}


def draw_neighbours(pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw two neighbours in every 2x2 cell of `[B, C, H, W]`: their places there, 0 to 3, `[B, 1, H/2, W/2]` each."""
    batch, _, height, width = pictures.shape
    shape, device = (batch, 1, height // SIDE, width // SIDE), pictures.device
    pairs = torch.tensor([*_NEIGHBOURS, *(pair[::-1] for pair in _NEIGHBOURS)], device=device)
    drawn = pairs[torch.randint(len(pairs), shape, device=device)]
    return drawn[..., 0], drawn[..., 1]


def take(pictures: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    """Take one pixel of every 2x2 cell of `[B, C, H, W]`: `[B, C, H/2, W/2]`."""
    batch, channels, height, width = pictures.shape
    cells = F.pixel_unshuffle(pictures, SIDE).reshape(batch, channels, SIDE**2, height // SIDE, width // SIDE)
    index = place[:, :, None].expand(batch, channels, 1, -1, -1)
    return cells.gather(2, index)[:, :, 0]
