"""Model files that the operator of a service adds: named by requests, admitted by their measured memory."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")
pytest.importorskip("torch", reason="needs the extra train")
if not importlib.util.find_spec("spandrel"):
    pytest.skip("needs unnoise[spandrel]", allow_module_level=True)

import torch  # noqa: TID253
from starlette.testclient import TestClient

from tests.fakes import Call
from unnoise import denoisers, io, system
from unnoise.denoisers.spandrel import spandrel
from unnoise.errors import UnnoiseError
from unnoise.io.picture import from_samples
from unnoise.pipeline import process
from unnoise.service import app as application, catalog, model_memory, server
from unnoise.service.limits import Limits
from unnoise.service.operations import DenoiseRequest, Operations

LIMITS = Limits(workers=2, memory=4 * 2**30)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small DRUNet with random weights."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / "net_g.pth"
    torch.save(spandrel.architectures.DRUNet.DRUNet(in_nc=4, out_nc=3, nc=[4, 8, 8, 16], nb=2).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def client(weights: Path) -> Iterator[TestClient]:
    files = [f"drunet={weights}", denoisers.bundled_models()["gray"].parent / "color-fast.onnx"]
    files[1] = f"mine={files[1]}"
    with TestClient(application.make(LIMITS, files=files), base_url="http://localhost") as opened:
        yield opened


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure no memory, which takes seconds."""
    monkeypatch.setattr(model_memory, "measure", lambda *_: model_memory.ModelMemory(10**8, 500.0))


def png(shape: tuple[int, ...]) -> bytes:
    return io.encode(from_samples(np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8), {}), ".png")


def test_they_are_listed_and_described(client: TestClient) -> None:
    rows = {one["name"]: one for one in client.get("/v1/models").json()["models"]}
    assert list(rows) == [*catalog.MODELS, "drunet", "mine"]
    assert rows["drunet"]["network"] and rows["drunet"]["wants_sigma"] and "DRUNet" in rows["drunet"]["summary"]
    for path in ("denoise", "preview", "uncertainty"):
        parameters = client.get("/openapi.json").json()["paths"][f"/v1/{path}"]["post"]["parameters"]
        (model,) = (one for one in parameters if one["name"] == "model")
        assert model["schema"]["enum"] == list(rows)


def test_they_denoise_as_on_the_command_line(client: TestClient, weights: Path) -> None:
    data = png((40, 56, 3))
    for name, spec in {"drunet": weights, "mine": "color-fast"}.items():
        options = process.DenoiseOptions(denoisers.make(spec, engine=None), 25 / 255)
        expected, _ = process.denoise_bytes(data, options)
        answer = client.post(f"/v1/denoise?model={name}&sigma=25", content=data)
        assert answer.status_code == 200, answer.text
        assert answer.headers["unnoise-model"] == name
        assert expected is not None
        apart = io.read(answer.content).pixels - io.read(expected).pixels
        assert np.abs(apart).max() < 1.01 / 255
    for path in ("preview?width=20&height=9&", "uncertainty?"):
        answer = client.post(f"/v1/{path}model=drunet", content=data)
        assert answer.status_code == 200, path


@pytest.mark.parametrize("asked", ["{path}", "net_g", "net_g.pth", "drunet={path}", "./net_g.pth"])
def test_a_client_names_no_path(client: TestClient, weights: Path, asked: str) -> None:
    model = asked.format(path=weights)
    answer = client.post("/v1/denoise", params={"model": model}, content=png((8, 8, 3)))
    assert answer.status_code == 422 and "'drunet' or 'mine'" in answer.json()["detail"]
    with pytest.raises(UnnoiseError, match="model: input should be"):
        client.app.state.service.operations.open(model)  # type: ignore[union-attr]


@pytest.mark.usefixtures("unmeasured")
def test_a_file_that_is_replaced_or_removed_stays_open(weights: Path, tmp_path: Path) -> None:
    file = tmp_path / "copy.pth"
    file.write_bytes(weights.read_bytes())
    service = Operations(LIMITS, files=[file])
    file.unlink()
    data = png((16, 16, 3))
    assert service.denoise(data, DenoiseRequest("copy", 25), lambda _: None).model == "copy"


def test_its_memory_is_measured_and_held(client: TestClient) -> None:
    service = client.app.state.service  # type: ignore[union-attr]
    found = service.operations.catalog.tile_bytes
    assert found["color"] == 360 and 50 < found["drunet"] < 2000 and 50 < found["mine"] < 2000
    assert service.admission.limit < LIMITS.memory * 7 / 8 - 512 * 2**20 - 20e6, "of what is left for images"


@pytest.mark.usefixtures("unmeasured")
def test_its_estimates_follow_its_memory(weights: Path) -> None:
    service, data = Operations(LIMITS, files=[f"drunet={weights}"]), png((700, 700, 3))
    light = service.memory("denoise", data, DenoiseRequest("drunet"))
    service.catalog.tile_bytes["drunet"] *= 10
    assert service.memory("denoise", data, DenoiseRequest("drunet")) > 4 * light


def test_large_images_are_cut_into_tiles(weights: Path) -> None:
    """Without that, a published network would take tens of gigabytes for a photograph."""
    assert denoisers.make(weights).tile == 768


def test_where_memory_is_not_told_much_is_assumed(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "resident_memory", lambda: None)
    assert model_memory.measure(weights, None).pixel == model_memory.UNKNOWN_PIXEL


def test_a_model_that_cannot_run_is_one_line(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise BrokenProcessPool

    monkeypatch.setattr(model_memory.ProcessPoolExecutor, "submit", broken)
    with pytest.raises(UnnoiseError, match="perhaps out of memory"):
        model_memory.measure(weights, None)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["absent.pth"], r"no model file 'absent\.pth'"),
        (["color={path}"], "there is a model 'color' already"),
        (["{path}", "{path}"], "there is a model 'net_g' already"),
        (["a b={path}"], "'a b' is not: use NAME=FILE"),
        (["../x={path}"], r"'\.\./x' is not: use NAME=FILE"),
        (["median"], "is not a model file"),
        (["{path}", "--engine", "onnx"], r"runs \.onnx files only: run `unnoise export"),
        (["{bad}"], "contains more than weights"),
        (["{path}", "--memory", "650M"], "are too little: the models take"),
    ],
)
@pytest.mark.usefixtures("unmeasured")
def test_what_is_no_model_is_one_line(
    words: list[str], why: str, weights: Path, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = tmp_path / "bad.pth"
    bad.write_bytes(b"no weights")
    given: list[str] = []
    for word in words:
        option = word.startswith("--") or (given and given[-1].startswith("--") and given[-1] != "--model")
        given += [word] if option else ["--model", word.format(path=weights, bad=bad)]
    monkeypatch.setattr(server.uvicorn.Server, "run", lambda *_: pytest.fail("it serves"))
    status, _, err = call("serve", "--port", 0, *given)
    assert status == 2 and re.search(why, err) and err.count("\n") == 1, err
