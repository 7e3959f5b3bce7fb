"""What this machine has: cores that this process may use, how many runs at once, threads for each, memory. No torch."""

from __future__ import annotations

import ctypes
import os
import platform
from functools import lru_cache


def cores() -> int:
    """Processor cores this process may use (a container's share, where the system tells)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def slots() -> int:
    """How many runs may train at once: one for every four cores, at least one."""
    return max(1, cores() // 4)


def threads() -> int:
    """Threads of one run, so that all slots together leave a core to the dashboard."""
    return max(1, cores() // slots() - 1)


M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's mallopt
NEVER = -1


@lru_cache(1)
def keep_memory() -> bool:
    """Let this process keep the memory that it frees, for ever; whether it can be told so (glibc only).

    Else glibc gives large blocks back, and every layer's output is new pages, which the kernel fills with zeros one by one: half of the
    time of a wide network over a batch, and a ratio of two networks that depends on what was freed before.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(M_MMAP_MAX, 0) and libc.mallopt(M_TRIM_THRESHOLD, NEVER))
