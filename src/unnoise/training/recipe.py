"""A recipe: a training run as data, one validated schema in YAML or JSON.

Unknown keys are refused with the nearest spelling. `open` takes dotted overrides as the command line does:
`{"train.steps": 5000, "data.train": ["images:mine"]}`. It also reads a config.json of the restoration framework, which
`restoration_config` translates, and resolves the values that are `auto` with `auto_recipe`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from unnoise import networks, noise
from unnoise.errors import UnnoiseError
from unnoise.spec import Registry, unknown
from unnoise.training import auto_recipe, losses, optimizers, recipe_file, restoration_config, schedules, tasks


class _Section(BaseModel):
    """A section of a recipe; unknown keys are errors, and a recipe is immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(_Section):
    """The training and validation data.

    Attributes:
        train: dataset spec, or a list of them; a dataset that is listed twice counts twice.
        validation: dataset specs of images that are never trained on. Empty for no validation.
        validation_split: share of the training images, above 0 and up to 0.5, that is held out for validation instead
            of `validation`; of fewer than ten images, a share of the rows of each. None holds nothing out.
        exclude: text file of images to leave out of both, one path a line. None leaves nothing out.
        skip_damaged: leave out images that cannot be read, or hold NaN, and name them. Otherwise they are an error.
        channels: 1 for gray, 3 for color.
        normalize_white: scale each image so that its white level is 1, as `unnoise clean` does. Otherwise the largest
            value of the data type is 1.
        size: side in pixels, at least 8, of the square that every image is resized to. None keeps the size.
        patches_per_picture: patches of each image, at fixed places; an epoch is all of them in random order. None draws
            image and place anew for every patch, and an epoch has as many patches as there are images.
        augment: turn each patch to a random one of its eight orientations.
        gray_probability: share of clean color images, 0 to 1, that are converted to gray and get the same noise in all
            channels. It makes a color network fit for gray images.
        stretch_probability: share of clean images, 0 to 1, whose contrast is stretched until some pixels are black or
            white.
        halve_probability: share of patches, 0 to 1, that are cut at twice their side and averaged 2x2, if the image is
            large enough. It removes most of the noise and the JPEG artifacts of the photographs themselves.
        enlarge_probability: share of patches, 0 to 1, that are cut at half or a quarter of their side and interpolated.
        darken_probability: share of clean images, 0 to 1, that are darkened, as at night or under a microscope.
        dither_probability: share of clean images, 0 to 1, that are dithered to few colors and get no noise.
        blur_probability: share of clean images, 0 to 1, that are blurred, as out of focus or through a microscope.
        mosaic: turn clean color images into mosaics of a Bayer sensor, with red in the corner, whose noise is
            stabilized (`augmentations.Mosaicing`): for a network of one channel, for raw files. `channels` is 3.
        on_device: keep all images in the memory of the training device, and cut patches and add noise there. A GPU
            would wait for patches that the CPU prepares. For clean images and simple noises only, see `batches`.
    """

    train: list[str] = Field(min_length=1)
    validation: list[str] = []
    validation_split: float | None = Field(default=None, gt=0, le=0.5)
    exclude: str | None = None
    skip_damaged: bool = False
    channels: Literal[1, 3] = 3
    normalize_white: bool = False
    size: int | None = Field(default=None, ge=8)
    patches_per_picture: int | None = Field(default=None, ge=1)
    augment: bool = True
    gray_probability: float = Field(default=0.0, ge=0, le=1)
    stretch_probability: float = Field(default=0.0, ge=0, le=1)
    halve_probability: float = Field(default=0.0, ge=0, le=1)
    enlarge_probability: float = Field(default=0.0, ge=0, le=1)
    darken_probability: float = Field(default=0.0, ge=0, le=1)
    dither_probability: float = Field(default=0.0, ge=0, le=1)
    blur_probability: float = Field(default=0.0, ge=0, le=1)
    mosaic: bool = False
    on_device: bool = False

    @field_validator("train", "validation", mode="before")
    @classmethod
    def _as_list(cls, specs: Any) -> Any:
        return [specs] if isinstance(specs, str) else specs


