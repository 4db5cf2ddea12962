"""Libraries that the base install leaves out."""

from __future__ import annotations

import importlib
from types import ModuleType

from unnoise.errors import UnnoiseError


def require(module: str, *, extra: str) -> ModuleType:
    """Import a library that comes with an extra.

    Args:
        module: its dotted name, "torch" or "ray.data".
        extra: the extra of this package that installs it, "train".

    Raises:
        UnnoiseError: it is not installed; the line says what to install.
        ImportError: it is installed, but broken; installing the extra would not help.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        library = module.partition(".")[0]
        if error.name != library:
            raise
        raise UnnoiseError(f'{library} is not installed; get it by: pip install "unnoise[{extra}]"') from error
