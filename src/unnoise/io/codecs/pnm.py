"""PBM, PGM, PPM and PAM (Netpbm's formats, netpbm.sourceforge.net/doc), and PFM (floats; Debevec, HDRShop)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import IO

import numpy as np

from unnoise.errors import UnnoiseError
from unnoise.io.codecs import Opened
from unnoise.io.formats import HEAD, Header
from unnoise.io.layout import UNASSOCIATED, Layout

_SPACE = rb"(?:\s|#[^\n\r]*[\n\r])"  # a comment ends with its line
_NUMBERS = re.compile(rb"%b+(\d{1,10})" % _SPACE)
_SCALE = re.compile(rb"\s+([-+]?[\d.]{1,30}(?:[eE][-+]?\d{1,3})?)\s")
_PAM_LINE = re.compile(rb"(WIDTH|HEIGHT|DEPTH|MAXVAL|TUPLTYPE)\s+(.*)|#.*|\s*")
_FLOATS = {b"Pf": 1, b"PF": 3}
_PLAIN = (b"P1", b"P2", b"P3")  # numbers as text
_BITS = (b"P1", b"P4")  # 1 is black


@dataclass(frozen=True)
class _Fields:
    magic: bytes
    width: int
    height: int
    depth: int
    maxval: int
    start: int  # of the pixels
    scale: float = 0.0
    alpha: bool = False

    @property
    def stored(self) -> str:
        """The type of a sample in the file."""
        if self.magic in _FLOATS:
            return "<f4" if self.scale < 0 else ">f4"
        return "u1" if self.maxval < 256 else ">u2"


def open_file(file: IO[bytes]) -> Opened:
    """Read the header of a file; of several images in it, the first."""
    head = file.read(HEAD)
    fields = _pam(head) if head.startswith(b"P7") else _pnm(head)
    if fields.magic not in _FLOATS and not 1 <= fields.maxval <= 65535:
        raise ValueError(f"a largest value of {fields.maxval}")
    color = fields.depth - fields.alpha
    if color not in (1, 3):
        raise UnnoiseError(f"{fields.depth} channels are neither gray nor RGB: convert it to TIFF first")
    layout = Layout(color, (UNASSOCIATED,) if fields.alpha else ())
    dtype = np.dtype(np.float32 if fields.magic in _FLOATS else np.uint8 if fields.maxval < 256 else np.uint16)
    kept = {"pnm-header": (fields.magic, fields.maxval, fields.scale)}
    return Opened(fields.height, fields.width, layout, dtype, lambda file: _load(file, fields), metadata=kept)


def encode(samples: np.ndarray, header: Header, quality: int | None) -> bytes:
    """Encode as PGM or PPM, as PAM if there is alpha or was one, floats as PFM."""
    height, width, depth = samples.shape
    magic, maxval, scale = header.metadata.get("pnm-header", (b"P5", 0, 0.0))
    if samples.dtype.kind == "f":
        scale = scale or -1.0
        data = samples[::-1].astype("<f4" if scale < 0 else ">f4")
        return b"%b\n%d %d\n%b\n" % (b"Pf" if depth == 1 else b"PF", width, height, b"%r" % scale) + data.tobytes()
    top = np.iinfo(samples.dtype).max
    maxval = maxval if samples.dtype == np.uint16 and maxval > 255 else top
    data = np.minimum(samples, maxval).astype("u1" if maxval < 256 else ">u2").tobytes()
    if header.alpha or magic == b"P7":
        kind = ("GRAYSCALE" if depth < 3 else "RGB") + ("_ALPHA" if header.alpha else "")
        lines = f"WIDTH {width}\nHEIGHT {height}\nDEPTH {depth}\nMAXVAL {maxval}\nTUPLTYPE {kind}\nENDHDR\n"
        return b"P7\n" + lines.encode() + data
    return b"%b\n%d %d\n%d\n" % (b"P5" if depth == 1 else b"P6", width, height, maxval) + data


def _pnm(head: bytes) -> _Fields:
    magic = head[:2]
    numbers, place = [], 2
    for _ in range(2 if magic in (*_BITS, *_FLOATS) else 3):
        match = _NUMBERS.match(head, place)
        if match is None:
            raise ValueError("its header is incomplete")
        numbers.append(int(match[1]))
        place = match.end()
    if magic in _FLOATS:
        match = _SCALE.match(head, place)
        if match is None:
            raise ValueError("its header is incomplete")
        return _Fields(magic, numbers[0], numbers[1], _FLOATS[magic], 0, match.end(), float(match[1]))
    if not head[place : place + 1].isspace():
        raise ValueError("its header is incomplete")
    maxval = numbers[2] if len(numbers) == 3 else 1
    return _Fields(magic, numbers[0], numbers[1], 3 if magic in (b"P3", b"P6") else 1, maxval, place + 1)


def _pam(head: bytes) -> _Fields:
    text, end, _ = head.partition(b"\nENDHDR\n")
    values: dict[bytes, bytes] = {}
    for line in text.splitlines()[1:]:
        match = _PAM_LINE.fullmatch(line)
        if match is None:
            raise ValueError("its header is damaged")
        if match[1]:
            values[match[1]] = match[2].strip()
    numbers = [int(values[name]) for name in (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL")]
    if not end:
        raise ValueError("its header is incomplete")
    alpha = values.get(b"TUPLTYPE", b"").endswith(b"_ALPHA") or numbers[2] == 4
    return _Fields(b"P7", *numbers, start=len(text) + len(end), alpha=alpha)


def _load(file: IO[bytes], fields: _Fields) -> np.ndarray:
    """Return the samples `[H, W, C]`; fewer than 256 levels are spread over 8 bits."""
    file.seek(fields.start)
    shape = (fields.height, fields.width, fields.depth)
    if fields.magic in _PLAIN:
        samples = _plain(file.read(), fields)
    elif fields.magic == b"P4":
        row = -(-fields.width // 8)
        packed = np.frombuffer(_exactly(file, row * fields.height), np.uint8).reshape(fields.height, row)
        samples = np.unpackbits(packed, axis=1)[:, : fields.width]
    else:
        size = np.dtype(fields.stored).itemsize
        samples = np.frombuffer(_exactly(file, size * int(np.prod(shape))), fields.stored)
    samples = samples.reshape(shape)
    if fields.magic in _FLOATS:
        return samples[::-1].astype(np.float32)  # from the bottom up
    if fields.magic in _BITS:
        samples = 1 - np.minimum(samples, 1)
    if samples.max(initial=0) > fields.maxval:
        raise ValueError(f"a value over the largest one, {fields.maxval}")
    if fields.maxval < 255:
        return np.rint(samples * (255 / fields.maxval)).astype(np.uint8)
    return samples.astype(np.uint8 if fields.maxval < 256 else np.uint16)


def _plain(text: bytes, fields: _Fields) -> np.ndarray:
    """Read numbers; those of bilevel images need no spaces between them."""
    count = fields.height * fields.width * fields.depth
    text = re.sub(rb"#[^\n\r]*", b" ", text)
    words = re.findall(rb"[01]", text) if fields.magic == b"P1" else text.split()
    if len(words) < count:
        raise ValueError("too short")
    return np.array(words[:count]).astype(np.uint32)


def _exactly(file: IO[bytes], count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise ValueError("too short")
    return data
