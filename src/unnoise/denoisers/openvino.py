"""Networks in `.onnx` files, run by OpenVINO; in bfloat16 where the processor is faster with it."""

from __future__ import annotations

import io
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from openvino import opset13 as ops
from openvino.frontend import FrontEndManager

from unnoise.denoisers.base import Sigma
from unnoise.denoisers.exported import ExportedNetwork, portable
from unnoise.denoisers.model_card import KEY, Card
from unnoise.errors import UnnoiseError


class OpenVino(ExportedNetwork):
    """An exported network, run by OpenVINO.

    In bfloat16, pixels differ from those in float32 by a quarter of an 8-bit level on average, single ones by two or
    three; in float32, by nothing that is visible in 8 bits.

    Args:
        path: the `.onnx` file.
        precision: "bf16" or "f32"; None for the faster one on this processor.
        threads: processor threads; 0 for one per core available to this process.

    Raises:
        UnnoiseError: the file cannot be read, or is not an unnoise model.
    """

    def __init__(self, path: str | Path, *, precision: str | None = None, threads: int = 0) -> None:
        try:
            self.compiled = _Compiled(path, precision, threads)
        except Exception as error:  # OpenVINO raises its own exceptions for each kind of invalid file
            raise UnnoiseError(f"cannot read the model '{path}': {' '.join(str(error).split())}") from error
        super().__init__(Card.from_metadata(self.compiled.metadata, str(path)))

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Denoise one image."""
        request = self.compiled.create_infer_request()  # one per call, since several threads may call
        return np.array(request.infer(self.feed(noisy, sigma))["clean"])[0].transpose(1, 2, 0)

    def release(self) -> None:
        """Give the memory of features, which is some hundred MB, back to the system."""
        self.compiled.release_memory()


class _Compiled(openvino.CompiledModel):
    """A compiled model that can be pickled, by compiling it again, and whose copies are itself."""

    def __init__(self, model: str | Path | bytes, precision: str | None, threads: int) -> None:
        self._arguments = model, precision, threads
        reader = FrontEndManager().load_by_framework("onnx")  # other formats are not tried
        network = reader.convert(reader.load(io.BytesIO(model) if isinstance(model, bytes) else str(model)))
        found = network.has_rt_info(["framework", KEY])
        self.metadata = {KEY: network.get_rt_info(["framework", KEY]).value} if found else {}
        fast = _bf16_pays() and not _hangs_in_bf16(network)
        options: dict[str, object] = {"INFERENCE_PRECISION_HINT": precision or ("bf16" if fast else "f32")}
        if threads:
            options["INFERENCE_NUM_THREADS"] = threads
        super().__init__(_core().compile_model(network, "CPU", options))

    def __deepcopy__(self, memo: dict[int, Any]) -> _Compiled:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        model, precision, threads = self._arguments
        return _Compiled, (portable(model), precision, threads)


@cache
def _core() -> openvino.Core:
    """Return the runtime, which is never unloaded.

    It sets an alternative signal stack on the thread that loads it, and frees that memory when it is unloaded on any
    thread: the next signal, such as Ctrl-C or SIGCHLD, would then crash the process.
    """
    return openvino.Core()


def _hangs_in_bf16(model: openvino.Model) -> bool:
    """Return whether a model has a grouped convolution with a kernel of one row, such as those of `ImpulseFill`.

    OpenVINO 2026.4.1 hangs on one of 1x15 in bfloat16 on an AMD EPYC with avx512_bf16.
    """
    grouped = (op.input(1).get_shape()[-2:] for op in model.get_ops() if op.get_type_name() == "GroupConvolution")
    return any(height == 1 < width for height, width in grouped)


@cache
def _bf16_pays() -> bool:
    """Return whether a convolution is at least 25 % faster in bfloat16; it is slower on many processors."""
    core = _core()
    if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        return False
    features = ops.parameter([1, 32, 128, 128], np.float32)
    kernels = ops.constant(np.ones((32, 32, 3, 3), np.float32))
    layer = openvino.Model([ops.convolution(features, kernels, *[[1, 1]] * 4)], [features])  # type: ignore[misc]

    def fastest(precision: str) -> float:
        options = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": 1}
        request = core.compile_model(layer, "CPU", options).create_infer_request()
        seconds = []
        for _ in range(4):  # the first is a warm-up
            start = time.perf_counter()
            request.infer([np.ones((1, 32, 128, 128), np.float32)])
            seconds.append(time.perf_counter() - start)
        return min(seconds)

    return 1.25 * fastest("bf16") < fastest("f32")
