"""One request's work: how far it is, and the word that stops it; those with a name can be asked and stopped."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Literal

from unnoise.service.problems import Problem

State = Literal["receiving", "waiting", "working"]


class JobState:
    """What is known of a request while it is served.

    Attributes:
        state: what it is doing.
        share: of that, 0 to 1.
    """

    def __init__(self) -> None:
        self.state: State = "receiving"
        self.share = 0.0
        self.began = time.monotonic()
        self._why: Problem | None = None

    def stop(self, why: Problem) -> None:
        """Let the work end at the next tile, for this reason; the first one given counts."""
        self._why = self._why or why

    def report(self, share: float) -> None:
        """Say how far the work is; raise what it was stopped for."""
        self.share = share
        if self._why:
            raise self._why


class JobRegistry:
    """Tasks by the names that their senders gave them, as long as they are served; nothing is kept after that."""

    def __init__(self) -> None:
        self._tasks: dict[str, JobState] = {}

    @contextlib.contextmanager
    def named(self, name: str | None) -> Iterator[JobState]:
        """Serve a task, under a name if it has one."""
        task = JobState()
        if name is None:
            yield task
            return
        if name in self._tasks:
            raise Problem(409, "a job of that name is at work: give each its own")
        self._tasks[name] = task
        try:
            yield task
        finally:
            del self._tasks[name]

    def find(self, name: str) -> JobState:
        """Return the task of that name."""
        if name not in self._tasks:
            raise Problem(404, "no job of that name is at work")
        return self._tasks[name]
