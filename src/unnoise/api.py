"""The Python face: what the command line does, on pictures in memory as well as in files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from unnoise import datasets, denoisers, estimation, evaluation, image_io, noise as noises, pipeline
from unnoise.denoisers.base import Denoiser
from unnoise.errors import UnnoiseError
from unnoise.estimation import NoiseReport
from unnoise.evaluation import Row
from unnoise.image_io import Picture
from unnoise.noise import Noise
from unnoise.noise.base import FULL_SCALE
from unnoise.optional import need

if TYPE_CHECKING:
    from PIL.Image import Image

    from unnoise.recipe import Recipe

Source = TypeVar("Source", str, Path, bytes, np.ndarray, "Image", Picture)
DEFAULT_MODEL = "auto"


def denoise(
    source: Source,
    model: str | Path | Denoiser = DEFAULT_MODEL,
    *,
    sigma: float | None = None,
    strength: float = 1.0,
    ensemble: bool = False,
    engine: str | None = None,
) -> Any:
    """Clean a picture; the same kind comes back.

    Args:
        source: a path (a `Picture` comes back; it has `pixels` and `save`), the bytes of a file (GIF comes back as
            PNG), a PIL image (palettes come back as RGB, bilevel as grey), or an array `[H, W]` or `[H, W, C]` of
            uint8, uint16 or floats in [0, 1], C = 1 to 4: grey or RGB, either with alpha.
        model: name of a shipped model, a classical filter, or a model file; "auto" is the shipped model that fits.
        sigma: level of Gaussian noise in 8-bit units (25 is 25/255); None to find what noise there is.
        strength: 0 to leave the picture, 1 for the model's own result, up to 1.5.
        ensemble: average over the eight orientations of the picture: eight times the work, for the last tenth.
        engine: what runs the network, "onnx", "openvino" or "torch"; None for the fastest that is installed.

    Raises:
        UnnoiseError: the picture or the model cannot be read, or a number is out of range.

    >>> denoise(np.full((8, 8), 0.5, np.float32), "median").shape
    (8, 8)
    """
    level = None if sigma is None else sigma / FULL_SCALE
    settings = pipeline.Settings(
        denoisers.make(model, ensemble=ensemble, engine=engine), sigma=level, strength=strength
    )
    clean, *_ = pipeline.clean_picture(_open(source), settings)
    return _like(source, clean)


def add_noise(source: Source, noise: str | Noise, *, seed: int = 0) -> Any:
    """Put noise into a picture; the same kind comes back.

    Args:
        source: as for `denoise`.
        noise: its spec, such as "poisson:30 + gaussian:10".
        seed: the same seed gives the same noise.
    """
    picture = _open(source)
    return _like(source, picture.with_pixels(noises.make(noise)(picture.pixels, seed)))


def inspect(source: Source) -> NoiseReport:
    """Find what noise is in a picture, and the shipped model that fits; see `estimation.NoiseReport`."""
    pixels = _open(source).pixels
    return denoisers.fitted(estimation.inspect(pixels), pixels.shape[2])


def evaluate(
    models: Iterable[str | Path],
    data: str,
    noise: Iterable[str] = (),
    *,
    seed: int = 0,
    blind: bool = False,
    ensemble: bool = False,
    engine: str | None = None,
) -> list[Row]:
    """Measure models on the same noisy pictures; see `evaluation.evaluate`.

    Args:
        models: as for `denoise`.
        data: dataset spec, such as "images:FOLDER", or "pairs:FOLDER" of noisy and clean pictures.
        noise: noise specs; none for pairs.
        seed: of the noise.
        blind: do not tell the models the noise level.
        ensemble: as for `denoise`.
        engine: as for `denoise`.
    """
    opened = {str(model): denoisers.make(model, ensemble=ensemble, engine=engine) for model in models}
    made = [noises.make(spec) for spec in noise] or [None]
    return list(evaluation.evaluate(opened, datasets.make(data), made, data=data, seed=seed, blind=blind))


def train(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    overrides: Mapping[str, Any] | None = None,
    *,
    out: str | Path | None = None,
    resume: bool = False,
) -> Path:
    """Run a recipe; return the `.safetensors` file of the model. Needs the extra `train`.

    Args:
        recipe: a file, a mapping, or a `Recipe`; a config.json of the restoration framework is one, too.
        overrides: dotted key -> value.
        out: folder of the run; by default the one that a config.json names, or `runs/NAME`.
        resume: go on where the folder's run was broken off.

    Raises:
        UnnoiseError: the recipe does not fit, or the run fails; or a config.json asks for a test (see `measure`).
    """
    need("torch", extra="train")
    from unnoise import recipe as recipes, training

    if isinstance(recipe, recipes.Recipe):
        recipe = recipe.model_dump()
    job = recipes.read_config(recipe, overrides)
    if job is None:
        return training.train(recipes.load(recipe, overrides), out, resume=resume)
    if job.mode == "test":
        raise UnnoiseError("the mode of this config is 'test', not 'train': call unnoise.api.measure")
    return training.train(recipes.load(recipe, overrides), out or job.folder, resume=resume, device=job.device)


def measure(
    config: str | Path | Mapping[str, Any],
    overrides: Mapping[str, Any] | None = None,
    *,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Row]:
    """Measure the model that a config.json of the restoration framework loads, on the test part of its data.

    Args:
        config: the file, or its keys; `load_weight_path` names the model.
        overrides: as for `train`.
        progress: called with a line per picture.

    Returns:
        Two rows for each of the framework's noises: one of the noisy "input" itself, one of the model.

    Raises:
        UnnoiseError: it is another file; or there is no such model, device or data.
    """
    need("torch", extra="train")
    from unnoise import framework, networks, recipe as recipes
    from unnoise.denoisers import checkpoint

    job = recipes.read_config(config, overrides)
    if job is None or job.weights is None:
        raise UnnoiseError("only a config.json with a load_weight_path can be measured: see also unnoise.evaluate")
    if job.weights.endswith(".pt"):
        network = networks.make(recipes.load(config, overrides).network)
        checkpoint.fill(network, job.weights)
        model = checkpoint.Checkpoint(network)
    else:
        model = denoisers.make(job.weights)
    if isinstance(model, checkpoint.Checkpoint):
        model.network.to(checkpoint.device(job.device))
    opened = {"input": _Input(), job.recipe["name"]: model}
    pictures = datasets.make(job.test, channels=3, size=framework.SIZE)
    made = [noises.make(spec) for spec in framework.NOISES]
    return list(evaluation.evaluate(opened, pictures, made, data=job.test, progress=progress))


class _Input(Denoiser):
    """Leaves a picture as it is."""

    def run(self, noisy: np.ndarray, sigma: Any) -> np.ndarray:
        """Return the picture."""
        return noisy


def _open(source: Any) -> Picture:
    if isinstance(source, Picture):
        return source
    if isinstance(source, str | os.PathLike | bytes):
        return image_io.read(source if isinstance(source, bytes) else Path(source))
    if isinstance(source, np.ndarray):
        return image_io.from_array(source)
    if hasattr(source, "convert") and hasattr(source, "getbands"):
        return image_io.from_array(np.asarray(_plain(source)))
    raise UnnoiseError(f"a picture is a path, bytes, an array or a PIL image, not {type(source).__name__}")


def _plain(image: Image) -> Image:
    """Turn a PIL image into one whose array is grey, RGB, or either with alpha, where nothing is lost by that."""
    if "transparency" in image.info and image.mode in ("1", "L", "P", "RGB"):
        return image.convert("LA" if image.mode in ("1", "L") else "RGBA")
    mode = {"1": "L", "P": "RGB", "PA": "RGBA", "RGBX": "RGB"}.get(image.mode, image.mode)
    if mode not in ("L", "LA", "RGB", "RGBA", "F", "I;16", "I;16B", "I;16L"):
        raise UnnoiseError(f"a PIL image of mode {mode} cannot be cleaned: convert it to L, RGB, RGBA, I;16 or F")
    return image if mode == image.mode else image.convert(mode)


def _like(source: Any, picture: Picture) -> Any:
    """Return a picture as the kind of thing that it came from."""
    if isinstance(source, str | os.PathLike | Picture):
        return picture
    if isinstance(source, bytes):
        return image_io.encode(picture, pipeline.writable(image_io.suffix_of(source)))
    array = picture.to_array()
    if isinstance(source, np.ndarray):
        return array.reshape(source.shape).astype(source.dtype, copy=False)
    from PIL import Image

    made = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
    made.info = {key: value for key, value in source.info.items() if key != "transparency"}  # now in the alpha channel
    return made
