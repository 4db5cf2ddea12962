"""A batch that is killed at random times and resumed, compared with an uninterrupted one.

    python benchmarks/robustness/kill.py [--kills 200] [--images 60] [--seed 0] [--workers 2]

The command runs as a child process on a folder of small generated images, and is killed (SIGKILL) at a random time up
to 1.1 times that of a whole batch. After each kill, all existing outputs must equal those of the uninterrupted run, and
the next call resumes. When a batch is complete, its outputs are compared, the folder must hold nothing else, and every
line of its manifest must be valid. Then, in turn, a new batch is started, or the inputs change and the same folder is
updated.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common
import numpy as np

from unnoise import io
from unnoise.errors import UnnoiseError
from unnoise.evaluation import report
from unnoise.pipeline.manifest import NAME

SUFFIXES = (".png", ".jpg", ".tif", ".webp")


@dataclass
class Row:
    """Number of kills, and of faults; `partial_files` counts kills that left a temporary file."""

    kills: int = 0
    batches: int = 0
    outputs: int = 0
    partial_files: int = 0
    wrong: int = 0
    lost: int = 0
    leftovers: int = 0
    failed_calls: int = 0


def generate(folder: Path, count: int, seed: int) -> None:
    """Write noisy images of 200x300 pixels, some of them in a subfolder."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        noisy = np.clip(128 + 40 * rng.standard_normal((200, 300, 3)), 0, 255).astype(np.uint8)
        path = folder / ("deep ü" if number % 3 == 0 else "") / f"{number}{SUFFIXES[number % len(SUFFIXES)]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        io.from_array(noisy).save(path, overwrite=True)


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file in a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def start(noisy: Path, clean: Path, workers: int) -> subprocess.Popen[bytes]:
    """Start the command."""
    arguments = [str(noisy), "-o", f"{clean}/", "-m", "median", "--workers", str(workers)]
    return subprocess.Popen([*common.UNNOISE, *arguments], stdout=subprocess.DEVNULL)


def uninterrupted(noisy: Path, clean: Path, workers: int) -> tuple[dict[str, str], float]:
    """Return the hashes of the outputs of a whole run, and its seconds."""
    seconds, status = common.timed(start(noisy, clean, workers).wait)
    if status:
        raise UnnoiseError(f"the uninterrupted run failed with status {status}")
    outputs = hashes(clean)
    outputs.pop(NAME)
    return outputs, seconds


def measure(folder: Path, kills: int, images: int, seed: int, workers: int) -> Row:
    """Kill and resume until the number of kills is reached and the current batch is complete."""
    rng, row = random.Random(seed), Row()
    noisy, clean = folder / "noisy", folder / "clean-0"
    version, outdated = 0, {}
    generate(noisy, images, seed)
    expected, seconds = uninterrupted(noisy, folder / "expected-0", workers)
    while True:
        child = start(noisy, clean, workers)
        try:
            if row.kills >= kills:
                child.wait()
            else:
                child.wait(rng.uniform(0, 1.1 * seconds))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            row.kills += 1
            outputs = hashes(clean) if clean.exists() else {}
            row.partial_files += any(name.endswith(".part") for name in outputs)
            row.wrong += sum(
                digest not in (expected.get(name), outdated.get(name))
                for name, digest in outputs.items()
                if name != NAME and not name.endswith(".part")
            )
            continue
        row.failed_calls += child.returncode != 0
        row.batches += 1
        check(clean, expected, row)
        if row.kills >= kills:
            return row
        version += 1
        generate(noisy, images, seed + version)
        outdated = {}
        if version % 2:  # the same folder is updated: outdated outputs may remain until they are replaced
            outdated = expected
        else:
            clean = folder / f"clean-{version}"
        expected, _ = uninterrupted(noisy, folder / f"expected-{version}", workers)


def check(clean: Path, expected: dict[str, str], row: Row) -> None:
    """Count wrong, lost and leftover files of a complete batch."""
    outputs = hashes(clean)
    lines = (clean / NAME).read_text(encoding="utf-8").splitlines()
    last = {entry["target"]: entry for entry in map(json.loads, lines)}
    row.outputs += len(expected)
    row.lost += sum(name not in outputs for name in expected)
    row.wrong += sum(outputs.get(name, digest) != digest for name, digest in expected.items())
    row.wrong += sum(name not in last or last[name]["target_sha256"] != digest for name, digest in expected.items())
    row.leftovers += len(outputs.keys() - expected.keys() - {NAME})


def main() -> None:
    """Print the table; the exit status is 1 if anything is wrong."""
    parser = common.parser(__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    if os.name == "nt":
        raise UnnoiseError("there is no SIGKILL on Windows")
    with tempfile.TemporaryDirectory() as folder:
        row = measure(Path(folder), arguments.kills, arguments.images, arguments.seed, arguments.workers)
    print(report.markdown([row]))
    sys.exit(1 if row.wrong or row.lost or row.leftovers or row.failed_calls else 0)


if __name__ == "__main__":
    common.run(main)
