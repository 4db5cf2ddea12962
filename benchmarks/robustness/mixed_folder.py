"""The main command on a folder of 200 files of all formats and bit depths, some of them broken.

    python benchmarks/robustness/mixed_folder.py [--files 200] [--broken 20] [--seed 0] [--workers 1]

Every valid file must keep its format, size, bit depth, channels and number of pages. Every broken one must be reported
in one line. `wrong` counts violations; the exit status is 1 if there are any.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common
import numpy as np
import pyvips
import specimens

from unnoise import io as image_io
from unnoise.evaluation import report
from unnoise.io import formats


@dataclass
class Row:
    """Results on one folder."""

    files: int
    kinds: int
    broken: int
    reported: int
    cleaned: int
    exit_status: int
    seconds: float
    wrong: int


def corrupt(data: bytes, number: int, rng: np.random.Generator) -> bytes:
    """Return a file that cannot be read completely, in one of five ways."""
    variants = [b"", data[: len(data) // 3], b"no picture at all, but words\n" * 9, rng.bytes(400), data[:24]]
    return variants[number % len(variants)]


def properties(path: Path) -> tuple[object, ...]:
    """Return what must not change: size of all pages, channels, sample type, color space."""
    data = path.read_bytes()
    if formats.detect(data[: formats.HEAD], path.name).codec:  # which libvips does not read
        header = image_io.read(data).header
        return header.width, header.height, header.layout, header.dtype, header.pages
    image = pyvips.Image.new_from_buffer(data, "")
    if image.get_n_pages() > 1:
        image = pyvips.Image.new_from_buffer(data, "", n=-1)
    image = image if image.get_typeof("page-height") else image.autorot()
    if image.hasalpha() and image[image.bands - 1].min() == 255:
        image = image[: image.bands - 1]  # GIF frames are transparent where nothing changes
    image.avg()  # decodes the whole image
    return image.width, image.height, image.bands, image.format, image.interpretation == "cmyk"


def generate(source: Path, files: int, broken: int, seed: int) -> tuple[set[Path], int]:
    """Write valid and broken files; return the paths of the broken ones, and the number of kinds of files."""
    rng = np.random.default_rng(seed)
    originals = list(itertools.chain.from_iterable(specimens.files(seed + turn).items() for turn in range(5)))[:files]
    chosen = set(rng.choice(len(originals), broken, replace=False).tolist())
    broken_paths = set()
    for number, (name, data) in enumerate(originals):
        path = source / f"box {number % 5}" / f"{number:03d} é {name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(corrupt(data, number, rng) if number in chosen else data)
        if number in chosen:
            broken_paths.add(path)
    return broken_paths, len({name for name, _ in originals})


def measure(folder: Path, files: int, broken: int, seed: int, workers: int) -> Row:
    """Write the folder, denoise it, and check the outputs."""
    source, target = folder / "in", folder / "out"
    broken_paths, kinds = generate(source, files, broken, seed)
    total = sum(path.is_file() for path in source.rglob("*"))
    command = [*common.UNNOISE, str(source), "-o", str(target), "--json", "--workers", str(workers)]
    seconds, completed = common.timed(lambda: subprocess.run(command, capture_output=True, text=True, check=False))
    results = {Path(result["source"]): result for result in map(json.loads, completed.stdout.splitlines())}
    reported = {path for path, result in results.items() if result["error"]}
    for path in sorted(reported ^ broken_paths):
        print(f"{path.name}: {results[path]['error'] or 'not reported'}", file=sys.stderr)
    wrong = len(reported ^ broken_paths) + completed.stderr.count("Traceback") + total - len(results)
    for path in results.keys() - reported - broken_paths:
        before, after = properties(path), properties(target / path.relative_to(source))
        if before != after:
            print(f"{path.name}: {before} became {after}", file=sys.stderr)
            wrong += 1
    cleaned = len(results) - len(reported)
    return Row(total, kinds, broken, len(reported), cleaned, completed.returncode, round(seconds, 1), wrong)


def main() -> None:
    """Print the table."""
    parser = common.parser(__doc__)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--broken", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        row = measure(Path(folder), arguments.files, arguments.broken, arguments.seed, arguments.workers)
    print(report.markdown([row]))
    sys.exit(1 if row.wrong else 0)


if __name__ == "__main__":
    main()
