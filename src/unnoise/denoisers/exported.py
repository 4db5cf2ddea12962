"""Base class of networks in ONNX files, for every engine that runs them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unnoise.denoisers.base import Denoiser, Sigma
from unnoise.denoisers.model_card import Card


class ExportedNetwork(Denoiser):
    """A network in an ONNX file; subclasses run it.

    Args:
        card: card of the file.
    """

    def __init__(self, card: Card) -> None:
        self.card = card
        self.adopt(card.info)

    def feed(self, noisy: np.ndarray, sigma: Sigma | None) -> dict[str, np.ndarray]:
        """Return the inputs: `noisy` `[1, C, H, W]` and, if it is used, `sigma` `[1, 1, H, W]`."""
        inputs = {"noisy": np.ascontiguousarray(noisy.transpose(2, 0, 1))[None]}
        if self.wants_sigma:
            sigma_map = np.broadcast_to(np.asarray(sigma, dtype=np.float32), noisy.shape[:2])
            inputs["sigma"] = np.ascontiguousarray(sigma_map)[None, None]
        return inputs


def portable(model: str | Path | bytes) -> Path | bytes:
    """Return what reopens a model in another process, perhaps on another machine: the contents of its file."""
    return model if isinstance(model, bytes) else Path(model).read_bytes()
