"""Batches on Ray: the jobs of a folder, shared among the actors of a cluster by Ray Data.

What is done is what `archive` and `pipeline` do on one machine, byte for byte. An actor opens the model once. It writes
each clean picture beside its target under a temporary name, complete and synced, and tells the driver, which puts the
line into the manifest and then the picture into its place: there is one manifest and one that writes it, and no moment
at which an output is there and nobody knows whose it is. The folders are such as all machines see under one name, or
addresses (`stores`): then the actor works on copies, and what it made waits in the store.

Ray Data cuts the jobs, sizes the pool of actors, holds back what nobody has read yet, and repeats what a lost worker or
machine had in hand. A picture that brings down every worker that takes it becomes a row with an error.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import logging
import math
import os
import secrets
import socket
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from unnoise import denoisers, files, pipeline, stores
from unnoise.archive import Archive
from unnoise.denoisers.blocks import cores
from unnoise.errors import UnnoiseError
from unnoise.manifest import Entry, Manifest
from unnoise.optional import need
from unnoise.pipeline import Outcome, Report, Settings
from unnoise.planning import Job

if TYPE_CHECKING:
    from unnoise.tables.base import Made

log = logging.getLogger(__name__)

HELD = 4
"""Pictures that an actor takes at once: what is lost with it, and how seldom Ray is asked."""
BLOCKS = 10_000
"""Pieces that the jobs are cut into, at most; with more, Ray's own books take the time."""
ROWS = 128
"""Rows of a table that an actor takes at once, at most."""
TRIES = 3
"""How often a piece is begun again after a worker or machine was lost."""

PATIENCE = 5.0
"""Seconds that finished outputs of a store wait for others, to take their places together."""
ROOM = 0.5
"""Of a core or GPU, what an actor asks Ray for, though it fills one: where a machine is lost, the others have room for
its actors. Without it they would wait for another machine, and what they had in hand with them."""

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # of what it tells of lost workers, on standard output
}
_Row = dict[str, Any]
_T = TypeVar("_T")


@dataclass(frozen=True)
class Order:
    """What actors are told, in values that can be sent.

    Attributes:
        model: as for `denoisers.make`.
        ensemble: as for `denoisers.make`.
        engine: as for `denoisers.make`.
        settings: of which all but the denoiser counts.
        asked: as for `Archive`.
    """

    model: str
    ensemble: bool
    engine: str | None
    settings: Settings
    asked: dict[str, Any]

    def make(self) -> Settings:
        """Open the model, on one thread: an actor has one core."""
        opened = denoisers.make(self.model, ensemble=self.ensemble, engine=self.engine, callers=cores())
        return replace(self.settings, denoiser=opened)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the denoiser behind, which every actor opens itself."""
        return {**vars(self), "settings": replace(self.settings, denoiser=None)}

    def run(
        self,
        jobs: Sequence[Job],
        manifest: Manifest,
        progress: Callable[[Job, float], None] = lambda job, done: None,
        *,
        workers: int | None = None,
    ) -> Iterator[Outcome]:
        """Do jobs as `pipeline.run` does with the work of an `Archive`; the outcomes come in any order.

        Args:
            jobs: what `plan` made.
            manifest: of the folder of outputs.
            progress: called with a job and how many are done.
            workers: how many actors; None for as many as the cluster has cores or GPUs for.
        """
        left = dict(enumerate(jobs))
        done = 0
        how: dict[str, Any] = {"workers": workers, "gpus": int(self.engine == "torch" and _has("GPU") >= 1)}
        arguments = (self, os.getcwd())
        try:
            for held in (HELD, 1, None):  # at last each alone, so that one that kills its worker takes no other along
                items = [_item(number, job, manifest) for number, job in left.items()]
                for some in [items] if held else [[item] for item in items]:
                    made = each(some, _Cleaner, arguments, held=held or 1, **how)
                    new = ((job, row) for row, _ in made if (job := left.pop(row["number"], None)) is not None)
                    for outcome in _placed(new, manifest):
                        done += 1
                        progress(outcome.job, done)
                        yield outcome
            for job in left.values():
                error = f"{job.source}: each worker that took it was lost: it needs more memory, or breaks the decoder"
                outcome = Outcome(job, error)
                Archive(manifest, self.asked).fail(outcome)
                yield outcome
        finally:
            manifest.sweep(job.target.parent for job in jobs)  # what the lost have left


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Be part of a cluster.

    Args:
        address: "HOST:PORT" or "ray://HOST:PORT" of one, "auto" for the one of this machine, "local" for a new one on
            its cores; None for that of RAY_ADDRESS, else a new one.

    Raises:
        UnnoiseError: Ray is not installed, or there is no such cluster.
    """
    for key, value in _QUIET.items():
        os.environ.setdefault(key, value)
    ray = need("ray", extra="ray")
    need("ray.data", extra="ray")
    if ray.is_initialized():
        yield
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == "local" or (address is None and "RAY_ADDRESS" not in os.environ):
        quiet |= {"num_cpus": cores(), "include_dashboard": False}
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


