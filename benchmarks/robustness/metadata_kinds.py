"""Kinds of metadata: how a file with each is made, and how it is found in a file of any format."""

from __future__ import annotations

import io
import operator
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyvips
import tifffile
from PIL import Image, ImageCms, IptcImagePlugin

from tests.io import metadata_files as files
from tests.io.metadata_files import IPTC, PHOTOSHOP, XMP, photograph, saved

SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "TIFF": ".tif", "WebP": ".webp", "AVIF": ".avif", "GIF": ".gif"}
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
Found = Any


@dataclass(frozen=True)
class Kind:
    """A kind of metadata.

    Attributes:
        format: of the source.
        name: of the kind.
        make: returns a file that has it.
        find: returns its value in a file of any format, or None.
        said: part of the warning that names it where it is left out.
        same: compares the values of the source and of the output.
        patched: tells of the source and the output whether it was adapted to the clean image; None if it should not be.
        only_same: whether it has a meaning only for the format itself.
        rotates: whether pixels are rotated, which streams do not do.
    """

    format: str
    name: str
    make: Callable[[], bytes]
    find: Callable[[bytes], Found]
    said: str = "never"
    same: Callable[[Found, Found], bool] = operator.eq
    patched: Callable[[bytes, bytes], bool] | None = None
    only_same: bool = False
    rotates: bool = False


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def tag(data: bytes, number: int, page: int = 0) -> Found:
    """Return the value of a tag of a TIFF."""
    if data[:2] not in (b"II", b"MM"):
        return None
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        found = file.pages[page].tags.get(number)
        value = None if found is None else found.value
        return bytes(value) if isinstance(value, bytes | np.ndarray) else value


def camera(data: bytes) -> Found:
    """Return the maker, the exposure and the maker note."""
    found = opened(data).getexif()
    shot = found.get_ifd(0x8769)
    return (found[0x010F], shot[0x829A], shot[0x927C]) if 0x927C in shot else None


def orientation(data: bytes) -> int:
    return opened(data).getexif().get(0x0112, 1)


def is_upright(before: bytes, after: bytes) -> bool:
    sizes = [
        (image.width, image.height) for image in (pyvips.Image.new_from_buffer(data, "") for data in (before, after))
    ]
    return orientation(before) == 6 and sizes[1] == sizes[0][::-1] and orientation(after) == 1


def thumbnail(data: bytes) -> Found:
    """Return the thumbnail of an EXIF block."""
    from unnoise.io import exif_block

    block = opened(data).info.get("exif", b"")
    return exif_block.thumbnail(block) if block else None


def is_renewed(before: bytes, after: bytes) -> bool:
    """Tell whether a thumbnail shows the image, which that of the source does not."""
    made = thumbnail(after)
    if made is None or made == thumbnail(before):
        return False
    with opened(made) as small:
        whole = np.asarray(opened(after).convert("RGB").resize(small.size, Image.Resampling.BOX), float)
        return bool(np.abs(np.asarray(small, float) - whole).mean() < 8)


def xmp(data: bytes) -> Found:
    info = opened(data).info
    found = info.get("xmp") or info.get("XML:com.adobe.xmp") or tag(data, 700)
    found = found.encode() if isinstance(found, str) else found
    found = XMP if found is None and XMP in data else found  # in a GIF, which Pillow reads less far
    return found or None


def iptc(data: bytes) -> Found:
    """Return the caption."""
    image = opened(data)
    if image.format == "PNG":
        text = getattr(image, "text", {}).get("Raw profile type iptc", "\n\n0\n")
        return bytes.fromhex("".join(text.split("\n")[3:]))[-7:] or None
    return (IptcImagePlugin.getiptcinfo(image) or {}).get((2, 120))


def profile(data: bytes) -> Found:
    return opened(data).info.get("icc_profile")


def resolution(data: bytes) -> Found:
    """Return dots per inch in each direction, as the file or its EXIF has them."""
    image = opened(data)
    found = image.getexif()
    if image.format == "TIFF":
        return tuple(round(float(value)) for value in image.info["dpi"]) if 282 in image.tag_v2 else None
    dpi = image.info.get("dpi") if image.format in ("PNG", "JPEG") else None
    dpi = dpi or ((found[0x011A], found[0x011B]) if 0x011A in found else None)
    return tuple(round(float(value)) for value in dpi) if dpi else None


