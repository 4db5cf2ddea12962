"""Neighbor2Neighbor: training on two half-size sub-images of each noisy image.

Huang et al., "Neighbor2Neighbor: Self-Supervised Denoising from Single Noisy Images", CVPR 2021, arXiv:2101.02824.
Two neighbors are drawn from each cell of 2x2 pixels, which gives g1(y) and g2(y) of half the size. They show nearly the
same scene with independent noise, as Noise2Noise needs. The regularizer allows for their difference, as the network's
output for the whole image shows it:

    ||f(g1(y)) - g2(y)||^2 + gamma ||f(g1(y)) - g2(y) - (g1(f(y)) - g2(f(y)))||^2

with no gradient through f(y) (their regularized loss, and Algorithm 1). The paper increases gamma from 0 over the
training; here it is constant. Both norms are the loss of the recipe.

Limits: noise that neighbors share (demosaiced, blurred or compressed images, rows and columns) is kept; the network is
trained on half-size images only, and details of single pixels, such as stars, suffer.
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
_NEIGHBORS = ((0, 1), (2, 3), (0, 2), (1, 3))  # adjacent positions in a cell, row by row


class Neighbor2Neighbor(Task):
    """Compare the output for one half-size image with the other.

    Args:
        gamma: weight of the regularizer, at least 0: a low weight smooths details away, a high one leaves noise.
    """

    name: ClassVar[str] = "neighbor2neighbor"
    target: ClassVar[Literal["clean", "second", "none"]] = "none"
    judged: ClassVar[str] = "pair"
    shrinks: ClassVar[int] = SIDE

    def __init__(self, gamma: float = 1.0) -> None:
        if not gamma >= 0:
            raise UnnoiseError(f"neighbor2neighbor: gamma must be at least 0, got {gamma}")
        self.gamma = gamma

    def step(self, network: Network, loss: Loss, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the loss and its two terms, and the mean squared errors of prediction (`pair`) and `input`."""
        noisy, sigma = batch["noisy"], batch["sigma"]
        places = draw_neighbors(noisy)
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


def draw_neighbors(pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw two neighbors in every 2x2 cell of `[B, C, H, W]`: their positions, 0 to 3, `[B, 1, H/2, W/2]` each."""
    batch, _, height, width = pictures.shape
    shape, device = (batch, 1, height // SIDE, width // SIDE), pictures.device
    pairs = torch.tensor([*_NEIGHBORS, *(pair[::-1] for pair in _NEIGHBORS)], device=device)
    drawn = pairs[torch.randint(len(pairs), shape, device=device)]
    return drawn[..., 0], drawn[..., 1]


def take(pictures: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    """Take one pixel of every 2x2 cell of `[B, C, H, W]`: `[B, C, H/2, W/2]`."""
    batch, channels, height, width = pictures.shape
    cells = F.pixel_unshuffle(pictures, SIDE).reshape(batch, channels, SIDE**2, height // SIDE, width // SIDE)
    index = place[:, :, None].expand(batch, channels, 1, -1, -1)
    return cells.gather(2, index)[:, :, 0]
