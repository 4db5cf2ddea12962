"""Small valid files of all supported formats and bit depths, written by other libraries."""

from __future__ import annotations

import io
from typing import Any

import imagecodecs
import numpy as np
import OpenEXR
import pillow_heif
import pydicom
import pyvips
import tifffile
from astropy.io import fits
from PIL import Image


def files(seed: int = 0, size: tuple[int, int] = (40, 56)) -> dict[str, bytes]:
    """Return files, name with suffix -> bytes.

    Args:
        seed: seed of the noise in the images.
        size: height and width in pixels.
    """
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[0], : size[1]] / 15
    waves = np.stack([0.5 + 0.4 * np.sin(rows * (1 + 0.4 * c) + columns - c) for c in range(4)], axis=2)
    noisy = np.clip(waves + rng.normal(0, 0.06, waves.shape), 0, 1)
    flat, deep, real = (noisy * 255).astype(np.uint8), (noisy * 65535).astype(np.uint16), noisy.astype(np.float32)
    result = _by_pillow(flat) | _by_tifffile(noisy, flat, deep, real) | _by_codecs(flat, deep, real)
    for bits in (8, 10, 12):
        samples = flat if bits == 8 else deep
        image = pyvips.Image.new_from_array(samples[:, :, :3], interpretation="srgb" if bits == 8 else "rgb16")
        result[f"{bits}.avif"] = image.heifsave_buffer(compression="av1", bitdepth=bits)
    result["alpha.avif"] = pyvips.Image.new_from_array(flat, interpretation="srgb").heifsave_buffer(compression="av1")
    result["deep.png"] = pyvips.Image.new_from_array(deep, interpretation="rgb16").pngsave_buffer()
    return result


def _by_pillow(flat: np.ndarray) -> dict[str, bytes]:
    gray, rgb, rgba = (Image.fromarray(array) for array in (flat[:, :, 0], flat[:, :, :3].copy(), flat))
    gray_alpha, cmyk = Image.merge("LA", [gray, rgba.getchannel("A")]), Image.fromarray(flat, "CMYK")
    rotated = Image.Exif()
    rotated[0x0112], rotated[0x010E] = 6, "a specimen"
    frames = [rgb.rotate(90 * turn, expand=False) for turn in (2, 4)]
    plain = {"gray": gray, "rgb": rgb}
    with_alpha = {"rgba": rgba, "la": gray_alpha, **plain}
    kinds = {
        "jpg": ("JPEG", {**plain, "cmyk": cmyk}),
        "png": ("PNG", {**with_alpha, "palette": rgb.quantize(32), "bilevel": gray.convert("1")}),
        "tif": ("TIFF", {**with_alpha, "cmyk": cmyk, "bilevel": gray.convert("1")}),
        "webp": ("WEBP", {"rgb": rgb, "rgba": rgba}),
        "gif": ("GIF", {"palette": rgb.quantize(64), "gray": gray}),
    }
    result = {
        f"{name}.{suffix}": _saved(image, format)
        for suffix, (format, images) in kinds.items()
        for name, image in images.items()
    }
    result |= {
        f"animation.{suffix}": _saved(rgb, kinds[suffix][0], save_all=True, append_images=frames, duration=80)
        for suffix in ("gif", "webp", "tif")
    }
    result |= {f"rotated.{suffix}": _saved(rgb, kinds[suffix][0], exif=rotated) for suffix in ("jpg", "png", "webp")}
    result["coarse.jpeg"] = _saved(rgb, "JPEG", quality=60, subsampling="4:2:0", progressive=True)
    return result