def comment(data: bytes) -> Found:
    info = opened(data).info
    found = info.get("comment") or info.get("Comment")
    return found.encode() if isinstance(found, str) else found


def timing(data: bytes) -> Found:
    image = opened(data)
    if not getattr(image, "is_animated", False) or image.format not in ("PNG", "WEBP", "GIF"):
        return None
    found = []
    for frame in range(bool(image.info.get("default_image")), image.n_frames):
        image.seek(frame)
        image.load()
        found.append(image.info.get("duration", 0))
    return found


def default_image(data: bytes) -> Found:
    """Return the image that an animated PNG shows where animations are not."""
    image = opened(data)
    return image.tobytes() if image.info.get("default_image") else None


def segment(marker: int, start: bytes) -> Callable[[bytes], Found]:
    """Return a function that returns the segment of a JPEG that begins so."""

    def find(data: bytes) -> Found:
        found = files.segments(data) if data[:2] == b"\xff\xd8" else []
        return next((body for number, body in found if number == marker and body.startswith(start)), None)

    return find


def chunk(name: bytes, start: bytes = b"") -> Callable[[bytes], Found]:
    """Return a function that returns the chunk of a PNG or WebP that begins so."""

    def find(data: bytes) -> Found:
        found = files.chunks(data) if data[1:4] == b"PNG" else files.riff(data) if data[:4] == b"RIFF" else []
        return next((body for kind, body in found if kind == name and body.startswith(start)), None)

    return find


def behind(data: bytes) -> Found:
    """Return what stands behind a JPEG."""
    place = data.rfind(b"\xff\xd9" + VIDEO)
    return data[place + 2 :] if place >= 0 else None


def second_image(data: bytes) -> Found:
    image = opened(data)
    if getattr(image, "n_frames", 1) < 2 or image.format != "MPO":
        return None
    image.seek(1)
    return image.size


def encoding(data: bytes) -> Found:
    image = opened(data)
    return image.quantization[0] if image.format == "JPEG" else None


def layers(data: bytes) -> Found:
    return [part[1:3] for part in opened(data).layer]


def is_fine(before: Found, after: Found) -> bool:
    return all(one[0] >= other[0] and one[1] >= other[1] for one, other in zip(before[:1], after[:1], strict=True))


def progressive(data: bytes) -> Found:
    return opened(data).info.get("progressive")


def storage(data: bytes) -> Found:
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages.first
        return page.compression, page.predictor, page.tile, page.rowsperstrip, file.is_bigtiff


def levels(data: bytes) -> Found:
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        shapes = [level.shape for level in file.series[0].levels]
        return shapes if len(shapes) > 1 else None


def imagej(data: bytes) -> Found:
    if data[:2] != b"II":
        return None
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        return file.imagej_metadata


def ome(data: bytes) -> Found:
    if data[:2] != b"II":
        return None
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        return file.ome_metadata


def tiff(array: np.ndarray | None = None, **options: Any) -> bytes:
    file = io.BytesIO()
    array = photograph() if array is None else array
    defaults = {"photometric": "rgb"} if array.shape[-1] == 3 else {}
    tifffile.imwrite(file, array, **{"software": False, **defaults, **options})
    return file.getvalue()


def tagged(number: int, kind: int, count: int, value: Any) -> Callable[[], bytes]:
    return lambda: tiff(metadata=None, extratags=[(number, kind, count, value, True)])


def tiff_with_exif() -> bytes:
    from unnoise.io import exif

    file = io.BytesIO(tiff(metadata=None))
    exif.write_block(file, files.exif())
    return file.getvalue()


def stack() -> np.ndarray:
    return np.stack([np.roll(photograph()[..., 0], 3 * page, axis=1) for page in range(4)])


def pages() -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for page in range(2):
            options = {"photometric": "rgb", "metadata": None, "software": False}
            writer.write(photograph(), extratags=[(285, 2, 0, f"page {page}", True)], **options)
    return file.getvalue()


def sub_images() -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(photograph(), photometric="rgb", metadata=None, software=False, subifds=1)
        writer.write(photograph((8, 9)), photometric="rgb", metadata=None, software=False, subfiletype=0)
    return file.getvalue()


def pyramid(**options: Any) -> bytes:
    image = pyvips.Image.new_from_array(photograph((96, 128)))
    return image.tiffsave_buffer(tile=True, tile_width=32, tile_height=32, pyramid=True, keep="none", **options)


