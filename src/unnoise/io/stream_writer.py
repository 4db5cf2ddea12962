"""Write image files while their rows are still being computed."""

from __future__ import annotations

import contextlib
import queue
import struct
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyvips

from unnoise.io import lab, picture
from unnoise.io.atomic import CommitHook
from unnoise.io.formats import Header, by_suffix
from unnoise.io.layout import UNASSOCIATED

_STRIP_ROWS = 64  # rows per strip of the uncompressed TIFF that libvips reads
_POLL_SECONDS = 0.2  # seconds between two checks that the other thread is still running


def write_stream(
    strips: Iterable[np.ndarray],
    header: Header,
    target: str | Path,
    *,
    overwrite: bool = False,
    quality: int | None = None,
    before_commit: CommitHook | None = None,
) -> None:
    """Write an image to a file while its rows are being computed; see `open_stream`.

    Args:
        strips: samples `[rows, W, header.layout.samples]`, from the top; together `header.height` rows.
        header: of the image.
        target: the file.
        overwrite: whether it may exist.
        quality: of lossy formats, 1 to 100.
        before_commit: as for `atomic_write`; called on another thread.

    Raises:
        UnnoiseError: as `picture.write`; and whatever `strips` raises.
    """
    with open_stream(header, target, overwrite=overwrite, quality=quality, before_commit=before_commit) as write_rows:
        for strip in strips:
            write_rows(strip)
            del strip  # before the next one is computed


@contextlib.contextmanager
def open_stream(
    header: Header,
    target: str | Path,
    *,
    overwrite: bool = False,
    quality: int | None = None,
    before_commit: CommitHook | None = None,
) -> Iterator[Callable[[np.ndarray], None]]:
    """Open a file to write an image to, strip by strip and atomically; see `picture.write`.

    The next strip is computed while libvips encodes the last one on a thread of its own: at most two are in memory.

    Args:
        header: of the image.
        target: the file.
        overwrite: whether it may exist.
        quality: of lossy formats, 1 to 100.
        before_commit: as for `atomic_write`; called on another thread.

    Yields:
        A function that takes the next rows, samples `[rows, W, C]`. All rows must be written before the end of the
        `with` block; if it is left by an exception, nothing is written.

    Raises:
        UnnoiseError: as `picture.write`.
    """
    kind = by_suffix(Path(target).suffix)
    encoding = header.metadata.get(lab.FIELD) if kind is not None and kind.name == "TIFF" else None
    header = header if encoding is None else encoding.stored(header)
    rows = _TiffStream(header)
    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(
            _write, rows, header, target, overwrite=overwrite, quality=quality, before_commit=before_commit
        )
        try:
            yield lambda strip: rows.put(strip if encoding is None else encoding.from_rgb(strip), written)
        except BaseException:
            rows.abort()
            raise
        finally:
            rows.close(written)
        written.result()


def _write(
    rows: _TiffStream,
    header: Header,
    target: str | Path,
    *,
    overwrite: bool,
    quality: int | None,
    before_commit: CommitHook | None,
) -> None:
    image = rows.image()
    picture.write_image(image, header, target, overwrite=overwrite, quality=quality, before_commit=before_commit)


class _TiffStream:
    """Passes rows from one thread to libvips on another, as an uncompressed BigTIFF that is read in order."""

    def __init__(self, header: Header) -> None:
        self._head = _tiff_header(header)
        self._size = len(self._head) + header.size
        self._strips: queue.Queue[memoryview | None] = queue.Queue(maxsize=1)
        self._current, self._begins = memoryview(b""), len(self._head)
        self._place, self._broken = 0, False

    def put(self, strip: np.ndarray, written: Future[None]) -> None:
        """Pass on the next rows; if the writer has failed, raise its error."""
        data = np.ascontiguousarray(strip).data.cast("B")
        while True:
            if written.done():
                written.result()
            with contextlib.suppress(queue.Full):
                return self._strips.put(data, timeout=_POLL_SECONDS)

    def abort(self) -> None:
        """Make the reader see a truncated file."""
        self._broken = True

    def close(self, written: Future[None]) -> None:
        """Signal the end of the rows."""
        while not written.done():
            with contextlib.suppress(queue.Full):
                return self._strips.put(None, timeout=_POLL_SECONDS)

    def image(self) -> pyvips.Image:
        """Return the image; its rows can be read once, in order."""
        self._source = pyvips.SourceCustom()  # keep a reference: libvips calls back to it
        self._source.on_read(self._read)
        self._source.on_seek(self._seek)
        return pyvips.Image.tiffload_source(self._source, access="sequential", fail_on="error")

    def _read(self, count: int) -> bytes:
        if self._place < len(self._head):
            data = self._head[self._place : self._place + count]
            self._place += len(data)
            return data
        while self._place >= self._begins + len(self._current):
            self._begins += len(self._current)
            self._current = memoryview(b"")  # free it before the next one comes
            strip = None if self._broken or self._place >= self._size else self._strips.get()
            if strip is None or self._broken:
                return b""
            self._current = strip
        start = self._place - self._begins
        if start < 0:
            return b""  # seeking back among the rows is not supported
        data = bytes(self._current[start : start + count])
        self._place += len(data)
        return data

    def _seek(self, offset: int, whence: int) -> int:
        self._place = offset + {0: 0, 1: self._place, 2: self._size}[whence]
        return self._place


def _tiff_header(header: Header) -> bytes:
    """Return the header of a BigTIFF (little endian, uncompressed), up to its first sample."""
    samples, bits = header.layout.samples, 8 * header.dtype.itemsize
    row = header.width * samples * header.dtype.itemsize
    heights = [min(_STRIP_ROWS, header.height - top) for top in range(0, header.height, _STRIP_ROWS)]
    tags: dict[int, tuple[str, list[int]]] = {
        256: ("I", [header.width]),
        257: ("I", [header.height]),
        258: ("H", [bits] * samples),
        259: ("H", [1]),  # not compressed
        262: ("H", [{1: 1, 3: 2, 4: 5}[header.layout.base]]),  # gray with black at 0, RGB, or CMYK
        273: ("Q", [0] * len(heights)),  # strip offsets: filled in below
        277: ("H", [samples]),
        278: ("I", [_STRIP_ROWS]),
        279: ("Q", [height * row for height in heights]),
        339: ("H", [{"u": 1, "i": 2, "f": 3}[header.dtype.kind]] * samples),
    }
    if header.layout.extras:
        tags[338] = ("H", [UNASSOCIATED] * len(header.layout.extras))  # their types are written to the file itself
    packed = {tag: struct.pack(f"<{len(values)}{kind}", *values) for tag, (kind, values) in tags.items()}
    values_data, base = b"", 16 + 8 + 20 * len(tags) + 8
    begin = base + sum(len(data) for data in packed.values() if len(data) > 8)
    packed[273] = struct.pack(f"<{len(heights)}Q", *(begin + top * _STRIP_ROWS * row for top in range(len(heights))))
    entries = b""
    for tag, (kind, values) in sorted(tags.items()):
        data = packed[tag]
        if len(data) > 8:
            data, values_data = struct.pack("<Q", base + len(values_data)), values_data + data
        entries += struct.pack("<HHQ", tag, {"H": 3, "I": 4, "Q": 16}[kind], len(values)) + data.ljust(8, b"\0")
    head = b"II" + struct.pack("<HHHQQ", 43, 8, 0, 16, len(tags)) + entries + struct.pack("<Q", 0) + values_data
    assert len(head) == begin
    return head
