"""Maps of the expected error of a denoised image, computed from any part of it, and their files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from unnoise import denoisers, io
from unnoise.denoisers import tiling, uncertainty
from unnoise.denoisers.base import Denoiser, Sigma
from unnoise.denoisers.grouped import Grouped, Member
from unnoise.denoisers.rescaled import Rescaled
from unnoise.errors import UnnoiseError
from unnoise.io import Header, Picture, RowReader
from unnoise.io.layout import Layout
from unnoise.io.paths import check_target
from unnoise.io.picture import from_samples
from unnoise.io.value_range import ValueRange
from unnoise.pipeline.page_models import ByPage
from unnoise.units import FULL_SCALE

SUFFIXES = (".tif", ".tiff", ".png")
"""Formats of maps: TIFF of floats in 8-bit units, or PNG of 16-bit integers in 1/257 of them, so that white is 255."""

Scales = tuple[float, ...]
"""Factors of an error map, one for each group of channels."""

_UNCALIBRATED = ("signal-dependent", "correlated", "impulse", "mixed")  # kinds of noise
_ROWS = 64  # that are read at once
_TILE = 1024  # longest side of the tiles of a map, pixels: as of `streaming`, which imports this module


def check(target: Path, *, strength: float, overwrite: bool) -> None:
    """Check that an error map can be written.

    Raises:
        UnnoiseError: the suffix is not one of `SUFFIXES`, `strength` is not 1, or as `check_target`.
    """
    if target.suffix.lower() not in SUFFIXES:
        raise UnnoiseError(f"{target}: an error map is a .tif file of floats or a .png file of integers")
    check_strength(strength)
    check_target(target, overwrite=overwrite)


def check_strength(strength: float) -> None:
    """Check that an error map describes the result.

    Raises:
        UnnoiseError: the strength is not 1.
    """
    if strength != 1:
        raise UnnoiseError(f"an error map describes the model's own result: strength must be 1, got {strength:g}")


class ErrorEstimator:
    """Expected error of the result for one image, given the image and its result, or any tile of both.

    Args:
        denoiser: as `DenoiseOptions.resolve` returns it.
        sigma: noise level that it is called with, or None.
        sample: the image, or windows of it, float32 `[H, W, C]`; its noise is estimated.

    Attributes:
        caveat: why the scale of the map is uncertain, in one line, or "".
    """

    reach = uncertainty.REACH
    """Pixels around a tile that its error depends on."""

    def __init__(self, denoiser: Denoiser, sigma: Sigma | None, sample: np.ndarray) -> None:
        self._outer, self._sigma = denoiser, sigma
        members = denoiser.members if isinstance(denoiser, Grouped) else (Member(slice(None), denoiser, sigma),)
        self._parts = [_GroupErrors(member, sample[:, :, member.group]) for member in members]
        self.caveat = next((part.caveat for part in self._parts if part.caveat), "")

    def __call__(self, noisy: np.ndarray, clean: np.ndarray, scales: Scales | None = None) -> np.ndarray:
        """Return the expected root mean square error, float32 `[H, W]` in 8-bit units.

        Args:
            noisy: the image or a tile, float32 `[H, W, C]`.
            clean: its result, the same shape.
            scales: of the map, as `page_scales` returns them; None to measure them on these arrays.
        """
        factors = [None] * len(self._parts) if scales is None else scales
        errors = [part.expected(noisy, clean, factor) for part, factor in zip(self._parts, factors, strict=True)]
        if len(errors) == 1:
            return errors[0]
        counts = [noisy[0, 0, part.group].size for part in self._parts]
        return np.sqrt(np.average(np.square(errors), axis=0, weights=counts)).astype(np.float32)

    def scales(self, noisy: np.ndarray, clean: np.ndarray) -> Scales:
        """Return the scales of the map of an image and its result, both `[H, W, C]`, measured on its center."""
        sides = noisy.shape[:2]
        center = uncertainty.central_region(*sides)
        outer = tuple(
            slice(max(side.start - self.reach, 0), min(side.stop + self.reach, length))
            for side, length in zip(center, sides, strict=True)
        )
        crop = tuple(
            slice(side.start - around.start, side.stop - around.start)
            for side, around in zip(center, outer, strict=True)
        )
        return tuple(part.center_scale(noisy[outer], clean[outer], crop) for part in self._parts)

    def map(self, noisy: np.ndarray, clean: np.ndarray, progress: Callable[[float], None]) -> np.ndarray:
        """Return the expected error of a whole image, tile by tile, since it takes much memory for each pixel.

        Args:
            noisy: the image, float32 `[H, W, C]`.
            clean: its result, the same shape.
            progress: called with the fraction that is done.

        Returns:
            As a call.
        """
        height, width = noisy.shape[:2]
        scales, error = self.scales(noisy, clean), np.empty((height, width), np.float32)
        for tile in tiling.tiles(height, width, size=_TILE, halo=self.reach):
            error[tile.inner] = self(noisy[tile.outer], clean[tile.outer], scales)[tile.crop]
            progress((tile.inner[0].start * width + tile.inner[1].stop * len(error[tile.inner])) / error.size)
        return error

    def page_scales(self, rows: RowReader, page: int) -> Scales:
        """Return the scales of the map of a page of a file, measured on its center; the rows up to it are consumed."""
        if all(part.is_calibrated for part in self._parts):
            return (1.0,) * len(self._parts)
        height = rows.header.height // rows.header.pages
        return self._center_scales(rows, page * height, height)

    def _center_scales(self, rows: RowReader, top: int, height: int) -> Scales:
        grid, width = self._outer.multiple_of, rows.header.width
        margin = self.reach + (self._outer.halo or 0)
        center = uncertainty.central_region(height, width)
        first = [max(side.start - margin, 0) // grid * grid for side in center]
        last = [min(side.stop + margin, length) for side, length in zip(center, (height, width), strict=True)]
        crop = tuple(slice(side.start - start, side.stop - start) for side, start in zip(center, first, strict=True))
        pieces = [
            rows.read_rows(top + start, top + min(start + _ROWS, last[0]))[:, first[1] : last[1]]
            for start in range(first[0], last[0], _ROWS)
        ]
        noisy = from_samples(np.concatenate(pieces), {}, rows.header.layout).pixels
        clean = self._outer(noisy, self._sigma)
        return tuple(part.center_scale(noisy, clean, crop) for part in self._parts)


def page_scales(rows: RowReader, errors: ByPage[ErrorEstimator]) -> list[Scales]:
    """Return the scales of the map of each page of a file; the rows are consumed."""
    return [errors[page].page_scales(rows, page) for page in range(rows.header.pages)]


class _GroupErrors:
    """Expected error of the channels that are denoised together."""

    def __init__(self, member: Member, sample: np.ndarray) -> None:
        self.group, self._range = member.group, ValueRange()
        self._denoiser = member.denoiser
        if isinstance(member.denoiser, Rescaled):
            self._denoiser, self._range = member.denoiser.inside, member.denoiser.value_range
        noise = denoisers.estimate_noise(self._range.without_outliers(sample[:, :, :3]))
        self._level = noise.sigma if member.sigma is None else float(np.mean(member.sigma)) / self._range.contrast
        uncertain = noise.kind in _UNCALIBRATED and self._denoiser.signal_noise is None
        self.caveat = (
            f"the error map is calibrated for white noise, and this noise looks {noise.kind}" if uncertain else ""
        )
        self.is_calibrated = uncertainty.is_calibrated(self._denoiser, sample.shape[2])

    def expected(self, noisy: np.ndarray, clean: np.ndarray, scale: float | None) -> np.ndarray:
        """Return the expected error in these channels of an image, `[H, W]` in 8-bit units."""
        noisy, clean = self._normalized(noisy), self._normalized(clean)
        error = uncertainty.estimate_error(self._denoiser, noisy, clean, self._level, scale)
        return error * np.float32(self._range.contrast)

    def center_scale(self, noisy: np.ndarray, clean: np.ndarray, crop: tuple[slice, ...]) -> float:
        """Return the scale of the map, measured on the center of an image."""
        expected = self.expected(noisy, clean, scale=1.0)[crop] / np.float32(self._range.contrast)
        noisy, clean = self._normalized(noisy[crop]), self._normalized(clean[crop])
        return uncertainty.center_scale(self._denoiser, noisy, clean, expected, self._level)

    def _normalized(self, pixels: np.ndarray) -> np.ndarray:
        pixels = pixels[:, :, self.group]
        return pixels if self._range.is_unit else self._range.normalize(pixels)


def to_picture(error: np.ndarray, suffix: str) -> Picture:
    """Return a map in 8-bit units, `[H, W]`, as a picture of one channel, for a file with this suffix."""
    return io.from_array(to_samples(error, suffix))


def to_samples(error: np.ndarray, suffix: str) -> np.ndarray:
    """Return a map in 8-bit units, `[H, W]`, in the samples of a file with this suffix."""
    if suffix.lower() != ".png":
        return error
    return np.rint(np.clip(error / FULL_SCALE, 0, 1) * 65535).astype(np.uint16)


def map_header(header: Header, suffix: str) -> Header:
    """Return the header of the map of an image: one channel of the same size, pages below each other."""
    dtype = np.dtype(np.uint16 if suffix.lower() == ".png" else np.float32)
    metadata = {field: value for field, value in header.metadata.items() if field == "orientation"}
    return Header(header.height, header.width, Layout(1), dtype, metadata)
