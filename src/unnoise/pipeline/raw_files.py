"""Denoise the mosaic of a raw file, and write it as a DNG or developed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from scipy import ndimage

from unnoise import denoisers
from unnoise.denoisers import Ensemble, defects
from unnoise.denoisers.adjusted import Adjustments
from unnoise.denoisers.auto import Auto
from unnoise.denoisers.base import Denoiser
from unnoise.denoisers.mosaic import BayerNetwork, MosaicDenoiser, PlaneByPlane
from unnoise.errors import UnnoiseError
from unnoise.io import dng, exif_block, formats, picture, raw
from unnoise.io.atomic import CommitHook
from unnoise.io.formats import Header
from unnoise.io.layout import Layout
from unnoise.io.paths import make_folder
from unnoise.io.raw import RawImage
from unnoise.noise import shot
from unnoise.noise.estimation import NoiseEstimate
from unnoise.noise.shot import ShotNoise
from unnoise.pipeline.outcome import COPIED, Outcome
from unnoise.pipeline.streaming import at_strength

log = logging.getLogger(__name__)

SUFFIX = ".dng"
ProgressCallback = Callable[[float], None]
STATED, MEASURED = "the noise that the file states (NoiseProfile)", "the noise measured in the mosaic"


class Options(Protocol):
    """What is used of `process.DenoiseOptions`, which describes it."""

    @property
    def denoiser(self) -> Denoiser: ...  # noqa: D102
    @property
    def sigma(self) -> float | None: ...  # noqa: D102
    @property
    def strength(self) -> float: ...  # noqa: D102
    @property
    def value_range(self) -> tuple[float, float] | None: ...  # noqa: D102
    @property
    def min_level(self) -> float | None: ...  # noqa: D102
    @property
    def max_pixels(self) -> int: ...  # noqa: D102
    @property
    def overwrite(self) -> bool: ...  # noqa: D102
    @property
    def quality(self) -> int | None: ...  # noqa: D102
    @property
    def adjustments(self) -> Adjustments: ...  # noqa: D102


@dataclass(frozen=True)
class RawNoise(NoiseEstimate):
    """The noise of a raw file.

    Attributes:
        laws: the noise of each plane.
        facts: sensor, speed and camera, in one line.
        names: of the planes.
    """

    laws: tuple[ShotNoise, ...] = ()
    names: tuple[str, ...] = ()
    facts: str = ""

    @property
    def explanation(self) -> str:
        """Where the noise is from, and its variance at a signal x, of which black is 0 and white 1."""
        each = [f"{law.a:.3g} x + {law.b:.3g}" for law in self.laws]
        if len(set(each)) == 1:
            return f"{self.reason}, variance of x from black 0 to white 1: {each[0]}"
        each = [f"{name} {law}" for name, law in zip(self.names, each, strict=True)]
        return f"{self.reason}, variance of x from black 0 to white 1: {'; '.join(each)}"

    def __str__(self) -> str:
        """Describe the noise in one line."""
        return f"raw, {self.facts}: {self.explanation}"


@dataclass(frozen=True)
class CleanRaw:
    """A denoised raw file.

    Attributes:
        source: the file.
        mosaic: its denoised mosaic, uint16 `[H, W]`.
        left: the noise that is left, as `RawImage.noise_profile`.
        outcome: what was done.
    """

    source: RawImage
    mosaic: np.ndarray
    left: tuple[tuple[float, float], ...]
    outcome: Outcome

    def write(self, target: Path, options: Options, before_commit: CommitHook | None = None) -> None:
        """Write a file atomically; see `encode`."""
        data = self.encode(target.suffix, options.quality)
        picture.write_encoded(data, target, overwrite=options.overwrite, before_commit=before_commit)

    def encode(self, suffix: str, quality: int | None = None) -> bytes:
        """Return a file: a DNG for `.dng`, the developed image for other suffixes.

        Raises:
            UnnoiseError: the format cannot hold it, or cannot be written.
        """
        if suffix.lower() == SUFFIX:
            small = raw.develop(self.source, self.mosaic, half_size=True, rotated=False)
            return dng.encode(self.source, self.mosaic, dng.preview_of(small), self.left)
        bits = 8 * _header(self.source, suffix).dtype.itemsize
        developed = raw.develop(self.source, self.mosaic, bits=bits)
        metadata: dict[str, Any] = {}
        if (block := self.source.tags.exif) is not None:
            metadata["exif-data"] = exif_block.rotated(block, (developed.shape[1], developed.shape[0]))
        return picture.encode(picture.from_samples(developed, metadata), suffix, quality=quality)


def inspect(source: str | Path | bytes, *, max_pixels: int) -> RawNoise:
    """Return the noise of a raw file: that of its NoiseProfile, or else measured in the mosaic.

    Raises:
        UnnoiseError: as `raw.read`, or too few pixels are not saturated.
    """
    return noise_of(raw.read(source, max_pixels=max_pixels), _name(source))


def noise_of(source: RawImage, name: str) -> RawNoise:
    """Return the noise of a raw file.

    Args:
        source: the file.
        name: of it, for messages.

    Raises:
        UnnoiseError: too few pixels are not saturated.
    """
    signals = [plane.signal(source.mosaic) for plane in source.planes]
    if source.noise_profile:
        laws, reason = [ShotNoise(*source.noise_profile[plane.color]) for plane in source.planes], STATED
    else:
        law, reason = _measured(source, signals), MEASURED
        if law is None:
            if source.iso is None:
                raise UnnoiseError(f"{name}: too few pixels that are not saturated: its noise cannot be measured")
            law, reason = shot.typical(source.iso), f"the noise of a typical camera at ISO {source.iso:g}"
        laws = [law] * len(signals)
    levels = [law.sigma(float(np.mean(signal))) for law, signal in zip(laws, signals, strict=True)]
    line = float(np.mean([law.a for law in laws])), float(np.mean([law.b for law in laws])), 0.0
    iso = f"ISO {source.iso:g}" if source.iso else ""
    return RawNoise(
        "signal-dependent", _mean_square(levels), line=line, model="gray",
        reason=reason, laws=tuple(laws), names=tuple(plane.name for plane in source.planes),
        facts=", ".join(filter(None, [source.pattern, iso, source.camera])),
    )  # fmt: skip


def open_checked(source: str | Path | bytes, suffix: str, options: Options, error_map: Path | None = None) -> RawImage:
    """Read a raw file; check, before the work, that it can be written, and that the options have a meaning.

    Args:
        source: the raw file, or its bytes.
        suffix: of the output.
        options: the options.
        error_map: None, since there is none of raw files.

    Raises:
        UnnoiseError: one of them has no meaning for raw files, the file cannot be read, or the format cannot hold it.
    """
    name = _name(source)
    unused = {
        "--sigma": options.sigma, "--min-noise": options.min_level, "--range": options.value_range,
        "--error-map": error_map,
    }  # fmt: skip
    if given := [option for option, value in unused.items() if value is not None]:
        raise UnnoiseError(
            f"{name}: the noise of a raw file is measured in its mosaic: leave {' and '.join(given)} out"
        )
    if changed := options.adjustments.changed:
        log.warning("%s: %s: not for raw files, whose mosaic has no colors yet; left out", name, ", ".join(changed))
    image = raw.read(source, max_pixels=options.max_pixels)
    if suffix.lower() != SUFFIX and (why := formats.unsupported_reason(_header(image, suffix), suffix)):
        raise UnnoiseError(f"{name}: {why}; raw files are also written as {SUFFIX}")
    return image


def denoise(source: RawImage, options: Options, name: str, progress: ProgressCallback = lambda _: None) -> CleanRaw:
    """Denoise a raw file. Saturated areas and the masked border are kept; nothing is clipped at black.

    Args:
        source: the file.
        options: the options.
        name: of the file, for messages.
        progress: called with the fraction that is done.

    Raises:
        UnnoiseError: too few pixels are not saturated.
    """
    found, denoiser = noise_of(source, name), mosaic_denoiser(source, options.denoiser, name)
    outcome = Outcome(noise=found.kind, sigma=found.sigma, model=str(denoiser), reason=found.explanation)
    if options.strength == 0:
        outcome = replace(outcome, done=COPIED, model="", reason="the strength is 0")
        return CleanRaw(source, source.mosaic, _by_color(source, found.laws), outcome)
    noisy = [plane.signal(source.mosaic) for plane in source.planes]
    clean = denoiser(defects.corrected(noisy, found.laws), found.laws, source.pattern, progress)
    mosaic = source.mosaic.copy()
    for plane, before, after in zip(source.planes, noisy, clean, strict=True):
        plane.put(mosaic, np.where(_blown(before), before, at_strength(before, after, options.strength)))
    left = _measured(source, [plane.signal(mosaic) for plane in source.planes])
    left = left or ShotNoise(0.0, _rounding(source.planes[0]))
    return CleanRaw(source, mosaic, _by_color(source, [left] * len(noisy)), outcome)


def mosaic_denoiser(source: RawImage, denoiser: Denoiser, name: str) -> MosaicDenoiser:
    """Return what denoises a raw file: the network `raw` for "auto" and a Bayer sensor, else a model for images.

    Raises:
        UnnoiseError: the network is for Bayer sensors and this is none, or it is to be averaged over orientations.
    """
    bayer = source.pattern != "gray"
    if isinstance(denoiser, Auto) and bayer and denoisers.RAW in denoisers.bundled_files():
        denoiser = denoiser.open(denoisers.RAW)
    if not denoiser.mosaic:
        return PlaneByPlane(denoiser)
    if not bayer:
        raise UnnoiseError(f"{name}: '{denoiser}' is for sensors with a Bayer pattern: use auto")
    if isinstance(denoiser, Ensemble):
        raise UnnoiseError(
            f"{name}: a mosaic cannot be turned, since its colors would change place: leave --ensemble out"
        )
    return BayerNetwork(denoiser)


def denoise_bytes(data: bytes, options: Options, target: str | Path | None) -> tuple[bytes | None, Outcome]:
    """Denoise the bytes of a raw file; return those of a DNG, or write `target`; and what was done.

    Raises:
        UnnoiseError: as `open_checked` and `denoise`, or the target cannot be written.
    """
    suffix = SUFFIX if target is None else Path(target).suffix
    clean = denoise(open_checked(data, suffix, options), options, _name(data))
    if target is None:
        return clean.encode(suffix), clean.outcome
    make_folder(Path(target).parent)
    clean.write(Path(target), options)
    return None, clean.outcome


def _blown(signal: np.ndarray) -> np.ndarray:
    """Return where a pixel and all of its neighbors are saturated; single ones are noise."""
    return ndimage.binary_erosion(signal >= 1, np.ones((3, 3)), border_value=1)


def _measured(source: RawImage, signals: list[np.ndarray]) -> ShotNoise | None:
    """Return the noise of all planes; None if too few pixels are not saturated."""
    clipped = min(float(signal.min()) for signal in signals) >= 0 and min(plane.black for plane in source.planes) == 0
    return shot.measure(signals, 1 / source.planes[0].span, clipped_black=clipped)


def _rounding(plane: raw.Plane) -> float:
    """Return the variance of rounding to the values of a file."""
    return 1 / 12 / plane.span**2


def _by_color(source: RawImage, laws: list[ShotNoise] | tuple[ShotNoise, ...]) -> tuple[tuple[float, float], ...]:
    """Return the mean law of the planes of each color."""
    pairs = []
    for color in sorted({plane.color for plane in source.planes}):
        same = [(law.a, law.b) for law, plane in zip(laws, source.planes, strict=True) if plane.color == color]
        pairs.append(tuple(map(float, np.mean(same, axis=0))))
    return tuple(pairs)


def _header(source: RawImage, suffix: str) -> Header:
    """Return the header of the developed image: 16 bits where the format of a suffix holds them."""
    kind = formats.by_suffix(suffix)
    deep = kind is not None and "uint16" in kind.samples and kind.name not in ("AVIF", "HEIC")
    _, _, height, width = source.active
    if source.orientation > 4:
        height, width = width, height
    layout = Layout(1 if source.pattern == "gray" else 3)
    return Header(height, width, layout, np.dtype(np.uint16 if deep else np.uint8), {})


def _mean_square(levels: list[float]) -> float:
    return float(np.sqrt(np.mean(np.square(levels))))


def _name(source: str | Path | bytes) -> str:
    return "the image" if isinstance(source, bytes) else str(source)
