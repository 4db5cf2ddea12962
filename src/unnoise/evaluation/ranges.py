"""Images of any value range in evaluations: the same noise, and the same input of the models, as outside of these.

As `add_noise` has it, a noise level of 255 is the full scale of an image, which is the peak of the PSNR, too. As
`denoise` has it, models get an image with its black at 0 and its white at 1; where the clean image lies between 0 and
the full scale, these are black and white.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from unnoise.denoisers.base import Denoiser, Sigma
from unnoise.denoisers.grouped import Grouped, Member
from unnoise.denoisers.rescaled import Rescaled
from unnoise.io.layout import Layout, layout_of_array
from unnoise.io.value_range import estimate_range

FLOAT = np.dtype(np.float32)


def full_scales(pixels: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """Return the full scale of each channel of an image; they differ only where the channels are no color image.

    Args:
        pixels: float32 `[H, W, C]`, as `as_float` returns it.
        dtype: of its samples.

    Returns:
        Float32 `[C]`, each larger than 0.
    """
    scales = np.empty(pixels.shape[2], np.float32)
    for group in _groups(pixels):
        scales[group] = estimate_range(pixels[:, :, group], _kind(dtype)).full_scale
    return scales


def with_range(model: Denoiser, noisy: np.ndarray, sigma: Sigma | None, *, known: bool) -> Denoiser:
    """Return a model that is given an image with black at 0 and white at 1, as in `DenoiseOptions.resolve`.

    Args:
        model: the model.
        noisy: the image, divided by its full scale, float32 `[H, W, C]`.
        sigma: noise level that it will be called with, a fraction of the full scale; None to estimate it.
        known: whether black is 0 and white is 1, as the clean image shows; else they are estimated.
    """
    groups = _groups(noisy)
    models = [model if known else _rescaled(model, noisy[:, :, group]) for group in groups]
    if len(groups) == 1:
        return models[0]
    return Grouped([Member(group, one, sigma) for group, one in zip(groups, models, strict=True)])


def _rescaled(model: Denoiser, noisy: np.ndarray) -> Denoiser:
    values = estimate_range(noisy, FLOAT)
    return Rescaled(model, dataclasses.replace(values, full_scale=1.0))  # `noisy` has been divided by it


def _groups(pixels: np.ndarray) -> tuple[slice, ...]:
    """Return the channels that are denoised together; datasets have no alpha, so that four channels are CMYK."""
    channels = pixels.shape[2]
    return (Layout(4) if channels == 4 else layout_of_array(channels)).groups


def _kind(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type that the pixels of `as_float` have the unit of: unsigned integers alone are divided by theirs."""
    return dtype if dtype.kind == "u" else FLOAT
