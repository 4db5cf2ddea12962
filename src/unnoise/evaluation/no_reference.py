"""Models ranked on noisy pictures of which nobody has the truth.

Each picture y = x + n gets extra noise e of its own kind, a fraction ALPHA as strong: z = y + ALPHA e. A model cleans
z, and what it makes is compared with y. That alone would favour models that leave noise in, since y is noisy itself;
but the part of e that is left shows how much of n is left, too. With v the variance of n and of e,

    mean (f(z) - y)^2 + 2 / ALPHA mean (f(z) - y) e - v

is on average the mean square error of f(z) against the truth x. This is recorrupted-to-recorrupted (Pang, Zheng, Quan,
Ji, "Recorrupted-to-Recorrupted: Unsupervised Deep Learning for Image Denoising", CVPR 2021, equation 8) used to measure
and not to learn: its second picture is y - e / ALPHA, whose noise is not correlated with that of z.

Beside it stands a blind-spot score (Batson, Royer, "Noise2Self", ICML 2019): one pixel in 16 is replaced by the mean of
its neighbours, and what the model makes there is compared with the pixel, less v. It asks how well pixels are told from
others, and so puts models down that make much of each pixel itself.

Both want noise that pixels have on their own. The first needs its variance, found in the picture: a number, or a line
over the signal; an error of that moves all models alike, and not their order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from unnoise.datasets.base import Dataset, as_float
from unnoise.denoisers.base import Denoiser
from unnoise.errors import UnnoiseError
from unnoise.io.picture import white_level
from unnoise.noise import calibration, estimation
from unnoise.noise.estimation import NoiseEstimate

ALPHA = 0.5
"""Strength of the extra noise, as a share of the picture's own: together they are 1.12 times as strong as that."""
STRIDE = 4
"""Blind spots lie on a grid of this step ..."""
PASSES = 2
"""... at so many places of it, one after the other."""
FAINTEST = 1e-3
"""Errors are told as this share of the noise's variance, at least."""
_EXTRA = 1
"""Marks a stream of random numbers of its own: pictures that were spoilt by the same seed have another."""
_BLUR = 2.0  # pixels, of the picture that the variance is read off
_AROUND = np.array([[1, 2, 1], [2, 0, 2], [1, 2, 1]], np.float32)[:, :, None] / 12


@dataclass(frozen=True)
class NoReferenceRow:
    """What one model makes of noisy pictures: means over them.

    Attributes:
        model: its name.
        data: the dataset's spec.
        images: pictures that could be judged.
        psnr_extra: estimated PSNR against the truth, in dB, with the extra noise in.
        psnr_blind_spot: the same of pixels that the model has not seen.
        seconds_per_megapixel: of the model alone.
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
    """Return one row per model, the best first by `psnr_extra`.

    Args:
        models: name -> denoiser.
        dataset: noisy pictures; of pairs, the first.
        data: how the rows call the dataset.
        seed: of the extra noise.
        blind: let models that want the noise level estimate it; else they are told.
        progress: called with a line per picture.
        skipped: called with a line per picture that cannot be judged.

    Raises:
        UnnoiseError: none of the pictures can be judged.
    """
    scores: dict[str, list[tuple[float, float, float]]] = {name: [] for name in models}
    for index in range(len(dataset)):
        item = dataset[index]
        stored = item[0] if isinstance(item, tuple) else item
        pixels = as_float(stored)
        noisy = pixels / np.float32(white_level(pixels, stored.dtype))
        found = estimation.estimate_noise(noisy[:, :, :3])
        variance, why_not = variance_of(noisy, found)
        if why_not:
            skipped(f"{dataset.label(index)}: is left out: {why_not}")
            continue
        louder = replace(found, sigma_at_white=found.sigma_at_white * np.sqrt(1 + ALPHA**2))
        for name, model in models.items():
            rng = np.random.default_rng((seed, index, _EXTRA))  # each model meets the same
            start = time.perf_counter()
            errors = (
                error_with_extra_noise(model.for_noise(louder), noisy, variance, rng, blind=blind),
                error_in_blind_spots(model.for_noise(found), noisy, variance, rng, blind=blind),
            )
            seconds = (time.perf_counter() - start) / (1 + PASSES) / (noisy.shape[0] * noisy.shape[1] / 1e6)
            least = FAINTEST * float(variance.mean())
            one, other = (float(-10 * np.log10(max(error, least))) for error in errors)
            scores[name].append((one, other, seconds))
        progress(f"{data}: {index + 1} of {len(dataset)}")
    if not any(scores.values()):
        raise UnnoiseError("none of the pictures can be judged without truth: their noise must be white")
    rows = [NoReferenceRow(name, data, len(found), *np.mean(found, axis=0).tolist()) for name, found in scores.items()]
    return sorted(rows, key=lambda row: -row.psnr_extra)


def variance_of(noisy: np.ndarray, found: NoiseEstimate) -> tuple[np.ndarray, str]:
    """Return the variance of the noise at each pixel of `[H, W, C]`, and why the picture cannot be judged, or ""."""
    nowhere = np.zeros_like(noisy)
    if not np.isfinite(noisy).all():
        return nowhere, "it holds values that are not finite"
    if found.kind == "none":
        return nowhere, "no noise is found in it"
    if found.kind not in ("gaussian", "signal-dependent"):
        return nowhere, f"its noise is {found.kind}, and must be white"
    if found.kind == "gaussian":
        return np.full_like(noisy, found.sigma**2), ""
    brightness, spread = estimation.noise_against_signal(noisy)
    slope, start = calibration.line(brightness.ravel(), spread.ravel())
    smooth = ndimage.gaussian_filter(noisy, (_BLUR, _BLUR, 0))
    return np.maximum(slope * smooth + start, 0.01 * found.sigma**2).astype(np.float32), ""


def error_with_extra_noise(
    model: Denoiser, noisy: np.ndarray, variance: np.ndarray, rng: np.random.Generator, *, blind: bool = False
) -> float:
    """Estimate the mean square error of what a model makes of a picture with extra noise, against the truth.

    Args:
        model: any denoiser.
        noisy: float32 `[H, W, C]`.
        variance: of its noise at each pixel, the same shape.
        rng: of the extra noise.
        blind: do not tell the model the level.
    """
    extra = np.sqrt(variance) * rng.standard_normal(noisy.shape, dtype=np.float32)
    level = float(np.sqrt((1 + ALPHA**2) * variance.mean()))
    off = model(noisy + np.float32(ALPHA) * extra, None if blind else level) - noisy
    return float(np.mean(off**2, dtype=np.float64) + 2 / ALPHA * np.mean(off * extra, dtype=np.float64)) - float(
        variance.mean(dtype=np.float64)
    )


def error_in_blind_spots(
    model: Denoiser, noisy: np.ndarray, variance: np.ndarray, rng: np.random.Generator, *, blind: bool = False
) -> float:
    """Estimate the mean square error of a model at pixels that it has not seen; arguments as before."""
    around = ndimage.convolve(noisy, _AROUND, mode="mirror")
    level, errors = float(np.sqrt(variance.mean())), []
    for place in rng.choice(STRIDE**2, PASSES, replace=False):
        spots = (slice(place // STRIDE, None, STRIDE), slice(place % STRIDE, None, STRIDE))
        if not noisy[spots].size:
            continue
        masked = noisy.copy()
        masked[spots] = around[spots]
        made = model(masked, None if blind else level)
        off = (made[spots] - noisy[spots]) ** 2 - variance[spots]
        errors.append(float(off.mean(dtype=np.float64)))
    return float(np.mean(errors)) if errors else float("nan")
