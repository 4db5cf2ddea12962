"""Parts that several networks are made of."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn


def conv3x3(inputs: int, outputs: int, *, bias: bool = True) -> nn.Conv2d:
    """Return a 3x3 convolution that keeps the size (zeros beyond the border)."""
    return nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=bias)


def zero_init(layer: nn.Conv2d) -> nn.Conv2d:
    """Set a convolution to zero, so that what it adds begins as nothing (Zhang et al., Fixup, ICLR 2019)."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def widen_weights(fresh: torch.Tensor, given: torch.Tensor, *, transposed: bool = False) -> torch.Tensor:
    """Return the weights of a layer for more features that makes the same first ones as a narrower layer did.

    Kernels `[outputs, inputs, ...]` (`[inputs, outputs, ...]` where `transposed`) or biases. The first features are
    made of the first ones alone, the further ones as in the `fresh` layer (after Chen, Goodfellow, Shlens, "Net2Net",
    ICLR 2016, arXiv:1511.05641, who copy features instead).
    """
    if fresh.shape == given.shape:
        return given
    wide = fresh.clone()
    if given.ndim > 1:
        kernels = wide.transpose(0, 1) if transposed else wide
        kernels[: given.shape[transposed], given.shape[not transposed] :] = 0
    wide[tuple(map(slice, given.shape[:2]))] = given
    return wide


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(x))), `[B, width, H, W]` to the same; the identity when fresh."""

    reach = 2  # pixels, at the block's own resolution

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = conv3x3(width, width)
        self.second = zero_init(conv3x3(width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add what two convolutions find."""
        return x + self.second(torch.relu(self.first(x)))


class MergedConv3x3(nn.Conv2d):
    """A 3x3 convolution that is learned as a sum of three, and computed as one: for training alone it is another.

    To its own kernel are added one of 1x1, and one of 3x3 after one of 1x1, before the picture meets them (online
    re-parameterisation: Hu et al., CVPR 2022, arXiv:2204.00826; there with normalisation, too).
    """

    def __init__(self, width: int) -> None:
        super().__init__(width, width, kernel_size=3, padding=1)
        self.point = nn.Conv2d(width, width, kernel_size=1, bias=False)
        self.inner = nn.Conv2d(width, width, kernel_size=1, bias=False)
        self.outer = conv3x3(width, width, bias=False)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Convolve with the sum."""
        in_a_row = torch.einsum("omhw,mi->oihw", self.outer.weight, self.inner.weight[:, :, 0, 0])
        kernel = self.weight + F.pad(self.point.weight, (1, 1, 1, 1)) + in_a_row
        return F.conv2d(input, kernel, self.bias, padding=1)


class MergedBlock(nn.Module):
    """`ResidualBlock` of merged convolutions."""

    reach = ResidualBlock.reach

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = MergedConv3x3(width)
        self.second = MergedConv3x3(width)
        for layer in (self.second, self.second.point, self.second.outer):
            zero_init(layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add what two convolutions find."""
        return x + self.second(torch.relu(self.first(x)))


