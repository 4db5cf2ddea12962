"""Denoise one image: an array, a picture, a file, or the bytes of a file.

Whatever is not noise is kept: metadata, alpha, bit depth and pages. Output files are written whole or not at all.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from unnoise import io
from unnoise.denoisers import rescaled, tiling
from unnoise.denoisers.adjusted import Adjustments, add_grain
from unnoise.denoisers.auto import Auto
from unnoise.denoisers.base import Denoiser, Sigma
from unnoise.denoisers.grouped import Grouped, Member
from unnoise.errors import UnnoiseError
from unnoise.io import Picture, atomic, formats, picture, raw
from unnoise.io.atomic import CommitHook
from unnoise.io.formats import output_suffix
from unnoise.io.layout import Layout
from unnoise.io.paths import check_format, check_target, make_folder
from unnoise.io.unreadable import is_zarr
from unnoise.io.value_range import ValueRange, range_of
from unnoise.io.zarr_store import Store
from unnoise.pipeline import error_maps, page_models, raw_files, stores, streaming
from unnoise.pipeline.error_maps import ErrorEstimator
from unnoise.pipeline.jobs import Job
from unnoise.pipeline.outcome import COPIED, Outcome
from unnoise.pipeline.results import DenoisedPicture, JobResult
from unnoise.units import to_8bit

log = logging.getLogger(__name__)

ProgressCallback = Callable[[float], None]
"""Called with the fraction that is done, 0 to 1."""


@dataclass(frozen=True)
class DenoiseOptions:
    """Options for all images of a call.

    Attributes:
        denoiser: the model.
        sigma: noise level as a fraction of the full scale; None to estimate it for each image.
        strength: 0 returns the image unchanged, 1 the denoiser's result; up to 1.5 extrapolates beyond it.
        value_range: black and white in the values of the file; None to estimate them for each image, see
            `io.value_range`.
        max_pixels: images of more pixels are refused before they are decoded.
        overwrite: replace existing outputs.
        quality: of JPEG, WebP and AVIF outputs, 1 to 100; None for the format's default.
        min_level: noise found below this is ignored, a fraction of the full scale; None for the default of `Auto`.
        force: denoise images in which no noise is found, too.
        preserve: give an output the modification time of its input.
        adjustments: how much is taken out of brightness and color, and what is brought back.

    Raises:
        UnnoiseError: a value is out of range.
    """

    denoiser: Denoiser
    sigma: float | None = None
    strength: float = 1.0
    value_range: tuple[float, float] | None = None
    max_pixels: int = io.MAX_PIXELS
    overwrite: bool = False
    quality: int | None = None
    min_level: float | None = None
    force: bool = False
    preserve: bool = False
    adjustments: Adjustments = field(default_factory=Adjustments)

    def __post_init__(self) -> None:
        """Check the ranges before any work."""
        if self.sigma is not None and not 0 <= self.sigma <= 1:
            raise UnnoiseError(f"sigma must be between 0 and 255, in 8-bit units, got {to_8bit(self.sigma):g}")
        if not 0 <= self.strength <= 1.5:
            raise UnnoiseError(f"strength must be between 0 and 1.5, got {self.strength:g}")
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise UnnoiseError(f"quality must be between 1 and 100, got {self.quality}")
        if self.min_level is not None and not 0 <= self.min_level <= 1:
            raise UnnoiseError(
                f"the minimum noise level must be between 0 and 255, in 8-bit units, got {to_8bit(self.min_level):g}"
            )
        if self._limits and self.sigma is not None:
            raise UnnoiseError("a minimum noise level, and force, are for noise that is estimated: leave sigma out")
        if self._limits and isinstance(self.denoiser, Denoiser) and not isinstance(self.denoiser, Auto):
            raise UnnoiseError(
                f"a minimum noise level, and force, are for the model auto: for '{self.denoiser}', give sigma instead"
            )

    @property
    def _limits(self) -> bool:
        return self.force or self.min_level is not None

    def is_noop(self, sigma: Sigma | None) -> bool:
        """Tell whether an image with that noise level is returned unchanged."""
        return self.strength == 0 or (sigma is not None and not np.any(sigma))

    def resolve(self, pixels: np.ndarray, dtype: np.dtype[Any], layout: Layout) -> tuple[Denoiser, Sigma | None]:
        """Return the denoiser for an image and the sigma to call it with; see `Denoiser.resolve`.

        Channels that are no color image are denoised one by one, each with a range, a noise level and a model of its
        own; sigma is then that of the noisiest one.

        Args:
            pixels: the image or windows of it, float32 `[H, W, C]`.
            dtype: of the samples of its file.
            layout: of its file.
        """
        if len(layout.groups) == 1:
            return self._resolve_group(pixels, dtype)
        grouped = Grouped([Member(group, *self._resolve_group(pixels[:, :, group], dtype)) for group in layout.groups])
        return grouped, grouped.sigma

    def _resolve_group(self, pixels: np.ndarray, dtype: np.dtype[Any]) -> tuple[Denoiser, Sigma | None]:
        values = range_of(self.value_range, pixels, dtype)
        chooser = self.denoiser
        if isinstance(chooser, Auto) and self._limits:
            min_level = None if self.min_level is None else self.min_level / values.contrast
            chooser = chooser.with_limit(min_level, force=self.force)
        if values.is_unit:
            denoiser, level = chooser.resolve(pixels, self.sigma)
            return self._adjusted(denoiser, level, pixels, values), level
        sigma = None if self.sigma is None else self.sigma / values.contrast
        denoiser, level = chooser.resolve(values.without_outliers(pixels), sigma)
        scaled = rescaled.Rescaled(denoiser, values)
        if denoiser.estimate is not None:
            scaled.estimate = denoiser.estimate.scaled(values.contrast)
        level = None if level is None else level * values.contrast
        return self._adjusted(scaled, level, pixels, values), level

    def _adjusted(self, denoiser: Denoiser, level: Sigma | None, pixels: np.ndarray, values: ValueRange) -> Denoiser:
        known = self.sigma if level is None else level
        return self.adjustments.applied_to(denoiser, known, pixels, values)

    def check_own_result(self) -> None:
        """Raise UnnoiseError unless the result is the model's own, as an error map needs it."""
        error_maps.check_strength(self.strength)
        if changed := self.adjustments.changed:
            raise UnnoiseError(
                f"an error map describes the model's own result: leave {' and '.join(changed)} at the default"
            )


