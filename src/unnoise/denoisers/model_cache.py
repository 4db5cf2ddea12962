"""Open models, kept for the next call."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unnoise.denoisers.base import Denoiser


class ModelCache:
    """The denoisers that were opened last; several threads may share it.

    A model file that has changed since is opened again. A copy, or a pickle, starts empty.

    Args:
        make: opens a denoiser, such as `denoisers.make`.
        size: number of denoisers kept; the least recently used one goes first.
    """

    def __init__(self, make: Callable[..., Denoiser], size: int = 8) -> None:
        self.make, self.size = make, size
        self._models: OrderedDict[tuple[object, ...], Denoiser] = OrderedDict()
        self._lock = threading.Lock()

    def open(self, spec: str | Path | Denoiser, **options: str | bool | None) -> Denoiser:
        """Return the denoiser of a spec, opened once for each set of `options` of `make`."""
        if isinstance(spec, Denoiser):
            return self.make(spec, **options)
        modified = os.stat(spec).st_mtime_ns if os.path.isfile(spec) else 0
        key = (str(spec), modified, *sorted(options.items()))
        with self._lock:
            if key not in self._models:
                self._models[key] = self.make(spec, **options)
            self._models.move_to_end(key)
            if len(self._models) > self.size:
                self._models.popitem(last=False)
            return self._models[key]

    def release(self) -> None:
        """Call `Denoiser.release` of all that are open."""
        with self._lock:
            models = list(self._models.values())
        for model in models:
            model.release()

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle what opens the denoisers, without them."""
        return type(self), (self.make, self.size)
