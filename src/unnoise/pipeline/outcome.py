"""What was done to an image, and why: as values, and in plain words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unnoise.denoisers.base import Denoiser, Sigma
from unnoise.units import to_8bit

DENOISED, COPIED = "denoised", "copied"
PLANNED = "planned"
"""What `process.check_file` reports: nothing was done."""

_KINDS = {
    "gaussian": "Gaussian noise",
    "signal-dependent": "signal-dependent noise",
    "impulse": "impulse noise",
    "correlated": "correlated noise",
    "mixed": "impulses and other noise",
    "other": "noise",
}


@dataclass(frozen=True)
class Outcome:
    """What was done to an image.

    Attributes:
        done: `DENOISED`, `COPIED` or `PLANNED`.
        noise: kind of noise found, see `NoiseEstimate`; None if none was estimated.
        sigma: noise level that was given or found, a fraction of the full scale; None if there was neither.
        model: the denoiser; "" if the image was copied.
        reason: why, in one line.
    """

    done: str = DENOISED
    noise: str | None = None
    sigma: float | None = None
    model: str = ""
    reason: str = ""

    @classmethod
    def of(cls, denoiser: Denoiser, sigma: Sigma | None, strength: float) -> Outcome:
        """Return the outcome for an image.

        Args:
            denoiser: as `DenoiseOptions.resolve` returns it, of a finite number of images.
            sigma: the same.
            strength: as for `DenoiseOptions`.
        """
        found = denoiser.estimate
        level = (None if found is None else found.sigma) if sigma is None else float(np.mean(sigma))
        kind = None if found is None else found.kind
        if strength == 0:
            return cls(COPIED, kind, level, reason="the strength is 0")
        if found is not None:
            reason = found.explanation
        else:
            reason = "the noise level is given" if sigma is not None else "the model needs no estimate of the noise"
        if sigma is not None and not np.any(sigma):
            return cls(COPIED, kind, level, reason=reason if found else "the noise level is given as 0")
        return cls(DENOISED, kind, level, str(denoiser), reason)

    def to_dict(self) -> dict[str, str | float | None]:
        """Return the values as JSON has them, the noise level in 8-bit units."""
        return {
            "done": self.done or None,
            "noise": self.noise,
            "sigma": None if self.sigma is None else round(to_8bit(self.sigma), 2),
            "model": self.model or None,
            "reason": self.reason,
        }

    def __str__(self) -> str:
        """Say in one line what was found, if anything was looked for, and what was done; sigma in 8-bit units."""
        if self.done == PLANNED:
            return "would be written"
        if self.done == COPIED:
            return f"no noise found, copied ({self.reason})" if self.noise == "none" else f"copied: {self.reason}"
        applied = f"denoised with {self.model}"
        if self.noise == "none":
            return f"no noise found, {applied} all the same"
        sigma = "" if self.sigma is None or self.noise == "impulse" else f"sigma {to_8bit(self.sigma):.1f}"
        if self.noise is None:
            return f"{applied} at {sigma}" if sigma else applied
        return ", ".join(filter(None, [_KINDS[self.noise], sigma, applied]))
