"""From noisy pictures to clean ones: one picture, one file, many files.

A picture keeps all that is not noise. A file that fails is told and does not stop the others; outputs appear whole or
not at all.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from unnoise import io
from unnoise.denoisers import rescaled, tiling
from unnoise.denoisers.base import Denoiser, Sigma
from unnoise.errors import UnnoiseError
from unnoise.io import Picture, formats, picture
from unnoise.io.atomic import CommitHook
from unnoise.io.formats import Header, output_suffix
from unnoise.io.paths import check_target, make_folder
from unnoise.io.picture import white_level
from unnoise.pipeline import streaming
from unnoise.pipeline.jobs import Job
from unnoise.units import to_8bit

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DenoiseOptions:
    """What is asked of every picture alike.

    Attributes:
        denoiser: does the work.
        sigma: noise level as a share of white; None to find it in each picture.
        strength: 0 leaves the picture, 1 is the denoiser's own result, up to 1.5 goes beyond it.
        max_pixels: pictures of more pixels are refused before they are decoded.
        overwrite: replace outputs that exist.
        quality: of JPEG, WebP and AVIF outputs, 1 to 100; None for the format's default.

    Raises:
        UnnoiseError: a value is out of its range.
    """

    denoiser: Denoiser
    sigma: float | None = None
    strength: float = 1.0
    max_pixels: int = io.MAX_PIXELS
    overwrite: bool = False
    quality: int | None = None

    def __post_init__(self) -> None:
        """Refuse values out of range before any picture is touched."""
        if self.sigma is not None and not 0 <= self.sigma < math.inf:
            raise UnnoiseError("sigma is a noise level: a number from 0 up, or none to find it")
        if not 0 <= self.strength <= 1.5:
            raise UnnoiseError(f"strength {self.strength:g} is not between 0 and 1.5")
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise UnnoiseError(f"quality {self.quality} is not between 1 and 100")

    def is_noop(self, sigma: Sigma | None) -> bool:
        """Tell whether a picture of that level is left as it is: no noise is in it, or none is to be taken out."""
        return self.strength == 0 or (sigma is not None and not np.any(sigma))

    def resolve(self, pixels: np.ndarray, dtype: np.dtype[Any]) -> tuple[Denoiser, Sigma | None]:
        """Return who is to clean a picture, and the level to tell it; see `Denoiser.settle` and `spanned`."""
        white = white_level(pixels, dtype)
        if white == 1:
            return self.denoiser.resolve(pixels, self.sigma)
        denoiser, sigma = self.denoiser.resolve(pixels / np.float32(white), self.sigma)
        return rescaled.Rescaled(denoiser, white), sigma


@dataclass(frozen=True)
class JobResult:
    """What became of a job.

    Attributes:
        job: the job.
        error: one line, or None where the target was written.
        model: what it was cleaned by.
        sigma: the level it was cleaned at, a share of white; None where the denoiser takes none.
        megapixels: size of the picture.
        seconds: from file to file.
        skipped: it had been done before, as asked now, out of the same input.
    """

    job: Job
    error: str | None = None
    model: str = ""
    sigma: float | None = None
    megapixels: float = 0.0
    seconds: float = 0.0
    skipped: bool = False

    def to_dict(self) -> dict[str, str | float | None]:
        """Return all of it as machines are told, the level in 8-bit units."""
        return {
            "source": str(self.job.source),
            "target": str(self.job.target),
            "error": self.error,
            "model": self.model,
            "sigma": None if self.sigma is None else round(to_8bit(self.sigma), 2),
            "megapixels": round(self.megapixels, 3),
            "seconds": round(self.seconds, 3),
            "skipped": self.skipped,
        }


ProgressCallback = Callable[[float], None]
"""Called with the fraction that is done, 0 to 1."""
_HookFactory = Callable[[str, "float | None"], CommitHook]  # model, level -> what is called when the file is there


def denoise_array(
    denoiser: Denoiser,
    noisy: np.ndarray,
    sigma: Sigma | None,
    *,
    strength: float = 1.0,
    progress: ProgressCallback = lambda _: None,
) -> np.ndarray:
    """Clean an array of any size: in tiles, but where the denoiser sees everything and the array is not large.

    Args:
        denoiser: does the work.
        noisy: float32 `[H, W, C]`.
        sigma: the level to tell it, [0, 1] units; see `Denoiser.settle`.
        strength: moves along the line from the noisy picture (0) through the clean one (1).
        progress: called with the share that is done.

    Returns:
        The clean picture, float32 `[H, W, C]`.
    """
    how = {"multiple_of": denoiser.multiple_of, "progress": progress}
    if denoiser.halo is not None:
        clean = tiling.denoise_tiled(denoiser, noisy, sigma, halo=denoiser.halo, **how)
    elif noisy.shape[0] * noisy.shape[1] > streaming.STREAMING_PIXELS:
        clean = tiling.denoise_blended(denoiser, noisy, sigma, **how)
    else:
        clean = denoiser(noisy, sigma)
    progress(1.0)
    return streaming.at_strength(noisy, clean, strength)


def denoise_picture(
    picture: Picture, settings: DenoiseOptions, progress: ProgressCallback = lambda _: None
) -> tuple[Picture, str, float | None]:
    """Clean one picture; return it with the model and the level that it was cleaned at, as in `Outcome`.

    Pages are cleaned one by one, by the same model at the same level.
    """
    denoiser, sigma = settings.resolve(picture.pixels, picture.dtype)
    model, level = str(denoiser), None if sigma is None else float(sigma)
    if settings.is_noop(sigma):
        progress(1.0)
        return picture, model, level
    pages = np.split(picture.pixels, picture.header.pages)
    clean = [
        denoise_array(
            denoiser, page, sigma, strength=settings.strength,
            progress=lambda share, before=before: progress((before + share) / len(pages)),
        )
        for before, page in enumerate(pages)
    ]  # fmt: skip
    whole = clean[0] if len(clean) == 1 else np.concatenate(clean)
    return picture.with_pixels(whole), model, level


def denoise_file(
    job: Job,
    settings: DenoiseOptions,
    progress: ProgressCallback = lambda _: None,
    before_commit: Callable[[JobResult, Path], None] = lambda outcome, file: None,
) -> JobResult:
    """Read, clean and write one file; the folder of its target is made when the clean picture is there.

    Args:
        job: the file and its target.
        settings: what is asked.
        progress: called with the share that is done.
        before_commit: called with the result and the temporary file, just before that is renamed to the target.

    Raises:
        UnnoiseError: it cannot be read, or its target cannot be written or cannot hold it; told before the work.
    """
    start = time.perf_counter()
    settings = replace(settings, overwrite=settings.overwrite or job.replace_existing)
    check_target(job.target, overwrite=settings.overwrite, make_parents=True)
    rows = io.RowReader(job.source, max_pixels=settings.max_pixels)
    header = rows.header
    _check_kind(header, job.target.suffix, str(job.source))
    outcome = JobResult(job)

    def hook_for(model: str, sigma: float | None) -> CommitHook:
        def tell(file: Path) -> None:
            nonlocal outcome
            seconds = time.perf_counter() - start
            outcome = JobResult(job, None, model, sigma, header.height * header.width / 1e6, seconds)
            before_commit(outcome, file)

        return tell

    large = header.height * header.width > streaming.STREAMING_PIXELS and not formats.needs_rotation(
        header, job.target.suffix
    )
    (_clean_large if large else _clean_small)(job, settings, progress, hook_for)
    return outcome


def _clean_small(job: Job, settings: DenoiseOptions, progress: ProgressCallback, hook_for: _HookFactory) -> None:
    """Clean a file that fits into memory."""
    noisy = io.read(job.source, max_pixels=settings.max_pixels)
    clean, model, sigma = denoise_picture(noisy, settings, progress)
    make_folder(job.target.parent)
    how = {"overwrite": settings.overwrite, "quality": settings.quality}
    picture.write(clean, job.target, **how, before_commit=hook_for(model, sigma))


def _clean_large(job: Job, settings: DenoiseOptions, progress: ProgressCallback, hook_for: _HookFactory) -> None:
    """Clean a file strip by strip, as it lies."""
    rows = io.RowReader(job.source, max_pixels=settings.max_pixels)
    seen = streaming.sample_windows(rows)
    denoiser, sigma = settings.resolve(seen, rows.header.dtype)
    make_folder(job.target.parent)
    rows = io.RowReader(job.source, max_pixels=settings.max_pixels)
    before_commit = hook_for(str(denoiser), None if sigma is None else float(sigma))
    if settings.quality is None and settings.is_noop(sigma) and rows.kind == formats.format_for(job.target.suffix):
        picture.copy(job.source, job.target, overwrite=settings.overwrite, before_commit=before_commit)
        progress(1.0)
        return
    how = {"strength": settings.strength, "overwrite": settings.overwrite, "quality": settings.quality}
    streaming.clean(rows, denoiser, sigma, job.target, **how, progress=progress, before_commit=before_commit)


def _check_kind(header: Header, suffix: str, name: str) -> None:
    """Refuse a kind of file that cannot hold a picture; warn of one that has no place for all that comes with it."""
    if why_not := formats.unsupported_reason(header, suffix):
        raise UnnoiseError(f"{name}: {why_not}")
    if lost := formats.dropped_metadata(header, suffix):
        log.warning("%s: %s", name, lost)


def denoise_bytes(data: bytes, settings: DenoiseOptions, target: str | Path | None = None) -> bytes | None:
    """Clean the bytes of a file; they come back as a file of the same kind, or are written to `target`.

    Raises:
        UnnoiseError: as `clean_file`.
    """
    if target is not None:
        check_target(target, overwrite=settings.overwrite, make_parents=True)
    suffix = output_suffix(io.suffix_of(data)) if target is None else Path(target).suffix
    picture = io.read(data, max_pixels=settings.max_pixels)
    _check_kind(picture.header, suffix, "the picture")
    clean, *_ = denoise_picture(picture, settings)
    if target is None:
        return io.encode(clean, suffix, quality=settings.quality)
    make_folder(Path(target).parent)
    clean.save(target, overwrite=settings.overwrite, quality=settings.quality)
