"""End long computations between two steps, without a callback through all functions in between."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar

_CHECK: ContextVar[Callable[[], object] | None] = ContextVar("check", default=None)


@contextlib.contextmanager
def checked_by(function: Callable[[], object]) -> Iterator[None]:
    """Within this context, on this thread, `check` calls a function, which may raise to end the computation."""
    token = _CHECK.set(function)
    try:
        yield
    finally:
        _CHECK.reset(token)


def check() -> None:
    """End the computation here if its caller wants that; long computations call it between two steps."""
    function = _CHECK.get()
    if function is not None:
        function()
