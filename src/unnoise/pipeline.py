"""From noisy pictures to clean ones: one picture, one file, many files.

A picture keeps all that is not noise. A file that fails is told and does not stop the others; outputs appear whole or
not at all.
"""

from __future__ import annotations

import glob
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unnoise import estimation, image_io, tiling
from unnoise.denoisers.base import Denoiser, Sigma
from unnoise.errors import UnnoiseError
from unnoise.image_io import Picture

MARK = ".clean"
"""Stands before the suffix of an output that lies beside its input."""


@dataclass(frozen=True)
class Settings:
    """What is asked of every picture alike.

    Attributes:
        denoiser: does the work.
        sigma: noise level in [0, 1] units; None to find it in each picture.
        strength: 0 leaves the picture, 1 is the denoiser's own result, more goes beyond it.
        max_pixels: pictures of more pixels are refused before they are decoded.
        overwrite: replace outputs that exist.
        quality: of JPEG, WebP and AVIF outputs; None for the format's default.
    """

    denoiser: Denoiser
    sigma: float | None = None
    strength: float = 1.0
    max_pixels: int = image_io.MAX_PIXELS
    overwrite: bool = False
    quality: int | None = None


@dataclass(frozen=True)
class Job:
    """One file to clean, and where the clean one goes."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        job: the job.
        error: one line, or None where the target was written.
        sigma: the level it was cleaned at, [0, 1] units; None where the denoiser takes none.
        megapixels: size of the picture.
        seconds: from file to file.
    """

    job: Job
    error: str | None = None
    sigma: float | None = None
    megapixels: float = 0.0
    seconds: float = 0.0


Report = Callable[[float], None]


def level_for(denoiser: Denoiser, pixels: np.ndarray, sigma: float | None) -> float | None:
    """Return the level to tell a denoiser: the one given, else the one found; None where it takes none."""
    if not denoiser.wants_sigma:
        return None
    return estimation.inspect(pixels).sigma if sigma is None else sigma


def clean_pixels(
    denoiser: Denoiser,
    noisy: np.ndarray,
    sigma: Sigma | None,
    *,
    strength: float = 1.0,
    progress: Report = lambda _: None,
) -> np.ndarray:
    """Clean an array of any size, in tiles where the denoiser's reach allows it.

    Args:
        denoiser: does the work.
        noisy: float32 `[H, W, C]`.
        sigma: the level to tell it, [0, 1] units; see `level_for`.
        strength: moves along the line from the noisy picture (0) through the clean one (1).
        progress: called with the share that is done.

    Returns:
        The clean picture, float32 `[H, W, C]`.
    """
    if denoiser.wants_sigma and isinstance(sigma, int | float) and sigma <= 0:
        return noisy.copy()
    if denoiser.halo is None:
        clean = denoiser(noisy, sigma)
    else:
        facts = {"halo": denoiser.halo, "multiple_of": denoiser.multiple_of}
        clean = tiling.tiled(denoiser, noisy, sigma, **facts, progress=progress)
    progress(1.0)
    if strength == 1:
        return clean
    with np.errstate(invalid="ignore"):  # infinity stays what it is
        moved = noisy + np.float32(strength) * (clean - noisy)
    return np.where(np.isfinite(noisy), moved, noisy)


def clean_picture(
    picture: Picture, settings: Settings, progress: Report = lambda _: None
) -> tuple[Picture, float | None]:
    """Clean one picture; return it with the level that it was cleaned at, as in `Outcome`."""
    sigma = level_for(settings.denoiser, picture.pixels, settings.sigma)
    clean = clean_pixels(settings.denoiser, picture.pixels, sigma, strength=settings.strength, progress=progress)
    return picture.with_pixels(clean), sigma


