"""Files with all kinds of metadata, for tests."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

XMP = b'<?xpacket begin=""?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6"/></x:xmpmeta>'
IPTC = b"\x1c\x02\x00\x00\x02\x00\x02\x1c\x02\x78\x00\x07Caption"
PHOTOSHOP = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + struct.pack(">I", len(IPTC)) + IPTC + bytes(len(IPTC) % 2)
MAKER_NOTE = b"Maker\0" + struct.pack("<HHHII", 1, 7, 4, 1, 4711) + bytes(range(256))


def photograph(size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """Return a smooth uint8 RGB image without symmetry."""
    y, x = np.mgrid[: size[0], : size[1]] / 10
    return np.stack([120 + 9 * x, 60 + 20 * np.sin(x) + 8 * y, 200 - 20 * y + 9 * np.cos(2 * x)], axis=-1).astype("u1")


def saved(image: Image.Image | np.ndarray, format: str, **options: object) -> bytes:
    """Return an image as Pillow writes it."""
    file = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(file, format, **options)
    return file.getvalue()


def exif(
    *, order: str = "<", orientation: int | None = 1, thumbnail: bytes = b"", size: tuple[int, int] = (64, 48)
) -> bytes:
    """Return an EXIF block with a maker note at a place of its own, between unused bytes."""
    zeroth = {0x010F: (2, b"Maker\0"), 0x0110: (2, b"Camera One\0"), 0x8769: (4, b"")}
    zeroth |= {0x011A: (5, struct.pack(f"{order}II", 240, 1)), 0x011B: (5, struct.pack(f"{order}II", 120, 1))}
    if orientation is not None:
        zeroth[0x0112] = 3, struct.pack(f"{order}H", orientation)
    camera = {
        0x829A: (5, struct.pack(f"{order}II", 1, 125)), 0x927C: (7, MAKER_NOTE),
        0xA002: (4, struct.pack(f"{order}I", size[0])), 0xA003: (3, struct.pack(f"{order}H", size[1])),
        0x9003: (2, b"2020:01:02 03:04:05\0"),
    }  # fmt: skip
    sizes = {2: 1, 3: 2, 4: 4, 5: 8, 7: 1}

    def directory(fields: dict[int, tuple[int, bytes]], place: int, following: int) -> bytes:
        head, rest = struct.pack(f"{order}H", len(fields)), b"gap!"
        start = place + 2 + 12 * len(fields) + 4
        for tag, (kind, value) in sorted(fields.items()):
            head += struct.pack(f"{order}HHI", tag, kind, max(1, len(value) // sizes[kind]))
            if len(value) > 4:
                head += struct.pack(f"{order}I", start + len(rest))
                rest += value + bytes(len(value) % 2) + b"gap!"
            else:
                head += value.ljust(4, b"\0")
        return head + struct.pack(f"{order}I", following) + rest

    length = len(directory(zeroth, 8, 0))
    zeroth[0x8769] = 4, struct.pack(f"{order}I", 8 + length)
    end = 8 + length + len(directory(camera, 0, 0))
    first = directory(zeroth, 8, end if thumbnail else 0)
    block = first + directory(camera, 8 + length, 0)
    if thumbnail:
        fields = {0x0103: (3, struct.pack(f"{order}H", 6)), 0x0202: (4, struct.pack(f"{order}I", len(thumbnail)))}
        fields[0x0201] = 4, struct.pack(f"{order}I", end + 2 + 12 * 3 + 4 + 4)
        block += directory(fields, end, 0) + thumbnail + b"end of the block"
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
    return b"Exif\0\0" + head + block


def jpeg(
    segments: Sequence[tuple[int, bytes]], image: np.ndarray | None = None, trailer: bytes = b"", **options: object
) -> bytes:
    """Return a JPEG with these segments, and none of the encoder's."""
    data = saved(photograph() if image is None else image, "JPEG", **options)
    place = 2
    while data[place + 1] in range(0xE0, 0xF0):
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    made = b"".join(bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body for marker, body in segments)
    return data[:2] + made + data[place:] + trailer


def segments(data: bytes) -> list[tuple[int, bytes]]:
    """Return the application and comment segments of a JPEG."""
    found, place = [], 2
    while data[place + 1] != 0xDA:
        size = int.from_bytes(data[place + 2 : place + 4], "big")
        if data[place + 1] in (*range(0xE0, 0xF0), 0xFE):
            found.append((data[place + 1], data[place + 4 : place + 2 + size]))
        place += 2 + size
    return found


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(
    chunks: Sequence[tuple[bytes, bytes]], image: Image.Image | np.ndarray | None = None, **options: object
) -> bytes:
    """Return a PNG with these chunks before its pixels."""
    data = saved(photograph() if image is None else image, "PNG", **options)
    place = data.index(b"IDAT") - 4
    return data[:place] + b"".join(chunk(*each) for each in chunks) + data[place:]


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return the ancillary chunks of a PNG."""
    found, place = [], 8
    while place < len(data):
        size, name = struct.unpack_from(">I4s", data, place)
        if name[0] >= 0x60:
            found.append((name, data[place + 8 : place + 8 + size]))
        assert struct.unpack_from(">I", data, place + 8 + size)[0] == zlib.crc32(data[place + 4 : place + 8 + size])
        place += 12 + size
    return found


def riff(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return the chunks of a WebP."""
    assert int.from_bytes(data[4:8], "little") == len(data) - 8
    found, place = [], 12
    while place < len(data):
        name, size = struct.unpack_from("<4sI", data, place)
        found.append((name, data[place + 8 : place + 8 + size]))
        place += 8 + size + size % 2
    return found


def mpf(base: int, first: int, others: list[tuple[int, int]], kind: int = 0) -> bytes:
    """Return an index of images: base in the file, size of the first one, place and size of the others."""
    entries = struct.pack(">IIIHH", 0x030000, first, 0, 0, 0)
    entries += b"".join(struct.pack(">IIIHH", kind, size, place - base, 0, 0) for place, size in others)
    fields = struct.pack(">HHHI4s", 3, 0xB000, 7, 4, b"0100") + struct.pack(">HHII", 0xB001, 4, 1, 1 + len(others))
    fields += struct.pack(">HHII", 0xB002, 7, len(entries), 50) + bytes(4)
    return b"MPF\0MM\0*\0\0\0\x08" + fields + entries


GAIN_MAP = (0xE1, b"http://ns.adobe.com/xap/1.0/\0<rdf:Description hdrgm:Version='1.0'/>")


def with_second_image(
    kind: int = 0, orientation: int = 1, own: Sequence[tuple[int, bytes]] = ()
) -> tuple[bytes, bytes]:
    """Return a JPEG with a second image behind it, which has segments of its own, and the second image."""
    second = jpeg(own, photograph((16, 24)))
    before = [(0xE1, exif(orientation=orientation))]
    size = len(jpeg([*before, (0xE2, mpf(0, 0, [(0, 0)]))]))
    base = 2 + 4 + len(before[0][1]) + 4 + 4
    return jpeg([*before, (0xE2, mpf(base, size, [(size, len(second))], kind))], trailer=second), second