_HookFactory = Callable[[Outcome], CommitHook]  # what is done -> the hook for the written file
_Work = Callable[[Job, DenoiseOptions, ProgressCallback, _HookFactory, Path | None], str]  # returns a caveat


def denoise_array(
    denoiser: Denoiser,
    noisy: np.ndarray,
    sigma: Sigma | None,
    *,
    strength: float = 1.0,
    progress: ProgressCallback = lambda _: None,
    origin: tuple[int, int] = (0, 0),
) -> np.ndarray:
    """Denoise an array of any size; in tiles, unless the denoiser has no `halo` and the array is small.

    The longest side of the tiles is the denoiser's `tile`. One without `halo` and `tile` is given up to
    `streaming.STREAMING_PIXELS` at once.

    Args:
        denoiser: as `DenoiseOptions.resolve` returns it.
        noisy: float32 `[H, W, C]`.
        sigma: noise level to call it with, [0, 1] units, as `DenoiseOptions.resolve` returns it.
        strength: interpolates from the noisy image (0) to the result (1) and beyond.
        progress: called with the fraction that is done.
        origin: row and column of the array in the image that it is a part of.

    Returns:
        The denoised image, float32 `[H, W, C]`.
    """
    grid, size = denoiser.multiple_of, denoiser.tile or tiling.TILE
    whole = streaming.STREAMING_PIXELS if denoiser.tile is None else size**2
    if denoiser.halo is not None:
        clean = tiling.denoise_tiled(
            denoiser, noisy, sigma, halo=denoiser.halo, multiple_of=grid, size=size, progress=progress
        )
    elif noisy.shape[0] * noisy.shape[1] > whole:
        clean = tiling.denoise_blended(denoiser, noisy, sigma, multiple_of=grid, size=size, progress=progress)
    else:
        clean = denoiser(noisy, sigma)
    progress(1.0)
    return add_grain(denoiser, noisy, streaming.at_strength(noisy, clean, strength), origin)


