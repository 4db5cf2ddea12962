"""Check, before the work, that a Zarr store can be denoised and written; say what of it is not denoised."""

from __future__ import annotations

import logging
from pathlib import Path

from unnoise.errors import UnnoiseError
from unnoise.io import zarr_store
from unnoise.io.zarr_store import Store

log = logging.getLogger(__name__)

_NAMED = 8  # arrays that are named; more are counted


def open_checked(source: Path, target: Path, max_pixels: int, error_map: Path | None = None) -> Store:
    """Open a store; warn of the arrays in it that stay as they are.

    Args:
        source: the store.
        target: the output.
        max_pixels: limit of the pixels of all planes.
        error_map: None, since there is none of stores.

    Raises:
        UnnoiseError: as `zarr_store.open_store` and `zarr_store.check_output`, or an error map is wanted.
    """
    if error_map is not None:
        raise UnnoiseError(f"{source}: there is no error map of a Zarr store: leave --error-map out")
    zarr_store.check_output(source, target)
    store = zarr_store.open_store(source, max_pixels=max_pixels)
    if store.others:
        named = [*store.others[:_NAMED], *([f"{len(store.others) - _NAMED} more"] * (len(store.others) > _NAMED))]
        log.warning("%s: not denoised, but carried as they are: %s", source, ", ".join(named))
    return store
