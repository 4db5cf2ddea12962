"""A batch that is killed at random moments and resumed, beside one that was left in peace.

    python benchmarks/robustness/kill.py [--times 200] [--pictures 60] [--seed 0] [--workers 2]

The command runs as a child process over a folder of small generated pictures, and is killed (SIGKILL) at a moment drawn
between its start and somewhat beyond the time that a whole batch takes. After each kill, all outputs that are there
must be those of the undisturbed run, and the next call goes on. When a batch is done, its outputs are compared one by
one, nothing else may lie in the folder, every line of its manifest must be whole, and a new one is begun, or the
inputs change and the same folder is brought up to date, in turn.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
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
    """What came of it: kills that hit, and what was found wrong; `part` counts kills that left a temporary file."""

    kills: int = 0
    batches: int = 0
    outputs: int = 0
    part: int = 0
    wrong: int = 0
    lost: int = 0
    leftovers: int = 0
    failed_calls: int = 0


def generate(folder: Path, count: int, seed: int) -> None:
    """Write noisy pictures of 200 x 300 pixels, some of them in a folder of their own."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        noisy = np.clip(128 + 40 * rng.standard_normal((200, 300, 3)), 0, 255).astype(np.uint8)
        place = folder / ("deep ü" if number % 3 == 0 else "") / f"{number}{SUFFIXES[number % len(SUFFIXES)]}"
        place.parent.mkdir(parents=True, exist_ok=True)
        io.from_array(noisy).save(place, overwrite=True)


def hashes(folder: Path) -> dict[str, str]:
    """Return the hash of every file in a folder."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def start(noisy: Path, clean: Path, workers: int) -> subprocess.Popen[bytes]:
    """Start the command."""
    words = [str(noisy), "-o", f"{clean}/", "-m", "median", "--workers", str(workers)]
    return subprocess.Popen([sys.executable, "-m", "unnoise", *words], stdout=subprocess.DEVNULL)


def undisturbed(noisy: Path, clean: Path, workers: int) -> tuple[dict[str, str], float]:
    """Return what a run that is left in peace makes, and how long it takes."""
    begun = time.perf_counter()
    if status := start(noisy, clean, workers).wait():
        raise UnnoiseError(f"the undisturbed run failed with status {status}")
    made = hashes(clean)
    made.pop(NAME)
    return made, time.perf_counter() - begun


def measure(folder: Path, times: int, pictures: int, seed: int, workers: int) -> Row:
    """Kill and resume until there were `times` kills and the batch at hand is done."""
    draw, row = random.Random(seed), Row()
    noisy, clean = folder / "noisy", folder / "clean-0"
    version, allowed = 0, {}
    generate(noisy, pictures, seed)
    right, seconds = undisturbed(noisy, folder / "peace-0", workers)
    while True:
        child = start(noisy, clean, workers)
        try:
            if row.kills >= times:
                child.wait()
            else:
                child.wait(draw.uniform(0, 1.1 * seconds))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            row.kills += 1
            there = hashes(clean) if clean.exists() else {}
            row.part += any(name.endswith(".part") for name in there)
            row.wrong += sum(
                found not in (right.get(name), allowed.get(name))
                for name, found in there.items()
                if name != NAME and not name.endswith(".part")
            )
            continue
        row.failed_calls += child.returncode != 0
        row.batches += 1
        check(clean, right, row)
        if row.kills >= times:
            return row
        version += 1
        generate(noisy, pictures, seed + version)
        allowed = {}
        if version % 2:  # the same folder, brought up to date: what is old there may stand until it is replaced
            allowed = right
        else:
            clean = folder / f"clean-{version}"
        right, _ = undisturbed(noisy, folder / f"peace-{version}", workers)


def check(clean: Path, right: dict[str, str], row: Row) -> None:
    """Count what is wrong, lost or left over in a batch that is done."""
    there = hashes(clean)
    lines = (clean / NAME).read_text(encoding="utf-8").splitlines()
    last = {entry["target"]: entry for entry in map(json.loads, lines)}
    row.outputs += len(right)
    row.lost += sum(name not in there for name in right)
    row.wrong += sum(there.get(name, found) != found for name, found in right.items())
    row.wrong += sum(name not in last or last[name]["target_sha256"] != found for name, found in right.items())
    row.leftovers += len(there.keys() - right.keys() - {NAME})


def main() -> None:
    """Print the table; the exit status is 1 unless all is right."""
    parser = common.parser(__doc__)
    parser.add_argument("--times", type=int, default=200, help="kills")
    parser.add_argument("--pictures", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    if os.name == "nt":
        raise UnnoiseError("there is no SIGKILL on Windows")
    with tempfile.TemporaryDirectory() as folder:
        row = measure(Path(folder), asked.times, asked.pictures, asked.seed, asked.workers)
    print(report.markdown([row]))
    sys.exit(1 if row.wrong or row.lost or row.leftovers or row.failed_calls else 0)


if __name__ == "__main__":
    try:
        main()
    except UnnoiseError as error:
        sys.exit(str(error))
