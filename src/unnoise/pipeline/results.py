"""What comes of denoising a picture, and of a job."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unnoise.io import Picture
from unnoise.pipeline.jobs import Job
from unnoise.pipeline.outcome import Outcome


@dataclass(frozen=True)
class DenoisedPicture:
    """A denoised image.

    Attributes:
        picture: the image.
        outcome: what was done to it, and why.
        sigma: the noise level that the denoiser was called with, a fraction of the full scale; None if it takes none.
        error: its expected root mean square error, float32 `[H, W]` in 8-bit units, pages below each other; None if it
            was not requested.
        caveat: why the scale of the error is uncertain, in one line, or "".
    """

    picture: Picture
    outcome: Outcome
    sigma: float | None
    error: np.ndarray | None = None
    caveat: str = ""


@dataclass(frozen=True)
class JobResult:
    """The result of a job.

    Attributes:
        job: the job.
        error: why it failed, in one line; None if the target was written.
        model: the denoiser; "" if the image was copied.
        sigma: the noise level that was given or found, a fraction of the full scale; None if there was neither.
        megapixels: size of the image.
        seconds: from reading the file to writing it.
        skipped: an earlier run did it, with the same options and the same input.
        done: "denoised" or "copied", see `Outcome`; "" if it failed.
        noise: kind of noise found; None if none was estimated.
        reason: why that was done, in one line.
    """

    job: Job
    error: str | None = None
    model: str = ""
    sigma: float | None = None
    megapixels: float = 0.0
    seconds: float = 0.0
    skipped: bool = False
    done: str = ""
    noise: str | None = None
    reason: str = ""

    @property
    def outcome(self) -> Outcome:
        """What was done, and why."""
        return Outcome(self.done, self.noise, self.sigma, self.model, self.reason)

    def to_dict(self) -> dict[str, str | float | None]:
        """Return the values as JSON has them, the noise level in 8-bit units."""
        return {
            "source": str(self.job.source),
            "target": str(self.job.target),
            "error": self.error,
            **self.outcome.to_dict(),
            "megapixels": round(self.megapixels, 3),
            "seconds": round(self.seconds, 3),
            "skipped": self.skipped,
        }
