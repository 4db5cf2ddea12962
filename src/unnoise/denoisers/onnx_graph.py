"""Operators and inputs of ONNX files, by the few bytes of Protocol Buffers that name them.

Files whose graphs can run without end are refused; inputs can be made such that they have to be given.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from unnoise.errors import UnnoiseError

CONTROL = ("If", "Loop", "Scan")
"""Operators with graphs of their own, of which no denoiser is made; a loop of 2^63 steps fits into a hundred bytes."""

_GRAPH, _FUNCTIONS = 7, 25  # fields of ModelProto; see onnx.proto of ONNX
_NODES, _FUNCTION_NODES = 1, 7  # of GraphProto and of FunctionProto
_INITIALIZERS, _TENSOR_NAME = 5, 8  # of GraphProto and of TensorProto
_OPERATOR = 4  # of NodeProto


def check(path: str | Path) -> None:
    """Refuse a file with operators for control flow; what is no ONNX file is left to the engines.

    Raises:
        UnnoiseError: it has such an operator.
    """
    try:
        with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            found = next((name for name in _operators(data) if name in CONTROL), None)
    except (OSError, ValueError, IndexError):
        return
    if found:
        raise UnnoiseError(f"cannot use the model '{path}': its graph has the operator {found}, and may never end")


def without_default(model: bytes, name: str) -> bytes:
    """Return a model whose input has no default, so that it has to be given; ONNX Runtime for browsers wants it so.

    Args:
        model: an ONNX file.
        name: of the input; without a default, the model is returned as it is.

    Raises:
        ValueError: it is no ONNX file.
    """
    for field, start, stop in _fields(model, 0, len(model)):
        if field != _GRAPH:
            continue
        for inner, first, last in _fields(model, start, stop):
            if inner != _INITIALIZERS:
                continue
            names = (model[a:b] for part, a, b in _fields(model, first, last) if part == _TENSOR_NAME)
            if next(names, b"") == name.encode():
                lead = model[start : first - len(_lead(inner, last - first))]
                graph = lead + model[last:stop]
                before = model[: start - len(_lead(field, stop - start))]
                return before + _lead(field, len(graph)) + graph + model[stop:]
    return model


def _lead(field: int, length: int) -> bytes:
    """Return what stands before a field: its number, and its length."""
    return _varint(field << 3 | 2) + _varint(length)


def _varint(value: int) -> bytes:
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def _operators(data: mmap.mmap) -> Iterator[str]:
    """Yield the operators of all nodes of the graph and of functions; those within others come after these."""
    for field, start, stop in _fields(data, 0, len(data)):
        if field not in (_GRAPH, _FUNCTIONS):
            continue
        nodes = _NODES if field == _GRAPH else _FUNCTION_NODES
        for inner, first, last in _fields(data, start, stop):
            if inner == nodes:
                for part, begin, end in _fields(data, first, last):
                    if part == _OPERATOR:
                        yield data[begin:end].decode(errors="replace")


def _fields(data: mmap.mmap | bytes, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, start and end of each field of a message that has a length; others are passed over.

    Raises:
        ValueError: it is no message.
    """
    while start < stop:
        key, start = _number(data, start)
        match key & 7:
            case 0:
                _, start = _number(data, start)
            case 1:
                start += 8
            case 2:
                length, start = _number(data, start)
                if start + length > stop:
                    raise ValueError("a field beyond the end of its message")
                yield key >> 3, start, start + length
                start += length
            case 5:
                start += 4
            case _:
                raise ValueError("an unknown kind of field")


def _number(data: mmap.mmap | bytes, start: int) -> tuple[int, int]:
    """Return a number of seven bits per byte, and where it ends."""
    value = 0
    for place in range(10):
        byte = data[start + place]
        value |= (byte & 127) << 7 * place
        if byte < 128:
            return value, start + place + 1
    raise ValueError("a number of more than ten bytes")