class Stage(_Section):
    """A part of the training with one patch size and batch size.

    Attributes:
        until: share of the training at which the stage ends, above 0 and up to 1.
        patch: side of the patches in pixels, at least 8.
        batch: patches per step, over all processes together.
    """

    until: float = Field(gt=0, le=1)
    patch: int = Field(ge=8)
    batch: int = Field(ge=1)


class Validation(_Section):
    """How progress is measured.

    Attributes:
        noise: noise specs; PSNR over whole images is reported for each.
        every: steps between validations. None validates once per epoch where the length is given in epochs, else every
            2000 steps.
        crop: for PSNR, images are cropped to at most this side, in pixels.
        patches: number of patches that the validation loss is measured on. 0 for none.
        keep: which model is saved: the "last", or the "best" by the validation loss (or by the value that the task
            names instead).
    """

    noise: list[str] = []
    every: int | None = Field(default=None, ge=1)
    crop: int = Field(default=320, ge=8)
    patches: int = Field(default=0, ge=0)
    keep: Literal["last", "best"] = "last"

    @field_validator("noise")
    @classmethod
    def _check_spec(cls, specs: list[str]) -> list[str]:
        return [str(noise.make(spec)) for spec in specs]


class Train(_Section):
    """Length, optimizer and hardware of the training.

    Attributes:
        steps: optimizer steps of the whole schedule. Either this or `epochs` is given. A run that is resumed may be
            given more; its schedule is then that of the longer training.
        epochs: passes over the training patches.
        minutes: the schedule also ends after this time of training, if it comes first. None for no limit.
        stages: patch and batch sizes over the training.
        optimizer: optimizer spec.
        learning_rate: peak of the learning rate, reached after `warmup` steps.
        schedule: spec of the schedule of the learning rate after the warm-up.
        warmup: steps of the linear warm-up, at most those of the training. None for 200, or a tenth of a shorter
            training.
        grad_clip: largest norm of the gradient. None for no limit.
        ema: decay of the running average of the weights, 0 up to 1; the average is the model that is saved.
        start_weight: weight of the initial weights (`init_from`) in the saved model, 0 to 1; the trained weights have
            the rest. It is 1 - alpha of WiSE-FT (Wortsman et al., CVPR 2022, arXiv:2109.01903): fine-tuning on few
            images loses less of what the initial model can do.
        compile: compile the network with `torch.compile`, which needs a C++ compiler and takes a minute at the start.
        precision: "bf16" (bfloat16 autocast), "fp16" (float16 autocast with a scaled loss, on GPUs only), "fp32", or
            "auto" for bf16 on hardware that supports it. The run's recipe.yaml states the precision that was used.
        accumulate: parts that the batch of a process is computed in, one after the other, with one optimizer step for
            all: less memory, and the same result up to rounding, batch normalization aside.
        patience: the training ends after this many validations in a row without a lower validation loss (or value
            that the task names instead). None for no such end.
        log: where validations are reported besides `log.jsonl`: "csv" (`log.csv`), "tensorboard" and "wandb" (Weights &
            Biases, offline unless WANDB_MODE says otherwise); a list of them.
        workers: processes that prepare patches for each training process. 0 prepares them in the training process.
        devices: training processes on each machine, each on its own GPU where there are GPUs. `torchrun` and SLURM
            override it. Results do not depend on it.
        nodes: machines that train together.
        checkpoint_every: steps between checkpoints.
        seed: seed of weights, patches and noise.
    """

    steps: int | None = Field(default=None, ge=1)
    epochs: float | None = Field(default=None, gt=0)
    minutes: float | None = Field(default=None, gt=0)
    stages: list[Stage] = [Stage(until=1, patch=64, batch=32)]
    optimizer: str = "adamw"
    learning_rate: float = Field(default=2e-3, gt=0)
    schedule: str = "cosine"
    warmup: int | None = Field(default=None, ge=0)
    grad_clip: float | None = Field(default=0.5, gt=0)
    ema: float = Field(default=0.999, ge=0, lt=1)
    start_weight: float = Field(default=0.0, ge=0, le=1)
    compile: bool = False
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    accumulate: int = Field(default=1, ge=1)
    patience: int | None = Field(default=None, ge=1)
    log: list[Literal["csv", "tensorboard", "wandb"]] = []
    workers: int = Field(default=0, ge=0)
    devices: int = Field(default=1, ge=1)
    nodes: int = Field(default=1, ge=1)
    checkpoint_every: int = Field(default=500, ge=1)
    seed: int = Field(default=0, ge=0)

    @property
    def length(self) -> str:
        """The length of the schedule, for messages."""
        limit = f", at most {self.minutes:g} minutes" if self.minutes else ""
        return f"{self.steps} steps{limit}" if self.steps else f"{self.epochs:g} epochs{limit}"

    @field_validator("log", mode="before")
    @classmethod
    def _as_list(cls, names: Any) -> Any:
        return [names] if isinstance(names, str) else names

    @field_validator("optimizer", "schedule")
    @classmethod
    def _check_spec(cls, spec: str, info: Any) -> str:
        registries: dict[str, Registry[Any]] = {
            "optimizer": optimizers.OPTIMIZERS,
            "schedule": schedules.SCHEDULES,
        }
        return str(registries[info.field_name].make(spec))

    @model_validator(mode="after")
    def _check_length(self) -> Train:
        if self.steps is None and self.epochs is None:
            raise ValueError("set train.steps or train.epochs")
        if self.steps is not None and self.epochs is not None:
            raise ValueError("train.steps and train.epochs are both set: set one of them to null")
        return self

    @model_validator(mode="after")
    def _check_stages(self) -> Train:
        ends = [stage.until for stage in self.stages]
        if not ends or ends != sorted(set(ends)) or ends[-1] != 1:
            raise ValueError("the stages' `until` must increase, and the last must be 1")
        return self


