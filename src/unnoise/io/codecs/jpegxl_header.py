"""The header of a JPEG XL codestream (ISO/IEC 18181-1, annexes B to E), as far as to its colors."""

from __future__ import annotations

from dataclasses import dataclass

START = b"\xff\x0a"
_RATIOS = ((0, 0), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))  # width to height
_ALPHA = 0  # type of an extra channel
_RGB, _GRAY = 0, 1  # color spaces
_D65, _SRGB, _CUSTOM, _SRGB_TRANSFER = 1, 1, 2, 13
_PROFILE = "an ICC profile"


@dataclass(frozen=True)
class JpegXLHeader:
    """What a codestream says of its image.

    Attributes:
        height: of the upright image.
        width: of the upright image.
        bits: of a sample.
        real: whether samples are floats.
        extras: types of the channels after gray or color.
        associated: whether colors are multiplied by alpha.
        animated: whether there are several frames.
        xyb: whether colors are stored as XYB, as lossy files have them; others are lossless but for rare ones.
        gray: whether there is no color.
        color: what the colors are, where they are not sRGB; else "".
        turned: whether the decoder rotates the image.
        head: the bytes of the header; b"" if its end is not known, as of those with an ICC profile.
    """

    height: int
    width: int
    bits: int = 8
    real: bool = False
    extras: tuple[int, ...] = ()
    associated: bool = False
    animated: bool = False
    xyb: bool = True
    gray: bool = False
    color: str = ""
    turned: bool = False
    head: bytes = b""

    @property
    def is_plain(self) -> bool:
        """Whether these are 8 bits of sRGB, which encoders take for granted."""
        return self.bits == 8 and not self.real and not self.color

    @property
    def alpha(self) -> bool:
        """Whether there is transparency, and no other channel."""
        return self.extras == (_ALPHA,)


class _Bits:
    """Bits of a codestream, from the lowest of each byte."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "little"), 8 * len(data)
        self.taken = 0

    def take(self, count: int = 1) -> int:
        if count > self._left:
            raise ValueError("its header is incomplete")
        value = self._value & ((1 << count) - 1)
        self._value >>= count
        self._left -= count
        self.taken += count
        return value

    def choice(self, *rows: tuple[int, int]) -> int:
        """Return a number in one of four ways, each a constant and the number of bits that are added to it."""
        base, count = rows[self.take(2)]
        return base + self.take(count)

    def enum(self) -> int:
        return self.choice((0, 0), (1, 0), (2, 4), (18, 6))


def read_header(codestream: bytes) -> JpegXLHeader:
    """Read the header of a codestream.

    Raises:
        ValueError: it is damaged.
    """
    if not codestream.startswith(START):
        raise ValueError("no codestream")
    bits = _Bits(codestream[2:4096])
    height, width = _size(bits)
    if bits.take():  # all values are the usual ones
        return JpegXLHeader(height, width)
    further, orientation = bits.take(), 1
    if further:
        orientation = 1 + bits.take(3)
        if bits.take():
            _size(bits)
        if bits.take():
            _skip_preview(bits)
        if bits.take():
            return JpegXLHeader(height, width, animated=True)
    if orientation > 4:
        height, width = width, height
    count, real = _depth(bits)
    bits.take()
    extras = [_extra(bits) for _ in range(bits.choice((0, 0), (1, 0), (2, 4), (1, 12)))]
    xyb = bool(bits.take())
    gray, color = _color(bits)
    known = color != _PROFILE and _ends(bits, further=bool(further))
    head = codestream[: 2 + (bits.taken + 7) // 8] if known else b""
    kinds, associated = tuple(kind for kind, _ in extras), any(one for _, one in extras)
    return JpegXLHeader(
        height, width, count, real, kinds, associated, False, xyb, gray, color, orientation > 1, head
    )  # fmt: skip


def _ends(bits: _Bits, *, further: bool) -> bool:
    """Read a header from behind its colors to its end; return whether that is known."""
    if further and not bits.take():  # tone mapping
        bits.take(49)
    return bits.take(2) == 0 and bits.take() == 1  # no extensions; the usual upsampling and conversion of colors


def _size(bits: _Bits) -> tuple[int, int]:
    """Return height and width."""
    eighths = bits.take()

    def side() -> int:
        return 8 * (1 + bits.take(5)) if eighths else bits.choice((1, 9), (1, 13), (1, 18), (1, 30))

    height, ratio = side(), bits.take(3)
    return (height, height * _RATIOS[ratio][0] // _RATIOS[ratio][1]) if ratio else (height, side())


def _skip_preview(bits: _Bits) -> None:
    eighths = bits.take()
    sides = ((16, 0), (32, 0), (1, 5), (33, 9)) if eighths else ((1, 6), (65, 8), (321, 10), (1345, 12))
    bits.choice(*sides)
    if bits.take(3) == 0:
        bits.choice(*sides)


def _depth(bits: _Bits) -> tuple[int, bool]:
    """Return the bits of a sample, and whether it is a float."""
    if not bits.take():
        return bits.choice((8, 0), (10, 0), (12, 0), (1, 6)), False
    count = bits.choice((32, 0), (16, 0), (24, 0), (1, 6))
    bits.take(4)
    return count, True


def _extra(bits: _Bits) -> tuple[int, bool]:
    """Return the type of an extra channel, and whether it is alpha that colors are multiplied by."""
    if bits.take():
        return _ALPHA, False
    kind = bits.enum()
    _depth(bits)
    bits.choice((0, 0), (3, 0), (4, 0), (1, 3))
    length = bits.choice((0, 0), (0, 4), (16, 5), (48, 10))
    bits.take(8 * length)
    if kind != _ALPHA:
        raise NotImplementedError("JPEG XL with further channels is not supported: convert it to TIFF first")
    return kind, bool(bits.take())


def _color(bits: _Bits) -> tuple[bool, str]:
    """Return whether an image is gray, and what its colors are, if they are not sRGB."""
    if bits.take():
        return False, ""
    profile, space = bits.take(), bits.enum()
    if profile:
        return space == _GRAY, _PROFILE
    gray, odd = space == _GRAY, [] if space in (_RGB, _GRAY) else ["colors of another kind"]
    white = bits.enum()
    if white != _D65:
        odd.append("another white point")
    _skip_points(bits, 1 if white == _CUSTOM else 0)
    if space == _RGB:
        primaries = bits.enum()
        if primaries != _SRGB:
            odd.append("other primaries than those of sRGB")
        _skip_points(bits, 3 if primaries == _CUSTOM else 0)
    if bits.take():
        bits.take(24)  # gamma
        odd.append("another transfer function than that of sRGB")
    elif bits.enum() != _SRGB_TRANSFER:
        odd.append("another transfer function than that of sRGB")
    bits.enum()  # rendering intent
    return gray, ", ".join(odd)


def _skip_points(bits: _Bits, count: int) -> None:
    """Skip points of the plane of chromaticities."""
    for _ in range(2 * count):
        bits.choice((0, 19), (2**19, 19), (2**20, 20), (2**21, 21))
