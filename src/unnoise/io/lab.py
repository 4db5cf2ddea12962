"""TIFF files in CIE L*a*b*: their colors as RGB, which denoisers know, and back.

RGB is that of sRGB (IEC 61966-2-1), with white at (1, 1, 1) and not clipped, so that colors that sRGB cannot show come
back, too. The white of L*a*b* is D50, as in files of Photoshop and in ICC profiles. The samples are those of the "Adobe
Photoshop TIFF Technical Notes" (2002) and of the technical notes of PageMaker 6.0 (Adobe, 1995).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from unnoise.io.formats import Header
from unnoise.io.layout import Layout

FIELD = "tiff-lab"
"""Field of the metadata: the `Encoding` of the file."""
CIELAB, ICCLAB = 8, 9
"""PhotometricInterpretation (TIFF 6.0, section 23; PageMaker 6.0)."""

_WHITE = np.array([0.96422, 1.0, 0.82521])  # XYZ of D50
_FROM_XYZ = np.array(
    [
        [3.1338561, -1.6168667, -0.4906146],
        [-0.9787684, 1.9161415, 0.0334540],
        [0.0719453, -0.2289914, 1.4052427],
    ]
)  # linear sRGB of XYZ relative to D50 (Bradford; brucelindbloom.com)
_FROM_XYZ /= (_FROM_XYZ @ _WHITE)[:, np.newaxis]  # white is exactly 1
_TO_XYZ = np.linalg.inv(_FROM_XYZ)
_EDGE = 6 / 29  # of the straight part of the cube root in L*a*b* (CIE 15:2004)
_ROWS = 256  # that are converted at once


@dataclass(frozen=True)
class Encoding:
    """How L*a*b* is stored.

    Attributes:
        photometric: `CIELAB` (a* and b* are signed) or `ICCLAB` (they have an offset).
        bits: of a sample, 8 or 16.
    """

    photometric: int
    bits: int

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored samples."""
        return np.dtype(np.uint8 if self.bits == 8 else np.uint16)

    @property
    def _lightness(self) -> float:
        """The sample of L* = 100."""
        return {8: 255.0, 16: 0xFF00 if self.photometric == ICCLAB else 0xFFFF}[self.bits]

    def decode(self, samples: np.ndarray) -> np.ndarray:
        """Return L*a*b*, float64, of stored samples `[..., 3]`."""
        unit, wide = 2.0 ** (self.bits - 8), 2**self.bits
        lab = samples.astype(np.float64)
        lab[..., 0] *= 100 / self._lightness
        ab = lab[..., 1:]
        ab -= wide / 2 if self.photometric == ICCLAB else np.where(ab >= wide / 2, wide, 0)
        ab /= unit
        return lab

    def encode(self, lab: np.ndarray) -> np.ndarray:
        """Return stored samples of L*a*b*, rounded to nearest; what cannot be stored is clipped, NaN becomes 0."""
        unit, wide = 2.0 ** (self.bits - 8), 2**self.bits
        codes = np.nan_to_num(lab).copy()
        codes[..., 0] = np.clip(np.rint(codes[..., 0] * (self._lightness / 100)), 0, wide - 1)
        ab = np.clip(np.rint(codes[..., 1:] * unit), -wide / 2, wide / 2 - 1)
        codes[..., 1:] = ab + wide / 2 if self.photometric == ICCLAB else np.where(ab < 0, ab + wide, ab)
        return codes.astype(self.dtype)

    def to_rgb(self, samples: np.ndarray) -> None:
        """Convert stored samples, float32 `[H, W, 3]`, to RGB in place."""
        for top in range(0, len(samples), _ROWS):
            samples[top : top + _ROWS] = rgb_of(self.decode(samples[top : top + _ROWS]))

    def from_rgb(self, pixels: np.ndarray) -> np.ndarray:
        """Return the stored samples of RGB `[H, W, 3]`."""
        rows = range(0, len(pixels), _ROWS)
        return np.concatenate([self.encode(lab_of(pixels[top : top + _ROWS])) for top in rows])

    def stored(self, header: Header) -> Header:
        """Return the header of the samples in the file, which are three channels of integers."""
        return replace(header, dtype=self.dtype, layout=Layout(3))


def rgb_of(lab: np.ndarray) -> np.ndarray:
    """Return sRGB of L*a*b*, `[..., 3]`, not clipped.

    >>> rgb_of(np.array([[0.0, 0, 0], [100, 0, 0]])).round(9).tolist()
    [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]
    """
    middle = (lab[..., 0] + 16) / 116
    roots = np.stack([middle + lab[..., 1] / 500, middle, middle - lab[..., 2] / 200], axis=-1)
    relative = np.where(roots > _EDGE, roots**3, 3 * _EDGE**2 * (roots - 4 / 29))
    linear = (relative * _WHITE) @ _FROM_XYZ.T
    size = np.abs(linear)
    return np.sign(linear) * np.where(size <= 0.0031308, 12.92 * size, 1.055 * size ** (1 / 2.4) - 0.055)


def lab_of(rgb: np.ndarray) -> np.ndarray:
    """Return L*a*b* of sRGB, `[..., 3]`."""
    values = rgb.astype(np.float64)
    size = np.abs(values)
    linear = np.sign(values) * np.where(size <= 0.04045, size / 12.92, ((size + 0.055) / 1.055) ** 2.4)
    relative = (linear @ _TO_XYZ.T) / _WHITE
    roots = np.where(relative > _EDGE**3, np.cbrt(relative), relative / (3 * _EDGE**2) + 4 / 29)
    x, y, z = np.moveaxis(roots, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)
