"""What is done with a picture that has come: clean it, say what noise is in it, show a piece of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyvips

from unnoise import denoisers, io
from unnoise.denoisers.auto import Auto
from unnoise.denoisers.base import Denoiser, Sigma
from unnoise.denoisers.onnx import Onnx
from unnoise.errors import UnnoiseError
from unnoise.io import formats
from unnoise.io.picture import Picture, white_level
from unnoise.noise.estimation import NoiseEstimate
from unnoise.pipeline import error_maps, preview, process
from unnoise.pipeline.process import ProgressCallback
from unnoise.service.limits import Limits
from unnoise.units import from_8bit, to_8bit

SUFFIXES = {kind.name.lower(): kind.suffixes[0] for kind in formats.FORMATS}
"""Kinds of files that can be asked for, with their suffixes; `image/NAME` is their media type."""
MODELS = (Auto.name, *denoisers.bundled_models(), *denoisers.DENOISERS.members)
"""Models that can be asked for: a closed list, and never a path."""


@dataclass(frozen=True)
class DenoiseRequest:
    """What is asked of a picture; levels in 8-bit units, see `pipeline.Settings`."""

    model: str = Auto.name
    sigma: float | None = None
    strength: float = 1.0
    format: str | None = None
    quality: int | None = None
    page: int | None = None


@dataclass(frozen=True)
class EncodedPicture:
    """A file that was made.

    Attributes:
        data: its bytes.
        kind: its kind, a key of `SUFFIXES`.
        model: what the picture was cleaned by.
        sigma: at which level, 8-bit units; None where the model takes none.
        pixels: how many were cleaned.
    """

    data: bytes
    kind: str
    model: str
    sigma: float | None
    pixels: int


@dataclass(frozen=True)
class InspectionResult:
    """What a picture is, and what noise is in it."""

    width: int
    height: int
    pages: int
    colours: int
    kind: str
    noise: NoiseEstimate


class Operations:
    """Models, opened once and shared by all threads, and the work that they do.

    Args:
        limits: on pictures, and the number of threads.
        engine: what runs the networks; None for the fastest that is installed.
        busy: tells how many pictures are at work.
    """

    def __init__(self, limits: Limits, engine: str | None = None, busy: Callable[[], int] = lambda: 1) -> None:
        self.limits, self.engine, self._busy = limits, engine, busy
        self._models = denoisers.ModelCache(self._make, size=len(MODELS))
        self._auto = Auto(self._models, denoisers.bundled_models())
        pyvips.cache_set_max(0)  # it would hold the pictures of past requests

    def open(self, model: str) -> Denoiser:
        """Return a model of `MODELS`."""
        return self._auto if model == Auto.name else self._models.open(model)

    def warm_up(self) -> None:
        """Open the model that most pictures need, and run it once."""
        self.open("color")(np.zeros((8, 8, 3), np.float32), 0.1)

    def denoise(self, data: bytes, wish: DenoiseRequest, report: ProgressCallback) -> EncodedPicture:
        """Clean the bytes of a file, into those of another.

        Raises:
            UnnoiseError: as `image_io.read`, or the kind of file that was asked for cannot hold the picture.
        """
        suffix = SUFFIXES[wish.format] if wish.format else io.suffix_of(data)
        picture = self._read(data, wish.page)
        if reason := io.unsupported_reason(picture.header, suffix):
            raise UnnoiseError(reason)
        report(0.0)
        clean, model, sigma = process.denoise_picture(picture, self._settings(wish), report)
        report(1.0)
        made, kind = io.encode(clean, suffix, quality=wish.quality), formats.format_for(suffix).name.lower()
        return EncodedPicture(made, kind, model, to_8bit(sigma), picture.pixels[..., 0].size)

    def inspect(self, data: bytes, page: int | None, report: ProgressCallback) -> InspectionResult:
        """Say what a picture is, and what noise is in it."""
        picture = self._read(data, page)
        report(0.5)
        noise = denoisers.inspect_picture(picture)
        header, kind = picture.header, formats.detect(data[:4096], "the picture").name.lower()
        return InspectionResult(header.width, header.height // header.pages, header.pages, header.colours, kind, noise)

    def preview(
        self, data: bytes, wish: DenoiseRequest, box: tuple[int, int, int | None, int | None], report: ProgressCallback
    ) -> EncodedPicture:
        """Show a piece of a picture, cleaned as it would be in the whole, as browsers show pictures.

        Args:
            data: the bytes of the file; of several pages, the first is shown unless another is asked for.
            wish: what is asked; strength 0 shows the picture as it is.
            box: left, top, width, height in pixels; None for all that there is.
            report: called with the share that is done.

        Returns:
            A PNG of 8 bits in sRGB, white at its brightest.

        Raises:
            UnnoiseError: as `image_io.read`, or the piece lies outside of the picture.
        """
        picture = self._read(data, wish.page or 1)
        report(0.0)
        left, top, width, height = box
        high, wide = picture.pixels.shape[:2]
        if left >= wide or top >= high:
            raise UnnoiseError(f"the piece begins outside of the picture, which has {wide} x {high} pixels")
        inner = slice(top, min(top + (height or high), high)), slice(left, min(left + (width or wide), wide))
        model, sigma = "", None
        if wish.strength:
            denoiser, sigma = self._settings(wish).resolve(picture.pixels, picture.dtype)
            model = str(denoiser)
            pixels = preview.denoise_region(
                denoiser, picture.pixels, sigma, inner, strength=wish.strength, progress=report
            )
        else:
            pixels = picture.pixels[inner]
        alpha = None if picture.alpha is None else picture.alpha[inner]
        shown = preview.to_screen(picture, pixels, alpha, white_level(picture.pixels, picture.dtype))
        level = None if sigma is None else to_8bit(float(sigma))
        return EncodedPicture(shown, "png", model, level, pixels[..., 0].size)

    def uncertainty(self, data: bytes, wish: DenoiseRequest, gain: float, report: ProgressCallback) -> EncodedPicture:
        """Map the error to be expected in the clean picture, see `uncertainty.of`, as a grey PNG of 16 bits.

        White stands for an error of 255 / `gain` in 8-bit units; pages lie below each other.
        """
        picture = self._read(data, wish.page)
        report(0.0)
        made = error_maps.clean_picture(picture, self._settings(wish), report)
        shown = io.encode(error_maps.as_picture(np.float32(gain) * made.error, ".png"), ".png")
        return EncodedPicture(shown, "png", made.model, to_8bit(made.sigma), made.error.size)

    def _read(self, data: bytes, page: int | None) -> Picture:
        limits = self.limits
        return io.read(data, max_pixels=limits.pixels, max_pages=limits.pages, page=page)

    def _settings(self, wish: DenoiseRequest) -> process.DenoiseOptions:
        return process.DenoiseOptions(self.open(wish.model), from_8bit(wish.sigma), wish.strength, quality=wish.quality)

    def _make(self, name: str) -> Denoiser:
        denoiser = denoisers.make(name, engine=self.engine)
        if isinstance(denoiser, Onnx) and self.limits.workers > 1:
            crowded = denoisers.make(name, engine=self.engine, concurrency=self.limits.workers)
            return _AdaptiveThreads(denoiser, crowded, self._busy)
        return denoiser


class _AdaptiveThreads(Denoiser):
    """A network on all cores where its caller is alone, and on as many threads as there are callers where not."""

    def __init__(self, alone: Denoiser, crowded: Denoiser, busy: Callable[[], int]) -> None:
        self._alone, self._crowded, self._busy = alone, crowded, busy
        self.adopt(alone.info)

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Clean one picture, or one tile."""
        return (self._alone if self._busy() <= 1 else self._crowded).run(noisy, sigma)
