"""Base class of denoisers that train a network on the image at hand and on no other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from unnoise.denoisers.base import Denoiser
from unnoise.errors import UnnoiseError
from unnoise.optional import require
from unnoise.spec import HasSpec


@dataclass(frozen=True)
class PerImageDenoiser(HasSpec, Denoiser):
    """A denoiser that trains on each image by itself; needs PyTorch.

    Args:
        steps: training steps.
        width: features of the network.
        seed: seed of everything random.
    """

    steps: int
    width: int
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the arguments, and that PyTorch is installed."""
        check_count(self, "steps", minimum=1)
        check_count(self, "width", minimum=1)
        check_count(self, "seed", minimum=0)
        require("torch", extra="train")


def check_count(denoiser: HasSpec, field: str, *, minimum: int) -> None:
    """Raise UnnoiseError unless a field is an integer of at least `minimum`."""
    value: Any = getattr(denoiser, field)
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise UnnoiseError(f"{denoiser.name}: {field} must be an integer of at least {minimum}, got '{value}'")