def _by_tifffile(noisy: np.ndarray, flat: np.ndarray, deep: np.ndarray, real: np.ndarray) -> dict[str, bytes]:
    gray = noisy[:, :, 0]
    arrays = {
        "twelve": (gray * 4095).astype(np.uint16),
        "int8": (gray * 127).astype(np.int8),
        "int16": (gray * 9000 - 3000).astype(np.int16),
        "uint32": (gray * 1e6).astype(np.uint32),
        "int32": (gray * 1e6 - 5e5).astype(np.int32),
        "float": real[:, :, 0],
        "counts": real[:, :, 0] * 5000,
        "half": real[:, :, 0].astype(np.float16),
    }
    result = {f"{name}.tiff": _tiff(array, photometric="minisblack") for name, array in arrays.items()}
    result |= {
        f"{name}.tif": _tiff(rgb[:, :, :3], photometric="rgb") for name, rgb in (("deep", deep), ("hdr", real * 3))
    }
    stack = np.stack([deep[:, :, 0], deep[::-1, :, 0], deep[:, ::-1, 0]])
    result["imagej.tif"], result["ome.tif"] = _tiff(stack, imagej=True), _tiff(stack, ome=True)
    result["tiles.tif"] = _tiff(flat[:, :, :3], photometric="rgb", tile=(16, 16), compression="deflate")
    result["planes.tif"] = _tiff(flat[:, :, :3].transpose(2, 0, 1), photometric="rgb", planarconfig="separate")
    result["big.tif"] = _tiff(flat[:, :, :3], photometric="rgb", bigtiff=True, byteorder=">")
    return result


def _by_codecs(flat: np.ndarray, deep: np.ndarray, real: np.ndarray) -> dict[str, bytes]:
    """Return files of the formats that libvips does not read."""
    height, width = flat.shape[:2]
    size = b"%d %d" % (width, height)
    rgb = Image.fromarray(flat[:, :, :3].copy())
    heif = io.BytesIO()
    pillow_heif.from_pillow(rgb).save(heif, quality=90)
    return {
        "rgb.bmp": _saved(rgb, "BMP"),
        "palette.bmp": _saved(rgb.quantize(32), "BMP"),
        "gray.pgm": _saved(Image.fromarray(flat[:, :, 0]), "PPM"),
        "deep.ppm": b"P6 %b 65535\n" % size + deep[:, :, :3].astype(">u2").tobytes(),
        "plain.pgm": b"P2 %b 255\n" % size + b" ".join(b"%d" % value for value in flat[:, :, 0].ravel()),
        "rgb.pfm": b"PF\n%b\n-1.0\n" % size + real[::-1, :, :3].astype("<f4").tobytes(),
        "rgb.heic": heif.getvalue(),
        "alpha.pam": b"P7\nWIDTH %d\nHEIGHT %d\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n" % (width, height)
        + flat.tobytes(),
        "two.mpo": _saved(rgb, "MPO", save_all=True, append_images=[rgb]),
        "lab.tif": _saved(rgb.convert("LAB"), "TIFF"),
        "deep.jp2": bytes(imagecodecs.jpeg2k_encode(deep[:, :, :3], level=0, reversible=True)),
        "rgb.jxl": bytes(imagecodecs.jpegxl_encode(flat[:, :, :3], lossless=True)),
        "half.exr": _exr(real[:, :, :3]),
        "light.hdr": bytes(imagecodecs.rgbe_encode(np.ascontiguousarray(real[:, :, :3]), header=True, out=10**6)),
        "signed.dcm": _dicom((deep[:, :, 0] // 32).astype(np.int16)),
        "int16.fits": _fits((deep[:, :, 0] // 2).astype(np.int16)),
        "float.fits": _fits(real[:, :, :2].transpose(2, 0, 1)),
    }


def _exr(samples: np.ndarray) -> bytes:
    file = io.BytesIO()
    colors = {name: np.ascontiguousarray(samples[:, :, at].astype(np.float16)) for at, name in enumerate("RGB")}
    OpenEXR.File({"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIP_COMPRESSION}, colors).write(file)
    return file.getvalue()


def _dicom(samples: np.ndarray) -> bytes:
    dataset, file = pydicom.Dataset(), io.BytesIO()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = samples.shape
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 1
    dataset.RescaleSlope, dataset.RescaleIntercept = 2, -1024
    dataset.PixelData = samples.tobytes()
    pydicom.dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()


def _fits(samples: np.ndarray) -> bytes:
    file = io.BytesIO()
    fits.PrimaryHDU(samples).writeto(file, checksum=True)
    return file.getvalue()


def _saved(image: Image.Image, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def _tiff(array: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, np.ascontiguousarray(array), **options)
    return file.getvalue()