def each(
    items: Sequence[_Row],
    actor: type,
    arguments: tuple[Any, ...],
    *,
    held: int = 1,
    workers: int | None = None,
    gpus: int = 0,
    ordered: bool = False,
) -> Iterator[tuple[_Row, bytes]]:
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
    ray, data = need("ray", extra="ray"), need("ray.data", extra="ray")
    context = data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.execution_options.preserve_order = ordered
    context.max_errored_blocks = 0 if ordered else -1
    for handler in logging.getLogger("ray.data").handlers:
        own = type(handler).__module__.startswith("ray.")  # others listen there, too
        if own and isinstance(handler, logging.StreamHandler):  # what it has to say stands in its log
            handler.setLevel(logging.CRITICAL)
    count = max(1, min(workers or int(_has("GPU" if gpus else "CPU")), len(items)))
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
            num_cpus=ROOM,
            num_gpus=ROOM * gpus or None,
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
        raise UnnoiseError(f"the cluster cannot do it: {str(error).strip().splitlines()[-1]}") from error
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
        arrow = need("pyarrow", extra="ray")
        for text in batch["text"]:
            made = [(json.dumps(row), data) for row, data in self._call(json.loads(text))]
            texts, parts = zip(*made, strict=True) if made else ((), ())
            yield arrow.table({"text": arrow.array(texts, arrow.string()), "data": arrow.array(parts, arrow.binary())})


def _item(number: int, job: Job, manifest: Manifest) -> _Row:
    """Spell a job with all that the manifest knows of its target."""
    entry = manifest.last(job.target)
    return {
        "number": number,
        "source": [str(job.source), manifest.named(job.source)],
        "target": [str(job.target), manifest.named(job.target)],
        "held": (waits := manifest.waits(job.target)) and str(waits),
        "ours": job.ours,
        "entry": None if entry is None else dataclasses.asdict(entry),
        "written": sorted(manifest.written(job.target)),
    }


class _Known:
    """What a manifest knows of one job, in the place of a `Manifest`; the line that is added is kept."""

    def __init__(self, item: _Row) -> None:
        self._names = dict(map(tuple, (item["source"], item["target"])))
        self._entry, self._written = item["entry"], item["written"]
        self.copies: dict[Path, Path] = {}  # on this disk, of what lies in a store
        self.added: Entry | None = None

    def named(self, path: Path) -> str:
        """As `Manifest.named`."""
        return self._names[str(self.copies.get(path, path))]

    def last(self, target: Path) -> Entry | None:
        """As `Manifest.last`."""
        return None if self._entry is None else Entry(**self._entry)

    def wrote(self, target: Path, sha256: str) -> bool:
        """As `Manifest.wrote`."""
        return sha256 in self._written

    def record(self, entry: Entry) -> None:
        """Keep a line for the driver."""
        self.added = entry


class _Cleaner:
    """Does the jobs of an archive up to where an output takes its place."""

    def __init__(self, order: Order, here: str) -> None:
        _go(here)
        self._settings, self._asked = order.make(), order.asked

    def __call__(self, item: _Row) -> list[tuple[_Row, bytes]]:
        """Do one job; return what became of it, the line for the manifest, and where the output waits."""
        job = Job(stores.path(item["source"][0]), stores.path(item["target"][0]), item["ours"])
        known, waiting = _Known(item), []

        def prepare(job: Job, settings: Settings, progress: Report, seal: Callable[[Outcome, Path], None]) -> Outcome:
            settings = replace(settings, overwrite=settings.overwrite or job.ours)
            pipeline.check_target(job.target, overwrite=settings.overwrite)
            held = files.held(job.target)
            try:
                outcome = pipeline.clean_file(
                    replace(job, target=held), settings, progress,
                    lambda outcome, file: seal(replace(outcome, job=job), file),
                )  # fmt: skip
            except UnnoiseError as error:
                raise UnnoiseError(str(error).replace(os.fspath(held), os.fspath(job.target))) from error
            if item["held"]:
                stores.put(held, stores.path(item["held"]))
            waiting.append(item["held"] or os.fspath(held))
            return replace(outcome, job=job)

        archive = Archive(known, self._asked, clean=prepare)  # type: ignore[arg-type]

        def work(job: Job, settings: Settings, progress: Report) -> Outcome:
            try:
                with stores.near(job.source, job.target, known=bool(item["written"])) as (here, there):
                    known.copies = {here: job.source, there: job.target}
                    return archive.clean(replace(job, source=here, target=there), settings, progress)
            except Exception as error:
                if known.added is None or not known.added.error:
                    archive.fail(Outcome(job, pipeline.told(job, error)))
                raise

        (outcome,) = pipeline.run([job], self._settings, work=work)
        told = {
            field.name: getattr(outcome, field.name) for field in dataclasses.fields(outcome) if field.name != "job"
        }
        entry = None if known.added is None else dataclasses.asdict(known.added)
        for row in filter(None, (told, entry)):
            for here, named in known.copies.items():
                row["error"] = row["error"] and row["error"].replace(os.fspath(here), str(named))
        held = waiting[0] if waiting else None
        return [({"number": item["number"], "outcome": told, "entry": entry, "held": held}, b"")]


