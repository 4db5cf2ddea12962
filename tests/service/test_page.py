"""The page in Chromium, driven by Playwright, with a service of its own: what it shows and what it saves."""

from __future__ import annotations

import itertools
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import unnoise
from tests.conftest import serving
from tests.service.browsing import (
    WAIT,
    at_full_size,
    choose,
    drop,
    error,
    file,
    noisy,
    open_page,
    roughness,
    settled,
    show,
    shown,
    slide,
)
from unnoise import io
from unnoise.io.picture import from_samples
from unnoise.pipeline import noise_maps

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser


def test_a_twelve_megapixel_jpeg_from_drop_to_download(page: Page, clean: np.ndarray, tmp_path: Path) -> None:
    grain = io.read(noisy(clean)).to_array()
    data = io.encode(io.from_array(np.tile(grain, (10, 10, 1))), ".jpg", quality=92)
    drop(page, "night.jpg", data)
    page.locator("#found b").wait_for()
    assert re.match("Noise: even, sigma 2[345]", page.inner_text("#found"))
    assert "4000 × 3000" in page.inner_text("#found")
    assert int(page.inner_text("#scale").removesuffix(" %")) < 25  # all of it is in view
    page.keyboard.press("1")
    settled(page)
    divider = page.get_by_role("slider", name="Divider between before and after")
    assert divider.get_attribute("aria-valuenow") == "50"
    left, right = np.split(shown(page).astype(np.float32), 2, axis=1)
    assert roughness(right) < roughness(left) / 4
    page.select_option("#model", "adaptive-median")
    slide(page, "#strength", 80)
    assert page.inner_text("#strength-said") == "80 %"
    with page.expect_download(timeout=WAIT) as caught:
        page.get_by_role("button", name="Download", exact=True).click()
    assert caught.value.suggested_filename == "night.clean.jpg"
    caught.value.save_as(tmp_path / "clean.jpg")
    assert (tmp_path / "clean.jpg").read_bytes() == unnoise.denoise(data, "adaptive-median", strength=0.8)


def test_before_and_after_lie_on_the_same_pixels(page: Page, clean: np.ndarray) -> None:
    data = noisy(clean)
    choose(page, "a.png", data)
    settled(page)
    stage = at_full_size(page, clean.shape)
    np.testing.assert_array_equal(stage[:, :190], io.read(data).to_array()[:, :190])
    whole = unnoise.denoise(io.read(data)).to_array()
    assert error(stage[:, 210:], whole[:, 210:]) < 1
    assert error(stage[:, 210:], clean[:, 210:]) < 6


def test_strength_and_model_are_seen_at_once(page: Page, clean: np.ndarray) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    choose(page, "a.png", noisy(clean))
    settled(page)
    page.locator("#divider").focus()
    page.keyboard.press("Home")
    assert page.get_attribute("#divider", "aria-valuetext") == "0 % before, 100 % after"
    sent.clear()
    rough = []
    for strength in (100, 50, 0):
        slide(page, "#strength", strength)
        rough.append(error(at_full_size(page, clean.shape), clean))
    assert rough[0] < 6 < rough[1] < 16 < rough[2] == pytest.approx(25, abs=3)
    assert not [url for url in sent if "denoise" in url]
    page.select_option("#model", "median")
    settled(page)
    assert [url for url in sent if "model=median" in url]
    assert not page.locator("#level-row").is_visible()


def test_results_are_adjusted_by_hand(page: Page, clean: np.ndarray, tmp_path: Path) -> None:
    data = noisy(clean)
    choose(page, "a.png", data)
    settled(page)
    page.select_option("#model", "median")
    page.locator("#fine summary").click()
    for name, percent in {"luma": 50, "color": 80, "detail": 40, "grain": 30}.items():
        slide(page, f"#{name}", percent)
        assert page.inner_text(f"#{name}-said") == f"{percent} %"
    settled(page)
    page.locator("#divider").focus()
    page.keyboard.press("Home")
    shares = {"luma": 0.5, "color": 0.8, "detail": 0.4, "grain": 0.3}
    whole = io.read(unnoise.denoise(data, "median", **shares)).to_array()
    plain = io.read(unnoise.denoise(data, "median")).to_array()
    seen = at_full_size(page, clean.shape)
    assert error(seen, whole) < 6 < error(seen, plain), "but for the grain, which differs in tiles"
    with page.expect_download(timeout=WAIT) as caught:
        page.locator("#download").click()
    caught.value.save_as(tmp_path / "clean.png")
    np.testing.assert_array_equal(io.read(tmp_path / "clean.png").to_array(), whole)


def test_keys_zoom_and_move(page: Page, clean: np.ndarray) -> None:
    choose(page, "a.png", noisy(np.tile(clean, (4, 4, 1))))
    page.locator("#found b").wait_for()
    page.locator("#stage").focus()
    scales, stages = [], []
    for key in ("0", "1", "+", "+", "-", "ArrowRight", "ArrowUp"):
        page.keyboard.press(key)
        stages.append(shown(page))
        scales.append(int(page.inner_text("#scale").removesuffix(" %")))
    assert scales[0] < 100
    assert scales[1:] == [100, 125, 156, 125, 125, 125]
    assert all(error(one, other) > 5 for one, other in itertools.pairwise(stages))
    page.mouse.move(400, 400)
    page.mouse.wheel(0, -400)
    page.wait_for_timeout(100)
    assert int(page.inner_text("#scale").removesuffix(" %")) > 125


