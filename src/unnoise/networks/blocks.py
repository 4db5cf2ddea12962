"""Building blocks of networks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


def conv3x3(inputs: int, outputs: int, *, bias: bool = True) -> nn.Conv2d:
    """Return a 3x3 convolution that keeps the size (zeros beyond the border)."""
    return nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=bias)


def zero_init(layer: nn.Conv2d) -> nn.Conv2d:
    """Initialize a convolution with zeros, so that a residual branch starts as 0 (Zhang et al., Fixup, ICLR 2019)."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def widen_weights(fresh: torch.Tensor, given: torch.Tensor, *, transposed: bool = False) -> torch.Tensor:
    """Return the weights of a wider layer whose first features are those of a narrower one.

    Kernels `[outputs, inputs, ...]` (`[inputs, outputs, ...]` if `transposed`) or biases. The first outputs depend on
    the first inputs only; the other ones are those of the `fresh` layer (after Chen, Goodfellow, Shlens, "Net2Net",
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
    """x + conv(relu(conv(x))) on `[B, width, H, W]`; initially the identity."""

    reach = 2  # pixels, at the block's own resolution

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = conv3x3(width, width)
        self.second = zero_init(conv3x3(width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add the residual branch."""
        return x + self.second(torch.relu(self.first(x)))


def residual_blocks(width: int, count: int) -> nn.Sequential:
    """Return a sequence of `count` residual blocks."""
    return nn.Sequential(*(ResidualBlock(width) for _ in range(count)))


class ImpulseFill(nn.Module):
    """Replaces pixels of `[B, C, H, W]` that are 0 or 1 by a weighted mean of the valid pixels around them.

    Normalized convolution (Knutsson, Westin, CVPR 1993) with the weights distance^-6. Salt and pepper are equally
    frequent: where one prevails, it is image content, such as sky or print, and is kept. Pixels without valid ones
    around them, and values outside [0, 1], are kept as well. With `width`, four convolutions of that many features at
    full resolution predict a correction of the replaced pixels.
    """

    radius = 3  # of the mean
    window = 7  # radius of the window in which salt and pepper are counted
    uneven = 4.0  # standard deviations of a fair coin above which they are image content
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
        """Return the filled image, and masks `[B, 2 C, H, W]` of the pixels that were 0, then of those that were 1."""
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
            seen = torch.cat([filled - 0.5, edges], dim=1)  # centered at 0, the value of the padding
            filled = filled + edge * self.refine(seen.contiguous(memory_format=torch.channels_last))
        return filled, edges

    def _count(self, edges: torch.Tensor) -> torch.Tensor:
        ones, pad = self.ones.to(edges.dtype), self.window
        along = F.conv2d(edges, ones, padding=(0, pad), groups=len(ones))
        return F.conv2d(along, ones.mT, padding=(pad, 0), groups=len(ones))


DEFAULT_SIGMA = 10 / 255
"""Initial sigma of a blind network that is initialized from one with sigma as an input."""
MAX_SIGMA = 100 / 255
"""Largest estimate of sigma."""


class SigmaEstimator(nn.Module):
    """Estimates a map of sigma `[B, 1, H, W]` in [0, 1] units from `[B, C, H, W]`; initially `DEFAULT_SIGMA`.

    Convolutions on the image after 4x4 pixel unshuffling, then at half that size: one value per cell of 8x8 pixels.
    """

    cell = 8
    reach = 4 + 2 * cell + cell  # 3x3 convolutions at both sizes, and the size of a cell

    def __init__(self, channels: int, width: int = 24) -> None:
        super().__init__()
        self.first = conv3x3(channels * (self.cell // 2) ** 2, width)
        self.down = nn.Conv2d(width, width, kernel_size=2, stride=2)
        self.then = nn.ModuleList(conv3x3(width, width) for _ in range(2))
        self.last = zero_init(nn.Conv2d(width, 1, kernel_size=1))

    def forward(self, noisy: torch.Tensor) -> torch.Tensor:
        """Estimate sigma at every pixel."""
        features = torch.relu(self.first(F.pixel_unshuffle(noisy, self.cell // 2)))
        features = self.down(features)
        for layer in self.then:
            features = torch.relu(layer(features))
        level = DEFAULT_SIGMA * torch.exp(self.last(features).float())
        return F.interpolate(level.clamp(max=MAX_SIGMA), scale_factor=self.cell).to(noisy.dtype)


def cut_squares(x: torch.Tensor, side: int) -> torch.Tensor:
    """Cut images `[B, C, H, W]` into squares `[B * H/side * W/side, C, side, side]`, for networks of one size."""
    batch, channels, height, width = x.shape
    grid = x.reshape(batch, channels, height // side, side, width // side, side)
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(-1, channels, side, side)


def join_squares(squares: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Join the squares of `cut_squares` to images `[B, C, H, W]`."""
    channels, side = squares.shape[1], squares.shape[-1]
    grid = squares.reshape(-1, height // side, width // side, channels, side, side)
    return grid.permute(0, 3, 1, 4, 2, 5).reshape(-1, channels, height, width)
