"""FITS by astropy: the pixels of the first image of a file are replaced, and all else stays, byte for byte.

FITS standard 4.0 (Pence et al. 2010; IAU FITS Working Group 2018): values are `BZERO + BSCALE * stored`, `BLANK` is the
stored integer of missing ones, and the first row is at the bottom.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from astropy.io import fits

from unnoise.errors import UnnoiseError
from unnoise.io.codecs import Opened
from unnoise.io.containers.blocks import Block, Blocks
from unnoise.io.formats import Header
from unnoise.io.layout import Layout

_STORED = {8: ">u1", 16: ">i2", 32: ">i4", -32: ">f4", -64: ">f8"}  # by BITPIX
_UNSIGNED = {">i2": 2**15, ">i4": 2**31}  # BZERO of unsigned integers (section 5.2.5)
_CHECKSUMS = ("CHECKSUM", "DATASUM")


@dataclass(frozen=True)
class Stored:
    """Where the pixels of an image stand in a file, and how.

    Attributes:
        file: all of it.
        hdu: number of the header and data unit.
        start: position of the pixels.
        dtype: of the stored samples.
        scale: `BSCALE`.
        zero: `BZERO`.
        pages: planes of the image.
        height: of a plane.
        width: of a plane.
    """

    file: bytes
    hdu: int
    start: int
    dtype: np.dtype[Any]
    scale: float
    zero: float
    pages: int
    height: int
    width: int

    @property
    def values_dtype(self) -> np.dtype[Any]:
        """The type of the values: that of the stored samples, its unsigned one, or 32-bit floats."""
        if (self.scale, self.zero) == (1, 0) and self.dtype.itemsize < 8:
            return self.dtype.newbyteorder("=")
        if self.scale == 1 and self.zero == _UNSIGNED.get(self.dtype.str):
            return np.dtype(f"u{self.dtype.itemsize}")
        return np.dtype(np.float32)

    def values(self) -> np.ndarray:
        """Return the values `[pages * height, width, 1]`, from the top down."""
        count = self.pages * self.height * self.width
        stored = np.frombuffer(self.file, self.dtype, count, self.start)
        scaled = stored if (self.scale, self.zero) == (1, 0) else stored * np.float64(self.scale) + self.zero
        return _flipped(scaled.astype(self.values_dtype), self)

    def with_values(self, values: np.ndarray) -> bytes:
        """Return the file with other values."""
        levels = (_flipped(values, self).astype(np.float64) - self.zero) / self.scale
        if self.dtype.kind != "f":
            limits = np.iinfo(self.dtype)
            levels = np.rint(np.clip(np.nan_to_num(levels), limits.min, limits.max))
        data = levels.astype(self.dtype).tobytes()
        return self.file[: self.start] + data + self.file[self.start + len(data) :]


def open_file(file: IO[bytes]) -> Opened:
    """Read the headers of a file."""
    data = file.read()
    noisy = ()
    units: Any  # of which the types of astropy say less than is true
    with fits.open(io.BytesIO(data), memmap=False, do_not_scale_image_data=True) as units:
        found = [number for number, unit in enumerate(units) if unit.is_image and unit.header["NAXIS"] >= 2]
        images = [number for number in found if not isinstance(units[number], fits.CompImageHDU)]
        if not images:
            compressed = bool(found) or any(unit.header.get("ZIMAGE") for unit in units)
            advice = "its images are compressed in tiles: use funpack first" if compressed else "it holds no image"
            raise UnnoiseError(f"a FITS file that is not read: {advice}")
        if len(found) > 1:
            noisy = (f"{len(found) - 1} further image{'s' * (len(found) > 2)}",)
        header = units[images[0]].header
        start = units[images[0]].fileinfo()["datLoc"]
    dtype = _STORED.get(header["BITPIX"])
    if dtype is None:
        raise UnnoiseError(
            f"FITS samples with BITPIX {header['BITPIX']} are not supported: convert them to floats first"
        )
    width, height, *planes = (header[f"NAXIS{axis}"] for axis in range(1, header["NAXIS"] + 1))
    stored = Stored(
        data, images[0], start, np.dtype(dtype), float(header.get("BSCALE", 1)), float(header.get("BZERO", 0)),
        int(np.prod(planes)), height, width,
    )  # fmt: skip
    if stored.scale == 0 or not np.isfinite([stored.scale, stored.zero]).all():
        raise ValueError(f"BSCALE {stored.scale:g}, BZERO {stored.zero:g}")
    if start + stored.pages * height * width * stored.dtype.itemsize > len(data):
        raise ValueError("too short")
    blank = header.get("BLANK") if stored.dtype.kind != "f" else None
    nodata = None if blank is None else float(blank * stored.scale + stored.zero)
    blocks = Blocks("FITS", (Block("header", b"", title="the FITS header"),), noisy=noisy)
    return Opened(
        height, width, Layout(1, nodata=nodata), stored.values_dtype, lambda _: stored.values(), stored.pages,
        {"fits": stored, "blocks": blocks},
    )  # fmt: skip


def encode(samples: np.ndarray, header: Header, quality: int | None) -> bytes:
    """Encode as the source with other pixels; without one, with the smallest header."""
    stored: Stored | None = header.metadata.get("fits")
    if stored is None:
        planes = samples[:, :, 0].reshape(header.pages, -1, header.width)[:, ::-1]
        file = io.BytesIO()
        fits.PrimaryHDU(planes if header.pages > 1 else planes[0]).writeto(file)
        return file.getvalue()
    return _with_checksums(stored.with_values(samples), stored)


def _flipped(values: np.ndarray, stored: Stored) -> np.ndarray:
    return values.reshape(stored.pages, stored.height, stored.width, 1)[:, ::-1].reshape(-1, stored.width, 1)


def _with_checksums(data: bytes, stored: Stored) -> bytes:
    """Return a file with the checksums of its image renewed, if it has any."""
    units: Any
    with fits.open(io.BytesIO(data), memmap=False, do_not_scale_image_data=True) as units:
        unit = units[stored.hdu]
        present = [name for name in _CHECKSUMS if name in unit.header]
        if not present:
            return data
        unit.data  # noqa: B018  (is read)
        comments = {name: unit.header.comments[name] for name in present}  # which the checksum covers, too
        if "DATASUM" in present:
            unit.add_datasum(when=comments["DATASUM"])
        if "CHECKSUM" in present:
            unit.add_checksum(when=comments["CHECKSUM"], override_datasum=True)
        place, text = unit.fileinfo()["hdrLoc"], unit.header.tostring().encode("ascii")
        return data[:place] + text + data[stored.start :] if place + len(text) == stored.start else data