def test_several_pictures_become_a_zip(page: Page, clean: np.ndarray, tmp_path: Path) -> None:
    deep = (clean.astype(np.uint16) * 257)[:120, :160]
    files = [file("a.png", noisy(clean)), file("b.tif", noisy(deep, ".tif")), file("a.png", noisy(clean, sigma=10))]
    page.set_input_files("#files", files)
    page.locator("#found b").wait_for()
    assert page.locator("#pictures li").count() == 3
    with page.expect_download(timeout=WAIT) as caught:
        page.get_by_role("button", name="Download all").click()
    caught.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["a.clean.png", "b.clean.tif", "a.clean.2.png"]
        made = io.read(archive.read("b.clean.tif"))
    assert (made.dtype, made.pixels.shape) == (np.uint16, (120, 160, 3))
    page.get_by_role("button", name="Remove a.png").first.click()
    assert page.locator("#pictures li").count() == 2


def test_what_browsers_cannot_open_is_shown(page: Page, clean: np.ndarray) -> None:
    choose(page, "b.tif", noisy(clean.astype(np.uint16) * 257, ".tif"))
    settled(page)
    stage = at_full_size(page, clean.shape)
    assert error(stage[:, :190], clean[:, :190]) == pytest.approx(25, abs=3)
    assert error(stage[:, 210:], clean[:, 210:]) < 6


def test_pages_can_be_turned(page: Page, clean: np.ndarray) -> None:
    pages = np.concatenate([clean, clean[::-1] // 2])
    data = io.encode(from_samples(pages, {"page-height": len(clean)}), ".tif")
    choose(page, "b.tif", data)
    page.locator("#found b").wait_for()
    for number, samples in ((1, clean), (2, clean[::-1] // 2)):
        slide(page, "#page", number)
        assert page.inner_text("#page-said") == f"{number} of 2"
        stage = clean
        for _ in range(100):
            stage = at_full_size(page, clean.shape)
            if (stage[:, :190] == samples[:, :190]).all():
                break
        np.testing.assert_array_equal(stage[:, :190], samples[:, :190])


def test_the_noise_map_shows_noise_alone(page: Page, clean: np.ndarray) -> None:
    choose(page, "a.png", noisy(clean))
    settled(page)
    show(page, "Noise map")
    noise = at_full_size(page, clean.shape)[:, 210:].astype(np.float32)
    assert noise.mean() == pytest.approx(128, abs=4)
    assert noise.std() > 50
    blocks = noise[:296, :184].reshape(37, 8, 23, 8, 3).mean(axis=(1, 3))
    assert blocks.std() < noise.std() / 4  # nothing of the picture is in it


def test_the_uncertainty_map_shows_the_expected_error(page: Page, clean: np.ndarray) -> None:
    choose(page, "a.png", noisy(clean))
    settled(page)
    show(page, "Error map")
    settled(page)
    shown = at_full_size(page, clean.shape)[:, 210:].astype(np.float32)
    assert (shown.max(axis=2) - shown.min(axis=2)).max() <= 1  # grey
    assert 16 < shown.mean() < 16 * 12  # 1 to 12 levels


def test_the_noise_level_of_the_whole_image_is_shown(page: Page, clean: np.ndarray) -> None:
    """It is requested once, and the level of each part is that of the map of the whole image."""
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if "noise-map" in request.url else None)
    whole = np.tile(clean, (1, 2, 1))
    halves = io.read(noisy(whole, sigma=40)).to_array()
    halves[:, :400] = io.read(noisy(whole, sigma=8)).to_array()[:, :400]
    data = io.encode(io.from_array(halves), ".png")
    choose(page, "a.png", data)
    settled(page)
    assert not sent
    show(page, "Noise level")
    page.get_by_role("slider", name="Divider between before and after").press("Home")
    settled(page)
    stage = at_full_size(page, whole.shape)
    expected = noise_maps.map_picture(io.read(data))[0].to_array()
    assert np.median(expected[:, 400:]) > np.median(expected[:, :400]) + 40
    assert stage.shape == whole.shape and np.abs(stage.astype(int) - expected).max() <= 1  # two processes
    assert len(sent) == 1 and page.inner_text("#after") == "Noise level, 0.5 to 64"
    show(page, "Denoised")
    assert roughness(at_full_size(page, whole.shape)) < roughness(halves) / 2


def test_work_can_be_cancelled(page: Page, clean: np.ndarray) -> None:
    choose(page, "a.jpg", noisy(np.tile(clean, (5, 5, 1)), ".jpg"))
    page.locator("#found b").wait_for()
    page.get_by_role("button", name="Download", exact=True).click()
    page.get_by_text(re.compile("^Denoising… [0-9]+ %$")).wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.wait_for_selector("#progress", state="hidden")
    assert page.get_by_role("button", name="Download", exact=True).is_enabled()
    assert page.inner_text("#live") == "Canceled."


def test_a_key_is_asked_for(browser: Browser, clean: np.ndarray) -> None:
    with serving(key="sesame") as url:
        page = open_page(browser, url)
        for key in ("wrong", "sesame"):
            page.get_by_role("textbox", name="Key").fill(key)
            page.get_by_role("button", name="Continue").click()
        choose(page, "a.png", noisy(clean))
        settled(page)
        page.context.close()


def test_everything_that_is_touched_has_a_name(page: Page, clean: np.ndarray) -> None:
    page.set_input_files("#files", [file("a.png", noisy(clean)), file("b.png", noisy(clean))])
    page.locator("#found b").wait_for()
    tree = page.locator("body").aria_snapshot()
    nameless = re.findall(r"^\s*- (button|slider|combobox|radio|textbox)(?: \[.*\])?:?$", tree, flags=re.MULTILINE)
    assert not nameless, tree
    for name in (
        'slider "Strength',
        'slider "Noise level',
        'combobox "Model',
        'radio "Noise map',
        'radio "Error map',
        'button "Loupe',
        'combobox "Language',
        'button "Remove b.png',
    ):
        assert name in tree, name
