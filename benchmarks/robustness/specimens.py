"""Small valid files of every kind and depth that unnoise cleans, made without it."""

from __future__ import annotations

import io

import numpy as np
import pyvips
import tifffile
from PIL import Image


def files(seed: int = 0, size: tuple[int, int] = (40, 56)) -> dict[str, bytes]:
    """Return files, name -> bytes; the name ends in the suffix.

    Args:
        seed: of the noise on them.
        size: height and width.
    """
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[0], : size[1]] / 15
    waves = np.stack([0.5 + 0.4 * np.sin(rows * (1 + 0.4 * c) + columns - c) for c in range(4)], axis=2)
    noisy = np.clip(waves + rng.normal(0, 0.06, waves.shape), 0, 1)
    flat, deep, real = (noisy * 255).astype(np.uint8), (noisy * 65535).astype(np.uint16), noisy.astype(np.float32)
    made = _by_pillow(flat) | _by_tifffile(noisy, flat, deep, real)
    for bits in (8, 10, 12):
        samples = flat if bits == 8 else deep
        image = pyvips.Image.new_from_array(samples[:, :, :3], interpretation="srgb" if bits == 8 else "rgb16")
        made[f"{bits}.avif"] = image.heifsave_buffer(compression="av1", bitdepth=bits)
    made["alpha.avif"] = pyvips.Image.new_from_array(flat, interpretation="srgb").heifsave_buffer(compression="av1")
    made["deep.png"] = pyvips.Image.new_from_array(deep, interpretation="rgb16").pngsave_buffer()
    return made


def _by_pillow(flat: np.ndarray) -> dict[str, bytes]:
    grey, rgb, rgba = (Image.fromarray(array) for array in (flat[:, :, 0], flat[:, :, :3].copy(), flat))
    grey_alpha, cmyk = Image.merge("LA", [grey, rgba.getchannel("A")]), Image.fromarray(flat, "CMYK")
    turned = Image.Exif()
    turned[0x0112], turned[0x010E] = 6, "a specimen"
    film = {"save_all": True, "append_images": [rgb.rotate(90 * turn, expand=False) for turn in (2, 4)], "duration": 80}
    plain = {"grey": grey, "rgb": rgb}
    with_alpha = {"rgba": rgba, "la": grey_alpha, **plain}
    kinds = {
        "jpg": ("JPEG", {**plain, "cmyk": cmyk}),
        "png": ("PNG", {**with_alpha, "palette": rgb.quantize(32), "bilevel": grey.convert("1")}),
        "tif": ("TIFF", {**with_alpha, "cmyk": cmyk, "bilevel": grey.convert("1")}),
        "webp": ("WEBP", {"rgb": rgb, "rgba": rgba}),
        "gif": ("GIF", {"palette": rgb.quantize(64), "grey": grey}),
    }
    made = {
        f"{name}.{suffix}": _saved(image, format)
        for suffix, (format, images) in kinds.items()
        for name, image in images.items()
    }
    made |= {f"film.{suffix}": _saved(rgb, kinds[suffix][0], **film) for suffix in ("gif", "webp", "tif")}
    made |= {f"turned.{suffix}": _saved(rgb, kinds[suffix][0], exif=turned) for suffix in ("jpg", "png", "webp")}
    made["coarse.jpeg"] = _saved(rgb, "JPEG", quality=60, subsampling="4:2:0", progressive=True)
    return made


def _by_tifffile(noisy: np.ndarray, flat: np.ndarray, deep: np.ndarray, real: np.ndarray) -> dict[str, bytes]:
    grey = noisy[:, :, 0]
    arrays = {
        "twelve": (grey * 4095).astype(np.uint16),
        "int8": (grey * 127).astype(np.int8),
        "int16": (grey * 9000 - 3000).astype(np.int16),
        "uint32": (grey * 1e6).astype(np.uint32),
        "int32": (grey * 1e6 - 5e5).astype(np.int32),
        "float": real[:, :, 0],
        "counts": real[:, :, 0] * 5000,
        "half": real[:, :, 0].astype(np.float16),
    }
    made = {f"{name}.tiff": _tiff(array, photometric="minisblack") for name, array in arrays.items()}
    made |= {
        f"{name}.tif": _tiff(rgb[:, :, :3], photometric="rgb") for name, rgb in (("deep", deep), ("hdr", real * 3))
    }
    stack = np.stack([deep[:, :, 0], deep[::-1, :, 0], deep[:, ::-1, 0]])
    made["imagej.tif"], made["ome.tif"] = _tiff(stack, imagej=True), _tiff(stack, ome=True)
    made["tiles.tif"] = _tiff(flat[:, :, :3], photometric="rgb", tile=(16, 16), compression="deflate")
    made["planes.tif"] = _tiff(flat[:, :, :3].transpose(2, 0, 1), photometric="rgb", planarconfig="separate")
    made["big.tif"] = _tiff(flat[:, :, :3], photometric="rgb", bigtiff=True, byteorder=">")
    return made


def _saved(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def _tiff(array: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, np.ascontiguousarray(array), **options)
    return file.getvalue()
