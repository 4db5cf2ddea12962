"""OpenEXR and Radiance HDR, against files of their own libraries."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.io.test_codecs import check_mutations, waves
from unnoise import api, io as image_io
from unnoise.errors import UnnoiseError
from unnoise.io import formats

OpenEXR = pytest.importorskip("OpenEXR")
imagecodecs = pytest.importorskip("imagecodecs")

LIGHT = (6 * waves() ** 2).astype(np.float32)  # linear, some of it above 1
ATTRIBUTES = {"type": OpenEXR.scanlineimage, "compression": OpenEXR.PIZ_COMPRESSION, "comments": "a garden",
              "exposure": 1.5, "dataWindow": (np.array([5, 7], "i4"), np.array([60, 46], "i4")),
              "displayWindow": (np.array([0, 0], "i4"), np.array([99, 99], "i4"))}  # fmt: skip


def channels(kind: str = "f2", layer: str = "") -> dict[str, np.ndarray]:
    return {layer + name: np.ascontiguousarray(LIGHT[:, :, at].astype(kind)) for at, name in enumerate("RGB")}


def exr(*parts: tuple[dict[str, Any], dict[str, np.ndarray]]) -> bytes:
    stream = io.BytesIO()
    OpenEXR.File([OpenEXR.Part(dict(header), dict(own)) for header, own in parts]).write(stream)
    return stream.getvalue()


def opened(data: bytes) -> list[tuple[dict[str, Any], dict[str, np.ndarray]]]:
    with OpenEXR.File(io.BytesIO(data), separate_channels=True) as file:
        return [({key: str(value) for key, value in part.header.items()},
                 {name: one.pixels.copy() for name, one in part.channels.items()}) for part in file.parts]  # fmt: skip


def again(data: bytes, suffix: str, change: float = 0.0) -> bytes:
    picture = image_io.read(data)
    return image_io.encode(picture.with_pixels(picture.pixels + np.float32(change)), suffix)


def tiled() -> dict[str, Any]:
    tiles = OpenEXR.TileDescription()
    tiles.xSize, tiles.ySize, tiles.mode = 16, 16, OpenEXR.ONE_LEVEL
    return {**ATTRIBUTES, "type": OpenEXR.tiledimage, "tiles": tiles}


OTHERS = {"A": np.ones((40, 56), "f2"), "Z": np.full((40, 56), 7.5, "f4"), "id": np.full((40, 56), 9, "u4")}
FILES = {
    "half": lambda: exr((ATTRIBUTES, channels())),
    "float": lambda: exr((ATTRIBUTES, channels("f4"))),
    "gray": lambda: exr((ATTRIBUTES, {"Y": channels()["R"]})),
    "more channels": lambda: exr((ATTRIBUTES, {**channels(), **OTHERS})),
    "layers": lambda: exr((ATTRIBUTES, {**channels(layer="diffuse."), **channels(layer="shadow.")})),
    "tiles": lambda: exr((tiled(), channels("f4"))),
    "parts": lambda: exr(({"name": "left", **ATTRIBUTES}, channels()), ({"name": "depth", **ATTRIBUTES}, OTHERS)),
}


@pytest.mark.parametrize("name", FILES)
def test_exr_is_the_same_file_with_other_colors(name: str) -> None:
    data = FILES[name]()
    picture = image_io.read(data)
    assert picture.dtype == np.float32 and picture.pixels.shape == (40, 56, 1 if name == "gray" else 3)
    np.testing.assert_allclose(picture.pixels[:, :, 0], LIGHT[:, :, 0], rtol=1e-3)
    before, same, brighter = opened(data), opened(again(data, ".exr")), opened(again(data, ".exr", 1.0))
    for part, (header, own) in enumerate(before):
        for made in (same, brighter):
            assert made[part][0] == header and list(made[part][1]) == list(own)
        for channel, values in own.items():
            np.testing.assert_array_equal(same[part][1][channel], values)
            assert same[part][1][channel].dtype == values.dtype
            moved = part == 0 and channel.removeprefix("diffuse.") in "RGBY"
            assert np.allclose(brighter[part][1][channel], values + np.float32(moved), rtol=1e-3)


def test_what_stays_noisy_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "unnoise"):
        again(FILES["more channels"](), ".exr")
        again(FILES["parts"](), ".exr")
    assert "not denoised, but carried as they are: channels A, Z, id" in caplog.text
    assert "not denoised, but carried as they are: 1 further part" in caplog.text
    dropped = formats.dropped_metadata(image_io.read(FILES["more channels"]()).header, ".tif")
    assert dropped is not None and "the attributes of OpenEXR" in dropped and "OpenEXR channels A, Z, id" in dropped


def test_other_files_become_exr() -> None:
    made = image_io.encode(image_io.from_array(LIGHT), ".exr")
    np.testing.assert_array_equal(image_io.read(made).to_array(), LIGHT)
    gray = image_io.encode(image_io.from_array(LIGHT[:, :, 0]), ".exr")
    assert list(opened(gray)[0][1]) == ["Y"]


@pytest.mark.parametrize(("data", "why"), [
    (lambda: exr((ATTRIBUTES, {"N.x": OTHERS["Z"], "N.y": OTHERS["Z"]})), "without a channel R, G, B or Y"),
    (lambda: exr((ATTRIBUTES, {"Y": OTHERS["id"]})), "colors of integers"),
])  # fmt: skip
def test_other_channels_are_refused_by_name(data: Any, why: str) -> None:
    with pytest.raises(UnnoiseError, match=f"the image: OpenEXR .*{why}"):
        image_io.read(data())


@pytest.mark.parametrize("make", [FILES["half"], FILES["tiles"], lambda: hdr(LIGHT)])
def test_damaged_files_are_refused_in_one_line(make: Any, capfd: pytest.CaptureFixture[str]) -> None:
    check_mutations(make(), np.random.default_rng(0))
    assert capfd.readouterr() == ("", "")


HEAD = b"#?RADIANCE\n# by hand\nEXPOSURE=2.0\nFORMAT=32-bit_rle_rgbe\n\n-Y %d +X %d\n"


def hdr(samples: np.ndarray, head: bytes = HEAD, rle: bool = True) -> bytes:
    return head % samples.shape[:2] + bytes(imagecodecs.rgbe_encode(samples, header=False, rle=rle))


@pytest.mark.parametrize("rle", [True, False])
def test_radiance_comes_back_with_its_header(rle: bool) -> None:
    data = hdr(LIGHT, rle=rle)
    expected = imagecodecs.rgbe_decode(data[len(HEAD % (40, 56)) :], header=False, rle=rle, out=np.zeros_like(LIGHT))
    picture = image_io.read(data)
    np.testing.assert_array_equal(picture.to_array(), expected)
    made = again(data, ".hdr")
    assert made.startswith(HEAD % (40, 56)) and (made == data or not rle)
    np.testing.assert_array_equal(image_io.read(made).to_array(), expected)


def test_radiance_is_rounded_to_nearest() -> None:
    values = np.random.default_rng(0).uniform(0, 40, (64, 64, 3)).astype(np.float32)
    made = image_io.read(image_io.encode(image_io.from_array(values), ".hdr")).to_array()
    largest = np.maximum(values, made).max(axis=2, keepdims=True)
    step = 2.0 ** (np.frexp(largest)[1] - 8)
    assert (np.abs(made - values) <= 0.51 * step).all() and abs((made - values).mean() / step.mean()) < 0.02
    signed = image_io.read(image_io.encode(image_io.from_array(values - 20), ".hdr")).to_array()
    assert signed.min() == 0


def test_other_radiance_is_refused_by_name() -> None:
    for head, why in (
        (HEAD.replace(b"rgbe", b"xyze"), "XYZ colors"),
        (HEAD.replace(b"-Y", b"+Y"), "from the top left"),
    ):
        with pytest.raises(UnnoiseError, match=f"the image: .*Radiance HDR.*{why}"):
            image_io.read(hdr(LIGHT, head))


@pytest.mark.parametrize("suffix", [".exr", ".hdr"])
def test_linear_light_is_denoised(suffix: str, tmp_path: Path) -> None:
    noisy = np.maximum(LIGHT + np.random.default_rng(0).normal(0, 0.2, LIGHT.shape), 0).astype(np.float32)
    picture = image_io.from_array(noisy)
    picture.save(tmp_path / f"a{suffix}")
    made = api.denoise(tmp_path / f"a{suffix}", "color", sigma=None).to_array()
    assert np.sqrt(np.mean((made - LIGHT) ** 2)) < 0.6 * np.sqrt(np.mean((noisy - LIGHT) ** 2))
