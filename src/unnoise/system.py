"""Facts about the machine, and what belongs to the whole process."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path


def cpu_count() -> int:
    """Return the number of processor cores that this process may use; all of them where the system does not say."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def memory_size() -> int:
    """Return the bytes of memory that this process may use: of its control group, or of the machine."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")] if hasattr(os, "sysconf") else [4 * 2**30]
    for file in _group_files():
        with contextlib.suppress(OSError, ValueError):  # "max" where there is no limit
            limits.append(int(file.read_text()))
    return min(limits)


def _group_files() -> Iterator[Path]:
    """Yield the files that hold the memory limits of the control groups of this process, versions 2 and 1."""
    root = Path("/sys/fs/cgroup")
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            top, name = (root, "memory.max") if not controllers else (root / "memory", "memory.limit_in_bytes")
            if not controllers or "memory" in controllers.split(","):
                inner = top / path.lstrip("/")
                yield from (folder / name for folder in (inner, *inner.parents) if folder.is_relative_to(top))


@contextlib.contextmanager
def without_stderr() -> Iterator[None]:
    """Discard what any library writes to the descriptor of standard error; for one thread at a time."""
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def trim_memory() -> None:
    """Give free memory that the allocator holds back to the system, where it is that of GNU."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def resident_memory(*, peak: bool = False) -> int | None:
    """Return the bytes of memory of this process, or its peak since `restart_peak`; None where Linux does not tell."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        field = "VmHWM:" if peak else "VmRSS:"
        return next((1024 * int(line.split()[1]) for line in lines if line.startswith(field)), None)
    return None


def restart_peak() -> None:
    """Let the peak of `resident_memory` begin anew."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
