"""The service under a limit of memory: large images through every operation, two at a time.

    python benchmarks/robustness/service_limit.py [--memory 4G] [--megapixels 49] [--workers 2] [--engine onnx]

Two clients send the same noisy square image (RGB, 8 bits) to every operation, one in reverse order, and try again after
a 429 when its `Retry-After` has passed. An answer is right if it has the size of the image and, where it is denoised,
less than half of the error of the noisy one in its first rows. Where control groups can be made (as root on Linux), the
service runs in one that is killed beyond the limit; `peak_mb` is the largest resident memory of the process either way.
`wrong` should be 0, and `killed` False. `--operations` picks some of them.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common
import numpy as np
from load import is_ready
from service_memory import generate

from unnoise import io
from unnoise.evaluation import report

OPERATIONS = {
    "denoise, auto": "denoise?",
    "inspect": "inspect?",
    "denoise, blind": "denoise?model=blind",
    "preview": "preview?left=300&top=200&width=512&height=512",
    "denoise, color-large": "denoise?model=color-large",
    "noise map": "noise-map?",
    "denoise, strength 0.8": "denoise?strength=0.8",
    "uncertainty": "uncertainty?",
    "denoise, median": "denoise?model=median",
}
"""Name -> path and query."""
ROWS = 400  # of an answer that are compared
GROUPS = (
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"),
    ("/sys/fs/cgroup", "memory.max", "memory.swap.max"),
)
"""Where control groups are made, version 1 and 2, and the files of their limits of memory and swap."""


@dataclass(frozen=True)
class Row:
    """What became of the requests of one operation."""

    operation: str
    right: int
    status_429: int
    status_413: int
    wrong: int
    seconds: float


def clean_rows(side: int) -> np.ndarray:
    """Return the first rows of the image of `generate` without noise, `[ROWS, side]`, of 255."""
    return 255 * (0.5 + 0.24 * np.sin(np.arange(side) / 97) * np.cos(np.arange(ROWS)[:, None] / 61))


def error(samples: np.ndarray, side: int) -> float:
    """Return the root mean square error in the first rows."""
    return float(np.sqrt(np.mean((samples[:ROWS].mean(axis=2) - clean_rows(side)) ** 2)))


def is_right(name: str, answer: bytes, side: int, noisy: float) -> bool:
    """Return whether an answer is what the operation should give."""
    if name == "inspect":
        found = json.loads(answer)
        return found["width"] == found["height"] == side and abs(found["sigma"] - 20.4) < 2
    samples = io.read(answer, max_pixels=2**30).to_array()
    if name == "preview":
        return samples.shape[:2] == (512, 512)
    return samples.shape[:2] == (side, side) and (not name.startswith("denoise") or error(samples, side) < noisy / 2)


@contextlib.contextmanager
def group(limit: int) -> Iterator[Path | None]:
    """Make a control group of a limit of memory, in bytes; None where that is not possible."""
    for root, memory, swap in GROUPS:
        made = Path(root) / "unnoise-benchmark"
        try:
            made.mkdir()
        except OSError:
            continue
        if not (made / memory).exists():
            made.rmdir()
            continue
        (made / memory).write_text(str(limit))
        with contextlib.suppress(OSError):
            (made / swap).write_text(str(limit if "memsw" in swap else 0))
        try:
            yield made
        finally:
            time.sleep(1)
            made.rmdir()
        return
    yield None


def peak_mb(process: int) -> float:
    """Return the largest resident memory that a process has had, in megabytes."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024 / 1e6


def send(address: str, name: str, data: bytes, counts: Counter[str]) -> bytes:
    """Send the image to one operation until it is answered with other than 429."""
    while True:
        request = urllib.request.Request(f"{address}/v1/{OPERATIONS[name]}", data, {"Content-Type": "image/png"})
        try:
            with urllib.request.urlopen(request, timeout=7200) as response:
                return response.read()
        except urllib.error.HTTPError as refusal:
            with refusal:
                counts[str(refusal.code)] += 1
                if refusal.code != 429:
                    return b""
                time.sleep(int(refusal.headers["Retry-After"]))


def main() -> None:
    """Print the table, and the peak."""
    parser = common.parser(__doc__)
    parser.add_argument("--memory", default="4G", help="limit, in gigabytes of 2^30 bytes")
    parser.add_argument("--megapixels", type=float, default=49)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--engine", default="onnx")
    parser.add_argument("--operations", nargs="+", choices=OPERATIONS, default=list(OPERATIONS), metavar="NAME")
    given = parser.parse_args()
    side = round((given.megapixels * 1e6) ** 0.5)
    data = generate("rgb8", side)
    noisy = error(io.read(data, max_pixels=2**30).to_array(), side)
    command = [*common.UNNOISE, "serve", "--port", "0", "--engine", given.engine, "--workers", str(given.workers)]
    command += ["--memory", given.memory, "--max-seconds", "7200", "--max-bytes", str(2**28)]
    with group(int(float(given.memory.removesuffix("G")) * 2**30)) as limited:
        if limited:
            command = ["sh", "-c", f'echo $$ > {limited}/cgroup.procs && exec "$@"', "sh", *command]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        address = json.loads(process.stderr.readline())["address"]
        with ThreadPoolExecutor(3) as pool:
            pool.submit(process.stderr.read)
            while not is_ready(address):
                time.sleep(0.1)
            rows = []

            def client(names: list[str]) -> None:
                for name in names:
                    counts, start = Counter[str](), time.perf_counter()
                    try:
                        answer = send(address, name, data, counts)
                        right = bool(answer) and is_right(name, answer, side, noisy)
                    except OSError:
                        right = False
                    wrong = not right and not counts["413"]
                    seconds = time.perf_counter() - start
                    rows.append(Row(name, int(right), counts["429"], counts["413"], int(wrong), seconds))
                    print(rows[-1], file=sys.stderr, flush=True)

            for done in [pool.submit(client, given.operations), pool.submit(client, given.operations[::-1])]:
                done.result()
            killed = process.poll() is not None
            peak = float("nan") if killed else peak_mb(process.pid)
            process.terminate()
            process.wait()
    print(report.markdown(sorted(rows, key=lambda row: list(OPERATIONS).index(row.operation))))
    where = "in a control group" if limited else "without a control group"
    print(f"\n{side} x {side} pixels, limit {given.memory} {where}: peak_mb {peak:.0f}, killed {killed}.")


if __name__ == "__main__":
    main()
