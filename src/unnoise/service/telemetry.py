"""Metrics for Prometheus, and log lines in JSON, without image data."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

log = logging.getLogger("unnoise.service")


class Metrics:
    """Metrics of one service, in a registry of its own.

    Args:
        gauges: name -> description, and the function that returns the value.
    """

    media_type = CONTENT_TYPE_LATEST

    def __init__(self, gauges: dict[str, tuple[str, Callable[[], float]]]) -> None:
        self._registry = CollectorRegistry()
        registry = self._registry
        self.requests = Counter("unnoise_requests", "Requests.", ["path", "status"], registry=registry)
        self.seconds = Histogram(
            "unnoise_request_seconds", "From the first byte of a request to the last of its response.", ["path"],
            buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120), registry=registry,
        )  # fmt: skip
        self.received = Counter("unnoise_received_bytes", "Bytes of request bodies.", registry=registry)
        self.sent = Counter("unnoise_sent_bytes", "Bytes of response bodies.", registry=registry)
        self.pixels = Counter("unnoise_pixels", "Pixels denoised.", ["model"], registry=registry)
        for name, (text, function) in gauges.items():
            Gauge(f"unnoise_{name}", text, registry=registry).set_function(function)

    def page(self) -> bytes:
        """Return all metrics in the text format of Prometheus."""
        return generate_latest(self._registry)


class JsonFormatter(logging.Formatter):
    """A line of JSON: time, level, message, and the fields of the record."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {"time": f"{stamp}.{int(record.msecs):03d}Z", "level": record.levelname.lower()}
        line |= {"event": record.getMessage(), **getattr(record, "fields", {})}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)