def with_images(kind: int) -> bytes:
    return files.with_second_image(kind=kind)[0]


def frames(format: str, **options: Any) -> bytes:
    images = [Image.fromarray(np.roll(photograph(), 9 * page, axis=1)) for page in range(3)]
    times = {"duration": [0, 70, 60], "loop": 2}
    return saved(images[0], format, save_all=True, append_images=images[1:], **times, **options)


def noise_thumbnail() -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (24, 32, 3)).astype(np.uint8)
    return saved(noise, "JPEG", quality=90)


def jpeg(*segments: tuple[int, bytes], **options: Any) -> Callable[[], bytes]:
    return lambda: files.jpeg(list(segments), **options)


def png(*chunks: tuple[bytes, bytes], **options: Any) -> Callable[[], bytes]:
    return lambda: files.png(list(chunks), **options)


def exif_as_text() -> bytes:
    block = files.exif()
    text = b"\nexif\n%8d\n%s\n" % (len(block), block.hex().encode())
    return files.png([(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text))])


def webp_with(name: bytes, body: bytes) -> bytes:
    data = saved(photograph(), "WebP", exif=files.exif()) + name + struct.pack("<I", len(body)) + body
    return data[:4] + struct.pack("<I", len(data) - 8) + data[8:]


def gif(**options: Any) -> bytes:
    return saved(Image.fromarray(photograph()).quantize(16), "GIF", **options)


GIF_XMP = b"\x21\xff\x0bXMP DataXMP" + XMP + b"\1" + bytes(range(255, -1, -1)) + b"\0"
VIDEO = b"\0\0\0\x18ftypmp42"
JFIF = (0xE0, b"JFIF\0\1\1\1" + struct.pack(">HHBB", 300, 150, 0, 0))
XMP_SEGMENT = (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP)
EXTENDED = b"http://ns.adobe.com/xmp/extension/\0"
RESOURCES = PHOTOSHOP + b"8BIM\x04\x06\0\0" + struct.pack(">I", 4) + b"data"
SMALL = PHOTOSHOP + b"8BIM\x04\x0c\0\0" + struct.pack(">I", 4) + b"nois"


def shared(format: str, **makers: Callable[[], bytes]) -> list[Kind]:
    """Return the kinds that several formats have."""
    finders: dict[str, tuple[str, Callable[[bytes], Found], str]] = {
        "exif": ("EXIF with maker note", camera, "EXIF"),
        "xmp": ("XMP", xmp, "XMP"),
        "iptc": ("IPTC", iptc, "IPTC"),
        "icc": ("color profile", profile, "a color profile"),
        "resolution": ("resolution", resolution, "the resolution"),
        "comment": ("comment", comment, "a comment"),
    }
    return [Kind(format, finders[name][0], make, *finders[name][1:]) for name, make in makers.items()]


def turned(format: str, make: Callable[[], bytes]) -> list[Kind]:
    return [Kind(format, "EXIF orientation", make, orientation, patched=is_upright, rotates=True)]


def renewed(format: str, make: Callable[[], bytes]) -> list[Kind]:
    return [Kind(format, "EXIF thumbnail", make, thumbnail, "EXIF", patched=is_renewed)]


