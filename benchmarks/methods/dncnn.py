"""DnCNN on BSDS500's validation images: its tables and figures.

    python benchmarks/methods/dncnn.py headline [--models examples/models] [--data ../shared/data] [--out docs/images]
    python benchmarks/methods/dncnn.py curve    [the same options]

`headline`: the mean PSNR of the 100 images with clipped noise of sigma 25, before and after `dncnn`, and the image
whose noisy PSNR is closest to 20.530 dB; writes that image (dncnn_picture.png) and patches of others
(dncnn_patches.png). About three minutes on two cores.

`curve`: PSNR over noise levels 5 to 75, clipped, on every tenth image: the model for sigma 25, the blind one, `color`
and non-local means with estimated sigma, and the noisy image; writes dncnn_levels.png. About five minutes.

None of the images was trained on. The seed of the noise is the index of the image.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common
import numpy as np

from unnoise import datasets, denoisers, noise
from unnoise.datasets.base import Dataset
from unnoise.datasets.split import Subset
from unnoise.evaluation import report
from unnoise.evaluation.benchmark import curves, evaluate, noisy_pairs
from unnoise.evaluation.metrics import psnr

HEADLINE = 20.530  # dB: the noisy image shown by the published run of this recipe, denoised to 31.193 dB
LEVELS = (5, 15, 25, 35, 45, 55, 65, 75)
PATCH, PATCHES = 80, 6  # side in pixels, and number


@dataclass(frozen=True)
class Gain:
    """PSNR in dB of one image, or the mean of all."""

    image: str
    psnr_noisy: float
    psnr: float

    @property
    def distance(self) -> float:
        """Difference of the noisy PSNR from the published one, in dB."""
        return abs(self.psnr_noisy - HEADLINE)


def headline(models: Path, dataset: Dataset, out: Path) -> None:
    """Print the mean over all images and the image closest to the published one, and draw it."""
    model, noise_model = denoisers.make(models / "dncnn.safetensors"), noise.make("gaussian:25 + clip")
    gains: list[Gain] = []
    rows: list[dict[str, np.ndarray]] = []
    nearest: dict[str, np.ndarray] = {}
    for index, (noisy, clean, _) in enumerate(noisy_pairs(dataset, noise_model)):
        denoised = model(noisy)
        gains.append(Gain(dataset.label(index), psnr(clean, noisy), psnr(clean, denoised)))
        images = {"truth": clean, "noisy": noisy, "denoised": denoised}
        if gains[-1].distance == min(gain.distance for gain in gains):
            nearest = images
        if len(rows) < PATCHES:
            top, left = (side // 2 - PATCH // 2 for side in clean.shape[:2])
            rows.append({name: image[top : top + PATCH, left : left + PATCH] for name, image in images.items()})
        print(f"{index + 1} of {len(dataset)}", end="\r", file=sys.stderr)
    best = min(gains, key=lambda gain: gain.distance)
    mean = Gain("mean of all", *np.mean([(gain.psnr_noisy, gain.psnr) for gain in gains], axis=0).tolist())
    print(report.markdown([mean, best]))
    labels = ["truth", f"noisy, {best.psnr_noisy:.2f} dB", f"denoised, {best.psnr:.2f} dB"]
    common.save_image(report.side_by_side(dict(zip(labels, nearest.values(), strict=True))), out / "dncnn_picture.png")
    common.save_image(report.sheet(rows), out / "dncnn_patches.png")


def curve(models: Path, dataset: Dataset, out: Path) -> None:
    """Print PSNR over noise levels, and draw it."""
    names = {"dncnn, for sigma 25": "dncnn", "dncnn, blind": "dncnn_blind"}
    compared = {name: denoisers.make(models / f"{stem}.safetensors") for name, stem in names.items()}
    compared |= {"color": denoisers.make("color"), "non-local means": denoisers.make("nlm")}
    measured = evaluate(
        compared,
        Subset(dataset, range(0, len(dataset), 10)),
        [noise.make(f"gaussian:{level} + clip") for level in LEVELS],
        data="every tenth of bsds500/val",
        blind=True,
        with_ssim=False,
        progress=lambda text: print(text, end="\r", file=sys.stderr),
    )
    rows = list(measured)
    print(report.markdown(rows))
    report.draw_curves(curves(rows, LEVELS), out / "dncnn_levels.png", x="noise level sigma, 8-bit units", y="PSNR, dB")


def main() -> None:
    """Run `headline` or `curve`."""
    parser = common.parser(__doc__, data=True)
    parser.add_argument("part", choices=["headline", "curve"])
    parser.add_argument("--models", type=Path, default=Path("examples/models"), help="folder of the models")
    parser.add_argument("--out", type=Path, default=Path("docs/images"), help="folder for the figures")
    arguments = parser.parse_args()
    dataset = datasets.make(f"images:{arguments.data}/bsds500/val", channels=3)
    {"headline": headline, "curve": curve}[arguments.part](arguments.models, dataset, arguments.out)


if __name__ == "__main__":
    main()
