"""Operations on an image in a request: denoise, inspect, render a region, map the error or the noise level."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyvips

from unnoise import denoisers, io, system
from unnoise.denoisers.adjusted import Adjustments
from unnoise.denoisers.auto import MODEL_FOR_NOISE, Auto
from unnoise.denoisers.base import Denoiser, DenoiserInfo, Sigma
from unnoise.denoisers.onnx import Onnx
from unnoise.errors import UnnoiseError
from unnoise.io import formats
from unnoise.io.picture import Picture
from unnoise.io.value_range import estimate_range
from unnoise.noise.estimation import NoiseEstimate
from unnoise.pipeline import encoded_errors, noise_maps, preview, process
from unnoise.pipeline.outcome import Outcome
from unnoise.pipeline.process import ProgressCallback
from unnoise.service import memory
from unnoise.service.catalog import Catalog
from unnoise.service.limits import Limits
from unnoise.units import from_8bit, to_8bit

SUFFIXES = {kind.name.lower(): kind.suffixes[0] for kind in formats.FORMATS}
"""All formats with their suffixes; `image/NAME` is the media type."""
OUTPUTS = {kind.name.lower(): kind.suffixes[0] for kind in formats.FORMATS if not kind.codec}
"""Those that a request can ask for; by default, an image comes back in its own."""
_AUTOMATIC = {name for choices in MODEL_FOR_NOISE.values() for names in choices for name in names}


@dataclass(frozen=True)
class DenoiseRequest:
    """Options of a request, noise levels in 8-bit units; see `process.DenoiseOptions`."""

    model: str = Auto.name
    sigma: float | None = None
    strength: float = 1.0
    format: str | None = None
    quality: int | None = None
    page: int | None = None
    min_noise: float | None = None
    force: bool = False
    adjustments: Adjustments = field(default_factory=Adjustments)


@dataclass(frozen=True)
class EncodedPicture:
    """An output file.

    Attributes:
        data: the encoded file.
        kind: its format, a key of `SUFFIXES`.
        model: the denoiser; "" if nothing was denoised.
        sigma: the noise level it was given, 8-bit units; None if it takes none.
        pixels: number of pixels that were denoised.
        outcome: what was done, and why; None if it is not reported.
    """

    data: bytes
    kind: str
    model: str
    sigma: float | None
    pixels: int
    outcome: Outcome | None = None


@dataclass(frozen=True)
class InspectionResult:
    """Properties of an image, and the estimate of its noise."""

    width: int
    height: int
    pages: int
    colours: int
    kind: str
    noise: NoiseEstimate


class Operations:
    """Operations on images, with models that are loaded once and shared by all threads.

    Args:
        limits: on images, and the number of workers.
        engine: inference engine; None for the fastest that is installed.
        busy: returns how many images are being processed.
        files: model files that requests can name, too; see `Catalog`.

    Raises:
        UnnoiseError: as `Catalog`.
    """

    def __init__(
        self,
        limits: Limits,
        engine: str | None = None,
        busy: Callable[[], int] = lambda: 1,
        files: Sequence[str | Path] = (),
    ) -> None:
        self.limits, self.engine, self._busy = limits, engine, busy
        self.catalog = Catalog(files, engine)
        self._models = denoisers.ModelCache(self._make, size=len(self.catalog.names))
        self._added = {name: self._shared(model.denoiser, model.path) for name, model in self.catalog.added.items()}
        self._auto = Auto(self._models, denoisers.bundled_models(), denoisers.level_estimator())
        pyvips.cache_set_max(0)  # it would keep images of past requests

    def open(self, model: str) -> Denoiser:
        """Return a model of the catalog.

        Raises:
            UnnoiseError: it has none of that name.
        """
        self.catalog.check(model)
        if model in self._added:
            return self._added[model]
        return self._auto if model == Auto.name else self._models.open(model)

    def memory(
        self, operation: str, data: bytes, options: DenoiseRequest, region: tuple[int, int] | None = None
    ) -> int:
        """Return an estimate of the memory that an operation takes at its peak, in bytes; see `memory.estimate`.

        Args:
            operation: name of the method.
            data: the encoded image.
            options: as for the operation.
            region: height and width of the region to render; None for the whole image.

        Raises:
            UnnoiseError: as `io.read`, as far as the header of the file shows it.
        """
        page = options.page or (1 if operation == "preview" else None)
        limits, codec = self.limits, options.format
        rows = io.RowReader(data, max_pixels=limits.pixels, max_pages=limits.pages, page=page)
        work = memory.Work(
            operation, self._facts_of(options.model), region, options.sigma is None, options.strength,
            formats.format_for(OUTPUTS[codec]).name if codec else rows.kind.name, self.catalog.tile_bytes,
            bool(options.adjustments.changed),
        )  # fmt: skip
        return memory.estimate(work, rows.header)

    def release(self) -> None:
        """Give memory that engines and the allocator hold for later work back to the system."""
        self._models.release()
        for model in self._added.values():
            model.release()
        system.trim_memory()

    def _facts_of(self, model: str) -> list[DenoiserInfo]:
        facts = self.catalog.facts
        names = [model] if model != Auto.name else [name for name in _AUTOMATIC if name in facts]
        return [facts[name] for name in names]

    def warm_up(self) -> None:
        """Load the most common model, and run it once."""
        self.open("color")(np.zeros((8, 8, 3), np.float32), 0.1)

    def denoise(self, data: bytes, options: DenoiseRequest, report: ProgressCallback) -> EncodedPicture:
        """Denoise an encoded image; returns an encoded image.

        Raises:
            UnnoiseError: as `io.read`, or the output format cannot hold the image.
        """
        suffix = OUTPUTS[options.format] if options.format else io.suffix_of(data)
        picture = self._read(data, options.page)
        if reason := io.unsupported_reason(picture.header, suffix):
            raise UnnoiseError(reason)
        report(0.0)
        result = process.denoise_picture(picture, self._denoise_options(options), report)
        report(1.0)
        encoded, kind = (
            io.encode(result.picture, suffix, quality=options.quality),
            formats.format_for(suffix).name.lower(),
        )
        outcome, pixels = result.outcome, picture.pixels[..., 0].size
        return EncodedPicture(encoded, kind, outcome.model, to_8bit(result.sigma), pixels, outcome)

    def inspect(self, data: bytes, page: int | None, report: ProgressCallback) -> InspectionResult:
        """Return the properties of an image, and estimate its noise."""
        picture = self._read(data, page)
        report(0.5)
        noise = denoisers.inspect_picture(picture)
        header, kind = picture.header, formats.detect(data[:4096], "the image").name.lower()
        return InspectionResult(header.width, header.height // header.pages, header.pages, header.colours, kind, noise)

    def preview(
        self,
        data: bytes,
        options: DenoiseRequest,
        box: tuple[int, int, int | None, int | None],
        report: ProgressCallback,
    ) -> EncodedPicture:
        """Render a region of an image as browsers show it, denoised as it would be within the whole image.

        Args:
            data: the encoded image; of several pages, the first one unless `options.page` names another.
            options: strength 0 renders the input.
            box: left, top, width, height in pixels; None for the rest of the image.
            report: called with the fraction that is done.

        Returns:
            An 8-bit sRGB PNG.

        Raises:
            UnnoiseError: as `io.read`, or the region starts outside the image.
        """
        picture = self._read(data, options.page or 1)
        report(0.0)
        left, top, width, height = box
        high, wide = picture.pixels.shape[:2]
        if left >= wide or top >= high:
            raise UnnoiseError(f"the region starts outside the image, which has {wide} x {high} pixels")
        inner = slice(top, min(top + (height or high), high)), slice(left, min(left + (width or wide), wide))
        model, sigma = "", None
        if options.strength:
            denoiser, sigma = self._denoise_options(options).resolve(picture.pixels, picture.dtype, picture.layout)
            model = str(denoiser)
            pixels = preview.denoise_region(
                denoiser,
                picture.pixels,
                sigma,
                inner,
                strength=options.strength,
                progress=report,
            )
        else:
            pixels = picture.pixels[inner]
        alpha = None if picture.alpha is None else picture.alpha[inner]
        shown = slice(0, picture.layout.base)  # data channels have no color
        values = estimate_range(picture.pixels[:, :, shown], picture.dtype)
        png = preview.to_screen(picture, pixels[:, :, shown], alpha, values)
        level = None if sigma is None else to_8bit(float(sigma))
        return EncodedPicture(png, "png", model, level, pixels[..., 0].size)

    def uncertainty(
        self, data: bytes, options: DenoiseRequest, gain: float, report: ProgressCallback
    ) -> EncodedPicture:
        """Map the expected error of the denoised image as a 16-bit gray PNG; see `uncertainty.estimate_error`.

        White stands for an error of 255 / `gain` in 8-bit units; pages are stacked vertically.
        """
        result = encoded_errors.map_errors(
            data, self._denoise_options(options), report, gain=gain, max_pages=self.limits.pages, page=options.page
        )
        png = io.encode(io.from_array(result.samples), ".png")
        return EncodedPicture(png, "png", result.outcome.model, to_8bit(result.sigma), result.samples.size)

    def noise_map(self, data: bytes, page: int | None, report: ProgressCallback) -> EncodedPicture:
        """Map the noise level as an 8-bit gray PNG, see `noise_maps`; pages are stacked vertically."""
        picture = self._read(data, page)
        report(0.0)
        levels, _ = noise_maps.map_picture(picture, progress=report)
        return EncodedPicture(io.encode(levels, ".png"), "png", "", None, levels.pixels.size)

    def _read(self, data: bytes, page: int | None) -> Picture:
        limits = self.limits
        return io.read(data, max_pixels=limits.pixels, max_pages=limits.pages, page=page)

    def _denoise_options(self, options: DenoiseRequest) -> process.DenoiseOptions:
        return process.DenoiseOptions(
            self.open(options.model), from_8bit(options.sigma), options.strength, quality=options.quality,
            max_pixels=self.limits.pixels, min_level=from_8bit(options.min_noise), force=options.force,
            adjustments=options.adjustments,
        )  # fmt: skip

    def _make(self, name: str) -> Denoiser:
        return self._shared(denoisers.make(name, engine=self.engine), name)

    def _shared(self, denoiser: Denoiser, spec: str | Path) -> Denoiser:
        """Return a denoiser for all threads, of the spec that it was made of."""
        if isinstance(denoiser, Onnx) and self.limits.workers > 1:
            crowded = denoisers.make(spec, engine=self.engine, concurrency=self.limits.workers)
            return _AdaptiveThreads(denoiser, crowded, self._busy)
        return denoiser


class _AdaptiveThreads(Denoiser):
    """A network that uses all cores for a single request, and shares them between several."""

    def __init__(self, alone: Denoiser, crowded: Denoiser, busy: Callable[[], int]) -> None:
        self._alone, self._crowded, self._busy = alone, crowded, busy
        self.adopt(alone.info)

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Denoise one image, or one tile."""
        return (self._alone if self._busy() <= 1 else self._crowded).run(noisy, sigma)
