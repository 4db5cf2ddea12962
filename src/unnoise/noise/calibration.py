"""Photon transfer: gain, read noise and row noise of a camera from flat and dark frames, or from one image.

The variance of a sensor's counts is a linear function of their mean: the slope is the gain, and the value without light
is the variance of the read noise (Janesick, "Photon Transfer", SPIE Press 2007; EMVA Standard 1288, release 4.0,
chapter 6). Two frames of the same exposure are subtracted, which cancels dust, vignetting and fixed pattern noise; the
difference has twice the variance of one frame. It is measured in segments of rows, which row noise only shifts, on
tiles; the median over the tiles ignores hot pixels and saturated corners.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unnoise import io
from unnoise.errors import UnnoiseError
from unnoise.io.value_range import estimate_range
from unnoise.noise import Noise, estimation
from unnoise.noise.estimation import NoiseEstimate
from unnoise.noise.sensor import Sensor
from unnoise.noise.synthetic import Gaussian
from unnoise.units import FULL_SCALE

TILE = 32
"""Side of the tiles, pixels."""
ALIKE = 1.1
"""Flats whose mean differs by less than this factor have the same exposure."""
_ROUNDING = 1 / 12  # variance of rounding to whole counts
_SURE = 3.0  # standard errors above which row noise is significant
_CLIPPED = 0.01  # fraction of the pixels of a dark frame at 0 above which it counts as clipped
_CUT = 0.003  # fraction of the pixels of a tile at the largest count above which it counts as saturated


@dataclass(frozen=True)
class Calibration:
    """The noise of a camera; `counts` are steps of the file's integers, or units of its floats.

    Attributes:
        noise: the same as a noise model, for `add`, `train` and `evaluate`.
        counts_per_electron: gain; None if the noise does not depend on the signal.
        black: counts without light.
        read: standard deviation of the read noise without quantization noise, counts.
        rows: standard deviation of the row noise, counts; 0 if it is not significant.
        frames: number of frames used.
        doubts: limitations of the result, one line each.
    """

    noise: Noise
    counts_per_electron: float | None
    black: float
    read: float
    rows: float
    frames: int
    doubts: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Describe the noise in one line, in counts and electrons."""
        gain = self.counts_per_electron
        electrons = "" if gain is None else f" ({self.read / gain:.3g} electrons)"
        light = "no shot noise" if gain is None else f"gain {gain:.4g} counts per electron"
        parts = (light, f"read noise {self.read:.4g} counts{electrons}", f"row noise {self.rows:.3g}")
        return f"{', '.join(parts)}, black {self.black:.5g}, from {self.frames} frames"


@dataclass(frozen=True)
class _Shots:
    """Temporal noise of frames of one exposure: mean and variance per tile and channel, and that of the row means."""

    mean: np.ndarray
    variance: np.ndarray
    whole: np.ndarray  # tiles that are not saturated
    rows: float
    unsure: float  # standard error of `rows`; both are variances


def calibrate(
    flats: Sequence[str | Path], darks: Sequence[str | Path], *, max_pixels: int = io.MAX_PIXELS
) -> Calibration:
    """Measure a camera.

    Args:
        flats: files of an evenly lit, blurred surface; two or more frames of each exposure, one or more exposures. Raw,
            linear counts: images processed by the camera do not follow the model. Each page of a file is a frame.
        darks: files without light; two or more, since a single one includes fixed pattern noise.
        max_pixels: as for `io.read`.

    Raises:
        UnnoiseError: a file cannot be read, frames differ in size or depth, or there are no two of one exposure.
    """
    reader = _Reader(max_pixels)
    dark, flat = reader.frames(darks), reader.frames(flats)
    doubts: list[str] = []
    if len(dark) == 1:
        doubts.append("only one dark frame: read and row noise include the fixed pattern noise of the sensor")
    if reader.zeros(dark) > _CLIPPED:
        doubts.append("the dark frames are clipped at 0: the read noise is underestimated")
    without = _shots([reader.frame(one) for one in dark])
    black = float(np.median(without.mean))
    read = float(np.median(without.variance))
    groups = [group for group in _exposures(flat, reader, black) if len(group) > 1]
    if not groups:
        raise UnnoiseError("give at least two flat frames of the same exposure, brighter than the dark frames")
    gain = _gain([_shots([reader.frame(one) for one in group]) for group in groups], black, read)
    rows = without.rows if without.rows > _SURE * without.unsure else 0.0
    read = max(read - (_ROUNDING if reader.whole else 0.0), 0.0)
    count = len(dark) + sum(map(len, groups))
    if left := len(flat) + len(dark) - count:
        doubts.append(f"{left} flat frames without a second one of the same exposure are ignored")
    full = reader.full
    peak, levels = full / gain, [FULL_SCALE / full * value for value in (math.sqrt(read), math.sqrt(rows), black)]
    noise = Sensor(*(_four(value) for value in (peak, *levels)))
    return Calibration(noise, gain, black, math.sqrt(read), math.sqrt(rows), count, tuple(doubts))


