"""A convolutional encoder and decoder that predicts the value of every pixel.

Convolutions and max pooling down, transposed convolutions and convolutions up, and a 1x1 convolution as the head of a
pixel-wise regression: the form of a segmentation network (Noh, Hong, Han, "Learning Deconvolution Network for Semantic
Segmentation", ICCV 2015, arXiv:1505.04366) with the values of the clean picture in the place of classes. What differs:
transposed convolutions in place of unpooling with remembered places, and no normalisation.

Plain, all that it knows of a picture must pass the coarsest level, and fine detail is lost there. With `skips` it is
a RED-Net (Mao, Shen, Yang, NIPS 2016, arXiv:1603.09056) with pooling: the features of each level are added to those of
the same size on the way up, and the picture to what the head predicts. It is not told the noise level.
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
        channels: channels of the picture.
        widths: features at each level, full size first; between two levels the size is halved.
        convolutions: at each level, on the way down and again on the way up.
        skips: add the features of the way down to those of the way up, and the picture to the prediction.
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
        if not isinstance(widths, tuple):  # a list of one is spelt as a number
            raise UnnoiseError("encoder_decoder: widths needs two levels or more, as in widths=32/64")
        if not isinstance(skips, bool):
            raise UnnoiseError(f"encoder_decoder: skips is true or false, not '{skips}'")
        self.channels, self.widths, self.convolutions, self.skips = channels, widths, convolutions, skips
        self.multiple_of = 2 ** (len(widths) - 1)
        self.halo = self._reach()
        steps = list(itertools.pairwise(widths))
        self.encoders = nn.ModuleList(
            _convolve(before, width, convolutions) for before, width in itertools.pairwise((channels, *widths))
        )
        # No bias: the convolution that follows brings one, and its gradient is slow on processors.
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(coarse, fine, kernel_size=2, stride=2, bias=False) for fine, coarse in steps
        )
        self.decoders = nn.ModuleList(_convolve(fine, fine, convolutions) for fine, _ in steps)
        self.head = nn.Conv2d(widths[0], channels, kernel_size=1)
        if skips:
            zero_init(self.head)

    def forward(self, noisy: torch.Tensor, sigma: torch.Tensor | None = None) -> torch.Tensor:
        """Clean `[B, C, H, W]`; `sigma` is not used."""
        features, levels = noisy, []
        for encode in self.encoders:
            features = encode(F.max_pool2d(features, 2) if levels else features)
            levels.append(features)
        for grow, decode, level in zip(reversed(self.up), reversed(self.decoders), levels[-2::-1], strict=True):
            features = grow(features)
            features = decode(features + level if self.skips else features)
        return noisy + self.head(features) if self.skips else self.head(features)

    def _reach(self) -> int:
        """Follow every place of the grid down and up again: how far its influence ends on the farther side."""
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
    """Return `count` 3x3 convolutions, each with its ReLU."""
    layers: list[nn.Module] = []
    for before in (inputs, *[width] * (count - 1)):
        convolution = conv3x3(before, width)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        layers += [convolution, nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
