"""Pairs of images of one scene: noisy and clean (such as the mean of many shots), or two noisy shots."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unnoise.datasets.base import Dataset, find, list_pictures, read_stored, read_white
from unnoise.errors import UnnoiseError

ENDINGS = {"_real": "_mean", "_noisy": "_clean", "_NOISY": "_GT", "_shot1": "_shot2"}
"""Endings of the names of the two files of a pair, noisy -> clean: PolyU (Xu et al., arXiv:1804.02603), general, SIDD,
and two noisy shots."""


class Pairs(Dataset):
    """All pairs of a folder and its sub-folders, recognized by the endings of their names, sorted by path.

    `NAME_real.*` goes with `NAME_mean.*`, `NAME_noisy.*` with `NAME_clean.*`, `NAME_NOISY.*` with `NAME_GT.*`, and
    `NAME_shot1.*` with `NAME_shot2.*`.

    Args:
        folder: the folder, relative to the working directory or the data root.
        channels: 1 or 3 to convert; None keeps the channels.
        exclude: text file of images to leave out, one path a line, relative to the file.
        white: scale each pair so that the white level of the brighter image is 1, see `read_white`.
    """

    def __init__(
        self, folder: str, *, channels: int | None = None, exclude: str | None = None, white: bool = False
    ) -> None:
        self.folder = find(folder)
        self.channels, self.white = channels, white
        stems = {path.with_suffix(""): path for path in list_pictures(self.folder, exclude)}
        self.paths = [
            (noisy, stems[partner])
            for stem, noisy in stems.items()
            if (partner := _partner(stem)) is not None and partner in stems
        ]
        self._stored: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        if not self.paths:
            expected = ", or ".join(f"NAME{noisy} and NAME{clean}" for noisy, clean in ENDINGS.items())
            raise UnnoiseError(f"no pairs in '{self.folder}': the two files must be named {expected}")

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (noisy, clean) in their stored data types, `[H, W, C]`.

        Raises:
            UnnoiseError: the two differ in size or channels.
        """
        if index not in self._stored:
            paths, channels = self.paths[index], self.channels
            noisy, clean = read_white(paths, channels) if self.white else (read_stored(one, channels) for one in paths)
            if noisy.shape != clean.shape:
                raise UnnoiseError(
                    f"{self.label(index)}: the images of the pair differ in shape, {noisy.shape} and {clean.shape}"
                )
            self._stored[index] = noisy, clean
        return self._stored[index]

    def label(self, index: int) -> str:
        """Return the path of the noisy image in the folder."""
        return str(self.paths[index][0].relative_to(self.folder))


def _partner(stem: Path) -> Path | None:
    """Return the path of the clean image of a noisy one, without suffix."""
    for noisy, clean in ENDINGS.items():
        if stem.name.endswith(noisy):
            return stem.with_name(stem.name.removesuffix(noisy) + clean)
    return None