def _placed(made: Iterable[tuple[Job, _Row]], manifest: Manifest) -> Iterator[Outcome]:
    """Put lines into the manifest, as many together as it likes, and then the outputs into their places."""

    def place(job: Job, row: _Row, error: Exception | None) -> Outcome:
        try:
            if error is None and row["held"] is not None:
                manifest.place(row["held"], job.target)
        except (UnnoiseError, OSError) as failed:
            error = failed
        outcome = Outcome(job, **row["outcome"])
        return outcome if error is None else replace(outcome, error=pipeline.told(job, error))

    with ThreadPoolExecutor(manifest.together) as pool:
        for some in _some(made, manifest.together):
            error = None
            try:
                for _, row in some:
                    if row["entry"] is not None:
                        manifest.record(Entry(**row["entry"]))
                manifest.flush()
            except UnnoiseError as failed:
                error = failed
            yield from pool.map(place, *zip(*some, strict=True), itertools.repeat(error))


def _some(made: Iterable[_T], most: int) -> Iterator[list[_T]]:
    """Gather what comes within `PATIENCE`, `most` at a time at most."""
    some: list[_T] = []
    since = time.monotonic()
    for one in made:
        some.append(one)
        if len(some) == most or time.monotonic() - since > PATIENCE:
            yield some
            some, since = [], time.monotonic()
    if some:
        yield some


def spread(verb: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Callable[[int], Iterator[Made]]:
    """Have a verb of `unnoise.tables` done by the cluster; what is returned is its `How.spread`.

    Args:
        verb: its name.
        arguments: its arguments.
        options: its options, those of `How` left out.
    """

    def made(rows: int) -> Iterator[Made]:
        from unnoise.tables.base import Finding

        arrow = need("pyarrow", extra="ray")
        own = min(ROWS, math.ceil(rows / (4 * max(1, int(_has("CPU"))))))
        shares = min(BLOCKS, math.ceil(rows / own))
        items = [{"number": number, "of": shares} for number in range(shares)]
        for row, data in each(items, _Verb, (verb, arguments, options, os.getcwd()), ordered=True):
            (batch,) = arrow.ipc.open_stream(data)
            yield row["last"], batch, [Finding(**one) for one in row["bad"]]

    return made


class _Verb:
    """Does shares of what a verb of tables does; a model is opened once."""

    def __init__(self, verb: str, arguments: tuple[Any, ...], options: dict[str, Any], here: str) -> None:
        from unnoise import tables

        _go(here)
        if verb == "score":
            arguments = (denoisers.make(arguments[0], callers=cores()), *arguments[1:])
        self._verb, self._arguments, self._options = getattr(tables, verb), arguments, options

    def __call__(self, item: _Row) -> list[tuple[_Row, bytes]]:
        """Make one share: rows that were kept, a few at a time, and those that were not."""
        from unnoise.tables.base import Share

        arrow, share = need("pyarrow", extra="ray"), Share(item["number"], item["of"])
        self._verb(*self._arguments, **self._options, share=share)
        made = []
        for last, batch, bad in share.made:
            sink = arrow.BufferOutputStream()
            with arrow.ipc.new_stream(sink, batch.schema) as stream:
                stream.write_batch(batch)
            told = {"last": last, "bad": [dataclasses.asdict(one) for one in bad]}
            made.append((told, sink.getvalue().to_pybytes()))
        return made


def _go(here: str) -> None:
    """Work where the driver does, if that is there; else relative names lead nowhere, and every row tells so."""
    with contextlib.suppress(OSError):
        os.chdir(here)


def _has(resource: str) -> float:
    return need("ray", extra="ray").cluster_resources().get(resource, 0.0)
