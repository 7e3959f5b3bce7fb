"""The dispatcher: starts queued runs as slots free, marks the lost, leaves when there is nothing left to watch.

`python -m core.runs.dispatcher ROOT`. One lives for each runs folder, held by a file lock; submitting a run
starts one, so that a run needs neither the web server nor the shell that asked for it.
"""

from __future__ import annotations

import sys
import time
import traceback
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from core.errors import WrongMoment
from core.runs.home import DISPATCHER_LOCK, identity, spawn
from core.runs.store import Store

TICK_S = 0.3
IDLE_S = 3.0


def main(root: Path) -> None:
    """Watch `root` until no run is queued or living for a few seconds."""
    store = Store(root)
    while store.has_work():
        try:
            with FileLock(root / DISPATCHER_LOCK, timeout=5.0):
                _watch(store)
        except Timeout:  # another dispatcher is at work; it sees what we were started for
            return


def _watch(store: Store) -> None:
    idle_since = time.monotonic()
    while time.monotonic() - idle_since < IDLE_S:
        try:
            store.mark_lost()
            while (run := store.next_queued()) and _start(store, run):
                pass
            if store.has_work():
                idle_since = time.monotonic()
        except Exception:  # a store locked for long: go on watching, it passes
            traceback.print_exc()
        time.sleep(TICK_S)


def _start(store: Store, run: str) -> bool:
    """Start a worker for `run`; False where no slot is free."""
    try:
        if not store.claim(run, *identity()):
            return False
    except WrongMoment:  # stopped, or taken to the foreground, since we looked
        return True
    data = store.get(run).data
    try:
        pid = spawn(
            "core.runs.worker", run, str(store.root), *([data] if data else []), log=store.root / run / "worker.log"
        )
    except OSError as error:
        store.set_state(
            run,
            "failed",
            error=f"no process could be started for it ({error.strerror}); close other programs, then resume",
        )
        return True
    try:
        store.hand_over(run, *identity(pid))
    except psutil.Error:
        store.hand_over(run, pid, 0.0)  # gone already: marked lost at the next tick
    return True


if __name__ == "__main__":
    main(Path(sys.argv[1]))
