"""The Ray Serve example: the service on a cluster."""

from __future__ import annotations

import importlib.util
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from unnoise import api, io

EXAMPLE = Path(__file__).resolve().parent.parent.parent / "examples" / "ray_serve.py"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # Ray's own warnings are not ours
]


def test_it_cleans_as_the_package_does(tmp_path: Path, photograph: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, extra in (("ray", "ray"), ("fastapi", "serve"), ("grpc", "ray[serve]"), ("prometheus_client", "serve")):
        pytest.importorskip(name, reason=f"needs {extra}")
    monkeypatch.setenv("RAY_worker_niceness", "0")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.syspath_prepend(EXAMPLE.parent)
    import ray
    from ray import serve

    io.from_array(np.rint(photograph * 255).astype(np.uint8)).save(tmp_path / "noisy.png")
    spec = importlib.util.spec_from_file_location("ray_serve", EXAMPLE)
    assert spec and spec.loader
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 << 20)
    try:
        serve.start(http_options={"port": 8765})
        serve.run(example.app)
        data = (tmp_path / "noisy.png").read_bytes()
        address = "http://127.0.0.1:8765/v1/denoise?model=color&sigma=25"
        request = urllib.request.Request(address, data, {"Content-Type": "application/octet-stream"})
        clean = {urllib.request.urlopen(request, timeout=60).read() for _ in range(4)}
    finally:
        serve.shutdown()
        ray.shutdown()
    assert clean == {api.denoise(data, model="color", sigma=25, engine="onnx")}
