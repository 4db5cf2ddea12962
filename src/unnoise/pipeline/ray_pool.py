"""Map rows through a pool of actors on a Ray cluster, by Ray Data.

Ray Data splits the rows into blocks, sizes the pool, applies backpressure, and repeats the tasks of lost workers and
machines. `ray_jobs` runs the jobs of an output folder on it, `tables.ray` the rows of image tables.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import secrets
import socket
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from unnoise import system
from unnoise.errors import UnnoiseError
from unnoise.optional import require
from unnoise.system import cpu_count

log = logging.getLogger(__name__)

BLOCKS = 10_000
"""Largest number of blocks; with more, the overhead of Ray dominates."""
TRIES = 3
"""How often a block is retried after a worker or machine was lost."""
CPU_REQUEST = 0.5
"""Fraction of a core or GPU that an actor requests, although it uses all of it: if a machine is lost, its actors fit on
the others. Otherwise they, and their tasks, would wait for a new machine."""

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # no messages on lost workers on standard output
}
Row = dict[str, Any]
"""JSON values."""


@contextlib.contextmanager
def ray_session(address: str | None) -> Iterator[None]:
    """Connect to a Ray cluster, or start one.

    Args:
        address: "HOST:PORT" or "ray://HOST:PORT" of one, "auto" for the running one of this machine, "local" for
            a new one on its cores; None for that of RAY_ADDRESS, or else a new one.

    Raises:
        UnnoiseError: Ray is not installed, or there is no such cluster.
    """
    for key, value in _QUIET.items():
        os.environ.setdefault(key, value)
    ray = require("ray", extra="ray")
    require("ray.data", extra="ray")
    if ray.is_initialized():
        yield
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == "local" or (address is None and "RAY_ADDRESS" not in os.environ):
        quiet |= {"num_cpus": cpu_count(), "include_dashboard": False}
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    try:
        if host and port.isdigit():  # Ray itself would retry for minutes
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
        with system.without_stderr():
            ray.init(address=address, **quiet)
    except (OSError, ValueError, RuntimeError) as error:
        raise UnnoiseError(f"no Ray cluster at '{address}': {' '.join(str(error).split())[:200]}") from error
    try:
        yield
    finally:
        ray.shutdown()


def map_rows(
    items: Sequence[Row],
    actor: type,
    arguments: tuple[Any, ...],
    *,
    rows_per_task: int = 1,
    workers: int | None = None,
    gpus: int = 0,
    ordered: bool = False,
) -> Iterator[tuple[Row, bytes]]:
    """Map rows through a pool of actors, and yield the results, in any order unless `ordered`.

    Rows whose worker is lost more than `TRIES` times are missing in the results, or raise an error if `ordered`.

    Args:
        items: the rows.
        actor: class; its instances are called with a row, and return rows, each with some bytes.
        arguments: of its constructor.
        rows_per_task: rows that an actor takes at once; more if there would be too many blocks.
        workers: number of actors; None for as many as the cluster has cores or GPUs for.
        gpus: of each actor, besides one core; see `CPU_REQUEST`.
        ordered: yield in the order of the rows.

    Raises:
        UnnoiseError: an actor cannot be constructed.
    """
    if not items:
        return
    ray, data = require("ray", extra="ray"), require("ray.data", extra="ray")
    context = data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.execution_options.preserve_order = ordered
    context.max_errored_blocks = 0 if ordered else -1
    for handler in logging.getLogger("ray.data").handlers:
        own = type(handler).__module__.startswith("ray.")  # other handlers are left alone
        if own and isinstance(handler, logging.StreamHandler):  # its log file has the messages
            handler.setLevel(logging.CRITICAL)
    count = max(1, min(workers or int(resource_count("GPU" if gpus else "CPU")), len(items)))
    blocks = min(BLOCKS, math.ceil(len(items) / min(rows_per_task, math.ceil(len(items) / count))))
    names: list[str] = []

    def name() -> dict[str, str]:
        names.append(f"unnoise-{secrets.token_hex(8)}")
        return {"name": names[-1]}

    texts = [{"text": json.dumps(item)} for item in items]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray Data deprecates the last two arguments, without a replacement
        results = data.from_items(texts, override_num_blocks=blocks).map_batches(
            _Actor,
            fn_constructor_args=(actor, arguments),
            batch_size=None,
            num_cpus=CPU_REQUEST,
            num_gpus=CPU_REQUEST * gpus or None,
            compute=data.ActorPoolStrategy(min_size=1, max_size=count, initial_size=count),
            ray_remote_args_fn=name,
            max_restarts=-1,
            max_task_retries=TRIES,
        )
    try:
        for batch in results.iter_batches(batch_size=None, batch_format="pyarrow"):
            for text, data in zip(batch["text"], batch["data"], strict=True):
                yield json.loads(text.as_py()), data.as_py()
    except ray.exceptions.RayError as error:
        log.debug("", exc_info=True)
        raise UnnoiseError(f"the Ray cluster failed: {str(error).strip().splitlines()[-1]}") from error
    finally:
        for actor_name in names:  # Ray does not stop actors that it restarted, and they would keep their cores
            with contextlib.suppress(ValueError):
                ray.kill(ray.get_actor(actor_name))


class _Actor:
    """Constructs the actor once, and calls it with every row."""

    def __init__(self, actor: type, arguments: tuple[Any, ...]) -> None:
        self._call = actor(*arguments)

    def __call__(self, batch: dict[str, Any]) -> Iterator[Any]:
        """Map rows to rows, as JSON text, so that all blocks have the same columns."""
        arrow = require("pyarrow", extra="ray")
        for text in batch["text"]:
            results = [(json.dumps(row), data) for row, data in self._call(json.loads(text))]
            texts, parts = zip(*results, strict=True) if results else ((), ())
            yield arrow.table({"text": arrow.array(texts, arrow.string()), "data": arrow.array(parts, arrow.binary())})


def chdir(folder: str) -> None:
    """Change to the working directory of the driver, if it exists; otherwise relative paths fail, row by row."""
    with contextlib.suppress(OSError):
        os.chdir(folder)


def resource_count(resource: str) -> float:
    """Return the number of "CPU" or "GPU" of the cluster."""
    return require("ray", extra="ray").cluster_resources().get(resource, 0.0)
