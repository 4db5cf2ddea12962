"""The service under load on this machine: many clients beside the bare model, then clients that mean it no good.

    python benchmarks/robustness/load.py [--clients 64] [--seconds 60] [--engine onnx] [--abuse]

Every client sends the same noisy JPEG of one megapixel, as soon as its last was answered, or after the seconds that a
429 asks for. First the service is told the level and the model, then it has to find both. An answer is right if it is,
byte for byte, that of the first client. `of_bare` is its throughput as a share of what the same model does alone with
pictures in memory, at its best of one caller with all cores and as many callers as cores; both are taken by turns in
the same run. `memory_growth_mb` is what the process holds more in the last quarter of the time than in the second.
Columns of `wrong` and `failed` are to be 0.

The second table is of clients that send slowly, cut their connections, send bombs, wrong types and floods, announce
10 GB: what they were told, and how long the next honest client waited for a right answer.
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
    """One way to ask, under load."""

    asked: str
    right: int
    told_429: int
    wrong: int
    failed: int
    median_s: float
    p99_s: float
    pictures_per_s: float
    bare_per_s: float
    of_bare: float
    memory_mb: float
    memory_growth_mb: float


@dataclass(frozen=True)
class Abuse:
    """One kind of client that means no good."""

    clients: str
    sent: int
    told: str
    next_honest_s: float
    right: bool


def photograph() -> bytes:
    """Return a noisy JPEG of one megapixel."""
    from skimage import data

    clean = np.tile(data.chelsea(), (4, 3, 1))[:SIDE, :SIDE]
    return io.encode(api.add_noise(io.from_array(clean), f"gaussian:{SIGMA} + clip"), ".jpg", quality=92)


@contextlib.contextmanager
def serving(engine: str) -> Iterator[tuple[str, int]]:
    """Run the service as its command does; yield its address and its process."""
    command = [sys.executable, "-m", "unnoise", "serve", "--port", "0", "--engine", engine]
    start = time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    address = json.loads(process.stderr.readline())["address"]
    threading.Thread(target=process.stderr.read, daemon=True).start()
    while not answers(address):
        time.sleep(0.01)
    print(f"The service was ready after {time.perf_counter() - start:.1f} s.\n")
    try:
        yield address, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def answers(address: str) -> bool:
    """Say whether the service is ready."""
    try:
        with urllib.request.urlopen(f"{address}/readyz", timeout=5):
            return True
    except OSError:
        return False


def ask(address: str, query: str, data: bytes) -> bytes:
    """Clean one picture, as an honest client does."""
    request = urllib.request.Request(f"{address}/v1/denoise?{query}", data, {"Content-Type": "image/jpeg"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return answer.read()


async def exchange(place: tuple[str, int], request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send a request on a connection of its own; return status, headers and body."""
    reader, writer = await asyncio.open_connection(*place)
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
    """Let many clients ask until the time is over; return what they were told, how long each took, and all together."""
    url = urlsplit(address)
    place = (str(url.hostname), int(url.port or 80))
    head = f"POST /v1/denoise?{query} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Type: image/jpeg\r\n"
    request = f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data
    told: Counter[str] = Counter()
    times: list[float] = []
    end = time.perf_counter() + seconds

    async def client() -> None:
        while (start := time.perf_counter()) < end:
            try:
                status, headers, body = await exchange(place, request)
            except (OSError, EOFError, asyncio.IncompleteReadError):
                told["failed"] += 1
                continue
            if status == 200:
                told["right" if body == expected else "wrong"] += 1
                times.append(time.perf_counter() - start)
            elif status == 429 and headers.get("content-type") == "application/problem+json":
                told["429"] += 1
                await asyncio.sleep(min(int(headers["retry-after"]), max(end - time.perf_counter(), 0)))
            else:
                told["wrong"] += 1

    await asyncio.gather(*(client() for _ in range(clients)))
    return told, times, time.perf_counter() - (end - seconds)


def bare(engine: str, seconds: float) -> float:
    """Return the megapixels a second of the model alone, at its best of few callers and many."""
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


