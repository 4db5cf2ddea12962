"""DICOM by pydicom: pixels in the units of the modality, such as Hounsfield units; all tags are carried.

What is written is a derived image (DICOM PS3.3, sections C.7.6.1.1.2 and C.12.4): it has an instance UID of its own,
says what was done to which image, and has the pixels uncompressed or with RLE. Everything else is as it was.
"""

from __future__ import annotations

import copy
import hashlib
import io
import logging
import uuid
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pixel_array
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from unnoise._version import __version__
from unnoise.errors import UnnoiseError
from unnoise.io.codecs import Opened
from unnoise.io.containers.blocks import Block, Blocks
from unnoise.io.formats import Header
from unnoise.io.layout import Layout

_PIXELS = ("PixelData", "FloatPixelData")
_GRAY, _COLOR = ("MONOCHROME1", "MONOCHROME2"), ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_STALE = {  # tags that show or sign the noisy image
    "IconImageSequence": "an icon",
    "DigitalSignaturesSequence": "a digital signature",
    "MACParametersSequence": "a digital signature",
}
_UUID_ROOT = "2.25."  # of UIDs that are made of UUIDs (PS3.5, section B.2)
_DESCRIPTION_LENGTH = 1024  # of DerivationDescription, whose type is ST
logging.getLogger("pydicom").addHandler(logging.NullHandler())  # odd tags are nobody's concern


@dataclass(frozen=True)
class Stored:
    """How pixels are stored, and the tags beside them.

    Attributes:
        dataset: all tags but the pixels.
        dtype: of the stored samples.
        bits: that are used of a sample.
        slope: of the modality's units, per stored unit.
        intercept: the modality's value of a stored 0.
    """

    dataset: Dataset
    dtype: np.dtype[Any]
    bits: int
    slope: float = 1.0
    intercept: float = 0.0

    @property
    def scaled(self) -> bool:
        """Whether values are other numbers than the stored ones."""
        return (self.slope, self.intercept) != (1.0, 0.0)

    def values(self, stored: np.ndarray) -> np.ndarray:
        """Return stored samples in the units of the modality."""
        if not self.scaled:
            return stored.astype(self.dtype, copy=False)
        return (stored * np.float64(self.slope) + self.intercept).astype(np.float32)

    def stored(self, values: np.ndarray) -> np.ndarray:
        """Return what `values` was made of, within the bits that are used."""
        if self.dtype.kind == "f":
            return values.astype(self.dtype)
        levels = np.rint((values.astype(np.float64) - self.intercept) / self.slope)
        low, high = (-(2 ** (self.bits - 1)), 2 ** (self.bits - 1)) if self.dtype.kind == "i" else (0, 2**self.bits)
        return np.clip(np.nan_to_num(levels), low, high - 1).astype(self.dtype)


def open_file(file: IO[bytes]) -> Opened:
    """Read all tags of a file."""
    dataset = pydicom.dcmread(file)
    dataset.buffer = None  # which would be copied with the tags
    if not any(name in dataset for name in _PIXELS):
        raise UnnoiseError("a DICOM file without pixels")
    real = "FloatPixelData" in dataset
    for name in _PIXELS:
        if name in dataset:
            del dataset[name]
    photometric, samples = str(dataset.PhotometricInterpretation), int(dataset.SamplesPerPixel)
    if photometric not in (*_GRAY, *_COLOR) or samples != (1 if photometric in _GRAY else 3):
        raise UnnoiseError(f"DICOM pixels of the kind {photometric} are not supported: convert them to RGB first")
    stored = _stored(dataset, real=real)
    padding = dataset.get("PixelPaddingValue")
    nodata = None if padding is None else float(stored.slope * int(padding) + stored.intercept)
    dtype = np.dtype(np.float32) if stored.scaled else stored.dtype
    blocks = Blocks("DICOM", (Block("tags", b"", title="DICOM tags"),), left_out=tuple(_left_out(dataset)))
    return Opened(
        int(dataset.Rows), int(dataset.Columns), Layout(1 if samples == 1 else 3, nodata=nodata), dtype,
        lambda file: stored.values(_pixels(file)), int(dataset.get("NumberOfFrames", 1) or 1),
        {"dicom": stored, "blocks": blocks},
    )  # fmt: skip


