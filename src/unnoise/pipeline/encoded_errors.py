"""Map the expected error of an encoded image in memory, strip by strip: neither the image nor its result is held."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unnoise import io
from unnoise.io import reader
from unnoise.pipeline import error_maps, page_models, streaming
from unnoise.pipeline.outcome import Outcome
from unnoise.pipeline.process import DenoiseOptions, ProgressCallback

_SUFFIX = ".png"


@dataclass(frozen=True)
class ErrorMap:
    """The expected error of a denoised image.

    Attributes:
        samples: uint16 `[H, W]`, upright, pages below each other; white is 255 in 8-bit units, divided by the gain.
        outcome: what was done to the image.
        sigma: the noise level that the denoiser was called with, a fraction of the full scale; None if it takes none.
    """

    samples: np.ndarray
    outcome: Outcome
    sigma: float | None


def map_errors(
    data: bytes,
    options: DenoiseOptions,
    progress: ProgressCallback = lambda _: None,
    *,
    gain: float = 1.0,
    max_pages: int = reader.MAX_PAGES,
    page: int | None = None,
) -> ErrorMap:
    """Map the expected error of the result for an encoded image.

    The image is decoded up to three times: in windows, to estimate its noise; around its center, to measure the scale
    of the map of a denoiser that is not calibrated; and from top to bottom.

    Args:
        data: the encoded image.
        options: the options; their strength must be 1.
        progress: called with the fraction that is done.
        gain: factor of the map.
        max_pages: as for `io.read`.
        page: as for `io.read`.

    Raises:
        UnnoiseError: as `io.read`, or the strength is not 1.
    """
    options.check_own_result()

    def read() -> io.RowReader:
        return io.RowReader(data, max_pixels=options.max_pixels, max_pages=max_pages, page=page)

    header = read().header
    progress(0.0)
    models, errors = streaming.models_of(read, options.resolve, errors=True)
    denoiser, sigma = page_models.noisiest(models)
    assert errors is not None
    samples = np.zeros((header.height, header.width), np.uint16)
    if not options.is_noop(sigma):
        progress(0.0)
        scales, top = error_maps.page_scales(read(), errors), 0
        for strip, error in streaming.denoised_strips(read(), models, 1.0, progress, errors, scales):
            assert error is not None
            samples[top : top + len(strip)] = error_maps.to_samples(np.float32(gain) * error, _SUFFIX)
            top += len(strip)
            del strip, error  # before the next strip is computed
    if (orientation := header.metadata.get("orientation", 1)) > 1 and header.pages == 1:
        samples = reader.upright(samples, orientation)
    outcome = Outcome.of(denoiser, sigma, options.strength)
    return ErrorMap(samples, outcome, None if sigma is None else float(sigma))
