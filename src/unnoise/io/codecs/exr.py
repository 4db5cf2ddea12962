"""OpenEXR by its own library: the colors of one part; all other channels, parts and attributes are carried."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import OpenEXR

from unnoise.errors import UnnoiseError
from unnoise.io.codecs import Opened
from unnoise.io.containers.blocks import Block, Blocks
from unnoise.io.formats import Header
from unnoise.io.layout import Layout

_SETS = (("R", "G", "B"), ("Y",))  # channels that make an image, with the name of their layer in front
_DEEP = (OpenEXR.deepscanline, OpenEXR.deeptile)
_PREVIEW = "preview"  # an attribute that shows the noisy image
_OWN = ("channels", "version", "chunkCount")  # attributes that are made by writing
_HALF = np.finfo(np.float16).max
_NOISE = b"<python_buffer>"  # begins the messages of the library
_lock = threading.Lock()


@dataclass(frozen=True)
class Stored:
    """A file without the pixels that are denoised.

    Attributes:
        file: all of it.
        part: number of the part with the image.
        channels: names of its channels, in the order of the samples.
    """

    file: bytes
    part: int
    channels: tuple[str, ...]


def open_file(file: IO[bytes]) -> Opened:
    """Read the headers of a file."""
    data = file.read()
    with _opened(data, header_only=True) as parts:
        number, names = next(
            ((number, names) for number, part in enumerate(parts) if (names := _image(_channels(part)))), (0, ())
        )
        part = parts[number]
        others = [name for name in _channels(part) if name not in names]
        further, preview = len(parts) - 1, _PREVIEW in part.header
        _check(part, names)
        first, last = part.header["dataWindow"]
    width, height = (int(side) for side in np.asarray(last) - np.asarray(first) + 1)
    noisy = [f"channel{'s' * (len(others) > 1)} {', '.join(others)}"] if others else []
    noisy += [f"{further} further part{'s' * (further > 1)}"] if further else []
    blocks = Blocks(
        "EXR", (Block("header", b"", title="the attributes of OpenEXR"),
                *(Block("other", b"", title=f"OpenEXR {name}") for name in noisy)),
        left_out=("a preview",) if preview else (), noisy=tuple(noisy),
    )  # fmt: skip
    stored = Stored(data, number, names)
    metadata = {"exr": stored, "blocks": blocks}
    return Opened(height, width, Layout(len(names)), np.dtype(np.float32), lambda _: _load(stored), metadata=metadata)


def encode(samples: np.ndarray, header: Header, quality: int | None) -> bytes:
    """Encode as the source with other colors; without one, as 32-bit floats with ZIP compression."""
    stored: Stored | None = header.metadata.get("exr")
    if stored is None:
        names = _SETS[0] if samples.shape[2] == 3 else _SETS[1]
        channels = {name: np.ascontiguousarray(samples[:, :, at]) for at, name in enumerate(names)}
        attributes = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
        return _written([OpenEXR.Part(attributes, channels)])
    with _opened(stored.file) as parts:
        return _written([_with_colors(part, samples, stored, number) for number, part in enumerate(parts)])


def _with_colors(part: Any, samples: np.ndarray, stored: Stored, number: int) -> Any:
    """Return a part as it is to be written; that with the image has other colors."""
    channels = dict(part.channels)
    if number == stored.part:
        for at, name in enumerate(stored.channels):
            before = channels[name]
            values = np.ascontiguousarray(samples[:, :, at])
            if before.pixels.dtype == np.float16:  # values that a half does not hold become its largest
                values = np.where(np.isfinite(values), np.clip(values, -_HALF, _HALF), values).astype(np.float16)
            channels[name] = OpenEXR.Channel(values, before.xSampling, before.ySampling, bool(before.pLinear))
    attributes = {name: value for name, value in part.header.items() if name not in (*_OWN, _PREVIEW)}
    return OpenEXR.Part(attributes, channels)


def _image(channels: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the channels of the image: those without a layer, else those of the first layer."""
    layers = dict.fromkeys(["", *(name[: name.rfind(".") + 1] for name in channels)])
    for names in _SETS:
        for layer in layers:
            if all(layer + name in channels for name in names):
                return tuple(layer + name for name in names)
    return tuple(channels) if len(channels) == 1 else ()


def _channels(part: Any) -> dict[str, Any]:
    """Return the channels of a part by their names, as its header describes them."""
    return {channel.name: channel for channel in part.header["channels"]}


def _check(part: Any, names: tuple[str, ...]) -> None:
    """Refuse what is no flat image of floats."""
    channels = _channels(part)
    if part.type() in _DEEP:
        raise UnnoiseError("deep OpenEXR is not supported: flatten it first")
    if not names:
        raise UnnoiseError(f"OpenEXR without a channel R, G, B or Y is not supported: it has {', '.join(channels)}")
    used = [channels[name] for name in names]
    if {"RY", "BY"} <= channels.keys() or any((one.xSampling, one.ySampling) != (1, 1) for one in used):
        raise UnnoiseError("OpenEXR with subsampled colors is not supported: convert it to RGB first")
    tiles = part.header.get("tiles")
    if tiles is not None and tiles.mode != OpenEXR.ONE_LEVEL:
        raise UnnoiseError("OpenEXR with smaller copies (mipmaps) is not supported: remove them first")


def _load(stored: Stored) -> np.ndarray:
    with _opened(stored.file) as parts:
        colors = [parts[stored.part].channels[name].pixels for name in stored.channels]
    if any(color.dtype.kind != "f" for color in colors):
        raise UnnoiseError("OpenEXR with colors of integers is not supported: convert it to floats first")
    return np.stack([color.astype(np.float32) for color in colors], axis=2)


@contextlib.contextmanager
def _opened(data: bytes, *, header_only: bool = False) -> Iterator[Any]:
    """Open the parts of a file, all channels apart."""
    with _quiet():
        file = OpenEXR.File(io.BytesIO(data), separate_channels=True, header_only=header_only)
    with file as opened:
        yield opened.parts


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Drop what the library prints about damaged files on standard output and error; all else is passed on."""
    with _lock, tempfile.TemporaryFile() as printed:
        out, errors = sys.stdout, os.dup(2)
        sys.stdout = _WithoutWarnings(out)
        os.dup2(printed.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(errors, 2)
            os.close(errors)
            sys.stdout = out
            printed.seek(0)
            others = b"".join(line for line in printed if _NOISE not in line)
            if others:
                os.write(2, others)


class _WithoutWarnings:
    """Standard output without the warnings of the library."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._dropped = stream, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        if not self._dropped and not text.startswith("Warning: Exception raised"):
            return self._stream.write(text)
        self._dropped = not text.endswith("\n")  # a line comes in pieces
        return len(text)


def _written(parts: list[Any]) -> bytes:
    stream = io.BytesIO()
    OpenEXR.File(parts).write(stream)
    return stream.getvalue()
