"""Hostile clients of the service, for load.py: what each kind sends, and many of them at once.

    python benchmarks/robustness/hostile_clients.py ADDRESS [--count 16] [--source 127.0.0.2]

They go on until they are ended: each connects again and again, as another kind each time, from an address of their own,
at the lowest priority, for they stand for other machines.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import struct
import sys
import threading
import zlib
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common
import numpy as np

from unnoise import io

PATIENCE = 5.0  # seconds that they wait for an answer


def png_header(side: int) -> bytes:
    """Return a PNG that announces a large image, and holds almost no data."""
    chunks = {b"IHDR": struct.pack(">2I5B", side, side, 8, 2, 0, 0, 0), b"IDAT": zlib.compress(bytes(99)), b"IEND": b""}
    checksums = {name: struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks.items()}
    parts = (struct.pack(">I", len(data)) + name + data + checksums[name] for name, data in chunks.items())
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def hostile_clients(data: bytes) -> dict[str, tuple[bytes, bool]]:
    """Return what each kind of client sends, and whether it then waits for the response."""

    def request(body: bytes, length: int | None = None, content_type: str = "image/png") -> bytes:
        head = f"POST /v1/denoise HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\n"
        return f"{head}Content-Length: {len(body) if length is None else length}\r\n\r\n".encode() + body

    headers = b"".join(b"X-%d: %s\r\n" % (number, b"y" * 90) for number in range(2000))
    black = io.encode(io.from_array(np.zeros((6300, 6300), np.uint8)), ".png")
    layers = zlib.compress(zlib.compress(bytes(10**8)))
    return {
        "slow headers": (b"POST /v1/denoise HTTP/1.1\r\nHost: ", True),
        "slow bodies": (request(data[:1000], len(data)), True),
        "disconnect while sending": (request(data[: len(data) // 2], len(data)), False),
        "disconnect while waiting": (request(data), False),
        "image of 100000 x 100000": (request(png_header(100_000)), True),
        "40 megapixels in 40 kB, disconnect": (request(black), False),
        "compressed zeros": (request(layers, content_type="application/octet-stream"), True),
        "text as an image": (request(b"<svg onload=alert(1)>" * 99), True),
        "another content type": (request(b'{"url": "file:///etc/passwd"}', content_type="application/json"), True),
        "10 GB announced": (request(b"", 10_000_000_000), True),
        "flood of headers": (b"GET /healthz HTTP/1.1\r\n" + headers, True),
        "binary garbage": (bytes(range(256)) * 99, True),
    }


def attack(address: tuple[str, int], source: str, kinds: list[tuple[bytes, bool]], first: int) -> None:
    """Connect again and again, as one kind after the other, beginning with the one of a number."""
    for payload, waits in itertools.islice(itertools.cycle(kinds), first % len(kinds), None):
        with contextlib.suppress(OSError):
            connection = socket.create_connection(address, PATIENCE, source_address=(source, 0))
            with connection:
                connection.sendall(payload)
                while waits and connection.recv(65536):
                    pass


def main() -> None:
    """Attack until ended."""
    parser = common.parser(__doc__)
    parser.add_argument("address")
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--source", default="127.0.0.2", help="address that they connect from")
    given = parser.parse_args()
    os.nice(19)
    url = urlsplit(given.address)
    target = url.hostname or "127.0.0.1", url.port or 80
    noise = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), np.uint8)
    kinds = list(hostile_clients(io.encode(io.from_array(noise), ".jpg", quality=92)).values())
    for number in range(given.count):
        threading.Thread(target=attack, args=(target, given.source, kinds, number), daemon=True).start()
    print("attacking", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
