"""What this machine has: cores that this process may use, how many runs at once, threads for each. No torch."""

from __future__ import annotations

import os


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
