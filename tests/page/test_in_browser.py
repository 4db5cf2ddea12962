"""The page without a server in Chromium: what it writes, compared with the command line, and that nothing leaves it.

ONNX Runtime for browsers is the file or folder that UNNOISE_ONNXRUNTIME_WEB names, or is downloaded.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import shutil
import struct
import threading
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageCms
from skimage import data

import unnoise
from unnoise import io
from unnoise.errors import UnnoiseError
from unnoise.evaluation import metrics
from unnoise.io import jpeg_encoder
from unnoise.page.build import build

sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if BROWSER is None:
    pytest.skip("needs a Chromium: apt-get install chromium", allow_module_level=True)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

PACKAGE = "UNNOISE_ONNXRUNTIME_WEB"
ARGUMENTS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
pytestmark = pytest.mark.browser
WAIT = 120_000  # milliseconds; a bound for busy machines, and no measure of anything


class Site:
    """A static host of a folder, which notes what it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        site = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self.path)
                super().do_GET()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))
        )
        self.address = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("site") / "page"
    package = os.environ.get(PACKAGE)
    try:
        build(made, Path(package) if package else None)
    except UnnoiseError as error:
        if package:
            raise
        pytest.skip(f"set {PACKAGE} to the npm package onnxruntime-web: {error}")
    return made


@pytest.fixture
def site(folder: Path) -> Iterator[Site]:
    host = Site(folder)
    yield host
    host.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=BROWSER, args=ARGUMENTS)
        yield opened
        opened.close()


@contextlib.contextmanager
def profile(browser: Browser, address: str, **options: Any) -> Iterator[BrowserContext]:
    """Yield a new profile; an error in a page of it, or a request to another host, fails the test."""
    opened, wrong = browser.new_context(viewport={"width": 1280, "height": 800}, **options), []
    opened.on("request", lambda sent: wrong.append(sent.url) if not sent.url.startswith((address, "blob:")) else None)
    opened.on("weberror", lambda error: wrong.append(str(error.error)))
    yield opened
    opened.close()
    assert not wrong


def start(context: BrowserContext, address: str) -> Page:
    page = context.new_page()
    page.set_default_timeout(WAIT)
    page.goto(address)
    page.wait_for_selector("html[data-engine]")
    return page


@pytest.fixture(scope="module")
def started(browser: Browser, folder: Path) -> Iterator[Page]:
    host = Site(folder)
    with profile(browser, host.address) as context:
        yield start(context, host.address)
    host.stop()


@pytest.fixture
def page(started: Page) -> Iterator[Page]:
    """Yield the page, which all tests share, without images."""
    yield started
    while started.locator(".remove").count():
        started.locator(".remove").first.click()


def asked_since(site: Site, before: int) -> list[str]:
    """Return what the host was asked for, but for the browser's own look for a newer service worker."""
    return [path for path in site.asked[before:] if path != "/sw.js"]


def photo() -> np.ndarray:
    return data.astronaut()[40:340, 60:460]


def added(samples: np.ndarray, noise: str) -> io.Picture:
    return unnoise.add_noise(io.from_array(samples), noise)


def choose(page: Page, name: str, content: bytes) -> None:
    page.set_input_files("#files", {"name": name, "mimeType": "application/octet-stream", "buffer": content})


def denoised(page: Page, name: str, content: bytes) -> bytes:
    """Choose a file, and return what is downloaded."""
    choose(page, name, content)
    page.locator("#found b").wait_for()
    with page.expect_download() as download:
        page.click("#download")
    result = Path(download.value.path()).read_bytes()
    assert not page.is_visible("#alert") and not page.is_visible("#failure")
    return result


def by_command(content: bytes) -> bytes:
    """Return what the command line writes for a file."""
    return io.encode(unnoise.denoise(io.read(content)), io.suffix_of(content))


def psnr(content: bytes, clean: np.ndarray) -> float:
    top = np.float32(np.iinfo(clean.dtype).max)
    return metrics.psnr(clean / top, io.read(content).pixels)


