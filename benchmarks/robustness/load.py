"""The service under load: many clients, compared with the bare model; or hostile clients.

    python benchmarks/robustness/load.py [--clients 64] [--seconds 60] [--engine onnx] [--abuse]

Every client sends the same noisy JPEG of one megapixel again and again, after an answer at once, after a 429 when its
`Retry-After` has passed. First with model and sigma given, then blind. An answer is right if it equals the first one
byte for byte. `of_bare` is the throughput as a share of that of the model alone on arrays in memory, with one caller or
as many as cores, whichever is faster; it is measured before and after. `memory_growth_mb` is the mean memory of the
process in the last quarter of the time less that in the second. `wrong` and `failed` should be 0.

`--abuse`: clients that send slowly, disconnect, send decompression bombs, wrong types or floods, or announce 10 GB: the
responses, and the time until the next honest client got a right answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common
import numpy as np

from unnoise import api, denoisers, io
from unnoise.evaluation import report
from unnoise.system import cpu_count

SIGMA = 25
SIDE = 1000


@dataclass(frozen=True)
class Row:
    """One kind of request under load."""

    request: str
    right: int
    status_429: int
    wrong: int
    failed: int
    median_s: float
    p99_s: float
    images_per_s: float
    bare_per_s: float
    of_bare: float
    memory_mb: float
    memory_growth_mb: float


@dataclass(frozen=True)
class Abuse:
    """One kind of hostile client, and the responses to it."""

    clients: str
    count: int
    responses: str
    next_honest_s: float
    right: bool


def photograph() -> bytes:
    """Return a noisy JPEG of one megapixel."""
    from skimage import data

    clean = np.tile(data.chelsea(), (4, 3, 1))[:SIDE, :SIDE]
    noisy = api.add_noise(io.from_array(clean), f"gaussian:{SIGMA} + clip")
    return io.encode(noisy, ".jpg", quality=92)


@contextlib.contextmanager
def serving(engine: str) -> Iterator[tuple[str, int]]:
    """Run the service as a command; yield its address and its process id."""
    command = [*common.UNNOISE, "serve", "--port", "0", "--engine", engine]
    start = time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    address = json.loads(process.stderr.readline())["address"]
    threading.Thread(target=process.stderr.read, daemon=True).start()
    while not is_ready(address):
        time.sleep(0.01)
    print(f"The service was ready after {time.perf_counter() - start:.1f} s.\n")
    try:
        yield address, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def is_ready(address: str) -> bool:
    """Return whether the service is ready."""
    try:
        with urllib.request.urlopen(f"{address}/readyz", timeout=5):
            return True
    except OSError:
        return False


def denoise(address: str, query: str, data: bytes) -> bytes:
    """Denoise one image, as an honest client does."""
    request = urllib.request.Request(f"{address}/v1/denoise?{query}", data, {"Content-Type": "image/jpeg"})
    with urllib.request.urlopen(request, timeout=120) as response:
        return response.read()


async def exchange(host: str, port: int, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send a request on a new connection; return status, headers and body."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(request)
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        return int(head[0].split()[1]), headers, await reader.readexactly(int(headers["content-length"]))
    finally:
        writer.close()


async def crowd(
    address: str, query: str, data: bytes, expected: bytes, clients: int, seconds: float
) -> tuple[Counter[str], list[float], float]:
    """Run many clients until the time is over; return counts of outcomes, seconds of each answer, and in all."""
    url = urlsplit(address)
    head = f"POST /v1/denoise?{query} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Type: image/jpeg\r\n"
    request = f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data
    outcomes: Counter[str] = Counter()
    times: list[float] = []
    end = time.perf_counter() + seconds

    async def client() -> None:
        while (start := time.perf_counter()) < end:
            try:
                status, headers, body = await exchange(str(url.hostname), url.port or 80, request)
            except (OSError, EOFError, asyncio.IncompleteReadError):
                outcomes["failed"] += 1
                continue
            if status == 200:
                outcomes["right" if body == expected else "wrong"] += 1
                times.append(time.perf_counter() - start)
            elif status == 429 and headers.get("content-type") == "application/problem+json":
                outcomes["429"] += 1
                await asyncio.sleep(min(int(headers["retry-after"]), max(end - time.perf_counter(), 0)))
            else:
                outcomes["wrong"] += 1

    await asyncio.gather(*(client() for _ in range(clients)))
    return outcomes, times, time.perf_counter() - (end - seconds)


def bare(engine: str, seconds: float) -> float:
    """Return the megapixels per second of the model alone, with one caller or as many as cores."""
    pixels = np.random.default_rng(0).random((SIDE, SIDE, 3), dtype=np.float32)

    def speed(callers: int) -> float:
        model = denoisers.make("color", engine=engine, concurrency=callers)
        model(pixels, SIGMA / 255)
        done, start = itertools.count(), time.perf_counter()

        def call() -> None:
            while time.perf_counter() - start < seconds / 2:
                model(pixels, SIGMA / 255)
                next(done)

        with ThreadPoolExecutor(callers) as pool:
            list(pool.map(lambda _: call(), range(callers)))
        return next(done) * SIDE**2 / 1e6 / (time.perf_counter() - start)

    return max(speed(callers) for callers in {1, cpu_count()})


def resident_mb(process: int) -> float:
    """Return the resident memory of a process in megabytes."""
    return int(re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{process}/status").read_text())[0]) / 1e3


@contextlib.contextmanager
def memory_samples(process: int) -> Iterator[list[float]]:
    """Sample the resident memory of a process in megabytes, five times a second while the block runs."""
    samples: list[float] = []
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(0.2):
            samples.append(resident_mb(process))

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        yield samples
    finally:
        stop.set()
        sampler.join()


def load(engine: str, clients: int, seconds: float) -> list[Row]:
    """Measure the service with each kind of request, before and after it the bare model."""
    data, rows = photograph(), []
    for name, query in (("model and sigma given", f"model=color&sigma={SIGMA}"), ("blind", "")):
        with serving(engine) as (address, process):
            expected = denoise(address, query, data)
            before = bare(engine, seconds / 4)
            with memory_samples(process) as memory:
                outcomes, times, total = asyncio.run(crowd(address, query, data, expected, clients, seconds))
            bare_speed = (before + bare(engine, seconds / 4)) / 2
        quarter = len(memory) // 4
        speed = outcomes["right"] * SIDE**2 / 1e6 / total
        row = Row(
            request=name,
            right=outcomes["right"],
            status_429=outcomes["429"],
            wrong=outcomes["wrong"],
            failed=outcomes["failed"],
            median_s=float(np.median(times)),
            p99_s=float(np.quantile(times, 0.99)),
            images_per_s=speed,
            bare_per_s=bare_speed,
            of_bare=speed / bare_speed,
            memory_mb=max(memory),
            memory_growth_mb=float(np.mean(memory[3 * quarter :]) - np.mean(memory[quarter : 2 * quarter])),
        )
        rows.append(row)
    return rows


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


def abuse(engine: str, count: int) -> list[Abuse]:
    """Open many connections of each kind of hostile client, and time an honest one meanwhile."""
    data, rows, query = photograph(), [], f"model=color&sigma={SIGMA}"
    with serving(engine) as (address, _):
        expected = denoise(address, query, data)
        url = urlsplit(address)
        for name, (payload, waits) in hostile_clients(data).items():
            connections = [socket.create_connection((url.hostname, url.port or 80), timeout=60) for _ in range(count)]
            for connection in connections:
                with contextlib.suppress(OSError):
                    connection.sendall(payload)
            if not waits:
                for connection in connections:
                    connection.close()
            seconds, answer = common.timed(denoise_with_retries, address, query, data)
            statuses = Counter({"disconnected": count})
            if waits:
                statuses = Counter(status(connection) for connection in connections)
            responses = ", ".join(f"{number} x {status}" for status, number in statuses.most_common())
            rows.append(Abuse(name, count, responses, seconds, answer == expected))
    return rows


def denoise_with_retries(address: str, query: str, data: bytes) -> bytes:
    """Denoise one image, retrying as `Retry-After` says."""
    for _ in range(60):
        try:
            return denoise(address, query, data)
        except urllib.error.HTTPError as error:
            with error:
                time.sleep(int(error.headers.get("Retry-After", 1)))
    raise SystemExit("the honest client was never served")


def status(connection: socket.socket) -> str:
    """Return the status of the response to a client, or "closed" if there is none."""
    response = b""
    with connection, contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            response += part
    return response.split()[1].decode() if response else "closed"


def main() -> None:
    """Print the tables."""
    parser = common.parser(__doc__)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--engine", default="onnx")
    parser.add_argument("--abuse", action="store_true", help="measure hostile clients instead")
    parser.add_argument("--count", type=int, default=32, help="hostile clients of each kind")
    arguments = parser.parse_args()
    if arguments.abuse:
        print(report.markdown(abuse(arguments.engine, arguments.count)))
    else:
        print(report.markdown(load(arguments.engine, arguments.clients, arguments.seconds)))


if __name__ == "__main__":
    main()
