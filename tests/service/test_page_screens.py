"""The page on every screen and in every language: what is in reach, what it is called, and axe-core's rules."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.service.browsing import SIDES, choose, file, noisy, open_page, settled, slide
from unnoise import io

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser
LANGUAGES = ("en", "de", "fr")
LONG = "a-name-that-is-longer-than-any-thumbnail-is-wide.png"
CONTROLS = (
    *("#add", "#language", "#divider", "#out", "#in", "#fit", "#full", "#loupe", "#model", "#strength", "#level"),
    *("#more", "#same", "#download-all", "#format", "#download", ".thumb >> nth=0", ".remove >> nth=1"),
    *(f"#views label >> nth={number}" for number in range(4)),
)
REACHED = """element => {
    const { left, top, width, height } = element.getBoundingClientRect();
    const hit = document.elementFromPoint(left + width / 2, top + height / 2);
    return element.contains(hit) && left >= 0 && left + width <= innerWidth && width >= 24 && height >= 24;
}"""
BOXES = """() => Object.fromEntries(["bar", "stage", "strip", "panel"].map((id) => {
    const { left, top, right, bottom } = document.getElementById(id).getBoundingClientRect();
    return [id, [left, top, right, bottom]];
}))"""
NAMED = """async () => {
    const html = new DOMParser().parseFromString(await (await fetch("/")).text(), "text/html");
    const read = {
        text: (element) => element.textContent,
        label: (element) => element.getAttribute("aria-label"),
        title: (element) => element.title,
    };
    const find = (kind) => [...html.querySelectorAll(`[data-${kind}]`)];
    return Object.keys(read).flatMap((kind) => find(kind).map((one) => [one.dataset[kind], read[kind](one)]));
}"""
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture(scope="module")
def axe() -> str:
    """Return the source of axe-core."""
    path = os.environ.get("UNNOISE_AXE")
    if not path:
        pytest.skip("needs axe-core: npm pack axe-core, unpack it, and set UNNOISE_AXE to its axe.min.js")
    return Path(path).read_text("utf-8")


def with_noise_left(page: Page, clean: np.ndarray) -> None:
    """Add two images, and have noise left in the first: every control is shown."""
    large = noisy(np.tile(clean, (3, 4, 1)))
    page.set_input_files("#files", [file(LONG, large), file("b.png", noisy(clean))])
    settled(page)
    slide(page, "#strength", 50)
    page.locator("#left").wait_for()


def overlap(one: list[float], other: list[float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("side", SIDES)
def test_everything_is_in_reach(browser: Browser, address: str, clean: np.ndarray, side: str, language: str) -> None:
    page = open_page(browser, address, side, locale=language)
    with_noise_left(page, clean)
    assert page.evaluate("document.documentElement.scrollWidth") <= SIDES[side][0]
    for control in CONTROLS:
        page.locator(control).scroll_into_view_if_needed()
        assert page.locator(control).evaluate(REACHED), control
    boxes = page.evaluate(BOXES)
    for name, box in boxes.items():
        assert not [other for other in boxes if other > name and overlap(box, boxes[other])], name
    if side != "phone":  # where the page itself scrolls
        assert all(box[3] <= SIDES[side][1] for box in boxes.values())
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("side", SIDES)
def test_axe_core_finds_nothing(
    browser: Browser, address: str, clean: np.ndarray, axe: str, side: str, scheme: Any
) -> None:
    page = open_page(browser, address, side, color_scheme=scheme)
    page.evaluate(axe)
    found = {}

    def check(state: str) -> None:
        page.wait_for_timeout(300)  # transitions of colors
        result = page.evaluate("rules => axe.run(document, { runOnly: rules })", RULES)
        assert len(result["passes"]) > 20
        for one in result["violations"]:
            found[f"{state}: {one['id']}"] = [node["failureSummary"] for node in one["nodes"]]

    check("start")
    with_noise_left(page, clean)
    check("work")
    choose(page, "c.txt", b"no picture")
    page.locator(".thumb").last.click()
    page.locator("#failure").wait_for()
    check("failure")
    page.context.close()
    assert not found


def test_dark_and_light_follow_the_system(browser: Browser, address: str) -> None:
    for scheme in ("light", "dark"):
        page = open_page(browser, address, color_scheme=scheme)
        shown = io.read(page.screenshot()).to_array()
        assert (shown[-4, 4, :3].mean() > 128) == (scheme == "light")
        page.context.close()


@pytest.mark.parametrize("side", ["phone", "sideways"])
def test_a_phone_begins_with_the_button(browser: Browser, address: str, side: str) -> None:
    page = open_page(browser, address, side)
    button = page.get_by_role("button", name="Choose a photo")
    assert button.evaluate(REACHED)
    inside, around = button.bounding_box(), page.locator("#scene").bounding_box()
    assert inside is not None and around is not None
    assert inside["y"] < around["y"] or inside["x"] < around["x"]
    for text in ("Drop noisy images here", "or paste one, or"):
        assert not page.get_by_text(text).is_visible()
    page.context.close()


def test_all_languages_have_the_same_texts(page: Page) -> None:
    """And the HTML, before a script has run, has those of the English table."""
    tables = page.evaluate("import('./words.js').then((words) => words.LANGUAGES)")
    assert set(tables) == set(LANGUAGES)
    places = page.evaluate(
        """tables => Object.fromEntries(Object.entries(tables).map(([language, table]) => [language, Object.fromEntries(
            Object.entries(table).map(([key, text]) => [key, (text.match(/[{]\\w+[}]/g) ?? []).sort()]))]))""",
        tables,
    )
    assert places["en"] == places["de"] == places["fr"]
    for language in ("de", "fr"):
        same = {key for key, text in tables[language].items() if text and text == tables["en"][key]}
        assert len(same) < 20, same
    named = page.evaluate(NAMED)
    assert len(named) > 40
    for key, text in named:
        assert tables["en"][key] == text, key


def test_the_language_is_that_of_the_browser_until_another_is_chosen(browser: Browser, address: str) -> None:
    for locale, language, promise in (
        ("de-AT", "de", "Bilder werden"),
        ("nl", "en", "Images are"),
        ("fr-CA", "fr", "Les images"),
    ):
        page = open_page(browser, address, locale=locale)
        assert page.evaluate("document.documentElement.lang") == language
        assert page.locator(".promise.by-service").inner_text().startswith(promise)
        page.context.close()


def test_a_chosen_language_is_kept_and_changes_all(browser: Browser, address: str, clean: np.ndarray) -> None:
    page = open_page(browser, address)
    with_noise_left(page, clean)
    page.select_option("#language", "de")
    said = page.locator("body").inner_text()
    for text in (
        "Rauschen: gleichmäßig",
        "Etwas Rauschen ist übrig",
        "Entfernt vom Modell",
        "Stärke",
        "Rauschbild",
        "0,",
    ):
        assert text in said, text
    tree = page.locator("body").aria_snapshot()
    assert 'button "b.png entfernen"' in tree and "Automatisch" in tree
    assert page.get_attribute("#divider", "aria-valuetext") == "50 % vorher, 50 % nachher"
    assert page.input_value("#strength") == "50"
    page.on("dialog", lambda dialog: dialog.accept())
    page.reload()
    assert page.get_by_role("button", name="Bilder auswählen").is_visible()
    page.context.close()
