"""Estimates of the memory that work on an image takes at its peak, and the bound on the sum of all that is admitted.

An estimate counts the arrays that an operation holds at the same time, by the number of pixels, channels and bytes of a
sample, and the memory of a denoiser for one tile, which is proportional to the pixels of the tile. The factors of the
denoisers were read off `python benchmarks/robustness/service_memory.py`, which also shows how far estimates are above
the measured peaks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from unnoise import denoisers
from unnoise.denoisers import detail, noise_level, tiling
from unnoise.denoisers.base import DenoiserInfo
from unnoise.errors import UnnoiseError
from unnoise.io import Header
from unnoise.noise import estimation
from unnoise.pipeline import streaming
from unnoise.service.problems import Problem

MIB = 2**20
BASE = 512 * MIB
"""Memory of the process with all models open and no work; measured: about 350 MiB with OpenVINO, less without."""
TILE_BYTES = {
    "adaptive-median": 25,
    "bilateral": 20,
    "blind": 270,
    "color": 360,
    "color-fast": 365,
    "color-large": 395,
    "deep_prior": 2300,
    "gray": 295,
    "impulse": 395,
    "median": 20,
    "nlm": 70,
    "photo": 240,
    "tv": 50,
    "wavelet": 60,
    "zero_shot": 600,
}
"""Denoiser -> bytes for each pixel of a tile with its margin, in the engine that takes more."""
CODEC_BYTES = {"AVIF": 60, "HEIC": 60, "WebP": 24}
"""Formats whose encoder holds the whole image -> bytes for each pixel."""

_UNKNOWN = 395  # bytes for each pixel of a tile: as of the largest bundled network
_LEVEL_BYTES = 210  # of the estimator of the noise level, for each pixel of a tile
_PREPARED = 1.25  # copies of the pixels where they are brought into the range of values, and the mask of outliers
_ERROR_BYTES = 130  # of the features of an error map, for each pixel of a tile
_ADJUSTED_BYTES = 70  # of the wavelet coefficients of the residual, for each pixel of a tile
_PYTORCH = 100 * MIB  # which is imported at the first use
_STRIP_ROWS = 516  # that zero_shot cleans at a time
_KEPT = 0.75  # share of the memory of a tile that an engine keeps until it is released
_SAFETY, _SMALLEST = 1.15, 24 * MIB


@dataclass(frozen=True)
class Work:
    """What is to be done with an image.

    Attributes:
        operation: "denoise", "preview", "uncertainty", "inspect" or "noise_map".
        denoisers: the facts of those that it may use; none for "inspect" and "noise_map".
        region: height and width of the region in question, in pixels; None for the whole image.
        estimates: whether the noise is estimated.
        strength: as for `process.DenoiseOptions`.
        codec: name of the format of the output.
        tile_bytes: denoiser -> bytes for each pixel of a tile with its margin.
        adjusts: whether results are adjusted by hand.
    """

    operation: str
    denoisers: Sequence[DenoiserInfo]
    region: tuple[int, int] | None = None
    estimates: bool = True
    strength: float = 1.0
    codec: str = "PNG"
    tile_bytes: Mapping[str, float] = field(default_factory=lambda: TILE_BYTES)
    adjusts: bool = False


def estimate(work: Work, header: Header) -> int:
    """Return the memory that work on an image takes at its peak, in bytes, without the file itself."""
    return round(_SAFETY * _Stages(work, header).peak()) + _SMALLEST


class _Stages:
    """The stages of work, and what each holds."""

    def __init__(self, work: Work, header: Header) -> None:
        self.work, self.header = work, header
        self.pixels = header.height * header.width
        self.samples, self.floats = header.size, 4 * header.colours * self.pixels
        self.is_unit = header.dtype == np.uint8

    def peak(self) -> float:
        if self.work.operation == "uncertainty":  # which never holds the image
            return max(self._uncertainty())
        stages = {"denoise": self._denoise, "preview": self._preview, "noise_map": self._noise_map}
        look = self._look(self.floats)
        more = stages[self.work.operation]() if self.work.operation in stages else ()
        return max(self.samples + self.floats, *(self.held + stage for stage in (look, *more)))

    @property
    def held(self) -> float:
        """The pixels, and the samples that hold the alpha."""
        alpha = self.samples if self.header.alpha else 0
        return alpha + self.floats

    def _look(self, floats: float) -> float:
        """For the range of values and the noise of an image, beside it."""
        prepared = 0 if self.is_unit else _PREPARED * floats
        whole = _LEVEL_BYTES * self.pixels if self.work.estimates and self.pixels <= noise_level.WHOLE else 0
        size = self.header.height // self.header.pages, self.header.width
        blocks = 1.3 * estimation.block_bytes(*size, min(self.header.colours, 3)) if self.work.estimates else 0
        return prepared + max(floats / 3, whole, blocks)  # windows of large images are small

    def _tile(self, extra: int = 0, reach: int = 0, largest: int | None = None) -> float:
        """For one tile, of the denoiser that takes most."""
        return max(self._tile_of(one, extra, reach, largest) for one in self.work.denoisers)

    def _tile_of(self, denoiser: DenoiserInfo, extra: int, reach: int, largest: int | None) -> float:
        factor: float = self.work.tile_bytes.get(denoiser.name.partition(":")[0], _UNKNOWN)
        factor = max(factor, _KEPT * factor + extra)  # the rest comes after the denoiser
        if denoiser.name == "zero_shot":
            large = self.pixels > streaming.STREAMING_PIXELS or largest is not None
            width = min(self.header.width, tiling.TILE + 2 * tiling.OVERLAP) if large else self.header.width
            height = min(self.header.height, tiling.TILE + 2 * tiling.OVERLAP) if large else self.header.height
            arrays = 16 * self.header.colours * width * height
            return _PYTORCH + factor * width * min(height, _STRIP_ROWS) + arrays
        size = min(denoiser.tile or tiling.TILE, largest or tiling.TILE)
        if denoiser.halo is None:
            whole = streaming.STREAMING_PIXELS if denoiser.tile is None else size**2
            if largest is None and self.pixels <= whole:
                return factor * self.pixels
            reach += tiling.OVERLAP
        else:
            reach += denoiser.halo
        height, width = self.work.region or (self.header.height // self.header.pages, self.header.width)
        height, width = min(height + 2 * reach, self.header.height), min(width + 2 * reach, self.header.width)
        sides = [_outer(side, size, reach, denoiser.multiple_of, denoiser.margin) for side in (height, width)]
        scale = max(1, self.header.colours / 3) * (1 if self.is_unit else 1.1)  # brought into the range of values
        return scale * factor * math.prod(sides)

    def _adjusted_tile(self) -> float:
        return self._tile(_ADJUSTED_BYTES, detail.REACH) if self.work.adjusts else self._tile()

    def _denoise(self) -> list[float]:
        joined = self.floats if self.header.pages > 1 else 0
        stretched = 3.25 * self.floats if self.work.strength != 1 else 0
        tile = self._adjusted_tile()
        if self.work.adjusts:
            stretched = max(stretched, 2 * self.floats)
        encoded = 3 * self.samples + CODEC_BYTES.get(self.work.codec, 0) * self.pixels
        last = max(joined, stretched, encoded)
        return [self.floats + tile, self.floats + _KEPT * tile + last]

    def _preview(self) -> list[float]:
        height, width = self.work.region or (self.header.height, self.header.width)
        part = min(height * width / self.pixels, 1) * self.floats
        clean = self.floats if any(one.halo is None for one in self.work.denoisers) else part
        tile, shown = self._adjusted_tile(), 2 * part  # values on the screen, and their encoding
        return [clean + tile, part + _KEPT * tile + shown]

    def _noise_map(self) -> list[float]:
        estimator = denoisers.level_estimator()
        sides = (self.header.height // self.header.pages, self.header.width)
        outer = [_outer(side, tiling.TILE, estimator.halo, estimator.multiple_of, 0) for side in sides]
        return [_LEVEL_BYTES * math.prod(outer) + self.pixels + 2 * self.pixels]

    def _uncertainty(self) -> list[float]:
        seen = min(1.0, streaming.SAMPLE_PIXELS / self.pixels)
        windows = seen * (2 * self.samples + self.floats)
        alpha = self.samples if self.header.alpha else 0
        look = seen * (alpha + self.floats * (1 + _PREPARED + 1 / 3))
        strips = 2 * min(self.samples, 1.25 * streaming.STRIP_BYTES)
        tile = self._tile(_ERROR_BYTES, 17, streaming.TILE)
        return [windows, look, 2 * self.pixels + strips + tile, 6 * self.pixels + _KEPT * tile]


def _outer(side: int, size: int, reach: int, grid: int, margin: int) -> int:
    """Return the longest side of a tile with its margins."""
    inner = -(-side // -(-side // size)) + grid
    return min(inner + 2 * (reach + grid), side + grid) + 2 * margin


class Admission:
    """Bounds the sum of the estimates of all work that is admitted.

    Args:
        limit: the bound, in bytes.
        seconds: returns after how many seconds a refused client should try again.

    Attributes:
        held: the current sum.
    """

    def __init__(self, limit: int, seconds: Callable[[], int]) -> None:
        self.limit, self._seconds, self.held = limit, seconds, 0

    def admit(self, count: int) -> Callable[[], None]:
        """Count further work; return what ends it.

        Raises:
            Problem: it is over the bound alone (413), or together with what is admitted (429).
        """
        if count > self.limit:
            raise Problem(
                413,
                f"this image takes about {_gigabytes(count)} of memory with this model, over the limit of "
                f"{_gigabytes(self.limit)}: send a smaller one, or choose another model",
            )
        if self.held + count > self.limit:
            line = f"the work in progress takes {_gigabytes(self.held)} of the {_gigabytes(self.limit)} of memory"
            raise Problem(429, f"{line}: try again later", {"Retry-After": str(self._seconds())})
        self.held += count
        left = [count]

        def release() -> None:
            if left:
                self.held -= left.pop()

        return release


def for_work(limit: int, bodies: int, added: int = 0) -> int:
    """Return what is left for work of the memory of the service.

    Args:
        limit: the memory of the service.
        bodies: the most that request and response bodies take of it.
        added: what models take that are added to those of every service.

    Raises:
        UnnoiseError: nothing is left.
    """
    models = BASE + added
    left = limit - models - bodies
    if left <= 0:
        raise UnnoiseError(
            f"{_gigabytes(limit)} of memory are too little: the models take {_gigabytes(models)}, bodies of requests "
            f"{_gigabytes(bodies)}"
        )
    return left


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.2f} GB"
