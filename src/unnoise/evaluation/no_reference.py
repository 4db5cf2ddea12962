"""Ranking of models on noisy images without clean references.

Each image y = x + n gets extra noise e of the same kind, scaled by ALPHA: z = y + ALPHA e. A model denoises z, and its
output is compared with y. That alone would favor models that leave noise in, since y is noisy itself; but the part of e
that remains shows how much of n remains. With v the variance of n and of e,

    mean (f(z) - y)^2 + 2 / ALPHA mean (f(z) - y) e - v

is on average the mean square error of f(z) against the truth x. This is recorrupted-to-recorrupted (Pang, Zheng, Quan,
Ji, "Recorrupted-to-Recorrupted: Unsupervised Deep Learning for Image Denoising", CVPR 2021, equation 8) used for
evaluation: its second image is y - e / ALPHA, whose noise is not correlated with that of z.

A blind-spot score (Batson, Royer, "Noise2Self", ICML 2019) is reported besides: one pixel in 16 is replaced by the mean
of its neighbors, and the output there is compared with the pixel, less v. It measures how well pixels are predicted
from others, and so is lower for models that rely on each pixel itself.

Both need noise that is independent between pixels. The first needs its variance, which is estimated from the image as a
constant or a line over the signal; an error in it shifts all models alike and does not change their order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from unnoise import denoisers
from unnoise.datasets.base import Dataset, as_float
from unnoise.denoisers.base import Denoiser
from unnoise.errors import UnnoiseError
from unnoise.io.value_range import estimate_range
from unnoise.noise.estimation import NoiseEstimate

ALPHA = 0.5
"""Strength of the extra noise, as a share of the image's own; their sum is 1.12 times as strong."""
STRIDE = 4
"""Step of the grid of blind spots, in pixels."""
PASSES = 2
"""Number of positions of the grid."""
FAINTEST = 1e-3
"""Smallest reported error, as a share of the variance of the noise."""
_EXTRA = 1
"""Separates the random numbers from those of noise that was added to the images with the same seed."""
_BLUR = 2.0  # pixels; blur of the image from which the variance at each pixel is computed
_AROUND = np.array([[1, 2, 1], [2, 0, 2], [1, 2, 1]], np.float32)[:, :, None] / 12


@dataclass(frozen=True)
class NoReferenceRow:
    """Mean results of one model on noisy images.

    Attributes:
        model: name of the model.
        data: dataset spec.
        images: number of images that could be used.
        psnr_extra: estimated PSNR for images with the extra noise, in dB.
        psnr_blind_spot: estimated PSNR at blind spots, in dB.
        seconds_per_megapixel: time of the model alone.
    """

    model: str
    data: str
    images: int
    psnr_extra: float
    psnr_blind_spot: float
    seconds_per_megapixel: float


def rank_models(
    models: Mapping[str, Denoiser],
    dataset: Dataset,
    *,
    data: str = "",
    seed: int = 0,
    blind: bool = False,
    progress: Callable[[str], None] = lambda _: None,
    skipped: Callable[[str], None] = lambda _: None,
) -> list[NoReferenceRow]:
    """Return one row per model, ordered by `psnr_extra`, the best first.

    Args:
        models: name -> denoiser.
        dataset: noisy images; of pairs, the first image is used.
        data: name of the dataset in the rows.
        seed: seed of the extra noise.
        blind: let models that need sigma estimate it; otherwise they are given it.
        progress: called with a line per image.
        skipped: called with a line per image that cannot be used.

    Raises:
        UnnoiseError: no image can be used.
    """
    scores: dict[str, list[tuple[float, float, float]]] = {name: [] for name in models}
    for index in range(len(dataset)):
        item = dataset[index]
        stored = item[0] if isinstance(item, tuple) else item
        pixels = as_float(stored)
        noisy = pixels / np.float32(estimate_range(pixels, stored.dtype).full_scale)
        estimate = denoisers.estimate_noise(noisy[:, :, :3])
        variance, reason = variance_of(noisy, estimate)
        if reason:
            skipped(f"{dataset.label(index)}: skipped: {reason}")
            continue
        louder = replace(estimate, line=tuple((1 + ALPHA**2) * term for term in estimate.line))
        for name, model in models.items():
            rng = np.random.default_rng((seed, index, _EXTRA))  # the same for each model
            start = time.perf_counter()
            errors = (
                error_with_extra_noise(model.for_noise(louder), noisy, variance, rng, blind=blind),
                error_in_blind_spots(model.for_noise(estimate), noisy, variance, rng, blind=blind),
            )
            seconds = (time.perf_counter() - start) / (1 + PASSES) / (noisy.shape[0] * noisy.shape[1] / 1e6)
            least = FAINTEST * float(variance.mean())
            extra, blind_spot = (float(-10 * np.log10(max(error, least))) for error in errors)
            scores[name].append((extra, blind_spot, seconds))
        progress(f"{data}: {index + 1} of {len(dataset)}")
    if not any(scores.values()):
        raise UnnoiseError("no image can be used without a clean reference: the noise must be white")
    rows = [NoReferenceRow(name, data, len(one), *np.mean(one, axis=0).tolist()) for name, one in scores.items()]
    return sorted(rows, key=lambda row: -row.psnr_extra)


