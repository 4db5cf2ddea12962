"""Denoise a region of an image, and show it on a screen."""

from __future__ import annotations

import numpy as np
import pyvips

from unnoise.denoisers.base import Denoiser, Sigma
from unnoise.io import Picture
from unnoise.io.value_range import ValueRange
from unnoise.pipeline import process
from unnoise.pipeline.process import ProgressCallback


def denoise_region(
    denoiser: Denoiser,
    pixels: np.ndarray,
    sigma: Sigma | None,
    region: tuple[slice, slice],
    *,
    strength: float = 1.0,
    progress: ProgressCallback = lambda _: None,
) -> np.ndarray:
    """Denoise a rectangle as it would be denoised within the whole image.

    It is given the margin that the denoiser needs, and begins on the denoiser's grid. A denoiser without a `halo` is
    given the whole image.

    Args:
        denoiser: as `DenoiseOptions.resolve` returns it.
        pixels: the whole image, float32 `[H, W, C]`.
        sigma: noise level to call it with, as `DenoiseOptions.resolve` returns it.
        region: rows and columns; both slices have a start and a stop.
        strength: as for `process.denoise_array`.
        progress: called with the fraction that is done.

    Returns:
        The region, float32 `[h, w, C]`.
    """
    if denoiser.halo is None:
        return process.denoise_array(denoiser, pixels, sigma, strength=strength, progress=progress)[region]
    first = [max(side.start - denoiser.halo, 0) // denoiser.multiple_of * denoiser.multiple_of for side in region]
    outer = tuple(slice(start, side.stop + denoiser.halo) for start, side in zip(first, region, strict=True))
    crop = tuple(slice(side.start - start, side.stop - start) for start, side in zip(first, region, strict=True))
    return process.denoise_array(
        denoiser, pixels[outer], sigma, strength=strength, progress=progress, origin=(first[0], first[1])
    )[crop]


def to_screen(picture: Picture, pixels: np.ndarray, alpha: np.ndarray | None, values: ValueRange) -> bytes:
    """Encode pixels as browsers show them: a PNG of 8 bits in sRGB.

    Args:
        picture: where they come from; its color profile is applied.
        pixels: of all or a part of it, float32 `[h, w, C]`.
        alpha: of the same part, `[h, w, A]` in the samples of the file, or None.
        values: what is shown as black and white.
    """
    levels = np.nan_to_num(values.normalize(pixels)).clip(0, 1) * np.float32(65535)
    image = pyvips.Image.new_from_array(np.rint(levels).astype(np.uint16))
    space = {1: "grey16", 3: "rgb16", 4: "cmyk"}[pixels.shape[2]]
    if space == "cmyk":
        image = (image >> 8).cast("uchar")
    image = image.copy(interpretation=space)
    profile = picture.metadata.get("icc-profile-data")
    if profile:
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    try:
        shown = image.icc_transform("srgb", embedded=True) if profile else image.colourspace("srgb")
    except pyvips.Error:  # a broken profile: assume sRGB
        image.remove("icc-profile-data")
        shown = image.colourspace("srgb")
    if alpha is not None:
        alpha = alpha[:, :, :1]
        scale = 1 if alpha.dtype.kind == "f" else np.iinfo(alpha.dtype).max
        opaque = np.rint(np.clip(alpha / np.float32(scale), 0, 1) * 255).astype(np.uint8)
        shown = shown.bandjoin(pyvips.Image.new_from_array(opaque))
    return shown.pngsave_buffer(compression=1, keep="none")  # type: ignore[arg-type]
