"""Maps of the noise level that the learned estimator finds at each pixel of an image, and their files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unnoise import denoisers, io
from unnoise.denoisers import tiling
from unnoise.denoisers.noise_level import NoiseLevelEstimator
from unnoise.errors import UnnoiseError
from unnoise.io import Header, Picture, RowReader, formats, raw, stream_writer, zarr_store
from unnoise.io.layout import Layout
from unnoise.io.paths import check_target
from unnoise.io.picture import from_samples
from unnoise.io.unreadable import is_zarr
from unnoise.io.value_range import range_of
from unnoise.noise.estimation import NoiseEstimate
from unnoise.pipeline import page_models, raw_files, streaming
from unnoise.pipeline.page_models import ByPage
from unnoise.units import to_8bit

BLACK, WHITE = 0.5, 64.0
"""Noise levels, in 8-bit units, that are black and white in a map: seven octaves, from about that of rounding to 8 bits
(0.3) to noise that hides most of an image. They are the same for all images, so that maps can be compared."""
SCALE = (
    f"estimated noise level in 8-bit units, logarithmic: black is {BLACK:g} or less, white {WHITE:g} or more, "
    f"value V of 255 is {BLACK:g} * {WHITE / BLACK:g}^(V/255)"
)
_TEXT = {"comment": SCALE.encode()}

ProgressCallback = Callable[[float], None]


@dataclass(frozen=True)
class Levels:
    """The lowest and the highest noise level in a map, 8-bit units of the full scale."""

    lowest: float
    highest: float

    def to_dict(self) -> dict[str, float | str]:
        """Return the values as JSON has them, with the scale of the map."""
        levels = {"lowest": round(self.lowest, 2), "highest": round(self.highest, 2)}
        return {"black": BLACK, "white": WHITE, "scale": "logarithmic", **levels}

    def __str__(self) -> str:
        """Return them and the scale in one line."""
        return f"{SCALE}; here {self.lowest:.2g} to {self.highest:.2g}"


class NoiseMapper:
    """Noise level at each pixel of an image, given the image or any tile of it.

    Channels that are no color image are looked at one by one, each with its own range, as for denoising.

    Args:
        sample: the image, or windows of it, float32 `[H, W, C]`, from which the statistics of the whole are taken.
        dtype: of the samples of its file.
        layout: of its file.
        value_range: as for `DenoiseOptions`.
    """

    def __init__(
        self,
        sample: np.ndarray,
        dtype: np.dtype[Any],
        layout: Layout,
        value_range: tuple[float, float] | None = None,
    ) -> None:
        estimator = denoisers.level_estimator()
        self.halo, self.multiple_of = estimator.halo, estimator.multiple_of
        self._parts = [_Channels(estimator, group, sample, dtype, value_range) for group in layout.groups]

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Return the noise level at each pixel of an image or a tile `[H, W, C]`, float32 `[H, W]`, in 8-bit units.

        Of several groups of channels, it is that of the noisiest one at each pixel.
        """
        return np.max([part.level(pixels) for part in self._parts], axis=0)


class _Channels:
    """The channels that are looked at together."""

    def __init__(
        self,
        estimator: NoiseLevelEstimator,
        group: slice,
        sample: np.ndarray,
        dtype: np.dtype[Any],
        value_range: tuple[float, float] | None,
    ) -> None:
        self._estimator, self._group = estimator, group
        self._range = range_of(value_range, sample[:, :, group], dtype)
        self._statistics = estimator.statistics(self._prepared(sample))

    def level(self, pixels: np.ndarray) -> np.ndarray:
        """Return the noise level at each pixel, `[H, W]`, in 8-bit units."""
        level = self._estimator.level(self._prepared(pixels), self._statistics)
        return level * np.float32(to_8bit(self._range.contrast))

    def _prepared(self, pixels: np.ndarray) -> np.ndarray:
        """Return one or three channels (of CMYK the colors), black at 0 and white at 1, without outliers."""
        pixels = pixels[:, :, self._group][:, :, :3]
        return pixels if self._range.is_unit else self._range.without_outliers(pixels)


def inspect_file(
    source: Path, *, max_pixels: int = io.MAX_PIXELS, value_range: tuple[float, float] | None = None
) -> NoiseEstimate:
    """Estimate the noise in a file as `denoisers.inspect_picture` does; in a large one, in windows, as for denoising.

    Of a raw file, it is the noise of its mosaic; of a Zarr store, that of its image.

    Raises:
        UnnoiseError: as `io.read`.
    """
    if is_zarr(source):
        return denoisers.inspect_picture(zarr_store.open_store(source, max_pixels=max_pixels).read(), value_range)
    if raw.is_raw(source):
        return raw_files.inspect(source, max_pixels=max_pixels)
    header = RowReader(source, max_pixels=max_pixels).header
    if not _is_large(header):
        return denoisers.inspect_picture(io.read(source, max_pixels=max_pixels), value_range)

    def inspect(pages: list[int]) -> NoiseEstimate:
        sample = streaming.sample_windows(RowReader(source, max_pixels=max_pixels), pages)
        return denoisers.inspect_picture(Picture(sample, None, header.dtype, {}, header.layout), value_range)

    return denoisers.noisiest(page_models.by_channel(header.page_channels, inspect).members.values())