def variance_of(noisy: np.ndarray, estimate: NoiseEstimate) -> tuple[np.ndarray, str]:
    """Return the variance of the noise at each pixel of `[H, W, C]`, and why the image cannot be used, or ""."""
    nowhere = np.zeros_like(noisy)
    if not np.isfinite(noisy).all():
        return nowhere, "it holds NaN or infinite values"
    if estimate.kind == "none":
        return nowhere, "no noise was found"
    if estimate.kind not in ("gaussian", "signal-dependent"):
        return nowhere, f"its noise is {estimate.kind}, but must be white"
    if estimate.kind == "gaussian":
        return np.full_like(noisy, estimate.sigma**2), ""
    smooth = ndimage.gaussian_filter(noisy, (_BLUR, _BLUR, 0))
    return np.maximum(estimate.sigma_at(smooth) ** 2, 0.01 * estimate.sigma**2).astype(np.float32), ""


def error_with_extra_noise(
    model: Denoiser, noisy: np.ndarray, variance: np.ndarray, rng: np.random.Generator, *, blind: bool = False
) -> float:
    """Estimate the mean squared error of a model's output for an image with extra noise, against the clean image.

    Args:
        model: any denoiser.
        noisy: float32 `[H, W, C]`.
        variance: variance of its noise at each pixel, of the same shape.
        rng: source of the extra noise.
        blind: do not give the model sigma.
    """
    extra = np.sqrt(variance) * rng.standard_normal(noisy.shape, dtype=np.float32)
    sigma = float(np.sqrt((1 + ALPHA**2) * variance.mean()))
    error = model(noisy + np.float32(ALPHA) * extra, None if blind else sigma) - noisy
    return float(np.mean(error**2, dtype=np.float64) + 2 / ALPHA * np.mean(error * extra, dtype=np.float64)) - float(
        variance.mean(dtype=np.float64)
    )


def error_in_blind_spots(
    model: Denoiser, noisy: np.ndarray, variance: np.ndarray, rng: np.random.Generator, *, blind: bool = False
) -> float:
    """Estimate the mean squared error of a model at blind spots; arguments as for `error_with_extra_noise`."""
    around = ndimage.convolve(noisy, _AROUND, mode="mirror")
    sigma, errors = float(np.sqrt(variance.mean())), []
    for place in rng.choice(STRIDE**2, PASSES, replace=False):
        spots = (slice(place // STRIDE, None, STRIDE), slice(place % STRIDE, None, STRIDE))
        if not noisy[spots].size:
            continue
        masked = noisy.copy()
        masked[spots] = around[spots]
        clean = model(masked, None if blind else sigma)
        error = (clean[spots] - noisy[spots]) ** 2 - variance[spots]
        errors.append(float(error.mean(dtype=np.float64)))
    return float(np.mean(errors)) if errors else float("nan")
