"""Parts that several networks are made of."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


def conv3x3(inputs: int, outputs: int, *, bias: bool = True) -> nn.Conv2d:
    """Return a 3x3 convolution that keeps the size (zeros beyond the border)."""
    return nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=bias)


def start_at_zero(layer: nn.Conv2d) -> nn.Conv2d:
    """Set a convolution to zero, so that what it adds begins as nothing (Zhang et al., Fixup, ICLR 2019)."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(x))), `[B, width, H, W]` to the same; the identity when fresh."""

    reach = 2  # pixels, at the block's own resolution

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = conv3x3(width, width)
        self.second = start_at_zero(conv3x3(width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add what two convolutions find."""
        return x + self.second(torch.relu(self.first(x)))


def residual_blocks(width: int, count: int) -> nn.Sequential:
    """Return `count` residual blocks in a row."""
    return nn.Sequential(*(ResidualBlock(width) for _ in range(count)))


class FillLost(nn.Module):
    """Fill the pixels of `[B, C, H, W]` that are at 0 or 1 by the mean of the sound ones around, the nearer the more.

    Normalised convolution (Knutsson, Westin, CVPR 1993) with a 5x5 tent. Where all around is at 0 or 1, as in a white
    sky, the picture stays; so do values beyond, which are other noise.
    """

    reach = 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Fill what is lost."""
        sound = ((x != 0) & (x != 1)).to(x.dtype)
        weight = self._around(sound)
        filled = self._around(x * sound) / torch.clamp(weight, min=1e-3)
        return torch.where((sound > 0) | (weight == 0), x, filled)

    @staticmethod
    def _around(x: torch.Tensor) -> torch.Tensor:
        for _ in range(2):
            x = F.avg_pool2d(x, kernel_size=3, stride=1, padding=1)
        return x


def cut_squares(x: torch.Tensor, side: int) -> torch.Tensor:
    """Cut pictures `[B, C, H, W]` into squares `[B * H/side * W/side, C, side, side]`, for networks of one size."""
    batch, channels, height, width = x.shape
    grid = x.reshape(batch, channels, height // side, side, width // side, side)
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(-1, channels, side, side)


def join_squares(squares: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Put squares that `cut_squares` cut back together to pictures `[B, C, H, W]`."""
    channels, side = squares.shape[1], squares.shape[-1]
    grid = squares.reshape(-1, height // side, width // side, channels, side, side)
    return grid.permute(0, 3, 1, 4, 2, 5).reshape(-1, channels, height, width)
