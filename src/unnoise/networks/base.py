"""The base class of networks and the facts that they state."""

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
    """A module that maps noisy images to clean ones.

    Subclasses keep each constructor argument as an attribute of its name, so that `str(network)` is the spec that
    builds it again.

    Attributes:
        channels: number of channels of the input and the output.
        multiple_of: height and width must be multiples of this.
        halo: distance in pixels up to which an input pixel affects the output; None if it affects all of it.
        wants_sigma: whether `forward` needs sigma.
        margin: reflected pixels that are added beyond each border, since the network pads with zeros.
        export_outputs: names of what `export_form` returns.
        statistics_size: number of statistics of the whole image that `export_form` takes as a further input,
            `[1, size]`; if all of them are 0, it takes those of its input. 0 for no such input.
    """

    name: ClassVar[str]
    channels: int
    multiple_of: int = 1
    halo: int | None = None
    wants_sigma: bool = False
    margin: int = 8
    export_outputs: tuple[str, ...] = ("clean",)
    statistics_size: int = 0

    @abstractmethod
    def forward(self, noisy: torch.Tensor, sigma: torch.Tensor | None = None) -> torch.Tensor:
        """Denoise a batch.

        Args:
            noisy: `[B, C, H, W]`, nominally in [0, 1]; H and W multiples of `multiple_of`.
            sigma: standard deviation of the noise in [0, 1] units, `[B, 1, 1, 1]` or a map `[B, 1, H, W]`; required if
                `wants_sigma`.

        Returns:
            The denoised batch, `[B, C, H, W]`.
        """

    def forward_train(self, noisy: torch.Tensor, sigma: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        """Denoise a batch; return the `prediction` and whatever else a loss of this network needs."""
        return {"prediction": self(noisy, sigma)}

    def initialize_from(self, other: Network) -> None:
        """Initialize the weights from a trained network.

        Raises:
            UnnoiseError: its architecture is different, and not one that this network can be initialized from.
        """
        if str(other) != str(self):
            raise UnnoiseError(f"weights of {other} do not fit {self}")
        self.load_state_dict(other.state_dict())

    def export_form(self) -> nn.Module:
        """Return the module that is exported to ONNX; it returns `export_outputs`."""
        return self

    @property
    def parameter_count(self) -> int:
        """Number of parameters."""
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
    """Raise UnnoiseError unless each argument, or each item of a list, is an integer of at least 1."""
    for argument, value in counts.items():
        members = value if isinstance(value, tuple) else (value,)
        if not all(type(member) is int and member >= 1 for member in members):
            text = "/".join(map(str, members))
            raise UnnoiseError(f"{network}: {argument} takes integers of at least 1, got '{text}'")


def sigma_map(noisy: torch.Tensor, sigma: torch.Tensor | None) -> torch.Tensor:
    """Expand sigma to a map `[B, 1, H, W]` of the size of the image.

    Raises:
        UnnoiseError: `sigma` is missing.
    """
    if sigma is None:
        raise UnnoiseError("this network needs sigma: pass the noise level")
    return sigma.to(noisy.dtype).expand(noisy.shape[0], 1, *noisy.shape[2:])


@cache
def bf16_pays(device: str) -> bool:
    """Return whether a device, "cuda", "mps" or "cpu", is faster in bfloat16 than in float32.

    Not all processors with bfloat16 are: a convolution is timed, and has to be 25 % faster.
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
        for _ in range(4):  # the first is a warm-up
            start = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                torch.conv2d(features, kernels, padding=1)
            seconds.append(time.perf_counter() - start)
        return min(seconds)

    with torch.inference_mode():
        return 1.25 * fastest(bf16=True) < fastest(bf16=False)


def check_compiler(device: torch.device) -> None:
    """Check that PyTorch's compiler works.

    Raises:
        UnnoiseError: it does not, for example because there is no C compiler.
    """
    try:
        torch.compile(torch.sin)(torch.zeros(1, device=device))
    except Exception as error:
        why = str(error).partition("\n")[0]
        raise UnnoiseError(f"train.compile: PyTorch's compiler does not work here: {why}") from error
