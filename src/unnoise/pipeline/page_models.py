"""The denoiser of each page: pages of one channel share range, noise and model, those of other channels have theirs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from unnoise.denoisers.base import Denoiser, Sigma

T = TypeVar("T")
Model = tuple[Denoiser, Sigma | None]
"""A denoiser, as `DenoiseOptions.resolve` returns it, and the noise level to call it with."""


@dataclass(frozen=True)
class ByPage(Generic[T]):
    """Something of each page of a picture, the same for all pages of a channel.

    Attributes:
        channels: of each page.
        members: channel -> what it has.
    """

    channels: tuple[int, ...]
    members: Mapping[int, T]

    def __getitem__(self, page: int) -> T:
        """Return that of a page."""
        return self.members[self.channels[page]]


PageModels = ByPage[Model]


def noisiest(models: PageModels) -> Model:
    """Return the model of the noisiest channel, for reports; one that takes no noise level comes before all."""
    return max(models.members.values(), key=lambda model: np.inf if model[1] is None else float(np.mean(model[1])))


def by_channel(channels: Sequence[int], find: Callable[[list[int]], T]) -> ByPage[T]:
    """Find something for each channel, such as its model.

    Args:
        channels: of each page, as `Header.page_channels`.
        find: returns it for the pages of a channel, which are given by their numbers from 0.
    """
    members = {channel: [page for page, one in enumerate(channels) if one == channel] for channel in channels}
    return ByPage(tuple(channels), {channel: find(pages) for channel, pages in members.items()})
