"""The manifest of an output folder, `unnoise.jsonl`: one line per output, with its input and the options.

A line is on disk before its output is renamed to its final name, so that at no time an output exists without a line. If
the process is killed, at most the last line is truncated, and is ignored: then its output does not exist, either.

Object stores cannot append. There, the lines of a batch of outputs become an object of their own before the outputs are
moved to their final names, and all lines become `unnoise.jsonl` at the end of the run.
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

from unnoise.errors import UnnoiseError, system_reason
from unnoise.io import atomic, remote
from unnoise.io.paths import make_folder

NAME = "unnoise.jsonl"
LINES = f"{remote.OWN}/lines"
"""Folder within a remote output folder for the lines of an unfinished run."""
STAGING = f"{remote.OWN}/held"
"""The same for outputs that are not committed yet."""

_LINE_START = b'{"source": '


class FolderInUseError(UnnoiseError):
    """Another process works in the folder of a manifest; no job can be done there."""


def open_manifest(folder: str | Path) -> Manifest:
    """Open the manifest of a local or remote folder."""
    return (RemoteManifest if remote.is_remote(folder) else Manifest)(folder)


@dataclass(frozen=True)
class Entry:
    """One line of a manifest.

    Attributes:
        source: the input, relative to the folder of the manifest if possible.
        source_sha256: of the input, hexadecimal; None if it could not be read.
        settings: everything that determines the pixels, including the version of unnoise.
        target: the output, relative to the folder.
        target_sha256: of the output; None if there is none.
        seconds: from reading the input to writing the output.
        model: the denoiser; "" if the image was copied.
        sigma: the noise level that was given or found, 8-bit units; None if there was neither.
        megapixels: size of the image.
        error: why it failed, in one line; None if the output was written.
        done: "denoised" or "copied"; "" if it failed, or in lines of earlier versions.
        noise: kind of noise found; None if none was estimated.
        reason: why that was done, in one line.
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
    done: str = ""
    noise: str | None = None
    reason: str = ""


class Manifest:
    """The manifest of a local folder. It is thread-safe; one process at a time can open it.

    Args:
        folder: need not exist; it is created with the first line.

    Raises:
        FolderInUseError: another process has opened it.
        UnnoiseError: the file is not a manifest, or it cannot be read or written.
    """

    commit_batch: ClassVar[int] = 1
    """Number of lines that are best flushed together; see `flush`."""

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
        """Close the file and release its lock."""
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
        """Return the name of a file in the manifest."""
        if remote.is_remote(path):
            return str(path)
        try:
            return Path(os.path.relpath(path, self.folder)).as_posix()
        except ValueError:  # on another drive
            return path.absolute().as_posix()

    def last(self, target: Path) -> Entry | None:
        """Return the last entry of an output."""
        return self._last.get(self.relative_name(target))

    def taken(self, target: Path, source: Path) -> bool:
        """Tell whether an output belongs to another input than this one."""
        entry = self.last(target)
        return entry is not None and entry.source != self.relative_name(source)

    def wrote(self, target: Path, sha256: str) -> bool:
        """Tell whether an output with this hash was written by this run or an earlier one."""
        return sha256 in self.written(target)

    def written(self, target: Path) -> set[str]:
        """Return the hashes of all versions of an output."""
        return self._written.get(self.relative_name(target), set())

    def folders(self) -> set[Path]:
        """Return the folders of all outputs."""
        return {(self.folder / name).parent for name in self._last}

    def remove_stale(self, further: Iterable[Path] = ()) -> None:
        """Remove temporary files of killed processes from the folders of all outputs, and from further ones."""
        atomic.remove_stale({*further, *self.folders()})

    def record(self, entry: Entry) -> None:
        """Add a line; it is on disk when this returns, or in the object store after the next `flush`.

        Raises:
            UnnoiseError: it cannot be written; then it is not added. `FolderInUseError` if another process has
                begun to work in the folder since this was opened.
        """
        line = json.dumps(dataclasses.asdict(entry)).encode() + b"\n"
        with self._lock:
            if self._file is None:
                self._create()
            self._append(line)
            self._remember(entry)

    def flush(self) -> None:
        """Write recorded lines to the object store; a local manifest has nothing to do."""

    def staging_path(self, target: Path) -> Path | None:
        """Return where to put an output until it is committed; None for next to its target."""
        return None

    def commit(self, staged: str | Path, target: Path) -> None:
        """Move a staged output to its target.

        Raises:
            OSError: it cannot be moved.
            UnnoiseError: the object store refuses.
        """
        atomic.commit(staged, target)

    def _append(self, line: bytes) -> None:
        assert self._file is not None
        end = self._file.seek(0, os.SEEK_END)
        try:
            while line:
                line = line[self._file.write(line) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):
                self._file.truncate(end)  # on a full disk, part of the line may have been written
            raise UnnoiseError(f"{self.path}: cannot be written: {system_reason(error, self.path)}") from error

    def _create(self) -> None:
        make_folder(self.folder)
        opened = self._open()
        if opened.seek(0, os.SEEK_END):
            self.close()
            raise FolderInUseError(
                f"{self.path}: another unnoise process has started to work in this folder: run it again"
            )
        atomic.sync_folder(self.folder)

    def _open(self) -> IO[bytes]:
        try:
            self._file = open(self.path, "ab+", buffering=0)  # noqa: SIM115  (stays open)
        except OSError as error:
            raise UnnoiseError(f"{self.path}: cannot be written: {error.strerror}") from error
        if not atomic.lock(self._file):
            self.close()
            raise FolderInUseError(
                f"{self.path}: another unnoise process is working in this folder: wait until it is done"
            )
        return self._file

    def _read(self) -> None:
        assert self._file is not None
        self._file.seek(0)
        data = self._file.read()
        if data[: len(_LINE_START)] != _LINE_START[: len(data)]:
            self.close()
            raise UnnoiseError(f"{self.path}: not a manifest of unnoise: move it away, or choose another folder")
        *lines, partial = data.split(b"\n")
        for entry in filter(None, map(_parse, lines)):
            self._remember(entry)
        if partial:
            self._file.truncate(len(data) - len(partial))

    def _remember(self, entry: Entry) -> None:
        self._last[entry.target] = entry
        if entry.target_sha256:
            self._written[entry.target].add(entry.target_sha256)


