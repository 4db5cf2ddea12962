"""Fixtures of the tests that drive the page in Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.conftest import serving
from tests.service.browsing import open_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Run a service; return its address."""
    pytest.importorskip("fastapi", reason="needs the extra serve")
    with serving() as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Run Chromium without a window."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
    if BROWSER is None:
        pytest.skip("needs a Chromium: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=BROWSER, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """Open the page on a desktop; any error in it, or a request to another host, fails the test."""
    opened, wrong = open_page(browser, "about:blank"), []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda said: wrong.append(said.text) if "Security Policy" in said.text else None)
    opened.on("request", lambda sent: wrong.append(sent.url) if not sent.url.startswith((address, "blob:")) else None)
    opened.goto(address)
    yield opened
    opened.context.close()
    assert not wrong


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    """Return a picture with soft edges, uint8 RGB."""
    y, x = np.mgrid[:300, :400] / 40
    return np.stack([120 + 60 * np.sin(x), 110 + 50 * np.cos(x + y), 130 + 40 * np.sin(2 * y)], axis=-1).astype(
        np.uint8
    )
