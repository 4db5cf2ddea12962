"""Images with black and white content: a page of print, and contrast-stretched photographs.

    python benchmarks/quality/saturated.py [--data ../shared/data] [--images 24]

The page is drawn here. The photographs are crops of Kodak24, stretched until 20 % of their values are black and 30 %
white, or as far as `patches.MAX_GAIN` allows. Noise is added as an 8-bit file stores it, clipped and quantized; all
models are blind. PSNR in dB, at most 60 for an image.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from unnoise import datasets, denoisers
from unnoise.datasets.base import as_float
from unnoise.evaluation import report
from unnoise.training.patches import stretch_contrast

NOISES = ("gaussian:0", "salt-pepper:0.05", "salt-pepper:0.3", "salt-pepper:0.1 + gaussian:15", "gaussian:25")
MODELS = ("auto", "impulse", "color", "adaptive-median")
TEXT = "Print is black on white, and neither of them is noise. Pepper has no strokes; salt is seen on black alone."
CROP = 256  # side of the photographs
BLACK, WHITE = 0.2, 0.3  # shares of their values


@dataclass(frozen=True)
class Row:
    """Mean PSNR in dB of one model on one kind of image with one noise, capped per image."""

    image: str
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
    """Return contrast-stretched crops of Kodak24, float32 `[256, 256, 3]`."""
    kodak = datasets.make(f"images:{folder / 'kodak24'}")
    images = (common.clean_image(kodak, index) for index in range(min(count, len(kodak))))
    return [stretch_contrast(common.center_crop(image, CROP), BLACK, WHITE) for image in images]


def main() -> None:
    """Print the table."""
    parser = common.parser(__doc__, data=True)
    parser.add_argument("--images", type=int, default=24, help="how many of Kodak24")
    arguments = parser.parse_args()
    kinds = {"page of print": [page()], "stretched photographs": photographs(arguments.data, arguments.images)}
    models = {name: denoisers.make(name, engine="onnx") for name in MODELS}
    rows = []
    for kind, images in kinds.items():
        for spec in NOISES:
            noise = common.file_noise(spec)
            pairs = [(noise(clean, index), clean) for index, clean in enumerate(images)]
            psnr_noisy = float(np.mean([common.capped_psnr(clean, noisy) for noisy, clean in pairs]))
            for name, model in models.items():
                scores = [common.capped_psnr(clean, common.denoise_blind(model, noisy)) for noisy, clean in pairs]
                rows.append(Row(kind, spec, name, psnr_noisy, float(np.mean(scores))))
    print(report.markdown(rows))


if __name__ == "__main__":
    main()
