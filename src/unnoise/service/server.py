"""The application on uvicorn, with a timeout on every wait."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import Collection, Iterator
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from unnoise.errors import UnnoiseError
from unnoise.service import app
from unnoise.service.limits import Limits
from unnoise.service.middleware import LOCAL
from unnoise.service.telemetry import JsonFormatter, log

_HEADERS = 32 * 1024  # bytes of the headers of a request; h11 refuses more
_IDLE = 10  # seconds that an idle connection is kept open


def run(
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    limits: Limits | None = None,
    key: str | None = None,
    names: Collection[str] = (),
    engine: str | None = None,
) -> None:
    """Serve until a signal arrives; running requests are finished first.

    Args:
        host: address to listen on; the default is reachable from this machine only.
        port: port to listen on; 0 for any free port.
        limits: bounds on requests.
        key: the bearer key that requests must send; None for no key.
        names: host names that requests may be addressed to, besides those of this machine; without any, a service that
            is reachable from other machines accepts every name.
        engine: inference engine, as in `denoisers.make`.

    Raises:
        UnnoiseError: the address is not available.
    """
    limits = limits or Limits()
    local = host in LOCAL
    allowed = {*LOCAL, host, *names} if local or names else set()
    application = app.make(limits, key=key, names=allowed, engine=engine)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    for logger in (log, logging.getLogger("uvicorn.error")):
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO if logger is log else logging.WARNING)
    config = uvicorn.Config(
        application,
        http=_protocol(limits.client_timeout),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=_HEADERS,
        limit_concurrency=limits.connections,
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=round(limits.seconds),
    )
    with _listening(host, port) as listener:
        address = f"[{host}]" if ":" in host else host
        log.info("listening", extra={"fields": {"address": f"http://{address}:{listener.getsockname()[1]}"}})
        uvicorn.Server(config).run([listener])


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """Open the socket."""
    try:
        family, *_, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(512)
    except (OSError, OverflowError) as error:
        raise UnnoiseError(
            f"cannot listen on {host}, port {port}: {getattr(error, 'strerror', None) or error}"
        ) from error
    with listener:
        yield listener


def _protocol(timeout: float) -> type[asyncio.Protocol]:
    """Return uvicorn's HTTP/1.1 protocol with a timeout for request headers and for clients that stop reading.

    uvicorn alone waits for both without end.
    """

    class TimeoutProtocol(H11Protocol):
        _waiting: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            connection = transport.get_extra_info("socket")
            if connection is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(1000 * timeout))
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            if self._waiting:
                self._waiting.cancel()

        def _watch(self) -> None:
            """Run the timer from the first byte of a request until its headers are complete."""
            if self.conn.their_state is not h11.IDLE:
                if self._waiting:
                    self._waiting.cancel()
                self._waiting = None
            elif self._waiting is None:
                self._waiting = self.loop.call_later(timeout, self._end)

        def _end(self) -> None:
            self._waiting = None
            if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
                self.transport.abort()

    return TimeoutProtocol
