"""The outermost layer, which every request and response passes.

It checks host, origin and key, sets security headers, and closes connections cleanly. It is plain ASGI, so that
nothing between socket and handler buffers a body or hides that a client has disconnected.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unnoise.service import problems
from unnoise.service.limits import Limits
from unnoise.service.problems import Problem
from unnoise.service.telemetry import Metrics, log

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",  # without one, the form for browsers without JavaScript would have no origin
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
LOCAL = ("localhost", "127.0.0.1", "::1")
OPEN = ("/healthz", "/readyz", "/openapi.json")
"""Paths that need no key, besides those of the web page."""

HEADER_BYTES = 32 * 1024
"""Most bytes of the first line and the headers of a request."""

_PIECE = 2**18  # bytes of a response that are sent at once
_LINGER = (2.0, 2**23)  # seconds and bytes for which a refused body is still read, so that the client sees the response


@dataclass
class _RequestLog:
    """What is recorded about one request."""

    began: float = field(default_factory=time.perf_counter)
    status: int = 0
    received: int = 0
    sent: int = 0
    answered: float = 0.0  # when the response started, on the clock of the event loop
    whole: bool = False  # the whole body has arrived
    left: bool = False


class GuardMiddleware:
    """The outermost layer of the application.

    Args:
        app: the application inside.
        limits: of which `client_timeout` and `rate` are used.
        metrics: where requests are counted.
        key: the bearer key that requests must send; None for no key.
        names: host names that requests may be addressed to; empty for any. This prevents DNS rebinding: pages of other
            sites cannot reach a local service through a name of their own.
    """

    def __init__(self, app: ASGIApp, limits: Limits, metrics: Metrics, key: str | None, names: Collection[str]) -> None:
        self._app, self._limits, self._metrics = app, limits, metrics
        self._key, self._names = None if key is None else key.encode(), frozenset(names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers_in = Headers(scope=scope)
        empty = "transfer-encoding" not in headers_in and headers_in.get("content-length", "0") == "0"
        record, name = _RequestLog(whole=empty), secrets.token_hex(8)
        note = scope.setdefault("state", {})["note"] = {}

        async def receive_counted() -> Message:
            message = await receive()
            record.left |= message["type"] == "http.disconnect"
            record.received += len(message.get("body", b""))
            record.whole |= message["type"] == "http.request" and not message.get("more_body", False)
            return message

        async def send_checked(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status, record.answered = message["status"], asyncio.get_running_loop().time()
                headers = MutableHeaders(scope=message)
                for key, value in {**HEADERS, "X-Request-Id": name}.items():
                    headers.setdefault(key, value)
                headers.setdefault("Cache-Control", "no-store")
                if not record.whole:
                    headers["Connection"] = "close"  # the rest of the body is not a further request
                await send(message)
            else:
                if head:  # answered as GET, without the body
                    message = {**message, "body": b""}
                await self._send(message, record, receive_counted, send)

        head = scope["method"] == "HEAD"
        if head:
            scope = {**scope, "method": "GET"}
        failure = None
        try:
            if problem := self._refusal(scope):
                await problem.response()(scope, receive_counted, send_checked)
            else:
                await self._app(scope, receive_counted, send_checked)
        except Exception as error:
            failure = error
            if not record.status:
                await problems.of(error).response()(scope, receive_counted, send_checked)
        self._log(scope, record, name, note, failure)

    def _refusal(self, scope: Scope) -> Problem | None:
        """Return why a request is refused, or None."""
        headers = Headers(scope=scope)
        if sum(len(name) + len(value) + 4 for name, value in headers.raw) + len(scope["path"]) > HEADER_BYTES:
            return Problem(431, f"the headers are larger than {HEADER_BYTES} bytes", {"Connection": "close"})
        if "content-length" in headers and "transfer-encoding" in headers:  # a proxy may see another end of the body
            return Problem(400, "a request has either Content-Length or Transfer-Encoding", {"Connection": "close"})
        host = _host(f"//{headers.get('host', '')}")
        if self._names and host not in self._names:
            return Problem(421, "requests for this host name are not accepted")
        origin = headers.get("origin")
        if origin and urlsplit(origin).netloc != headers.get("host") and _host(origin) not in self._names - {*LOCAL}:
            return Problem(403, "requests from pages of other sites are not accepted")
        if self._key is None or not (scope["path"].startswith("/v1/") or scope["path"].rstrip("/") == "/metrics"):
            return None
        scheme, _, sent_key = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(sent_key.strip().encode("latin-1"), self._key):
            return None
        return Problem(401, "a key is required: Authorization: Bearer KEY", {"WWW-Authenticate": "Bearer"})

    async def _send(self, message: Message, record: _RequestLog, receive_counted: Receive, send: Send) -> None:
        """Send a part of a response in pieces, as long as the client reads fast enough."""
        body, more, limits = message.get("body", b""), message.get("more_body", False), self._limits
        for start in range(0, max(len(body), 1), _PIECE):
            piece = body[start : start + _PIECE]
            last = not more and start + _PIECE >= len(body)
            linger = last and not record.whole and not record.left
            async with asyncio.timeout_at(record.answered + limits.client_timeout + record.sent / limits.rate):
                await send({"type": "http.response.body", "body": piece, "more_body": not last or linger})
            record.sent += len(piece)
            if linger:
                await _drain(record, receive_counted)
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _log(self, scope: Scope, record: _RequestLog, name: str, note: dict, failure: Exception | None) -> None:
        """Count and log a request by its route, since the paths that clients can send are unlimited."""
        seconds = time.perf_counter() - record.began
        path, status = getattr(scope.get("route"), "path", "other"), record.status or problems.GONE
        if record.left and isinstance(failure, TimeoutError):
            failure = None
        self._metrics.requests.labels(path, status).inc()
        self._metrics.seconds.labels(path).observe(seconds)
        self._metrics.received.inc(record.received)
        self._metrics.sent.inc(record.sent)
        fields = {"id": name, "method": scope["method"], "path": path, "status": status}
        fields |= {"received": record.received, "sent": record.sent, "seconds": round(seconds, 3), **note}
        if failure:
            log.error("failed", exc_info=failure, extra={"fields": fields})
        else:
            log.info("request", extra={"fields": fields})


def _host(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


async def _drain(record: _RequestLog, receive_counted: Receive) -> None:
    """Read the rest of a refused body: closed at once, the connection would lose the response."""
    seconds, size = _LINGER
    most = record.received + size
    try:
        async with asyncio.timeout(seconds):
            while not record.whole and not record.left and record.received < most:
                await receive_counted()
    except TimeoutError:
        return
