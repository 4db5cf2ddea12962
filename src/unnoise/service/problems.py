"""Refusals as problem documents (RFC 9457), each with the status that fits."""

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
GONE = 499  # as servers log it when the client has left; nobody reads the answer


class Document(BaseModel):
    """A problem document."""

    type: str = "about:blank"
    title: str = Field(examples=["Content Too Large"])
    status: int = Field(examples=[413])
    detail: str = Field(examples=["100000 x 100000 pixels, over the limit of 50000000"])


class Problem(Exception):  # noqa: N818  (it is what the field calls it)
    """A request that is refused.

    Args:
        status: of HTTP.
        detail: one line for the person at the other end.
        headers: that go with it.
    """

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers or {}

    def response(self) -> Response:
        """Return the answer."""
        title = "Client Closed Request" if self.status == GONE else HTTPStatus(self.status).phrase
        document = Document(title=title, status=self.status, detail=self.detail)
        body = json.dumps(document.model_dump(), ensure_ascii=False)
        return Response(body, self.status, self.headers, MEDIA_TYPE)


def gone() -> Problem:
    """Return what is raised when the client has left."""
    return Problem(GONE, "the client has left")


def of(error: Exception) -> Problem:
    """Return the problem that an error is to the client; one that nobody foresaw says nothing of its inside."""
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
            return Problem(503, "out of memory: send a smaller picture, or the same one later", {"Retry-After": "30"})
        case RequestValidationError():
            return Problem(422, "; ".join(_line(one) for one in error.errors()))
        case HTTPException():
            return Problem(error.status_code, str(error.detail), dict(error.headers or {}))
    return Problem(500, "the service failed; its log says more under this request's id")


async def handle(request: Request, error: Exception) -> Response:
    """Answer a request that has raised an error."""
    problem = of(error)
    if problem.status == 405:  # the framework names the methods of one route alone
        routes = (route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE)
        problem.headers["Allow"] = ", ".join(sorted({method for route in routes for method in route.methods}))
    return problem.response()


def described(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the description of problems for OpenAPI."""
    texts = {
        400: "The body is not what it says it is.",
        401: "The key is missing or wrong.",
        403: "A page of another site has asked.",
        404: "There is no such thing.",
        408: "The picture came too slowly.",
        409: "A job of that name is at work.",
        413: "Too many bytes, pixels or pages.",
        415: "No picture of a kind that unnoise reads.",
        422: "A damaged picture, or a value out of range.",
        429: "Too much is waiting already: come again after `Retry-After` seconds.",
        503: "Not ready yet, or going down.",
        504: "The picture took too long.",
    }
    schema = {"schema": {"$ref": "#/components/schemas/Document"}}
    headers = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
    return {
        status: {"description": texts[status], "model": Document, "content": {MEDIA_TYPE: schema}}
        | ({"headers": headers} if status == 429 else {})
        for status in statuses
    }


def _plain(error: Exception) -> str:
    return str(error).removeprefix("the picture: ")


def _line(one: Any) -> str:
    place = ".".join(str(part) for part in one["loc"][1:]) or str(one["loc"][0])
    return f"{place}: {one['msg'][:1].lower()}{one['msg'][1:]}"
