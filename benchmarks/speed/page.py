"""The page without a server in Chromium, beside the command line: seconds for an image of two megapixels, and PSNR.

    python benchmarks/speed/page.py [--megapixels 2] [--onnxruntime FILE.tgz] [--browser chromium]

The image is tiled from scikit-image's photographs, with Gaussian noise of sigma 25, as a PNG, and as a JPEG of quality
95. The page is loaded and its networks are warm after the first, small image; what is timed is from the choice of the
file to the download: reading, noise estimation, the part in view, the whole image, writing. The network of the browser
is switched off.
"""

from __future__ import annotations

import functools
import http.server
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

import common
import numpy as np
from denoisers import photograph

from unnoise import io, noise
from unnoise.evaluation import report
from unnoise.evaluation.metrics import psnr
from unnoise.page.build import build

SIGMA = 25
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
WAIT = 600_000  # milliseconds


@dataclass(frozen=True)
class Row:
    """One image, in the page and by the command line."""

    image: str
    engine: str
    seconds: float
    psnr_page: float
    psnr_command: float


class Handler(http.server.SimpleHTTPRequestHandler):
    """A static host that says nothing."""

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


def images(megapixels: float, folder: Path) -> tuple[np.ndarray, list[Path]]:
    """Write the noisy images; return the clean one."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    sheet = photograph()
    clean = np.tile(sheet, (-(-height // sheet.shape[0]), -(-height * 4 // 3 // sheet.shape[1]), 1))
    clean = clean[:height, : height * 4 // 3]
    noisy = noise.make(f"gaussian:{SIGMA} + clip")(clean, 0)
    files = [folder / "noisy.png", folder / "noisy.jpg"]
    for file in files:
        common.save_image(noisy, file, quality=95)
    common.save_image(noisy[:128, :128], folder / "small.png", quality=95)
    return clean, files


def main() -> None:
    """Print the table."""
    from playwright.sync_api import sync_playwright

    parser = common.parser(__doc__)
    parser.add_argument("--megapixels", type=float, default=2)
    parser.add_argument("--onnxruntime", type=Path)
    parser.add_argument("--browser", default=shutil.which("chromium"))
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        folder = Path(temporary)
        build(folder / "page", arguments.onnxruntime)
        clean, files = images(arguments.megapixels, folder)
        handler = functools.partial(Handler, directory=str(folder / "page"))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=arguments.browser, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(WAIT)
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        page.wait_for_selector("html[data-engine]")
        server.shutdown()
        page.context.set_offline(True)
        for file in [folder / "small.png", *files]:
            start = time.perf_counter()
            page.set_input_files("#files", file)
            page.locator("#found b").wait_for()
            with page.expect_download() as download:
                page.click("#download")
            result = io.read(Path(download.value.path()).read_bytes())
            seconds = time.perf_counter() - start
            page.locator(".remove").click()
            if file.stem == "small":
                continue
            target = file.with_stem("command")
            subprocess.run([*common.UNNOISE, str(file), "-o", str(target)], check=True, stdout=subprocess.DEVNULL)
            engine = page.evaluate("document.documentElement.dataset.engine")
            rows.append(
                Row(file.suffix, engine, seconds, psnr(clean, result.pixels), psnr(clean, io.read(target).pixels))
            )
        browser.close()
    print(report.markdown(rows))


if __name__ == "__main__":
    main()
