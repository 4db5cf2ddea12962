"""A bounded pool of threads with a bounded queue; requests beyond it are refused."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from unnoise import interruption
from unnoise.service.jobs import JobState
from unnoise.service.limits import Limits
from unnoise.service.problems import Problem, gone

T = TypeVar("T")


class Pool:
    """Threads that process images outside the event loop.

    Args:
        limits: number of workers, size of the queue, and time per image.

    Attributes:
        working: images being processed.
        waiting: images in the queue.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.working = self.waiting = 0
        self._threads: ThreadPoolExecutor | None = None
        self._seconds = 1.0  # of one image: a running mean

    async def run(
        self,
        work: Callable[[], T],
        job: JobState,
        disconnected: Callable[[], Awaitable[Any]],
        ended: Callable[[], object] = lambda: None,
    ) -> T:
        """Run a function on a thread.

        Args:
            work: calls `job.report` now and then, which is where it can be stopped.
            job: state of the request.
            disconnected: waits until the client disconnects.
            ended: called when the thread is done with it, or it was discarded; not if the queue is full.

        Raises:
            Problem: the queue is full (429), the time is over (504), or the client has disconnected; a running thread
                then ends at the next tile.
        """
        self.check()
        begun = asyncio.Event()
        future = self._submit(work, job, begun.set, ended)
        outcome = asyncio.wrap_future(future)
        outcome.add_done_callback(lambda done: done.cancelled() or done.exception())  # the client may have disconnected
        watches = [asyncio.ensure_future(disconnected()), asyncio.ensure_future(self._timeout(begun))]
        try:
            await asyncio.wait([outcome, *watches], return_when=asyncio.FIRST_COMPLETED)
            if outcome.done():
                return outcome.result()
            too_slow = Problem(504, f"the image took more than {self.limits.seconds:g} seconds: send a smaller one")
            problem = gone() if watches[0].done() else too_slow
            job.stop(problem)
            raise problem
        finally:
            job.stop(gone())  # also if this coroutine itself was cancelled
            future.cancel()
            for watch in watches:
                watch.cancel()

    def check(self) -> None:
        """Raise a problem if the queue is full."""
        if self.working + self.waiting >= self.limits.workers + self.limits.queue_size:
            raise self.full()

    @property
    def retry_after(self) -> int:
        """The seconds after which a worker should be free."""
        return min(max(math.ceil(self._seconds * (1 + self.waiting) / self.limits.workers), 1), 60)

    def full(self) -> Problem:
        """Return the problem of a full queue."""
        line = f"the queue is full, {self.waiting} images are waiting: try again later"
        return Problem(429, line, {"Retry-After": str(self.retry_after)})

    def close(self) -> None:
        """Discard the queue."""
        if self._threads:
            self._threads.shutdown(wait=False, cancel_futures=True)
        self._threads = None

    def _submit(
        self, work: Callable[[], T], job: JobState, begun: Callable[[], object], ended: Callable[[], object]
    ) -> Future[T]:
        loop, started = asyncio.get_running_loop(), False
        self.waiting += 1
        job.state, job.share = "waiting", 0.0

        def notify(callback: Callable[[], object]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has closed
                loop.call_soon_threadsafe(callback)

        def begin() -> None:
            nonlocal started
            started = True
            self.waiting -= 1
            self.working += 1
            begun()

        def target() -> T:
            notify(begin)
            job.state, job.share = "working", 0.0
            start = time.perf_counter()
            job.report(0.0)
            with interruption.checked_by(lambda: job.report(job.share)):
                made = work()
            self._seconds += 0.2 * (time.perf_counter() - start - self._seconds)
            return made

        def end() -> None:
            ended()
            if started:
                self.working -= 1
            else:
                self.waiting -= 1

        self._threads = self._threads or ThreadPoolExecutor(self.limits.workers, thread_name_prefix="picture")
        future = self._threads.submit(target)
        future.add_done_callback(lambda _: notify(end))
        return future

    async def _timeout(self, begun: asyncio.Event) -> None:
        await begun.wait()
        await asyncio.sleep(self.limits.seconds)
