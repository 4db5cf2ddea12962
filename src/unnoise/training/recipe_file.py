"""Recipe files: YAML or JSON to a tree of keys, dotted overrides, and keys that were renamed."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from unnoise.errors import UnnoiseError

RENAMED = {
    "start": "init_from",
    "terms": "data_licence",
    "data.turn": "data.augment",
    "data.gray": "data.gray_probability",
    "data.stretch": "data.stretch_probability",
    "data.white": "data.normalize_white",
    "data.per_picture": "data.patches_per_picture",
    "data.hold_back": "data.validation_split",
    "train.stay": "train.start_weight",
    "train.clip": "train.grad_clip",
    "validation.items": "validation.patches",
}
"""Keys of recipes before version 0.2 -> the present keys; values are unchanged."""


def read_tree(source: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of a recipe, those that were renamed under their present names.

    Args:
        source: a YAML or JSON file, or a mapping, which is copied.

    Raises:
        UnnoiseError: the file does not exist or is not YAML or JSON, or a key has both its old and its present name.
    """
    tree = _read(Path(source)) if isinstance(source, str | Path) else copy.deepcopy(dict(source))
    for old, new in RENAMED.items():
        section, _, key = old.rpartition(".")
        values = tree.get(section) if section else tree
        if isinstance(values, dict) and key in values:
            present = new.rpartition(".")[2]
            if present in values:
                raise UnnoiseError(f"'{old}' is the old name of '{new}': remove one of them")
            _rename(values, key, present)
    return tree


def set_key(tree: dict[str, Any], dotted: str, value: Any) -> None:
    """Set a key, given as "train.steps"; an old name sets the present key.

    Raises:
        UnnoiseError: a part of the name is a key that is not a section.
    """
    keys = RENAMED.get(dotted, dotted).split(".")
    for key in keys[:-1]:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise UnnoiseError(f"cannot set '{'.'.join(keys)}': '{key}' is not a section")
    tree[keys[-1]] = value


def parse_value(key: str, value: Any) -> Any:
    """Read text as YAML or JSON, so that "5000" is a number; other values are returned as they are.

    Raises:
        UnnoiseError: it is neither.
    """
    return _parse(value, key) if isinstance(value, str) else value


def _rename(values: dict[str, Any], old: str, new: str) -> None:
    """Rename a key and keep the order."""
    items = [(new if key == old else key, value) for key, value in values.items()]
    values.clear()
    values.update(items)


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UnnoiseError(f"cannot read the recipe '{path}': {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UnnoiseError(f"'{path}' is not YAML or JSON: it is not text") from error
    tree = _parse(text, str(path))
    if not isinstance(tree, dict):
        raise UnnoiseError(f"'{path}' is not a recipe: it must be a mapping of keys, such as 'network: dncnn'")
    return tree


def _parse(text: str, source: str) -> Any:
    try:
        return json.loads(text, parse_constant=float)  # YAML would read 1e-3 as text
    except ValueError:
        pass
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UnnoiseError(f"'{source}' is not YAML or JSON: {' '.join(str(error).split())}") from error