def resident(process: int) -> float:
    """Return the megabytes that a process holds."""
    return int(re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{process}/status").read_text())[0]) / 1e3


def load(engine: str, clients: int, seconds: float) -> list[Row]:
    """Measure the service, each way to ask in turns with the bare model."""
    data, rows = photograph(), []
    for asked, query in (("level and model told", f"model=color&sigma={SIGMA}"), ("nothing told", "")):
        with serving(engine) as (address, process):
            expected = ask(address, query, data)
            before = bare(engine, seconds / 4)
            held: list[float] = []
            over = threading.Event()

            def watch(held: list[float] = held, over: threading.Event = over, process: int = process) -> None:
                while not over.wait(0.2):
                    held.append(resident(process))

            watcher = threading.Thread(target=watch)
            watcher.start()
            told, times, took = asyncio.run(crowd(address, query, data, expected, clients, seconds))
            over.set()
            watcher.join()
            alone = (before + bare(engine, seconds / 4)) / 2
        quarter = len(held) // 4
        growth = np.mean(held[3 * quarter :]) - np.mean(held[quarter : 2 * quarter])
        speed = told["right"] * SIDE**2 / 1e6 / took
        rows.append(
            Row(
                asked, told["right"], told["429"], told["wrong"], told["failed"], float(np.median(times)),
                float(np.quantile(times, 0.99)), speed, alone, speed / alone, max(held), float(growth),
            )
        )  # fmt: skip
    return rows


def announced(side: int) -> bytes:
    """Return a PNG that says it is huge, and has next to nothing in it."""
    chunks = {b"IHDR": struct.pack(">2I5B", side, side, 8, 2, 0, 0, 0), b"IDAT": zlib.compress(bytes(99)), b"IEND": b""}
    sums = {name: struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks.items()}
    parts = (struct.pack(">I", len(data)) + name + data + sums[name] for name, data in chunks.items())
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def abusers(data: bytes) -> dict[str, tuple[bytes, bool]]:
    """Return what is sent by each kind of client, and whether it then waits to be told."""

    def request(body: bytes, length: int | None = None, kind: str = "image/png") -> bytes:
        head = f"POST /v1/denoise HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n"
        return f"{head}Content-Length: {len(body) if length is None else length}\r\n\r\n".encode() + body

    headers = b"".join(b"X-%d: %s\r\n" % (number, b"y" * 90) for number in range(2000))
    black = io.encode(io.from_array(np.zeros((6300, 6300), np.uint8)), ".png")
    layers = zlib.compress(zlib.compress(bytes(10**8)))
    return {
        "slow headers": (b"POST /v1/denoise HTTP/1.1\r\nHost: ", True),
        "slow bodies": (request(data[:1000], len(data)), True),
        "cut while sending": (request(data[: len(data) // 2], len(data)), False),
        "cut while waiting": (request(data), False),
        "a picture of 100000 x 100000": (request(announced(100_000)), True),
        "40 megapixels in 40 kB, cut": (request(black), False),
        "compressed zeros": (request(layers, kind="application/octet-stream"), True),
        "text as a picture": (request(b"<svg onload=alert(1)>" * 99), True),
        "another type": (request(b'{"url": "file:///etc/passwd"}', kind="application/json"), True),
        "10 GB announced": (request(b"", 10_000_000_000), True),
        "floods of headers": (b"GET /healthz HTTP/1.1\r\n" + headers, True),
        "nonsense": (bytes(range(256)) * 99, True),
    }


def abuse(engine: str, count: int) -> list[Abuse]:
    """Let each kind of client come in numbers; while they are there, and after, ask honestly."""
    data, rows, query = photograph(), [], f"model=color&sigma={SIGMA}"
    with serving(engine) as (address, _):
        expected = ask(address, query, data)
        url = urlsplit(address)
        place = (str(url.hostname), int(url.port or 80))
        for name, (sent, waits) in abusers(data).items():
            connections = [socket.create_connection(place, timeout=60) for _ in range(count)]
            for connection in connections:
                with contextlib.suppress(OSError):
                    connection.sendall(sent)
            if not waits:
                for connection in connections:
                    connection.close()
            start = time.perf_counter()
            right = honest(address, query, data) == expected
            took = time.perf_counter() - start
            told = Counter(heard(connection) for connection in connections) if waits else Counter({"left": count})
            words = ", ".join(f"{number} x {word}" for word, number in told.most_common())
            rows.append(Abuse(name, count, words, took, right))
    return rows


def honest(address: str, query: str, data: bytes) -> bytes:
    """Clean one picture, coming again when told to."""
    for _ in range(60):
        try:
            return ask(address, query, data)
        except urllib.error.HTTPError as error:
            with error:
                time.sleep(int(error.headers.get("Retry-After", 1)))
    raise SystemExit("the honest client was never served")


def heard(connection: socket.socket) -> str:
    """Return the status that a client was told, or that its connection was closed."""
    said = b""
    with connection, contextlib.suppress(ConnectionError):
        while piece := connection.recv(65536):
            said += piece
    return said.split()[1].decode() if said else "closed"


def main() -> None:
    """Print the tables."""
    parser = common.parser(__doc__)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--engine", default="onnx")
    parser.add_argument("--abuse", action="store_true", help="the second table instead")
    parser.add_argument("--count", type=int, default=32, help="clients of each kind in it")
    arguments = parser.parse_args()
    if arguments.abuse:
        print(report.markdown(abuse(arguments.engine, arguments.count)))
    else:
        print(report.markdown(load(arguments.engine, arguments.clients, arguments.seconds)))


if __name__ == "__main__":
    main()
