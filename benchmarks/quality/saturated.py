"""What models make of pictures that hold black and white of their own: a page of print, and stretched photographs.

    python benchmarks/quality/saturated.py [--data ../shared/data] [--pictures 24]

The page is drawn here. The photographs are crops of Kodak24, stretched until a fifth of their values is black and three
tenths are white, or as far as `patches.STEEPEST` lets them. Noise is put in as a file of 8 bits holds it; nothing is
told. PSNR in dB, at most 60 for a picture.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from unnoise import datasets, denoisers, noise
from unnoise.datasets.base import as_float
from unnoise.evaluation import report
from unnoise.evaluation.metrics import psnr
from unnoise.pipeline import process
from unnoise.training.patches import stretch_contrast

NOISES = ("gaussian:0", "salt-pepper:0.05", "salt-pepper:0.3", "salt-pepper:0.1 + gaussian:15", "gaussian:25")
MODELS = ("auto", "impulse", "color", "adaptive-median")
TEXT = "Print is black on white, and neither of them is noise. Pepper has no strokes; salt is seen on black alone."
CROP = 256  # side of the photographs
BLACK, WHITE = 0.2, 0.3  # shares of their values
BEST = 60.0  # dB that a picture counts for, at most


@dataclass(frozen=True)
class Row:
    """The PSNR of one model on one kind of picture, with one noise."""

    picture: str
    noise: str
    model: str
    psnr_noisy: float
    psnr: float


def page() -> np.ndarray:
    """Draw a page of print with a black bar, float32 `[256, 384, 3]`."""
    sheet = Image.new("RGB", (384, 256), "white")
    pen = ImageDraw.Draw(sheet)
    for line in range(12):
        start = 7 * line % len(TEXT)
        text = (TEXT[start:] + " " + TEXT)[:52]
        pen.text((6, 4 + 20 * line), text, fill="black", font=ImageFont.load_default(size=10 + line % 3 * 3))
    pen.rectangle((250, 150, 360, 230), fill="black")
    return as_float(np.asarray(sheet))


def photographs(folder: Path, count: int) -> list[np.ndarray]:
    """Return stretched crops of Kodak24, float32 `[256, 256, 3]`."""
    kodak, crops = datasets.make(f"images:{folder / 'kodak24'}"), []
    for index in range(min(count, len(kodak))):
        picture = as_float(kodak[index])  # type: ignore[arg-type]
        top, left = ((side - CROP) // 2 for side in picture.shape[:2])
        crop = picture[top : top + CROP, left : left + CROP]
        crops.append(stretch_contrast(crop, BLACK, WHITE))
    return crops


def main() -> None:
    """Print the table."""
    parser = common.parser(__doc__, data=True)
    parser.add_argument("--pictures", type=int, default=24, help="how many of Kodak24")
    asked = parser.parse_args()
    kinds = {"page of print": [page()], "stretched photographs": photographs(asked.data, asked.pictures)}
    models = {name: denoisers.make(name, engine="onnx") for name in MODELS}
    rows = []
    for kind, pictures in kinds.items():
        for spec in NOISES:
            spoil = noise.make(f"{spec} + clip + quantize:8")
            pairs = [(spoil(picture, index), picture) for index, picture in enumerate(pictures)]
            before = float(np.mean([min(psnr(picture, noisy), BEST) for noisy, picture in pairs]))
            for name, model in models.items():
                after = float(np.mean([_score(model, noisy, picture) for noisy, picture in pairs]))
                rows.append(Row(kind, spec, name, before, after))
    print(report.markdown(rows))


def _score(model: denoisers.Denoiser, noisy: np.ndarray, picture: np.ndarray) -> float:
    chosen, told = model.resolve(noisy)
    return min(psnr(picture, process.denoise_array(chosen, noisy, told)), BEST)


if __name__ == "__main__":
    main()
