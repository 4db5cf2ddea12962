"""ONNX files whose graphs may run without end are refused, and all others are left to the engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from unnoise import denoisers
from unnoise.denoisers import onnx_graph
from unnoise.errors import UnnoiseError


def field(number: int, data: bytes) -> bytes:
    """Return a field of a message that has a length."""
    return _number(number << 3 | 2) + _number(len(data)) + data


def _number(value: int) -> bytes:
    low, value = value & 127, value >> 7
    return bytes([low | 128]) + _number(value) if value else bytes([low])


def model(*operators: str, in_function: bool = False) -> bytes:
    """Return a file whose graph, or a function of it, has nodes of these operators among large weights."""
    outer, inner = (25, 7) if in_function else (7, 1)
    nodes = b"".join(field(inner, field(1, b"input") + field(4, name.encode())) for name in operators)
    weights = field(5, bytes(100_000))
    return b"\x08\x08" + field(2, b"maker") + field(outer, weights + nodes + weights)


@pytest.mark.parametrize("operator", onnx_graph.CONTROL)
@pytest.mark.parametrize("in_function", [False, True])
def test_control_flow_is_refused(operator: str, in_function: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(model("Conv", operator, in_function=in_function))
    for engine in ("onnx", None):
        with pytest.raises(UnnoiseError, match=f"the operator {operator}, and may never end"):
            denoisers.make(path, engine=engine)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no model",
        model("Conv", "Relu"),
        model("Loop")[:-150_000],
        b"\xff" * 30,
        model("LoopedConv"),
        b"\x3a\x05a",
    ],
)
def test_others_are_left_to_the_engines(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(data)
    onnx_graph.check(path)


def test_the_bundled_models_pass() -> None:
    for path in denoisers.bundled_models().values():
        onnx_graph.check(path)


def test_it_reads_what_the_library_writes(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    body = helper.make_graph([], "body", [], [])
    node = helper.make_node("Loop", ["n", "go"], ["out"], body=body)
    onnx.save(helper.make_model(helper.make_graph([node], "g", [], [])), tmp_path / "a.onnx")
    with pytest.raises(UnnoiseError, match="operator Loop"):
        onnx_graph.check(tmp_path / "a.onnx")