def denoise_picture(
    picture: Picture,
    options: DenoiseOptions,
    progress: ProgressCallback = lambda _: None,
    *,
    error_map: bool = False,
) -> DenoisedPicture:
    """Denoise one picture; all its pages of a channel with the same model and noise level.

    Args:
        picture: the picture.
        options: the options.
        progress: called with the fraction that is done.
        error_map: estimate the expected error of each pixel, too.

    Raises:
        UnnoiseError: an error map is requested, and the strength is not 1.
    """
    if error_map:
        options.check_own_result()
    noisy = picture.pixels
    pages = clean = np.split(noisy, picture.header.pages)
    channels = picture.header.page_channels

    def together(numbers: list[int]) -> np.ndarray:
        return noisy if len(numbers) == len(pages) else np.concatenate([pages[number] for number in numbers])

    models = page_models.by_channel(
        channels, lambda numbers: options.resolve(together(numbers), picture.dtype, picture.layout)
    )
    denoiser, sigma = page_models.noisiest(models)
    outcome = Outcome.of(denoiser, sigma, options.strength)
    if not options.is_noop(sigma):
        clean = [
            page if options.is_noop(models[before][1]) else denoise_array(
                models[before][0], page, models[before][1], strength=options.strength,
                progress=lambda done, before=before: progress((before + done) / len(pages)),
                origin=(before * len(page), 0),
            )
            for before, page in enumerate(pages)
        ]  # fmt: skip
        picture = picture.with_pixels(clean[0] if len(clean) == 1 else np.concatenate(clean))
    error, caveat = None, ""
    if error_map:
        estimators = page_models.by_channel(channels, lambda of: ErrorEstimator(*models[of[0]], together(of)))
        both = enumerate(zip(pages, clean, strict=True))
        error = np.concatenate([estimators[page].map(*images, lambda _: progress(1.0)) for page, images in both])
        caveat = estimators[0].caveat
    progress(1.0)
    return DenoisedPicture(picture, outcome, None if sigma is None else float(sigma), error, caveat)


def denoise_file(
    job: Job,
    options: DenoiseOptions,
    progress: ProgressCallback = lambda _: None,
    before_commit: Callable[[JobResult, Path], None] = lambda result, file: None,
    *,
    error_map: Path | None = None,
) -> JobResult:
    """Read, denoise and write one file; the folder of its target is created once the result is there.

    Large files are streamed, with their error map; see `streaming`.

    Args:
        job: the file and its target.
        options: the options.
        progress: called with the fraction that is done.
        before_commit: called with the result and the temporary file, just before that is renamed to the target.
        error_map: file for a map of the expected error, of one channel, pages below each other; see
            `error_maps.SUFFIXES`.

    Raises:
        UnnoiseError: the file cannot be read, or an output cannot be written or cannot hold the image; checked before
            the work.
    """
    start = time.perf_counter()
    if error_map is not None:
        options.check_own_result()
        error_maps.check(error_map, strength=options.strength, overwrite=options.overwrite)
    options = replace(options, overwrite=options.overwrite or job.replace_existing)
    check_target(job.target, overwrite=options.overwrite, make_parents=True, store=is_zarr(job.source))
    pixels, denoise = _opened(job, options, error_map)
    result = JobResult(job)

    def hook_for(outcome: Outcome) -> CommitHook:
        def hook(file: Path) -> None:
            nonlocal result
            seconds = time.perf_counter() - start
            result = JobResult(
                job, None, outcome.model, outcome.sigma, pixels / 1e6, seconds,
                done=outcome.done, noise=outcome.noise, reason=outcome.reason,
            )  # fmt: skip
            atomic.keep_attributes(job.source, file, job.target, times=options.preserve)
            before_commit(result, file)

        return hook

    if caveat := denoise(job, options, progress, hook_for, error_map):
        log.warning("%s: %s", job.source, caveat)
    return result


def _opened(job: Job, options: DenoiseOptions, error_map: Path | None) -> tuple[int, _Work]:
    """Check a file and its target by its header; return the number of its pixels, and what denoises it."""
    if is_zarr(job.source):
        store = stores.open_checked(job.source, job.target, options.max_pixels, error_map)
        return store.pixels, functools.partial(_denoise_store, store)
    if raw.is_raw(job.source):
        image = raw_files.open_checked(job.source, job.target.suffix, options, error_map)
        return image.mosaic.size, functools.partial(_denoise_raw, image)
    header = io.RowReader(job.source, max_pixels=options.max_pixels).header
    check_format(header, job.target.suffix, str(job.source))
    pixels = header.height * header.width
    large = pixels > streaming.STREAMING_PIXELS and not formats.needs_rotation(header, job.target.suffix)
    return pixels, _denoise_streamed if large else _denoise_in_memory


