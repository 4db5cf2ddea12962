"""The features of VGG16 that LPIPS and DISTS compare, and their weights, read from PyTorch's cache.

piq takes the network from torchvision, which does not load beside every build of PyTorch, and reads its weights as
pickles. Here it is built in PyTorch alone (Simonyan and Zisserman, "Very deep convolutional networks for large-scale
image recognition", ICLR 2015, configuration D), and only tensors are read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from unnoise.errors import UnnoiseError

FILE = "vgg16-397923af.pth"
"""torchvision's name of its weights."""
_WIDTHS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels and convolutions of each size


def cache() -> Path:
    """Return the folder in which PyTorch keeps weights."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def features() -> nn.Sequential:
    """Return the convolutional part of VGG16, numbered as torchvision's."""
    layers: list[nn.Module] = []
    channels = 3
    for width, count in _WIDTHS:
        for _ in range(count):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


@contextlib.contextmanager
def from_cache(perceptual: Any) -> Iterator[None]:
    """Let the metrics of `piq.perceptual` be made of the files in the cache.

    Raises:
        UnnoiseError: a file is damaged, or of something else.
    """
    before = perceptual.vgg16, torch.hub.load_state_dict_from_url
    perceptual.vgg16 = lambda **_: SimpleNamespace(features=_trained())
    torch.hub.load_state_dict_from_url = lambda url, **_: _read(cache() / url.rpartition("/")[2])  # type: ignore[assignment]
    try:
        yield
    finally:
        perceptual.vgg16, torch.hub.load_state_dict_from_url = before


def _trained() -> nn.Sequential:
    network, file = features(), cache() / FILE
    try:
        found = {key.removeprefix("features."): value for key, value in _read(file).items() if "features." in key}
        network.load_state_dict(found)
    except (RuntimeError, AttributeError) as error:
        raise UnnoiseError(f"'{file}' does not hold the weights of VGG16") from error
    return network


def _read(file: Path) -> Any:
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can raise anything
        raise UnnoiseError(f"'{file}' cannot be loaded: it is corrupt, or contains more than weights") from error
