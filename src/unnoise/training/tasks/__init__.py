"""Tasks: training objectives. Each computes a loss from a batch; the training loop is the same for all."""

from __future__ import annotations

from unnoise.spec import Registry
from unnoise.training.tasks.base import Task

TASKS: Registry[Task] = Registry(
    "task",
    {
        "neighbor2neighbor": "unnoise.training.tasks.neighbor2neighbor:Neighbor2Neighbor",
        "noise2noise": "unnoise.training.tasks.noise2noise:Noise2Noise",
        "noise2void": "unnoise.training.tasks.noise2void:Noise2Void",
        "supervised": "unnoise.training.tasks.supervised:Supervised",
    },
)

__all__ = ["TASKS", "Task"]
