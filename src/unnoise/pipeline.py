"""From noisy pictures to clean ones: one picture, one file, many files.

A picture keeps all that is not noise. A file that fails is told and does not stop the others; outputs appear whole or
not at all.
"""

from __future__ import annotations

import glob
import logging
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unnoise import formats, image_io, streaming, tiling
from unnoise.denoisers.base import Denoiser, Sigma
from unnoise.errors import UnnoiseError, one_line
from unnoise.image_io import Picture
from unnoise.noise.base import FULL_SCALE

log = logging.getLogger(__name__)

MARK = ".clean"
"""Stands before the suffix of an output that lies beside its input."""


@dataclass(frozen=True)
class Settings:
    """What is asked of every picture alike.

    Attributes:
        denoiser: does the work.
        sigma: noise level in [0, 1] units; None to find it in each picture.
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
    max_pixels: int = image_io.MAX_PIXELS
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
        model: what it was cleaned by.
        sigma: the level it was cleaned at, [0, 1] units; None where the denoiser takes none.
        megapixels: size of the picture.
        seconds: from file to file.
    """

    job: Job
    error: str | None = None
    model: str = ""
    sigma: float | None = None
    megapixels: float = 0.0
    seconds: float = 0.0

    def row(self) -> dict[str, str | float | None]:
        """Return all of it as machines are told, the level in 8-bit units."""
        return {
            "source": str(self.job.source),
            "target": str(self.job.target),
            "error": self.error,
            "model": self.model,
            "sigma": None if self.sigma is None else round(self.sigma * FULL_SCALE, 2),
            "megapixels": round(self.megapixels, 3),
            "seconds": round(self.seconds, 3),
        }


