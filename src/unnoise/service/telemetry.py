"""What can be seen from outside: metrics for Prometheus, and log lines in JSON, without picture data."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

log = logging.getLogger("unnoise.service")


class Metrics:
    """Counters of one service, in a registry of its own.

    Args:
        gauges: name -> what it tells, and the function that is asked for it.
    """

    media_type = CONTENT_TYPE_LATEST

    def __init__(self, gauges: dict[str, tuple[str, Callable[[], float]]]) -> None:
        self._registry = CollectorRegistry()
        place: Any = {"registry": self._registry}
        self.requests = Counter("unnoise_requests", "Requests answered.", ["path", "status"], **place)
        self.seconds = Histogram(
            "unnoise_request_seconds", "From the first byte of a request to the last of its answer.", ["path"],
            buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120), **place,
        )  # fmt: skip
        self.received = Counter("unnoise_received_bytes", "Bytes of bodies taken in.", **place)
        self.sent = Counter("unnoise_sent_bytes", "Bytes of answers given.", **place)
        self.pixels = Counter("unnoise_pixels", "Pixels cleaned.", ["model"], **place)
        for name, (text, function) in gauges.items():
            Gauge(f"unnoise_{name}", text, **place).set_function(function)

    def page(self) -> bytes:
        """Return all of it, as Prometheus reads it."""
        return generate_latest(self._registry)


class JsonFormatter(logging.Formatter):
    """A line of JSON: the time, the level, the message, and the fields that come with it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        said = {"time": f"{stamp}.{int(record.msecs):03d}Z", "level": record.levelname.lower()}
        said |= {"event": record.getMessage(), **getattr(record, "fields", {})}
        if record.exc_info:
            said["traceback"] = self.formatException(record.exc_info)
        return json.dumps(said, ensure_ascii=False)