NOISES = {
    "gaussian": "gaussian:25 + clip",
    "signal-dependent": "poisson:30 + clip",
    "impulse": "salt-pepper:0.05",
    "mixed": "gaussian:25 + salt-pepper:0.05 + clip",
    "correlated": "camera:3200",
}


@pytest.mark.parametrize("kind", NOISES)
def test_a_picture_is_denoised_as_by_the_command_line(page: Page, kind: str) -> None:
    noisy = added(photo(), NOISES[kind])
    content = io.encode(noisy, ".png")
    assert unnoise.inspect(noisy).kind == kind
    ours, theirs = denoised(page, "noisy.png", content), by_command(content)
    assert psnr(ours, photo()) == pytest.approx(psnr(theirs, photo()), abs=0.05)
    assert psnr(ours, photo()) > psnr(content, photo()) + 1
    difference = io.read(ours).to_array().astype(int) - io.read(theirs).to_array()
    assert np.abs(difference).max() <= 1, "the same but for rounding"


def test_gray_images_are_denoised_as_by_the_command_line(page: Page) -> None:
    gray = photo().mean(axis=2).astype(np.uint8)
    content = io.encode(added(gray, "gaussian:25 + clip"), ".png")
    ours = io.read(denoised(page, "gray.png", content)).to_array()
    theirs = io.read(by_command(content)).to_array()
    assert ours.shape == theirs.shape == (300, 400, 1)
    assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_nothing_leaves_the_page_and_it_works_without_a_network(browser: Browser, site: Site) -> None:
    content = io.encode(added(photo(), "gaussian:25 + clip"), ".png")
    with profile(browser, site.address) as context:
        page = start(context, site.address)
        assert page.evaluate("crossOriginIsolated"), "threads need it"
        assert "wasm" in page.evaluate("document.documentElement.dataset.engine")
        before = len(site.asked)
        denoised(page, "noisy.png", content)
        page.locator("#views input[value=level]").evaluate("(choice) => choice.click()")
        page.wait_for_selector("#stage[aria-busy=false]:not([data-tiles='0'])")
        assert asked_since(site, before) == [], "no request, not even to the host of the page"
        site.stop()
        context.set_offline(True)
        page.reload()
        page.wait_for_selector("html[data-engine]")
        ours, theirs = denoised(page, "noisy.png", content), by_command(content)
        assert psnr(ours, photo()) == pytest.approx(psnr(theirs, photo()), abs=0.05)


REFUSED = {
    "fetch": "fetch(URL).then(() => 'sent', () => 'refused')",
    "post": "fetch(URL, {method: 'POST', body: 'x', mode: 'no-cors'}).then(() => 'sent', () => 'refused')",
    "request": "new Promise((done) => { const sent = new XMLHttpRequest(); sent.onload = () => done('sent');"
    " sent.onerror = () => done('refused'); sent.open('GET', URL); sent.send(); })",
    "socket": "new Promise((done) => { try { const sent = new WebSocket(URL.replace('http', 'ws'));"
    " sent.onerror = () => done('refused'); sent.onopen = () => done('sent'); } catch { done('refused'); } })",
}


@pytest.mark.parametrize("workers", ["allow", "block"])
def test_neither_the_page_nor_its_worker_can_connect_to_anything(browser: Browser, site: Site, workers: str) -> None:
    with contextlib.closing(browser.new_context(service_workers=workers)) as context:
        page = start(context, site.address)
        assert page.evaluate("crossOriginIsolated") is (workers == "allow")
        before = len(site.asked)
        (worker,) = [worker for worker in page.workers if worker.url.startswith("blob:")]
        for place in (page, worker):
            for name, code in REFUSED.items():
                for address in (f"{site.address}?secret", f"{site.address.replace('127.0.0.1', 'localhost')}?secret"):
                    assert place.evaluate(code.replace("URL", repr(address))) == "refused", (name, address)
        assert asked_since(site, before) == []


