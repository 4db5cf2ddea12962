"""Errors as problem documents (RFC 9457)."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from unnoise.errors import UnnoiseError
from unnoise.io import TooLargeError, UnknownKindError

MEDIA_TYPE = "application/problem+json"
GONE = 499  # as servers log it when the client has disconnected; no response is sent


class Document(BaseModel):
    """A problem document."""

    type: str = "about:blank"
    title: str = Field(examples=["Content Too Large"])
    status: int = Field(examples=[413])
    detail: str = Field(examples=["100000 x 100000 pixels, over the limit of 50000000"])


class Problem(Exception):  # noqa: N818  (the term of RFC 9457)
    """A request that is refused.

    Args:
        status: HTTP status.
        detail: one line for the user.
        headers: of the response.
    """

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers or {}

    def response(self) -> Response:
        """Return the response."""
        title = "Client Closed Request" if self.status == GONE else HTTPStatus(self.status).phrase
        document = Document(title=title, status=self.status, detail=self.detail)
        body = json.dumps(document.model_dump(), ensure_ascii=False)
        return Response(body, self.status, self.headers, MEDIA_TYPE)


def gone() -> Problem:
    """Return the problem of a client that has disconnected."""
    return Problem(GONE, "the client has disconnected")


def of(error: Exception) -> Problem:
    """Return the problem for an exception; unexpected ones reveal nothing to the client."""
    match error:
        case Problem():
            return error
        case TooLargeError():
            return Problem(413, error.fact)
        case UnknownKindError():
            return Problem(415, _plain(error))
        case UnnoiseError():
            return Problem(422, _plain(error))
        case MemoryError():
            return Problem(503, "out of memory: send a smaller image, or try again later", {"Retry-After": "30"})
        case RequestValidationError():
            return Problem(422, "; ".join(_field_line(field) for field in error.errors()))
        case HTTPException():
            return Problem(error.status_code, str(error.detail), dict(error.headers or {}))
    return Problem(500, "internal error; see the log of the service under the id of this request")


async def handle(request: Request, error: Exception) -> Response:
    """Return the response for an exception."""
    problem = of(error)
    if problem.status == 405:  # the framework lists the methods of one route only
        routes = (route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE)
        problem.headers["Allow"] = ", ".join(sorted({method for route in routes for method in route.methods}))
    return problem.response()


def described(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of problems."""
    texts = {
        400: "The body is empty or malformed.",
        401: "The key is missing or wrong.",
        403: "The request comes from a page of another site.",
        404: "Not found.",
        408: "The upload was too slow.",
        409: "A job of that name is running, or the job was canceled.",
        413: "Too many bytes, pixels or pages.",
        415: "Not a supported image format.",
        422: "A damaged image, or a value out of range.",
        429: "The queue is full: try again after `Retry-After` seconds.",
        503: "Starting or shutting down.",
        504: "Processing took too long.",
    }
    schema = {"schema": {"$ref": "#/components/schemas/Document"}}
    headers = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
    return {
        status: {"description": texts[status], "model": Document, "content": {MEDIA_TYPE: schema}}
        | ({"headers": headers} if status == 429 else {})
        for status in statuses
    }


def _plain(error: Exception) -> str:
    return str(error).removeprefix("the image: ")


def _field_line(field: Any) -> str:
    name = ".".join(str(part) for part in field["loc"][1:]) or str(field["loc"][0])
    return f"{name}: {field['msg'][:1].lower()}{field['msg'][1:]}"
