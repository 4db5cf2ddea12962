"""What is to be cleaned, and where it goes: names, folders and patterns become jobs."""

from __future__ import annotations

import glob
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from unnoise import io
from unnoise.errors import UnnoiseError
from unnoise.io import remote
from unnoise.io.formats import output_suffix
from unnoise.io.paths import check_folder

OUTPUT_TAG = ".clean"
"""Stands before the suffix of an output that lies beside its input."""


class NoPicturesError(UnnoiseError):
    """There is nothing to do: no pictures, or none but outputs."""


@dataclass(frozen=True)
class Job:
    """One file to clean, and where the clean one goes.

    Attributes:
        source: the file.
        target: where it goes.
        ours: what stands there came from an earlier run, and may be replaced.
    """

    source: Path
    target: Path
    replace_existing: bool = False


def plan_jobs(
    paths: Iterable[str | Path],
    out: str | Path | None = None,
    taken: Callable[[Path, Path], bool] = lambda target, source: False,
) -> list[Job]:
    """Turn what the caller named into jobs; nothing is touched yet.

    A file that is the default output of another one named here (`photo.clean.jpg` beside `photo.jpg`) is left out: it
    comes from an earlier run. So is what lies in `out`, where that is inside a folder to be cleaned.

    Where two would become one, such as `a.png` and `a.gif`, the one whose suffix stays has the name, and the other
    becomes `a.gif.png`; two files of one name become `b.png` and `b.2.png`, in the order in which they were named.

    Args:
        paths: files, folders (searched through, their pictures in order) and patterns such as `scans/*.png`; or
            addresses of such (see `stores`).
        out: None puts each output beside its input as `STEM.clean.SUFFIX`. A name with a suffix is the output of a
            single file. Any other name, one that ends in a slash, and a folder that exists, are folders: they take the
            outputs under the names of the inputs, folders mirrored.
        taken: tells whether a target belongs to another source than this one, by earlier runs.

    Raises:
        UnnoiseError: nothing to do (`NoPicturesError`), several pictures for one file, or `out` cannot be made.
    """
    if out is not None and not str(out):
        raise UnnoiseError("an empty name is no output: name a file or a folder")
    found = find(paths)
    earlier = {_beside(source, stem) for source in found for stem in _stems(source)}
    found = {source: place for source, place in found.items() if source not in earlier}
    if out is None:
        jobs = _apart({source: source.parent for source in found}, OUTPUT_TAG, taken)
    elif not is_folder_target(out):
        if len(found) > 1:
            raise UnnoiseError(f"'{out}' is the name of one file, and there are {len(found)} pictures: name a folder")
        jobs = [Job(source, remote.to_path(out)) for source in found]
    else:
        folder = remote.to_path(out)
        home = folder.resolve()
        parents = {
            source: (folder / place).parent
            for source, place in found.items()
            if home not in [above.resolve() for above in source.parents[: len(place.parts) - 1]]
        }
        jobs = _apart(parents, "", taken)
    if not jobs:
        raise NoPicturesError(f"no pictures but those in '{out}' itself: name another output folder")
    if out is not None:
        for above in sorted({job.target.parent for job in jobs}):
            check_folder(above)
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
        UnnoiseError: no file at all (`NoPicturesError`), a folder that cannot be searched, or what cannot be read
            twice, such as a pipe.
    """
    paths, found = list(paths), {}
    for named in (match for path in paths for match in _expand(path)):
        for inner, place in remote.files(named) if remote.is_remote(named) else _files(named):
            hidden = any(part.startswith(".") for part in place.parts)
            if inner == named or (io.is_picture(inner) and not hidden):
                found.setdefault(inner, place)
    if not found:
        raise NoPicturesError(f"no pictures in {', '.join(map(str, paths))}")
    return found


def _files(named: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the files in a folder, in order, each with its place below it; any other name is its own."""
    if not os.path.isdir(named):
        if os.path.exists(named) and not named.is_file():
            raise UnnoiseError(f"'{named}' is neither a file nor a folder: pipe it in (-)")
        yield named, Path(named.name)
    elif not os.access(named, os.R_OK | os.X_OK):
        raise UnnoiseError(f"no permission to read the folder '{named}'")
    else:
        yield from ((inner, inner.relative_to(named)) for inner in sorted(named.rglob("*")) if inner.is_file())


def default_output(source: Path) -> Path:
    """Return the default output of a file: `photo.jpg` -> `photo.clean.jpg`; see `writable`."""
    return _beside(source, source.stem)


def is_folder_target(out: str | Path | None) -> bool:
    """Tell whether outputs go into a folder of this name, as in `plan`."""
    if out is None or not str(out):
        return False
    if remote.is_remote(out):
        return True
    return not Path(out).suffix or str(out).endswith(("/", os.sep)) or Path(out).is_dir()


def _apart(parents: dict[Path, Path], mark: str, taken: Callable[[Path, Path], bool]) -> list[Job]:
    """Give every source a target of its own in the folder that it goes to."""

    def names(source: Path) -> Iterator[Path]:
        ends = mark + output_suffix(source.suffix)
        numbered = (f"{source.stem}.{number}" for number in itertools.count(2))
        return (parents[source] / (stem + ends) for stem in itertools.chain(_stems(source), numbered))

    wanted = {source: next(names(source)) for source in parents}
    first, given = set(wanted.values()), {}
    # Those whose suffix stays choose first, so that it does not matter who else is there.
    for source in sorted(parents, key=lambda source: source.suffix != output_suffix(source.suffix)):
        free = (name for name in names(source) if name == wanted[source] or name not in first)
        name = next(name for name in free if name not in given and not taken(name, source))
        given[name] = source
    targets = {source: name for name, source in given.items()}
    return [Job(source, targets[source]) for source in parents]


def _stems(source: Path) -> list[str]:
    """Return what an output may be called, its suffix left out: one whose suffix changes may keep it as well."""
    return [source.stem] if source.suffix == output_suffix(source.suffix) else [source.stem, source.name]


def _beside(source: Path, stem: str) -> Path:
    return source.with_name(stem + OUTPUT_TAG + output_suffix(source.suffix))


def _expand(path: str | Path) -> list[Path]:
    """Return what a pattern matches; a name that is no pattern, or matches nothing, stands for itself."""
    if not str(path):
        raise UnnoiseError("an empty name is no file: name a file, a folder or a pattern")
    if remote.is_remote(path):
        here = remote.to_path(path)
        return (glob.has_magic(str(path)) and remote.matches(here)) or [here]
    if os.path.exists(path) or not (matches := sorted(glob.glob(str(path), recursive=True))):
        return [Path(path)]
    return [Path(match) for match in matches]
