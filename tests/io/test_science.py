"""DICOM and FITS: values in their units, all other content as it was, and what is said of the rest."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unnoise import api, denoisers, io as image_io
from unnoise.errors import UnnoiseError
from unnoise.io import formats
from unnoise.pipeline import process, streaming
from unnoise.pipeline.jobs import Job

pydicom = pytest.importorskip("pydicom")
fits = pytest.importorskip("astropy.io.fits")

CT = "1.2.840.10008.5.1.4.1.1.2"
CHANGED = {"SOPInstanceUID", "ImageType", "DerivationDescription", "SourceImageSequence"}


def waves(height: int = 40, width: int = 56) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width] / 15
    return 0.5 + 0.4 * np.sin(rows + columns)


def dicom(stored: np.ndarray, *, syntax: str = pydicom.uid.ExplicitVRLittleEndian, **tags: Any) -> bytes:
    """Encode stored samples `[H, W]`, `[N, H, W]` or `[H, W, 3]`."""
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CT
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3.4"
    dataset.PatientName, dataset.PixelSpacing, dataset.ImageType = "Doe^Jane", [0.5, 0.7], ["ORIGINAL", "PRIMARY"]
    dataset.private_block(0x0009, "A MAKER", create=True).add_new(1, "OB", b"\1\2\3\4")
    color = stored.ndim == 3 and stored.shape[2] == 3
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = (3, "RGB") if color else (1, "MONOCHROME2")
    if color:
        dataset.PlanarConfiguration = 0
    elif stored.ndim == 3:
        dataset.NumberOfFrames = len(stored)
    dataset.Rows, dataset.Columns = stored.shape[:2] if color else stored.shape[-2:]
    dataset.BitsAllocated = dataset.BitsStored = 8 * stored.dtype.itemsize
    dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, int(stored.dtype.kind == "i")
    for tag, value in tags.items():
        setattr(dataset, tag, value)
    data = stored.tobytes()
    dataset.add_new("PixelData", "OW" if stored.dtype.itemsize > 1 else "OB", data + b"\0" * (len(data) % 2))
    if syntax == pydicom.uid.RLELossless:
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        dataset.compress(syntax)
    file = io.BytesIO()
    pydicom.dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()


def rewritten(data: bytes, suffix: str, change: float = 0.0) -> bytes:
    picture = image_io.read(data)
    return image_io.encode(picture.with_pixels(picture.pixels + np.float32(change)), suffix)


def tags(data: bytes) -> dict[str, Any]:
    """Return all tags but the pixels, as they are stored."""
    return {str(each.tag): each.value for each in pydicom.dcmread(io.BytesIO(data)) if each.keyword != "PixelData"}


HU = np.rint(2000 * waves() - 1000)
STORED = {  # name -> file, its values in the units of the modality
    "ct": (dicom((HU + 1024).astype(np.uint16), RescaleSlope=1, RescaleIntercept=-1024, BitsStored=12, HighBit=11), HU),
    "slope": (dicom(HU.astype(np.int16), RescaleSlope="0.25", RescaleIntercept="3.5"), HU / 4 + 3.5),
    "signed": (dicom(HU.astype(np.int16)), HU),
    "eight": (dicom(np.rint(255 * waves(5, 7)).astype(np.uint8)), np.rint(255 * waves(5, 7))),
    "color": (dicom(np.rint(255 * np.stack([waves()] * 3, 2)).astype(np.uint8)),
              np.rint(255 * np.stack([waves()] * 3, 2))),
    "frames": (dicom(np.stack([HU, HU[::-1]]).astype(np.int16)), np.stack([HU, HU[::-1]])),
    "implicit": (dicom(HU.astype(np.int16), syntax=pydicom.uid.ImplicitVRLittleEndian), HU),
    "deflated": (dicom(HU.astype(np.int16), syntax=pydicom.uid.DeflatedExplicitVRLittleEndian), HU),
    "rle": (dicom(HU.astype(np.int16), syntax=pydicom.uid.RLELossless), HU),
}  # fmt: skip


@pytest.mark.parametrize("name", STORED)
def test_dicom_values_are_those_of_the_modality(name: str) -> None:
    data, values = STORED[name]
    picture = image_io.read(data)
    np.testing.assert_array_equal(picture.to_array().reshape(values.shape), values)
    written = rewritten(data, ".dcm")
    back = pydicom.dcmread(io.BytesIO(written))
    np.testing.assert_array_equal(back.pixel_array, pydicom.dcmread(io.BytesIO(data)).pixel_array)
    source, syntax = (each.file_meta.TransferSyntaxUID for each in (pydicom.dcmread(io.BytesIO(data)), back))
    replaced = source.is_compressed and source != pydicom.uid.RLELossless
    assert syntax == (pydicom.uid.ExplicitVRLittleEndian if replaced else source) or name == "deflated"


@pytest.mark.parametrize("name", STORED)
def test_all_tags_but_those_of_a_derived_image_are_kept(name: str) -> None:
    data = STORED[name][0]
    before, after = tags(data), tags(rewritten(data, ".dcm"))
    changed = {pydicom.datadict.keyword_for_tag(tag.strip("()").replace(",", "")) or tag
               for tag in after if after[tag] != before.get(tag)}  # fmt: skip
    assert changed == CHANGED and not before.keys() - after.keys()


def test_a_derived_image_says_what_it_is_made_of() -> None:
    data = STORED["ct"][0]
    back = pydicom.dcmread(io.BytesIO(rewritten(data, ".dcm", 5)))
    assert back.ImageType == ["DERIVED", "PRIMARY"] and back.DerivationDescription.startswith("Denoised by unnoise")
    assert back.SourceImageSequence[0].ReferencedSOPInstanceUID == "1.2.3.4"
    assert back.SOPInstanceUID == back.file_meta.MediaStorageSOPInstanceUID != "1.2.3.4"
    assert back.SOPInstanceUID.is_valid and back.SOPInstanceUID.startswith("2.25.")
    again, other = (pydicom.dcmread(io.BytesIO(rewritten(data, ".dcm", by))) for by in (5, 6))
    assert again.SOPInstanceUID == back.SOPInstanceUID != other.SOPInstanceUID
    assert back[0x0009, 0x1001].value == b"\1\2\3\4"


def test_values_are_clipped_to_the_bits_that_are_stored() -> None:
    back = pydicom.dcmread(io.BytesIO(rewritten(STORED["ct"][0], ".dcm", 10_000)))
    assert back.pixel_array.max() == 4095
    back = pydicom.dcmread(io.BytesIO(rewritten(STORED["ct"][0], ".dcm", -10_000)))
    assert back.pixel_array.min() == 0


@pytest.mark.parametrize("offset", [0, 1024])
def test_padding_is_a_missing_value(offset: int) -> None:
    stored = (HU + offset).astype(np.int16)
    stored[:5] = -2000
    data = dicom(stored, PixelPaddingValue=-2000, RescaleSlope=1, RescaleIntercept=-offset)
    picture = image_io.read(api.denoise(data, "gray", sigma=20))
    np.testing.assert_array_equal(picture.to_array()[:5, :, 0], -2000 - offset)
    assert np.abs(picture.to_array()[6:, :, 0] - HU[6:]).mean() < 20


def test_what_shows_or_signs_the_noisy_image_is_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    icon = pydicom.Dataset()
    icon.Rows = 1
    data = dicom(HU.astype(np.int16), IconImageSequence=pydicom.Sequence([icon]), SmallestImagePixelValue=-1000)
    (tmp_path / "a.dcm").write_bytes(b"II*\0" + data[4:])  # a TIFF, too
    picture = image_io.read(tmp_path / "a.dcm")
    with caplog.at_level(logging.WARNING, "unnoise"):
        picture.with_pixels(picture.pixels + 7 / 32767).save(tmp_path / "b.dcm")
    assert "b.dcm: left out: an icon, the TIFF header in front" in caplog.text
    back = pydicom.dcmread(tmp_path / "b.dcm")
    assert "IconImageSequence" not in back and back.preamble == bytes(128)
    assert back.SmallestImagePixelValue == back.pixel_array.min()
    assert "DICOM tags" in (formats.dropped_metadata(picture.header, ".tif") or "")


def test_only_dicom_becomes_dicom() -> None:
    picture = image_io.from_array(np.zeros((4, 5), np.uint8))
    assert image_io.unsupported_reason(picture.header, ".dcm") == "DICOM is only written of DICOM: write .tif"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "PALETTE COLOR are not supported"),
        ({"BitsAllocated": 1}, "samples of 1 bits are not supported"),
        ({"RescaleSlope": 0}, "slope of 0"),
        ({"Rows": 30_000, "Columns": 60_000}, "over the limit of"),
    ],
)
def test_dicom_that_is_not_read_is_refused_with_the_reason(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnnoiseError, match=reason):
        image_io.read(dicom(HU.astype(np.int16), **change))


def test_a_dicom_without_pixels_is_refused() -> None:
    dataset = pydicom.dcmread(io.BytesIO(STORED["ct"][0]))
    del dataset.PixelData
    dataset.save_as(file := io.BytesIO())
    with pytest.raises(UnnoiseError, match="a DICOM file without pixels"):
        image_io.read(file.getvalue())


# FITS


def fits_file(*units: Any, checksum: bool = False) -> bytes:
    file = io.BytesIO()
    if checksum:
        checksum = False
        for unit in units:
            unit.add_datasum(when="data of an earlier day")
            unit.add_checksum(when="checked on an earlier day", override_datasum=True)
    fits.HDUList(list(units)).writeto(file, checksum=checksum)
    return file.getvalue()


def primary(data: np.ndarray | None, **cards: Any) -> Any:
    unit = fits.PrimaryHDU(data)
    for name, value in {"CRVAL1": 12.5, "CTYPE1": "RA---TAN", "OBJECT": "M 31", **cards}.items():
        unit.header[name] = value
    unit.header.add_history("observed")
    return unit


def scaled_unit() -> Any:
    unit = fits.ImageHDU(HU.astype(np.int16))
    unit.header["BSCALE"], unit.header["BZERO"], unit.header["BLANK"] = 0.5, 10.0, -32768
    return unit


TABLE = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=np.arange(3))])
IMAGES: dict[str, Callable[[], tuple[bytes, np.ndarray]]] = {
    "eight": lambda: (fits_file(primary((255 * waves()).astype(np.uint8))), (255 * waves()).astype(np.uint8)),
    "signed": lambda: (fits_file(primary(HU.astype(np.int16))), HU),
    "unsigned": lambda: (fits_file(primary((HU + 40_000).astype(np.uint16))), HU + 40_000),
    "counts": lambda: (fits_file(primary(HU.astype(np.int32))), HU),
    "float": lambda: (fits_file(primary(waves().astype(np.float32))), waves().astype(np.float32)),
    "double": lambda: (fits_file(primary(waves())), waves().astype(np.float32)),
    "cube": lambda: (fits_file(primary(np.stack([HU, HU.T.reshape(HU.shape)]).astype(np.int16)), TABLE),
                     np.stack([HU, HU.T.reshape(HU.shape)])),
    "extension": lambda: (fits_file(primary(None), scaled_unit(), TABLE, checksum=True), HU / 2 + 10),
}  # fmt: skip


@pytest.mark.parametrize("name", IMAGES)
def test_fits_is_the_same_file_with_other_pixels(name: str) -> None:
    data, values = IMAGES[name]()
    picture = image_io.read(data)
    read = picture.to_array().reshape(values.shape)
    np.testing.assert_array_equal(read[..., ::-1, :], values)  # the first row is at the bottom
    written = rewritten(data, ".fits")
    assert len(written) == len(data)
    with fits.open(io.BytesIO(data)) as before, fits.open(io.BytesIO(written)) as after:
        for one, other in zip(before, after, strict=True):
            assert other.header.tostring() == one.header.tostring()
            if one.data is not None and one.is_image:
                assert other.data.dtype == one.data.dtype
                np.testing.assert_allclose(other.data.astype(float), one.data.astype(float), rtol=2e-7)
    if name not in ("double", "counts"):  # which 32-bit floats do not hold
        assert written == data


def test_checksums_are_renewed() -> None:
    written = rewritten(IMAGES["extension"]()[0], ".fits", 1.0)
    with fits.open(io.BytesIO(written)) as units:
        assert [unit.verify_checksum() for unit in units] == [1, 1, 1]
        assert [unit.verify_datasum() for unit in units] == [1, 1, 1]
        np.testing.assert_allclose(units[1].data, HU / 2 + 11)


def test_blank_and_nan_stay_as_they_are() -> None:
    unit = scaled_unit()
    stored = HU.astype(np.int16)
    stored[3:6, 2:9] = -32768
    unit = fits.ImageHDU(stored)
    unit.header["BSCALE"], unit.header["BZERO"], unit.header["BLANK"] = 0.5, 10.0, -32768
    real = waves().astype(np.float32)
    real[3:6, 2:9] = np.nan
    for data in (fits_file(primary(None), unit), fits_file(primary(real))):
        with fits.open(io.BytesIO(api.denoise(data, "gray", sigma=20))) as units:
            image = units[-1].data
        assert np.isnan(image[3:6, 2:9]).all() and np.isfinite(image[7:]).all()


def test_further_images_are_carried_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.fits").write_bytes(fits_file(primary(HU.astype(np.int16)), scaled_unit()))
    picture = image_io.read(tmp_path / "a.fits")
    with caplog.at_level(logging.WARNING, "unnoise"):
        picture.with_pixels(picture.pixels + 9 / 32767).save(tmp_path / "b.fits")
    assert "not denoised, but carried as they are: 1 further image" in caplog.text
    with fits.open(tmp_path / "b.fits") as units:
        np.testing.assert_array_equal(units[1].data, HU / 2 + 10)


def test_arrays_become_fits() -> None:
    picture = image_io.from_array(waves().astype(np.float32))
    np.testing.assert_array_equal(image_io.read(image_io.encode(picture, ".fits")).pixels, picture.pixels)
    color = image_io.from_array(np.zeros((4, 5, 3), np.uint8))
    assert image_io.unsupported_reason(color.header, ".fits") == "FITS cannot hold color: write .tif"


def test_fits_that_is_not_read_is_refused_with_the_reason() -> None:
    with pytest.raises(UnnoiseError, match="it holds no image"):
        image_io.read(fits_file(primary(None), TABLE))
    with pytest.raises(UnnoiseError, match="use funpack first"):
        image_io.read(fits_file(primary(None), fits.CompImageHDU(HU.astype(np.int16))))
    with pytest.raises(UnnoiseError, match="BITPIX 64 are not supported"):
        image_io.read(fits_file(primary(HU.astype(np.int64))))


# Both


@pytest.mark.parametrize("suffix", [".dcm", ".fits"])
def test_a_shift_of_the_units_shifts_the_result(suffix: str) -> None:
    noisy = np.rint(HU + np.random.default_rng(0).normal(0, 100, HU.shape)).astype(np.int16)
    results = []
    for offset in (0, -3000):
        if suffix == ".dcm":
            data = dicom(noisy, RescaleSlope=1, RescaleIntercept=offset)
        else:
            data = fits_file(primary((noisy + offset).astype(np.float32)))
        clean = image_io.read(api.denoise(data, "gray")).to_array()[:, :, 0].astype(float) - offset
        results.append(clean if suffix == ".dcm" else clean[::-1])
    assert np.abs(results[0] - results[1]).max() <= 2
    assert np.sqrt(np.mean((results[0] - HU) ** 2)) < 50


@pytest.mark.parametrize("suffix", [".dcm", ".fits"])
def test_large_files_are_done_in_strips(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / f"a{suffix}"
    source.write_bytes(STORED["frames"][0] if suffix == ".dcm" else IMAGES["cube"]()[0])
    options = process.DenoiseOptions(denoisers.make("gray"), sigma=20 / 255)
    process.denoise_file(Job(source, tmp_path / f"whole{suffix}"), options)
    monkeypatch.setattr(streaming, "STREAMING_PIXELS", 100)
    process.denoise_file(Job(source, tmp_path / f"strips{suffix}"), options)
    whole, strips = (image_io.read(tmp_path / f"{name}{suffix}").to_array() for name in ("whole", "strips"))
    assert whole.shape == strips.shape and np.abs(whole.astype(float) - strips).max() <= 1


@pytest.mark.parametrize("suffix", [".dcm", ".fits"])
def test_what_is_cut_off_or_damaged_is_refused_in_one_line(suffix: str, tmp_path: Path, capfd: Any) -> None:
    data = STORED["rle"][0] if suffix == ".dcm" else IMAGES["extension"]()[0]
    rng = np.random.default_rng(0)
    for cut in (200, len(data) // 3):
        (tmp_path / f"a{suffix}").write_bytes(data[:cut])
        with pytest.raises(UnnoiseError, match=f"^{tmp_path / f'a{suffix}'}: [^\n]+$"):
            image_io.read(tmp_path / f"a{suffix}")
    for _ in range(200):
        broken = np.frombuffer(data, np.uint8).copy()
        broken[(len(data) * rng.random(3) ** 3).astype(int)] = rng.integers(0, 256, 3)
        try:
            picture = image_io.read(broken.tobytes(), max_pixels=10**6)
            image_io.encode(picture.with_pixels(picture.pixels), suffix)
        except UnnoiseError as error:
            assert "\n" not in str(error)
    assert capfd.readouterr() == ("", "")
