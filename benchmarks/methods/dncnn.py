"""What DnCNN makes of BSDS500's validation pictures: its figures and tables.

    python benchmarks/methods/dncnn.py headline [--models examples/models] [--data ../shared/data] [--out docs/images]
    python benchmarks/methods/dncnn.py curve    [the same]

`headline`: the mean PSNR of the 100 pictures with noise of sigma 25, clipped, before and after `dncnn`, and the picture
whose noisy PSNR comes closest to 20.530 dB; writes that picture (dncnn_picture.png) and patches of others
(dncnn_patches.png). About three minutes on two cores.

`curve`: PSNR over noise levels 5 to 75, clipped, on every tenth of the pictures: the model for sigma 25, the blind one,
`color` and non-local means, which both find the level by themselves, and the noisy picture; writes dncnn_levels.png.
About five minutes.

None of the pictures was trained on. Noise is seeded by the number of the picture.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common
import numpy as np

from unnoise import datasets, denoisers, io, noise
from unnoise.datasets.base import Dataset
from unnoise.evaluation import report
from unnoise.evaluation.benchmark import curves, evaluate, noisy_pairs
from unnoise.evaluation.metrics import psnr

HEADLINE = 20.530  # dB: the noisy picture that the published run of this recipe shows, cleaned to 31.193 dB
LEVELS = (5, 15, 25, 35, 45, 55, 65, 75)
PATCH, PATCHES = 80, 6


@dataclass(frozen=True)
class Gain:
    """PSNRs in dB, of one picture or the mean of all."""

    picture: str
    psnr_noisy: float
    psnr: float

    @property
    def distance(self) -> float:
        """How far the noisy picture is from the published one, in dB."""
        return abs(self.psnr_noisy - HEADLINE)


class EveryTenth(datasets.Dataset):
    """Every tenth picture of a dataset."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        """Count them."""
        return -(-len(self.dataset) // 10)

    def __getitem__(self, index: int) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Return one."""
        return self.dataset[10 * index]

    def label(self, index: int) -> str:
        """Name one."""
        return self.dataset.label(10 * index)


def headline(models: Path, pictures: Dataset, out: Path) -> None:
    """Print the mean over all pictures and the one nearest to the published one, and draw it."""
    model, spoil = denoisers.make(models / "dncnn.safetensors"), noise.make("gaussian:25 + clip")
    gains: list[Gain] = []
    rows: list[dict[str, np.ndarray]] = []
    nearest: dict[str, np.ndarray] = {}
    for index, (noisy, clean, _) in enumerate(noisy_pairs(pictures, spoil)):
        cleaned = model(noisy)
        gains.append(Gain(pictures.label(index), psnr(clean, noisy), psnr(clean, cleaned)))
        shown = {"truth": clean, "noisy": noisy, "denoised": cleaned}
        if gains[-1].distance == min(gain.distance for gain in gains):
            nearest = shown
        if len(rows) < PATCHES:
            top, left = (side // 2 - PATCH // 2 for side in clean.shape[:2])
            rows.append({name: one[top : top + PATCH, left : left + PATCH] for name, one in shown.items()})
        print(f"{index + 1} of {len(pictures)}", end="\r", file=sys.stderr)
    best = min(gains, key=lambda gain: gain.distance)
    mean = Gain("mean of all", *np.mean([(gain.psnr_noisy, gain.psnr) for gain in gains], axis=0).tolist())
    print(report.markdown([mean, best]))
    labels = ["truth", f"noisy, {best.psnr_noisy:.2f} dB", f"denoised, {best.psnr:.2f} dB"]
    save(report.side_by_side(dict(zip(labels, nearest.values(), strict=True))), out / "dncnn_picture.png")
    save(report.sheet(rows), out / "dncnn_patches.png")


def curve(models: Path, pictures: Dataset, out: Path) -> None:
    """Print PSNR over noise levels and draw it."""
    names = {"dncnn, for sigma 25": "dncnn", "dncnn, blind": "dncnn_blind"}
    compared = {name: denoisers.make(models / f"{stem}.safetensors") for name, stem in names.items()}
    compared |= {"color": denoisers.make("color"), "non-local means": denoisers.make("nlm")}
    measured = evaluate(
        compared,
        EveryTenth(pictures),
        [noise.make(f"gaussian:{level} + clip") for level in LEVELS],
        data="every tenth of bsds500/val",
        blind=True,
        with_ssim=False,
        progress=lambda text: print(text, end="\r", file=sys.stderr),
    )
    rows = list(measured)
    print(report.markdown(rows))
    report.draw_curves(curves(rows, LEVELS), out / "dncnn_levels.png", x="noise level sigma, 8-bit units", y="PSNR, dB")


def save(pixels: np.ndarray, path: Path) -> None:
    """Write a picture of 8 bits in the place of an older one."""
    io.from_array(np.rint(pixels * 255).astype(np.uint8)).save(path, overwrite=True)


def main() -> None:
    """Read the command line and do what it says."""
    parser = common.parser(__doc__)
    parser.add_argument("what", choices=["headline", "curve"])
    parser.add_argument("--models", type=Path, default=Path("examples/models"))
    parser.add_argument("--data", default="../shared/data")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    arguments = parser.parse_args()
    pictures = datasets.make(f"images:{arguments.data}/bsds500/val", channels=3)
    {"headline": headline, "curve": curve}[arguments.what](arguments.models, pictures, arguments.out)


if __name__ == "__main__":
    main()
