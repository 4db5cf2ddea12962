"""A recipe: a training run as data, one validated schema in YAML or JSON.

Every key has its place here, and a key that has none is refused with the nearest spelling. `load` takes dotted
overrides as the command line does: `{"train.steps": 5000, "data.train": ["images:mine"]}`. A config.json of the
restoration framework is a recipe, too, once `framework` has translated it; and what says `auto` is taken from the
pictures by `tailoring`.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from unnoise import networks, noise
from unnoise.errors import UnnoiseError
from unnoise.spec import Registry, unknown
from unnoise.training import auto_recipe, losses, optimizers, restoration_config, schedules, tasks


class _Section(BaseModel):
    """A part of a recipe; unknown keys are errors, and a recipe does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(_Section):
    """What is learned from.

    Attributes:
        train: a dataset spec, or several; one that stands twice counts twice.
        validation: dataset specs of pictures that are never trained on; may be empty.
        hold_back: the share of the training pictures, or of each, that validation is held on instead; None for none.
        exclude: text file of pictures to leave out of both.
        channels: 1 for grey, 3 for colour.
        white: bring what is white in each picture to 1, as the main job does; else it is the largest of the type.
        size: every picture is resized to a square of this side, in pixels; None leaves it.
        per_picture: patches of each picture, cut at places that stay the same; an epoch is all of them, shuffled. None
            draws picture and place anew each time, and calls as many patches as there are pictures an epoch.
        turn: turn each patch to one of its eight orientations.
        gray: the share of colour pictures that are shown in grey, their noise alike in all channels: for a model that
            cleans grey pictures as three copies, and is not told their noise.
        stretch: the share of clean pictures whose brightness is stretched until some of it is black or white.
        on_device: hold all pictures in the memory of the device that trains, and cut and spoil patches there: a GPU
            would wait for those that processors make. For clean pictures and plain noises, see `batches`.
    """

    train: list[str] = Field(min_length=1)
    validation: list[str] = []
    hold_back: float | None = Field(default=None, gt=0, le=0.5)
    exclude: str | None = None
    channels: Literal[1, 3] = 3
    white: bool = False
    size: int | None = Field(default=None, ge=8)
    per_picture: int | None = Field(default=None, ge=1)
    turn: bool = True
    gray: float = Field(default=0.0, ge=0, le=1)
    stretch: float = Field(default=0.0, ge=0, le=1)
    on_device: bool = False

    @field_validator("train", "validation", mode="before")
    @classmethod
    def _one_is_a_list(cls, specs: Any) -> Any:
        return [specs] if isinstance(specs, str) else specs


class Stage(_Section):
    """Patches of one size.

    Attributes:
        until: the share of the training at which the stage ends, up to 1.
        patch: side of the patches, in pixels.
        batch: patches a step, over all processes together.
    """

    until: float = Field(gt=0, le=1)
    patch: int = Field(ge=8)
    batch: int = Field(ge=1)


class Validation(_Section):
    """How progress is judged.

    Attributes:
        noise: noise specs; PSNR over whole pictures is reported for each.
        every: steps between two looks; None is once an epoch where the training is counted in them, else 2000.
        crop: for that PSNR, the pictures are cut to at most this side, in pixels.
        items: patches that the loss is measured on; 0 for none.
        keep: the model that is kept: the "last", or that of the look with the "best" loss on these patches, or what the
            task judges by instead.
    """

    noise: list[str] = []
    every: int | None = Field(default=None, ge=1)
    crop: int = Field(default=320, ge=8)
    items: int = Field(default=0, ge=0)
    keep: Literal["last", "best"] = "last"

    @field_validator("noise")
    @classmethod
    def _can_be_made(cls, specs: list[str]) -> list[str]:
        return [str(noise.make(spec)) for spec in specs]


