"""What becomes of the metadata of each format: a file with one kind of metadata is written in every format.

    python benchmarks/robustness/metadata.py

Cells are `kept` (the same value), `patched` (as the clean image needs it), `named` (left out, and named in a warning),
`refused` (the format cannot hold the image), and `lost`, of which there should be none; empty where the format has
nothing of the kind. `own` is the format of the source; in that, the image is also written as a stream, as large images
are, and the worse of both is shown. The files are made here, and read back with Pillow, tifffile, the libraries of the
formats, and a few lines for segments and chunks.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

sys.path[:0] = [str(Path(__file__).resolve().parents[depth]) for depth in (1, 2)]  # benchmarks/, and the repository

import numpy as np
from metadata_kinds import KINDS, SUFFIXES, Kind
from metadata_science import OTHER_KINDS, OTHER_SUFFIXES

from unnoise.denoisers.base import Denoiser, Sigma
from unnoise.errors import UnnoiseError
from unnoise.evaluation import report
from unnoise.pipeline import process, streaming
from unnoise.pipeline.jobs import Job

SOURCES = {**SUFFIXES, **OTHER_SUFFIXES}
ORDER = ("lost", "refused", "named", "patched", "kept", "")  # from worst to best


class Identity(Denoiser):
    """Returns its input, so that the file is encoded again."""

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        return noisy


@dataclass
class Row:
    """What becomes of a kind of metadata in each format."""

    source: str
    metadata: str
    own: str = ""
    JPEG: str = ""
    PNG: str = ""
    TIFF: str = ""
    WebP: str = ""
    AVIF: str = ""
    GIF: str = ""


class Said(logging.Handler):
    """Collects warnings."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text += record.getMessage() + "\n"


def written(source: Path, target: Path) -> tuple[bytes, str]:
    """Return a file written again in the format of `target`, and the warnings."""
    said = Said()
    logger = logging.getLogger("unnoise")
    logger.addHandler(said)
    try:
        process.denoise_file(Job(source, target), process.DenoiseOptions(Identity(), overwrite=True))
    finally:
        logger.removeHandler(said)
    return target.read_bytes(), said.text


def outcome(kind: Kind, data: bytes, format: str, folder: Path) -> str:
    """Return the cell of a kind of metadata and a format."""
    source, target = folder / f"in{SOURCES[kind.format]}", folder / f"out{SOURCES[format]}"
    source.write_bytes(data)
    before = kind.find(data)
    assert before is not None, f"{kind.format} {kind.name}: not in the file that was made"
    if kind.only_same and format != kind.format:
        return ""
    try:
        made, said = written(source, target)
    except UnnoiseError:
        return "refused"
    after = kind.find(made)
    if kind.patched is not None:
        return "patched" if kind.patched(data, made) else "named" if kind.said in said else "lost"
    return "kept" if kind.same(before, after) else "named" if kind.said in said else "lost"


def rows() -> Iterator[Row]:
    """Yield the rows of the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind in (*KINDS, *OTHER_KINDS):
            data = kind.make()
            cells = {format: outcome(kind, data, format, folder) for format in (*SUFFIXES, kind.format)}
            with mock.patch.object(streaming, "STREAMING_PIXELS", 100):
                streamed = outcome(kind, data, kind.format, folder)
            if not (kind.patched is not None and kind.rotates):  # streams keep the orientation
                cells[kind.format] = min(cells[kind.format], streamed, key=ORDER.index)
            own = cells[kind.format]
            yield Row(kind.format, kind.name, own, **{format: cells[format] for format in SUFFIXES})


def main() -> None:
    made = list(rows())
    print(report.markdown(made))
    lost = sum(list(vars(row).values()).count("lost") for row in made)
    print(f"\n{len(made)} kinds of metadata, lost: {lost}")
    sys.exit(1 if lost else 0)


if __name__ == "__main__":
    main()