def _denoise_raw(
    image: raw.RawImage, job: Job, options: DenoiseOptions, progress: ProgressCallback, hook_for: _HookFactory,
    error_map: Path | None,
) -> str:  # fmt: skip
    """Denoise the mosaic of a raw file; there is no error map, and no caveat."""
    clean = raw_files.denoise(image, options, str(job.source), progress)
    make_folder(job.target.parent)
    clean.write(job.target, options, hook_for(clean.outcome))
    return ""


def _denoise_store(
    store: Store, job: Job, options: DenoiseOptions, progress: ProgressCallback, hook_for: _HookFactory, _: Path | None
) -> str:
    """Denoise a Zarr store in memory; there is no error map, and no caveat."""
    result = denoise_picture(store.read(), options, progress)
    make_folder(job.target.parent)
    store.write(result.picture, job.target, hook_for(result.outcome), same=result.outcome.done == COPIED)
    return ""


def _denoise_in_memory(
    job: Job, options: DenoiseOptions, progress: ProgressCallback, hook_for: _HookFactory, error_map: Path | None
) -> str:
    """Denoise a file that fits into memory; return the caveat of the error map."""
    noisy = io.read(job.source, max_pixels=options.max_pixels)
    result = denoise_picture(noisy, options, progress, error_map=error_map is not None)
    if error_map is not None and result.error is not None:
        error_maps.to_picture(result.error, error_map.suffix).save(error_map, overwrite=options.overwrite)
    make_folder(job.target.parent)
    picture.write(
        result.picture, job.target, overwrite=options.overwrite, quality=options.quality,
        before_commit=hook_for(result.outcome),
    )  # fmt: skip
    return result.caveat


def _denoise_streamed(
    job: Job, options: DenoiseOptions, progress: ProgressCallback, hook_for: _HookFactory, error_map: Path | None
) -> str:
    """Denoise a file strip by strip, without rotating it; return the caveat of the error map."""

    def read() -> io.RowReader:
        return io.RowReader(job.source, max_pixels=options.max_pixels)

    models, errors = streaming.models_of(read, options.resolve, errors=error_map is not None)
    denoiser, sigma = page_models.noisiest(models)
    caveat = "" if errors is None else errors[0].caveat
    make_folder(job.target.parent)
    before_commit = hook_for(Outcome.of(denoiser, sigma, options.strength))
    rows = read()
    if options.quality is None and options.is_noop(sigma) and rows.kind == formats.format_for(job.target.suffix):
        if error_map is not None:
            streaming.write_zero_map(rows.header, error_map, overwrite=options.overwrite)
        picture.copy(job.source, job.target, overwrite=options.overwrite, before_commit=before_commit)
        progress(1.0)
        return caveat
    streaming.denoise_stream(
        rows, models, job.target,
        strength=options.strength, overwrite=options.overwrite, quality=options.quality,
        progress=progress, before_commit=before_commit,
        errors=errors, scales=[] if errors is None else error_maps.page_scales(read(), errors), error_map=error_map,
    )  # fmt: skip
    return caveat


def denoise_bytes(
    data: bytes, options: DenoiseOptions, target: str | Path | None = None
) -> tuple[bytes | None, Outcome]:
    """Denoise the bytes of a file; return them in the same format, or write them to `target`; and what was done.

    Raises:
        UnnoiseError: as `denoise_file`.
    """
    if target is not None:
        check_target(target, overwrite=options.overwrite, make_parents=True)
    if raw.is_raw(data):
        return raw_files.denoise_bytes(data, options, target)
    suffix = output_suffix(io.suffix_of(data)) if target is None else Path(target).suffix
    noisy = io.read(data, max_pixels=options.max_pixels)
    check_format(noisy.header, suffix, "the image")
    result = denoise_picture(noisy, options)
    if target is None:
        return io.encode(result.picture, suffix, quality=options.quality), result.outcome
    make_folder(Path(target).parent)
    result.picture.save(target, overwrite=options.overwrite, quality=options.quality)
    return None, result.outcome
