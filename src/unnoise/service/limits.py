"""Limits on requests, and what happens beyond them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields

from unnoise import system
from unnoise.errors import UnnoiseError

MIB = 2**20
SHARE = 0.75
"""Default of `memory`, as a share of what the process may use: the rest is for the system and its file cache."""


def _workers() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return min(4, len(affinity(0)) if affinity else os.cpu_count() or 1)


def _memory() -> int:
    return round(SHARE * system.memory_size())


@dataclass(frozen=True)
class Limits:
    """Bounds on the resources of one request and of all together.

    Attributes:
        body_bytes: size of a request body; larger ones are refused (413), by Content-Length or while they arrive.
        memory: bytes that the process may take. Work is admitted by estimates of its peak, see `memory.estimate`; it is
            refused if it does not fit beside what is admitted (429), or not at all (413).
        buffered_bytes: request and response bodies in memory, all together, at most an eighth of `memory`; a body
            beyond that is refused (429).
        pixels: of one image, all pages together; larger ones are refused (413) before they are decoded.
        pages: of one file; likewise.
        seconds: processing time of one image; then it is canceled (504).
        client_timeout: seconds within which the headers of a request must have arrived and a body must have started;
            a client that then sends more slowly than `rate` is refused (408), and one that reads the response more
            slowly is disconnected.
        rate: minimum transfer rate of request and response bodies, bytes per second.
        workers: images processed at the same time.
        queue_size: images that wait for a worker; more are refused (429).
        connections: open at the same time; more are refused (503).
        client_connections: of those, of one address; more are closed.
        client_images: being processed or waiting, of one address; more are refused (429). Both do not hold for this
            machine itself, where a proxy may speak for all clients.

    Raises:
        UnnoiseError: a limit is not above 0 (`queue_size` may be 0).
    """

    body_bytes: int = 64 * MIB
    memory: int = field(default_factory=_memory)
    buffered_bytes: int = 512 * MIB
    pixels: int = 50_000_000
    pages: int = 100
    seconds: float = 120.0
    client_timeout: float = 20.0
    rate: int = 50_000
    workers: int = field(default_factory=_workers)
    queue_size: int = 16
    connections: int = 500
    client_connections: int = 100
    client_images: int = 8

    @property
    def bodies(self) -> int:
        """The bytes of bodies that are held at most."""
        return min(self.buffered_bytes, self.memory // 8)

    def __post_init__(self) -> None:
        """Check the ranges."""
        for limit in fields(self):
            value = getattr(self, limit.name)
            if value < 0 or (value == 0 and limit.name != "queue_size"):
                raise UnnoiseError(f"the limit {limit.name.replace('_', ' ')} must be above 0, got {value}")
