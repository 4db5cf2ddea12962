"""What a network is, and the facts that it states about itself."""

from __future__ import annotations

import time
from abc import abstractmethod
from functools import cache
from typing import ClassVar

import torch
from torch import nn

from unnoise.errors import UnnoiseError
from unnoise.spec import HasSpec


class Network(HasSpec, nn.Module):
    """A module that maps noisy pictures to clean ones.

    Members keep each constructor argument under its own name, so that `str(network)` is the spec that builds it again.

    Attributes:
        channels: channels of the picture, in and out.
        multiple_of: height and width must be multiples of this.
        halo: how far, in pixels, an input pixel can reach into the output; None when it reaches everywhere.
        wants_sigma: whether `forward` needs the noise level.
        margin: mirrored pixels that a picture is given beyond each border, where the network's world ends in zeros.
    """

    name: ClassVar[str]
    channels: int
    multiple_of: int = 1
    halo: int | None = None
    wants_sigma: bool = False
    margin: int = 8

    @abstractmethod
    def forward(self, noisy: torch.Tensor, sigma: torch.Tensor | None = None) -> torch.Tensor:
        """Clean a batch.

        Args:
            noisy: `[B, C, H, W]`, nominally in [0, 1]; H and W multiples of `multiple_of`.
            sigma: noise deviation in [0, 1] units, `[B, 1, 1, 1]` or a map `[B, 1, H, W]`, where `wants_sigma`.

        Returns:
            The clean batch, `[B, C, H, W]`.
        """

    def forward_train(self, noisy: torch.Tensor, sigma: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        """Clean a batch and return beside the `prediction` whatever else a loss of this network needs."""
        return {"prediction": self(noisy, sigma)}

    def initialize_from(self, other: Network) -> None:
        """Take over the weights of a trained network, to go on from.

        Raises:
            UnnoiseError: it is another network than this, and not one that this one knows to begin from.
        """
        if str(other) != str(self):
            raise UnnoiseError(f"weights of {other} do not fit {self}")
        self.load_state_dict(other.state_dict())

    @property
    def parameter_count(self) -> int:
        """Number of learned values."""
        return sum(parameter.numel() for parameter in self.parameters())


def multiply_adds(network: Network) -> float:
    """Count the multiplications of convolutions and linear layers for one pixel of the picture, borders left aside.

    A network that takes pictures of one size only is counted on that.
    """
    counted: list[float] = []

    def count(layer: nn.Module, given: tuple[torch.Tensor, ...], made: torch.Tensor) -> None:
        # A transposed convolution spends its kernel on each input, any other layer on each output.
        weight = next(layer.parameters())
        transposed = isinstance(layer, nn.ConvTranspose2d)
        places = (given[0][:, 0] if transposed else made[:, 0]).numel()
        counted.append(places * weight.numel())

    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    training = network.training
    network.eval()
    try:
        side = network.multiple_of
        picture = torch.zeros(1, network.channels, side, side, device=next(network.parameters()).device)
        with torch.no_grad():
            network(picture, picture.new_zeros(1, 1, 1, 1) if network.wants_sigma else None)
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    return sum(counted) / side**2


def check_counts(network: str, **counts: int | tuple[int, ...]) -> None:
    """Raise UnnoiseError unless each argument, or each member of one, is a whole number of at least 1."""
    for argument, value in counts.items():
        members = value if isinstance(value, tuple) else (value,)
        if not all(type(member) is int and member >= 1 for member in members):
            spelt = "/".join(map(str, members))
            raise UnnoiseError(f"{network}: {argument} takes whole numbers of at least 1, not '{spelt}'")


def sigma_map(noisy: torch.Tensor, sigma: torch.Tensor | None) -> torch.Tensor:
    """Spread the noise level to a map `[B, 1, H, W]` beside the picture.

    Raises:
        UnnoiseError: `sigma` is missing.
    """
    if sigma is None:
        raise UnnoiseError("this network needs the noise level: pass sigma")
    return sigma.to(noisy.dtype).expand(noisy.shape[0], 1, *noisy.shape[2:])


@cache
def bf16_pays(device: str) -> bool:
    """Say whether a device, "cuda", "mps" or "cpu", is faster in bfloat16 than in float32.

    Of processors, only some of those that have it are: a convolution is tried, and has to be a quarter faster.
    """
    if device != "cpu":
        return device == "mps" or torch.cuda.is_bf16_supported()
    has = torch.cpu.get_capabilities()
    if not any(has.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16")):
        return False
    features, kernels = (
        torch.zeros(shape).contiguous(memory_format=torch.channels_last)
        for shape in ((1, 32, 128, 128), (32, 32, 3, 3))
    )

    def fastest(*, bf16: bool) -> float:
        seconds = []
        for _ in range(4):  # the first one warms up
            start = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                torch.conv2d(features, kernels, padding=1)
            seconds.append(time.perf_counter() - start)
        return min(seconds)

    with torch.inference_mode():
        return 1.25 * fastest(bf16=True) < fastest(bf16=False)


def check_compiler(device: torch.device) -> None:
    """See that PyTorch's compiler finds what it needs.

    Raises:
        UnnoiseError: it does not.
    """
    try:
        torch.compile(torch.sin)(torch.zeros(1, device=device))
    except Exception as error:
        why = str(error).partition("\n")[0]
        raise UnnoiseError(f"train.compile: PyTorch's compiler does not work here: {why}") from error
