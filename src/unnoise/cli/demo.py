"""The demonstration: a photograph that scikit-image brings along, made noisy, cleaned, and all of it side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from skimage import data

from unnoise import api, io
from unnoise.evaluation import metrics, report
from unnoise.io.picture import make_folder
from unnoise.pipeline import process


def make(folder: Path, *, sigma: float = 25.0, overwrite: bool = False) -> dict[Path, str]:
    """Write `noisy.png`, `clean.png` and `comparison.png`.

    Args:
        folder: where to; it is made where it is missing.
        sigma: deviation of the Gaussian noise that is added, 8-bit units.
        overwrite: replace what stands there.

    Returns:
        File -> what it shows.

    Raises:
        UnnoiseError: one of the files exists, or they cannot be written; told before the work.
    """
    files = [folder / f"{name}.png" for name in ("noisy", "clean", "comparison")]
    for file in files:
        process.check_target(file, overwrite=overwrite)
    original = io.from_array(data.chelsea())
    noisy = api.add_noise(original, f"gaussian:{sigma} + clip")
    clean = api.denoise(noisy)
    labels = {
        f"{name}, {metrics.psnr(original.pixels, picture.pixels):.2f} dB": picture.pixels
        for name, picture in (("noisy", noisy), ("unnoise", clean))
    }
    sheet = report.side_by_side({**labels, "original (Chelsea, scikit-image)": original.pixels})
    comparison = io.from_array(np.rint(sheet * 255).astype(np.uint8))
    make_folder(folder)
    for file, picture in zip(files, (noisy, clean, comparison), strict=True):
        picture.save(file, overwrite=overwrite)
    return dict(zip(files, [*labels, "both beside the original"], strict=True))
