"""The service under load: many clients, compared with the bare model; or hostile clients.

    python benchmarks/robustness/load.py [--clients 64] [--seconds 60] [--engine onnx] [--abuse | --hostile 16]

Every client sends the same noisy JPEG of one megapixel again and again, after an answer at once, after a 429 when its
`Retry-After` has passed. First with model and sigma given, then blind. An answer is right if it equals the first one
byte for byte. `of_bare` is the throughput as a share of that of the model alone on arrays in memory, with one caller or
as many as cores, whichever is faster; it is measured before and after. `memory_growth_mb` is the mean memory of the
process in the last quarter of the time less that in the second. `wrong` and `failed` should be 0.

`--abuse`: clients that send slowly, disconnect, send decompression bombs, wrong types or floods, or announce 10 GB: the
responses, and the time until the next honest client got a right answer.

`--hostile N`: throughput of the honest clients while N of those hostile clients attack from 127.0.0.2, without a pause
and at the lowest priority, as a share of that without them, which is measured before and after for half the time each.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common
import numpy as np
from hostile_clients import hostile_clients

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


@dataclass(frozen=True)
class Disturbed:
    """Honest clients beside hostile ones."""

    hostile: int
    honest: int
    right: int
    status_429: int
    wrong: int
    failed: int
    undisturbed_per_s: float
    disturbed_per_s: float
    share: float


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


def disturbed(engine: str, clients: int, seconds: float, hostile: int) -> list[Disturbed]:
    """Measure the throughput of honest clients without, with, and without hostile clients."""
    data, query = photograph(), f"model=color&sigma={SIGMA}"
    with serving(engine) as (address, _):
        expected = denoise(address, query, data)
        alone, beside, speeds = Counter[str](), Counter[str](), []
        for attacked, share in ((False, 0.5), (True, 1), (False, 0.5)):
            with attacking(address, hostile) if attacked else contextlib.nullcontext():
                outcomes, _, total = asyncio.run(crowd(address, query, data, expected, clients, share * seconds))
            (beside if attacked else alone).update(outcomes)
            speeds.append(outcomes["right"] / total)
    undisturbed = (speeds[0] + speeds[2]) / 2
    both = alone + beside
    return [
        Disturbed(
            hostile, clients, both["right"], both["429"], both["wrong"], both["failed"], undisturbed, speeds[1],
            speeds[1] / undisturbed,
        )
    ]  # fmt: skip


@contextlib.contextmanager
def attacking(address: str, count: int) -> Iterator[None]:
    """Run hostile clients, in a process of their own."""
    script = Path(__file__).with_name("hostile_clients.py")
    command = [sys.executable, str(script), address, "--count", str(count)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


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
    parser.add_argument("--hostile", type=int, metavar="N", help="measure honest clients beside N hostile ones instead")
    parser.add_argument("--count", type=int, default=32, help="hostile clients of each kind")
    arguments = parser.parse_args()
    if arguments.hostile:
        rows = disturbed(arguments.engine, arguments.clients, arguments.seconds, arguments.hostile)
        print(report.markdown(rows))
    elif arguments.abuse:
        print(report.markdown(abuse(arguments.engine, arguments.count)))
    else:
        print(report.markdown(load(arguments.engine, arguments.clients, arguments.seconds)))


if __name__ == "__main__":
    main()
