"""Calibration of the expected error: pixels are sorted into ten bins by it, and compared with the real error.

    python benchmarks/quality/uncertainty.py [bins] [--models color] [--noise gaussian:25] [--data FOLDER]
    python benchmarks/quality/uncertainty.py fit [--channels 3] [--data FOLDER] [--pictures 50] [--write FILE ...]

`bins` prints the root mean square of the expected and the real error in each bin, over the images of Kodak24 (in gray
for `gray`), and their ratio.
`fit` prints the coefficients of `unnoise.denoisers.uncertainty`, fitted to the errors of the bundled model on crops of
the training part of BSDS500; `--write` stores them on the cards of model files, whose weights do not change.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common
import numpy as np
import onnx

from unnoise import datasets, denoisers, noise
from unnoise.datasets.base import as_float
from unnoise.denoisers import uncertainty
from unnoise.denoisers.model_card import Card
from unnoise.evaluation import report
from unnoise.evaluation.benchmark import noisy_pairs
from unnoise.io import atomic

NOISES = ("gaussian:15", "gaussian:25", "gaussian:50", "poisson:30")
FITTED = (5, 10, 15, 25, 35, 50, 75)
PIECE = 192  # side of the pieces that are fitted to, pixels
SAMPLES = 3000  # pixels of each
ROUNDS = 15


@dataclass(frozen=True)
class Bin:
    """A tenth of the pixels: root mean squares in 8-bit units, and their ratio."""

    model: str
    noise: str
    bin: int
    expected: float
    real: float
    real_over_expected: float


def bins(model: str, spec: str, pictures: datasets.Dataset, count: int) -> list[Bin]:
    """Denoise images, and compare the expected with the real error."""
    denoiser, squares = denoisers.make(model, engine="onnx" if model in denoisers.bundled_models() else None), []
    for index, (noisy, clean, level) in enumerate(noisy_pairs(pictures, noise.make(spec))):
        if index == count:
            break
        resolved, sigma = denoiser.resolve(noisy, level)
        cleaned = resolved(noisy, sigma)
        expected = uncertainty.estimate_error(resolved, noisy, cleaned, float(np.mean(sigma or 0)))
        real = 255**2 * np.mean((cleaned - clean) ** 2, axis=2)
        squares.append(np.stack([expected.ravel() ** 2, real.ravel()]))
    expected, real = np.concatenate(squares, axis=1)
    rows = []
    for number, part in enumerate(np.array_split(np.argsort(expected), 10), start=1):
        roots = [float(np.sqrt(values[part].mean(dtype=np.float64))) for values in (expected, real)]
        rows.append(Bin(model, spec, number, *roots, roots[1] / roots[0]))
    return rows


def fit(channels: int, folder: Path, count: int) -> list[float]:
    """Fit the polynomial to the shipped model's errors: iteratively reweighted least squares of a Gamma model."""
    denoiser = denoisers.make("gray" if channels == 1 else "color", engine="onnx")
    bsds = folder / "bsds500"
    train = datasets.make(
        f"images:{bsds / 'train'}", channels=channels, exclude=str(bsds / "exclude_from_training.txt")
    )
    pieces = [train[index] for index in np.linspace(0, len(train) - 1, count).astype(int).tolist()]
    measured, errors = [], []
    for index, picture in enumerate(pieces):
        clean = as_float(picture)[40 : 40 + PIECE, 60 : 60 + PIECE]  # type: ignore[index]
        for sigma in FITTED:
            rng = np.random.default_rng((sigma, index))
            cleaned = denoiser(noise.make(f"gaussian:{sigma}")(clean, rng), sigma / 255)
            chosen = rng.choice(PIECE * PIECE, SAMPLES, replace=False)
            found = uncertainty.features(cleaned, sigma / 255)
            measured.append(np.stack([np.broadcast_to(one, (PIECE, PIECE)).ravel()[chosen] for one in found], axis=1))
            errors.append(np.mean((cleaned - clean) ** 2, axis=2).ravel()[chosen] / (sigma / 255) ** 2)
    terms, ratio = np.concatenate(measured).astype(np.float64), np.concatenate(errors).astype(np.float64)
    # The minimum-norm solution decides between terms that are collinear at these levels (the square of a constant).
    weights = np.linalg.lstsq(terms, np.log(ratio + 0.01), rcond=None)[0]
    for _ in range(ROUNDS):
        mean = np.exp(terms @ weights)
        weights += np.linalg.lstsq(terms, (ratio - mean) / mean, rcond=None)[0]
    return weights.tolist()


def write_error_model(path: Path, channels: int, coefficients: list[float]) -> None:
    """Put coefficients on the card of an `.onnx` or `.safetensors` file; its weights stay as they are."""
    onnx_file = path.suffix == ".onnx"
    read, write = (read_onnx, write_onnx) if onnx_file else (read_safetensors, write_safetensors)
    card = Card.from_metadata(read(path), str(path))
    card = dataclasses.replace(card, error_model={**card.error_model, str(channels): coefficients})
    with atomic.atomic_write(path) as temporary:
        temporary.write_bytes(write(path, {**read(path), **card.to_metadata()}))


def read_onnx(path: Path) -> dict[str, str]:
    """Return the metadata of an `.onnx` file."""
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


def write_onnx(path: Path, metadata: dict[str, str]) -> bytes:
    """Return an `.onnx` file with other metadata."""
    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, metadata)
    return model.SerializeToString()


def read_safetensors(path: Path) -> dict[str, str]:
    """Return the metadata of a `.safetensors` file."""
    return _safetensors(path)[0]["__metadata__"]


def write_safetensors(path: Path, metadata: dict[str, str]) -> bytes:
    """Return a `.safetensors` file with other metadata: the size of the header, the header as JSON, the tensors."""
    header, tensors = _safetensors(path)
    text = json.dumps({**header, "__metadata__": metadata}, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + tensors


def _safetensors(path: Path) -> tuple[dict[str, Any], bytes]:
    data = path.read_bytes()
    size = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:size]), data[size:]


def main() -> None:
    """Print the bins, or the coefficients."""
    parser = common.parser(__doc__, data=True)
    parser.add_argument("job", nargs="?", choices=("bins", "fit"), default="bins")
    parser.add_argument("--models", nargs="+", default=["color"])
    parser.add_argument("--noise", nargs="+", default=list(NOISES))
    parser.add_argument("--channels", type=int, choices=(1, 3), default=3)
    parser.add_argument("--pictures", type=int)
    parser.add_argument("--write", type=Path, nargs="+", default=[])
    arguments = parser.parse_args()
    if arguments.job == "fit":
        found = fit(arguments.channels, arguments.data, arguments.pictures or 50)
        coefficients = [float(f"{value:.4g}") for value in found]
        print(", ".join(map(str, coefficients)))
        for path in arguments.write:
            write_error_model(path, arguments.channels, coefficients)
        return
    rows = []
    for model in arguments.models:
        channels = 1 if model == "gray" else 3
        pictures = datasets.make(f"images:{arguments.data / 'kodak24'}", channels=channels)
        for spec in arguments.noise:
            rows += bins(model, spec, pictures, arguments.pictures or len(pictures))
    print(report.markdown(rows))


if __name__ == "__main__":
    main()