Report = Callable[[float], None]


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
        sigma: the level to tell it, [0, 1] units; see `Denoiser.settle`.
        strength: moves along the line from the noisy picture (0) through the clean one (1).
        progress: called with the share that is done.

    Returns:
        The clean picture, float32 `[H, W, C]`.
    """
    if denoiser.halo is None:
        clean = denoiser(noisy, sigma)
    else:
        facts = {"halo": denoiser.halo, "multiple_of": denoiser.multiple_of}
        clean = tiling.tiled(denoiser, noisy, sigma, **facts, progress=progress)
    progress(1.0)
    return streaming.at_strength(noisy, clean, strength)


def clean_picture(
    picture: Picture, settings: Settings, progress: Report = lambda _: None
) -> tuple[Picture, str, float | None]:
    """Clean one picture; return it with the model and the level that it was cleaned at, as in `Outcome`."""
    denoiser, sigma = settings.denoiser.settle(picture.pixels, settings.sigma)
    clean = clean_pixels(denoiser, picture.pixels, sigma, strength=settings.strength, progress=progress)
    return picture.with_pixels(clean), str(denoiser), None if sigma is None else float(sigma)


def clean_file(job: Job, settings: Settings, progress: Report = lambda _: None) -> Outcome:
    """Read, clean and write one file; the folder of its target is made when the clean picture is there.

    Raises:
        UnnoiseError: it cannot be read, or its target cannot be written or cannot hold it; told before the work.
    """
    start = time.perf_counter()
    check_target(job.target, overwrite=settings.overwrite)
    rows = image_io.Rows(job.source, max_pixels=settings.max_pixels)
    header = rows.header
    if reason := formats.cannot_hold(header, job.target.suffix):
        raise UnnoiseError(f"{job.source}: {reason}")
    large = rows.upright and header.height * header.width > streaming.LARGE
    done = _clean_large(job, settings, progress) if large else None
    model, sigma = done or _clean_small(job, settings, progress)
    megapixels = header.height * header.width / 1e6
    return Outcome(job, None, model, sigma, megapixels, time.perf_counter() - start)


def _clean_small(job: Job, settings: Settings, progress: Report) -> tuple[str, float | None]:
    """Clean a file that fits into memory; return the model and the level."""
    picture = image_io.read(job.source, max_pixels=settings.max_pixels)
    clean, model, sigma = clean_picture(picture, settings, progress)
    make_folder(job.target.parent)
    clean.save(job.target, overwrite=settings.overwrite, quality=settings.quality)
    return model, sigma


def _clean_large(job: Job, settings: Settings, progress: Report) -> tuple[str, float | None] | None:
    """Clean a file strip by strip; None where the denoiser has to see the whole."""
    seen = streaming.glimpse(image_io.Rows(job.source, max_pixels=settings.max_pixels))
    denoiser, sigma = settings.denoiser.settle(seen, settings.sigma)
    if denoiser.halo is None:
        return None
    make_folder(job.target.parent)
    rows = image_io.Rows(job.source, max_pixels=settings.max_pixels)
    how = {"strength": settings.strength, "overwrite": settings.overwrite, "quality": settings.quality}
    streaming.clean(rows, denoiser, sigma, job.target, **how, progress=progress)
    return str(denoiser), None if sigma is None else float(sigma)


def clean_bytes(data: bytes, settings: Settings, target: str | Path | None = None) -> bytes | None:
    """Clean the bytes of a file; they come back as a file of the same kind, or are written to `target`.

    Raises:
        UnnoiseError: as `clean_file`.
    """
    if target is not None:
        check_target(Path(target), overwrite=settings.overwrite)
    suffix = writable(image_io.suffix_of(data)) if target is None else Path(target).suffix
    picture = image_io.read(data, max_pixels=settings.max_pixels)
    if reason := image_io.cannot_hold(picture, suffix):
        raise UnnoiseError(reason)
    clean, *_ = clean_picture(picture, settings)
    if target is None:
        return image_io.encode(clean, suffix, quality=settings.quality)
    make_folder(Path(target).parent)
    clean.save(target, overwrite=settings.overwrite, quality=settings.quality)


def run(
    jobs: Iterable[Job], settings: Settings, progress: Callable[[Job, float], None] = lambda job, done: None
) -> Iterator[Outcome]:
    """Do jobs one after the other; one that fails yields its error and the rest go on.

    Args:
        jobs: what `plan` made.
        settings: the same for all.
        progress: called with the job at hand and how many jobs are done, the finished part of this one included.
    """
    for index, job in enumerate(jobs):
        progress(job, index)
        try:
            outcome = clean_file(job, settings, lambda share, job=job, index=index: progress(job, index + share))
        except UnnoiseError as error:
            outcome = Outcome(job, str(error))
        except Exception as error:
            log.debug("%s", job.source, exc_info=True)
            outcome = Outcome(job, f"{job.source}: {one_line(error)}")
        progress(job, index + 1)
        yield outcome


def plan(paths: Iterable[str | Path], out: str | Path | None = None) -> list[Job]:
    """Turn what the caller named into jobs; nothing is touched yet.

    A file that is the default output of another one named here (`photo.clean.jpg` beside `photo.jpg`) is left out: it
    comes from an earlier run. So is what lies in `out`, where that is inside a folder to be cleaned.

    Args:
        paths: files, folders (searched through, their pictures in order) and patterns such as `scans/*.png`.
        out: None puts each output beside its input as `STEM.clean.SUFFIX`. A name with a suffix is the output of a
            single file. Any other name, one that ends in a slash, and a folder that exists, are folders: they take the
            outputs under the names of the inputs, folders mirrored.

    Raises:
        UnnoiseError: nothing to do, two outputs of one name, or `out` cannot be made.
    """
    if out is not None and not str(out):
        raise UnnoiseError("an empty name is no output: name a file or a folder")
    found = find(paths)
    earlier = {beside(source) for source in found}
    found = {source: place for source, place in found.items() if source not in earlier}
    if out is None:
        jobs = [Job(source, beside(source)) for source in found]
    elif _names_a_file(out):
        if len(found) > 1:
            raise UnnoiseError(f"'{out}' is the name of one file, and there are {len(found)} pictures: name a folder")
        jobs = [Job(source, Path(out)) for source in found]
    else:
        folder, home = Path(out), Path(out).resolve()
        jobs = [
            Job(source, folder / place.with_name(place.stem + writable(place.suffix)))
            for source, place in found.items()
            if home not in map(Path.resolve, source.parents[: len(place.parts) - 1])
        ]
    if not jobs:
        raise UnnoiseError(f"no pictures but those in '{out}' itself: name another output folder")
    targets: dict[Path, Path] = {}
    for job in jobs:
        if job.target in targets:
            both = f"{targets[job.target]} and {job.source}"
            raise UnnoiseError(f"{both} would both become {job.target}: clean them one by one")
        targets[job.target] = job.source
    if out is not None:
        for above in sorted({target.parent for target in targets}):
            _check_folder(above)
    return jobs


def find(paths: Iterable[str | Path]) -> dict[Path, Path]:
    """Find the files that the caller named: each, once, with its place below what was named.

    A folder gives its pictures, told by their suffix, but not what is hidden in it. Any other name stands for a file,
    there or not: reading it will tell.

    Args:
        paths: files, folders and patterns, as in `plan`.

    Returns:
        File -> its name, or its path inside the folder that was named.

    Raises:
        UnnoiseError: no file at all, a folder that cannot be searched, or what cannot be read twice, such as a pipe.
    """
    paths, found = list(paths), {}
    for named in (match for path in paths for match in _expand(path)):
        if not os.path.isdir(named):
            if os.path.exists(named) and not named.is_file():
                raise UnnoiseError(f"'{named}' is neither a file nor a folder: pipe it in (-)")
            found.setdefault(named, Path(named.name))
        elif not os.access(named, os.R_OK | os.X_OK):
            raise UnnoiseError(f"no permission to read the folder '{named}'")
        else:
            for inner in sorted(named.rglob("*")):
                place = inner.relative_to(named)
                hidden = any(part.startswith(".") for part in place.parts)
                if image_io.is_picture(inner) and inner.is_file() and not hidden:
                    found.setdefault(inner, place)
    if not found:
        raise UnnoiseError(f"no pictures in {', '.join(map(str, paths))}")
    return found


def beside(source: Path) -> Path:
    """Return the default output of a file: `photo.jpg` -> `photo.clean.jpg`; see `writable`."""
    return source.with_name(source.stem + MARK + writable(source.suffix))


def writable(suffix: str) -> str:
    """Return the suffix under which a kind of file is written: its own, or PNG for one only read, or unknown."""
    return suffix if image_io.is_picture(f"name{suffix}") and suffix.lower() != ".gif" else ".png"


def check_target(target: Path, *, overwrite: bool) -> None:
    """Refuse a target that cannot be written, as `image_io.check_target`; its folder need not be there yet."""
    if target.parent.is_dir():
        image_io.check_target(target, overwrite=overwrite)
    else:
        _check_folder(target.parent)


def make_folder(folder: Path) -> None:
    """Make an output folder, and those above it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnnoiseError(f"cannot make the output folder '{folder}': {error.strerror}") from error


def _check_folder(folder: Path) -> None:
    """Refuse a folder that `make_folder` could not make, or that cannot be written into."""
    above = next(above for above in (folder, *folder.parents) if above.exists())
    if not above.is_dir():
        raise UnnoiseError(f"cannot make the output folder '{folder}': '{above}' is a file")
    if not os.access(above, os.W_OK | os.X_OK):
        raise UnnoiseError(f"cannot write into the output folder '{folder}': no permission for '{above}'")


def _names_a_file(out: str | Path) -> bool:
    return bool(Path(out).suffix) and not str(out).endswith(("/", os.sep)) and not Path(out).is_dir()


def _expand(path: str | Path) -> list[Path]:
    """Return what a pattern matches; a name that is no pattern, or matches nothing, stands for itself."""
    if not str(path):
        raise UnnoiseError("an empty name is no file: name a file, a folder or a pattern")
    if os.path.exists(path) or not (matches := sorted(glob.glob(str(path), recursive=True))):
        return [Path(path)]
    return [Path(match) for match in matches]
