"""A dense autoencoder: a small picture as one vector, squeezed through a short code and unfolded again.

The denoising autoencoder (Vincent, Larochelle, Bengio, Manzagol, "Extracting and Composing Robust Features with
Denoising Autoencoders", ICML 2008) in the plain form that tutorials on MNIST give it: ReLU after every layer but the
last, a sigmoid there, weights drawn after Glorot and Bengio (AISTATS 2010) from a uniform distribution and biases of
zero, as Keras' `Dense` has them.

It predicts the picture, not the noise, knows squares of one size only, and cleans any other picture square by square,
each for itself. All that it can draw is what the code can tell: it does not leave what it has not learned as it is.
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
        code: nodes of the layer in the middle.
        hidden: nodes of each layer between picture and code, the picture's side first; None for none.
        decoder: nodes of each layer between code and picture, the code's side first; "mirrored" for those of `hidden`
            backwards.
        size: side of the squares, in pixels.
        channels: channels of the picture.
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
            raise UnnoiseError(f"autoencoder: decoder takes whole numbers, none or {MIRRORED}, not '{decoder}'")
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
        """Clean `[B, C, H, W]`, every square for itself, to values in [0, 1]; `sigma` is not used."""
        squares = cut_squares(noisy, self.size)
        clean = self.layers(squares.flatten(start_dim=1)).reshape(squares.shape)
        return join_squares(clean, *noisy.shape[2:])


def _listed(nodes: Layers) -> tuple[int, ...]:
    """Return layers as a list; the small language spells a list of one as a number."""
    if nodes is None:
        return ()
    return nodes if isinstance(nodes, tuple) else (nodes,)