KINDS = [
    *shared(
        "JPEG", exif=jpeg((0xE1, files.exif())), xmp=jpeg(XMP_SEGMENT), iptc=jpeg((0xED, PHOTOSHOP)),
        icc=jpeg((0xE2, b"ICC_PROFILE\0\1\1" + ICC)), resolution=jpeg(JFIF), comment=jpeg((0xFE, b"by hand")),
    ),
    *turned("JPEG", jpeg((0xE1, files.exif(orientation=6)))),
    *renewed("JPEG", jpeg((0xE1, files.exif(thumbnail=noise_thumbnail())))),
    Kind("JPEG", "extended XMP", jpeg((0xE1, EXTENDED + bytes(40))), segment(0xE1, EXTENDED), "extended XMP"),
    Kind("JPEG", "Photoshop resources", jpeg((0xED, RESOURCES)), segment(0xED, PHOTOSHOP), "Photoshop resources"),
    Kind("JPEG", "other segments", jpeg((0xE4, b"of a maker")), segment(0xE4, b""), "JPEG APP4"),
    Kind("JPEG", "gain map (MPF)", lambda: files.with_second_image(own=[files.GAIN_MAP])[0], second_image, "gain map"),
    Kind("JPEG", "further pictures (MPF)", lambda: with_images(0), second_image, "a further picture"),
    Kind("JPEG", "previews (MPF)", lambda: with_images(0x010001), second_image, "preview"),
    Kind("JPEG", "video of a phone", jpeg(trailer=VIDEO), behind, "video"),
    Kind("JPEG", "JFIF thumbnail", jpeg((0xE0, b"JFXX\0\x10abc")), segment(0xE0, b"JFXX"), "a JFIF thumbnail"),
    Kind("JPEG", "Photoshop thumbnail", jpeg((0xED, SMALL)), segment(0xED, SMALL), "a Photoshop thumbnail"),
    Kind("JPEG", "content credentials (C2PA)", jpeg((0xEB, b"JP..c2pa")), segment(0xEB, b"JP"), "C2PA"),
    Kind("JPEG", "quantization tables", jpeg(quality=83), encoding, only_same=True),
    Kind("JPEG", "chroma subsampling 4:2:2", jpeg(subsampling="4:2:2"), layers, same=is_fine, only_same=True),
    Kind("JPEG", "progressive", jpeg(progressive=True), progressive, only_same=True),
    *shared(
        "PNG", exif=png((b"eXIf", files.exif()[6:])), xmp=png((b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + XMP)),
        icc=lambda: saved(photograph(), "PNG", icc_profile=ICC),
        resolution=png((b"pHYs", struct.pack(">2IB", 11811, 5906, 1))),
        comment=png((b"tEXt", b"Comment\0by hand")),
    ),
    *turned("PNG", png((b"eXIf", files.exif(orientation=6)[6:]))),
    *renewed("PNG", png((b"eXIf", files.exif(thumbnail=noise_thumbnail())[6:]))),
    Kind("PNG", "EXIF as text", exif_as_text, camera, "EXIF"),
    Kind("PNG", "gAMA", png((b"gAMA", struct.pack(">I", 100000))), chunk(b"gAMA"), "gAMA"),
    Kind("PNG", "cHRM", png((b"cHRM", struct.pack(">8I", *range(8)))), chunk(b"cHRM"), "cHRM"),
    Kind("PNG", "sRGB", png((b"sRGB", b"\1")), chunk(b"sRGB"), "sRGB"),
    Kind("PNG", "cICP", png((b"cICP", bytes([9, 16, 0, 1]))), chunk(b"cICP"), "cICP"),
    Kind("PNG", "sBIT", png((b"sBIT", b"\5\6\5")), chunk(b"sBIT"), "sBIT"),
    Kind("PNG", "bKGD", png((b"bKGD", struct.pack(">3H", 1, 2, 3))), chunk(b"bKGD"), "bKGD"),
    Kind("PNG", "pHYs without a unit", png((b"pHYs", struct.pack(">2IB", 2, 1, 0))), chunk(b"pHYs"), "pHYs"),
    Kind("PNG", "tIME", png((b"tIME", bytes(range(7)))), chunk(b"tIME"), "tIME"),
    Kind("PNG", "tEXt", png((b"tEXt", b"Title\0Night")), chunk(b"tEXt"), "Title"),
    Kind("PNG", "zTXt", png((b"zTXt", b"Title\0\0" + zlib.compress(b"Night"))), chunk(b"zTXt"), "Title"),
    Kind("PNG", "iTXt", png((b"iTXt", b"Title\0\0\0de\0\0Nacht")), chunk(b"iTXt"), "Title"),
    Kind("PNG", "private chunks", png((b"prVt", b"data")), chunk(b"prVt"), "prVt"),
    Kind("PNG", "private chunks of the pixels", png((b"prVT", b"data")), chunk(b"prVT"), "prVT"),
    Kind("PNG", "timing", lambda: frames("PNG"), timing, "timing"),
    Kind("PNG", "default image of an animation", lambda: frames("PNG", default_image=True), default_image,
         "the image that is shown instead of the animation"),
    *shared(
        "TIFF", exif=tiff_with_exif, xmp=tagged(700, 1, len(XMP), XMP), iptc=tagged(33723, 7, len(IPTC), IPTC),
        icc=lambda: saved(photograph(), "TIFF", icc_profile=ICC),
        resolution=lambda: tiff(metadata=None, resolution=(300, 150), resolutionunit=2),
    ),
    *turned("TIFF", tagged(274, 3, 1, 6)),
    Kind("TIFF", "resolution without a unit", lambda: tiff(resolution=(9, 7), resolutionunit=1),
         lambda data: tag(data, 282) and (tag(data, 282), tag(data, 296)), "Resolution"),
    *(Kind("TIFF", name, tagged(number, 2, 0, "text"), lambda data, number=number: tag(data, number), said)
      for name, number, said in (("DocumentName", 269, "DocumentName"), ("PageName", 285, "PageName"),
                                 ("GDAL metadata", 42112, "42112"), ("private tags", 65000, "65000"))),
    Kind("TIFF", "GeoTIFF", tagged(34735, 3, 4, (1, 1, 0, 0)), lambda data: tag(data, 34735), "GeoTIFF"),
    Kind("TIFF", "Photoshop resources", tagged(34377, 7, len(RESOURCES) - 14, RESOURCES[14:]),
         lambda data: tag(data, 34377), "Photoshop resources"),
    Kind("TIFF", "Photoshop layers", tagged(37724, 7, 9, b"Adobe\0..."), lambda data: tag(data, 37724), "layers"),
    Kind("TIFF", "description", lambda: tiff(metadata=None, description="a garden"),
         lambda data: tag(data, 270) or opened(data).getexif().get(270), "EXIF"),
    Kind("TIFF", "ImageJ: labels, calibration",
         lambda: tiff(stack(), imagej=True, metadata={"Labels": list("abcd"), "unit": "um"}), imagej, "ImageJ"),
    Kind("TIFF", "OME", lambda: tiff(stack()[0], ome=True, metadata={"PhysicalSizeX": 0.1}), ome, "ImageDescription"),
    Kind("TIFF", "tags of further pages", pages, lambda data: tag(data, 285, -1), "PageName"),
    Kind("TIFF", "sub-images", sub_images, lambda data: tag(data, 330), "sub-images"),
    Kind("TIFF", "compression, tiles",
         lambda: tiff(metadata=None, compression="zlib", predictor=True, tile=(16, 32), bigtiff=True),
         storage, only_same=True),
    Kind("TIFF", "strips", lambda: tiff(metadata=None, rowsperstrip=8), storage, only_same=True),
    Kind("TIFF", "pyramid of pages", pyramid, levels, only_same=True),
    Kind("TIFF", "pyramid of SubIFDs", lambda: pyramid(subifd=True), levels, only_same=True),
    *shared(
        "WebP",
        exif=lambda: saved(photograph(), "WebP", exif=files.exif()), xmp=lambda: saved(photograph(), "WebP", xmp=XMP),
        icc=lambda: saved(photograph(), "WebP", icc_profile=ICC),
    ),
    *turned("WebP", lambda: saved(photograph(), "WebP", exif=files.exif(orientation=6))),
    *renewed("WebP", lambda: saved(photograph(), "WebP", exif=files.exif(thumbnail=noise_thumbnail()))),
    Kind("WebP", "other chunks", lambda: webp_with(b"prVt", b"data"), chunk(b"prVt"), "prVt"),
    Kind("WebP", "timing", lambda: frames("WEBP", lossless=True), timing, "timing"),
    Kind("WebP", "lossless", lambda: saved(photograph(), "WebP", lossless=True), lambda data: b"VP8L" in data[:60],
         only_same=True),
    *shared(
        "AVIF",
        exif=lambda: saved(photograph(), "AVIF", exif=files.exif()), xmp=lambda: saved(photograph(), "AVIF", xmp=XMP),
        icc=lambda: saved(photograph(), "AVIF", icc_profile=ICC),
    ),
    Kind("AVIF", "color description (CICP)",
         lambda: saved(photograph(), "AVIF").replace(b"nclx\0\1\0\r", b"nclx\0\x09\0\x10"),
         lambda data: b"nclx\0\x09\0\x10" in data or None, "nclx"),
    *shared("GIF", comment=lambda: gif(comment=b"by hand"), xmp=lambda: gif()[:-1] + GIF_XMP + b";"),
    Kind("GIF", "timing", lambda: frames("GIF"), timing, "timing"),
]  # fmt: skip
