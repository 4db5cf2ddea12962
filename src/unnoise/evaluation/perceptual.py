"""Further metrics of the library piq: MS-SSIM, HaarPSI, MDSI, and LPIPS and DISTS where their weights are on disk.

They compare gray and color images clipped to [0, 1] and rounded to 8 bits, as PSNR and SSIM do; they are not defined
for other channels, value ranges beyond black and white, missing values, and small images. Nothing is downloaded: LPIPS
and DISTS need the files that piq and torchvision would fetch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from unnoise.denoisers import torchvision_stand_in
from unnoise.errors import UnnoiseError
from unnoise.evaluation import vgg
from unnoise.evaluation.metrics import fits_8_bits, to_8_bit
from unnoise.optional import require
from unnoise.spec import unknown

Metric = Callable[[np.ndarray, np.ndarray], float]
"""Compares a true image and another one, `[H, W, C]` in [0, 1]; NaN where it is not defined."""


@dataclass(frozen=True)
class _Kind:
    """How a metric is computed.

    Attributes:
        function: name of piq's function, or of its class.
        smallest: shortest side that it is defined for, in pixels.
        files: weights that it needs, in PyTorch's cache.
        color: whether it takes color alone; gray images are then given as three equal channels.
    """

    function: str
    smallest: int
    files: tuple[str, ...] = ()
    color: bool = False


METRICS = {
    "ms-ssim": _Kind("multi_scale_ssim", 161),  # five scales of a window of 11 pixels: 10 * 2 ** 4 + 1
    "haarpsi": _Kind("haarpsi", 16),
    "mdsi": _Kind("mdsi", 8, color=True),
    "lpips": _Kind("LPIPS", 16, ("lpips_weights.pt", vgg.FILE), color=True),
    "dists": _Kind("DISTS", 16, ("dists_weights.pt", vgg.FILE), color=True),
}
"""Name -> how it is computed. Higher is better for "ms-ssim" and "haarpsi", lower for the others."""


def make(names: Iterable[str]) -> dict[str, Metric]:
    """Return metrics by name; "psnr" and "ssim", which are always measured, are left out.

    Several names may stand in one, separated by commas.

    Raises:
        UnnoiseError: there is no such metric, piq is not installed, or weights are not on disk.
    """
    wanted = [one.strip() for name in names for one in name.split(",")]
    return {name: _metric(name) for name in dict.fromkeys(wanted) if name not in ("psnr", "ssim")}


def _metric(name: str) -> Metric:
    if name not in METRICS:
        raise UnnoiseError(unknown("metric", name, ["psnr", "ssim", *METRICS]))
    kind = METRICS[name]
    folder = vgg.cache()
    if missing := [file for file in kind.files if not (folder / file).is_file()]:
        raise UnnoiseError(f"the metric '{name}' needs weights that are not on disk: {', '.join(missing)} in {folder}")
    with torchvision_stand_in.importable():
        piq: Any = require("piq", extra="metrics")
    function = getattr(piq, kind.function)
    if kind.files:
        try:
            with vgg.from_cache(piq.perceptual):
                function = function()
        except (TypeError, KeyError, RuntimeError, AssertionError) as error:
            raise UnnoiseError(f"'{folder / kind.files[0]}' does not hold the weights of {kind.function}") from error
    else:
        function = functools.partial(function, data_range=1.0)
    return functools.partial(_compare, function, kind)


def _compare(function: Any, kind: _Kind, truth: np.ndarray, image: np.ndarray) -> float:
    defined = truth.shape[2] in (1, 3) and np.isfinite(truth).all() and fits_8_bits(truth)
    if not defined or min(truth.shape[:2]) < kind.smallest:
        return float("nan")
    if kind.color and truth.shape[2] == 1:
        truth, image = np.repeat(truth, 3, axis=2), np.repeat(image, 3, axis=2)
    clean, other = (
        torch.from_numpy(np.ascontiguousarray(to_8_bit(pixels).transpose(2, 0, 1)[None], dtype=np.float32))
        for pixels in (truth, image)
    )
    with torch.inference_mode():
        return float(function(other, clean))
