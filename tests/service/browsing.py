"""Helpers of the tests that drive the page in Chromium; the fixtures are in `conftest.py`."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import numpy as np

import unnoise
from unnoise import io

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WAIT = 60_000  # milliseconds; a bound for busy machines, and no measure of anything
SIDES = {"desktop": (1280, 800), "phone": (390, 844), "sideways": (844, 390)}


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


def show(page: Page, view: str) -> None:
    """Choose what the tiles show."""
    page.locator("#views").get_by_text(view, exact=True).click()


def open_page(browser: Browser, address: str, side: str = "desktop", **options: Any) -> Page:
    """Open the page in a context of its own, which the caller closes."""
    width, height = SIDES[side]
    page = browser.new_context(viewport={"width": width, "height": height}, **options).new_page()
    page.set_default_timeout(WAIT)
    page.goto(address)
    return page
