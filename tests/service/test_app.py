"""The service without sockets: answers, refusals, and that nothing blocks or is left behind."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
import logging
import re
import struct
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

import httpx2 as httpx
from PIL import Image
from starlette.testclient import TestClient

import unnoise
from unnoise import io as image_io
from unnoise.cli import main
from unnoise.denoisers import uncertainty
from unnoise.denoisers.base import Denoiser
from unnoise.errors import UnnoiseError
from unnoise.io.picture import from_samples
from unnoise.pipeline import noise_maps, process
from unnoise.service import app as application, catalog, operations
from unnoise.service.jobs import JobRegistry, JobState
from unnoise.service.limits import Limits
from unnoise.service.middleware import HEADERS
from unnoise.service.pool import Pool
from unnoise.service.problems import Problem
from unnoise.system import cpu_count

STATIC = Path(application.__file__).parent / "static"
LIMITS = Limits(body_bytes=600_000, pixels=20_000_000, pages=4, workers=2, queue_size=2, seconds=30)
JOB = "a-name-that-nobody-guesses"


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(application.make(LIMITS, engine="onnx"), base_url="http://localhost") as opened:
        yield opened


@pytest.fixture(scope="module")
def noisy(photograph: np.ndarray) -> bytes:
    picture = image_io.from_array(np.rint(photograph * 255).astype(np.uint8))
    return image_io.encode(unnoise.add_noise(picture, "gaussian:25 + clip"), ".png")


def png(samples: np.ndarray, suffix: str = ".png", **metadata: Any) -> bytes:
    return image_io.encode(from_samples(samples, metadata), suffix)


def announced(side: int) -> bytes:
    """Return a PNG whose header states a huge size, with hardly any data."""
    chunks = [
        (b"IHDR", struct.pack(">2I5B", side, side, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(99))),
        (b"IEND", b""),
    ]
    packed = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def pixels(data: bytes) -> np.ndarray:
    return image_io.read(data).pixels


def problem(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document.keys() == {"type", "title", "status", "detail"}
    assert document["status"] == status
    assert "\n" not in document["detail"]
    return document["detail"]


class Slow(Denoiser):
    """Sleep for each tile, and count the tiles."""

    title, halo = "median", 0

    def __init__(self, seconds: float = 0.1) -> None:
        self.seconds, self.tiles = seconds, 0

    def run(self, noisy: np.ndarray, sigma: Any) -> np.ndarray:
        time.sleep(self.seconds)
        self.tiles += 1
        return noisy


@pytest.fixture
def slow(client: TestClient) -> Iterator[Slow]:
    """Replace the median filter by a slow denoiser, for which `LARGE` is eight tiles."""
    workshop, slow = client.app.state.service.operations, Slow()  # type: ignore[union-attr]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workshop, "open", lambda model, real=workshop.open: slow if model == "median" else real(model))
        yield slow


LARGE = png(np.zeros((3072, 6144, 1), np.uint8))


def test_a_picture_is_cleaned_as_by_the_main_job(client: TestClient, noisy: bytes) -> None:
    settings = process.DenoiseOptions(client.app.state.service.operations.open("color"), 25 / 255)  # type: ignore[union-attr]
    expected, _ = process.denoise_bytes(noisy, settings)
    raw = client.post("/v1/denoise?model=color&sigma=25", content=noisy, headers={"Content-Type": "image/png"})
    form = client.post("/v1/denoise?model=color&sigma=25", files={"picture": ("a.png", noisy, "image/png")})
    for answer in (raw, form):
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "image/png"
        assert answer.headers["unnoise-model"] == "color"
        assert answer.headers["unnoise-sigma"] == "25.00"
        assert answer.content == expected


def test_without_options_sigma_and_model_are_estimated(
    client: TestClient, noisy: bytes, photograph: np.ndarray
) -> None:
    answer = client.post("/v1/denoise", content=noisy)
    assert answer.headers["unnoise-model"] == "color"
    assert float(answer.headers["unnoise-sigma"]) == pytest.approx(25, abs=3)
    error = [float(np.mean((pixels(data) - photograph) ** 2)) for data in (noisy, answer.content)]
    assert error[1] < error[0] / 5


def test_it_reports_what_was_done_and_why(client: TestClient, noisy: bytes) -> None:
    flat = png(np.full((64, 64, 3), 99, np.uint8))
    answer = client.post("/v1/denoise", content=flat)
    assert answer.content == flat and "unnoise-model" not in answer.headers
    assert (answer.headers["unnoise-done"], answer.headers["unnoise-noise"]) == ("copied", "none")
    assert answer.headers["unnoise-reason"] == client.post("/v1/inspect", content=flat).json()["reason"]
    answer = client.post("/v1/denoise", content=noisy)
    assert (answer.headers["unnoise-done"], answer.headers["unnoise-noise"]) == ("denoised", "gaussian")
    answer = client.post("/v1/denoise?sigma=25", content=noisy)
    assert answer.headers["unnoise-done"] == "denoised" and "unnoise-noise" not in answer.headers


def test_the_limit_of_noise_can_be_moved(client: TestClient, noisy: bytes) -> None:
    answer = client.post("/v1/denoise?min_noise=60", content=noisy)
    assert answer.headers["unnoise-done"] == "copied" and answer.content == noisy
    assert "is below 60/255" in answer.headers["unnoise-reason"]
    for more in ("min_noise=60&force=true", "min_noise=0"):
        answer = client.post(f"/v1/denoise?{more}", content=noisy)
        assert answer.headers["unnoise-done"] == "denoised" and answer.content != noisy
    for wrong in ("min_noise=-1", "min_noise=256", "min_noise=3&sigma=5", "force=true&model=median"):
        problem(client.post(f"/v1/denoise?{wrong}", content=noisy), 422)


def test_inspection_is_that_of_the_package(client: TestClient, noisy: bytes) -> None:
    answer, report = client.post("/v1/inspect", content=noisy).json(), unnoise.inspect(noisy)
    assert (answer["width"], answer["height"], answer["pages"], answer["format"]) == (160, 128, 1, "png")
    assert (answer["noise"], answer["model"], answer["summary"]) == (report.kind, report.model, str(report))
    assert answer["sigma"] == pytest.approx(255 * report.sigma, abs=0.01)


def test_the_noise_level_is_mapped(client: TestClient, noisy: bytes) -> None:
    answer = client.post("/v1/noise-map", content=noisy)
    expected, levels = noise_maps.map_picture(image_io.read(noisy))
    np.testing.assert_array_equal(image_io.read(answer.content).to_array(), expected.to_array())
    assert noise_maps.SCALE.encode() in answer.content
    assert 15 < levels.lowest < levels.highest < 40 and answer.headers["content-type"] == "image/png"
    two = png(np.zeros((120, 90, 1), np.uint8), ".tif", **{"page-height": 60})
    shapes = [pixels(client.post(f"/v1/noise-map{page}", content=two).content).shape for page in ("", "?page=2")]
    assert shapes == [(120, 90, 1), (60, 90, 1)]


@pytest.mark.parametrize("data", [b"", b"no picture", announced(100_000)])
def test_the_map_of_the_noise_level_has_the_limits_of_the_others(client: TestClient, data: bytes) -> None:
    statuses = [client.post(f"/v1/{path}", content=data).status_code for path in ("noise-map", "inspect")]
    assert statuses[0] == statuses[1] >= 400
    assert client.post("/v1/noise-map", content=bytes(LIMITS.body_bytes + 1)).status_code == 413
    assert client.post("/v1/noise-map?sigma=3", content=data).status_code == 422


def test_results_are_adjusted_by_hand(client: TestClient, noisy: bytes) -> None:
    shares = {"luma": 0.5, "color": 0.8, "detail": 0.5, "grain": 0.3}
    query = {"model": "color", "sigma": 25, **shares}
    answer = client.post("/v1/denoise", params=query, content=noisy)
    opened = client.app.state.service.operations.open("color")  # type: ignore[union-attr]
    expected = unnoise.denoise(noisy, opened, sigma=25, **shares)  # type: ignore[arg-type]
    np.testing.assert_array_equal(pixels(answer.content), pixels(expected))
    box = {"left": 40, "top": 30, "width": 60, "height": 50}
    piece = pixels(client.post("/v1/preview", params={**query, **box}, content=noisy).content)
    np.testing.assert_allclose(piece, pixels(answer.content)[30:80, 40:100], atol=1.01 / 255)
    for name in shares:
        assert name in problem(client.post(f"/v1/denoise?{name}=1.5", content=noisy), 422)


def test_strength_zero_leaves_the_picture(client: TestClient, noisy: bytes) -> None:
    answer = client.post("/v1/denoise?strength=0&model=median", content=noisy)
    np.testing.assert_array_equal(pixels(answer.content), pixels(noisy))


def test_depth_profile_and_exif_survive(client: TestClient, rng: np.random.Generator) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010F] = "A camera"
    file = io.BytesIO()
    photo = Image.fromarray(rng.integers(0, 256, (20, 30, 3)).astype(np.uint8))
    photo.save(file, "JPEG", exif=exif, icc_profile=profile, quality=81)
    back = Image.open(io.BytesIO(client.post("/v1/denoise?model=median", content=file.getvalue()).content))
    assert (back.format, back.getexif()[0x010F], back.info["icc_profile"]) == ("JPEG", "A camera", profile)
    deep = rng.integers(0, 65536, (20, 30, 4)).astype(np.uint16)
    clean = image_io.read(client.post("/v1/denoise?model=median", content=png(deep)).content)
    assert clean.dtype == np.uint16
    np.testing.assert_array_equal(clean.alpha, deep[..., 3:])


@pytest.mark.parametrize("kind", list(operations.OUTPUTS))
def test_every_kind_of_file_can_be_asked_for(client: TestClient, noisy: bytes, kind: str) -> None:
    answer = client.post(f"/v1/denoise?model=median&format={kind}", content=noisy)
    assert answer.headers["content-type"] == f"image/{kind}"
    assert image_io.suffix_of(answer.content) == operations.SUFFIXES[kind]
    assert operations.SUFFIXES[kind] in answer.headers["content-disposition"]


def test_an_image_comes_back_in_its_own_format(client: TestClient, noisy: bytes) -> None:
    data = image_io.encode(image_io.read(noisy), ".bmp")
    answer = client.post("/v1/denoise?model=median", content=data, headers={"Content-Type": "image/bmp"})
    assert (answer.status_code, answer.headers["content-type"], answer.content[:2]) == (200, "image/bmp", b"BM")


def test_pages_are_kept_and_one_can_be_had(client: TestClient, rng: np.random.Generator) -> None:
    data = png(rng.integers(0, 256, (48, 20, 3)).astype(np.uint8), ".tif", **{"page-height": 16})
    assert image_io.read(client.post("/v1/denoise?model=median", content=data).content).header.pages == 3
    one = image_io.read(client.post("/v1/denoise?model=median&page=3&strength=0", content=data).content)
    np.testing.assert_array_equal(one.pixels, pixels(data)[32:])
    assert client.post("/v1/inspect", content=data).json()["pages"] == 3


def test_the_expected_error_is_that_of_the_main_job(client: TestClient, noisy: bytes) -> None:
    answer = client.post("/v1/uncertainty?model=color&sigma=20&gain=4", content=noisy)
    clean = pixels(client.post("/v1/denoise?model=color&sigma=20", content=noisy).content)
    expected = uncertainty.expected_error(clean.astype(np.float32), 20 / 255)
    found = 255 / 4 * image_io.read(answer.content).pixels[..., 0]
    assert answer.headers["Unnoise-Sigma"] == "20.00"
    assert np.abs(found - expected).mean() < 0.02 * expected.mean()  # which is of rounded pixels


@pytest.mark.parametrize("box", [(0, 0, 40, 30), (37, 21, 50, 44), (150, 120, 400, 400)])
def test_a_preview_is_a_piece_of_the_whole(client: TestClient, noisy: bytes, box: tuple[int, int, int, int]) -> None:
    left, top, width, height = box
    whole = pixels(client.post("/v1/denoise?model=color", content=noisy).content)
    query = {"model": "color", "left": left, "top": top, "width": width, "height": height}
    piece = pixels(client.post("/v1/preview", params=query, content=noisy).content)
    np.testing.assert_allclose(piece, whole[top : top + height, left : left + width], atol=1.01 / 255)


@pytest.mark.parametrize(
    ("samples", "shown"),
    [
        (np.full((9, 8, 1), 2048, np.uint16), 128),  # 12 bits within 16
        (np.full((9, 8, 3), 32896, np.uint16), 128),
        (np.full((9, 8, 1), 0.5, np.float32), 128),
        (np.full((9, 8, 4), 77, np.uint8), 77),
        (np.full((9, 8, 3), np.nan, np.float32), 0),
    ],
)
def test_a_preview_shows_what_browsers_cannot(client: TestClient, samples: np.ndarray, shown: int) -> None:
    answer = client.post("/v1/preview?strength=0", content=png(samples, ".tif"))
    picture = Image.open(io.BytesIO(answer.content))
    assert (picture.format, picture.size) == ("PNG", (8, 9))
    assert np.asarray(picture).reshape(9, 8, -1)[4, 4, 0] == pytest.approx(shown, abs=1)


def test_a_preview_shows_inks(client: TestClient) -> None:
    file = io.BytesIO()
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(file, "TIFF")
    red, green, blue = np.asarray(Image.open(io.BytesIO(client.post("/v1/preview", content=file.getvalue()).content)))[
        4, 4
    ]
    assert red > 200 > 100 > max(green, blue)


def multipart(*parts: bytes) -> dict[str, Any]:
    content = b"".join(b"--x\r\n" + part + b"\r\n" for part in parts)
    return {"content": content + b"--x--\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}


PART = b'Content-Disposition: form-data; name="picture"; filename="a"\r\n\r\n'
DAMAGED = png(np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8))[:3000]
PAGES = png(np.zeros((5 * 8, 8, 1), np.uint8), ".tif", **{"page-height": 8})
ALPHA = png(np.zeros((8, 8, 4), np.uint8))


@pytest.mark.parametrize(
    ("status", "line", "path", "call"),
    [
        (400, "contains no image", "/v1/denoise", {"content": b""}),
        (400, "no file 'picture'", "/v1/denoise", multipart(PART.replace(b"picture", b"a") + ALPHA)),
        (400, "more than one", "/v1/denoise", multipart(PART + ALPHA, PART + ALPHA)),
        (400, "truncated", "/v1/denoise", multipart(PART + ALPHA) | {"content": b"--x\r\n" + PART + ALPHA}),
        (400, "malformed form", "/v1/denoise", multipart() | {"content": b"no form"}),
        (400, "boundary", "/v1/denoise", {"content": b"a", "headers": {"Content-Type": "multipart/form-data"}}),
        (404, "Not Found", "/v1/clean", {"content": ALPHA}),
        (405, "Method Not Allowed", "/v1/models", {"content": b""}),
        (413, "limit of 600000 bytes", "/v1/inspect", {"content": bytes(600_001)}),
        (413, "limit of 600000 bytes", "/v1/inspect", {"content": iter([bytes(400_000)] * 2)}),
        (413, "100000 x 100000 pixels, over the limit of 20000000", "/v1/inspect", {"content": announced(100_000)}),
        (413, "5 pages", "/v1/preview", {"content": PAGES}),
        (415, "send the image as image/jpeg", "/v1/denoise", {"json": {"url": "http://localhost/a.png"}}),
        (415, "not an image in a supported format", "/v1/denoise", {"content": b"<svg/>"}),
        (422, "damaged, truncated", "/v1/denoise", {"content": DAMAGED}),
        (422, "JPEG cannot hold transparency", "/v1/denoise?format=jpeg", {"content": ALPHA}),
        (422, "page 2 does not exist: the file has 1", "/v1/denoise?page=2", {"content": ALPHA}),
        (422, "outside the image, which has 8 x 8", "/v1/preview?left=8", {"content": ALPHA}),
        (422, "strength: input should be less than", "/v1/denoise?strength=2", {"content": ALPHA}),
        (422, "sigma: ", "/v1/denoise?sigma=nan", {"content": ALPHA}),
        (422, "model: input should be 'auto'", "/v1/denoise?model=../../etc/passwd", {"content": ALPHA}),
        (422, "sgima: extra inputs", "/v1/denoise?sgima=25", {"content": ALPHA}),
        (422, "job: string should match", "/v1/denoise?job=1", {"content": ALPHA}),
        (403, "other sites", "/v1/denoise", {"content": ALPHA, "headers": {"Origin": "https://example.org"}}),
        (403, "other sites", "/v1/denoise", {"content": ALPHA, "headers": {"Origin": "null"}}),
    ],
)  # fmt: skip
def test_a_refusal_says_why(client: TestClient, status: int, line: str, path: str, call: dict[str, Any]) -> None:
    assert line in problem(client.post(path, **call), status)
    assert client.app.state.service.budget.held == 0  # type: ignore[union-attr]


def test_a_failure_of_ours_tells_nothing_of_its_inside(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("/a/path/of/ours")

    monkeypatch.setattr(client.app.state.service.operations, "inspect", fail)  # type: ignore[union-attr]
    with caplog.at_level(logging.INFO, "unnoise.service"):
        assert "path" not in problem(client.post("/v1/inspect", content=ALPHA), 500)
    assert "/a/path/of/ours" in caplog.text


def test_the_page_may_ask_and_every_answer_is_hardened(client: TestClient) -> None:
    answer = client.post("/v1/inspect", content=ALPHA, headers={"Origin": "http://localhost"})
    assert answer.status_code == 200
    for one in (answer, client.get("/"), client.get("/nothing"), client.get("/metrics")):
        assert HEADERS.items() <= {name.title(): value for name, value in one.headers.items()}.items() | HEADERS.items()
        assert all(one.headers[name] == value for name, value in HEADERS.items())
        assert "server" not in one.headers
        assert not [name for name in one.headers if name.startswith("access-control")]


def test_a_key_is_asked_for() -> None:
    client = TestClient(application.make(LIMITS, key="a key"), base_url="http://localhost")
    for shown in ({}, {"Authorization": "Bearer a kez"}, {"Authorization": "a key"}, {"Authorization": "Bearer \xff"}):
        sent = {name: value.encode("latin-1") for name, value in shown.items()}
        answer = client.post("/v1/inspect", content=ALPHA, headers=sent)
        problem(answer, 401)
        assert answer.headers["www-authenticate"] == "Bearer"
        problem(client.get("/metrics", headers=sent), 401)
    problem(client.get("/metrics/"), 401)
    assert client.get("/healthz").status_code == client.get("/").status_code == 200
    for scheme in ("bearer", "BEARER"):
        assert client.get("/v1/models", headers={"Authorization": f"{scheme} a key"}).status_code == 200
    assert client.post("/v1/inspect", content=ALPHA, headers={"Authorization": "Bearer a key"}).status_code == 200


def test_another_name_is_refused() -> None:
    client = TestClient(application.make(LIMITS, names=["localhost", "pictures.example"]))
    for host, status in (("localhost:8000", 200), ("pictures.example", 200), ("evil.example", 421), ("[", 421)):
        assert client.get("/healthz", headers={"Host": host}).status_code == status, host


def test_readiness_follows_the_models(monkeypatch: pytest.MonkeyPatch) -> None:
    made = application.make(LIMITS, engine="onnx")
    opening = threading.Event()
    warm_up = made.state.service.operations.warm_up
    monkeypatch.setattr(made.state.service.operations, "warm_up", lambda: opening.wait(10) and warm_up())
    with TestClient(made, base_url="http://localhost") as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        assert "not ready" in problem(client.get("/readyz"), 503)
        opening.set()
        until = time.monotonic() + 10
        while client.get("/readyz").status_code != 200:
            assert time.monotonic() < until
            time.sleep(0.02)
    assert not made.state.service.ready


def test_metrics_count_without_naming(client: TestClient) -> None:
    def value(name: str) -> float:
        found = re.search(rf"^{re.escape(name)} (\S+)$", client.get("/metrics").text, flags=re.MULTILINE)
        return float(found[1]) if found else 0.0

    names = ['unnoise_requests_total{path="/v1/denoise",status="200"}', 'unnoise_pixels_total{model="median"}']
    names += ["unnoise_received_bytes_total", 'unnoise_request_seconds_count{path="/v1/denoise"}']
    before = [value(name) for name in names]
    client.post("/v1/denoise?model=median", content=ALPHA)
    client.get("/a/path/that/nobody/serves")
    assert [value(name) - start for name, start in zip(names, before, strict=True)] == [1, 64, len(ALPHA), 1]
    assert "nobody" not in client.get("/metrics").text


def test_logs_are_json_without_picture_data(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    from unnoise.service.telemetry import JsonFormatter

    with caplog.at_level(logging.INFO, "unnoise.service"):
        client.post("/v1/denoise?model=median", files={"picture": ("secret-name.png", ALPHA, "image/png")})
    (record,) = [one for one in caplog.records if one.name == "unnoise.service"]
    line = JsonFormatter().format(record)
    said = json.loads(line)
    assert (said["event"], said["path"], said["status"], said["model"], said["pixels"]) == (
        *("request", "/v1/denoise", 200, "median", 64),
    )
    assert "secret" not in line


def test_models_are_listed_with_the_limits(client: TestClient) -> None:
    offer = client.get("/v1/models").json()
    assert [one["name"] for one in offer["models"]] == list(catalog.MODELS)
    assert offer["limits"] == {"body_bytes": 600_000, "pixels": 20_000_000, "pages": 4, "seconds": 30}


def test_openapi_has_examples_and_names_all_addresses(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    paths = {
        "/v1/denoise",
        "/v1/preview",
        "/v1/uncertainty",
        "/v1/noise-map",
        "/v1/inspect",
        "/v1/jobs/{job}",
        "/v1/models",
    }
    assert schema["paths"].keys() == paths | {"/healthz", "/readyz", "/metrics"}
    assert "image/jpeg" in schema["paths"]["/v1/denoise"]["post"]["requestBody"]["content"]
    assert schema["components"]["schemas"]["Inspection"]["properties"]["sigma"]["examples"]
    problems = schema["paths"]["/v1/denoise"]["post"]["responses"]
    assert problems.keys() == {"200", *map(str, (400, 401, 403, 408, 409, 413, 415, 422, 429, 503, 504))}
    assert "Retry-After" in problems["429"]["headers"]


# Work in the pool


async def asked(client: TestClient, *calls: dict[str, Any]) -> list[httpx.Response]:
    transport = httpx.ASGITransport(client.app)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=60) as sender:
        return await asyncio.gather(*(sender.request(**call) for call in calls))


def test_what_is_too_much_is_refused_and_the_loop_stays_free(client: TestClient, slow: Slow) -> None:
    slow.seconds = 0.2
    call = {"method": "POST", "url": "/v1/denoise?model=median", "content": png(np.zeros((8, 8, 1), np.uint8))}

    async def flood() -> tuple[list[httpx.Response], float]:
        work = asyncio.ensure_future(asked(client, *[call] * 8))
        await asyncio.sleep(0.1)
        start = time.perf_counter()
        (health,) = await asked(client, {"method": "GET", "url": "/healthz"})
        assert health.status_code == 200
        return await work, time.perf_counter() - start

    answers = asyncio.run(flood())[0]
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200] * (LIMITS.workers + LIMITS.queue_size) + [429] * 4
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert "are waiting" in problem(refused, 429)
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    pool = client.app.state.service.pool  # type: ignore[union-attr]
    assert (pool.working, pool.waiting) == (0, 0)


def test_a_job_reports_its_progress_and_can_be_canceled(client: TestClient, slow: Slow) -> None:
    shares = []

    async def watch(sender: httpx.AsyncClient) -> None:
        while True:
            answer = await sender.get(f"/v1/jobs/{JOB}")
            if answer.status_code == 200 and answer.json()["state"] == "working":
                shares.append(answer.json()["share"])
                if shares[-1] >= 0.25:
                    assert (await sender.delete(f"/v1/jobs/{JOB}")).status_code == 204
                    return
            await asyncio.sleep(0.01)

    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(client.app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=60) as sender:
            work = asyncio.ensure_future(sender.post(f"/v1/denoise?model=median&job={JOB}", content=LARGE))
            await asyncio.wait_for(watch(sender), 30)
            problem(await sender.post(f"/v1/inspect?job={JOB}", content=ALPHA), 409)
            return await work

    assert "was canceled" in problem(asyncio.run(run()), 409)
    assert shares == sorted(shares)
    assert slow.tiles < 8
    problem(client.get(f"/v1/jobs/{JOB}"), 404)


def test_a_client_that_leaves_stops_its_work(client: TestClient, slow: Slow) -> None:
    async def leave() -> None:
        messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        messages.put_nowait({"type": "http.request", "body": LARGE, "more_body": False})
        sent = []
        scope = {"type": "http", "method": "POST", "path": "/v1/denoise", "raw_path": b"/v1/denoise", "root_path": ""}
        scope |= {"query_string": b"model=median", "headers": [(b"host", b"localhost")], "http_version": "1.1"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        serving = asyncio.ensure_future(client.app(scope, messages.get, send))  # type: ignore[arg-type]
        while slow.tiles < 1:
            await asyncio.sleep(0.01)
        messages.put_nowait({"type": "http.disconnect"})
        await asyncio.wait_for(serving, 5)
        pool = client.app.state.service.pool  # type: ignore[union-attr]
        while pool.working:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(leave(), 30))
    assert slow.tiles < 8


def test_a_picture_that_takes_too_long_is_given_up() -> None:
    tiles = []

    def work(task: JobState) -> None:
        for tile in range(100):
            time.sleep(0.02)
            tiles.append(tile)
            task.report(tile / 100)

    async def run() -> None:
        pool, task = Pool(Limits(workers=1, seconds=0.1)), JobState()
        with pytest.raises(Problem) as caught:
            await pool.run(lambda: work(task), task, asyncio.Event().wait)
        assert caught.value.status == 504
        while pool.working:
            await asyncio.sleep(0.01)
        pool.close()

    asyncio.run(asyncio.wait_for(run(), 30))
    assert len(tiles) < 20


def test_a_waiting_picture_whose_client_leaves_is_never_begun() -> None:
    async def run() -> None:
        pool, held, begun = Pool(Limits(workers=1, queue_size=1)), threading.Event(), []
        first = asyncio.ensure_future(pool.run(lambda: held.wait(10), JobState(), asyncio.Event().wait))
        await asyncio.sleep(0.02)
        with pytest.raises(Problem) as caught:
            await pool.run(lambda: begun.append(1), JobState(), lambda: asyncio.sleep(0.02))
        assert caught.value.status == 499
        held.set()
        assert await first
        await asyncio.sleep(0.05)
        assert (begun, pool.working, pool.waiting) == ([], 0, 0)
        pool.close()

    asyncio.run(asyncio.wait_for(run(), 30))


def test_bodies_together_are_bounded() -> None:
    limits = Limits(body_bytes=1000, buffered_bytes=1500)
    made = application.make(limits)

    async def run() -> list[int]:
        slowly = asyncio.Event()

        async def body() -> Any:
            yield bytes(900)
            await slowly.wait()

        transport = httpx.ASGITransport(made)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as sender:
            first = asyncio.ensure_future(sender.post("/v1/inspect", content=body()))
            while made.state.service.budget.held < 900:
                await asyncio.sleep(0.01)
            second = await sender.post("/v1/inspect", content=bytes(900))
            slowly.set()
            return [(await first).status_code, second.status_code, made.state.service.budget.held]

    assert asyncio.run(asyncio.wait_for(run(), 30)) == [415, 429, 0]


def test_a_body_that_comes_too_slowly_is_refused() -> None:
    async def body() -> Any:
        for _ in range(1000):
            yield b"a"
            await asyncio.sleep(0.02)

    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(application.make(Limits(client_timeout=0.2)))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as sender:
            return await sender.post("/v1/inspect", content=body())

    assert "too slow" in problem(asyncio.run(asyncio.wait_for(run(), 30)), 408)


def test_a_lone_picture_has_all_cores_and_many_share_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from unnoise.denoisers.onnx import Onnx

    monkeypatch.setattr("unnoise.denoisers.cpu_count", lambda: 8)
    monkeypatch.setattr("unnoise.denoisers.onnx.cpu_count", lambda: 8)
    assert cpu_count() >= 1
    busy, used = 1, []
    monkeypatch.setattr(Onnx, "run", lambda self, noisy, sigma: used.append(self) or noisy)
    shop = operations.Operations(Limits(workers=4), "onnx", lambda: busy)
    denoiser = shop.open("color")
    for busy in (1, 4):  # noqa: B007
        denoiser(np.zeros((8, 8, 3), np.float32), 0.1)
    threads = [one.session.get_session_options().intra_op_num_threads for one in used]
    assert threads == [8, 5]


def test_limits_are_above_zero() -> None:
    with pytest.raises(UnnoiseError, match="the limit body bytes must be above 0, got 0"):
        Limits(body_bytes=0)
    assert Limits(queue_size=0).queue_size == 0


def test_jobs_are_forgotten() -> None:
    jobs = JobRegistry()
    with pytest.raises(ZeroDivisionError), jobs.register(JOB):
        assert jobs.find(JOB).state == "receiving"
        _ = 1 / 0
    with pytest.raises(Problem):
        jobs.find(JOB)


# The files of the page


def test_the_page_is_served_with_all_that_it_names(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    for name in {*re.findall(r'(?:src|href)="([^"#:]+)"', page.text), *(path.name for path in STATIC.glob("*.js"))}:
        answer = client.get(f"/{name.removeprefix('/')}")
        assert answer.status_code == 200, name
        again = client.get(f"/{name}", headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_the_page_keeps_to_its_policy() -> None:
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    assert not re.findall(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=", page)
    for path in STATIC.iterdir():
        text = path.read_text(encoding="utf-8")
        addresses = re.findall(r"https?://[^\s\"')]+", text)
        assert set(addresses) <= {"http://www.w3.org/2000/svg"}, path.name
        assert "innerHTML" not in text, path.name


# Its command line


@pytest.mark.parametrize(
    ("key", "line"),
    [
        (None, "key: cannot read the key: No such file"),
        ("", "the key must be"),
        ("clé", "the key must be"),
        ("fifteen letters", "at least 16"),
    ],
)
def test_an_invalid_key_is_reported(
    tmp_path: Path, key: str | None, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if key is not None:
        (tmp_path / "key").write_text(key, encoding="utf-8")
    with pytest.raises(SystemExit) as end:
        main.main(["serve", "--key-file", str(tmp_path / "key")])
    assert end.value.code == 2
    assert line in capsys.readouterr().err


def test_the_command_says_where_it_listens(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from unnoise.service import server

    calls: list[tuple[Any, Any]] = []

    def run(*where: Any, **how: Any) -> None:
        how.pop("announce")("http://[::1]:8000", 2.12 * 2**30)
        calls.append((where, how))

    monkeypatch.setattr(server, "run", run)
    monkeypatch.setenv("UNNOISE_KEY", "sesame of sixteen")
    for words in ([], ["--host", "0.0.0.0", "--allowed-host", "a.example", "--workers", "3", "--memory", "3G"]):
        with pytest.raises(SystemExit) as end:
            main.main(["serve", *words])
        assert end.value.code == 0
    said = capsys.readouterr().out
    assert "open http://[::1]:8000 in a browser" in said
    assert "memory: 3.00 GiB, of which 2.12 for images" in said
    (here, plain), (there, options) = calls
    assert (here, there) == (("127.0.0.1", 8000), ("0.0.0.0", 8000))
    assert (plain["limits"], plain["key"]) == (Limits(), "sesame of sixteen")
    assert (options["limits"].workers, options["limits"].memory, options["names"]) == (3, 3 * 2**30, ["a.example"])


@pytest.mark.parametrize(
    ("words", "variables", "starts"),
    [
        (["--host", "0.0.0.0"], {}, False),
        (["--host", "::"], {}, False),
        (["--host", "0.0.0.0", "--open"], {}, True),
        (["--host", "0.0.0.0"], {"UNNOISE_KEY": 16 * "k"}, True),
        (["--host", "0.0.0.0"], {"UNNOISE_ALLOWED_HOST": "pictures.example"}, True),
        (["--host", "0.0.0.0", "--allowed-host", "pictures.example"], {}, True),
        (["--memory", "much"], {}, False),
        (["--memory", "100M"], {}, False),
    ],
)
def test_other_machines_need_a_key_or_a_name(
    words: list[str],
    variables: dict[str, str],
    starts: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from unnoise.service import server

    calls: list[object] = []
    monkeypatch.setattr(server, "run", lambda *_, **how: calls.append(how))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as end:
        main.main(["serve", *words])
    assert (end.value.code == 0, bool(calls)) == (starts, starts)
    if not starts:
        assert capsys.readouterr().err.count("\n") == 1


def test_without_the_extra_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(SystemExit):
        main.main(["serve"])
    assert 'pip install "unnoise[serve]"' in capsys.readouterr().err


def test_the_pixels_of_all_frames_count(client: TestClient) -> None:
    """A GIF of a few kilobytes, none of whose frames is over the limit."""
    frames = [Image.new("P", (2600, 2600), shade) for shade in range(3)]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    for path in ("inspect", "denoise?model=median", "uncertainty", "noise-map"):
        said = problem(client.post(f"/v1/{path}", content=file.getvalue()), 413)
        assert said == "2600 x 2600 pixels on 3 pages, over the limit of 20000000"
    assert client.post("/v1/inspect?page=2", content=file.getvalue()).status_code == 200


def test_no_address_leads_to_another_host(client: TestClient) -> None:
    for path in ("/metrics/", "/v1/denoise/", "/v1//denoise"):
        answer = client.get(path, headers={"Host": "evil.example"}, follow_redirects=False)
        assert answer.status_code == 404 and "location" not in answer.headers, path


@pytest.mark.parametrize("path", ["/", "/healthz", "/page.js", "/v1/models"])
def test_head_is_get_without_the_body(client: TestClient, path: str) -> None:
    head, get = client.head(path), client.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"]
    assert client.head("/v1/denoise").status_code == 405


def test_two_ends_of_a_body_are_refused(client: TestClient) -> None:
    headers = {"Content-Length": "3", "Transfer-Encoding": "chunked"}
    answer = client.post("/v1/inspect", content=ALPHA, headers=headers)
    assert "either" in problem(answer, 400) and answer.headers["connection"] == "close"


def test_large_headers_are_refused(client: TestClient) -> None:
    assert client.get("/healthz", headers={"X": 30_000 * "y"}).status_code == 200
    assert "32768 bytes" in problem(client.get("/healthz", headers={"X": 33_000 * "y"}), 431)


def test_an_address_has_a_share_of_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = dataclasses.replace(LIMITS, client_images=1)
    made = application.make(limits, engine="onnx")
    operations_, going, started = made.state.service.operations, threading.Event(), threading.Event()

    def slow(*_: Any) -> operations.EncodedPicture:
        started.set()
        assert going.wait(20)
        return operations.EncodedPicture(ALPHA, "png", "median", None, 64)

    monkeypatch.setattr(operations_, "denoise", slow)
    with TestClient(made, base_url="http://localhost") as client:
        first = threading.Thread(target=lambda: client.post("/v1/denoise?model=median", content=ALPHA))
        first.start()
        assert started.wait(20)
        refused = client.post("/v1/inspect", content=ALPHA)
        assert "of this address" in problem(refused, 429) and int(refused.headers["retry-after"]) > 0
        going.set()
        first.join()
        assert client.post("/v1/inspect", content=ALPHA).status_code == 200
        here = TestClient(made, base_url="http://localhost", client=("127.0.0.1", 1))
        made.state.service._clients["127.0.0.1"] = 5
        assert here.post("/v1/inspect", content=ALPHA).status_code == 200


def test_while_it_drains_it_is_not_ready_and_takes_no_work() -> None:
    made = application.make(LIMITS, engine="onnx")
    with TestClient(made, base_url="http://localhost") as client:
        made.state.service.drain()
        assert "shutting down" in problem(client.get("/readyz"), 503)
        assert "shutting down" in problem(client.post("/v1/inspect", content=ALPHA), 503)
        assert client.get("/healthz").status_code == 200 and made.state.service.is_idle


def test_a_wrong_method_is_answered_with_the_allowed_ones(client: TestClient) -> None:
    answer = client.put(f"/v1/jobs/{JOB}")
    problem(answer, 405)
    assert answer.headers["allow"] == "DELETE, GET"
