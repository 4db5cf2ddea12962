"""The Python API: the result has the type of the input, and all input types give the same values."""

from __future__ import annotations

import importlib.util
import inspect
import io
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, assert_type

import numpy as np
import pytest
from PIL import Image

import unnoise
from tests.fakes import ConstantSigma
from unnoise import api, denoisers, io as image_io
from unnoise.errors import UnnoiseError
from unnoise.io import Picture

MODEL = "median"


@pytest.fixture(scope="module")
def levels(photograph: np.ndarray) -> np.ndarray:
    """Return a small uint8 RGB picture."""
    return np.rint(photograph[:24, :31] * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def clean(levels: np.ndarray) -> np.ndarray:
    """Return the denoised samples, computed with the denoiser alone."""
    return np.rint(denoisers.make(MODEL)(levels.astype(np.float32) / 255) * 255).astype(np.uint8)


def file_of(array: np.ndarray, format: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, format)
    return file.getvalue()


# denoise: the same kind comes back


def test_a_path_gives_a_picture_that_can_be_saved(levels: np.ndarray, clean: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "a ü.png"
    path.write_bytes(file_of(levels))
    for source in (path, str(path)):
        picture = unnoise.denoise(source, MODEL)
        assert isinstance(picture, unnoise.Picture)
        np.testing.assert_array_equal(picture.to_array(), clean)
    picture.save(tmp_path / "b.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "b.png")), clean)
    assert path.read_bytes() == file_of(levels)


def test_a_picture_gives_a_picture(levels: np.ndarray, clean: np.ndarray) -> None:
    picture = unnoise.denoise(image_io.from_array(levels), MODEL)
    assert isinstance(picture, unnoise.Picture)
    np.testing.assert_array_equal(picture.to_array(), clean)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "GIF", "WEBP"])
def test_bytes_give_bytes_of_the_same_format(levels: np.ndarray, clean: np.ndarray, format: str) -> None:
    data = unnoise.denoise(file_of(levels, format), MODEL)
    assert isinstance(data, bytes)
    image = Image.open(io.BytesIO(data))
    assert image.format == format and image.size == (31, 24)
    if format in ("PNG", "TIFF"):
        np.testing.assert_array_equal(np.asarray(image), clean)


@pytest.mark.parametrize("channels", [None, 1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32", "float64"])
def test_an_array_gives_an_array(rng: np.random.Generator, dtype: str, channels: int | None) -> None:
    scale = 1 if dtype.startswith("float") else np.iinfo(dtype).max
    array = (rng.random((9, 8, *([channels] if channels else []))) * scale).astype(dtype)
    kept = array.copy()
    array.setflags(write=False)
    back = unnoise.denoise(array, MODEL)
    assert isinstance(back, np.ndarray) and back.dtype == dtype and back.shape == array.shape
    np.testing.assert_array_equal(array, kept)
    pixels, alpha = np.split(np.atleast_3d(array), [min(channels or 1, 3)], axis=2)
    groups = np.split(pixels, [1], axis=2) if channels == 2 else [pixels]
    model = denoisers.make(MODEL)
    expected = np.concatenate([model(one.astype(np.float32) / scale) for one in groups], axis=2) * scale
    np.testing.assert_allclose(
        np.atleast_3d(back)[:, :, : pixels.shape[2]], expected, rtol=1e-3, atol=0.5 * (scale > 1)
    )
    np.testing.assert_allclose(np.atleast_3d(back)[:, :, pixels.shape[2] :], alpha, rtol=1e-6 if scale == 1 else 0)


def test_an_array_need_not_be_contiguous(levels: np.ndarray, clean: np.ndarray) -> None:
    np.testing.assert_array_equal(unnoise.denoise(levels.transpose(1, 0, 2), MODEL).transpose(1, 0, 2), clean)


@pytest.mark.parametrize(
    ("mode", "back"),
    [
        *(("1", "L"), ("L", "L"), ("LA", "LA"), ("P", "RGB"), ("PA", "RGBA"), ("RGB", "RGB"), ("RGBA", "RGBA")),
        *(("F", "F"), ("I;16", "I;16")),
    ],
)
def test_a_pil_image_gives_a_pil_image(levels: np.ndarray, mode: str, back: str) -> None:
    image = Image.fromarray(levels)
    image = (
        image.convert("I").convert(mode)
        if mode == "I;16"
        else image.convert("LA" if mode == "PA" else mode).convert(mode)
    )
    image.info["icc_profile"] = b"profile"
    made = unnoise.denoise(image, MODEL)
    assert isinstance(made, Image.Image) and made.mode == back and made.size == image.size
    assert made.info["icc_profile"] == b"profile"


def test_a_pil_image_means_the_same(levels: np.ndarray, clean: np.ndarray) -> None:
    np.testing.assert_array_equal(np.asarray(unnoise.denoise(Image.fromarray(levels), MODEL)), clean)


def test_a_transparent_colour_becomes_alpha(levels: np.ndarray) -> None:
    image = Image.fromarray(levels)
    image.info["transparency"] = tuple(levels[3, 4].tolist())
    made = unnoise.denoise(image, MODEL)
    alpha = np.asarray(made)[:, :, 3]
    assert made.mode == "RGBA" and alpha[3, 4] == 0 and alpha[0, 0] == 255
    assert "transparency" not in made.info


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB", "HSV", "I"])
def test_other_pil_modes_are_refused(levels: np.ndarray, mode: str) -> None:
    with pytest.raises(UnnoiseError, match=f"mode {mode} cannot be denoised: convert it"):
        unnoise.denoise(Image.fromarray(levels).convert(mode), MODEL)


@pytest.mark.parametrize(
    "source",
    [
        None,
        3,
        [[0.5]],
        b"",
        b"no picture",
        "missing.png",
        Path("missing.png"),
        np.zeros((2, 2), int),
        np.zeros((1, 2, 2, 3)),
    ],
    ids=lambda source: type(source).__name__,
)
def test_what_is_no_picture_is_refused_in_one_line(source: Any) -> None:
    for call in (unnoise.denoise, unnoise.inspect, lambda one: unnoise.add_noise(one, "gaussian:5")):
        with pytest.raises(UnnoiseError) as refused:
            call(source)
        assert "\n" not in str(refused.value)


# denoise: options


def test_sigma_is_in_8_bit_units(levels: np.ndarray) -> None:
    np.testing.assert_array_equal(unnoise.denoise(levels, ConstantSigma(), sigma=51), 51)


def test_strength_goes_from_the_picture_to_the_clean_one(levels: np.ndarray) -> None:
    np.testing.assert_array_equal(unnoise.denoise(levels, ConstantSigma(), sigma=51, strength=0), levels)
    np.testing.assert_allclose(
        unnoise.denoise(levels, ConstantSigma(), sigma=51, strength=0.5), (levels + 51.0) / 2, atol=0.51
    )


@pytest.mark.parametrize(
    "wrong", [{"sigma": -1}, {"sigma": np.inf}, {"strength": 2}, {"model": "colour"}, {"model": "no.onnx"}]
)
def test_a_wrong_wish_is_refused(levels: np.ndarray, wrong: dict[str, Any]) -> None:
    with pytest.raises(UnnoiseError):
        unnoise.denoise(levels, **wrong)


def test_the_default_model_takes_noise_out(photograph: np.ndarray) -> None:
    noisy = unnoise.add_noise(photograph, "gaussian:25", seed=1)
    before, after = (np.square(picture - photograph).mean() for picture in (noisy, unnoise.denoise(noisy)))
    assert after < before / 3  # 5 dB; networks gain 9 and more


# add_noise, inspect, evaluate, train


def test_add_noise_is_seeded_and_of_its_level(photograph: np.ndarray) -> None:
    first, again, other = (unnoise.add_noise(photograph, "gaussian:25", seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert first.dtype == np.float32 and not np.array_equal(first, other)
    assert np.std(first - photograph) == pytest.approx(25 / 255, rel=0.02)


def test_add_noise_clips_what_holds_integers(levels: np.ndarray) -> None:
    noisy = unnoise.add_noise(levels, "gaussian:200")
    assert noisy.dtype == np.uint8 and noisy.min() == 0 and noisy.max() == 255


def test_inspect_is_the_same_for_every_kind(levels: np.ndarray) -> None:
    noisy = unnoise.add_noise(levels, "gaussian:20")
    kinds = (noisy, Image.fromarray(noisy), file_of(noisy), image_io.from_array(noisy))
    assert len({str(unnoise.inspect(kind)) for kind in kinds}) == 1


def test_evaluate_gives_a_row_per_noise_and_model(levels: np.ndarray, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(file_of(levels))
    rows = unnoise.evaluate(["median", "tv"], f"images:{tmp_path}", ["gaussian:25", "salt-pepper:0.1"], seed=3)
    assert [(row.noise, row.model, row.images) for row in rows] == [
        *(("gaussian:25", "median", 2), ("gaussian:25", "tv", 2)),
        *(("salt-pepper:0.1", "median", 2), ("salt-pepper:0.1", "tv", 2)),
    ]
    assert rows[0].psnr_noisy == rows[1].psnr_noisy == pytest.approx(20.2, abs=0.6)
    assert rows[2].psnr > rows[2].psnr_noisy + 5, "a median takes impulses out"
    with pytest.raises(UnnoiseError, match="name a noise"):
        unnoise.evaluate(["median"], f"images:{tmp_path}")


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs the extra train")
def test_numbers_may_be_text(levels: np.ndarray) -> None:
    expected = unnoise.denoise(levels, "gray", sigma=25, strength=0.5)
    np.testing.assert_array_equal(unnoise.denoise(levels, "gray", sigma="25", strength="0.5"), expected)
    for wrong, message in (
        ({"sigma": "much"}, "^sigma must be a number, not 'much'$"),
        ({"sigma": [25, 30]}, "^sigma must be a number, not a list$"),
        ({"min_noise": "low"}, "^min_noise must be a number, not 'low'$"),
        ({"strength": None}, "^strength must be a number, not a NoneType$"),
    ):
        with pytest.raises(UnnoiseError, match=message):
            unnoise.denoise(levels, "auto", **wrong)
        if "strength" not in wrong:
            with pytest.raises(UnnoiseError, match=message):
                unnoise.denoise_with_error(levels, "auto", **wrong)


def test_evaluate_takes_one_model_and_one_noise(levels: np.ndarray, tmp_path: Path) -> None:
    image_io.from_array(levels).save(tmp_path / "a.png")
    rows = unnoise.evaluate("median", f"images:{tmp_path}", noise="gaussian:25")
    assert [(row.model, row.noise) for row in rows] == [("median", "gaussian:25")]
    assert unnoise.evaluate(["median"], f"images:{tmp_path}", noise=["gaussian:25"])[0].psnr == rows[0].psnr
    with pytest.raises(UnnoiseError, match="unknown model 'medan': did you mean 'median'"):
        unnoise.evaluate("medan", f"images:{tmp_path}", noise="gaussian:25")


def test_train_hands_on_the_recipe_with_its_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    from unnoise.training import recipe, trainer

    seen = []
    monkeypatch.setattr(trainer, "train", lambda *given, **named: seen.append((given, named)))
    tree = {
        "name": "x",
        "network": "dncnn",
        "noise": "gaussian:25",
        "data": {"train": ["images:y"]},
        "train": {"steps": 9},
    }
    unnoise.train(tree, {"train.steps": 2}, out="folder", resume=True)
    unnoise.train(recipe.load(tree), {"train.steps": "3"})
    (first, out), named = seen[0]
    assert (first.train.steps, out, named["resume"], seen[1][0][0].train.steps) == (2, "folder", True, 3)
    with pytest.raises(UnnoiseError, match=r"did you mean 'train.steps'"):
        unnoise.train(tree, {"train.stepps": 2})


# Manners of a library


def test_a_file_object_gives_one_in_memory_and_is_left_where_it_stood(levels: np.ndarray, clean: np.ndarray) -> None:
    file = io.BytesIO(b"before" + file_of(levels))
    file.seek(6)
    cleaned = unnoise.denoise(file, MODEL)
    assert file.tell() == 6
    np.testing.assert_array_equal(np.asarray(Image.open(cleaned)), clean)


def test_a_file_opened_as_text_is_refused() -> None:
    with pytest.raises(UnnoiseError, match="open it in binary mode"):
        unnoise.denoise(io.StringIO("P3"), MODEL)  # type: ignore[type-var]


@pytest.mark.parametrize("channel_axis", [0, 1, 2, -1, -3])
def test_channels_may_lie_on_any_axis(levels: np.ndarray, clean: np.ndarray, channel_axis: int) -> None:
    cleaned = unnoise.denoise(np.moveaxis(levels, -1, channel_axis), MODEL, channel_axis=channel_axis)
    np.testing.assert_array_equal(np.moveaxis(cleaned, channel_axis, -1), clean)


def test_no_channel_axis_means_a_grey_picture(levels: np.ndarray) -> None:
    grey = levels[:, :, 0]
    np.testing.assert_array_equal(unnoise.denoise(grey, MODEL, channel_axis=None), unnoise.denoise(grey, MODEL))
    with pytest.raises(UnnoiseError, match="its channel_axis"):
        unnoise.denoise(levels, MODEL, channel_axis=None)
    with pytest.raises(UnnoiseError, match="no channel_axis 3"):
        unnoise.denoise(levels, MODEL, channel_axis=3)


def test_progress_rises_to_one(levels: np.ndarray) -> None:
    seen: list[float] = []
    unnoise.denoise(levels, MODEL, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1


def test_the_expected_error_comes_with_the_clean_picture(photograph: np.ndarray, tmp_path: Path) -> None:
    noisy, file = unnoise.add_noise(photograph, "gaussian:25"), tmp_path / "noisy.tif"
    clean, error = unnoise.denoise_with_error(noisy, "color", sigma=25)
    np.testing.assert_array_equal(clean, unnoise.denoise(noisy, "color", sigma=25))
    real = 255 * np.sqrt(np.mean((clean - photograph) ** 2))
    assert error.shape == noisy.shape[:2] and 0.7 < real / np.sqrt(np.mean(error**2)) < 1.3
    image_io.from_array(noisy).save(file)
    made, same = unnoise.denoise_with_error(file, "color", sigma=25)
    np.testing.assert_array_equal(made.pixels, clean)
    np.testing.assert_array_equal(same, error)


def test_a_model_is_opened_once_and_anew_when_its_file_changes(levels: np.ndarray, tmp_path: Path) -> None:
    file = tmp_path / "mine.onnx"
    file.write_bytes(denoisers.bundled_models()["color"].read_bytes())
    before = api._MODELS.open(file, engine="onnx")
    assert api._MODELS.open(str(file), engine="onnx") is before
    file.write_bytes(denoisers.bundled_models()["color-fast"].read_bytes())
    os.utime(file, ns=(1, 1))
    assert str(api._MODELS.open(file, engine="onnx")) != str(before)


def test_several_threads_clean_at_once(photograph: np.ndarray) -> None:
    pictures = [np.roll(photograph, shift, axis=1) for shift in range(8)]
    alone = [unnoise.denoise(picture, sigma=20) for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda picture: unnoise.denoise(picture, sigma=20), pictures))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_declared_type_is_that_of_the_result(levels: np.ndarray, tmp_path: Path) -> None:
    """Each overload is checked twice: by the type checker, which reads `assert_type`, and by the value."""
    image_io.from_array(levels).save(tmp_path / "image.png")
    data = (tmp_path / "image.png").read_bytes()
    by_array = assert_type(unnoise.denoise(levels, MODEL), np.ndarray)
    by_path = assert_type(unnoise.denoise(tmp_path / "image.png", MODEL, strength=0.5), Picture)
    by_picture = assert_type(unnoise.denoise(by_path, MODEL), Picture)
    by_bytes = assert_type(unnoise.denoise(data, MODEL), bytes)
    by_file = assert_type(unnoise.denoise(io.BytesIO(data), MODEL), io.BytesIO)
    by_image = assert_type(unnoise.denoise(Image.fromarray(levels), MODEL), Image.Image)
    results = (by_array, by_path, by_picture, by_bytes, by_file, by_image)
    expected = (np.ndarray, Picture, Picture, bytes, io.BytesIO, Image.Image)
    assert all(isinstance(one, kind) for one, kind in zip(results, expected, strict=True))


def test_the_overloads_name_every_argument() -> None:
    """`DenoiseArguments` and the function are two lists of the same names and types."""
    listed = {key: value.__forward_arg__ for key, value in inspect.get_annotations(api.DenoiseArguments).items()}
    parameters = inspect.signature(api.denoise).parameters.values()
    assert listed == {one.name: one.annotation for one in parameters if one.kind is one.KEYWORD_ONLY}
