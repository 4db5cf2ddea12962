"""Parts that several denoisers are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unnoise.denoisers import clipping
from unnoise.denoisers.base import Denoiser, Sigma
from unnoise.denoisers.model_card import Card
from unnoise.errors import UnnoiseError
from unnoise.optional import require
from unnoise.spec import HasSpec


class ExportedNetwork(Denoiser):
    """A network in an ONNX file, whichever engine runs it: the facts that its card states, and its inputs.

    Args:
        card: that of the file.
    """

    def __init__(self, card: Card) -> None:
        self.card, self.name = card, card.name
        self.channels, self.multiple_of, self.halo = card.channels, card.multiple_of, card.halo
        self.wants_sigma, self.margin, self.corrects_clipping = card.wants_sigma, card.margin, card.corrects_clipping
        if self.corrects_clipping:
            self.halo = clipping.reach(card.halo)

    def feed(self, noisy: np.ndarray, sigma: Sigma | None) -> dict[str, np.ndarray]:
        """Return the inputs: `noisy` `[1, C, H, W]` and, where it counts, `sigma` `[1, 1, H, W]`."""
        inputs = {"noisy": np.ascontiguousarray(noisy.transpose(2, 0, 1))[None]}
        if self.wants_sigma:
            level = np.broadcast_to(np.asarray(sigma, dtype=np.float32), noisy.shape[:2])
            inputs["sigma"] = np.ascontiguousarray(level)[None, None]
        return inputs


@dataclass(frozen=True)
class PerImageDenoiser(HasSpec, Denoiser):
    """What learns the picture at hand, and no other; it needs PyTorch.

    Args:
        steps: of learning.
        width: features of the network.
        seed: of all that is drawn.
    """

    steps: int
    width: int
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the arguments, and that PyTorch is there."""
        check_count(self, "steps", 1)
        check_count(self, "width", 1)
        check_count(self, "seed", 0)
        require("torch", extra="train")


def check_count(denoiser: HasSpec, field: str, low: int) -> None:
    """Raise UnnoiseError unless a field is a whole number of at least `low`."""
    value: Any = getattr(denoiser, field)
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise UnnoiseError(f"{denoiser.name}: {field} must be a whole number of at least {low}, not '{value}'")
