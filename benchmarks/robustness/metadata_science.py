"""Kinds of metadata of the formats that libraries beside libvips read, as `metadata_kinds` has those of the others."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import OpenEXR
import pillow_heif
import pydicom
from astropy.io import fits
from metadata_kinds import ICC, Found, Kind, camera, opened, profile, storage, tiff, xmp
from PIL import Image

from tests.io import metadata_files as files
from tests.io.metadata_files import XMP, photograph

OTHER_SUFFIXES = {"HEIC": ".heic", "JXL": ".jxl", "JP2": ".jp2", "EXR": ".exr", "HDR": ".hdr", "DICOM": ".dcm",
                  "FITS": ".fits"}  # fmt: skip
pillow_heif.register_heif_opener()
_JXL, _JP2 = b"\0\0\0\x0cJXL \r\n\x87\n", b"\0\0\0\x0cjP  \r\n\x87\n"


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, name) + content


def boxes(data: bytes, mark: bytes) -> dict[bytes, bytes]:
    """Return the boxes of a file that begins with a mark; nothing of other files."""
    found, place = {}, 0
    while data.startswith(mark) and place < len(data):
        size, name = struct.unpack_from(">I4s", data, place)
        found[name] = data[place + 8 : place + size] if size else data[place + 8 :]
        place += size or len(data)
    return found


def heic(**options: Any) -> Callable[[], bytes]:
    def make() -> bytes:
        file = io.BytesIO()
        pillow_heif.from_pillow(Image.fromarray(photograph())).save(file, quality=95, **options)
        return file.getvalue()

    return make


def jxl(*own: bytes, **options: Any) -> Callable[[], bytes]:
    pixels = bytes(imagecodecs.jpegxl_encode(photograph(), **(options or {"lossless": True})))
    return lambda: _JXL + box(b"ftyp", b"jxl \0\0\0\0jxl ") + b"".join(own) + box(b"jxlc", pixels)


def jxl_camera(data: bytes) -> Found:
    """Return what `metadata_kinds.camera` does, of a JPEG XL, too."""
    if not data.startswith(_JXL):
        return camera(data)
    found = Image.Exif()
    found.load(b"Exif\0\0" + boxes(data, _JXL).get(b"Exif", bytes(4))[4:])
    shot = found.get_ifd(0x8769)
    return (found[0x010F], shot[0x829A], shot[0x927C]) if 0x927C in shot else None


def jxl_xmp(data: bytes) -> Found:
    return boxes(data, _JXL).get(b"xml ") if data.startswith(_JXL) else xmp(data)


def jxl_box(name: bytes) -> Callable[[bytes], Found]:
    return lambda data: boxes(data, _JXL).get(name)


def is_lossless(data: bytes) -> Found:
    if data[:2] != b"\xff\x0a" and not data.startswith(_JXL):
        return None
    return bool((imagecodecs.jpegxl_decode(data) == photograph()).all())


def jp2() -> bytes:
    data = bytes(imagecodecs.jpeg2k_encode(photograph(), level=0, codecformat="jp2", reversible=True))
    place = data.index(b"jp2c") - 4
    return data[:place] + box(b"xml ", b"<a/>") + data[place:]


LIGHT = np.ascontiguousarray(photograph() / np.float32(64), np.float32)


def exr() -> bytes:
    file = io.BytesIO()
    colors = {name: np.ascontiguousarray(LIGHT[:, :, at].astype(np.float16)) for at, name in enumerate("RGB")}
    head = {"type": OpenEXR.scanlineimage, "compression": OpenEXR.PIZ_COMPRESSION, "owner": "Jane"}
    OpenEXR.File(head, {**colors, "Z": LIGHT[:, :, 0].copy()}).write(file)
    return file.getvalue()


def in_exr(find: Callable[[Any], Found]) -> Callable[[bytes], Found]:
    """Return a function that finds something in the first part of an OpenEXR file."""

    def found(data: bytes) -> Found:
        if data[:4] != b"\x76\x2f\x31\x01":
            return None
        with OpenEXR.File(io.BytesIO(data), separate_channels=True) as file:
            return find(file.parts[0])

    return found


def hdr() -> bytes:
    head = b"#?RADIANCE\nEXPOSURE=2.0\nFORMAT=32-bit_rle_rgbe\n\n-Y %d +X %d\n" % LIGHT.shape[:2]
    return head + bytes(imagecodecs.rgbe_encode(LIGHT, header=False, rle=True, out=10**6))


def exposure(data: bytes) -> Found:
    return b"EXPOSURE=2.0" in data or None if data.startswith(b"#?") else None


def dicom(syntax: str = pydicom.uid.ExplicitVRLittleEndian) -> Callable[[], bytes]:
    def make() -> bytes:
        dataset, file = pydicom.Dataset(), io.BytesIO()
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
        dataset.PatientName = "Doe^Jane"
        dataset.private_block(0x0009, "A MAKER", create=True).add_new(1, "OB", b"\1\2\3\4")
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.Rows, dataset.Columns = photograph().shape[:2]
        dataset.BitsAllocated = dataset.BitsStored = 8
        dataset.HighBit, dataset.PixelRepresentation = 7, 0
        dataset.add_new("PixelData", "OB", photograph()[:, :, 0].tobytes())
        if syntax == pydicom.uid.RLELossless:
            dataset.compress(syntax, generate_instance_uid=False)
        pydicom.dcmwrite(file, dataset, enforce_file_format=True)
        return file.getvalue()

    return make


def in_dicom(find: Callable[[pydicom.Dataset], Found]) -> Callable[[bytes], Found]:
    return lambda data: find(pydicom.dcmread(io.BytesIO(data))) if data[128:132] == b"DICM" else None


def fits_file() -> bytes:
    file = io.BytesIO()
    unit = fits.PrimaryHDU(photograph()[:, :, 0].astype(np.int16))
    unit.header["CTYPE1"] = "RA---TAN"
    fits.HDUList([unit, fits.ImageHDU(np.zeros((4, 4), np.int16))]).writeto(file)
    return file.getvalue()


def in_fits(find: Callable[[Any], Found]) -> Callable[[bytes], Found]:
    def found(data: bytes) -> Found:
        if not data.startswith(b"SIMPLE"):
            return None
        with fits.open(io.BytesIO(data)) as units:
            return find(units)

    return found


def lab() -> bytes:
    return tiff(np.array(Image.fromarray(photograph()).convert("LAB")), photometric="cielab", metadata=None)


OTHER_KINDS = [
    Kind("TIFF", "CIE L*a*b*", lab, lambda data: opened(data).mode, only_same=True),
    Kind("TIFF", "70 data channels", lambda: tiff(np.repeat(photograph()[:, :, :1], 70, 2), photometric="minisblack"),
         storage, only_same=True),
    Kind("HEIC", "EXIF with maker note", heic(exif=files.exif()), camera, "EXIF"),
    Kind("HEIC", "XMP", heic(xmp=XMP), lambda data: XMP if XMP in data else xmp(data), "XMP"),
    Kind("HEIC", "color profile", heic(icc_profile=ICC), profile, "a color profile"),
    Kind("JXL", "EXIF with maker note", jxl(box(b"Exif", bytes(4) + files.exif()[6:])), jxl_camera, "EXIF"),
    Kind("JXL", "XMP", jxl(box(b"xml ", XMP)), jxl_xmp, "XMP"),
    Kind("JXL", "other boxes", jxl(box(b"abcd", b"of a program")), jxl_box(b"abcd"), "JPEG XL abcd"),
    Kind("JXL", "restoring a JPEG", jxl(box(b"jbrd", b"of a JPEG")), jxl_box(b"jbrd"), "restored"),
    Kind("JXL", "lossless", jxl(), is_lossless, only_same=True),
    Kind("JP2", "boxes", jp2, lambda data: boxes(data, _JP2).get(b"xml "), "the boxes of JPEG 2000"),
    Kind("EXR", "attributes", exr, in_exr(lambda part: part.header.get("owner")), "the attributes of OpenEXR"),
    Kind("EXR", "compression", exr, in_exr(lambda part: str(part.header["compression"])), only_same=True),
    Kind("EXR", "halfs", exr, in_exr(lambda part: str(part.channels["R"].pixels.dtype)), only_same=True),
    Kind("EXR", "other channels", exr, in_exr(lambda part: part.channels["Z"].pixels.sum()), "OpenEXR channel Z"),
    Kind("HDR", "header", hdr, exposure, "the header of Radiance HDR"),
    Kind("DICOM", "tags", dicom(), in_dicom(lambda tags: str(tags.PatientName)), "DICOM tags"),
    Kind("DICOM", "private tags", dicom(), in_dicom(lambda tags: tags[0x0009, 0x1001].value), "DICOM tags"),
    Kind("DICOM", "RLE", dicom(pydicom.uid.RLELossless), in_dicom(lambda tags: tags.file_meta.TransferSyntaxUID),
         only_same=True),
    Kind("FITS", "WCS", fits_file, in_fits(lambda units: units[0].header.get("CTYPE1")), "the FITS header"),
    Kind("FITS", "further images", fits_file, in_fits(lambda units: units[1].data.shape), "the FITS header"),
]  # fmt: skip