class Train(_Section):
    """How long and how fast is learned.

    Attributes:
        steps: optimizer steps of the whole schedule; this or `epochs` is stated.
        epochs: passes over the training patches.
        minutes: if set, the schedule also ends after this much time of training, whichever comes first.
        stages: patch and batch sizes over the training.
        optimizer: its spec.
        learning_rate: its peak, reached after `warmup` steps.
        schedule: spec of what follows the warm-up.
        clip: largest norm of the gradient; None for no limit.
        ema: decay of the running average of the weights, which is the model that is kept.
        stay: how far the model that is kept stays at the weights of `start`, 0 to 1, on the straight line from there to
            what was learned: what few pictures teach, without the loss of what many taught (Wortsman et al., CVPR 2022,
            arXiv:2109.01903).
        compile: let PyTorch's compiler fuse the network's steps, which needs a C compiler, and a minute to begin.
        precision: "auto" is bfloat16 autocast where that is faster here, else float32.
        workers: processes that prepare patches, for each that trains; 0 prepares them in the training process.
        devices: processes that train together on a machine, each on a GPU of its own where there are such. Begun by
            `torchrun` or SLURM, it is they who say how many. What is learned does not depend on it.
        nodes: machines that train together, begun by one of these.
        checkpoint_every: steps between two checkpoints.
        seed: seeds weights, patches and noise.
    """

    steps: int | None = Field(default=None, ge=1)
    epochs: float | None = Field(default=None, gt=0)
    minutes: float | None = Field(default=None, gt=0)
    stages: list[Stage] = [Stage(until=1, patch=64, batch=32)]
    optimizer: str = "adamw"
    learning_rate: float = Field(default=2e-3, gt=0)
    schedule: str = "cosine"
    warmup: int = Field(default=200, ge=0)
    clip: float | None = Field(default=0.5, gt=0)
    ema: float = Field(default=0.999, ge=0, lt=1)
    stay: float = Field(default=0.0, ge=0, le=1)
    compile: bool = False
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    workers: int = Field(default=0, ge=0)
    devices: int = Field(default=1, ge=1)
    nodes: int = Field(default=1, ge=1)
    checkpoint_every: int = Field(default=500, ge=1)
    seed: int = Field(default=0, ge=0)

    @property
    def length(self) -> str:
        """Tell when it ends."""
        at_most = f", {self.minutes:g} minutes at most" if self.minutes else ""
        return f"{self.steps} steps{at_most}" if self.steps else f"{self.epochs:g} epochs{at_most}"

    @field_validator("optimizer", "schedule")
    @classmethod
    def _can_be_made(cls, spec: str, info: Any) -> str:
        registries: dict[str, Registry[Any]] = {
            "optimizer": optimizers.OPTIMIZERS,
            "schedule": schedules.SCHEDULES,
        }
        return str(registries[info.field_name].make(spec))

    @model_validator(mode="after")
    def _has_an_end(self) -> Train:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("state either steps or epochs, so that it has an end")
        return self

    @model_validator(mode="after")
    def _stages_in_order(self) -> Train:
        ends = [stage.until for stage in self.stages]
        if not ends or ends != sorted(set(ends)) or ends[-1] != 1:
            raise ValueError("stages must end one after the other, the last with until: 1")
        return self


class Recipe(_Section):
    """A training run.

    Attributes:
        name: of the model that it makes.
        summary: what the model is for, one line.
        network: spec of the network.
        noise: spec of the noise that it learns to remove; None for that of pairs.
        loss: spec of the loss.
        task: how it learns.
        start: the name of a shipped model or a `.safetensors` file to begin from (see `Network.initialize_from`), or
            `.pt` weights; None for fresh ones.
        terms: what its training data are and under which terms, for the model's card.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    summary: str = ""
    network: str
    noise: str | None = None
    loss: str = "l1"
    task: str = "supervised"
    start: str | None = None
    data: Data
    train: Train
    validation: Validation = Validation()
    terms: str = ""

    @field_validator("network", "noise", "loss", "task")
    @classmethod
    def _can_be_made(cls, spec: str | None, info: Any) -> str | None:
        registries: dict[str, Registry[Any]] = {
            "network": networks.NETWORKS,
            "noise": noise.NOISES,
            "loss": losses.LOSSES,
            "task": tasks.TASKS,
        }
        return None if spec is None else str(registries[info.field_name].make(spec))

    @model_validator(mode="after")
    def _stays_somewhere(self) -> Recipe:
        if self.train.stay and self.start is None:
            raise ValueError("train.stay needs a start to stay at")
        return self

    @model_validator(mode="after")
    def _judges_by_something(self) -> Recipe:
        data = self.data
        if data.validation and data.hold_back:
            raise ValueError("state either data.validation or data.hold_back")
        if self.validation.keep == "best" and not (self.validation.items and (data.validation or data.hold_back)):
            raise ValueError("validation.keep: best needs validation.items, and data.validation or data.hold_back")
        return self


def load(source: str | Path | Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe and change it.

    Args:
        source: a YAML or JSON file, or the recipe as a mapping.
        overrides: dotted key -> value; text is read as YAML, so that "5000" is a number.

    Raises:
        UnnoiseError: no such file, not YAML or JSON, or a key or value that does not fit; one line.
    """
    job = read_config(source, overrides)
    tree = _tree(source) if job is None else job.recipe
    for key, value in (overrides or {}).items():
        if job is None or key not in restoration_config.KEYS:
            _set(tree, key.split("."), _value(key, value))
    where = "" if isinstance(source, Mapping) else f"{source}: "
    if auto_recipe.has_auto(tree):
        tree = auto_recipe.resolve_auto(tree)
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise UnnoiseError(where + _explain(error)) from error


