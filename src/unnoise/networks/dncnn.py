"""DnCNN: a plain stack of convolutions that predicts the noise.

Zhang, Zuo, Chen, Meng, Zhang, "Beyond a Gaussian Denoiser: Residual Learning of Deep CNN for Image Denoising", IEEE
TIP 26(7), 2017, arXiv:1608.03981. As in the paper: 3x3 convolutions of 64 features, ReLU, batch normalization in every
layer but the first and last, and the residual R = noise as output, x = y - R. It is blind: sigma is not an input.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import nn

from unnoise.errors import UnnoiseError
from unnoise.networks.base import Network, check_counts
from unnoise.networks.blocks import conv3x3


class DnCNN(Network):
    """Denoising convolutional network with residual learning.

    Args:
        channels: number of channels.
        depth: number of convolutions; the paper has 17 for one known sigma and 20 for a blind or color network.
        width: features of each hidden layer.
        norm: use batch normalization in the hidden layers.
    """

    name: ClassVar[str] = "dncnn"

    def __init__(self, *, channels: int = 3, depth: int = 17, width: int = 64, norm: bool = True) -> None:
        super().__init__()
        check_counts(self.name, channels=channels, depth=depth, width=width)
        if depth < 2:
            raise UnnoiseError(f"dncnn: depth must be at least 2, got {depth}")
        self.channels, self.depth, self.width, self.norm = channels, depth, width, norm
        self.halo = depth
        layers: list[nn.Module] = [conv3x3(channels, width), nn.ReLU(inplace=True)]
        for _ in range(depth - 2):
            layers.append(conv3x3(width, width, bias=not norm))
            if norm:
                layers.append(nn.BatchNorm2d(width))
            layers.append(nn.ReLU(inplace=True))
        layers.append(conv3x3(width, channels, bias=not norm))
        self.layers = nn.Sequential(*layers)
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if isinstance(layer, nn.BatchNorm2d):
                _start_small(layer.weight)

    def forward(self, noisy: torch.Tensor, sigma: torch.Tensor | None = None) -> torch.Tensor:
        """Denoise `[B, C, H, W]`; `sigma` is not used."""
        return noisy - self.layers(noisy)


@torch.no_grad()
def _start_small(scale: torch.Tensor) -> None:
    """Initialize the scales of a normalization as in the authors' code: small, but at least 0.025 in magnitude.

    With scales of 1, training stays at the PSNR of the noisy image for its first hundreds of steps.
    """
    nn.init.normal_(scale, std=math.sqrt(2 / (9 * len(scale))))
    scale.copy_(torch.where(scale < 0, scale.clamp(max=-0.025), scale.clamp(min=0.025)))
