"""TIFF files in CIE L*a*b*: colors as RGB in memory, the same samples in the file."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage import color, data

from tests.fakes import Identity
from unnoise import denoisers, io as image_io
from unnoise.errors import UnnoiseError
from unnoise.io import lab
from unnoise.pipeline import process, streaming
from unnoise.pipeline.jobs import Job

ENCODINGS = [lab.Encoding(photometric, bits) for photometric in (lab.CIELAB, lab.ICCLAB) for bits in (8, 16)]


def photograph(size: tuple[int, int] = (96, 120)) -> np.ndarray:
    return np.asarray(Image.fromarray(data.astronaut()).resize(size[::-1]), float) / 255


def encoded(samples: np.ndarray, photometric: int, **options: object) -> bytes:
    file = io.BytesIO()
    tags = [(269, "s", 0, "a document", True)]
    tifffile.imwrite(file, samples, photometric=photometric, metadata=None, extratags=tags, **options)
    return file.getvalue()


def stored(data: bytes | Path) -> tuple[np.ndarray, int, str]:
    """Return the samples, the photometric interpretation, and a tag that is not about pixels."""
    with tifffile.TiffFile(io.BytesIO(data) if isinstance(data, bytes) else data) as tiff:
        pages = [page.asarray() for page in tiff.pages]
        return np.stack(pages), int(tiff.pages[-1].photometric), tiff.pages[0].tags[269].value  # type: ignore[union-attr]


def test_colors_are_those_of_another_implementation() -> None:
    rgb = photograph()
    reference = color.rgb2lab(rgb)  # relative to D65, as here relative to D50: hues move a little, lightness not at all
    np.testing.assert_allclose(lab.lab_of(rgb)[..., 0], reference[..., 0], atol=0.9)
    grays = np.repeat(np.linspace(0, 1, 50)[:, None], 3, axis=1)
    np.testing.assert_allclose(lab.lab_of(grays), color.rgb2lab(grays), atol=0.02)
    with Image.open(io.BytesIO(_by_pillow(rgb))) as image:
        samples = np.asarray(image)
    encoding = lab.Encoding(lab.CIELAB, 8)
    ours = encoding.encode(lab.lab_of(rgb))
    assert np.abs(encoding.decode(samples) - encoding.decode(ours)).max() <= 2  # of littlecms, with 8 bits


def _by_pillow(rgb: np.ndarray) -> bytes:
    from PIL import ImageCms

    transform = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB", ImageCms.Intent.PERCEPTUAL
    )
    image = ImageCms.applyTransform(Image.fromarray(np.rint(255 * rgb).astype(np.uint8)), transform)
    assert image is not None
    file = io.BytesIO()
    image.save(file, "TIFF")
    return file.getvalue()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_sample_comes_back(encoding: lab.Encoding) -> None:
    samples = np.random.default_rng(0).integers(0, 2**encoding.bits, (300, 200, 3)).astype(encoding.dtype)
    if encoding.photometric == lab.ICCLAB and encoding.bits == 16:
        samples[..., 0] = np.minimum(samples[..., 0], 0xFF00)
    picture = image_io.read(encoded(samples, encoding.photometric))
    assert picture.header.colours == 3 and picture.dtype == np.float32
    made = image_io.encode(picture.with_pixels(picture.pixels), ".tif")
    back, photometric, name = stored(made)
    np.testing.assert_array_equal(back[0], samples)
    assert (photometric, name) == (encoding.photometric, "a document")


@pytest.mark.parametrize("options", [{"compression": "zlib", "predictor": True}, {"planarconfig": "separate"},
                                     {"tile": (32, 48)}, {"byteorder": ">"}])  # fmt: skip
@pytest.mark.parametrize("large", [False, True])
def test_it_is_stored_as_it_came(
    options: dict[str, object], large: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "STREAMING_PIXELS", 100 if large else 10**9)
    samples = lab.Encoding(lab.ICCLAB, 16).encode(lab.lab_of(photograph()))
    planes = np.moveaxis(samples, 2, 0) if "planarconfig" in options else samples
    (tmp_path / "a.tif").write_bytes(encoded(planes, lab.ICCLAB, **options))
    process.denoise_file(Job(tmp_path / "a.tif", tmp_path / "b.tif"), process.DenoiseOptions(Identity()))
    back, photometric, _ = stored(tmp_path / "b.tif")
    np.testing.assert_array_equal(back[0], samples)
    assert photometric == lab.ICCLAB


def test_pages_are_all_lab(tmp_path: Path) -> None:
    samples = np.stack([lab.Encoding(lab.CIELAB, 8).encode(lab.lab_of(photograph() * share)) for share in (1, 0.5)])
    picture = image_io.read(encoded(samples, lab.CIELAB))
    back, photometric, _ = stored(image_io.encode(picture.with_pixels(picture.pixels), ".tif"))
    np.testing.assert_array_equal(back, samples)
    assert photometric == lab.CIELAB


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_it_is_denoised_as_the_color_image_that_it_is(encoding: lab.Encoding, tmp_path: Path) -> None:
    clean = photograph((160, 200))
    noisy = clean + np.random.default_rng(0).normal(0, 25 / 255, clean.shape)
    (tmp_path / "a.tif").write_bytes(encoded(encoding.encode(lab.lab_of(noisy)), encoding.photometric))
    result = process.denoise_file(
        Job(tmp_path / "a.tif", tmp_path / "b.tif"), process.DenoiseOptions(denoisers.make("auto"))
    )
    assert result.sigma is not None and 255 * result.sigma == pytest.approx(25, rel=0.15)
    made = lab.rgb_of(encoding.decode(stored(tmp_path / "b.tif")[0][0]))
    assert np.sqrt(np.mean((made - clean) ** 2)) < 0.5 * np.sqrt(np.mean((noisy - clean) ** 2))


def test_what_cannot_be_kept_is_refused_with_the_reason(tmp_path: Path) -> None:
    samples = lab.Encoding(lab.CIELAB, 8).encode(lab.lab_of(photograph()))
    source = tmp_path / "a.tif"
    source.write_bytes(encoded(samples, lab.CIELAB))
    options = process.DenoiseOptions(Identity())
    for suffix in (".png", ".jpg"):
        with pytest.raises(UnnoiseError, match=r"cannot hold CIE L\*a\*b\*: write .tif"):
            process.denoise_file(Job(source, tmp_path / f"b{suffix}"), options)
    for others, photometric, why in (
        (samples, 10, "ITU L"), (samples.astype(np.float32), 8, "3 channels of float32"),
        (np.concatenate([samples, samples[..., :1]], axis=2), 8, "4 channels of uint8"),
    ):  # fmt: skip
        with pytest.raises(UnnoiseError, match=why):
            image_io.read(encoded(others, photometric))
    with tifffile.TiffWriter(source) as writer:
        writer.write(samples, photometric=8, subifds=1, metadata=None)
        writer.write(samples[::2, ::2], photometric=8, subfiletype=1, metadata=None)
    with pytest.raises(UnnoiseError, match="a pyramid in CIE"):
        image_io.read(source)