class Recipe(_Section):
    """A training run.

    Attributes:
        name: name of the model; lower-case letters, digits, "_" and "-".
        summary: what the model is for, in one line.
        network: network spec.
        noise: spec of the noise that is added to clean images. None for pairs, or images that are noisy already.
        loss: loss spec.
        task: task spec: how the network learns.
        init_from: initial weights: the name of a bundled model, a `.safetensors` model (see
            `Network.initialize_from`), or a `.pt` state dict. None for random weights. Each of a list initializes the
            part of the network that it fits.
        data: the training and validation data.
        train: length, optimizer and hardware of the training.
        validation: how progress is measured.
        data_licence: the training data and their licences, for the model card.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    summary: str = ""
    network: str
    noise: str | None = None
    loss: str = "l1"
    task: str = "supervised"
    init_from: str | list[str] | None = None
    data: Data
    train: Train
    validation: Validation = Validation()
    data_licence: str = ""

    @field_validator("network", "noise", "loss", "task")
    @classmethod
    def _check_spec(cls, spec: str | None, info: Any) -> str | None:
        registries: dict[str, Registry[Any]] = {
            "network": networks.NETWORKS,
            "noise": noise.NOISES,
            "loss": losses.LOSSES,
            "task": tasks.TASKS,
        }
        return None if spec is None else str(registries[info.field_name].make(spec))

    @model_validator(mode="after")
    def _check_start_weight(self) -> Recipe:
        if self.train.start_weight and self.init_from is None:
            raise ValueError("train.start_weight needs initial weights: set init_from")
        return self

    @model_validator(mode="after")
    def _check_validation(self) -> Recipe:
        data = self.data
        if data.validation and data.validation_split:
            raise ValueError("set either data.validation or data.validation_split")
        augmented = ("halve", "enlarge", "darken", "dither", "blur")
        if data.on_device and any(getattr(data, f"{name}_probability") for name in augmented):
            raise ValueError("data.on_device does not halve, enlarge, darken, dither or blur patches")
        if data.mosaic and (data.on_device or data.channels != 3 or data.gray_probability):
            raise ValueError("data.mosaic needs color images: no data.on_device, data.channels 1 or gray_probability")
        if data.mosaic and self.validation.noise:
            raise ValueError("validation.noise is for images: mosaics are measured on patches, validation.patches")
        judged = self.validation.patches and (data.validation or data.validation_split)
        for key, wanted in (
            ("validation.keep: best", self.validation.keep == "best"),
            ("train.patience", self.train.patience),
        ):
            if wanted and not judged:
                raise ValueError(f"{key} needs validation.patches, and data.validation or data.validation_split")
        return self


@dataclass(frozen=True)
class TrainingJob:
    """A recipe, and what a config.json of the restoration framework says besides.

    Attributes:
        recipe: the training.
        device: "cpu" or "cuda"; None for a GPU if there is one.
        folder: of the run; None for `runs/NAME`.
        mode: "train", or "test" to measure a trained model.
        weights: the model file to begin from, or to measure; None for neither.
        test: spec of the dataset to measure on.
        translated: whether the source is a config.json.
    """

    recipe: Recipe
    device: str | None = None
    folder: str | None = None
    mode: Literal["train", "test"] = "train"
    weights: str | None = None
    test: str = ""
    translated: bool = False


def open(source: str | Path | Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> TrainingJob:
    """Read a recipe or a config.json of the restoration framework, and apply overrides.

    Keys that were renamed are read by their old names, too (see `recipe_file.RENAMED`). Values that are `auto` are
    chosen from the training images (see `auto_recipe`).

    Args:
        source: a YAML or JSON file, or its keys as a mapping.
        overrides: dotted key -> value, of a recipe or of a config.json; text is read as YAML, so that "5000" is a
            number.

    Raises:
        UnnoiseError: the file does not exist or is not YAML or JSON, or a key or value does not fit; one line.
    """
    tree = recipe_file.read_tree(source)
    changes = {key: recipe_file.parse_value(key, value) for key, value in (overrides or {}).items()}
    config = None
    if restoration_config.is_config(tree):
        own = {key: changes.pop(key) for key in restoration_config.KEYS if key in changes}
        config = restoration_config.read(tree, own)
        tree = config.recipe
    for key, value in changes.items():
        recipe_file.set_key(tree, key, value)
    if auto_recipe.has_auto(tree):
        tree = auto_recipe.resolve_auto(tree)
    try:
        recipe = Recipe.model_validate(tree)
    except ValidationError as error:
        where = "" if isinstance(source, Mapping) else f"{source}: "
        raise UnnoiseError(where + _explain(error)) from error
    if config is None:
        return TrainingJob(recipe)
    return TrainingJob(recipe, config.device, config.folder, config.mode, config.weights, config.test, translated=True)


def load(source: str | Path | Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Return the recipe of `open`."""
    return open(source, overrides).recipe


def dump(recipe: Recipe) -> str:
    """Return a recipe as YAML with all values."""
    return yaml.safe_dump(recipe.model_dump(), sort_keys=False, allow_unicode=True)


def _explain(error: ValidationError) -> str:
    """Return the first error in one line; unknown keys come first, since a missing key may be one with a typo."""
    first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    path = [str(part) for part in first["loc"]]
    if first["type"] == "extra_forbidden":
        return unknown("key", ".".join(part for part in path if not part.isdigit()), _keys(Recipe))
    if first["type"] == "missing":
        return f"the key '{'.'.join(path)}' is missing"
    return f"{'.'.join(path)}: {first['msg'].removeprefix('Value error, ')}"


def _keys(section: type[BaseModel], prefix: str = "") -> list[str]:
    """List the dotted keys of a section, and of the sections and lists of sections in it."""
    keys = []
    for key, field in section.model_fields.items():
        keys.append(prefix + key)
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                keys += _keys(kind, f"{prefix}{key}.")
    return keys
