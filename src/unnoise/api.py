"""The public Python API: the commands of the command line as functions, for images in files and in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypedDict, Unpack, overload

import numpy as np

from unnoise import datasets, denoisers, noise as noises
from unnoise.denoisers.adjusted import Adjustments
from unnoise.denoisers.base import Denoiser
from unnoise.errors import UnnoiseError
from unnoise.evaluation import benchmark
from unnoise.evaluation.benchmark import Row
from unnoise.io import adapters
from unnoise.io.adapters import Source
from unnoise.io.picture import Picture
from unnoise.io.value_range import range_of
from unnoise.noise import Noise
from unnoise.noise.estimation import NoiseEstimate
from unnoise.optional import require
from unnoise.pipeline import process
from unnoise.units import as_number, from_8bit

if TYPE_CHECKING:
    from PIL.Image import Image

    from unnoise.training.recipe import Recipe
    from unnoise.training.state import Callback, ProgressEvent

DEFAULT_MODEL = "auto"

_MODELS = denoisers.ModelCache(denoisers.make)


class DenoiseArguments(TypedDict, total=False):
    """The keyword arguments of `denoise`, which describes them."""

    sigma: float | None
    strength: float
    luma: float
    color: float
    detail: float
    grain: float
    min_noise: float | None
    force: bool
    ensemble: bool
    engine: str | None
    value_range: tuple[float, float] | None
    channel_axis: int | None
    alpha: bool | None
    axes: str | None
    progress: Callable[[float], None]


@overload
def denoise(
    source: str | Path | Picture, model: str | Path | Denoiser = ..., **options: Unpack[DenoiseArguments]
) -> Picture: ...
@overload
def denoise(
    source: np.ndarray, model: str | Path | Denoiser = ..., **options: Unpack[DenoiseArguments]
) -> np.ndarray: ...
@overload
def denoise(source: bytes, model: str | Path | Denoiser = ..., **options: Unpack[DenoiseArguments]) -> bytes: ...
@overload
def denoise(source: Image, model: str | Path | Denoiser = ..., **options: Unpack[DenoiseArguments]) -> Image: ...
@overload
def denoise(source: IO[bytes], model: str | Path | Denoiser = ..., **options: Unpack[DenoiseArguments]) -> BytesIO: ...
def denoise(
    source: Any,
    model: str | Path | Denoiser = DEFAULT_MODEL,
    *,
    sigma: float | None = None,
    strength: float = 1.0,
    luma: float = 1.0,
    color: float = 1.0,
    detail: float = 0.0,
    grain: float = 0.0,
    min_noise: float | None = None,
    force: bool = False,
    ensemble: bool = False,
    engine: str | None = None,
    value_range: tuple[float, float] | None = None,
    channel_axis: int | None = -1,
    alpha: bool | None = None,
    axes: str | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> Any:
    """Denoise an image; returns the same kind as `source`. Thread-safe.

    Args:
        source: a path (returns a `Picture`, with `pixels` and `save`), the bytes of a file, a binary file object
            (returns one in memory), a PIL image (palettes are returned as RGB, bilevel images as gray), or an array
            `[H, W]` or `[H, W, C]` of uint8, uint16 or floats of any range: gray, RGB for C = 3, RGBA for C = 4. Any
            other number of channels is no color image, and they are denoised one by one, each as a gray image. Values
            that are NaN, infinite or masked (`numpy.ma`) are missing, and stay as they are.
        model: a bundled model, a classical filter, or a model file; "auto" selects a bundled model by the noise.
        sigma: standard deviation of Gaussian noise in 8-bit units (25 is 25/255 of the full scale: of 1 for floats of
            the usual convention, of 4095 for 12 bits; see `io.value_range`); None to estimate the noise.
        strength: 0 returns the image unchanged, 1 is the result of the model, up to 1.5 extrapolates.
        luma: share of what is removed that is taken out of the brightness, the mean of the color channels: 0 leaves
            the brightness as it is.
        color: the same of the color, the differences from the brightness. Gray images have none.
        detail: share of the structure in what is removed that is brought back, 0 to 1: what is above the noise in its
            wavelet coefficients. In the brightness only.
        grain: standard deviation of an even gray grain that is added, as a share of that of the noise, 0 to 1. The same
            image gets the same grain.
        min_noise: an image whose estimated noise is below this is returned as it is, in 8-bit units; None for the
            default, 2. For the model "auto".
        force: denoise an image in which no noise is found, too, with the model for noise of an unknown kind. For the
            model "auto".
        ensemble: average over the eight orientations of the image: about 0.1 dB better at 8x the cost.
        engine: library that runs the network, "onnx", "openvino" or "torch"; None for the fastest installed one.
        value_range: black and white, in the values of the image; None to estimate them. 255 in 8-bit units is then
            their difference.
        channel_axis: axis of the channels in an array with three axes, as in scikit-image; None for gray `[H, W]`.
        alpha: whether the last channel of an array is transparency, which is kept; None for four channels only. With
            False, four channels are denoised one by one.
        axes: names of the axes of an array of several planes, such as "TZCYX": rows Y, columns X, channels C, samples
            of a color S; any other letter counts planes. All planes are denoised with the same range, noise and model,
            those of each channel with their own.
        progress: called with the completed fraction, 0 to 1.

    Returns:
        The denoised image.

    Raises:
        UnnoiseError: the image or the model cannot be read, or a number is out of range.

    >>> denoise(np.full((8, 8), 0.5, np.float32), "median").shape
    (8, 8)
    """
    denoiser = _MODELS.open(model, ensemble=ensemble, engine=engine)
    options = process.DenoiseOptions(
        denoiser, sigma=_level(sigma, "sigma"), strength=as_number(strength, "strength"), value_range=value_range,
        min_level=_level(min_noise, "min_noise"), force=force,
        adjustments=Adjustments(
            as_number(luma, "luma"), as_number(color, "color"), as_number(detail, "detail"), as_number(grain, "grain")
        ),
    )  # fmt: skip
    result = process.denoise_picture(adapters.to_picture(source, channel_axis, alpha, axes), options, progress)
    return adapters.like_source(source, result.picture, channel_axis, axes)


def denoise_with_error(
    source: Source,
    model: str | Path | Denoiser = DEFAULT_MODEL,
    *,
    sigma: float | None = None,
    min_noise: float | None = None,
    force: bool = False,
    engine: str | None = None,
    value_range: tuple[float, float] | None = None,
    channel_axis: int | None = -1,
    alpha: bool | None = None,
    axes: str | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> tuple[Any, np.ndarray]:
    """Denoise an image and estimate the error of the result.

    The error is calibrated for white noise, constant or signal-dependent.

    Args:
        source: as for `denoise`.
        model: as for `denoise`.
        sigma: as for `denoise`.
        min_noise: as for `denoise`.
        force: as for `denoise`.
        engine: as for `denoise`.
        value_range: as for `denoise`.
        channel_axis: as for `denoise`.
        alpha: as for `denoise`.
        axes: as for `denoise`.
        progress: as for `denoise`.

    Returns:
        The denoised image, of the kind of `source`, and the expected root mean squared error of each of its pixels in
        8-bit units, float32 `[H, W]`; the maps of several pages or planes are stacked vertically.

    Raises:
        UnnoiseError: as `denoise`.

    >>> denoise_with_error(np.full((8, 8), 0.5, np.float32), "median")[1].shape
    (8, 8)
    """
    denoiser = _MODELS.open(model, ensemble=False, engine=engine)
    options = process.DenoiseOptions(
        denoiser, sigma=_level(sigma, "sigma"), value_range=value_range, min_level=_level(min_noise, "min_noise"),
        force=force,
    )  # fmt: skip
    result = process.denoise_picture(
        adapters.to_picture(source, channel_axis, alpha, axes), options, progress, error_map=True
    )
    assert result.error is not None
    return adapters.like_source(source, result.picture, channel_axis, axes), result.error


def _level(value: Any, name: str) -> float | None:
    """Return a noise level in 8-bit units as a fraction of the full scale."""
    return None if value is None else from_8bit(as_number(value, name))


def add_noise(
    source: Source,
    noise: str | Noise,
    *,
    seed: int = 0,
    value_range: tuple[float, float] | None = None,
    channel_axis: int | None = -1,
    alpha: bool | None = None,
    axes: str | None = None,
) -> Any:
    """Add noise to an image; returns the same kind as `source`.

    Noise levels are relative to the full scale of the image's value range, as for `denoise`: 255 is 1 for floats of the
    usual convention, and 4095 for 12 bits.

    Args:
        source: as for `denoise`.
        noise: a noise or its spec, such as "poisson:30 + gaussian:10".
        seed: seed of the random numbers.
        value_range: as for `denoise`.
        channel_axis: as for `denoise`.
        alpha: as for `denoise`.
        axes: as for `denoise`.
    """
    picture = adapters.to_picture(source, channel_axis, alpha, axes)
    model, rng = noises.make(noise), np.random.default_rng(seed)
    noisy = np.empty_like(picture.pixels)
    for group in picture.layout.groups:  # channels that are no color image have ranges of their own
        pixels = picture.pixels[:, :, group]
        scale = np.float32(range_of(value_range, pixels, picture.dtype).full_scale)
        noisy[:, :, group] = model(pixels / scale, rng) * scale
    return adapters.like_source(source, picture.with_pixels(noisy), channel_axis, axes)


def inspect(
    source: Source,
    *,
    value_range: tuple[float, float] | None = None,
    channel_axis: int | None = -1,
    alpha: bool | None = None,
    axes: str | None = None,
) -> NoiseEstimate:
    """Estimate the noise in an image and suggest a bundled model.

    Args:
        source: as for `denoise`.
        value_range: as for `denoise`.
        channel_axis: as for `denoise`.
        alpha: as for `denoise`.
        axes: as for `denoise`.
    """
    return denoisers.inspect_picture(adapters.to_picture(source, channel_axis, alpha, axes), value_range)


def evaluate(
    models: str | Path | Denoiser | Iterable[str | Path | Denoiser],
    data: str,
    noise: str | Noise | Iterable[str | Noise] = (),
    *,
    seed: int = 0,
    blind: bool = False,
    ensemble: bool = False,
    engine: str | None = None,
) -> list[Row]:
    """Evaluate models on the same noisy images; see `evaluation.benchmark.evaluate`.

    Args:
        models: a model as for `denoise`, or several.
        data: dataset spec, such as "images:FOLDER", or "pairs:FOLDER" for noisy and clean images.
        noise: a noise or its spec, or several; none for pairs.
        seed: seed of the noise.
        blind: do not give the models sigma.
        ensemble: as for `denoise`.
        engine: as for `denoise`.
    """
    models = [models] if isinstance(models, str | Path | Denoiser) else models
    noise = [noise] if isinstance(noise, str | Noise) else noise
    opened = {str(model): denoisers.make(model, ensemble=ensemble, engine=engine) for model in models}
    parsed = [noises.make(spec) for spec in noise] or [None]
    return list(benchmark.evaluate(opened, datasets.make(data), parsed, data=data, seed=seed, blind=blind))


def train(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    overrides: Mapping[str, Any] | None = None,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    device: str | None = None,
    on_progress: Callback | Sequence[Callback] = (),
) -> Path:
    """Run a recipe and return the `.safetensors` file of the model. Needs the extra `train`.

    Args:
        recipe: a file, a mapping, or a `Recipe`; or a config.json of the restoration framework.
        overrides: dotted key -> value.
        out: folder of the run; by default that of a config.json, or `runs/NAME`.
        resume: continue the interrupted run in that folder.
        device: "cpu" or "cuda"; None for a GPU if there is one, or what a config.json says.
        on_progress: a function, or several, called with a `training.state.ProgressEvent` every few steps and at each
            validation (`event.validated`); where one returns True, the training ends.

    Returns:
        The model file; its folder also holds `log.jsonl`, `losses.png` and `samples.png`.

    Raises:
        UnnoiseError: the recipe is invalid, the run fails, or a config.json has the mode "test" (see `measure`).
    """
    require("torch", extra="train")
    from unnoise.training import recipe as recipes, trainer

    if isinstance(recipe, recipes.Recipe):
        recipe = recipe.model_dump()
    job = recipes.open(recipe, overrides)
    if job.mode == "test":
        raise UnnoiseError("the mode of this config is 'test', not 'train': call unnoise.api.measure")
    callbacks = [on_progress] if callable(on_progress) else list(on_progress)

    def call(event: ProgressEvent) -> bool:
        answers = [callback(event) for callback in callbacks]
        return any(answer is True for answer in answers)

    chosen = device or job.device
    return trainer.train(job.recipe, out or job.folder, resume=resume, device=chosen, on_progress=call)


def measure(
    config: str | Path | Mapping[str, Any],
    overrides: Mapping[str, Any] | None = None,
    *,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Row]:
    """Evaluate the model of a config.json of the restoration framework on the test split of its data.

    Args:
        config: the file, or its keys; `load_weight_path` is the model.
        overrides: as for `train`.
        progress: called with one line per image.

    Returns:
        Two rows for each noise of the framework: one for the noisy "input", one for the model.

    Raises:
        UnnoiseError: it is not a config.json, or there is no such model, device or data.
    """
    require("torch", extra="train")
    from unnoise import networks
    from unnoise.denoisers import pytorch
    from unnoise.training import recipe as recipes, restoration_config

    job = recipes.open(config, overrides)
    if job.weights is None:
        raise UnnoiseError("only a config.json with a load_weight_path can be measured: see also unnoise.evaluate")
    if job.weights.endswith(".pt"):
        network = networks.make(job.recipe.network)
        pytorch.load_state_dict(network, job.weights)
        model = pytorch.TorchDenoiser(network)
    else:
        model = denoisers.make(job.weights)
    if isinstance(model, pytorch.TorchDenoiser):
        model.network.to(pytorch.device(job.device))
    opened = {"input": _Input(), job.recipe.name: model}
    pictures = datasets.make(job.test, channels=3, size=restoration_config.SIZE)
    made = [noises.make(spec) for spec in restoration_config.NOISES]
    return list(benchmark.evaluate(opened, pictures, made, data=job.test, progress=progress))


class _Input(Denoiser):
    """Returns its input."""

    def run(self, noisy: np.ndarray, sigma: Any) -> np.ndarray:
        """Return the image."""
        return noisy
