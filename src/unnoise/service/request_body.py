"""Request and response bodies: received with limits on size and time, and never written to disk."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from unnoise.service.jobs import JobState
from unnoise.service.limits import Limits
from unnoise.service.problems import Problem, gone

FIELD = "picture"
"""The name of the image in a form."""
_IMAGES = ("jpeg", "png", "tiff", "webp", "avif", "gif", "bmp", "heic", "heif", "x-portable-anymap")
KINDS = (*(f"image/{kind}" for kind in _IMAGES), "application/dicom", "application/fits", "application/octet-stream")
"""Accepted media types; the format itself is detected by the first bytes."""


class MemoryBudget:
    """Counts the bytes of all request and response bodies in memory.

    Args:
        limit: the maximum.

    Attributes:
        held: the current number.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.held = limit, 0

    @contextlib.contextmanager
    def reserve(self) -> Iterator[Reservation]:
        """Reserve memory for one request while it is served."""
        reservation = Reservation(self)
        try:
            yield reservation
        finally:
            self.held -= reservation.held


class Reservation:
    """The bytes of one request within a budget."""

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget, self.held = budget, 0

    def add(self, count: int) -> None:
        """Count further bytes; raise a problem if the budget is exceeded."""
        if self._budget.held + count > self._budget.limit:
            raise Problem(429, "too many images are being uploaded at the same time", {"Retry-After": "5"})
        self._budget.held += count
        self.held += count


class BudgetedResponse(Response):
    """A response whose bytes count against a budget until it has been sent."""

    def __init__(self, data: bytes, budget: MemoryBudget, *, headers: Mapping[str, str], media_type: str) -> None:
        super().__init__(data, headers=headers, media_type=media_type)
        self._budget = budget
        budget.held += len(data)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._budget.held -= len(self.body)


async def receive(request: Request, limits: Limits, reservation: Reservation, job: JobState) -> bytes:
    """Return the image that is the body of a request, or the file of a form.

    Raises:
        Problem: the body is too large (413), too slow (408), of an unsupported media type (415), empty or a malformed
            form (400), or the client has disconnected.
    """
    kind, options = parse_options_header(request.headers.get("content-type", KINDS[-1]))
    form = _Form(options.get(b"boundary")) if kind == b"multipart/form-data" else None
    if form is None and kind.decode("latin-1") not in KINDS:
        raise Problem(415, f"send the image as {', '.join(KINDS)}, or as the file '{FIELD}' of a multipart/form-data")
    data = bytearray()
    async for piece in _pieces(request, limits, reservation, job):
        if form is None:
            data += piece
        else:
            form.feed(piece)
    picture = bytes(data) if form is None else form.picture()
    if not picture:
        raise Problem(400, "the request contains no image")
    return picture


async def _pieces(request: Request, limits: Limits, reservation: Reservation, job: JobState) -> AsyncIterator[bytes]:
    """Yield the body as it arrives."""
    announced = request.headers.get("content-length", "")
    total, have, clock = int(announced) if announced.isdecimal() else 0, 0, asyncio.get_running_loop()
    too_large = Problem(413, f"the body is larger than the limit of {limits.body_bytes} bytes")
    if total > limits.body_bytes:
        raise too_large
    begin, more = clock.time(), True
    while more:
        try:
            async with asyncio.timeout_at(begin + limits.client_timeout + have / limits.rate):
                message = await request.receive()
        except TimeoutError:
            raise Problem(408, "the upload is too slow") from None
        if message["type"] == "http.disconnect":
            raise gone()
        piece, more = message.get("body", b""), message.get("more_body", False)
        have += len(piece)
        if have > limits.body_bytes:
            raise too_large
        reservation.add(len(piece))
        job.report(have / total if total else 0.0)
        yield piece


class _Form:
    """A form with one file, parsed as it arrives.

    Args:
        boundary: the separator of its parts.
    """

    def __init__(self, boundary: bytes | None) -> None:
        if not boundary:
            raise Problem(400, "the form has no boundary")
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
            raise Problem(400, f"malformed form: {error}") from error

    def feed(self, piece: bytes) -> None:
        """Parse the next bytes."""
        try:
            self._parser.write(piece)
        except MultipartParseError as error:
            raise Problem(400, f"malformed form: {error}") from error

    def picture(self) -> bytes:
        """Return the file, after the last bytes."""
        if not self._complete:
            raise Problem(400, "the form is truncated")
        if not self._seen:
            raise Problem(400, f"the form has no file '{FIELD}'")
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
            raise Problem(400, "the form has more than one image: send each in its own request")
        self._taken = self._seen = True

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._taken:
            self._data += data[start:end]

    def _end(self) -> None:
        self._complete = True
