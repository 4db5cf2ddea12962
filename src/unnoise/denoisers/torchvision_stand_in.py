"""A stand-in for torchvision while libraries are imported that name it, but hardly use it.

torchvision's wheel of PyPI does not load beside the CPU build of PyTorch (`operator torchvision::nms does not exist`),
and then everything that imports it fails, too. Where torchvision does not load, `importable` lets `import` statements
of it pass; what they import raises an error when it is called.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from unnoise.errors import UnnoiseError

_MODULES = ("torchvision", "torchvision.models", "torchvision.transforms", "torchvision.transforms.functional")


class _StandIn(ModuleType):
    """A module that has every public name; each is a class that cannot be made."""

    def __getattr__(self, name: str) -> Any:
        return _absent(self.__name__, name)


class _Names(type):
    """A class that has every public name, too, as modules and enumerations have."""

    def __getattr__(cls, name: str) -> Any:
        return _absent(f"{cls.__module__}.{cls.__name__}", name)


class _Absent(metaclass=_Names):
    def __init__(self, *arguments: object, **options: object) -> None:
        name = f"{type(self).__module__}.{type(self).__name__}"
        raise UnnoiseError(f"this needs {name}, and torchvision does not load here")


def _absent(place: str, name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return _Names(name, (_Absent,), {"__module__": place})


@contextlib.contextmanager
def importable() -> Iterator[None]:
    """Let `import torchvision` pass inside the block, by a stand-in if torchvision is missing or does not load."""
    try:
        importlib.import_module("torchvision")
    except Exception:  # a missing operator is a RuntimeError
        pass
    else:
        yield
        return
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "torchvision"}
    made = {name: _StandIn(name) for name in _MODULES}
    for module in made.values():
        module.__path__ = []  # a package
    for name, module in made.items():
        parent, _, own = name.rpartition(".")
        if parent:
            setattr(made[parent], own, module)
    sys.modules.update(made)
    try:
        yield
    finally:
        for name in made:
            del sys.modules[name]
        sys.modules.update(before)
