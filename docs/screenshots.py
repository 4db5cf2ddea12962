"""Draw the screenshot of the page of `unnoise serve`, with its sample picture, for docs/how-to/serve.md.

python docs/screenshots.py      (needs the extra serve, Playwright and a Chromium)
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pyvips
from playwright.sync_api import sync_playwright

IMAGES = Path(__file__).resolve().parent / "images"
SIZE = {"width": 1280, "height": 800}
WIDTH = 960  # pixels of the file


def draw(address: str) -> bytes:
    """Return a screenshot of the page with its sample picture, once all of it is denoised."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])
        page = opened.new_page(viewport=SIZE, locale="en", color_scheme="light")
        page.set_default_timeout(120_000)
        page.goto(address)
        page.click("#sample")
        page.locator("#found b").wait_for()
        page.wait_for_timeout(500)
        page.wait_for_selector("#stage[aria-busy=false]:not([data-tiles='0'])")
        page.wait_for_timeout(500)
        picture = page.screenshot()
        opened.close()
    return picture


def main() -> None:
    """Start a service, and write the image."""
    command = [sys.executable, "-m", "unnoise", "serve", "--port", "0"]
    service = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert service.stderr is not None
    try:
        picture = draw(json.loads(service.stderr.readline())["address"])
    finally:
        service.terminate()
        service.communicate()
    small = pyvips.Image.new_from_buffer(picture, "").thumbnail_image(WIDTH)
    small.pngsave(str(IMAGES / "page.png"), palette=True, Q=80, dither=0.4, strip=True)


if __name__ == "__main__":
    main()
