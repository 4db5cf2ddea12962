"""The manifest of an output folder, `unnoise.jsonl`: what was made there, out of what, and how; a line per picture.

A line is on the disk before the output that it tells of takes its place, so that there is no moment at which an output
is there and nobody knows whose it is. If the process is killed, at most the last line is cut, and a cut line counts as
none: then the output is not there either.

An object store appends to nothing. There the lines of some outputs at a time become an object of their own, before
these take their places, and all of them `unnoise.jsonl` when the work is done.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import secrets
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar

from unnoise.errors import UnnoiseError
from unnoise.io import atomic, remote
from unnoise.io.paths import make_folder

NAME = "unnoise.jsonl"
LINES = f"{remote.OWN}/lines"
"""Folder, in a folder of outputs in a store, for lines of a work that is not done."""
WAITING = f"{remote.OWN}/held"
"""The same for outputs that wait to take their places."""

_BEGIN = b'{"source": '  # of every line


def open_manifest(folder: str | Path) -> Manifest:
    """Open the manifest of a folder, on this machine or in a store; see there."""
    return (RemoteManifest if remote.is_remote(folder) else Manifest)(folder)


@dataclass(frozen=True)
class Entry:
    """One line.

    Attributes:
        source: the input, relative to the folder of the manifest where it can be.
        source_sha256: of the input, hexadecimal; None where it could not be read.
        settings: all that was asked and decides on the pixels, the version of unnoise included.
        target: the output, relative to the folder.
        target_sha256: of the output; None where there is none.
        seconds: from file to file.
        model: what it was cleaned by.
        sigma: the level it was cleaned at, 8-bit units; None where the denoiser takes none.
        megapixels: size of the picture.
        error: one line, or None where the output was written.
    """

    source: str
    source_sha256: str | None
    settings: dict[str, Any]
    target: str
    target_sha256: str | None = None
    seconds: float = 0.0
    model: str = ""
    sigma: float | None = None
    megapixels: float = 0.0
    error: str | None = None


class Manifest:
    """The manifest of a folder, read and added to; several threads may share it, several processes may not.

    Args:
        folder: need not be there yet; it is made with the first line.

    Raises:
        UnnoiseError: another process is at work in the folder, or the file is none of ours or cannot be read or
            written.
    """

    commit_batch: ClassVar[int] = 1
    """Of how many outputs the lines are best written at once; see `flush`."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.path = self.folder / NAME
        self._last: dict[str, Entry] = {}
        self._written: defaultdict[str, set[str]] = defaultdict(set)
        self._file: IO[bytes] | None = None
        self._lock = threading.Lock()
        if os.path.lexists(self.path):
            self._open()
            self._read()

    def close(self) -> None:
        """Let others work in the folder."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Manifest:
        """Return the manifest."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def relative_name(self, path: Path) -> str:
        """Return the name under which a file stands in the manifest."""
        if remote.is_remote(path):
            return str(path)
        try:
            return Path(os.path.relpath(path, self.folder)).as_posix()
        except ValueError:  # on another drive
            return path.absolute().as_posix()

    def last(self, target: Path) -> Entry | None:
        """Return the last line about an output."""
        return self._last.get(self.relative_name(target))

    def taken(self, target: Path, source: Path) -> bool:
        """Tell whether an output belongs to another input than this one."""
        entry = self.last(target)
        return entry is not None and entry.source != self.relative_name(source)

    def wrote(self, target: Path, sha256: str) -> bool:
        """Tell whether an output with this hash is one that was written there, now or before."""
        return sha256 in self.written(target)

    def written(self, target: Path) -> set[str]:
        """Return the hashes of what was written there."""
        return self._written.get(self.relative_name(target), set())

    def folders(self) -> set[Path]:
        """Return the folders of all outputs."""
        return {(self.folder / name).parent for name in self._last}

    def remove_stale(self, further: Iterable[Path] = ()) -> None:
        """Remove what killed processes have left in the folders of all outputs, and in further ones."""
        atomic.remove_stale({*further, *self.folders()})

    def record(self, entry: Entry) -> None:
        """Add a line; it is on the disk when this returns, or in a store after the next `flush`.

        Raises:
            UnnoiseError: it cannot be written, and is not there.
        """
        line = json.dumps(dataclasses.asdict(entry)).encode() + b"\n"
        with self._lock:
            if self._file is None:
                self._create()
            self._append(line)
            self._remember(entry)

    def flush(self) -> None:
        """Let the lines that were recorded outlive this machine."""

    def staging_path(self, target: Path) -> Path | None:
        """Return where an output is to wait that is to take its place later; None where that is beside its target."""
        return None

    def commit(self, held: str | Path, target: Path) -> None:
        """Let an output that waits take its place.

        Raises:
            OSError: it cannot; or UnnoiseError, from a store.
        """
        atomic.commit(held, target)

    def _append(self, line: bytes) -> None:
        assert self._file is not None
        end = self._file.seek(0, os.SEEK_END)
        try:
            while line:
                line = line[self._file.write(line) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):
                self._file.truncate(end)  # a full disk may have taken a part of the line
            raise UnnoiseError(f"{self.path}: cannot be written: {error.strerror}") from error

    def _create(self) -> None:
        make_folder(self.folder)
        opened = self._open()
        if opened.seek(0, os.SEEK_END):
            self.close()
            raise UnnoiseError(f"{self.path}: another unnoise has begun to work in this folder: call it again")
        atomic.sync_folder(self.folder)

    def _open(self) -> IO[bytes]:
        try:
            self._file = open(self.path, "ab+", buffering=0)  # noqa: SIM115  (open as long as this is)
        except OSError as error:
            raise UnnoiseError(f"{self.path}: cannot be written: {error.strerror}") from error
        if not atomic.lock(self._file):
            self.close()
            raise UnnoiseError(f"{self.path}: another unnoise is at work in this folder: wait until it is done")
        return self._file

    def _read(self) -> None:
        assert self._file is not None
        self._file.seek(0)
        data = self._file.read()
        if data[: len(_BEGIN)] != _BEGIN[: len(data)]:
            self.close()
            raise UnnoiseError(f"{self.path}: is no manifest of unnoise: move it away, or name another folder")
        *lines, cut = data.split(b"\n")
        for entry in filter(None, map(_parsed, lines)):
            self._remember(entry)
        if cut:
            self._file.truncate(len(data) - len(cut))

    def _remember(self, entry: Entry) -> None:
        self._last[entry.target] = entry
        if entry.target_sha256:
            self._written[entry.target].add(entry.target_sha256)


