"""Where runs and data live, and which process is which."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil

_children: list[subprocess.Popen[bytes]] = []
DISPATCHER_LOCK = "dispatcher.lock"
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


def identity(pid: int | None = None) -> tuple[int, float]:
    """(pid, start time in seconds): a process that a reused pid cannot be mistaken for.

    On Linux the start is counted from boot, so that setting the clock does not change it.
    """
    pid = pid or os.getpid()
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return pid, int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, IndexError, ValueError):
        return pid, psutil.Process(pid).create_time()


def is_alive(pid: int | None, created: float | None) -> bool:
    """Whether that very process still runs (a zombie does not)."""
    if pid is None:
        return False
    try:
        same = abs(identity(pid)[1] - (created or 0)) < 1.0
        return same and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def end(pid: int | None, created: float | None) -> None:
    """Kill that very process, if it still runs."""
    if pid is not None and is_alive(pid, created):
        try:
            psutil.Process(pid).kill()
            psutil.Process(pid).wait(timeout=5)
        except psutil.Error:
            return


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
    _children.append(process)
    reap()
    return process.pid


def reap() -> None:
    """Take leave of detached processes that have ended, so that they do not linger as zombies."""
    _children[:] = [child for child in _children if child.poll() is None]
