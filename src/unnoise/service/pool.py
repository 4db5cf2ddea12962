"""A bounded pool of threads: pictures at work, pictures that wait, and a refusal for those beyond."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from unnoise.service.jobs import JobState
from unnoise.service.limits import Limits
from unnoise.service.problems import Problem, gone

T = TypeVar("T")


class Pool:
    """Threads that work on pictures, so that the event loop never does.

    Args:
        limits: how many work, how many wait, and how long one may take.

    Attributes:
        working: pictures at work.
        waiting: pictures that wait.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.working = self.waiting = 0
        self._threads: ThreadPoolExecutor | None = None
        self._seconds = 1.0  # of one picture, lately

    async def run(self, work: Callable[[], T], task: JobState, left: Callable[[], Awaitable[Any]]) -> T:
        """Do a piece of work on a thread.

        Args:
            work: calls `task.report` now and then, which is where it can be stopped.
            task: whose it is.
            left: waits until the client has left.

        Raises:
            Problem: too much is waiting (429), the time is over (504), or the client has left; a thread that is at work
                then comes to its end at the next tile.
        """
        if self.working + self.waiting >= self.limits.workers + self.limits.queue_size:
            raise self.full()
        begun = asyncio.Event()
        future = self._submit(work, task, begun.set)
        outcome = asyncio.wrap_future(future)
        outcome.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be left to hear it
        watches = [asyncio.ensure_future(left()), asyncio.ensure_future(self._time_is_over(begun))]
        try:
            await asyncio.wait([outcome, *watches], return_when=asyncio.FIRST_COMPLETED)
            if outcome.done():
                return outcome.result()
            over = Problem(504, f"the picture took more than {self.limits.seconds:g} seconds: send a smaller one")
            why = gone() if watches[0].done() else over
            task.stop(why)
            raise why
        finally:
            task.stop(gone())  # also where this coroutine itself was cancelled
            future.cancel()
            for watch in watches:
                watch.cancel()

    def full(self) -> Problem:
        """Return the refusal of one more, with the seconds after which a place should be free."""
        seconds = math.ceil(self._seconds * (1 + self.waiting) / self.limits.workers)
        line = f"{self.waiting} pictures are waiting already: come again later"
        return Problem(429, line, {"Retry-After": str(min(max(seconds, 1), 60))})

    def close(self) -> None:
        """Forget what waits."""
        if self._threads:
            self._threads.shutdown(wait=False, cancel_futures=True)
        self._threads = None

    def _submit(self, work: Callable[[], T], task: JobState, begun: Callable[[], object]) -> Future[T]:
        loop, started = asyncio.get_running_loop(), False
        self.waiting += 1
        task.state, task.share = "waiting", 0.0

        def tell(what: Callable[[], object]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has closed: there is nobody to tell
                loop.call_soon_threadsafe(what)

        def begin() -> None:
            nonlocal started
            started = True
            self.waiting -= 1
            self.working += 1
            begun()

        def do() -> T:
            tell(begin)
            task.state, task.share = "working", 0.0
            start = time.perf_counter()
            task.report(0.0)
            made = work()
            self._seconds += 0.2 * (time.perf_counter() - start - self._seconds)
            return made

        def end() -> None:
            if started:
                self.working -= 1
            else:
                self.waiting -= 1

        self._threads = self._threads or ThreadPoolExecutor(self.limits.workers, thread_name_prefix="picture")
        future = self._threads.submit(do)
        future.add_done_callback(lambda _: tell(end))
        return future

    async def _time_is_over(self, begun: asyncio.Event) -> None:
        await begun.wait()
        await asyncio.sleep(self.limits.seconds)
