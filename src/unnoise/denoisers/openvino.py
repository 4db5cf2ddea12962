"""A model in an ONNX file as a denoiser, on OpenVINO: in bfloat16 where the processor is faster in it, and it ends."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path

import numpy as np
import openvino
from openvino import opset13 as ops
from openvino.frontend import FrontEndManager

from unnoise.denoisers.base import Sigma
from unnoise.denoisers.exported import ExportedNetwork
from unnoise.denoisers.model_card import KEY, Card
from unnoise.errors import UnnoiseError


class OpenVino(ExportedNetwork):
    """An exported network.

    In bfloat16, pixels differ from those of float32 by a quarter of an 8-bit level on average, single ones by two or
    three; in float32, by nothing that 8 bits hold.

    Args:
        path: the `.onnx` file.
        precision: "bf16" or "f32"; None for what pays on this processor.
        threads: processor threads; 0 for one per core that this process may use.

    Raises:
        UnnoiseError: the file cannot be read, or is not a model of ours.
    """

    def __init__(self, path: str | Path, *, precision: str | None = None, threads: int = 0) -> None:
        core = _core()
        try:
            reader = FrontEndManager().load_by_framework("onnx")  # no other kind of model is tried
            model = reader.convert(reader.load(str(path)))
            told = {KEY: model.get_rt_info(["framework", KEY]).value} if model.has_rt_info(["framework", KEY]) else {}
            fast = _bf16_pays() and not _hangs_in_bf16(model)
            options: dict[str, object] = {"INFERENCE_PRECISION_HINT": precision or ("bf16" if fast else "f32")}
            if threads:
                options["INFERENCE_NUM_THREADS"] = threads
            self.compiled = core.compile_model(model, "CPU", options)
        except Exception as error:  # OpenVINO raises a family of its own for every way a file can be wrong
            raise UnnoiseError(f"cannot read the model '{path}': {' '.join(str(error).split())}") from error
        super().__init__(Card.from_metadata(told, str(path)))

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Clean one picture."""
        request = self.compiled.create_infer_request()  # of its own, so that several threads may clean at once
        return np.array(request.infer(self.feed(noisy, sigma))["clean"])[0].transpose(1, 2, 0)


@cache
def _core() -> openvino.Core:
    """Return the runtime, which stays as long as the process.

    It gives the thread that loads it a stack for signals, and takes the memory of that away when it is unloaded, by
    whichever thread: the next signal, such as Ctrl-C or the end of a child, would then end the process.
    """
    return openvino.Core()


def _hangs_in_bf16(model: openvino.Model) -> bool:
    """Say whether a model has a grouped convolution along rows alone, as `FillLost` counts with.

    OpenVINO 2026.4.1 never ended one of 1x15 in bfloat16 on an AMD EPYC with avx512_bf16.
    """
    grouped = (op.input(1).get_shape()[-2:] for op in model.get_ops() if op.get_type_name() == "GroupConvolution")
    return any(height == 1 < width for height, width in grouped)


@cache
def _bf16_pays() -> bool:
    """Say whether a convolution is a quarter faster in bfloat16: many processors that have it are slower in it."""
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
        for _ in range(4):  # the first one warms up
            start = time.perf_counter()
            request.infer([np.ones((1, 32, 128, 128), np.float32)])
            seconds.append(time.perf_counter() - start)
        return min(seconds)

    return 1.25 * fastest("bf16") < fastest("f32")
