"""The door, through which every request and every answer goes.

It knows who may come in, what an answer says to browsers, and how a connection ends well. It is plain ASGI, so that
nothing between the socket and the work holds a body or hides that a client has left.
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
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
LOCAL = ("localhost", "127.0.0.1", "::1")
OPEN = ("/healthz", "/readyz", "/openapi.json")
"""Paths that need no key, beside those of the page."""

_PIECE = 2**18  # bytes of an answer that are sent at once
_LINGER = (2.0, 2**23)  # seconds, and bytes: of a refused body, what is still taken so that the refusal is read


@dataclass
class _RequestLog:
    """One request on its way."""

    began: float = field(default_factory=time.perf_counter)
    status: int = 0
    received: int = 0
    sent: int = 0
    answered: float = 0.0  # when the answer began, on the clock of the event loop
    whole: bool = False  # all of its body has come
    left: bool = False


class GuardMiddleware:
    """The outermost layer of the application.

    Args:
        app: what stands inside.
        limits: how long a client may take over its answer.
        metrics: where requests are counted.
        key: what the bearer of a request must show; None where nobody needs one.
        names: hosts under which the service may be called; empty for any. It keeps pages of other sites from reaching a
            service on this machine through a name of their own.
    """

    def __init__(self, app: ASGIApp, limits: Limits, metrics: Metrics, key: str | None, names: Collection[str]) -> None:
        self._app, self._limits, self._metrics = app, limits, metrics
        self._key, self._names = None if key is None else key.encode(), frozenset(names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = Headers(scope=scope)
        empty = "transfer-encoding" not in asked and asked.get("content-length", "0") == "0"
        visit, name = _RequestLog(whole=empty), secrets.token_hex(8)
        note = scope.setdefault("state", {})["note"] = {}

        async def take() -> Message:
            message = await receive()
            visit.left |= message["type"] == "http.disconnect"
            visit.received += len(message.get("body", b""))
            visit.whole |= message["type"] == "http.request" and not message.get("more_body", False)
            return message

        async def give(message: Message) -> None:
            if message["type"] == "http.response.start":
                visit.status, visit.answered = message["status"], asyncio.get_running_loop().time()
                headers = MutableHeaders(scope=message)
                for key, value in {**HEADERS, "X-Request-Id": name}.items():
                    headers.setdefault(key, value)
                headers.setdefault("Cache-Control", "no-store")
                if not visit.whole:
                    headers["Connection"] = "close"  # what still comes is no further request
                await send(message)
            else:
                await self._send(message, visit, take, send)

        trouble = None
        try:
            if problem := self._refusal(scope):
                await problem.response()(scope, take, give)
            else:
                await self._app(scope, take, give)
        except Exception as error:
            trouble = error
            if not visit.status:
                await problems.of(error).response()(scope, take, give)
        self._tell(scope, visit, name, note, trouble)

    def _refusal(self, scope: Scope) -> Problem | None:
        """Say why a request may not come in."""
        headers = Headers(scope=scope)
        host = _host(f"//{headers.get('host', '')}")
        if self._names and host not in self._names:
            return Problem(421, "this service does not answer to that host name")
        origin = headers.get("origin")
        if origin and urlsplit(origin).netloc != headers.get("host") and _host(origin) not in self._names - {*LOCAL}:
            return Problem(403, "a page of another site may not ask this service")
        if self._key is None or not (scope["path"].startswith("/v1/") or scope["path"] == "/metrics"):
            return None
        shown = headers.get("authorization", "").encode("latin-1")
        if hmac.compare_digest(shown, b"Bearer " + self._key):
            return None
        return Problem(401, "this service asks for a key: Authorization: Bearer KEY", {"WWW-Authenticate": "Bearer"})

    async def _send(self, message: Message, visit: _RequestLog, take: Receive, send: Send) -> None:
        """Send a piece of an answer to a client that takes it, and fast enough; end it where the body ends."""
        body, more, limits = message.get("body", b""), message.get("more_body", False), self._limits
        for start in range(0, max(len(body), 1), _PIECE):
            piece = body[start : start + _PIECE]
            last = not more and start + _PIECE >= len(body)
            linger = last and not visit.whole and not visit.left
            async with asyncio.timeout_at(visit.answered + limits.client_timeout + visit.sent / limits.rate):
                await send({"type": "http.response.body", "body": piece, "more_body": not last or linger})
            visit.sent += len(piece)
            if linger:
                await _let_go(visit, take)
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _tell(self, scope: Scope, visit: _RequestLog, name: str, note: dict, trouble: Exception | None) -> None:
        """Count and log a request; the path is that of the route, since what a client has made up is endless."""
        seconds = time.perf_counter() - visit.began
        path, status = getattr(scope.get("route"), "path", "other"), visit.status or problems.GONE
        if visit.left and isinstance(trouble, TimeoutError):
            trouble = None
        self._metrics.requests.labels(path, status).inc()
        self._metrics.seconds.labels(path).observe(seconds)
        self._metrics.received.inc(visit.received)
        self._metrics.sent.inc(visit.sent)
        fields = {"id": name, "method": scope["method"], "path": path, "status": status}
        fields |= {"received": visit.received, "sent": visit.sent, "seconds": round(seconds, 3), **note}
        if trouble:
            log.error("failed", exc_info=trouble, extra={"fields": fields})
        else:
            log.info("request", extra={"fields": fields})


def _host(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


async def _let_go(visit: _RequestLog, take: Receive) -> None:
    """Take what a client still sends of a body that nobody wants: closed at once, it would not read why."""
    seconds, size = _LINGER
    enough = visit.received + size
    try:
        async with asyncio.timeout(seconds):
            while not visit.whole and not visit.left and visit.received < enough:
                await take()
    except TimeoutError:
        return
