"""A denoiser for images whose channels are not one color image: each group of channels has a denoiser of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unnoise.denoisers.base import Denoiser, Sigma
from unnoise.denoisers.info import DenoiserInfo


@dataclass(frozen=True)
class Member:
    """A denoiser of some channels.

    Attributes:
        group: the channels.
        denoiser: set to their noise, and to their value range.
        sigma: noise level to call it with.
    """

    group: slice
    denoiser: Denoiser
    sigma: Sigma | None


class Grouped(Denoiser):
    """Denoises each group of channels as an image of its own.

    Args:
        members: one for each group; together they cover all channels, in order.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = tuple(members)
        inside = [member.denoiser for member in self.members]
        estimates = [one.estimate for one in inside if one.estimate is not None]
        self.estimate = max(estimates, key=lambda estimate: (estimate.sigma, estimate.impulses), default=None)
        halos = [one.halo for one in inside]
        sizes = [one.tile for one in inside if one.tile is not None]
        self.adopt(
            DenoiserInfo(
                name=", ".join(dict.fromkeys(map(str, inside))),
                multiple_of=math.lcm(*(one.multiple_of for one in inside)),
                halo=None if None in halos else max(halo for halo in halos if halo is not None),
                tile=min(sizes, default=None),
            )
        )

    @property
    def sigma(self) -> float | None:
        """Noise level of the noisiest channel; None if a member takes none."""
        known = [float(np.mean(member.sigma)) for member in self.members if member.sigma is not None]
        return max(known) if len(known) == len(self.members) else None

    def __call__(self, noisy: np.ndarray, sigma: Sigma | None = None) -> np.ndarray:
        """Denoise an image, each member with its own `sigma`, whatever is given here."""
        return self.run(self.checked(noisy), sigma)

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Denoise one image."""
        parts = [member.denoiser(noisy[:, :, member.group], member.sigma) for member in self.members]
        return np.concatenate(parts, axis=2)
