"""Estimates of memory that the service admits work by, beside the measured peaks.

    python benchmarks/robustness/service_memory.py [--megapixels 1 12] [--engine onnx] [--seconds 60]

One process for each row: it opens the model, denoises a small image, and then does the work in question. The peak is
that of its resident memory above what it was before, without the file. Denoisers that train on each image are ended
after `--seconds`; their memory is at its peak long before. Needs Linux.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common
import numpy as np

from unnoise import interruption, io
from unnoise.evaluation import report
from unnoise.io.picture import from_samples
from unnoise.service import catalog
from unnoise.service.limits import Limits
from unnoise.service.operations import DenoiseRequest, Operations

KINDS = {"gray8": (1, "uint8"), "rgb8": (3, "uint8"), "rgba16": (4, "uint16")}
"""Images: number of channels, and type of the samples; all in PNG files."""
LEARNERS = ("deep_prior", "zero_shot")


@dataclass(frozen=True)
class Row:
    """One operation on one image."""

    operation: str
    model: str
    image: str
    megapixels: float
    estimate_mb: float
    peak_mb: float
    ratio: float
    seconds: float


def generate(kind: str, side: int) -> bytes:
    """Return the file of a noisy square image."""
    channels, dtype = KINDS[kind]
    rng, top = np.random.default_rng(0), np.iinfo(dtype).max
    samples = np.empty((side, side, channels), dtype)
    columns = np.sin(np.arange(side) / 97)[None, :, None]
    for start in range(0, side, 256):
        rows = np.arange(start, min(start + 256, side))[:, None, None]
        grain = rng.standard_normal((len(rows), side, channels), dtype=np.float32)
        samples[rows[:, 0, 0]] = np.clip(0.5 + 0.24 * columns * np.cos(rows / 61) + 0.08 * grain, 0, 1) * top
    return io.encode(from_samples(samples, {}), ".png")


def resident(field: str) -> float:
    """Return a field of the status of this process, in MB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) * 1024 / 1e6


def measure(operation: str, model: str, kind: str, megapixels: float, engine: str | None, seconds: float) -> Row:
    """Do it in this process."""
    files = [generate(kind, side) for side in (64, round((megapixels * 1e6) ** 0.5))]
    service, options = Operations(Limits(pixels=10**9), engine), DenoiseRequest(model)
    end = float("inf")

    def check(*_: float) -> None:
        if time.monotonic() > end:
            raise TimeoutError

    def work(data: bytes) -> Any:
        match operation:
            case "preview":
                return service.preview(data, options, (0, 0, 512, 512), check)
            case "uncertainty":
                return service.uncertainty(data, options, 1.0, check)
            case "denoise":
                return service.denoise(data, options, check)
        return getattr(service, operation)(data, None, check)

    if model not in LEARNERS:
        work(files[0])
    service.release()
    region = (512, 512) if operation == "preview" else None
    estimate, before = service.memory(operation, files[1], options, region) / 1e6, resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak begins anew
    start = time.monotonic()
    end = start + seconds
    with interruption.checked_by(check), contextlib.suppress(TimeoutError):
        work(files[1])
    peak = resident("VmHWM") - before
    took = time.monotonic() - start
    return Row(operation, model, kind, megapixels, estimate, peak, estimate / peak, took)


def main() -> None:
    """Print the table."""
    parser: argparse.ArgumentParser = common.parser(__doc__)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[1, 12])
    parser.add_argument("--engine", help="inference engine; the service's default without")
    parser.add_argument("--seconds", type=float, default=60, help="longest time for each row")
    parser.add_argument("--models", nargs="+", default=list(catalog.MODELS))
    parser.add_argument("--one", nargs=4, help="operation, model, image and megapixels: this row, in this process")
    given = parser.parse_args()
    if given.one:
        operation, model, kind, size = given.one
        row = measure(operation, model, kind, float(size), given.engine, given.seconds)
        print(*(f"{value:.3f}" if isinstance(value, float) else value for value in vars(row).values()))
        return
    cases = [("denoise", model, "rgb8") for model in given.models]
    cases += [(name, "color", "rgb8") for name in ("preview", "uncertainty")]
    cases += [(name, "auto", "rgb8") for name in ("inspect", "noise_map")]
    cases += [("denoise", "color", kind) for kind in ("gray8", "rgba16")]
    cases += [(name, "auto", "rgba16") for name in ("uncertainty", "inspect", "noise_map")]
    rows = []
    for case in cases:
        for size in given.megapixels:
            command = [sys.executable, __file__, "--one", *case, str(size), "--seconds", str(given.seconds)]
            command += ["--engine", given.engine] if given.engine else []
            words = subprocess.run(command, capture_output=True, text=True).stdout.split()
            if len(words) == 8:
                rows.append(Row(*words[:3], *map(float, words[3:])))  # type: ignore[arg-type]
                print(*words, file=sys.stderr, flush=True)
            else:
                print(f"{' '.join(case)}, {size:g} megapixels: no result, out of memory?", file=sys.stderr)
    print(report.markdown(rows))


if __name__ == "__main__":
    main()
