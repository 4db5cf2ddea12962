"""The facts that a denoiser states and a model file holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ErrorModel = Mapping[int, tuple[float, ...]]
"""Number of channels -> coefficients of the expected error, see `uncertainty`."""


@dataclass(frozen=True)
class DenoiserInfo:
    """The facts that a denoiser states; see the attributes of `Denoiser`."""

    name: str = ""
    channels: int | None = None
    multiple_of: int = 1
    halo: int | None = None
    wants_sigma: bool = False
    margin: int = 0
    corrects_clipping: bool = False
    error_model: ErrorModel | None = None
    tile: int | None = None
    mosaic: bool = False
