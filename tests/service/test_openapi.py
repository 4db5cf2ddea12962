"""The service keeps to its OpenAPI description: schemathesis makes up requests after it, and looks at the answers.

What it makes up as a picture is a real one, the page and the place that it asks for are within it, and what is about
estimated noise comes without a given one: these no schema can say. All of its checks are on; broken forms are left to
test_serve.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")
pytest.importorskip("schemathesis", reason="needs schemathesis: pip install schemathesis")

import schemathesis
from hypothesis import HealthCheck, Phase, settings, strategies

from unnoise import io
from unnoise.service import app as application
from unnoise.service.limits import Limits

APP = application.make(Limits(pixels=1000, pages=2), engine="onnx")
PICTURE = io.encode(io.from_array(np.full((9, 12, 3), 99, np.uint8)), ".png")
SETTINGS = settings(
    max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate]
)
MOST = {"page": 1, "left": 11, "top": 8}

for kind in application.request_body.KINDS:
    schemathesis.openapi.media_type(kind, strategies.just(PICTURE))


@schemathesis.hook
def before_load_schema(context: Any, raw_schema: dict[str, Any]) -> None:
    """Leave forms out: on the wire, what violates their schema is a file again, and any file is a valid one."""
    for path in raw_schema["paths"].values():
        path.get("post", {}).get("requestBody", {"content": {}})["content"].pop("multipart/form-data", None)


SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", APP)


@SCHEMA.parametrize()
@SETTINGS
def test_answers_are_as_described(case: Any) -> None:
    for name, most in MOST.items():
        with contextlib.suppress(TypeError, ValueError):  # what is no number is left as it is
            if float(case.query.get(name)) > most:
                case.query[name] = most
    if "sigma" in case.query or "model" in case.query:
        for name in ("min_noise", "force"):
            case.query.pop(name, None)
    case.call_and_validate()
