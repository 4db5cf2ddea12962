"""From the wire to the bytes of one picture, and back: counted and timed on their way, and never put on a disk."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from unnoise.service.jobs import JobState
from unnoise.service.limits import Limits
from unnoise.service.problems import Problem, gone

FIELD = "picture"
"""The name of the picture in a form."""
KINDS = (*(f"image/{kind}" for kind in ("jpeg", "png", "tiff", "webp", "avif", "gif")), "application/octet-stream")
"""Media types that are taken as they are; which kind it is, the first bytes tell."""


class MemoryBudget:
    """Counts the bytes of all bodies and answers that are held.

    Args:
        limit: the most there may be.

    Attributes:
        held: how many there are.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.held = limit, 0

    @contextlib.contextmanager
    def reserve(self) -> Iterator[Reservation]:
        """Hold the bytes of one request while it is served."""
        shelf = Reservation(self)
        try:
            yield shelf
        finally:
            self.held -= shelf.held


class Reservation:
    """The bytes of one request among those that a store counts."""

    def __init__(self, store: MemoryBudget) -> None:
        self._store, self.held = store, 0

    def add(self, count: int) -> None:
        """Count further bytes; raise the problem that they are if there are too many."""
        if self._store.held + count > self._store.limit:
            raise Problem(429, "too many pictures are coming in at the same time", {"Retry-After": "5"})
        self._store.held += count
        self.held += count


class BudgetedResponse(Response):
    """A file, whose bytes a store counts until it has been sent."""

    def __init__(self, data: bytes, store: MemoryBudget, **how: Any) -> None:
        super().__init__(data, **how)
        self._store = store
        store.held += len(data)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._store.held -= len(self.body)


async def receive(request: Request, limits: Limits, shelf: Reservation, task: JobState) -> bytes:
    """Return the picture that is the body of a request, or the one file of a form.

    Raises:
        Problem: the body is too large (413), too slow (408), of another media type (415), empty or no such form (400),
            or the client has left.
    """
    kind, options = parse_options_header(request.headers.get("content-type", KINDS[-1]))
    form = _Form(options.get(b"boundary")) if kind == b"multipart/form-data" else None
    if form is None and kind.decode("latin-1") not in KINDS:
        raise Problem(415, f"send the picture as {', '.join(KINDS)}, or as the file '{FIELD}' of a multipart/form-data")
    data = bytearray()
    async for piece in _pieces(request, limits, shelf, task):
        if form is None:
            data += piece
        else:
            form.feed(piece)
    picture = bytes(data) if form is None else form.picture()
    if not picture:
        raise Problem(400, "there is no picture in the request")
    return picture


async def _pieces(request: Request, limits: Limits, shelf: Reservation, task: JobState) -> AsyncIterator[bytes]:
    """Yield the body as it comes."""
    announced = request.headers.get("content-length", "")
    total, have, clock = int(announced) if announced.isdecimal() else 0, 0, asyncio.get_running_loop()
    too_large = Problem(413, f"a body of more than {limits.body_bytes} bytes")
    if total > limits.body_bytes:
        raise too_large
    begin, more = clock.time(), True
    while more:
        try:
            async with asyncio.timeout_at(begin + limits.client_timeout + have / limits.rate):
                message = await request.receive()
        except TimeoutError:
            raise Problem(408, "the picture comes too slowly") from None
        if message["type"] == "http.disconnect":
            raise gone()
        piece, more = message.get("body", b""), message.get("more_body", False)
        have += len(piece)
        if have > limits.body_bytes:
            raise too_large
        shelf.add(len(piece))
        task.report(have / total if total else 0.0)
        yield piece


class _Form:
    """A form that holds one file, taken apart as it comes.

    Args:
        boundary: what stands between its parts.
    """

    def __init__(self, boundary: bytes | None) -> None:
        if not boundary:
            raise Problem(400, "a form without a boundary")
        self._names: dict[bytes, bytes] = {}
        self._name, self._value = b"", b""
        self._data, self._taken, self._seen, self._complete = bytearray(), False, False, False
        callbacks = {
            "on_part_begin": self._begin,
            "on_header_field": self._on_name,
            "on_header_value": self._on_value,
            "on_header_end": self._on_header,
            "on_headers_finished": self._on_headers,
            "on_part_data": self._on_data,
            "on_end": self._end,
        }
        try:
            self._parser = MultipartParser(boundary, callbacks)  # type: ignore[arg-type]
        except (MultipartParseError, ValueError) as error:
            raise Problem(400, f"a broken form: {error}") from error

    def feed(self, piece: bytes) -> None:
        """Take the next bytes."""
        try:
            self._parser.write(piece)
        except MultipartParseError as error:
            raise Problem(400, f"a broken form: {error}") from error

    def picture(self) -> bytes:
        """Return the file, when all has come."""
        if not self._complete:
            raise Problem(400, "a form that is cut short")
        if not self._seen:
            raise Problem(400, f"a form without a file '{FIELD}'")
        return bytes(self._data)

    def _begin(self) -> None:
        self._names, self._taken = {}, False

    def _on_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        self._names[self._name.lower()] = self._value
        self._name = self._value = b""

    def _on_headers(self) -> None:
        _, options = parse_options_header(self._names.get(b"content-disposition", b""))
        if options.get(b"name") != FIELD.encode():
            return
        if self._seen:
            raise Problem(400, "more than one picture: send each in a request of its own")
        self._taken = self._seen = True

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._taken:
            self._data += data[start:end]

    def _end(self) -> None:
        self._complete = True
