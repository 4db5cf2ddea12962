"""Fuzzing of the main command: mutated files of every format must be denoised, or refused with a one-line error.

    python benchmarks/robustness/fuzz.py [--mutations 5000] [--seed 0] [--batch 50]

Bytes are flipped, removed, duplicated or overwritten, mostly near the start, where headers are. The command runs on
folders of files, in a process with limits on memory, pixels and time. All columns after `refused` should be 0: a crash
is an exit by signal or with an unknown status, a hang exceeds the time limit, an unreported file was neither written
nor named in an error, a leftover is a file in the output folder that is not a finished image.
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
SECONDS = 2.0  # time limit for each file


@dataclass
class Row:
    """Results on mutated files."""

    kind: str
    mutations: int = 0
    cleaned: int = 0
    refused: int = 0
    crashes: int = 0
    hangs: int = 0
    tracebacks: int = 0
    unreported: int = 0
    leftovers: int = 0

    @property
    def failed(self) -> bool:
        """Whether anything went wrong."""
        return any((self.crashes, self.hangs, self.tracebacks, self.unreported, self.leftovers))


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """Corrupt a file at one to three places."""
    for _ in range(rng.integers(1, 4)):
        start = int(len(data) * rng.random() ** 3)  # mostly in the headers
        length = int(rng.integers(1, 17))
        match rng.integers(5):
            case 0:
                flipped = data[start : start + 1] and bytes([data[min(start, len(data) - 1)] ^ (1 << rng.integers(8))])
                data = data[:start] + flipped + data[start + 1 :]
            case 1:
                data = data[: max(start, 1)]
            case 2:
                data = data[:start] + data[start : start + length] + data[start:]
            case 3:
                data = data[:start] + rng.bytes(length) + data[start + length :]
            case 4:
                data = data[:start] + bytes([rng.choice([0, 0x7F, 0xFF])]) * length + data[start + length :]
    return data


def batches(mutations: int, seed: int, size: int, only: list[str]) -> Iterator[dict[str, bytes]]:
    """Yield mutated files, name -> bytes, cycling through all specimens, or those with some suffixes."""
    chosen = {name: data for name, data in specimens.files().items() if not only or name.endswith(tuple(only))}
    files = itertools.cycle(chosen.items())
    named = ((f"{index:05d}_{name}", data, index) for index, (name, data) in zip(range(mutations), files, strict=False))
    while batch := list(itertools.islice(named, size)):
        yield {name: mutate(data, np.random.default_rng((seed, index))) for name, data, index in batch}


def clean(files: dict[str, bytes], folder: Path) -> Row:
    """Write files to a folder, run the command on it, and count the results."""
    source, target = folder / "in", folder / "out"
    source.mkdir()
    target.mkdir()
    for name, data in files.items():
        (source / name).write_bytes(data)
    command = [*common.UNNOISE, str(source), "-o", str(target), "--model", "median", "--json"]
    row = Row("", mutations=len(files))
    try:
        completed = subprocess.run(
            [*command, "--max-pixels", "10000000"],
            capture_output=True,
            timeout=20 + SECONDS * len(files),
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
            check=False,
        )
    except subprocess.TimeoutExpired:
        row.hangs = 1
        return row
    lines = completed.stdout.decode(errors="replace").splitlines()
    results = [json.loads(line) for line in lines if line.startswith("{")]
    row.cleaned = sum(result["error"] is None for result in results)
    row.refused = sum(result["error"] is not None for result in results)
    row.crashes = int(completed.returncode not in (0, 1, 2))
    row.tracebacks = (completed.stderr + completed.stdout).count(b"Traceback")
    row.unreported = len(files) - len(results)
    finished = {NAME} | {Path(result["target"]).name for result in results if result["error"] is None}
    row.leftovers = len({path.name for path in target.iterdir()} - finished)
    return row


def main() -> None:
    """Print the table; the files of a failed batch are run one by one, and those that fail are kept."""
    parser = common.parser(__doc__)
    parser.add_argument("--mutations", type=int, default=5000, help="number of mutated files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[], metavar="SUFFIX", help="only these formats: .bmp .heic")
    parser.add_argument("--batch", type=int, default=50, help="files for each call of the command")
    parser.add_argument("--keep", type=Path, default=Path("runs/abuse"), help="folder for files that fail")
    arguments = parser.parse_args()
    total = Row("all")
    for files in batches(arguments.mutations, arguments.seed, arguments.batch, arguments.only):
        with tempfile.TemporaryDirectory() as folder:
            row = clean(files, Path(folder))
        for name, value in asdict(row).items():
            if name != "kind":
                setattr(total, name, getattr(total, name) + value)
        if row.failed:
            arguments.keep.mkdir(parents=True, exist_ok=True)
            for name, data in files.items():
                with tempfile.TemporaryDirectory() as folder:
                    alone = clean({name: data}, Path(folder))
                if alone.failed:
                    (arguments.keep / name).write_bytes(data)
                    print(f"kept {arguments.keep / name}: {alone}", file=sys.stderr)
    print(report.markdown([total]))


if __name__ == "__main__":
    main()