def clean_file(job: Job, settings: Settings, progress: Report = lambda _: None) -> Outcome:
    """Read, clean and write one file.

    Raises:
        UnnoiseError: it cannot be read, or its target cannot be written or cannot hold it; told before the work.
    """
    start = time.perf_counter()
    image_io.check_target(job.target, overwrite=settings.overwrite)
    picture = image_io.read(job.source, max_pixels=settings.max_pixels)
    if reason := image_io.cannot_hold(picture, job.target.suffix):
        raise UnnoiseError(f"{job.source}: {reason}")
    clean, sigma = clean_picture(picture, settings, progress)
    clean.save(job.target, overwrite=settings.overwrite, quality=settings.quality)
    megapixels = picture.pixels.shape[0] * picture.pixels.shape[1] / 1e6
    return Outcome(job, None, sigma, megapixels, time.perf_counter() - start)


def run(jobs: Iterable[Job], settings: Settings, progress: Callable[[Job, float], None]) -> Iterator[Outcome]:
    """Do jobs one after the other; one that fails yields its error and the rest go on."""
    for job in jobs:
        try:
            yield clean_file(job, settings, lambda share, job=job: progress(job, share))
        except UnnoiseError as error:
            yield Outcome(job, str(error))


def plan(paths: Iterable[str], out: Path | None = None) -> list[Job]:
    """Turn what the caller named into jobs.

    Args:
        paths: files, folders (searched through, their pictures in order) and patterns such as `scans/*.png`.
        out: None puts each output beside its input as `STEM.clean.SUFFIX`. A folder takes the outputs under the names
            of the inputs, folders mirrored; any other name is the output of a single file.

    Raises:
        UnnoiseError: a path that does not exist, nothing to do, two outputs of one name, or `out` cannot be made.
    """
    named = [found for path in paths for found in _expand(path)]
    single = len(named) == 1 and named[0].is_file()
    if out is not None and single and not out.is_dir() and not str(out).endswith(("/", "\\")) and out.suffix:
        return [Job(named[0], out)]
    jobs = [job for path in named for job in _jobs_of(path, out)]
    if not jobs:
        raise UnnoiseError(f"no pictures in {', '.join(map(str, named))}")
    targets: dict[Path, Path] = {}
    for job in jobs:
        other = targets.setdefault(job.target, job.source)
        if other != job.source:
            raise UnnoiseError(f"{other} and {job.source} would both become {job.target}: clean them one by one")
    if out is not None:
        for folder in sorted({job.target.parent for job in jobs}):
            make_folder(folder)
    return jobs


def beside(source: Path) -> Path:
    """Return the default output of a file: `photo.jpg` -> `photo.clean.jpg`; formats that are only read become PNG."""
    return source.with_name(source.stem + MARK + writable(source.suffix))


def writable(suffix: str) -> str:
    """Return the suffix under which a kind of file is written: its own, or PNG for a kind that is only read."""
    return ".png" if suffix.lower() == ".gif" else suffix


def _expand(path: str) -> list[Path]:
    found = Path(path)
    if found.exists():
        return [found]
    if glob.has_magic(path):
        matches = [Path(match) for match in sorted(glob.glob(path, recursive=True))]
        if matches:
            return matches
        raise UnnoiseError(f"nothing matches '{path}'")
    raise UnnoiseError(f"no file or folder '{path}'")


def _jobs_of(path: Path, out: Path | None) -> list[Job]:
    if path.is_file():
        return [Job(path, beside(path) if out is None else out / (path.stem + writable(path.suffix)))]
    inside = path.resolve()
    skipped = None if out is None or not out.exists() else out.resolve()
    sources = [
        source
        for source in sorted(path.rglob("*"))
        if source.is_file()
        and image_io.is_picture(source)
        and not source.stem.endswith(MARK)  # an output of an earlier run
        and not (skipped and skipped != inside and skipped in source.resolve().parents)
    ]
    if out is None:
        return [Job(source, beside(source)) for source in sources]
    return [
        Job(source, out / source.relative_to(path).with_name(source.stem + writable(source.suffix)))
        for source in sources
    ]


def make_folder(folder: Path) -> None:
    """Make an output folder, and those above it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnnoiseError(f"cannot make the output folder '{folder}': {error.strerror}") from error
