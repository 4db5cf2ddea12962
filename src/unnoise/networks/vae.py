"""A convolutional variational autoencoder: the image is encoded as a few numbers and decoded again.

Kingma, Welling, "Auto-Encoding Variational Bayes", ICLR 2014, arXiv:1312.6114: the encoder gives mean and log-variance
of each number of the code, training samples the code from these, and the loss `kl` keeps it close to a standard normal.
The encoder is three strided 4x4 convolutions and a linear layer, the decoder the reverse, ending in a sigmoid.

It is not a good denoiser, and included as an example: 128 numbers cannot represent the 49,152 values of an image of
128x128, so the output is a blurred version of what such images look like.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from unnoise.errors import UnnoiseError
from unnoise.networks.base import Network, check_counts
from unnoise.networks.blocks import cut_squares, join_squares

LEVELS = 3
_SPREAD = 20.0  # largest log-variance, so that its exponential is finite


class VAE(Network):
    """Variational autoencoder of images of one size; larger ones are denoised square by square.

    In training mode the code is sampled in each call; in evaluation mode it is the mean.

    Args:
        channels: number of channels.
        size: side of a square, in pixels, a multiple of 8.
        code: length of the code.
        width: features at half size; they double with each further level.
    """

    name: ClassVar[str] = "vae"
    margin = 0

    def __init__(self, *, channels: int = 3, size: int = 128, code: int = 128, width: int = 32) -> None:
        super().__init__()
        check_counts(self.name, channels=channels, size=size, code=code, width=width)
        if size % 2**LEVELS:
            raise UnnoiseError(f"vae: size must be a multiple of {2**LEVELS}, got {size}")
        self.channels, self.size, self.code, self.width = channels, size, code, width
        self.multiple_of = self.halo = size
        widths = [width * 2**level for level in range(LEVELS)]
        folded = (widths[-1], size // 2**LEVELS, size // 2**LEVELS)
        values = folded[0] * folded[1] * folded[2]
        down: list[nn.Module] = []
        for inputs, outputs in zip([channels, *widths[:-1]], widths, strict=True):
            down += [nn.Conv2d(inputs, outputs, kernel_size=4, stride=2, padding=1), nn.ReLU(inplace=True)]
        self.encoder = nn.Sequential(*down, nn.Flatten())
        self.mean, self.log_variance = nn.Linear(values, code), nn.Linear(values, code)
        up: list[nn.Module] = [nn.Linear(code, values), nn.ReLU(inplace=True), nn.Unflatten(1, folded)]
        for inputs, outputs in zip(reversed(widths), [*reversed(widths[:-1]), channels], strict=True):
            # No bias: on processors its gradient takes longer than the rest.
            up += [nn.ConvTranspose2d(inputs, outputs, kernel_size=4, stride=2, padding=1, bias=False)]
            up += [nn.ReLU(inplace=True)]
        self.decoder = nn.Sequential(*up[:-1], nn.Sigmoid())

    def forward(self, noisy: torch.Tensor, sigma: torch.Tensor | None = None) -> torch.Tensor:
        """Denoise `[B, C, H, W]`; `sigma` is not used."""
        return self.forward_train(noisy, sigma)["prediction"]

    def forward_train(self, noisy: torch.Tensor, sigma: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        """Denoise a batch; return the `prediction`, and `mean` and `log_variance` of its codes, `[squares, code]`."""
        features = self.encoder(cut_squares(noisy, self.size))
        mean, log_variance = self.mean(features), self.log_variance(features).clamp(max=_SPREAD)
        drawn = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean) if self.training else mean
        clean = join_squares(self.decoder(drawn), *noisy.shape[2:])
        return {"prediction": clean, "mean": mean, "log_variance": log_variance}
