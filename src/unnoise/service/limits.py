"""What the service allows, and what it does when it is asked for more."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields

from unnoise.errors import UnnoiseError

MIB = 2**20


def _workers() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return min(4, len(affinity(0)) if affinity else os.cpu_count() or 1)


@dataclass(frozen=True)
class Limits:
    """Bounds on what one request, and all of them together, may take.

    Attributes:
        body_bytes: of one request's body; more is refused (413), by the announced length or while it comes.
        held_bytes: of all bodies and answers that are held; a body that would be more is refused (429).
        pixels: of one picture, its pages together; more is refused (413) before it is decoded.
        pages: of one file; likewise.
        seconds: of work on one picture; then it is given up (504).
        patience: seconds in which the headers of a request must have come, and a body or an answer must have begun
            to move; a client that sends more slowly than `rate` after that is refused (408), and one that takes its
            answer more slowly is left.
        rate: bytes a second that a body and an answer must keep up.
        workers: pictures at work at the same time.
        waiting: pictures that wait for a worker; more are refused (429).
        connections: open at the same time; more are refused (503).

    Raises:
        UnnoiseError: one of them is not above 0 (`waiting` may be 0).
    """

    body_bytes: int = 64 * MIB
    buffered_bytes: int = 512 * MIB
    pixels: int = 50_000_000
    pages: int = 100
    seconds: float = 120.0
    client_timeout: float = 20.0
    rate: int = 50_000
    workers: int = field(default_factory=_workers)
    queue_size: int = 16
    connections: int = 500

    def __post_init__(self) -> None:
        """Refuse limits that nothing could keep."""
        for one in fields(self):
            value = getattr(self, one.name)
            if value < 0 or (value == 0 and one.name != "queue_size"):
                raise UnnoiseError(f"the limit {one.name.replace('_', ' ')} is {value}: it must be above 0")
