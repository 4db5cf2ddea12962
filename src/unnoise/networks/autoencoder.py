"""A dense autoencoder: a small image as one vector, compressed to a short code and decoded again.

The denoising autoencoder (Vincent, Larochelle, Bengio, Manzagol, "Extracting and Composing Robust Features with
Denoising Autoencoders", ICML 2008) in the plain form of MNIST tutorials: ReLU after every layer but the last, a sigmoid
there, Glorot uniform weights (Glorot and Bengio, AISTATS 2010) and zero biases, as in Keras' `Dense`.

It predicts the image, not the noise. It takes squares of one size only; any other image is denoised square by square,
each by itself. Its output is limited to what the code can represent: unfamiliar content is not kept as it is.
"""

from __future__ import annotations

import itertools
from typing import ClassVar

import torch
from torch import nn

from unnoise.errors import UnnoiseError
from unnoise.networks.base import Network, check_counts
from unnoise.networks.blocks import cut_squares, join_squares

Layers = int | tuple[int, ...] | None
MIRRORED = "mirrored"


class Autoencoder(Network):
    """Dense layers down to a code and up again.

    Args:
        code: units of the layer in the middle.
        hidden: units of each layer from the image to the code, in order; None for no layers.
        decoder: units of each layer from the code to the image, in order; "mirrored" for those of `hidden` reversed.
        size: side of the squares, in pixels.
        channels: number of channels.
    """

    name: ClassVar[str] = "autoencoder"
    margin = 0

    def __init__(
        self,
        code: int = 64,
        *,
        hidden: Layers = None,
        decoder: Layers | str = MIRRORED,
        size: int = 28,
        channels: int = 1,
    ) -> None:
        super().__init__()
        if isinstance(decoder, str) and decoder != MIRRORED:
            raise UnnoiseError(f"autoencoder: decoder takes integers, none or {MIRRORED}, got '{decoder}'")
        down = _listed(hidden)
        up = down[::-1] if isinstance(decoder, str) else _listed(decoder)
        check_counts(self.name, code=code, hidden=down, decoder=up, size=size, channels=channels)
        self.code, self.hidden, self.decoder, self.size, self.channels = code, hidden, decoder, size, channels
        self.multiple_of = self.halo = size
        pixels = channels * size**2
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise((pixels, *down, code, *up, pixels)):
            dense = nn.Linear(inputs, outputs)
            nn.init.xavier_uniform_(dense.weight)
            nn.init.zeros_(dense.bias)
            layers += [dense, nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1], nn.Sigmoid())

    def forward(self, noisy: torch.Tensor, sigma: torch.Tensor | None = None) -> torch.Tensor:
        """Denoise `[B, C, H, W]`, each square by itself, to values in [0, 1]; `sigma` is not used."""
        squares = cut_squares(noisy, self.size)
        clean = self.layers(squares.flatten(start_dim=1)).reshape(squares.shape)
        return join_squares(clean, *noisy.shape[2:])


def _listed(nodes: Layers) -> tuple[int, ...]:
    """Return layers as a list; in a spec, a list of one is a number."""
    if nodes is None:
        return ()
    return nodes if isinstance(nodes, tuple) else (nodes,)
