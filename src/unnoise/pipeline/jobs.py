"""Turn files, folders and patterns into jobs: which files are denoised, and where the results go."""

from __future__ import annotations

import glob
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from unnoise import io
from unnoise.errors import UnnoiseError
from unnoise.io import formats, remote, zarr_store
from unnoise.io.formats import Format, missing_extra, output_suffix
from unnoise.io.paths import check_folder
from unnoise.io.unreadable import RAW, ZARR, is_zarr
from unnoise.pipeline.passed_over import EARLIER, HIDDEN, PassedOver, Reason, reason_for

OUTPUT_TAG = ".clean"
"""Inserted before the suffix of an output next to its input."""


class NoPicturesError(UnnoiseError):
    """There are no images, or only outputs."""


@dataclass(frozen=True)
class Job:
    """One file to denoise.

    Attributes:
        source: the file.
        target: the output.
        replace_existing: the target is the output of an earlier run, and may be replaced.
    """

    source: Path
    target: Path
    replace_existing: bool = False


def plan_jobs(
    paths: Iterable[str | Path],
    out: str | Path | None = None,
    taken: Callable[[Path, Path], bool] = lambda target, source: False,
    passed_over: PassedOver | None = None,
) -> list[Job]:
    """Plan the jobs for some files, folders and patterns; nothing is read but first bytes, where names do not say.

    A file that is the default output of another input (`photo.clean.jpg` next to `photo.jpg`) is skipped: it comes from
    an earlier run. So are files in `out`, if that is inside an input folder.

    If two outputs would have the same name, such as those of `a.png` and `a.bmp`, the input whose suffix stays gets it,
    and the other becomes `a.bmp.png`; two files of the same name become `b.png` and `b.2.png`, in the given order.

    Args:
        paths: files, folders (searched recursively, their images in order) and patterns such as `scans/*.png`; or
            remote ones (see `io.remote`).
        out: None writes each output next to its input as `STEM.clean.SUFFIX`. A name with a suffix is the output of a
            single file. Any other name, a name that ends in a slash, and an existing folder are output folders, which
            mirror the input folders.
        taken: tells whether a target belongs to another source than this one, from an earlier run.
        passed_over: is filled with the files of the folders that are not among the jobs.

    Raises:
        UnnoiseError: there are no images (`NoPicturesError`), several images for one output file, or the folder `out`
            cannot be created.
    """
    if out is not None and not str(out):
        raise UnnoiseError("an empty name is not an output: name a file or a folder")
    passed_over = PassedOver() if passed_over is None else passed_over
    sources = find(paths, passed_over)
    earlier = {_output_beside(source, stem) for source in sources for stem in _stems(source)}
    for source in sources:
        if source in earlier:
            passed_over.add(source, EARLIER)
    sources = {source: place for source, place in sources.items() if source not in earlier}
    if out is None:
        jobs = _unique_targets({source: source.parent for source in sources}, OUTPUT_TAG, taken)
    elif not is_folder_target(out):
        if len(sources) > 1:
            raise UnnoiseError(f"'{out}' names one file, but there are {len(sources)} images: name a folder")
        jobs = [Job(source, remote.to_path(out)) for source in sources]
    else:
        folder = remote.to_path(out)
        resolved = folder.resolve()
        parents = {
            source: (folder / place).parent
            for source, place in sources.items()
            if resolved not in [above.resolve() for above in source.parents[: len(place.parts) - 1]]
        }
        _leave_out_outputs(passed_over, folder)
        jobs = _unique_targets(parents, "", taken)
    if not jobs:
        raise NoPicturesError(f"the only images are in the output folder '{out}': name another folder")
    if out is not None:
        for above in sorted({job.target.parent for job in jobs}):
            check_folder(above)
    return jobs


def _leave_out_outputs(passed_over: PassedOver, folder: Path) -> None:
    """Do not count the manifest and the outputs in an output folder within an input folder."""
    inside = [path for path in passed_over.files if folder in path.parents or folder.resolve() in path.parents]
    for path in inside:
        del passed_over.files[path]


def find(paths: Iterable[str | Path], passed_over: PassedOver | None = None) -> dict[Path, Path]:
    """Find the input files, each once.

    Of a folder, those are the files that are not hidden, and have the suffix or the content of an image format that can
    be read. Any other path stands for a file, which need not exist.

    Args:
        paths: files, folders and patterns, as for `plan_jobs`.
        passed_over: is filled with the other files of the folders.

    Returns:
        File -> its name, or its path relative to the input folder.

    Raises:
        UnnoiseError: there are no files (`NoPicturesError`), a folder cannot be searched, or a path cannot be read
            twice, such as a pipe.
    """
    paths, files = list(paths), {}
    passed_over = PassedOver() if passed_over is None else passed_over
    for path in (match for given in paths for match in _expand(given)):
        for inner, relative in remote.files(path) if remote.is_remote(path) else _files(path):
            reason = None if inner == path else _reason_against(inner, relative)
            if reason is None:
                files.setdefault(inner, relative)
            else:
                passed_over.add(inner, reason)
    if not files:
        others = f": {passed_over}" if passed_over.files else ""
        raise NoPicturesError(f"no images in {', '.join(map(str, paths))}{others}")
    for path in files.keys() & passed_over.files.keys():  # also named by itself
        del passed_over.files[path]
    return files


