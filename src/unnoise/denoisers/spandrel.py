"""Networks of other projects: state dicts in the layout of their authors, recognized and built by spandrel.

spandrel reads the architecture and its sizes off the names and shapes of the weights. What it does not state is added
here: the noise level that a network takes as a further channel, the distance it sees, and the grid it pads to itself.
"""

from __future__ import annotations

import importlib.util
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from unnoise.denoisers import torchvision_stand_in
from unnoise.denoisers.model_card import Card
from unnoise.errors import UnnoiseError
from unnoise.networks import Network
from unnoise.networks.base import sigma_map
from unnoise.optional import require

with torchvision_stand_in.importable():
    spandrel: Any = require("spandrel", extra="spandrel")

_CONDITIONED = {"DRUNet": "gaussian:0..50", "FDnCNN": "gaussian:0..75", "FFDNet": "gaussian:0..75"}
"""Architectures that take a map of sigma as their last channel, and the noise that their authors train them on."""
_TILE, _BLENDED_TILE = 768, 512
"""Sides of tiles, with and without a finite reach: most published networks then take 1 to 3 GB, for any image."""
_CONVOLUTIONAL = ("DnCNN", *_CONDITIONED)
"""Architectures that are convolutions and activations, whose modules stand in the order in which they run."""


@dataclass(frozen=True)
class _Facts:
    """What a state dict is: its architecture, the channels of its images, and the grid of its input."""

    kind: str
    channels: int
    multiple_of: int


class AdaptedNetwork(Network):
    """A network built by spandrel, as a network of this package.

    Args:
        model: the module.
        facts: what it is.
        bf16: whether it may run in bfloat16.
    """

    name = "spandrel"
    margin = 0  # their authors add none

    def __init__(self, model: nn.Module, facts: _Facts, *, bf16: bool) -> None:
        super().__init__()
        self.model, self.kind, self.bf16 = model, facts.kind, bf16
        self.channels, self.multiple_of = facts.channels, facts.multiple_of
        self.wants_sigma = facts.kind in _CONDITIONED
        self.halo = _reach(model, facts.kind) if facts.kind in _CONVOLUTIONAL else None

    def __str__(self) -> str:
        """Return the architecture, such as "spandrel:DRUNet"."""
        return f"{self.name}:{self.kind}"

    def forward(self, noisy: torch.Tensor, sigma: torch.Tensor | None = None) -> torch.Tensor:
        """Denoise a batch; see `Network.forward`."""
        if not self.wants_sigma:
            clean = self.model(noisy)
            return clean[0] if isinstance(clean, tuple) else clean  # FBCNN also returns the quality it sees
        level = sigma_map(noisy, sigma)
        if self.kind != "FFDNet":
            return self.model(torch.cat([noisy, level], dim=1))
        halves = torch.cat([F.pixel_unshuffle(noisy, 2), F.avg_pool2d(level, 2)], dim=1)
        return F.pixel_shuffle(self.model(halves), 2)


def adapt(weights: Mapping[str, Any], source: Path) -> tuple[AdaptedNetwork, Card]:
    """Build the network of a state dict, and a card that says what is known of it.

    Args:
        weights: names and tensors, perhaps inside another mapping, as training frameworks save them.
        source: the file, which names the model.

    Raises:
        UnnoiseError: spandrel does not know the architecture, or it does not map an image to one of the same size.
    """
    descriptor = _recognize(weights, source)
    facts = _facts(descriptor, source)
    network = AdaptedNetwork(descriptor.model, facts, bf16=descriptor.supports_bfloat16).eval()
    _check(network, source)
    summary = f"{facts.kind}, from weights of its authors' layout, which do not say how they were trained"
    card = Card(
        name=source.stem,
        network=str(network),
        channels=network.channels,
        noise=_CONDITIONED.get(facts.kind, ""),
        summary=summary,
        multiple_of=network.multiple_of,
        halo=network.halo,
        wants_sigma=network.wants_sigma,
        margin=network.margin,
        tile=_BLENDED_TILE if network.halo is None else _TILE,
        task="",
        data_licence="not stated in the file",
        licence="not stated in the file",
    )
    return network, card


