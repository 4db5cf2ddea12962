"""A convolutional encoder and decoder that predicts the value of every pixel.

Convolutions and max pooling down, transposed convolutions and convolutions up, and a 1x1 convolution as the head of a
pixel-wise regression: the form of a segmentation network (Noh, Hong, Han, "Learning Deconvolution Network for Semantic
Segmentation", ICCV 2015, arXiv:1505.04366) with the values of the clean image in place of classes. Unlike there,
transposed convolutions replace unpooling with stored indices, and there is no normalization.

Without skips, everything passes through the coarsest level, where fine detail is lost. With `skips` it is a RED-Net
(Mao, Shen, Yang, NIPS 2016, arXiv:1603.09056) with pooling: the features of each level are added to those of the same
size in the decoder, and the input to the output of the head. It is blind: sigma is not an input.
"""

from __future__ import annotations

import itertools
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from unnoise.errors import UnnoiseError
from unnoise.networks.base import Network, check_counts
from unnoise.networks.blocks import conv3x3, zero_init


class EncoderDecoder(Network):
    """Encoder-decoder for pixel-wise regression.

    Args:
        channels: number of channels.
        widths: features at each level, full size first; the size is halved between two levels.
        convolutions: number of convolutions at each level, in the encoder and in the decoder.
        skips: add the features of the encoder to those of the decoder, and the input to the output.
    """

    name: ClassVar[str] = "encoder_decoder"

    def __init__(
        self,
        *,
        channels: int = 3,
        widths: tuple[int, ...] = (32, 64, 128),
        convolutions: int = 2,
        skips: bool = False,
    ) -> None:
        super().__init__()
        check_counts(self.name, channels=channels, widths=widths, convolutions=convolutions)
        if not isinstance(widths, tuple):  # in a spec, a list of one is a number
            raise UnnoiseError("encoder_decoder: widths needs at least two levels, such as widths=32/64")
        if not isinstance(skips, bool):
            raise UnnoiseError(f"encoder_decoder: skips must be true or false, got '{skips}'")
        self.channels, self.widths, self.convolutions, self.skips = channels, widths, convolutions, skips
        self.multiple_of = 2 ** (len(widths) - 1)
        self.halo = self._reach()
        steps = list(itertools.pairwise(widths))
        self.encoders = nn.ModuleList(
            _convolve(before, width, convolutions) for before, width in itertools.pairwise((channels, *widths))
        )
        # No bias: the next convolution has one, and its gradient is slow on processors.
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(coarse, fine, kernel_size=2, stride=2, bias=False) for fine, coarse in steps
        )
        self.decoders = nn.ModuleList(_convolve(fine, fine, convolutions) for fine, _ in steps)
        self.head = nn.Conv2d(widths[0], channels, kernel_size=1)
        if skips:
            zero_init(self.head)

    def forward(self, noisy: torch.Tensor, sigma: torch.Tensor | None = None) -> torch.Tensor:
        """Denoise `[B, C, H, W]`; `sigma` is not used."""
        features, levels = noisy, []
        for encode in self.encoders:
            features = encode(F.max_pool2d(features, 2) if levels else features)
            levels.append(features)
        for grow, decode, level in zip(reversed(self.up), reversed(self.decoders), levels[-2::-1], strict=True):
            features = grow(features)
            features = decode(features + level if self.skips else features)
        return noisy + self.head(features) if self.skips else self.head(features)

    def _reach(self) -> int:
        """Return the halo: the farthest output pixel that any input pixel affects, over all positions in the grid."""
        levels, farthest = len(self.widths), 0
        for place in range(self.multiple_of):
            low = high = place
            for level in range(levels):
                low, high = (low // 2, high // 2) if level else (low, high)
                low, high = low - self.convolutions, high + self.convolutions
            for _ in range(levels - 1):
                low, high = 2 * low - self.convolutions, 2 * high + 1 + self.convolutions
            farthest = max(farthest, place - low, high - place)
        return farthest


def _convolve(inputs: int, width: int, count: int) -> nn.Sequential:
    """Return `count` 3x3 convolutions, each followed by ReLU."""
    layers: list[nn.Module] = []
    for before in (inputs, *[width] * (count - 1)):
        convolution = conv3x3(before, width)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        layers += [convolution, nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
