"""PyTorch networks as denoisers, in memory or from files: `.safetensors` with a card, or weights of other projects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors

from unnoise import networks
from unnoise.denoisers import clipping
from unnoise.denoisers.base import Denoiser, Sigma
from unnoise.denoisers.info import DenoiserInfo
from unnoise.denoisers.model_card import KEY, Card
from unnoise.errors import UnnoiseError
from unnoise.io.atomic import atomic_write
from unnoise.networks.base import bf16_pays

STATE_DICTS = (".pth", ".pt", ".ckpt")
"""Suffixes of files with weights alone, as other projects save them; spandrel tells the network."""


class TorchDenoiser(Denoiser):
    """A PyTorch network as a denoiser.

    Args:
        network: the network; it runs in evaluation mode on the device of its parameters.
        card: its card, which names it and says whether clipping has to be corrected; None for neither.
        bf16: run convolutions in bfloat16.
    """

    def __init__(self, network: networks.Network, card: Card | None = None, *, bf16: bool = False) -> None:
        self.network, self.card, self.bf16 = network, card, bf16
        info = card.info if card else DenoiserInfo()
        self.adopt(
            replace(
                info,
                channels=network.channels,
                multiple_of=network.multiple_of,
                halo=clipping.reach(network.halo) if info.corrects_clipping else network.halo,
                wants_sigma=network.wants_sigma,
                margin=network.margin,
            )
        )

    @torch.inference_mode()
    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Denoise one image."""
        device = next(self.network.parameters()).device
        batch = torch.from_numpy(np.ascontiguousarray(noisy.transpose(2, 0, 1))[None]).to(device)
        sigma_map = None
        if sigma is not None:
            values = np.asarray(sigma, dtype=np.float32)
            sigma_map = torch.from_numpy(values.reshape(1, 1, *(values.shape or (1, 1)))).to(device)
        training = self.network.training
        self.network.eval()
        with torch.autocast(device.type, torch.bfloat16, enabled=self.bf16):
            clean = self.network(batch.contiguous(memory_format=torch.channels_last), sigma_map)
        self.network.train(training)
        return clean[0].permute(1, 2, 0).float().cpu().numpy()


def open_model(path: Path, *, accelerate: bool) -> TorchDenoiser:
    """Open a `.safetensors` file, or weights of another project, as a denoiser.

    Args:
        path: the file.
        accelerate: use CUDA or Apple's GPU if there is one, and bfloat16 where it is faster; otherwise the processor
            and float32.

    Raises:
        UnnoiseError: as `load`.
    """
    network, card = load(path)
    if not accelerate:
        return TorchDenoiser(network, card)
    device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return TorchDenoiser(network, card, bf16=bf16_pays(device) and getattr(network, "bf16", True))


def save(network: networks.Network, card: Card, path: Path, *, half: bool = False) -> None:
    """Write weights and card to a `.safetensors` file, atomically; as 16-bit floats if `half`."""
    tensors = {
        key: (value.half() if half and value.is_floating_point() else value).contiguous().cpu()
        for key, value in network.state_dict().items()
    }
    with atomic_write(path) as temporary:
        temporary.write_bytes(save_tensors(tensors, metadata=card.to_metadata()))


def load(path: str | Path) -> tuple[networks.Network, Card]:
    """Build the network of a model file, with its weights.

    Args:
        path: a `.safetensors` file with a card; or a state dict of another project, which spandrel recognizes: one of
            `STATE_DICTS` or a `.safetensors` file without a card.

    Raises:
        UnnoiseError: the file is missing, damaged, or of a network that is not known, its weights do not fit, or
            spandrel is needed and not installed.
    """
    if Path(path).suffix.lower() in STATE_DICTS:
        return _adapt(_read_weights(path), path)
    tensors, metadata = _read(path)
    if KEY not in (metadata or {}):
        try:
            return _adapt(tensors, path)
        except UnnoiseError as error:
            raise UnnoiseError(f"'{path}' has no valid card of an unnoise model, and {error}") from error
    card = Card.from_metadata(metadata, str(path))
    network = networks.make(card.network)
    network.margin = card.margin
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise UnnoiseError(f"the weights in '{path}' do not fit the network {card.network}") from error
    return network, card


def load_state_dict(network: networks.Network, path: str | Path) -> None:
    """Load the weights of a network from a `.pt` file with a state dict.

    Only tensors are read; a file with anything else, such as code, is rejected.

    Raises:
        UnnoiseError: the file is missing, has other contents, or its weights do not fit.
    """
    tensors = _read_weights(path)
    if not all(isinstance(value, torch.Tensor) for value in tensors.values()):
        raise UnnoiseError(f"'{path}' contains no weights: expected a state dict of names and tensors")
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise UnnoiseError(f"the weights in '{path}' do not fit the network {network}") from error


def initialize_from(network: networks.Network, start: str | Path) -> str:
    """Initialize a network with the weights of a trained one; return how those were trained, for the card.

    Raises:
        UnnoiseError: the model cannot be read, or its network is incompatible.
    """
    if Path(start).suffix == ".pt":
        load_state_dict(network, start)
        return f"weights of {Path(start).name}, then "
    trained, card = load(start)
    try:
        network.initialize_from(trained)
    except UnnoiseError as error:
        raise UnnoiseError(f"the network of this recipe cannot be initialized from '{start}': {error}") from error
    return f"{card.trained}, then "


def device(wanted: str | None = None) -> str:
    """Return the device to use, "cpu" or "cuda"; None selects a GPU if there is one.

    Raises:
        UnnoiseError: `wanted` is "cuda", and there is none.
    """
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise UnnoiseError("device 'cuda' is not available to PyTorch: set it to 'cpu'")
    return wanted or ("cuda" if available else "cpu")


def _adapt(tensors: Mapping[str, Any], path: str | Path) -> tuple[networks.Network, Card]:
    from unnoise.denoisers import spandrel  # slow to import, and from an extra

    return spandrel.adapt(tensors, Path(path))


def _read_weights(path: str | Path) -> Mapping[str, Any]:
    """Read a state dict that `torch.save` wrote, perhaps inside other mappings; nothing else is unpickled."""
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UnnoiseError(f"cannot read the weights '{path}': {error.strerror or error}") from error
    except Exception as error:  # a corrupt file can raise anything
        raise UnnoiseError(f"'{path}' cannot be loaded: it is corrupt, or contains more than weights") from error
    if not isinstance(tensors, Mapping):
        raise UnnoiseError(f"'{path}' contains no weights: expected a state dict of names and tensors")
    return tensors


def _read(path: str | Path) -> tuple[dict[str, torch.Tensor], Mapping[str, str] | None]:
    try:
        with safe_open(str(path), framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118 (no iterator)
    except (OSError, SafetensorError) as error:
        raise UnnoiseError(f"cannot read the model '{path}': {error}") from error
