"""Raw files denoised before development, and developed images denoised: PSNR in dB, at most 60 for an image.

    python benchmarks/quality/raw.py [--data ../shared/data] [--images 24]

Images of Kodak24 are taken back to linear light and given to a synthetic Bayer sensor of 14 bits with as many electrons
at white as a sensitivity leaves, and read noise of 3 electrons. `mosaic` is that of the linear planes; all others are
those of the development by LibRaw, against that of the mosaic without noise: of the noisy mosaic; by LibRaw with its
own noise reduction (FBDD); of the noisy mosaic, then denoised by `auto` (the ordinary path); of the clean mosaic, whose
noise was measured in it (`raw`) or is stated by the file (`raw_stated`).
"""

from __future__ import annotations

import io
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[above]) for above in (1, 2)]  # benchmarks/ and tests

import common
import numpy as np
import rawpy

from tests.io import raw_files as files
from unnoise import datasets, denoisers
from unnoise.denoisers.base import Denoiser
from unnoise.evaluation import report
from unnoise.io import raw
from unnoise.pipeline import raw_files
from unnoise.pipeline.process import DenoiseOptions

ELECTRONS = (40_000, 10_000, 2_500, 600, 150)  # at white
READ = 3.0  # electrons
GAMMA = 2.2


@dataclass(frozen=True)
class Row:
    """Mean PSNR in dB."""

    electrons: int
    mosaic_noisy: float
    mosaic: float
    noisy: float
    fbdd: float
    ordinary: float
    raw: float
    raw_stated: float


def scores(light: np.ndarray, electrons: int, auto: Denoiser) -> Row:
    """Return the scores of one image of linear light, float64 `[H, W, 3]`."""
    counts = files.mosaic_of(light)
    gain = (files.WHITE - files.BLACK[0]) / electrons
    options = DenoiseOptions(auto)
    span = files.WHITE - files.BLACK[0]
    law = (gain / span, ((READ * gain) ** 2 + 1 / 12) / span**2)
    mosaic = files.with_noise(counts, "RGGB", gain, READ * gain)
    source = raw_files.open_checked(files.dng(mosaic), ".dng", options)
    clean = raw_files.denoise(source, options, "the image").mosaic
    stated = raw_files.open_checked(files.dng(mosaic, noise=law * 3), ".dng", options)
    known = raw_files.denoise(stated, options, "the image").mosaic
    true = np.rint(counts).astype(np.uint16)
    wanted, noisy, *best = (as_image(raw.develop(source, one)) for one in (true, mosaic, clean, known))
    with rawpy.imread(io.BytesIO(source.file)) as image:
        mode = rawpy.FBDDNoiseReductionMode.Full
        fbdd = image.postprocess(
            use_camera_wb=True, no_auto_bright=True, adjust_maximum_thr=0, fbdd_noise_reduction=mode
        )
    planes = [np.concatenate([p.signal(m).ravel() for p in source.planes]) for m in (counts, mosaic, clean)]
    developed = (noisy, as_image(fbdd), common.denoise_blind(auto, noisy), *best)
    return Row(
        electrons,
        *(common.capped_psnr(planes[0], plane) for plane in planes[1:]),
        *(common.capped_psnr(wanted, image) for image in developed),
    )


def as_image(samples: np.ndarray) -> np.ndarray:
    """Return 8-bit samples in [0, 1]."""
    return samples.astype(np.float32) / 255


def main() -> None:
    """Print the table."""
    parser = common.parser(__doc__, data=True)
    parser.add_argument("--images", type=int, default=24, help="how many of Kodak24")
    arguments = parser.parse_args()
    kodak, auto = datasets.make(f"images:{arguments.data / 'kodak24'}"), denoisers.make("auto")
    rows = []
    for electrons in ELECTRONS:
        found = [
            asdict(scores(common.clean_image(kodak, index).astype(np.float64) ** GAMMA, electrons, auto))
            for index in range(min(arguments.images, len(kodak)))
        ]
        rows.append(Row(**{name: type(found[0][name])(np.mean([row[name] for row in found])) for name in found[0]}))
    print(report.markdown(rows))


if __name__ == "__main__":
    common.run(main)
