"""`unnoise demo`: a photograph that scikit-image ships, with noise added, denoised, and all versions side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unnoise.cli.console import print_line
from unnoise.cli.options import Overwrite


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Output folder.")] = Path("unnoise-demo"),
    sigma: Annotated[float, typer.Option(min=0, help="Standard deviation of the added noise, 8-bit units.")] = 25.0,
    overwrite: Overwrite = False,
) -> None:
    """Add noise to a sample photograph and denoise it.

    Writes noisy.png, clean.png, and comparison.png with both next to the original.
    """
    for path, caption in make(out, sigma=sigma, overwrite=overwrite).items():
        print_line(f"{path}: {caption}")


def make(folder: Path, *, sigma: float = 25.0, overwrite: bool = False) -> dict[Path, str]:
    """Write `noisy.png`, `clean.png` and `comparison.png`.

    Args:
        folder: output folder; it need not exist.
        sigma: standard deviation of the added Gaussian noise, 8-bit units.
        overwrite: replace existing files.

    Returns:
        File -> what it shows.

    Raises:
        UnnoiseError: one of the files exists, which is checked before any work, or cannot be written.
    """
    import numpy as np
    from skimage import data

    from unnoise import api, io
    from unnoise.evaluation import metrics, report
    from unnoise.io.paths import check_target, make_folder

    files = [folder / f"{name}.png" for name in ("noisy", "clean", "comparison")]
    for file in files:
        check_target(file, overwrite=overwrite, make_parents=True)
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
    return dict(zip(files, [*labels, "both next to the original"], strict=True))
