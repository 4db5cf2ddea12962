"""What the page does for its user: the loupe, failures, noise that is left, focus, and work that could be lost."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import unnoise
from tests.service.browsing import choose, error, file, noisy, open_page, roughness, settled, slide
from unnoise import io

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.id || document.activeElement.className"))


def lens(page: Page) -> list[np.ndarray]:
    """Return what the loupe shows, before and after, uint8 RGB."""
    page.wait_for_timeout(300)
    data = page.evaluate("document.querySelector('#lens canvas').toDataURL().split(',')[1]")
    samples = io.read(base64.b64decode(data)).to_array()[..., :3]
    half = (samples.shape[1] - 2) // 2
    return [samples[:, :half], samples[:, half + 2 : 2 * half + 2]]


def find(part: np.ndarray, whole: np.ndarray) -> tuple[int, int]:
    """Return where a part of an image is in it, pixel for pixel."""
    height, width = part.shape[:2]
    for y, x in np.argwhere((whole[: 1 - height, : 1 - width] == part[0, 0]).all(axis=2)):
        if (whole[y : y + height, x : x + width] == part).all():
            return int(y), int(x)
    raise AssertionError("the part is nowhere in the image")


def test_an_image_opens_as_a_whole_with_a_loupe(page: Page, clean: np.ndarray) -> None:
    whole = np.tile(clean, (4, 4, 1))
    data = noisy(whole)
    samples = io.read(data).to_array()
    choose(page, "a.png", data)
    settled(page)
    assert int(page.inner_text("#scale").removesuffix(" %")) < 100
    before, after = lens(page)
    y, x = find(before, samples)
    assert error(after, whole[y : y + len(after), x : x + after.shape[1]]) < 8
    page.locator("#stage").focus()
    page.keyboard.press("ArrowLeft")
    settled(page)
    there = find(lens(page)[0], samples)
    assert there[0] == y and there[1] < x
    stage = page.locator("#stage").bounding_box()
    assert stage is not None
    page.mouse.click(stage["x"] + 0.4 * stage["width"], stage["y"] + 0.2 * stage["height"])
    settled(page)
    assert find(lens(page)[0], samples)[0] < y
    page.keyboard.press("l")
    page.wait_for_selector("#lens", state="hidden")
    assert page.get_attribute("#loupe", "aria-pressed") == "false"
    page.get_by_role("button", name="Loupe").click()
    page.wait_for_selector("#lens")
    page.get_by_role("button", name="100 %").click()
    page.wait_for_selector("#lens", state="hidden")  # all of it is at 100 % now


def test_only_what_is_right_of_the_divider_is_requested(page: Page, clean: np.ndarray) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if "denoise" in request.url else None)
    page.keyboard.press("End")
    choose(page, "a.png", noisy(np.tile(clean, (4, 8, 1))))  # 7 x 3 tiles
    settled(page)
    half = len(sent)
    assert half <= 4 * 3
    page.locator("#divider").press("Home")
    settled(page)
    assert len(sent) > half


FAILING = {
    "empty": ("a.png", b"", "The file is empty"),
    "text": ("a.txt", b"no picture at all", "export it as JPEG"),
    "raw": ("a.png", b"FUJIFILMCCD-RAW " + bytes(99), "develop it first"),
    "damaged": ("a.png", noisy(np.full((60, 60, 3), 128, np.uint8))[:2000], "Copy it again"),
    "too large": (
        "a.png",
        io.encode(io.from_array(np.zeros((8000, 8000), np.uint8)), ".png"),
        "Make it smaller",
    ),
}


@pytest.mark.parametrize("kind", FAILING)
def test_a_file_that_fails_says_why_and_what_to_do(page: Page, kind: str) -> None:
    name, data, advice = FAILING[kind]
    choose(page, name, data)
    alert = page.get_by_role("alert").and_(page.locator("#failure"))
    alert.wait_for()
    assert f"{name} cannot be opened" in alert.inner_text()
    assert advice in alert.inner_text()
    for hidden in ("#divider", "#download", "#bar", "#strength", "#mark", "#lens"):
        assert not page.locator(hidden).is_visible(), hidden
    assert page.inner_text(".thumb .state").endswith("Failed")
    assert focused(page) == "failure"
    page.get_by_role("button", name="Remove it").click()
    assert page.get_by_role("button", name="Choose images").is_visible()
    assert focused(page) == "choose"


def test_a_failed_thumbnail_is_marked_without_being_opened(page: Page, clean: np.ndarray) -> None:
    tiff = noisy(clean, ".tif")
    page.set_input_files("#files", [file("a.png", noisy(clean)), file("b.txt", b"nothing"), file("c.tif", tiff)])
    settled(page)
    page.locator("li.failed").wait_for()
    assert "b.txt" in page.inner_text("li.failed") and "Failed" in page.inner_text("li.failed")
    page.locator("li").nth(2).locator("canvas[width='200']").wait_for()  # drawn, though browsers cannot open it
    assert page.locator("li.failed").count() == 1
    assert page.locator("#divider").is_visible()


def test_a_failed_image_can_be_tried_again(page: Page, clean: np.ndarray) -> None:
    page.route("**/v1/inspect*", lambda route: route.abort())
    choose(page, "a.png", noisy(clean))
    page.locator("#failure").wait_for()
    assert "cannot be reached" in page.inner_text("#failure")
    page.unroute("**/v1/inspect*")
    page.get_by_role("button", name="Try again").click()
    settled(page)
    assert not page.locator("#failure").is_visible()
    assert not page.locator("li.failed").count()


def test_noise_that_is_left_is_said_and_can_be_removed(page: Page, clean: np.ndarray) -> None:
    choose(page, "a.png", noisy(clean))
    settled(page)
    page.wait_for_timeout(1500)
    assert not page.locator("#left").is_visible()  # none is left at first
    slide(page, "#strength", 50)
    page.locator("#left").wait_for()
    page.get_by_role("button", name="Remove more").click()
    assert page.inner_text("#strength-said") == "100 %"
    assert focused(page) == "strength"
    page.wait_for_timeout(1500)
    assert not page.locator("#left").is_visible()
    slide(page, "#level", 12)
    page.locator("#left").wait_for()
    level = 12.0
    while page.locator("#more").is_visible():
        page.locator("#more").click()
        settled(page)
        page.wait_for_timeout(1500)
        raised = float(page.input_value("#level"))
        assert raised > level
        level = raised
    assert 15 < level < 40


def test_the_sample_is_noisy_and_becomes_clean(page: Page) -> None:
    page.get_by_role("button", name="Try a sample picture").click()
    settled(page)
    assert page.inner_text("#found").startswith("Noise: even, sigma 2")
    assert roughness(lens(page)[1]) < roughness(lens(page)[0]) / 4


def test_the_focus_is_never_lost(page: Page, clean: np.ndarray) -> None:
    page.on("filechooser", lambda _: None)  # from now on Playwright opens it, which takes a while
    page.wait_for_timeout(300)

    def add(button: str, *names: str) -> None:
        page.locator(button).focus()
        with page.expect_file_chooser() as chooser:
            page.keyboard.press("Enter")
        chooser.value.set_files([file(name, noisy(clean)) for name in names])
        page.locator("#pictures li").nth(len(names) - 1).wait_for()

    add("#choose", "a.png")
    assert focused(page) == "stage"
    page.locator("#found b").wait_for()
    add("#add", "b.png", "c.png")
    assert focused(page) == "add"
    assert page.inner_text("#live") == "2 images added."
    for name, left in (("c.png", "thumb"), ("a.png", "thumb"), ("b.png", "choose")):
        page.get_by_role("button", name=f"Remove {name}").press("Enter")
        assert focused(page) == left


def test_it_asks_before_work_is_lost(browser: Browser, address: str, clean: np.ndarray) -> None:
    page = open_page(browser, address)
    asked: list[str] = []

    def reload() -> int:
        asked.clear()
        page.reload()
        return len(asked)

    def answer(dialog: Any) -> None:
        asked.append(dialog.type)
        dialog.accept()

    page.on("dialog", answer)
    choose(page, "a.png", noisy(clean))
    settled(page)
    assert reload() == 0  # nothing was done to it
    choose(page, "a.png", noisy(clean))
    settled(page)
    page.locator("#strength").focus()
    page.keyboard.press("ArrowLeft")
    assert reload() == 1
    choose(page, "a.png", noisy(clean))
    settled(page)
    page.locator("#strength").focus()
    page.keyboard.press("ArrowLeft")
    with page.expect_download():
        page.get_by_role("button", name="Download", exact=True).click()
    page.locator("#progress").wait_for(state="hidden")
    assert reload() == 0  # it was downloaded
    page.context.close()


def test_it_works_without_javascript(browser: Browser, address: str, clean: np.ndarray, tmp_path: Path) -> None:
    page = open_page(browser, address, java_script_enabled=False)
    assert not page.get_by_role("button", name="Choose images").is_visible()
    data = noisy(clean)
    page.set_input_files("#picture", file("a.png", data))
    with page.expect_download() as caught:
        page.get_by_role("button", name="Denoise").click()
    caught.value.save_as(tmp_path / "clean.png")
    assert error(io.read(tmp_path / "clean.png").to_array(), io.read(unnoise.denoise(data)).to_array()) < 1
    for language in ("de", "fr"):
        assert page.locator(f"noscript p[lang={language}], p[lang={language}]").first.is_visible()
    page.context.close()