def read_config(
    source: str | Path | Mapping[str, Any], overrides: Mapping[str, Any] | None = None
) -> restoration_config.Job | None:
    """Read the restoration framework's config.json; None where `source` is an ordinary recipe.

    Args:
        source: as for `load`.
        overrides: as for `load`; those that are keys of a config.json change it.

    Raises:
        UnnoiseError: no such file, or a key or value that does not fit.
    """
    tree = _tree(source)
    if not restoration_config.is_config(tree):
        return None
    own = {key: _value(key, value) for key, value in (overrides or {}).items() if key in restoration_config.KEYS}
    return restoration_config.read(tree, own)


def dump(recipe: Recipe) -> str:
    """Write a recipe as YAML, every value stated."""
    return yaml.safe_dump(recipe.model_dump(), sort_keys=False, allow_unicode=True)


def alone(recipe: Recipe) -> Recipe:
    """Return what a recipe is on one process, which learns the same."""
    train = recipe.train.model_copy(update={"devices": 1, "nodes": 1})
    return recipe.model_copy(update={"train": train})


def check_fit(recipe: Recipe, network: networks.Network, processes: int = 1, shrinks: int = 1) -> None:
    """Refuse pictures, patches or batches that the network, or so many processes, cannot take.

    `shrinks` is how many times smaller than a patch is what its task shows to the network.

    Raises:
        UnnoiseError: what does not fit.
    """
    if network.channels != recipe.data.channels:
        raise UnnoiseError(f"the network has {network.channels} channels and data.channels is {recipe.data.channels}")
    for stage in recipe.train.stages:
        if stage.patch % (unit := network.multiple_of * shrinks):
            raise UnnoiseError(f"a patch of {stage.patch}: {network.name} takes multiples of {unit}, in this task")
        if stage.batch % processes:
            raise UnnoiseError(f"a batch of {stage.batch} is no multiple of the {processes} processes that share it")


def _tree(source: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    return _read(Path(source)) if isinstance(source, str | Path) else copy.deepcopy(dict(source))


def _value(key: str, value: Any) -> Any:
    return _parse(value, key) if isinstance(value, str) else value


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UnnoiseError(f"cannot read the recipe '{path}': {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UnnoiseError(f"'{path}' is not YAML or JSON: it is not text") from error
    tree = _parse(text, str(path))
    if not isinstance(tree, dict):
        raise UnnoiseError(f"{path} is not a recipe: it must be a mapping of keys, such as 'network: dncnn'")
    return tree


def _parse(text: str, source: str) -> Any:
    try:
        return json.loads(text, parse_constant=float)  # most of it is YAML, but not 1e-3, which is a word there
    except ValueError:
        pass
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UnnoiseError(f"'{source}' is not YAML or JSON: {' '.join(str(error).split())}") from error


def _set(tree: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise UnnoiseError(f"'{'.'.join(keys)}' cannot be set: '{key}' is not a section")
    tree[keys[-1]] = value


def _explain(error: ValidationError) -> str:
    """Tell one thing that does not fit in one line: a key with a typo first, since its right spelling is missing."""
    first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    path = [str(part) for part in first["loc"]]
    if first["type"] == "extra_forbidden":
        return unknown("key", ".".join(part for part in path if not part.isdigit()), _keys(Recipe))
    if first["type"] == "missing":
        return f"the key '{'.'.join(path)}' is missing"
    return f"{'.'.join(path)}: {first['msg'].removeprefix('Value error, ')}"


def _keys(section: type[BaseModel], prefix: str = "") -> list[str]:
    """List the dotted keys of a section and of the sections, and lists of sections, within."""
    keys = []
    for key, field in section.model_fields.items():
        keys.append(prefix + key)
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                keys += _keys(kind, f"{prefix}{key}.")
    return keys
