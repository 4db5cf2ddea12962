"""The U-Net: down by pooling, up by transposed convolutions, with skip connections at every level.

Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015,
arXiv:1505.04597. As in the paper: two 3x3 convolutions with ReLU at each of five levels of 64 to 1024 features, 2x2
max-pooling between them, and skips by concatenation. Unlike there, convolutions are padded, so that the output has the
size of the input, and the last layer returns colors instead of classes.

It has no normalization, no residual connection from input to output, and is blind: sigma is not an input. At its full
width it has 31 million parameters.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from unnoise.networks.base import Network, check_counts
from unnoise.networks.blocks import conv3x3

LEVELS = 4  # of pooling
CONVOLUTIONS = 2  # per level, in the encoder and in the decoder


class UNet(Network):
    """U-Net of four poolings.

    Args:
        channels: number of channels.
        width: features at full size; they double with every pooling, to 16 times as many at the coarsest level.
    """

    name: ClassVar[str] = "unet"
    multiple_of = 2**LEVELS

    def __init__(self, *, channels: int = 3, width: int = 64) -> None:
        super().__init__()
        check_counts(self.name, channels=channels, width=width)
        self.channels, self.width = channels, width
        self.halo = _reach()
        widths = [width * 2**level for level in range(LEVELS + 1)]
        self.down = nn.ModuleList(map(_convolutions, [channels, *widths[:-1]], widths))
        # No bias: the next convolution has one, and on processors its gradient takes longer than the rest.
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(2 * one, one, kernel_size=2, stride=2, bias=False) for one in widths[:-1]
        )
        self.join = nn.ModuleList(_convolutions(2 * one, one) for one in widths[:-1])
        self.tail = nn.Conv2d(width, channels, kernel_size=1)

    def forward(self, noisy: torch.Tensor, sigma: torch.Tensor | None = None) -> torch.Tensor:
        """Denoise `[B, C, H, W]`; `sigma` is not used."""
        features, skips = self.down[0](noisy), []
        for level in self.down[1:]:
            skips.append(features)
            features = level(F.max_pool2d(features, 2))
        for grow, join, skip in zip(reversed(self.up), reversed(self.join), reversed(skips), strict=True):
            features = join(torch.cat([skip, grow(features)], dim=1))
        return self.tail(features)


def _convolutions(inputs: int, outputs: int) -> nn.Sequential:
    """Return the two convolutions of a level, with Kaiming initialization (He et al., ICCV 2015)."""
    layers: list[nn.Module] = []
    for one in [inputs] + [outputs] * (CONVOLUTIONS - 1):
        convolution = conv3x3(one, outputs)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        layers += [convolution, nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _reach() -> int:
    """Return the halo: the farthest input pixel that any output pixel depends on, over all positions in the grid."""
    farthest = 0
    for pixel in range(2**LEVELS):  # the position in the coarsest grid matters
        first = last = pixel
        for _ in range(LEVELS):
            first, last = (first - CONVOLUTIONS) // 2, (last + CONVOLUTIONS) // 2
        first, last = first - CONVOLUTIONS, last + CONVOLUTIONS
        for _ in range(LEVELS):
            first, last = 2 * first - CONVOLUTIONS, 2 * last + 1 + CONVOLUTIONS
        farthest = max(farthest, pixel - first, last - pixel)
    return farthest
