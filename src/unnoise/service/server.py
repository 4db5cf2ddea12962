"""The application on uvicorn, with a timeout on every wait."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from unnoise.errors import UnnoiseError
from unnoise.service import app
from unnoise.service.limits import Limits
from unnoise.service.middleware import HEADER_BYTES, LOCAL
from unnoise.service.telemetry import JsonFormatter, log

_IDLE = 10  # seconds that an idle connection is kept open


def run(
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    limits: Limits | None = None,
    key: str | None = None,
    names: Collection[str] = (),
    engine: str | None = None,
    files: Sequence[str | Path] = (),
    announce: Callable[[str, int], object] = lambda address, work: None,
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
        files: model files that requests can name, too; see `Catalog`.
        announce: called with the address once it is listened on, and the bytes of memory for work.

    Raises:
        UnnoiseError: the address is not available, or as `app.make`.
    """
    limits = limits or Limits()
    local = host in LOCAL
    allowed = {*LOCAL, host, *names} if local or names else set()
    application = app.make(limits, key=key, names=allowed, engine=engine, files=files)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    for logger in (log, logging.getLogger("uvicorn.error")):
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO if logger is log else logging.WARNING)
    config = uvicorn.Config(
        application,
        http=_protocol(limits.client_timeout, limits.client_connections),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=HEADER_BYTES,
        limit_concurrency=limits.connections,
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=math.ceil(limits.client_timeout),
    )
    with _listening(host, port) as listener:
        address = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
        announce(address, application.state.service.admission.limit)
        log.info("listening", extra={"fields": {"address": address, "memory": limits.memory}})
        _Server(config, application.state.service).run([listener])


class _Server(uvicorn.Server):
    """A server that goes on after a signal until its work is done, or its time is over; a second one ends it at once.

    Args:
        config: of uvicorn.
        service: what it serves.
    """

    def __init__(self, config: uvicorn.Config, service: app.Service) -> None:
        super().__init__(config)
        self._service, self._end = service, math.inf

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        if self._service.draining:
            log.warning("ended before its work was done")
            os._exit(128 + sig)  # nothing is left half-written, since nothing is written
        self._service.drain()
        self._end = time.monotonic() + self._service.limits.seconds
        self._captured_signals.append(sig)

    async def on_tick(self, counter: int) -> bool:
        """Tell whether to stop; called ten times a second."""
        self.should_exit |= self._service.draining and (self._service.is_idle or time.monotonic() > self._end)
        return await super().on_tick(counter)


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


def _protocol(timeout: float, connections: int) -> type[asyncio.Protocol]:
    """Return uvicorn's HTTP/1.1 protocol with a timeout for request headers and for clients that stop reading.

    uvicorn alone waits for both without end. An address other than this machine's has at most so many connections.
    """
    opened: Counter[str] = Counter()

    class TimeoutProtocol(H11Protocol):
        _waiting: asyncio.TimerHandle | None = None
        _address = ""

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            address = (transport.get_extra_info("peername") or ("",))[0]
            if address not in LOCAL:
                self._address = address
                opened[address] += 1
                if opened[address] > connections:
                    transport.abort()
                    return
            connection = transport.get_extra_info("socket")
            if connection is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(1000 * timeout))
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            if self._address:
                opened[self._address] -= 1
                if not opened[self._address]:
                    del opened[self._address]
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
