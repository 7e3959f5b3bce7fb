"""Where runs and data live, and which process is which."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil

PROJECT = Path(__file__).resolve().parents[2]


def runs_root(given: Path | str | None = None) -> Path:
    """The folder of all runs: `given`, else `ESPALIER_RUNS`, else `~/.espalier/runs`. Created where missing."""
    root = Path(given or os.environ.get("ESPALIER_RUNS") or Path.home() / ".espalier" / "runs").expanduser().resolve()
    root.mkdir(parents=True, exist_ok=True)
    return root


def data_dir(given: Path | str | None = None) -> Path | None:
    """The folder of downloaded data sets: `given`, else `ESPALIER_DATA`, else None (embedded data only)."""
    value = given or os.environ.get("ESPALIER_DATA")
    return Path(value).expanduser().resolve() if value else None


def slots() -> int:
    """How many runs may train at once on this machine: one for every four cores, at least one."""
    return max(1, (os.cpu_count() or 1) // 4)


def identity(pid: int | None = None) -> tuple[int, float]:
    """(pid, creation time in seconds): a process that a reused pid cannot be mistaken for."""
    pid = pid or os.getpid()
    return pid, psutil.Process(pid).create_time()


def is_alive(pid: int | None, created: float | None) -> bool:
    """Whether that very process still runs (a zombie does not)."""
    if pid is None:
        return False
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - (created or 0)) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def spawn(module: str, *arguments: str, log: Path) -> int:
    """Start `python -m module arguments` detached from this process, output to `log`; returns its pid.

    It outlives the terminal, the web server and the browser: a session of its own on POSIX, a detached process
    group on Windows.
    """
    flags = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) | getattr(subprocess, "DETACHED_PROCESS", 0)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, close_fds=True,
            start_new_session=os.name == "posix", creationflags=flags, cwd=PROJECT, env=environment,
        )  # fmt: skip
    process.returncode = 0  # detached on purpose: no warning when this handle is dropped
    return process.pid
