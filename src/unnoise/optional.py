"""Import of optional dependencies."""

from __future__ import annotations

import importlib
from types import ModuleType

from unnoise.errors import UnnoiseError


def require(module: str, *, extra: str) -> ModuleType:
    """Import a library that belongs to an extra.

    Args:
        module: dotted name of the module, such as "torch" or "ray.data".
        extra: extra of this package that installs it, such as "train"; "" for a library that no extra installs.

    Raises:
        UnnoiseError: it is not installed; the message says how to install it.
        ImportError: it is installed but broken.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        library = module.partition(".")[0]
        if error.name != library:
            raise
        wanted = f'"unnoise[{extra}]"' if extra else library
        raise UnnoiseError(f"{library} is not installed; install it with: pip install {wanted}") from error
