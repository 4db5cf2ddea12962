"""A plug-in of napari: denoise image layers, and add noise to them. napari makes the widgets of the functions.

`napari.yaml` beside this file is the manifest. Neither napari nor Qt is imported here. napari reads the annotations, as
objects where they hold options: it does not resolve text with the names of this module.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from unnoise import api, denoisers
from unnoise.errors import UnnoiseError

if TYPE_CHECKING:
    import napari.layers  # type: ignore[import-not-found]
    import napari.types  # type: ignore[import-not-found]

MODELS = ("auto", *denoisers.bundled_models(), *denoisers.DENOISERS)
"""Models that the widget offers."""
_KEPT = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
"""Where a layer lies, which its results share."""

Plane = Callable[[np.ndarray], np.ndarray]


def denoise(
    image: "napari.layers.Image",
    model: Annotated[str, {"choices": MODELS}] = "auto",
    strength: Annotated[float, {"min": 0.0, "max": 1.5, "step": 0.05}] = 1.0,
    sigma: Annotated[float, {"min": 0.0, "max": 255.0, "tooltip": "8-bit units; 0 to estimate it"}] = 0.0,
    error: Literal["no map", "map of the expected error"] = "no map",
) -> "list[napari.types.LayerDataTuple]":
    """Denoise an image layer, plane by plane.

    Args:
        image: the layer, `[H, W]`, or `[H, W, 3 or 4]` if it is RGB, with any axes before these.
        model: a model, or a classical filter.
        strength: 0 leaves the image as it is, 1 is the model's result, up to 1.5 goes beyond it.
        sigma: noise level in 8-bit units; 0 to estimate it for each plane.
        error: whether to add a layer with the expected error of each pixel, in 8-bit units, for strength 1.

    Returns:
        The new layers.

    Raises:
        UnnoiseError: the layer has several scales, or is no image.
    """
    level = sigma or None
    clean = _by_plane(image, lambda plane: np.asarray(api.denoise(plane, model, sigma=level, strength=strength)))
    layers = [_layer(image, clean, f"{image.name}, {model}", like=True)]
    if error != "no map":
        errors = _by_plane(image, lambda plane: api.denoise_with_error(plane, model, sigma=level)[1])
        layers.append(_layer(image, errors, f"{image.name}, expected error", like=False))
    return layers


def add_noise(
    image: "napari.layers.Image", noise: str = "gaussian:25", seed: int = 0
) -> "list[napari.types.LayerDataTuple]":
    """Add noise to an image layer, plane by plane.

    Args:
        image: as for `denoise`.
        noise: a noise spec, such as "poisson:30 + gaussian:10".
        seed: seed of the random numbers; each plane has its own.

    Returns:
        The new layer.

    Raises:
        UnnoiseError: as for `denoise`, or the spec is wrong.
    """
    seeds = iter(range(seed, 2**63))
    noisy = _by_plane(image, lambda plane: np.asarray(api.add_noise(plane, noise, seed=next(seeds))))
    return [_layer(image, noisy, f"{image.name}, {noise}", like=True)]


def _by_plane(image: Any, function: Plane) -> np.ndarray:
    """Apply a function to each plane of a layer and stack what it returns, in the order of the layer's axes."""
    if getattr(image, "multiscale", False):
        raise UnnoiseError(f"'{image.name}' has several scales: convert it to one of them first")
    data, axes = image.data, 3 if image.rgb else 2
    if len(data.shape) < axes or 0 in data.shape:
        raise UnnoiseError(f"'{image.name}' is no image: its shape is {tuple(data.shape)}")
    before = tuple(data.shape[: len(data.shape) - axes])
    planes = [_plain(data[np.unravel_index(number, before)] if before else data) for number in range(math.prod(before))]
    made = [function(plane) for plane in planes]
    return np.stack(made).reshape(*before, *made[0].shape)


def _plain(plane: Any) -> np.ndarray:
    """Return a plane as an array that `api.denoise` takes; lazy arrays are computed, one plane at a time."""
    array = np.asarray(plane)
    return array if array.dtype in (np.uint8, np.uint16) or array.dtype.kind == "f" else array.astype(np.float32)


def _layer(image: Any, data: np.ndarray, name: str, *, like: bool) -> tuple[np.ndarray, dict[str, Any], str]:
    """Return a layer where the first one lies; `like` it, or with colors of its own."""
    look: dict[str, Any] = {key: getattr(image, key) for key in _KEPT if hasattr(image, key)}
    if len(data.shape) - (like and image.rgb) != len(image.data.shape) - image.rgb:
        look = {}
    if not like:
        return data, {**look, "name": name, "colormap": "inferno", "blending": "additive", "visible": False}, "image"
    look |= {"name": name, "rgb": image.rgb}
    if not image.rgb:
        look |= {"colormap": image.colormap, "contrast_limits": image.contrast_limits, "gamma": image.gamma}
    return data, look, "image"
