"""All engines give the same results, and refuse what they cannot run."""

from __future__ import annotations

import importlib.util
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch  # noqa: TID253

from unnoise import denoisers, noise
from unnoise.denoisers.auto import Auto
from unnoise.denoisers.onnx import Onnx
from unnoise.errors import UnnoiseError

SHIPPED = denoisers.bundled_models()
LEARNED = [name for name, path in SHIPPED.items() if path.with_suffix(".safetensors").exists()]
no_openvino = pytest.mark.skipif(not importlib.util.find_spec("openvino"), reason="needs unnoise[openvino]")


def photograph(channels: int) -> np.ndarray:
    rows, columns = np.mgrid[:120, :90] / 40
    waves = [0.5 + 0.4 * np.sin(3 * rows * (1 + index) + 2 * columns) for index in range(channels)]
    return np.stack(waves, axis=2).astype(np.float32)


def far(name: str, engine: str) -> np.ndarray:
    """Return the absolute difference from the result of ONNX Runtime, in 8-bit units."""
    reference = Onnx(SHIPPED[name])
    noisy = noise.make("gaussian:25")(photograph(reference.channels), 0)
    other = denoisers.make(name, engine=engine)
    return 255 * np.abs(other(noisy, 25 / 255) - reference(noisy, 25 / 255))


@pytest.mark.parametrize("name", LEARNED)
def test_pytorch_makes_the_same(name: str) -> None:
    difference = far(name, "torch")  # in bfloat16, where there is such a processor
    assert difference.mean() < 0.5
    assert np.quantile(difference, 0.99) < 1.5


@no_openvino
@pytest.mark.parametrize("name", SHIPPED)
def test_openvino_makes_the_same(name: str) -> None:
    difference = far(name, "openvino")
    assert difference.mean() < 0.5
    assert np.quantile(difference, 0.99) < 1.5


@no_openvino
@pytest.mark.parametrize("name", LEARNED)
def test_openvino_in_float32_makes_the_same_to_rounding(name: str) -> None:
    from unnoise.denoisers.openvino import OpenVino

    noisy = noise.make("gaussian:25")(photograph(Onnx(SHIPPED[name]).channels), 0)
    exact = OpenVino(SHIPPED[name], precision="f32")
    np.testing.assert_allclose(exact(noisy, 0.1), Onnx(SHIPPED[name])(noisy, 0.1), atol=1e-4)


@no_openvino
@pytest.mark.parametrize("pays", [True, False])
def test_openvino_takes_bfloat16_only_where_it_pays(monkeypatch: pytest.MonkeyPatch, pays: bool) -> None:
    from unnoise.denoisers import openvino

    monkeypatch.setattr(openvino, "_bf16_pays", lambda: pays)
    chosen = {
        name: openvino.OpenVino(SHIPPED[name]).compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        for name in ("color", "impulse")
    }
    able = "BF16" in openvino._core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")  # else OpenVINO declines
    assert chosen == {"color": "bf16" if pays and able else "f32", "impulse": "f32"}, "impulse may hang in bfloat16"


@no_openvino
def test_what_is_taken_by_default_makes_the_same_to_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    from unnoise.denoisers import openvino

    monkeypatch.setattr(openvino, "_bf16_pays", lambda: True)
    noisy = noise.make("gaussian:25")(photograph(3), 0)
    np.testing.assert_allclose(denoisers.make("color")(noisy, 0.1), Onnx(SHIPPED["color"])(noisy, 0.1), atol=1e-4)


@no_openvino
def test_openvino_and_pytorch_try_a_convolution_to_know_what_pays() -> None:
    """The faster data type differs between machines; the choice must be made, and kept."""
    from unnoise.denoisers import openvino
    from unnoise.networks import base

    assert isinstance(openvino._bf16_pays(), bool)
    assert base.bf16_pays("cpu") is base.bf16_pays("cpu")


def test_no_processor_without_bfloat16_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    from unnoise.networks import base

    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    monkeypatch.setattr(torch, "conv2d", None)
    assert not base.bf16_pays.__wrapped__("cpu")


@no_openvino
@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs signals")
def test_signals_arrive_when_another_thread_closed_the_model(fresh_python: Callable[[str], str]) -> None:
    code = """
import gc, os, signal, threading
import numpy as np
from unnoise import denoisers
opened = [denoisers.make("color", engine="openvino")]
opened[0](np.full((32, 32, 3), 0.5, np.float32), 0.1)
closing = threading.Thread(target=opened.clear)
closing.start(), closing.join(), gc.collect()
signal.signal(signal.SIGUSR1, lambda *_: print("arrived"))
os.kill(os.getpid(), signal.SIGUSR1)
"""
    assert fresh_python(code) == "arrived\n"


def test_the_fastest_that_is_installed_is_taken() -> None:
    expected = "OpenVino" if importlib.util.find_spec("openvino") else "Onnx"
    assert type(denoisers.make("color")).__name__ == expected
    assert type(denoisers.make("color", engine="onnx")) is Onnx


def test_auto_opens_its_models_on_the_engine() -> None:
    auto = denoisers.make("auto", engine="onnx")
    assert isinstance(auto, Auto)
    chosen, _ = auto.resolve(photograph(3), 0.1)
    assert type(chosen) is Onnx


@pytest.mark.parametrize(
    ("spec", "engine", "why"),
    [
        ("color", "tensorrt", "unknown engine 'tensorrt'"),
        (SHIPPED["color"].with_suffix(".safetensors"), "onnx", "runs .onnx files only: run .unnoise export"),
        ("color-fast", "torch", "no model file '.*color-fast.safetensors'"),
        ("absent.onnx", None, "no model file 'absent.onnx'"),
    ],
)
def test_what_an_engine_cannot_run_is_refused(spec: str | Path, engine: str, why: str) -> None:
    with pytest.raises(UnnoiseError, match=why):
        denoisers.make(spec, engine=engine)
