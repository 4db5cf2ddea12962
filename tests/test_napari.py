"""The plug-in of napari: its manifest, and its functions, without Qt."""

from __future__ import annotations

import importlib.util
import inspect
import typing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

import unnoise
from unnoise import napari as plugin
from unnoise.errors import UnnoiseError

MANIFEST = Path(unnoise.__file__).parent / "napari.yaml"
PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def layer(data: Any, **more: Any) -> Any:
    """Return what has the attributes of napari's image layer, or that layer where napari is installed."""
    if importlib.util.find_spec("napari"):
        from napari.layers import Image  # type: ignore[import-not-found]

        return Image(data, name="cells", **more)
    rgb = more.pop("rgb", False)
    axes = len(data.shape) - rgb
    defaults = {
        "scale": np.ones(axes),
        "translate": np.zeros(axes),
        "colormap": "gray",
        "contrast_limits": [0, 1],
        "gamma": 1,
    }
    return SimpleNamespace(data=data, name="cells", rgb=rgb, multiscale=False, **{**defaults, **more})


@pytest.fixture
def stack(rng: np.random.Generator) -> np.ndarray:
    """Return a stack of planes that all differ, `[T, Z, H, W]`."""
    return rng.random((2, 3, 24, 20)).astype(np.float32)


def test_options_of_the_widgets_are_objects_and_not_text() -> None:
    """magicgui does not resolve text that names a constant of the module."""
    for function in (plugin.denoise, plugin.add_noise):
        for name, parameter in inspect.signature(function).parameters.items():
            assert (name == "image") == isinstance(parameter.annotation, str), name


@pytest.mark.filterwarnings("ignore")  # npe2's own, of pydantic
def test_the_manifest_is_valid() -> None:
    npe2 = pytest.importorskip("npe2")
    manifest = npe2.PluginManifest.from_file(MANIFEST)
    manifest.validate_imports()
    assert manifest.name == "unnoise"


def test_the_manifest_names_functions_of_the_module() -> None:
    tree = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))["contributions"]
    for command in tree["commands"]:
        module, _, name = command["python_name"].partition(":")
        assert module == "unnoise.napari" and inspect.isfunction(getattr(plugin, name))
    assert {one["command"] for one in tree["widgets"]} == {one["id"] for one in tree["commands"]}
    assert 'unnoise = "unnoise:napari.yaml"' in PYPROJECT.read_text(encoding="utf-8")


def test_arguments_have_widgets() -> None:
    """napari chooses a widget by the type of an argument: each must resolve, and offer what there is."""
    image = type("Image", (), {})
    names = {
        "napari": SimpleNamespace(layers=SimpleNamespace(Image=image), types=SimpleNamespace(LayerDataTuple=tuple))
    }
    hints = typing.get_type_hints(plugin.denoise, {**vars(plugin), **names}, include_extras=True)
    assert hints["image"] is image and hints["return"] == list[tuple]
    assert {"auto", "color", "nlm"} <= set(hints["model"].__metadata__[0]["choices"])
    assert all(one.default is not one.empty for one in list(inspect.signature(plugin.denoise).parameters.values())[1:])


@pytest.mark.parametrize("shape", [(24, 20), (3, 24, 20), (2, 3, 24, 20)])
def test_every_plane_is_denoised_on_its_own(shape: tuple[int, ...], stack: np.ndarray) -> None:
    data = stack.reshape(-1, 24, 20)[: np.prod(shape[:-2], dtype=int)].reshape(shape)
    ((clean, look, kind),) = plugin.denoise(layer(data, scale=(2.0,) * len(shape)), "median", strength=0.5)
    assert (clean.shape, clean.dtype, kind) == (shape, np.float32, "image")
    for place in np.ndindex(shape[:-2]):
        np.testing.assert_array_equal(clean[place], unnoise.denoise(data[place], "median", strength=0.5))
    assert look["name"] == "cells, median" and not look["rgb"]
    np.testing.assert_array_equal(look["scale"], (2.0,) * len(shape))


