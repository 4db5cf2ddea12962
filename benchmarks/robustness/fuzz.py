"""Broken files through the main job: valid pictures of every format, mutated, must be cleaned or refused in one line.

    python benchmarks/robustness/fuzz.py [--mutations 5000] [--seed 0] [--batch 50]

Bytes are flipped, cut off, doubled, or overwritten, most of all near the start, where headers are. Files go through the
command by the folder, in a process with limits on memory, pixels and time. All but the first three columns should be 0:
a crash is an end by signal or an unknown status, a hang is more than the time allowed, an untold file is one that was
neither written nor named in an error, a left-over is a file in the output folder that is not a finished picture.
"""

from __future__ import annotations

import itertools
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common
import numpy as np
import specimens

from unnoise.evaluation import report
from unnoise.pipeline.manifest import NAME

MEMORY = 4 * 2**30  # bytes of address space
SECONDS = 2.0  # allowed for a file


@dataclass
class Row:
    """What became of the mutated files of one kind."""

    kind: str
    mutations: int = 0
    cleaned: int = 0
    refused: int = 0
    crashes: int = 0
    hangs: int = 0
    tracebacks: int = 0
    untold: int = 0
    left_over: int = 0


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """Break a file in one to three places."""
    for _ in range(rng.integers(1, 4)):
        place = int(len(data) * rng.random() ** 3)  # headers come first
        length = int(rng.integers(1, 17))
        match rng.integers(5):
            case 0:
                flipped = data[place : place + 1] and bytes([data[min(place, len(data) - 1)] ^ (1 << rng.integers(8))])
                data = data[:place] + flipped + data[place + 1 :]
            case 1:
                data = data[: max(place, 1)]
            case 2:
                data = data[:place] + data[place : place + length] + data[place:]
            case 3:
                data = data[:place] + rng.bytes(length) + data[place + length :]
            case 4:
                data = data[:place] + bytes([rng.choice([0, 0x7F, 0xFF])]) * length + data[place + length :]
    return data


def batches(mutations: int, seed: int, size: int) -> Iterator[dict[str, bytes]]:
    """Yield mutated files, name -> bytes, from all specimens in turn."""
    files = itertools.cycle(specimens.files().items())
    named = ((f"{index:05d}_{name}", data, index) for index, (name, data) in zip(range(mutations), files, strict=False))
    while batch := list(itertools.islice(named, size)):
        yield {name: mutate(data, np.random.default_rng((seed, index))) for name, data, index in batch}


def clean(files: dict[str, bytes], folder: Path) -> Row:
    """Put files into a folder and clean it by the command; count what happens, all kinds together."""
    source, target = folder / "in", folder / "out"
    source.mkdir(), target.mkdir()
    for name, data in files.items():
        (source / name).write_bytes(data)
    command = [sys.executable, "-m", "unnoise", str(source), "-o", str(target), "--model", "median", "--json"]
    row = Row("", mutations=len(files))
    try:
        done = subprocess.run(
            [*command, "--max-pixels", "10000000"],
            capture_output=True,
            timeout=20 + SECONDS * len(files),
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
            check=False,
        )
    except subprocess.TimeoutExpired:
        row.hangs = 1
        return row
    said = [json.loads(line) for line in done.stdout.decode(errors="replace").splitlines() if line.startswith("{")]
    row.cleaned = sum(one["error"] is None for one in said)
    row.refused = sum(one["error"] is not None for one in said)
    row.crashes = int(done.returncode not in (0, 1, 2))
    row.tracebacks = (done.stderr + done.stdout).count(b"Traceback")
    row.untold = len(files) - len(said)
    finished = {NAME} | {Path(one["target"]).name for one in said if one["error"] is None}
    row.left_over = len({path.name for path in target.iterdir()} - finished)
    return row


def main() -> None:
    """Print the table; files of a batch that went wrong are put through one by one and kept."""
    parser = common.parser(__doc__)
    parser.add_argument("--mutations", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--keep", type=Path, default=Path("runs/abuse"), help="folder for files that went wrong")
    arguments = parser.parse_args()
    total = Row("all")
    for files in batches(arguments.mutations, arguments.seed, arguments.batch):
        with tempfile.TemporaryDirectory() as folder:
            row = clean(files, Path(folder))
        for name, value in asdict(row).items():
            if name != "kind":
                setattr(total, name, getattr(total, name) + value)
        if any((row.crashes, row.hangs, row.tracebacks, row.untold, row.left_over)):
            arguments.keep.mkdir(parents=True, exist_ok=True)
            for name, data in files.items():
                with tempfile.TemporaryDirectory() as folder:
                    alone = clean({name: data}, Path(folder))
                if any((alone.crashes, alone.hangs, alone.tracebacks, alone.untold, alone.left_over)):
                    (arguments.keep / name).write_bytes(data)
                    print(f"kept {arguments.keep / name}: {alone}", file=sys.stderr)
    print(report.markdown([total]))


if __name__ == "__main__":
    main()
