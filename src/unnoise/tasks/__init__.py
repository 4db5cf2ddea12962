"""Tasks: ways of learning. Each turns a batch into a loss; the loop in `training` is the same for all."""

from __future__ import annotations

from unnoise.spec import Registry
from unnoise.tasks.base import Task

TASKS: Registry[Task] = Registry(
    "task",
    {
        "neighbor2neighbor": "unnoise.tasks.neighbor2neighbor:Neighbor2Neighbor",
        "noise2noise": "unnoise.tasks.noise2noise:Noise2Noise",
        "noise2void": "unnoise.tasks.noise2void:Noise2Void",
        "supervised": "unnoise.tasks.supervised:Supervised",
    },
)

__all__ = ["TASKS", "Task"]
