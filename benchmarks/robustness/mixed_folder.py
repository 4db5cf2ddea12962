"""A folder of 200 files of every kind and depth, some of them broken, through the main job.

    python benchmarks/robustness/mixed_folder.py [--files 200] [--broken 20] [--seed 0] [--workers 1]

Every sound file must come out whole: of its kind, size, depth, channels and number of pages. Every broken one must be
told, in one line, and nothing else; `wrong` counts what is not so. The exit status is 1 unless it is 0.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common
import numpy as np
import pyvips
import specimens

from unnoise.evaluation import report


@dataclass
class Row:
    """What became of a folder."""

    files: int
    kinds: int
    broken: int
    told: int
    cleaned: int
    exit_status: int
    seconds: float
    wrong: int


def broken(data: bytes, how: int, rng: np.random.Generator) -> bytes:
    """Break a file so that it cannot be read as a whole."""
    ways = [b"", data[: len(data) // 3], b"no picture at all, but words\n" * 9, rng.bytes(400), data[:24]]
    return ways[how % len(ways)]


def facts(path: Path) -> tuple[object, ...]:
    """Return what has to stay: size of all pages, channels, samples, colour space."""
    data = path.read_bytes()
    image = pyvips.Image.new_from_buffer(data, "")
    if image.get_typeof("n-pages") and image.get("n-pages") > 1:
        image = pyvips.Image.new_from_buffer(data, "", n=-1)
    image = image if image.get_typeof("page-height") else image.autorot()
    if image.hasalpha() and image[image.bands - 1].min() == 255:
        image = image[: image.bands - 1]  # GIF has transparency where a frame does not change
    image.avg()  # which decodes all of it
    return image.width, image.height, image.bands, image.format, image.interpretation == "cmyk"


def measure(folder: Path, files: int, spoiled: int, seed: int, workers: int) -> Row:
    """Make the folder, clean it, and look at what came out."""
    rng = np.random.default_rng(seed)
    source, target = folder / "in", folder / "out"
    originals = list(itertools.chain.from_iterable(specimens.files(seed + turn).items() for turn in range(5)))[:files]
    chosen = set(rng.choice(len(originals), spoiled, replace=False).tolist())
    bad = set()
    for number, (name, data) in enumerate(originals):
        place = source / f"box {number % 5}" / f"{number:03d} é {name}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(broken(data, number, rng) if number in chosen else data)
        if number in chosen:
            bad.add(place)
    start = time.perf_counter()
    command = [sys.executable, "-m", "unnoise", str(source), "-o", str(target), "--json", "--workers", str(workers)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    said = {Path(one["source"]): one for one in map(json.loads, done.stdout.splitlines())}
    told = {path for path, one in said.items() if one["error"]}
    for path in sorted(told ^ bad):
        print(f"{path.name}: {said[path]['error'] or 'not told'}", file=sys.stderr)
    wrong = len(told ^ bad) + done.stderr.count("Traceback")
    for path in said.keys() - told - bad:
        if facts(path) != facts(target / path.relative_to(source)):
            print(f"{path.name}: {facts(path)} became {facts(target / path.relative_to(source))}", file=sys.stderr)
            wrong += 1
    wrong += len(originals) - len(said)
    kinds = len({name for name, _ in originals})
    return Row(
        len(originals), kinds, spoiled, len(told), len(said) - len(told), done.returncode, round(seconds, 1), wrong
    )


def main() -> None:
    """Print the table."""
    parser = common.parser(__doc__)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--broken", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        row = measure(Path(folder), asked.files, asked.broken, asked.seed, asked.workers)
    print(report.markdown([row]))
    sys.exit(1 if row.wrong else 0)


if __name__ == "__main__":
    main()