def map_picture(
    picture: Picture,
    value_range: tuple[float, float] | None = None,
    progress: ProgressCallback = lambda _: None,
) -> tuple[Picture, Levels]:
    """Map the noise level of an image, tile by tile; pages below each other.

    Args:
        picture: the image.
        value_range: as for `DenoiseOptions`.
        progress: called with the fraction that is done.

    Returns:
        The map, an 8-bit gray image of the same size on the scale from `BLACK` to `WHITE`, and the levels in it.
    """
    height, width = picture.pixels.shape[:2]
    gray, levels = np.empty((height, width), np.uint8), []
    channels, samples = picture.header.page_channels, picture.channel_pages()
    mappers = {
        channel: NoiseMapper(sample, picture.dtype, picture.layout, value_range)
        for channel, sample in zip(dict.fromkeys(channels), samples, strict=True)
    }
    tall = height // len(channels)
    for top in range(0, height, tall):
        mapper = mappers[channels[top // tall]]
        for tile in tiling.tiles(tall, width, halo=mapper.halo, multiple_of=mapper.multiple_of):
            level = mapper(picture.pixels[top : top + tall][tile.outer])[tile.crop]
            gray[top : top + tall][tile.inner] = to_gray(level)
            levels += [level.min(), level.max()]
            progress((top + tile.inner[0].start + (tile.inner[1].stop / width) * level.shape[0]) / height)
    metadata = {**_TEXT, **{key: picture.metadata[key] for key in ("orientation",) if key in picture.metadata}}
    return from_samples(gray[:, :, None], metadata), Levels(float(min(levels)), float(max(levels)))


def map_file(
    source: Path,
    target: Path,
    *,
    overwrite: bool = False,
    max_pixels: int = io.MAX_PIXELS,
    value_range: tuple[float, float] | None = None,
    progress: ProgressCallback = lambda _: None,
) -> Levels:
    """Map the noise level of a file in another, see `map_picture`; a large one strip by strip, in bounded memory.

    Args:
        source: the image; the EXIF orientation of large ones is kept as a tag.
        target: the map, a `.png` file, written whole or not at all.
        overwrite: whether it may exist.
        max_pixels: as for `io.read`.
        value_range: as for `DenoiseOptions`.
        progress: called with the fraction that is done.

    Raises:
        UnnoiseError: the file cannot be read, or the map cannot be written.
    """
    check(target, overwrite=overwrite)
    if target.exists() and target.samefile(source):
        raise UnnoiseError(f"{target}: the map would replace the image: choose another name")
    header = RowReader(source, max_pixels=max_pixels).header
    if not _is_large(header):
        picture, levels = map_picture(io.read(source, max_pixels=max_pixels), value_range, progress)
        picture.save(target, overwrite=overwrite)
        return levels

    def mapper(pages: list[int]) -> NoiseMapper:
        sample = streaming.sample_windows(RowReader(source, max_pixels=max_pixels), pages)
        return NoiseMapper(sample, header.dtype, header.layout, value_range)

    mappers, found = page_models.by_channel(header.page_channels, mapper), []
    metadata = {**_TEXT, **{key: header.metadata[key] for key in ("orientation",) if key in header.metadata}}
    map_header = Header(header.height, header.width, Layout(1), np.dtype(np.uint8), metadata)

    def strips() -> Iterator[np.ndarray]:
        done = 0
        for level in _strips(RowReader(source, max_pixels=max_pixels), mappers):
            found.append((level.min(), level.max()))
            yield to_gray(level)
            done += len(level)
            progress(done / header.height)

    stream_writer.write_stream(strips(), map_header, target, overwrite=overwrite)
    return Levels(float(min(low for low, _ in found)), float(max(high for _, high in found)))


def check(target: Path, *, overwrite: bool) -> None:
    """Check that a map can be written.

    Raises:
        UnnoiseError: it is not a `.png` file, or as `check_target`.
    """
    if target.suffix.lower() != ".png":
        raise UnnoiseError(f"{target}: a map of the noise level is a .png file")
    check_target(target, overwrite=overwrite)


def to_gray(level: np.ndarray) -> np.ndarray:
    """Return noise levels in 8-bit units as gray values, uint8, the same shape.

    >>> to_gray(np.array([0.1, 0.5, 2**2.5, 64, 100])).tolist()
    [0, 0, 128, 255, 255]
    """
    share = np.log(np.clip(level, BLACK, WHITE) / BLACK) / np.log(WHITE / BLACK)
    return np.rint(255 * share).astype(np.uint8)


def _is_large(header: Header) -> bool:
    return header.height * header.width > streaming.STREAMING_PIXELS and not formats.needs_rotation(header, ".png")


def _strips(rows: RowReader, mappers: ByPage[NoiseMapper]) -> Iterator[np.ndarray]:
    """Yield the noise level of rows of tiles, from the top, float32 `[rows, W]`."""
    header, mapper = rows.header, mappers[0]
    size, height = streaming.tile_size(header, mapper.multiple_of), header.height // header.pages
    tiles = list(tiling.tiles(height, header.width, size=size, halo=mapper.halo, multiple_of=mapper.multiple_of))
    for page in range(header.pages):
        for strip, held in streaming.bands(rows, page * height, tiles):
            inner = strip[0].inner[0]
            level = np.empty((inner.stop - inner.start, header.width), np.float32)
            for tile in strip:
                pixels = from_samples(held[:, tile.outer[1]], {}, header.layout).pixels
                level[:, tile.inner[1]] = mappers[page](pixels)[tile.crop]
            yield level