def test_without_a_service_worker_it_works_on_one_thread(browser: Browser, site: Site) -> None:
    content = io.encode(added(photo(), "gaussian:25 + clip"), ".png")
    with profile(browser, site.address, service_workers="block") as context:
        page = start(context, site.address)
        assert page.evaluate("document.documentElement.dataset.engine") == "wasm, threads: 1"
        ours, theirs = denoised(page, "noisy.png", content), by_command(content)
        assert psnr(ours, photo()) == pytest.approx(psnr(theirs, photo()), abs=0.05)


def test_16_bits_stay_16_bits_with_all_that_is_beside_the_pixels(page: Page) -> None:
    clean = photo().astype(np.uint16) * 257
    alpha = np.arange(clean[..., 0].size, dtype=np.uint16).reshape(*clean.shape[:2], 1)
    noisy = added(clean, "gaussian:15 + clip").to_array()
    plain = io.encode(io.from_array(np.concatenate([noisy, alpha], axis=2)), ".png")
    content = with_chunks(plain, [(b"tEXt", b"Author\0somebody"), (b"pHYs", bytes([0, 0, 11, 19, 0, 0, 11, 19, 1]))])
    ours = io.read(denoised(page, "deep.png", content))
    theirs = io.read(by_command(content))
    assert ours.dtype == np.uint16
    np.testing.assert_array_equal(ours.alpha, alpha)
    assert np.abs(ours.to_array().astype(int) - theirs.to_array()).max() <= 16
    assert ours.metadata["xres"] == theirs.metadata["xres"] == 2.835
    file = denoised(page, "deep.png", content)
    assert b"tEXtAuthor\0somebody" in file


def with_chunks(png: bytes, chunks: list[tuple[bytes, bytes]]) -> bytes:
    made = (
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )
    return png[:33] + b"".join(made) + png[33:]


def jpeg(samples: np.ndarray, **options: Any) -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "A camera"  # orientation and make
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    file = BytesIO()
    Image.fromarray(samples).save(file, "JPEG", exif=exif, icc_profile=profile, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    "options",
    [{"quality": 97, "subsampling": 2}, {"quality": 90, "subsampling": 0}, {"quality": 95, "progressive": True}],
)
def test_jpeg_is_written_as_it_was_with_exif_and_color_profile(page: Page, options: dict[str, Any]) -> None:
    noisy = added(photo()[:299, :397], "gaussian:20 + clip").to_array()
    content = jpeg(noisy, **options)
    ours, theirs = denoised(page, "photo.jpg", content), by_command(content)
    clean = np.rot90(photo()[:299, :397], -1)
    assert psnr(ours, clean) == pytest.approx(psnr(theirs, clean), abs=0.05)
    before, after = (jpeg_encoder.read(BytesIO(one)) for one in (content, ours))
    assert before is not None and after is not None
    assert (after.tables, after.sampling) == (before.tables, before.sampling)
    for key in ("exif", "icc_profile", "jfif_density"):
        assert Image.open(BytesIO(ours)).info[key] == Image.open(BytesIO(content)).info[key], key


@pytest.mark.parametrize(("name", "format"), [("photo.jpg", "png"), ("photo.png", "jpeg")])
def test_metadata_go_into_the_other_format(page: Page, name: str, format: str) -> None:
    noisy = added(photo(), "gaussian:25 + clip").to_array()
    content = jpeg(noisy, quality=95)
    if name.endswith("png"):
        file = BytesIO(b"")
        opened = Image.open(BytesIO(content))
        opened.save(file, "PNG", exif=opened.getexif(), icc_profile=opened.info["icc_profile"])
        content = file.getvalue()
    choose(page, name, content)
    page.locator("#found b").wait_for()
    page.select_option("#format", format)
    with page.expect_download() as download:
        page.click("#download")
    result, source = (Image.open(BytesIO(one)) for one in (Path(download.value.path()).read_bytes(), content))
    assert result.format is not None and result.format.lower() == format
    assert dict(result.getexif()) == dict(source.getexif())
    assert result.info["icc_profile"] == source.info["icc_profile"]