@pytest.mark.parametrize(("dtype", "channels"), [(np.uint8, 3), (np.uint8, 4), (np.uint16, 3)])
def test_colors_are_denoised_together(dtype: type, channels: int, rng: np.random.Generator) -> None:
    data = rng.integers(256, size=(2, 24, 20, channels)).astype(dtype)
    ((clean, look, _),) = plugin.denoise(layer(data, rgb=True), "median")
    assert clean.dtype == dtype and look["rgb"] and "colormap" not in look
    np.testing.assert_array_equal(clean[1], unnoise.denoise(data[1], "median"))


def test_the_map_is_a_layer_of_its_own(stack: np.ndarray) -> None:
    data = stack[0]
    (clean, _, _), (error, look, kind) = plugin.denoise(
        layer(data), "color", sigma=25, error="map of the expected error"
    )
    assert error.shape == clean.shape == data.shape and kind == "image"
    np.testing.assert_allclose(error[2], unnoise.denoise_with_error(data[2], "color", sigma=25)[1])
    assert look["name"] == "cells, expected error"
    rgb = np.repeat(data[0][:, :, None], 3, axis=2)
    error = plugin.denoise(layer(rgb, rgb=True), "color", sigma=25, error="map of the expected error")[1][0]
    assert error.shape == (24, 20)


def test_lazy_and_integer_planes(stack: np.ndarray) -> None:
    class Lazy:
        """Like an array of dask: read a plane at a time."""

        shape, dtype, ndim, read = stack[0].shape, stack.dtype, 3, 0

        def __getitem__(self, place: Any) -> np.ndarray:
            Lazy.read += 1
            return stack[0][place]

    if not importlib.util.find_spec("napari"):
        assert plugin.denoise(layer(Lazy()), "median")[0][0].shape == (3, 24, 20)
        assert Lazy.read == 3
    counts = (1000 * stack[0, 0]).astype(np.int32)
    assert plugin.denoise(layer(counts), "median")[0][0].max() <= 1000


def test_noise_is_added_to_each_plane(stack: np.ndarray) -> None:
    flat = np.full((2, 64, 64), 0.5, np.float32)
    ((noisy, _, _),) = plugin.add_noise(layer(flat), "gaussian:25", seed=3)
    np.testing.assert_array_equal(noisy[1], unnoise.add_noise(flat[1], "gaussian:25", seed=4))
    assert abs(noisy[0] - 0.5).std() > 0 and (noisy[0] != noisy[1]).mean() > 0.9


def test_what_is_no_image_is_refused(stack: np.ndarray) -> None:
    several = SimpleNamespace(data=[stack], name="slide", rgb=False, multiscale=True)
    with pytest.raises(UnnoiseError, match="'slide' has several scales"):
        plugin.denoise(several)
    empty = SimpleNamespace(data=np.zeros((0, 4)), name="nothing", rgb=False, multiscale=False)
    with pytest.raises(UnnoiseError, match=r"'nothing' is no image: its shape is \(0, 4\)"):
        plugin.denoise(empty)


@pytest.mark.filterwarnings("ignore")  # napari's own
def test_napari_makes_layers_of_the_results(stack: np.ndarray) -> None:
    layers = pytest.importorskip("napari.layers")
    made = plugin.denoise(layer(stack, scale=(1, 2, 3, 4)), "color", sigma=25, error="map of the expected error")
    made += plugin.denoise(layer(np.zeros((2, 9, 9, 3), np.uint8), rgb=True), "median")
    created = [layers.Layer.create(data, dict(look), kind) for data, look, kind in made]
    assert [one.name for one in created] == ["cells, color", "cells, expected error", "cells, median"]
    assert [one.rgb for one in created] == [False, False, True]
    np.testing.assert_array_equal(created[1].scale, (1, 2, 3, 4))