def _reason_against(path: Path, relative: Path) -> Reason | None:
    """Return why a file of a folder is passed over, or None if it is an input."""
    if any(part.startswith(".") for part in relative.parts):
        return HIDDEN
    if _is_store(path):
        return reason_for(path, ZARR) if missing_extra(ZARR) else None
    if io.is_picture(path) and (remote.is_remote(path) or path.suffix.lower() not in formats.SHARED_SUFFIXES):
        return None
    kind = None if remote.is_remote(path) else formats.kind_of_file(path)
    if kind is not None and (isinstance(kind, Format) or kind is RAW) and not missing_extra(kind):
        return None
    return reason_for(path, kind)


def _files(named: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the files in a folder, in order, with their relative paths; any other path yields itself.

    A folder that is one image, a Zarr store, stands for a file.
    """
    if is_zarr(named) and (missing := missing_extra(ZARR)):
        raise UnnoiseError(f"{named}: {ZARR.name} is not read: {missing}")
    if is_zarr(named) or not os.path.isdir(named):
        if os.path.exists(named) and not named.is_file() and not is_zarr(named):
            raise UnnoiseError(f"'{named}' is neither a file nor a folder: pipe it in (-)")
        yield named, Path(named.name)
    elif not os.access(named, os.R_OK | os.X_OK):
        raise UnnoiseError(f"no permission to read the folder '{named}'")
    else:
        found: list[Path] = []
        for above, folders, names in os.walk(named):
            stores = [name for name in folders if is_zarr(Path(above, name))]
            folders[:] = [name for name in folders if name not in stores]
            found += [Path(above, name) for name in (*names, *stores)]
        yield from ((inner, inner.relative_to(named)) for inner in sorted(found) if inner.is_file() or is_zarr(inner))


def default_output(source: Path) -> Path:
    """Return the default output of a file: `photo.jpg` -> `photo.clean.jpg`; see `output_suffix`."""
    return _output_beside(source, source.stem)


def is_folder_target(out: str | Path | None) -> bool:
    """Tell whether `out` names an output folder, as described in `plan_jobs`."""
    if out is None or not str(out):
        return False
    if remote.is_remote(out):
        return True
    if is_zarr(out):
        return False
    return not Path(out).suffix or str(out).endswith(("/", os.sep)) or Path(out).is_dir()


def _unique_targets(parents: dict[Path, Path], tag: str, taken: Callable[[Path, Path], bool]) -> list[Job]:
    """Assign a unique target to each source, in its output folder."""

    def names(source: Path) -> Iterator[Path]:
        ending = tag + _suffix_for(source)
        numbered = (f"{source.stem}.{number}" for number in itertools.count(2))
        return (parents[source] / (stem + ending) for stem in itertools.chain(_stems(source), numbered))

    wanted = {source: next(names(source)) for source in parents}
    first, given = set(wanted.values()), {}
    # Sources that keep their suffix choose first, so that their targets do not depend on the others.
    for source in sorted(parents, key=lambda source: source.suffix != _suffix_for(source)):
        free = (name for name in names(source) if name == wanted[source] or name not in first)
        name = next(name for name in free if name not in given and not taken(name, source))
        given[name] = source
    targets = {source: name for name, source in given.items()}
    return [Job(source, targets[source]) for source in parents]


def _stems(source: Path) -> list[str]:
    """Return possible stems of an output; if its suffix changes, the old one may be part of the stem."""
    return [source.stem] if source.suffix == _suffix_for(source) else [source.stem, source.name]


def _output_beside(source: Path, stem: str) -> Path:
    return source.with_name(stem + OUTPUT_TAG + _suffix_for(source))


def _is_store(path: Path) -> bool:
    return not remote.is_remote(path) and is_zarr(path)


def _suffix_for(source: Path) -> str:
    """Return the suffix of an output: that of the input, or of its content if the name does not say what it is."""
    if _is_store(source):
        return source.suffix if source.suffix.lower() == zarr_store.SUFFIX else zarr_store.SUFFIX
    kind = formats.by_suffix(source.suffix)
    if kind is None and not remote.is_remote(source):
        content = formats.kind_of_file(source)
        if content is RAW:
            return ".dng"
        kind = content if isinstance(content, Format) else None
        return ".png" if kind is None else output_suffix(kind.suffixes[0])
    return output_suffix(source.suffix)


def _expand(path: str | Path) -> list[Path]:
    """Return the matches of a pattern; a path that is not a pattern, or has no matches, stands for itself."""
    if not str(path):
        raise UnnoiseError("an empty name is not a file: name a file, a folder or a pattern")
    if remote.is_remote(path):
        address = remote.to_path(path)
        return (glob.has_magic(str(path)) and remote.matches(address)) or [address]
    if os.path.exists(path) or not (matches := sorted(glob.glob(str(path), recursive=True))):
        return [Path(path)]
    return [Path(match) for match in matches]