def _recognize(weights: Mapping[str, Any], source: Path) -> Any:
    """Return spandrel's descriptor of a state dict."""
    if importlib.util.find_spec("spandrel_extra_arches"):  # Restormer and others, under licenses that restrict use
        with torchvision_stand_in.importable():
            importlib.import_module("spandrel_extra_arches").install(ignore_duplicates=True)
    state = spandrel.canonicalize_state_dict(dict(weights))
    if not state or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UnnoiseError(f"'{source}' contains no weights: expected a state dict of names and tensors")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch.meshgrid, as authors called it at the time
            descriptor = spandrel.ModelLoader().load_from_state_dict(state)
    except spandrel.UnsupportedModelError as error:
        more = "Restormer and MPRNet need the package spandrel_extra_arches as well; mind their licenses"
        raise UnnoiseError(f"'{source}' has weights of an architecture that spandrel does not know; {more}") from error
    except Exception as error:  # the sizes are read off the shapes, by code of each architecture
        raise UnnoiseError(f"'{source}' has weights that spandrel cannot load: {_first_line(error)}") from error
    if not isinstance(descriptor, spandrel.ImageModelDescriptor) or descriptor.scale != 1:
        does = "enlarges images" if getattr(descriptor, "scale", 1) != 1 else "fills in parts of images"
        raise UnnoiseError(f"'{source}' is not a denoiser: {descriptor.architecture.name} {does}")
    return descriptor


def _facts(descriptor: Any, source: Path) -> _Facts:
    kind, model, needs = descriptor.architecture.id, descriptor.model, descriptor.size_requirements
    channels, grid = descriptor.output_channels, max(needs.multiple_of, needs.minimum)
    if needs.square:
        raise UnnoiseError(f"'{source}': {kind} takes square images only")
    if kind == "DnCNN" and model.mode == "FDnCNN":
        kind = "FDnCNN"
        if channels in (4, 12):  # FFDNet is FDnCNN on the four images of every second pixel
            kind, channels, grid = "FFDNet", channels // 4, 2
    if kind == "SCUNet":
        grid = 64
    elif kind == "SwinIR":
        grid = model.window_size
    elif kind == "NAFNet":
        grid = model.padder_size
    if channels not in (1, 3):
        raise UnnoiseError(f"'{source}': {kind} takes images of {channels} channels, not gray or color")
    return _Facts(kind, channels, max(grid, 1))


def _check(network: AdaptedNetwork, source: Path) -> None:
    """Raise UnnoiseError unless the network maps an image of the smallest size to one of that size."""
    image = torch.zeros(1, network.channels, network.multiple_of, network.multiple_of)
    try:
        with torch.inference_mode():
            clean = network(image, torch.zeros(1, 1, 1, 1))
        fits = isinstance(clean, torch.Tensor) and clean.shape == image.shape
    except Exception as error:
        raise UnnoiseError(f"'{source}': {network.kind} cannot run here: {_first_line(error)}") from error
    if not fits:
        raise UnnoiseError(f"'{source}' is not a denoiser: {network.kind} does not return an image of the same size")


def _reach(model: nn.Module, kind: str) -> int:
    """Return the radius in pixels that a chain of convolutions sees, skips aside; to be aligned to its coarsest grid.

    A kernel of k adds k // 2 pixels of the grid it works on, and one with a stride also makes that grid coarser.
    """
    scale = 2.0 if kind == "FFDNet" else 1.0
    radius = scale - 1
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            radius += scale * (layer.kernel_size[0] // 2)
            scale *= layer.stride[0]
        elif isinstance(layer, nn.ConvTranspose2d):
            scale /= layer.stride[0]
            radius += scale * (layer.kernel_size[0] // 2)
        elif isinstance(layer, nn.PixelShuffle):
            scale /= layer.upscale_factor
        elif isinstance(layer, nn.Upsample):
            scale /= float(layer.scale_factor or 1)  # type: ignore[arg-type]
        elif isinstance(layer, nn.MaxPool2d | nn.AvgPool2d):
            radius += scale
            scale *= int(layer.stride)  # type: ignore[arg-type]
    return math.ceil(radius)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