class RemoteManifest(Manifest):
    """The manifest of a folder in a store; nobody can tell there whether others are at work in it.

    Args:
        folder: its address.

    Raises:
        UnnoiseError: the store cannot be reached, or refuses; or as `Manifest`.
    """

    commit_batch = 64

    def __init__(self, folder: str | Path) -> None:
        home = remote.to_path(folder)
        self._near = tempfile.TemporaryDirectory(prefix="unnoise-")
        try:
            self._parts = [part for part, _ in remote.files(home / LINES) if part.suffix == ".jsonl"]
            kept = [remote.read(part) for part in (home / NAME, *self._parts) if remote.exists(part)]
            Path(self._near.name, NAME).write_bytes(b"".join(kept))
            self._kept = sum(map(len, kept))  # bytes of the lines that are in the store
            super().__init__(self._near.name)
        except UnnoiseError as error:
            self._near.cleanup()
            raise UnnoiseError(str(error).replace(self._near.name, str(home))) from error
        self.folder = home

    def close(self) -> None:
        """Make one object of all lines."""
        super().close()
        try:
            if self._parts or self._kept < self.path.stat().st_size:
                remote.write(self.path.read_bytes(), self.folder / NAME)
                for part in self._parts:
                    remote.remove(part)
        finally:
            self._near.cleanup()

    def relative_name(self, path: Path) -> str:
        """As for a folder of this machine; what lies elsewhere has its whole name."""
        if not remote.is_remote(path):
            return path.absolute().as_posix()
        try:
            return path.relative_to(self.folder).as_posix()
        except ValueError:
            return str(path)

    def remove_stale(self, further: Iterable[Path] = ()) -> None:
        """Remove all that waits to take its place."""
        remote.remove(self.folder / WAITING)

    def flush(self) -> None:
        """Put the lines that are new into the store."""
        with self._lock:
            with open(self.path, "rb") as whole:
                whole.seek(self._kept)  # of a million lines, only the new ones are read
                lines = whole.read()
            if lines:
                part = self.folder / LINES / f"{len(self._parts):08}.jsonl"
                remote.write(lines, part)
                self._parts.append(part)
                self._kept += len(lines)

    def staging_path(self, target: Path) -> Path:
        """Return an address in this folder."""
        return self.folder / WAITING / f"{secrets.token_hex(8)}{target.suffix}"

    def commit(self, held: str | Path, target: Path) -> None:
        """Move it within the store."""
        remote.move(remote.to_path(held), target)


def _parsed(line: bytes) -> Entry | None:
    """Read a line; None for one that was cut, or is none of ours."""
    try:
        row = json.loads(line)
        entry = Entry(**{field.name: row[field.name] for field in dataclasses.fields(Entry)})
    except (ValueError, KeyError, TypeError):
        return None
    return entry if isinstance(entry.source, str) and isinstance(entry.target, str) else None