def test_images_without_noise_come_back_byte_for_byte(page: Page) -> None:
    content = io.encode(io.from_array(np.full((64, 80, 3), 90, np.uint8)), ".png")
    assert denoised(page, "even.png", content) == content
    assert "No noise" in page.inner_text("#found")


@pytest.mark.parametrize("kind", ["palette", "bilevel", "gray_alpha", "interlaced"])
def test_pngs_of_every_kind_are_read(page: Page, kind: str) -> None:
    noisy = Image.fromarray(added(photo()[:64, :80], "gaussian:25 + clip").to_array())
    made = {
        "palette": lambda: noisy.quantize(64),
        "bilevel": lambda: noisy.convert("1"),
        "gray_alpha": lambda: noisy.convert("LA"),
        "interlaced": lambda: noisy,
    }[kind]()
    file = BytesIO(b"")
    made.save(file, "PNG")
    content = file.getvalue()
    if kind == "interlaced":
        pyvips = pytest.importorskip("pyvips")
        content = pyvips.Image.new_from_buffer(content, "").pngsave_buffer(interlace=True)
        assert content[28] == 1
    choose(page, "photo.png", content)
    page.locator("#found b").wait_for()
    page.select_option("#model", "blind")
    slide = "(control) => { control.value = 0; control.dispatchEvent(new Event('input')); }"
    page.locator("#strength").evaluate(slide)
    assert page.inner_text("#strength-said").startswith("0")
    with page.expect_download() as download:
        page.click("#download")
    assert Path(download.value.path()).read_bytes() == content, "strength 0 changes nothing"
    page.locator("#strength").evaluate(slide.replace("= 0", "= 1"))
    with page.expect_download() as download:
        page.click("#download")
    result = io.read(Path(download.value.path()).read_bytes()).to_array()
    expected = io.read(content).to_array()
    assert result.shape == expected.shape
    assert np.abs(result.astype(int) - expected).mean() < 2, "strength 1 % changes little"


def damaged(content: bytes) -> dict[str, bytes]:
    middle = len(content) // 2
    return {
        "cut off": content[:middle],
        "a wrong checksum": content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :],
        "no image": b"a text",
        "a TIFF": io.encode(io.from_array(photo()), ".tif"),
        "another ending": b"\x89PNG\r\n\x1a\n",
    }


def test_files_that_cannot_be_read_are_told_in_a_line(page: Page) -> None:
    content = io.encode(added(photo(), "gaussian:25 + clip"), ".png")
    for case, broken in damaged(content).items():
        choose(page, "photo.png", broken)
        page.locator("#failure").wait_for()
        said = page.inner_text("#failure-why")
        assert "\n" not in said and ("damaged" in said or "reads PNG and JPEG" in said), (case, said)
        page.locator(".remove").first.click()


def test_a_download_can_be_canceled(page: Page) -> None:
    content = io.encode(added(np.tile(photo(), (6, 5, 1)), "gaussian:25 + clip"), ".png")
    choose(page, "large.png", content)
    page.locator("#found b").wait_for()
    page.click("#download")
    page.locator("#progress").wait_for()
    page.click("#cancel")
    page.locator("#progress").wait_for(state="hidden")
    assert not page.is_visible("#alert")


def test_it_says_what_is_true_without_a_server(page: Page) -> None:
    assert "never leave this computer" in page.inner_text("header")
    assert "TIFF" not in page.inner_text("#welcome")
    choose(page, "photo.png", io.encode(added(photo(), "gaussian:25 + clip"), ".png"))
    page.locator("#found b").wait_for()

    def offered(place: str) -> list[str]:
        return page.locator(place).evaluate_all("all => all.map((one) => one.value)")

    assert offered("#views input") == ["clean", "noise", "level"]
    assert set(offered("#model option")) == {"auto", "blind", "color", "gray", "impulse"}
    assert offered("#format option") == ["", "jpeg", "png"]
