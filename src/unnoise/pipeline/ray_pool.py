"""Work on Ray: rows of things to do, shared among the actors of a cluster by Ray Data; and tables, whose rows they are.

Ray Data cuts the rows, sizes the pool of actors, holds back what nobody has read yet, and repeats what a lost worker or
machine had in hand. What an archive makes of it stands in `orders`.
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

from unnoise.errors import UnnoiseError
from unnoise.optional import require
from unnoise.system import cpu_count

log = logging.getLogger(__name__)

BLOCKS = 10_000
"""Pieces that the rows are cut into, at most; with more, Ray's own books take the time."""
TRIES = 3
"""How often a piece is begun again after a worker or machine was lost."""
CPU_REQUEST = 0.5
"""Of a core or GPU, what an actor asks Ray for, though it fills one: where a machine is lost, the others have room for
its actors. Without it they would wait for another machine, and what they had in hand with them."""

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # of what it tells of lost workers, on standard output
}
Row = dict[str, Any]
"""Of values that JSON knows."""


@contextlib.contextmanager
def ray_session(address: str | None) -> Iterator[None]:
    """Be part of a cluster.

    Args:
        address: "HOST:PORT" or "ray://HOST:PORT" of one, "auto" for the one of this machine, "local" for a new one on
            its cores; None for that of RAY_ADDRESS, else a new one.

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
        if host and port.isdigit():  # Ray itself would knock for minutes
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
        with _hushed():
            ray.init(address=address, **quiet)
    except (OSError, ValueError, RuntimeError) as error:
        raise UnnoiseError(f"no Ray cluster at '{address}': {' '.join(str(error).split())[:200]}") from error
    try:
        yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Let nothing onto standard error, whoever writes there: Ray tells that it was told to be quiet."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def map_rows(
    items: Sequence[Row],
    actor: type,
    arguments: tuple[Any, ...],
    *,
    held: int = 1,
    workers: int | None = None,
    gpus: int = 0,
    ordered: bool = False,
) -> Iterator[tuple[Row, bytes]]:
    """Send rows through a pool of actors; yield what they make of them, in any order unless `ordered`.

    What is lost with its worker more than `TRIES` times is missing in what comes back, or ends it if `ordered`.

    Args:
        items: the rows, of values that JSON knows.
        actor: called with a row, returns rows, each with some bytes.
        arguments: of its constructor.
        held: rows that an actor takes at once; more where there would be too many pieces.
        workers: how many actors; None for as many as the cluster has cores or GPUs for.
        gpus: of each, beside one core; see `ROOM`.
        ordered: yield in the order of the rows.

    Raises:
        UnnoiseError: an actor cannot begin its work.
    """
    if not items:
        return
    ray, data = require("ray", extra="ray"), require("ray.data", extra="ray")
    context = data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.execution_options.preserve_order = ordered
    context.max_errored_blocks = 0 if ordered else -1
    for handler in logging.getLogger("ray.data").handlers:
        own = type(handler).__module__.startswith("ray.")  # others listen there, too
        if own and isinstance(handler, logging.StreamHandler):  # what it has to say stands in its log
            handler.setLevel(logging.CRITICAL)
    count = max(1, min(workers or int(resource_count("GPU" if gpus else "CPU")), len(items)))
    blocks = min(BLOCKS, math.ceil(len(items) / min(held, math.ceil(len(items) / count))))
    named: list[str] = []

    def name() -> dict[str, str]:
        named.append(f"unnoise-{secrets.token_hex(8)}")
        return {"name": named[-1]}

    texts = [{"text": json.dumps(item)} for item in items]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray Data wants other names for the last two, and has none
        made = data.from_items(texts, override_num_blocks=blocks).map_batches(
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
        for batch in made.iter_batches(batch_size=None, batch_format="pyarrow"):
            for text, data in zip(batch["text"], batch["data"], strict=True):
                yield json.loads(text.as_py()), data.as_py()
    except ray.exceptions.RayError as error:
        log.debug("", exc_info=True)
        raise UnnoiseError(f"the Ray cluster failed: {str(error).strip().splitlines()[-1]}") from error
    finally:
        for one in named:  # Ray forgets those that it began again, and they would hold their cores
            with contextlib.suppress(ValueError):
                ray.kill(ray.get_actor(one))


class _Actor:
    """Calls what it makes once with every row."""

    def __init__(self, actor: type, arguments: tuple[Any, ...]) -> None:
        self._call = actor(*arguments)

    def __call__(self, batch: dict[str, Any]) -> Iterator[Any]:
        """Make rows of rows; each is JSON, so that no two blocks differ in their columns."""
        arrow = require("pyarrow", extra="ray")
        for text in batch["text"]:
            made = [(json.dumps(row), data) for row, data in self._call(json.loads(text))]
            texts, parts = zip(*made, strict=True) if made else ((), ())
            yield arrow.table({"text": arrow.array(texts, arrow.string()), "data": arrow.array(parts, arrow.binary())})


def chdir(here: str) -> None:
    """Work where the driver does, if that is there; else relative names lead nowhere, and every row tells so."""
    with contextlib.suppress(OSError):
        os.chdir(here)


def resource_count(resource: str) -> float:
    """Return how much of "CPU" or "GPU" the cluster has."""
    return require("ray", extra="ray").cluster_resources().get(resource, 0.0)
