"""A network as a denoiser, in PyTorch, from memory or from a `.safetensors` file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors

from unnoise import networks
from unnoise.card import Card
from unnoise.denoisers.base import Denoiser, Sigma
from unnoise.errors import UnnoiseError


class Checkpoint(Denoiser):
    """A PyTorch network behind the contract of a denoiser.

    Args:
        network: the network; it is run in evaluation mode where its parameters lie.
        bf16: run convolutions in bfloat16, faster where the processor has it.
    """

    margin = 8

    def __init__(self, network: networks.Network, *, bf16: bool = False) -> None:
        self.network = network
        self.bf16 = bf16
        self.channels, self.multiple_of = network.channels, network.multiple_of
        self.halo, self.wants_sigma = network.halo, network.wants_sigma

    @torch.inference_mode()
    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Clean one picture."""
        device = next(self.network.parameters()).device
        batch = torch.from_numpy(np.ascontiguousarray(noisy.transpose(2, 0, 1))[None]).to(device)
        told = None
        if sigma is not None:
            level = np.asarray(sigma, dtype=np.float32)
            told = torch.from_numpy(level.reshape(1, 1, *(level.shape or (1, 1)))).to(device)
        learning = self.network.training
        self.network.eval()
        with torch.autocast(device.type, torch.bfloat16, enabled=self.bf16):
            clean = self.network(batch.contiguous(memory_format=torch.channels_last), told)
        self.network.train(learning)
        return clean[0].permute(1, 2, 0).float().cpu().numpy()


def save(network: networks.Network, card: Card, path: Path) -> None:
    """Write weights and card to a `.safetensors` file, at once or not at all."""
    tensors = {key: value.contiguous().cpu() for key, value in network.state_dict().items()}
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(save_tensors(tensors, metadata=card.to_metadata()))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load(path: str | Path) -> tuple[networks.Network, Card]:
    """Build the network that a `.safetensors` file describes, with its weights.

    Raises:
        UnnoiseError: the file is missing, is not safetensors, carries no card, or its weights do not fit.
    """
    tensors, metadata = _read(path)
    card = Card.from_metadata(metadata, str(path))
    network = networks.make(card.network)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise UnnoiseError(f"the weights in '{path}' do not fit the network {card.network}") from error
    return network, card


def _read(path: str | Path) -> tuple[dict[str, torch.Tensor], Mapping[str, str] | None]:
    try:
        with safe_open(str(path), framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118 (no iterator)
    except (OSError, SafetensorError) as error:
        raise UnnoiseError(f"cannot read the model '{path}': {error}") from error