def blind(
    source: str | Path,
    *,
    max_pixels: int = io.MAX_PIXELS,
    estimate_noise: Callable[[np.ndarray], NoiseEstimate] = estimation.estimate_white_noise,
) -> Calibration:
    """Fit noise against signal in one image, from the flattest blocks of each brightness.

    Black level and read noise cannot be separated in one image: at most one of them is above 0. Row noise is not
    measured.

    Args:
        source: a raw, linear image with flat areas of many brightnesses.
        max_pixels: as for `io.read`.
        estimate_noise: estimates the kind of the noise, to state whether it follows this model at all.

    Raises:
        UnnoiseError: it cannot be read, or is smaller than a block.
    """
    picture = io.read(source, max_pixels=max_pixels)
    white = estimate_range(picture.pixels, picture.dtype).full_scale
    pixels = picture.pixels / np.float32(white)
    brightness, variance = estimation.noise_against_signal(pixels)
    if not variance.size:
        raise UnnoiseError(f"{source}: too small: at least 8 x 8 pixels are needed")
    doubts = ["only one image: black level and read noise cannot be separated, and row noise is not measured"]
    kind = estimate_noise(pixels[:, :, :3]).kind
    if kind in ("correlated", "impulse", "mixed"):
        doubts.append(f"its noise looks {kind}: processed images do not follow this model, see the noise 'camera'")
    slope, start = estimation.fit_line(brightness.ravel(), variance.ravel())
    full = _full(picture.dtype) * white
    if slope <= 0:
        deviation = math.sqrt(start)
        found = Gaussian(_four(FULL_SCALE * white * deviation))
        return Calibration(found, None, 0.0, deviation * full, 0.0, 1, tuple(doubts))
    black, read = max(-start / slope, 0.0), math.sqrt(max(start, 0.0))
    levels = [FULL_SCALE * white * value for value in (read, 0.0, black)]
    found = Sensor(*(_four(value) for value in (1 / (slope * white), *levels)))
    return Calibration(found, slope * full, black * full, read * full, 0.0, 1, tuple(doubts))