def encode(samples: np.ndarray, header: Header, quality: int | None) -> bytes:
    """Encode as an image that is derived from the source."""
    stored: Stored = header.metadata["dicom"]
    dataset = copy.deepcopy(stored.dataset)
    pixels = stored.stored(samples)
    _describe(dataset, pixels)
    syntax = dataset.file_meta.TransferSyntaxUID
    runs = syntax == RLELossless and pixels.dtype.kind != "f"
    if syntax.is_compressed or not syntax.is_little_endian:
        syntax = ExplicitVRLittleEndian
    dataset.file_meta.TransferSyntaxUID = syntax
    if samples.shape[2] == 3:
        dataset.PhotometricInterpretation, dataset.PlanarConfiguration = "RGB", 0
    data = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    if pixels.dtype.kind == "f":
        dataset.add_new("FloatPixelData", "OF", data)
    else:
        words = pixels.dtype.itemsize > 1 or syntax == ImplicitVRLittleEndian
        dataset.add_new("PixelData", "OW" if words else "OB", data + b"\0" * (len(data) % 2))
    if runs:
        dataset.compress(RLELossless, generate_instance_uid=False)
    file = io.BytesIO()
    pydicom.dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()


def _stored(dataset: Dataset, *, real: bool) -> Stored:
    if real:
        return Stored(dataset, np.dtype(np.float32), 32)
    allocated = int(dataset.BitsAllocated)
    if allocated not in (8, 16, 32):
        raise UnnoiseError(f"DICOM samples of {allocated} bits are not supported: convert them to 8 or 16 bits first")
    dtype = np.dtype(f"{'i' if int(dataset.PixelRepresentation) else 'u'}{allocated // 8}")
    slope, intercept = (
        float(dataset.get(name, usual)) for name, usual in (("RescaleSlope", 1), ("RescaleIntercept", 0))
    )
    bits = int(dataset.get("BitsStored", allocated))
    if not np.isfinite([slope, intercept]).all() or slope == 0 or not 1 <= bits <= allocated:
        raise ValueError(f"a rescale slope of {slope:g}, {bits} bits stored")
    return Stored(dataset, dtype, bits, slope, intercept)


def _pixels(file: IO[bytes]) -> np.ndarray:
    dataset = pydicom.dcmread(file)
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        return pixel_array(dataset)
    except Exception as error:
        if not syntax.is_encapsulated:
            raise
        raise UnnoiseError(
            f"pixels in {syntax.name} cannot be decoded: they are damaged, or pylibjpeg or python-gdcm is missing"
        ) from error


def _left_out(dataset: Dataset) -> list[str]:
    """Return the names of what is not carried."""
    names = list(dict.fromkeys(title for tag, title in _STALE.items() if tag in dataset))
    if _preamble_is_tiff(dataset):
        names.append("the TIFF header in front")
    syntax = dataset.file_meta.TransferSyntaxUID
    replaced = syntax.is_encapsulated and syntax != RLELossless
    return [*names, f"the compression ({syntax.name}): pixels are stored uncompressed"] if replaced else names


def _preamble_is_tiff(dataset: Dataset) -> bool:
    """Tell whether a file is a TIFF, too, whose directory points to pixels that will be elsewhere."""
    return (getattr(dataset, "preamble", None) or b"")[:4] in (b"II*\0", b"MM\0*")


def _describe(dataset: Dataset, pixels: np.ndarray) -> None:
    """Make a copy of the tags of an image those of an image that is derived from it."""
    source = str(dataset.get("SOPInstanceUID", ""))
    name = f"{source} {hashlib.sha256(pixels.tobytes()).hexdigest()}"
    new = UID(_UUID_ROOT + str(uuid.uuid5(uuid.NAMESPACE_OID, name).int))  # the same for the same result
    reference = Dataset()
    reference.ReferencedSOPClassUID = dataset.get("SOPClassUID", "")
    reference.ReferencedSOPInstanceUID = source
    dataset.SourceImageSequence = Sequence([*dataset.get("SourceImageSequence", []), reference])
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = new
    kinds = dataset.get("ImageType") or ["ORIGINAL", "PRIMARY"]
    dataset.ImageType = ["DERIVED", *([kinds] if isinstance(kinds, str) else list(kinds))[1:]]
    said = [dataset.get("DerivationDescription", ""), f"Denoised by unnoise {__version__}"]
    dataset.DerivationDescription = "; ".join(filter(None, said))[-_DESCRIPTION_LENGTH:]
    for tag in _STALE:
        if tag in dataset:
            del dataset[tag]
    if _preamble_is_tiff(dataset):
        dataset.preamble = bytes(128)
    for tag, value in (("SmallestImagePixelValue", pixels.min()), ("LargestImagePixelValue", pixels.max())):
        if tag in dataset:
            dataset[tag].value = int(value)
