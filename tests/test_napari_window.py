"""The widgets of the plug-in in a window of napari; needs napari, a Qt, and OpenGL, such as that of Xvfb.

QT_QPA_PLATFORM=xcb LIBGL_ALWAYS_SOFTWARE=1 xvfb-run -a pytest tests/test_napari_window.py
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

pytest.importorskip("napari", reason="needs unnoise[napari]")
pytest.importorskip("pytestqt", reason="needs a Qt and pytest-qt")
if os.environ.get("QT_QPA_PLATFORM") == "offscreen" or not os.environ.get("DISPLAY"):
    pytest.skip("needs a display with OpenGL", allow_module_level=True)

pytestmark = pytest.mark.filterwarnings("ignore")  # of napari and its libraries


@pytest.mark.parametrize(("shape", "rgb"), [((64, 80), False), ((64, 80, 3), True), ((3, 48, 64), False)])
@pytest.mark.parametrize("error", ["no map", "map of the expected error"])
def test_the_widget_denoises(make_napari_viewer: Any, shape: tuple[int, ...], rgb: bool, error: str) -> None:
    viewer = make_napari_viewer()
    data = np.clip(128 + 25 * np.random.default_rng(0).standard_normal(shape), 0, 255).astype(np.uint8)
    layer = viewer.add_image(data, rgb=rgb, name="cells", scale=(2.0,) * (2 if rgb else len(shape)))
    _, widget = viewer.window.add_plugin_dock_widget("unnoise", "Denoise")
    assert widget.image.value is layer
    assert {"auto", "color", "median"} <= set(widget.model.choices)
    widget.model.value, widget.sigma.value, widget.error.value = "color", 25, error
    widget.call_button.native.click()
    made = list(viewer.layers)[1:]
    assert len(made) == (1 if error == "no map" else 2)
    assert made[0].data.shape == shape and made[0].rgb == rgb and tuple(made[0].scale) == tuple(layer.scale)
    assert made[0].data.std() < data.std() / 2


def test_the_widget_adds_noise(make_napari_viewer: Any) -> None:
    viewer = make_napari_viewer()
    viewer.add_image(np.full((40, 50), 128, np.uint8), name="flat")
    _, widget = viewer.window.add_plugin_dock_widget("unnoise", "Add noise")
    widget.call_button.native.click()
    assert len(viewer.layers) == 2 and viewer.layers[1].data.std() == pytest.approx(25, rel=0.1)
