"""Progress and cancellation of requests; named ones can be queried and canceled by other requests."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Literal

from unnoise.service.problems import Problem

State = Literal["receiving", "waiting", "working"]


class JobState:
    """State of a request while it is served.

    Attributes:
        state: what it is doing.
        share: fraction of that which is done, 0 to 1.
    """

    def __init__(self) -> None:
        self.state: State = "receiving"
        self.share = 0.0
        self.began = time.monotonic()
        self._problem: Problem | None = None

    def stop(self, problem: Problem) -> None:
        """Make the work end at the next tile with this problem; the first call counts."""
        self._problem = self._problem or problem

    def report(self, share: float) -> None:
        """Record the progress; raise the problem that `stop` was called with."""
        self.share = share
        if self._problem:
            raise self._problem


class JobRegistry:
    """Jobs by the names that clients chose, while their requests are served."""

    def __init__(self) -> None:
        self._jobs: dict[str, JobState] = {}

    @contextlib.contextmanager
    def register(self, name: str | None) -> Iterator[JobState]:
        """Create the state of a request, registered under a name if it has one."""
        job = JobState()
        if name is None:
            yield job
            return
        if name in self._jobs:
            raise Problem(409, "a job of that name is running: use a new name for each request")
        self._jobs[name] = job
        try:
            yield job
        finally:
            del self._jobs[name]

    def find(self, name: str) -> JobState:
        """Return the state of the job of that name."""
        if name not in self._jobs:
            raise Problem(404, "no job of that name is running")
        return self._jobs[name]