class _Reader:
    """Frames of one size and data type, in counts; the last files are cached.

    Attributes:
        full: counts at white, 1 for floats.
        whole: whether counts are integers.
    """

    def __init__(self, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        self._kind: tuple[Any, ...] | None = None
        self._pages = functools.lru_cache(maxsize=2)(self._read)
        self.full, self.whole = 1.0, False

    def frames(self, paths: Sequence[str | Path]) -> list[tuple[Path, int]]:
        """Return the file and the page of every frame."""
        return [(Path(path), page) for path in paths for page in range(len(self._pages(Path(path))))]

    def frame(self, place: tuple[Path, int]) -> np.ndarray:
        """Return a frame, float32 `[H, W, C]`."""
        return self._pages(place[0])[place[1]]

    def zeros(self, places: Sequence[tuple[Path, int]]) -> float:
        """Return the fraction of pixels at 0."""
        return float(np.mean([(self.frame(place) <= 0).mean() for place in places])) if self.whole else 0.0

    def _read(self, path: Path) -> list[np.ndarray]:
        picture = io.read(path, max_pixels=self._max_pixels)
        pages = np.split(picture.pixels, picture.header.pages)
        kind = (pages[0].shape, picture.dtype)
        if self._kind not in (None, kind):
            raise UnnoiseError(f"{path}: differs in size or data type from the other frames: use frames of one camera")
        self._kind, self.full, self.whole = kind, _full(picture.dtype), picture.dtype.kind != "f"
        if min(pages[0].shape[:2]) < TILE:
            raise UnnoiseError(f"{path}: too small for a calibration: at least {TILE} x {TILE} pixels are needed")
        return [page * np.float32(self.full) for page in pages]


def _full(dtype: np.dtype[Any]) -> float:
    """Return the value of white in files of a data type."""
    return 1.0 if dtype.kind == "f" else float(np.iinfo(dtype).max)


def _four(value: float) -> float:
    """Round to four significant digits."""
    return float(f"{value:.4g}")


def _exposures(flat: list[tuple[Path, int]], reader: _Reader, black: float) -> Iterator[list[tuple[Path, int]]]:
    """Yield the frames of each exposure, darkest first, without those that have no light."""
    light = {place: float(reader.frame(place).mean()) - black for place in flat}
    group: list[tuple[Path, int]] = []
    for place in sorted((place for place in flat if light[place] > 0), key=lambda place: light[place]):
        if group and light[place] > ALIKE * light[group[0]]:
            yield group
            group = []
        group.append(place)
    if group:
        yield group


def _shots(frames: list[np.ndarray]) -> _Shots:
    """Measure frames of one exposure by their successive differences; a single frame is measured by itself."""
    pairs = list(itertools.pairwise(frames)) or [(frames[0],)]
    mean = np.mean([_tiles(frame).mean(axis=(1, 3)) for frame in frames], axis=0)
    variance = 0.0
    for pair in pairs:
        change = (pair[1] - pair[0]) / math.sqrt(2) if len(pair) == 2 else pair[0]
        variance = variance + _tiles(change).var(axis=3, ddof=1).mean(axis=1) / len(pairs)
    height, width = frames[0].shape[:2]
    means = np.stack([frame.mean(axis=1, dtype=np.float64) for frame in frames])
    means -= means.mean(axis=0) if len(frames) > 1 else 0
    means -= means.mean(axis=1, keepdims=True)  # the lamp flickers
    freedom = max(len(frames) - 1, 1) * (height - 1)
    alone = float(np.median(variance)) / width  # variance of row means without row noise
    rows = float((means**2).sum(axis=(0, 1)).mean()) / freedom - alone
    top = np.max([frame.max(axis=(0, 1)) for frame in frames], axis=0)
    cut = np.max([(_tiles(frame) >= top).mean(axis=(1, 3)) for frame in frames], axis=0)
    return _Shots(mean, np.asarray(variance), cut < _CUT, rows, alone * math.sqrt(2 / freedom))


def _tiles(frame: np.ndarray) -> np.ndarray:
    """Cut `[H, W, C]` into `[rows, TILE, columns, TILE, C]`; the remainder at the right and bottom is dropped."""
    height, width = (side // TILE for side in frame.shape[:2])
    return frame[: height * TILE, : width * TILE].reshape(height, TILE, width, TILE, frame.shape[2])


def _gain(exposures: list[_Shots], black: float, read: float) -> float:
    """Return the slope of variance over mean, through the darks; exposures above the largest variance are saturated."""
    middles = [float(np.median(shots.variance)) for shots in exposures]
    slopes, weights = [], []
    for shots in exposures[: int(np.argmax(middles)) + 1]:
        light = shots.mean - black
        sound = (light > 0) & shots.whole
        slope = float(np.median((shots.variance[sound] - read) / light[sound])) if sound.any() else 0.0
        if slope > 0:  # its standard error is that of the variance, over the light
            slopes.append(slope)
            weights.append(sound.sum() / (slope + read / float(np.median(light[sound]))) ** 2)
    if not slopes:
        raise UnnoiseError("the flats are not noisier than the darks, or all saturated: use frames of raw counts")
    return float(np.average(slopes, weights=weights))
