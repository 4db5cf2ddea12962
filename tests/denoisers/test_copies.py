"""Denoisers of every kind can be deep-copied, and pickled into another process."""

from __future__ import annotations

import copy
import importlib.util
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from unnoise import denoisers
from unnoise.denoisers.base import Denoiser
from unnoise.denoisers.rescaled import Rescaled
from unnoise.io.value_range import ValueRange
from unnoise.noise.estimation import NoiseEstimate

POISSON = NoiseEstimate("signal-dependent", 0.1, line=(1 / 30, 0, 0))
COPIES = {"deep copy": copy.deepcopy, "pickle": lambda model: pickle.loads(pickle.dumps(model))}
KINDS: dict[str, Callable[[], Denoiser]] = {
    **{
        f"{model}, {engine}": lambda model=model, engine=engine: denoisers.make(model, engine=engine)
        for model in ("color", "auto")
        for engine in denoisers.ENGINES
    },
    "ensemble": lambda: denoisers.make("gray", ensemble=True, engine="onnx"),
    "auto ensemble": lambda: denoisers.make("auto", ensemble=True, engine="onnx"),
    "signal-dependent": lambda: denoisers.make("color", engine="onnx").for_noise(POISSON),
    "rescaled": lambda: Rescaled(denoisers.make("color", engine="onnx"), ValueRange(0, 4, 4)),
    **{
        spec: lambda spec=spec: denoisers.make(spec)
        for spec in ("median:5", "adaptive-median", "bilateral", "nlm", "tv", "wavelet", "zero_shot:2,width=4")
    },
}


def make(kind: str) -> Denoiser:
    for engine, module in {"openvino": "openvino", "torch": "torch", "zero_shot": "torch"}.items():
        if engine in kind and not importlib.util.find_spec(module):
            pytest.skip(f"needs {module}")
    return KINDS[kind]()


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_gives_the_same_result(kind: str, copied: Callable[[Denoiser], Denoiser]) -> None:
    model, noisy = make(kind), np.random.default_rng(0).random((24, 16, 3), dtype=np.float32)
    expected = model(noisy, 0.1)
    again = copied(model)
    assert again is not model and type(again) is type(model)
    assert (str(again), again.info, again.signal_noise) == (str(model), model.info, model.signal_noise)
    np.testing.assert_array_equal(again(noisy, 0.1), expected)


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_a_pickle_of_a_model_file_needs_the_file_no_more(engine: str, tmp_path: Path) -> None:
    if engine == "openvino":
        pytest.importorskip("openvino")
    file = tmp_path / "mine.onnx"
    file.write_bytes(denoisers.bundled_models()["impulse"].read_bytes())
    model = denoisers.make(file, engine=engine)
    pickled = pickle.dumps(model)
    file.unlink()
    noisy = np.random.default_rng(0).random((8, 8, 3), dtype=np.float32)
    again = pickle.loads(pickled)
    np.testing.assert_array_equal(again(noisy), model(noisy))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(again))(noisy), model(noisy))


def test_a_pickle_is_read_in_another_process(fresh_python: Callable[[str], str], tmp_path: Path) -> None:
    file, flat = tmp_path / "model.pickle", np.full((8, 8, 3), 0.5, np.float32)
    file.write_bytes(pickle.dumps(denoisers.make("color")))
    out = fresh_python(f"""
import pickle
import numpy as np
model = pickle.loads(open({str(file)!r}, "rb").read())
print(str(model), float(model(np.full((8, 8, 3), 0.5, np.float32), 0.1).mean()))
""")
    name, mean = out.split()
    assert name == "color" and float(mean) == pytest.approx(float(denoisers.make("color")(flat, 0.1).mean()), abs=1e-5)
