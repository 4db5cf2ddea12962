"""A file that libvips writes to, whose beginning is edited on the way."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pyvips

Editor = Callable[[bytes], bytes | None]
"""Is given the first bytes of a file; returns what to write instead, or None until they are enough."""


class EditedTarget:
    """An output of libvips.

    Attributes:
        target: to pass to a saver.
    """

    def __init__(self, target: pyvips.Target) -> None:
        self.target = target

    def check(self) -> None:
        """Raise what went wrong while writing."""


class _Edited(EditedTarget):
    """Holds back the beginning of a file until it has been edited."""

    def __init__(self, file: IO[bytes], edit: Editor) -> None:
        target = pyvips.TargetCustom()
        super().__init__(target)
        self._file, self._edit = file, edit
        self._head: bytes | None = b""
        self._error: OSError | None = None
        target.on_write(self._write)

    def check(self) -> None:
        """Raise the error of the system, if there was one."""
        if self._error is not None:
            raise self._error
        self._file.flush()

    def _write(self, data: bytes | bytearray | memoryview) -> int:
        piece = bytes(data)
        try:
            if self._head is None:
                self._file.write(piece)
            else:
                self._head += piece
                if (edited := self._edit(self._head)) is not None:
                    self._head = None
                    self._file.write(edited)
        except OSError as error:  # an exception must not pass through libvips
            self._error = error
            return -1
        return len(piece)


def open_target(path: Path, file: IO[bytes], edit: Editor | None) -> EditedTarget:
    """Open a file for libvips.

    Args:
        path: the file.
        file: the same, open for reading and writing.
        edit: edits its beginning; None to write it as it is.
    """
    if edit is None:
        return EditedTarget(pyvips.Target.new_to_file(os.fsencode(path)))  # type: ignore[arg-type]  (need not be UTF-8)
    return _Edited(file, edit)
