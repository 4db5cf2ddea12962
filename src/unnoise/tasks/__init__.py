"""Tasks: ways of learning. Each turns a batch into a loss; the loop in `training` is the same for all."""

from __future__ import annotations

from unnoise.spec import Registry
from unnoise.tasks.base import Task

TASKS: Registry[Task] = Registry("task", {"supervised": "unnoise.tasks.supervised:Supervised"})

__all__ = ["TASKS", "Task"]
