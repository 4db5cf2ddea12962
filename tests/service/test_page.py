"""The page in Chromium, driven by Playwright, with a service of its own."""

from __future__ import annotations

import base64
import itertools
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import unnoise
from unnoise import io
from unnoise.io.picture import from_samples
from unnoise.pipeline import noise_maps

pytest.importorskip("fastapi", reason="needs the extra serve")
from tests.conftest import serving

sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if BROWSER is None:
    pytest.skip("needs a Chromium: apt-get install chromium", allow_module_level=True)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ARGUMENTS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
pytestmark = pytest.mark.browser
WAIT = 60_000  # milliseconds; a bound for busy machines, and no measure of anything
SIDES = {"desktop": (1280, 800), "phone": (390, 844)}

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving() as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=BROWSER, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """Open the page on a desktop; any error in it, or a request to another host, fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    opened, wrong = context.new_page(), []
    opened.set_default_timeout(WAIT)
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda said: wrong.append(said.text) if "Security Policy" in said.text else None)
    opened.on("request", lambda sent: wrong.append(sent.url) if not sent.url.startswith((address, "blob:")) else None)
    opened.goto(address)
    yield opened
    context.close()
    assert not wrong


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    """Return a picture with soft edges, uint8 RGB."""
    y, x = np.mgrid[:300, :400] / 40
    return np.stack([120 + 60 * np.sin(x), 110 + 50 * np.cos(x + y), 130 + 40 * np.sin(2 * y)], axis=-1).astype(
        np.uint8
    )


def noisy(samples: np.ndarray, suffix: str = ".png", sigma: float = 25) -> bytes:
    picture = unnoise.add_noise(io.from_array(samples), f"gaussian:{sigma} + clip")
    return io.encode(picture, suffix, quality=92 if suffix == ".jpg" else None)


def file(name: str, data: bytes) -> Any:
    kinds = {"jpg": "image/jpeg", "png": "image/png", "tif": "image/tiff", "txt": "text/plain"}
    return {"name": name, "mimeType": kinds[name.rpartition(".")[2]], "buffer": data}


def error(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.mean((one.astype(np.float32) - other) ** 2)) ** 0.5


def shown(page: Page) -> np.ndarray:
    """Return the stage without overlays, uint8 RGB."""
    page.wait_for_timeout(100)  # it is painted with the next frame
    data = page.evaluate("document.getElementById('canvas').toDataURL().split(',')[1]")
    return io.read(base64.b64decode(data)).to_array()[..., :3]


def at_full_size(page: Page, size: tuple[int, ...]) -> np.ndarray:
    """Return an image of the stage, pixel for pixel."""
    page.locator("#stage").focus()
    page.keyboard.press("1")
    assert page.inner_text("#scale") == "100 %"
    stage = shown(page)
    top, left = ((side - own) // 2 for side, own in zip(stage.shape[:2], size[:2], strict=True))
    return stage[top : top + size[0], left : left + size[1]]


def roughness(samples: np.ndarray) -> float:
    return float(np.abs(np.diff(samples.astype(np.float32), axis=0)).mean())


def settled(page: Page) -> None:
    """Wait until the noise is estimated and all that is in view is denoised, in whatever order."""
    page.locator("#found b").wait_for()
    page.wait_for_timeout(200)  # a change is drawn with the next frame
    page.wait_for_selector("#stage[aria-busy=false]:not([data-tiles='0'])")


def slide(page: Page, control: str, value: float) -> None:
    page.locator(control).evaluate(
        "(control, value) => { control.value = value; control.dispatchEvent(new Event('input')); }", value
    )


def choose(page: Page, name: str, data: bytes) -> None:
    page.set_input_files("#files", file(name, data))


def drop(page: Page, name: str, data: bytes) -> None:
    """Drop a file as a user would."""
    transfer = page.evaluate_handle(
        """([name, data]) => {
            const transfer = new DataTransfer();
            const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
            transfer.items.add(new File([bytes], name, { type: "image/jpeg" }));
            return transfer;
        }""",
        [name, base64.b64encode(data).decode()],
    )
    for event in ("dragenter", "dragover", "drop"):
        page.dispatch_event("#welcome", event, {"dataTransfer": transfer})


def test_a_twelve_megapixel_jpeg_from_drop_to_download(page: Page, clean: np.ndarray, tmp_path: Path) -> None:
    grain = io.read(noisy(clean)).to_array()
    data = io.encode(io.from_array(np.tile(grain, (10, 10, 1))), ".jpg", quality=92)
    drop(page, "night.jpg", data)
    settled(page)
    assert "Gaussian noise" in page.inner_text("#found")
    assert "4000 × 3000" in page.inner_text("#found")
    assert page.inner_text("#scale") == "100 %"
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
    page.get_by_text("Noise map").click()
    noise = at_full_size(page, clean.shape)[:, 210:].astype(np.float32)
    assert noise.mean() == pytest.approx(128, abs=4)
    assert noise.std() > 50
    blocks = noise[:296, :184].reshape(37, 8, 23, 8, 3).mean(axis=(1, 3))
    assert blocks.std() < noise.std() / 4  # nothing of the picture is in it


def test_the_uncertainty_map_shows_the_expected_error(page: Page, clean: np.ndarray) -> None:
    choose(page, "a.png", noisy(clean))
    settled(page)
    page.get_by_text("Error map").click()
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
    page.get_by_text("Noise level", exact=True).click()
    page.wait_for_selector("#busy", state="hidden")
    page.get_by_role("slider", name="Divider between before and after").press("Home")
    stage = at_full_size(page, whole.shape)
    expected = noise_maps.map_picture(io.read(data))[0].to_array()
    assert np.median(expected[:, 400:]) > np.median(expected[:, :400]) + 40
    assert stage.shape == whole.shape and np.abs(stage.astype(int) - expected).max() <= 1  # two processes
    assert len(sent) == 1 and page.inner_text("#after") == "Noise level, 0.5 to 64"
    page.get_by_text("Denoised").click()
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


def test_errors_are_shown_in_plain_words(page: Page) -> None:
    choose(page, "a.txt", b"no picture at all")
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert "not a supported image" in alert.inner_text()


def test_a_key_is_asked_for(browser: Browser, clean: np.ndarray) -> None:
    with serving(key="sesame") as url:
        context = browser.new_context()
        page = context.new_page()
        page.set_default_timeout(WAIT)
        page.goto(url)
        for key in ("wrong", "sesame"):
            page.get_by_role("textbox", name="Key").fill(key)
            page.get_by_role("button", name="Continue").click()
        choose(page, "a.png", noisy(clean))
        settled(page)
        context.close()


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_every_screen(browser: Browser, address: str, clean: np.ndarray, side: str, scheme: Any) -> None:
    width, height = SIDES[side]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(WAIT)
    page.goto(address)
    shown = io.read(page.screenshot()).to_array()
    assert (shown[-4, 4, :3].mean() > 128) == (scheme == "light")
    choose(page, "a-name-that-is-longer-than-any-thumbnail-is-wide.png", noisy(clean))
    page.locator("#found b").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for name in ("#divider", "#download", "#strength", "#fit"):
        page.locator(name).scroll_into_view_if_needed()
        box = page.locator(name).bounding_box()
        assert box is not None
        assert box["x"] >= 0 and box["x"] + box["width"] <= width, name
        assert box["height"] >= 28, name
    context.close()


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
        'button "Remove b.png',
    ):
        assert name in tree, name