class RemoteManifest(Manifest):
    """The manifest of a remote folder, which cannot be locked against other processes.

    Args:
        folder: its address.

    Raises:
        UnnoiseError: the object store cannot be reached, or refuses; or as `Manifest`.
    """

    commit_batch = 64

    def __init__(self, folder: str | Path) -> None:
        address = remote.to_path(folder)
        self._local = tempfile.TemporaryDirectory(prefix="unnoise-")
        try:
            self._parts = [part for part, _ in remote.files(address / LINES) if part.suffix == ".jsonl"]
            contents = [remote.read(part) for part in (address / NAME, *self._parts) if remote.exists(part)]
            Path(self._local.name, NAME).write_bytes(b"".join(contents))
            self._flushed = sum(map(len, contents))  # bytes of the lines that are in the object store
            super().__init__(self._local.name)
        except UnnoiseError as error:
            self._local.cleanup()
            raise UnnoiseError(str(error).replace(self._local.name, str(address))) from error
        self.folder = address

    def close(self) -> None:
        """Write all lines to one object."""
        super().close()
        try:
            if self._parts or self._flushed < self.path.stat().st_size:
                remote.write(self.path.read_bytes(), self.folder / NAME)
                for part in self._parts:
                    remote.remove(part)
        finally:
            self._local.cleanup()

    def relative_name(self, path: Path) -> str:
        """As for a local folder; files elsewhere keep their full name."""
        if not remote.is_remote(path):
            return path.absolute().as_posix()
        try:
            return path.relative_to(self.folder).as_posix()
        except ValueError:
            return str(path)

    def remove_stale(self, further: Iterable[Path] = ()) -> None:
        """Remove all staged outputs."""
        remote.remove(self.folder / STAGING)

    def flush(self) -> None:
        """Write the new lines to the object store."""
        with self._lock:
            with open(self.path, "rb") as whole:
                whole.seek(self._flushed)  # read only the new lines
                lines = whole.read()
            if lines:
                part = self.folder / LINES / f"{len(self._parts):08}.jsonl"
                remote.write(lines, part)
                self._parts.append(part)
                self._flushed += len(lines)

    def staging_path(self, target: Path) -> Path:
        """Return an address in this folder."""
        return self.folder / STAGING / f"{secrets.token_hex(8)}{target.suffix}"

    def commit(self, staged: str | Path, target: Path) -> None:
        """Move it within the object store."""
        remote.move(remote.to_path(staged), target)


def _parse(line: bytes) -> Entry | None:
    """Parse a line; None if it is truncated or not an entry."""
    try:
        row = json.loads(line)
        entry = Entry(**{field.name: row[field.name] for field in dataclasses.fields(Entry)})
    except (ValueError, KeyError, TypeError):
        return None
    return entry if isinstance(entry.source, str) and isinstance(entry.target, str) else None
