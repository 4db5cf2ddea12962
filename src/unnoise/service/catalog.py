"""The models that requests can name: the bundled ones, classical filters, and files that the operator adds.

A request names a model of this list, and never a path.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from unnoise import denoisers
from unnoise.denoisers.auto import Auto
from unnoise.denoisers.base import Denoiser, DenoiserInfo
from unnoise.denoisers.onnx import Onnx
from unnoise.errors import UnnoiseError
from unnoise.service import model_memory
from unnoise.service.memory import TILE_BYTES

MODELS = (Auto.name, *denoisers.bundled_models(), *denoisers.DENOISERS.members)
"""The models of every service."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class AddedModel:
    """A model file that the operator adds.

    Attributes:
        name: what requests call it.
        path: the file.
        denoiser: the open model.
        summary: what it is, one line.
        tile_bytes: memory that it takes, for each pixel of a tile.
        opened_bytes: memory that it takes while it is open.
    """

    name: str
    path: Path
    denoiser: Denoiser
    summary: str
    tile_bytes: float
    opened_bytes: int


class Catalog:
    """All models of a service.

    Args:
        files: model files that are added, as `FILE` (named as the file without its suffix) or `NAME=FILE`.
        engine: inference engine, as in `denoisers.make`.

    Attributes:
        added: the models of these files, by name.
        names: the names of all models, "auto" first.
        facts: the facts of all of them except "auto".
        tile_bytes: as `memory.TILE_BYTES`, with those that are added.

    Raises:
        UnnoiseError: a file is not a model, or its name is invalid or taken.
    """

    def __init__(self, files: Sequence[str | Path] = (), engine: str | None = None) -> None:
        paths: dict[str, Path] = {}
        for name, path in map(_name_and_path, map(str, files)):
            if name in (*MODELS, *paths):
                raise UnnoiseError(f"'{path}': there is a model '{name}' already: name this one by NAME={path}")
            paths[name] = path
        self.added = {name: _open(name, path, engine) for name, path in paths.items()}
        self.names = (*MODELS, *self.added)
        self.facts = {**model_facts(), **{name: model.denoiser.info for name, model in self.added.items()}}
        self.tile_bytes = {**TILE_BYTES, **{name: model.tile_bytes for name, model in self.added.items()}}

    @property
    def opened_bytes(self) -> int:
        """Memory that the added models take while they are open."""
        return sum(model.opened_bytes for model in self.added.values())

    def check(self, name: str) -> None:
        """Raise UnnoiseError unless there is a model of that name."""
        if name not in self.names:
            listed = [f"'{one}'" for one in self.names]
            raise UnnoiseError(f"model: input should be {', '.join(listed[:-1])} or {listed[-1]}")


@functools.cache
def model_facts() -> dict[str, DenoiserInfo]:
    """Return the facts of `MODELS`, except "auto"."""
    networks = {
        name: replace(card.info, halo=card.reach if card.info.halo is None else card.info.halo)
        for name, card in ((name, Onnx(path, threads=1).card) for name, path in denoisers.bundled_models().items())
    }
    filters = {}
    for name in denoisers.DENOISERS.members:
        with contextlib.suppress(UnnoiseError):  # its library is not installed: it fails before it takes memory
            filters[name] = denoisers.make(name).info
    return {name: networks.get(name) or filters.get(name) or DenoiserInfo(name) for name in MODELS if name != Auto.name}


def _name_and_path(text: str) -> tuple[str, Path]:
    """Split NAME=FILE; a file without a name has that of its stem."""
    name, sign, path = text.partition("=")
    if not sign or Path(text).is_file():
        name, path = Path(text).stem, text
    if not _NAME.fullmatch(name):
        raise UnnoiseError(
            f"'{text}': a model is named by letters, digits, '.', '_' and '-', and '{name}' is not: use NAME=FILE"
        )
    if Path(path).suffix.lower() not in (".onnx", *denoisers.TORCH_FILES):
        raise UnnoiseError(f"'{path}' is not a model file, which end in .onnx, {', '.join(denoisers.TORCH_FILES)}")
    return name, Path(path)


def _open(name: str, path: Path, engine: str | None) -> AddedModel:
    denoiser = denoisers.make(path, engine=engine)
    if denoiser.info.mosaic:
        raise UnnoiseError(f"'{path}' denoises the mosaics of raw files, and no images")
    denoiser.name = name
    card = getattr(denoiser, "card", None) or getattr(getattr(denoiser, "network", None), "card", None)
    taken = model_memory.measure(path, engine)
    return AddedModel(name, path, denoiser, getattr(card, "summary", "") or path.stem, taken.pixel, taken.opened)