class NAFBlock(nn.Module):
    """A block without activations, products in their place, `[B, width, H, W]` to the same; the identity when fresh.

    Chen et al., "Simple Baselines for Image Restoration", ECCV 2022, arXiv:2204.04676; without its attention to the
    mean of the whole picture, so that it does not see further than its neighbours.
    """

    reach = 1

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=1e-6) for _ in range(2))
        self.expand = nn.ModuleList(nn.Conv2d(width, 2 * width, kernel_size=1) for _ in range(2))
        self.around = nn.Conv2d(2 * width, 2 * width, kernel_size=3, padding=1, groups=2 * width)
        self.project = nn.ModuleList(zero_init(nn.Conv2d(width, width, kernel_size=1)) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add what is found around every pixel, and then what is found at it."""
        x = x + self.project[0](_gate(self.around(self.expand[0](self._normed(0, x)))))
        return x + self.project[1](_gate(self.expand[1](self._normed(1, x))))

    def _normed(self, which: int, x: torch.Tensor) -> torch.Tensor:
        return self.norms[which](x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _gate(x: torch.Tensor) -> torch.Tensor:
    one, other = x.chunk(2, dim=1)
    return one * other


BLOCKS: dict[str, Any] = {"plain": ResidualBlock, "merged": MergedBlock, "naf": NAFBlock}
"""Kinds of residual block, by name."""


def residual_blocks(width: int, count: int, kind: str = "plain") -> nn.Sequential:
    """Return `count` residual blocks of a kind in a row."""
    return nn.Sequential(*(BLOCKS[kind](width) for _ in range(count)))


class ImpulseFill(nn.Module):
    """Fill the pixels of `[B, C, H, W]` that are at 0 or 1 by the mean of the sound ones around, the nearest above all.

    Normalised convolution (Knutsson, Westin, CVPR 1993), with weights of distance to the power of -6. Salt and pepper
    come in equal parts: where there is far more of one, it is the picture's own, sky or print, and stays as it is. So
    does what has nothing sound around, and values beyond, which are other noise. With `width`, four convolutions of so
    many features learn what is to be added at 0 and 1, at full size, and there alone.
    """

    radius = 3  # of the mean
    window = 7  # radius of the square in which salt and pepper are counted
    uneven = 4.0  # deviations of a fair coin, from which they are the picture's own
    layers = 4
    kernel: torch.Tensor
    ones: torch.Tensor

    def __init__(self, channels: int, width: int = 0) -> None:
        super().__init__()
        offset = torch.arange(2 * self.radius + 1, dtype=torch.float32) - self.radius
        squared = offset.square()[:, None] + offset.square()
        kernel = torch.where(squared > 0, squared.clamp(min=1) ** -3, torch.zeros(()))
        self.register_buffer("kernel", kernel.expand(channels, 1, -1, -1).clone(), persistent=False)
        self.register_buffer("ones", torch.ones(2 * channels, 1, 1, 2 * self.window + 1), persistent=False)
        self.reach = max(self.radius, self.window) + self.layers * bool(width)
        self.refine = self._refinement(3 * channels, width, channels) if width else None

    def _refinement(self, inputs: int, width: int, outputs: int) -> nn.Sequential:
        between = [part for _ in range(self.layers - 2) for part in (conv3x3(width, width), nn.ReLU())]
        return nn.Sequential(conv3x3(inputs, width), nn.ReLU(), *between, zero_init(conv3x3(width, outputs)))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what is filled, and `[B, 2 C, H, W]`: 1 where black was, then where white was, and 0 elsewhere."""
        black, white = (x == 0).to(x.dtype), (x == 1).to(x.dtype)
        edge, edges = black + white, torch.cat([black, white], dim=1)
        sound, kernel = 1 - edge, self.kernel.to(x.dtype)
        with torch.autocast(x.device.type, enabled=False):
            weight = F.conv2d(sound, kernel, padding=self.radius, groups=len(kernel))
            mean = F.conv2d(x * sound, kernel, padding=self.radius, groups=len(kernel)) / weight.clamp(min=1e-6)
            blacks, whites = self._count(edges).chunk(2, dim=1)
        even = (whites - blacks).square() <= self.uneven**2 * (whites + blacks)
        filled = torch.where((edge > 0) & (weight > 0) & even, mean, x)
        if self.refine is not None:
            seen = torch.cat([filled - 0.5, edges], dim=1)  # around 0, which is what the border is padded with
            filled = filled + edge * self.refine(seen.contiguous(memory_format=torch.channels_last))
        return filled, edges

    def _count(self, edges: torch.Tensor) -> torch.Tensor:
        ones, pad = self.ones.to(edges.dtype), self.window
        along = F.conv2d(edges, ones, padding=(0, pad), groups=len(ones))
        return F.conv2d(along, ones.mT, padding=(pad, 0), groups=len(ones))


DEFAULT_SIGMA = 10 / 255
"""The noise level that a network which is not told one supposes at first, where it begins from one that is."""
MAX_SIGMA = 100 / 255
"""No level is guessed higher."""


class SigmaEstimator(nn.Module):
    """A map of the noise level `[B, 1, H, W]` in [0, 1] units, guessed from `[B, C, H, W]`; `SUPPOSED` when fresh.

    Convolutions on the picture folded 4x4, then at half of that: one value for each cell of 8x8 pixels.
    """

    cell = 8
    reach = 4 + 2 * cell + cell  # 3x3 convolutions at both sizes, and what cells round

    def __init__(self, channels: int, width: int = 24) -> None:
        super().__init__()
        self.first = conv3x3(channels * (self.cell // 2) ** 2, width)
        self.down = nn.Conv2d(width, width, kernel_size=2, stride=2)
        self.then = nn.ModuleList(conv3x3(width, width) for _ in range(2))
        self.last = zero_init(nn.Conv2d(width, 1, kernel_size=1))

    def forward(self, noisy: torch.Tensor) -> torch.Tensor:
        """Guess the level at every pixel."""
        features = torch.relu(self.first(F.pixel_unshuffle(noisy, self.cell // 2)))
        features = self.down(features)
        for layer in self.then:
            features = torch.relu(layer(features))
        level = DEFAULT_SIGMA * torch.exp(self.last(features).float())
        return F.interpolate(level.clamp(max=MAX_SIGMA), scale_factor=self.cell).to(noisy.dtype)


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
