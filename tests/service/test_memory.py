"""Work is admitted by the memory it is estimated to take: the estimates, the bound, and what is refused."""

from __future__ import annotations

import dataclasses
import itertools
import threading
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

from starlette.testclient import TestClient

from unnoise import io, system
from unnoise.errors import UnnoiseError
from unnoise.io.layout import Layout
from unnoise.io.picture import from_samples
from unnoise.service import app as application, catalog, memory
from unnoise.service.limits import Limits
from unnoise.service.operations import DenoiseRequest, Operations
from unnoise.service.problems import Problem

LIMITS = Limits(workers=2, queue_size=2)
FACTS = catalog.model_facts()
KINDS = ("denoise", "preview", "uncertainty", "inspect", "noise_map")


@pytest.fixture(scope="module")
def workshop() -> Operations:
    return Operations(LIMITS, "onnx")


def header(side: int, channels: int = 3, dtype: str = "uint8", **metadata: int) -> io.Header:
    return io.Header(side, side, Layout(channels), np.dtype(dtype), metadata)


def png(samples: np.ndarray) -> bytes:
    return io.encode(from_samples(samples, {}), ".png")


def estimate(operation: str, model: str, head: io.Header, **more: float) -> int:
    return memory.estimate(memory.Work(operation, [FACTS[model]], **more), head)  # type: ignore[arg-type]


@pytest.mark.parametrize("operation", KINDS)
@pytest.mark.parametrize("model", list(FACTS))
def test_an_estimate_grows_with_the_image(operation: str, model: str) -> None:
    sides = [estimate(operation, model, header(side)) for side in (8, 1024, 2048, 4096, 7000)]
    assert sides[0] < (160 if model == "zero_shot" else 64) * memory.MIB
    if not (FACTS[model].halo is None and FACTS[model].tile is None):  # which take large images in tiles
        assert all(after > 0.7 * before for before, after in itertools.pairwise(sides)), "tiles vary in size"
        assert sides[-1] == max(sides)
    assert estimate(operation, model, header(2048, 3, "uint16")) >= sides[2]
    assert estimate(operation, model, header(2048, 1)) <= sides[2]


@pytest.mark.parametrize("operation", KINDS)
def test_memory_for_a_pixel_of_a_large_image_is_bounded(operation: str) -> None:
    """Beyond the tile, an operation holds a few arrays of floats; a map of the error holds none."""
    side = 7000
    slope = (estimate(operation, "color", header(side)) - estimate(operation, "color", header(side // 2))) / (
        0.75 * side**2
    )
    assert slope < {"uncertainty": 16, "preview": 75}.get(operation, 45)


@pytest.mark.parametrize("operation", ["denoise", "uncertainty", "inspect", "noise_map", "preview"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_arrays_stay_below_the_estimate(workshop: Operations, operation: str, dtype: str) -> None:
    """The arrays of NumPy; engines and codecs are measured by the benchmark."""
    rng = np.random.default_rng(0)
    data = png((rng.random((1300, 1500, 3)) * np.iinfo(dtype).max).astype(dtype))
    options = DenoiseRequest(model="median")
    calls = {
        "denoise": lambda: workshop.denoise(data, options, lambda _: None),
        "preview": lambda: workshop.preview(data, options, (0, 0, None, None), lambda _: None),
        "uncertainty": lambda: workshop.uncertainty(data, options, 1.0, lambda _: None),
        "inspect": lambda: workshop.inspect(data, None, lambda _: None),
        "noise_map": lambda: workshop.noise_map(data, None, lambda _: None),
    }
    tracemalloc.start()
    try:
        calls[operation]()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < workshop.memory(operation, data, options), peak


def test_the_automatic_choice_counts_as_its_largest_model(workshop: Operations) -> None:
    data = png(np.zeros((600, 600, 3), np.uint8))
    found = {
        name: workshop.memory("denoise", data, DenoiseRequest(name)) for name in ("auto", "color", "impulse", "median")
    }
    assert found["auto"] >= max(found.values()) > found["median"]


def test_the_sum_of_admitted_work_is_bounded() -> None:
    admission = memory.Admission(100, lambda: 7)
    first, second = admission.admit(60), admission.admit(40)
    with pytest.raises(Problem, match="try again later") as busy:
        admission.admit(1)
    assert (busy.value.status, busy.value.headers) == (429, {"Retry-After": "7"})
    with pytest.raises(Problem, match="send a smaller one") as large:
        admission.admit(101)
    assert large.value.status == 413
    first()
    first()
    assert admission.held == 40
    admission.admit(60)
    second()
    assert admission.held == 60


def test_the_memory_of_the_process_is_what_is_left_by_models_and_bodies() -> None:
    limits = Limits(memory=4 * 2**30)
    assert limits.bodies == 512 * memory.MIB
    assert memory.for_work(limits.memory, limits.bodies) == 3 * 2**30
    with pytest.raises(UnnoiseError, match="too little"):
        application.make(Limits(memory=300 * memory.MIB))
    assert 0 < Limits().memory < system.memory_size()


@pytest.fixture
def small() -> Iterator[TestClient]:
    """A service with memory for about two images of 600 x 600 pixels."""
    one = estimate("denoise", "median", header(600)) + 3 * memory.MIB
    limits = dataclasses.replace(LIMITS, memory=round((memory.BASE + 2.5 * one) / 0.875))
    with TestClient(application.make(limits, engine="onnx"), base_url="http://localhost") as client:
        yield client


def test_what_can_never_fit_is_refused_with_the_reason(small: TestClient) -> None:
    rng = np.random.default_rng(0)
    data = png(rng.integers(0, 256, (600, 600, 3)).astype(np.uint8))
    assert small.post("/v1/denoise?model=median", content=data).status_code == 200
    larger = png(rng.integers(0, 256, (1200, 1200, 3)).astype(np.uint8))
    answer = small.post("/v1/denoise?model=color", content=larger)
    assert answer.status_code == 413 and "of memory with this model" in answer.json()["detail"]
    assert small.app.state.service.admission.held == 0  # type: ignore[union-attr]


def test_work_beyond_the_memory_has_to_wait(small: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    service, rng = small.app.state.service, np.random.default_rng(0)  # type: ignore[union-attr]
    data = png(rng.integers(0, 256, (600, 600, 3)).astype(np.uint8))
    going, started, real = threading.Event(), threading.Semaphore(0), service.operations.denoise

    def slow(*arguments: object) -> object:
        started.release()
        assert going.wait(20)
        return real(*arguments)

    monkeypatch.setattr(service.operations, "denoise", slow)
    statuses: list[int] = []
    ask = lambda: statuses.append(small.post("/v1/denoise?model=median", content=data).status_code)  # noqa: E731
    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert started.acquire(timeout=20)
    third = small.post("/v1/denoise?model=median", content=data)
    assert third.status_code == 429 and int(third.headers["retry-after"]) >= 1
    assert "unnoise_work_bytes" in small.get("/metrics").text
    going.set()
    for thread in threads:
        thread.join()
    assert statuses == [200, 200] and service.admission.held == 0


def test_the_memory_of_control_groups_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    from pathlib import Path

    files = [Path(str(tmp_path)) / name for name in ("inner", "outer", "missing")]
    files[0].write_text("max\n")
    files[1].write_text("1000000\n")
    monkeypatch.setattr(system, "_group_files", lambda: iter(files))
    assert system.memory_size() == 1_000_000
