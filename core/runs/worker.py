"""The worker: one process that trains one run, `python -m core.runs.worker RUN ROOT [DATA]`.

It is the single writer of the run's folder. A side thread gives signs of life and collects controls, so that a long
step is not taken for death. Whatever goes wrong ends as a sentence in the store; the traceback stays in worker.log.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core import checkpoint, checkpoint_file, training
from core.atomic import FULL
from core.config import RunConfig, Steer
from core.controls import Controls, Request
from core.errors import BadInput, DamagedFile, WrongMoment
from core.events import Continued, Event, Finished, Paused, Progress, Started, Stopped
from core.runs.folder import Recorder, RunFolder
from core.runs.home import identity
from core.runs.store import Store, TakenOver
from core.runs.tables import Control

FORESEEN = (BadInput, WrongMoment, training.Diverged)
BEAT_S = 1.0
POLL_S = 0.2


class LiveControls(Controls):
    """The controls of a run in the store: replays what an earlier attempt recorded, then takes what people ask."""

    def __init__(
        self, store: Store, run: str, attempt: int, steering: Sequence[Steer], replay: Sequence[Control]
    ) -> None:
        super().__init__(steering)
        self._store, self._run, self.attempt = store, run, attempt
        self.paused = self.taken_over = False
        self._replay += [Request("strength", c.kind, c.value, c.applied, c.seq) for c in replay]
        self._asked: list[Request] = []
        self._taken: set[int] = set()
        self._lock = threading.Lock()
        self.progress: dict[str, Any] | None = None

    def due(self, step: int) -> list[Request]:
        """Replays of this step first, then whatever was asked since."""
        with self._lock:
            asked, self._asked = self._asked, []
        once: list[Request] = []
        for request in asked:
            if request.control != "strength" and any(r.control == request.control for r in once):
                self.applied(request, step)  # the same thing asked twice before one step
            else:
                once.append(request)
        return [*super().due(step), *once]

    def wait(self) -> Request:
        """The next request; looks every tenth of a second."""
        while True:
            with self._lock:
                if self._asked:
                    return self._asked.pop(0)
            time.sleep(0.1)

    def has(self, *controls: str) -> bool:
        """Whether one of these was asked and not yet taken."""
        with self._lock:
            return any(request.control in controls for request in self._asked)

    def applied(self, request: Request, step: int) -> None:
        """Record the step in the store."""
        if request.seq is not None and request.step is None:
            self._store.mark_applied(request.seq, step)

    @contextmanager
    def living(self) -> Iterator[None]:
        """Beat and poll in a side thread until the block ends."""
        over = threading.Event()
        thread = threading.Thread(target=self._side, args=(over,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(timeout=5)

    def _side(self, over: threading.Event) -> None:
        beaten = 0.0
        while not over.wait(POLL_S):
            try:
                self._collect()
                if time.monotonic() - beaten >= BEAT_S:
                    self._store.beat(self._run, self.progress, attempt=self.attempt, paused=self.paused)
                    beaten = time.monotonic()
            except TakenOver:
                self.taken_over = self.stopping = True
                return
            except Exception:  # a locked or full disk passes; a silent thread would look like death
                traceback.print_exc()
                over.wait(BEAT_S)

    def _collect(self) -> None:
        for control in self._store.pending(self._run):
            if control.seq not in self._taken:
                self._taken.add(control.seq)
                with self._lock:
                    self._asked.append(Request(control.control, control.kind, control.value, None, control.seq))


def drive(store: Store, run: str, data: Path | None, watch: Callable[[Event], None] = lambda event: None) -> str:
    """Train a claimed run in this process to its end and return the state it ended in; never raises for a bad run.

    `watch` sees every event after it is on disk. KeyboardInterrupt stops the run (it can be resumed).
    """
    folder, row = RunFolder(store.root / run), store.get(run)
    try:
        config = RunConfig.model_validate(row.config)
        step, epoch = _resume_point(folder)
        recorder = Recorder(folder)
        if step is not None:
            recorder.roll_back(step, epoch)
        replay = store.applied_from(run, step) if step is not None else []
        controls = LiveControls(store, run, row.attempt, config.steering, replay)
        with controls.living():
            for event in training.run(
                config, folder=folder.path, data=data, controls=controls, resume=step is not None
            ):
                _handle(store, run, controls, recorder, event)
                watch(event)
    except TakenOver:
        return store.get(run).state
    except KeyboardInterrupt:
        store.set_state(run, "stopped", attempt=row.attempt)
    except Exception as error:
        if not (row.foreground and isinstance(error, FORESEEN)):  # before a person's eyes those say all in one sentence
            traceback.print_exc()
        store.set_state(run, "failed", error=_sentence(error, folder), attempt=row.attempt)
    return _settle(store, run, folder)


def _resume_point(folder: RunFolder) -> tuple[int | None, int]:
    found = checkpoint_file.latest(folder.checkpoints)
    if found is None:
        if any(event["type"] == "epoch_done" and event["epoch"] for event in folder.events()[0]):
            raise DamagedFile(
                f"{folder.checkpoints} must hold a whole checkpoint to go on from; got none that can be read, though epochs are recorded; "
                "copy it again, or train the same settings as a new run"
            )
        return None, 0
    facts = checkpoint.load(found)[1]
    return facts["step"], facts["epoch"]


def _handle(store: Store, run: str, controls: LiveControls, recorder: Recorder, event: Event) -> None:
    """Put an event where it belongs: progress and state into the store, everything else into the folder."""
    if controls.taken_over:
        raise TakenOver(f"run {run} belongs to a newer attempt")
    attempt = controls.attempt
    if isinstance(event, Progress):
        controls.progress = {k: v for k, v in event.to_json().items() if k != "type"}
        return
    if isinstance(event, Started):
        store.fix_config(run, event.config)
        store.set_state(run, "running", attempt=attempt)
    elif isinstance(event, Paused):
        controls.paused = True
        store.beat(run, controls.progress, attempt=attempt)
        store.set_state(run, "paused", attempt=attempt)
    elif isinstance(event, Continued):
        while not store.reclaim_slot(run) and not controls.has("stop", "pause"):
            time.sleep(POLL_S)
        controls.paused = False
    recorder.record(event)
    if isinstance(event, Finished):
        store.beat(run, controls.progress, attempt=attempt)
        store.set_state(run, "finished", result=event.result, attempt=attempt)
    elif isinstance(event, Stopped):
        store.set_state(run, "stopped", attempt=attempt)


def _settle(store: Store, run: str, folder: RunFolder) -> str:
    """Write the final state into the folder, so that it can travel without the store."""
    row = store.get(run)
    try:
        about = folder.about()
    except DamagedFile:
        return row.state
    about |= {
        "state": row.state,
        "attempt": row.attempt,
        "config": row.config,
        "result": row.result,
        "error": row.error,
    }
    try:
        Recorder(folder).describe(**{k: v for k, v in about.items() if k != "format"})
    except OSError:  # a full disk: the store has it
        traceback.print_exc()
    return row.state


def _sentence(error: Exception, folder: RunFolder) -> str:
    if isinstance(error, FORESEEN):
        return str(error)
    if isinstance(error, OSError) and error.errno in FULL:
        return f"the disk of {folder.path} is full; free some space, then resume: nothing before the last checkpoint is lost"
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return "the machine ran out of memory; lower batch_size or close other programs, then resume from the last checkpoint"
    return f"training stopped unexpectedly ({type(error).__name__}: {str(error)[:300]}); the log is {folder.path / 'worker.log'}"


if __name__ == "__main__":
    home = Store(Path(sys.argv[2]))
    home.hand_over(sys.argv[1], *identity())
    sys.exit(
        0
        if drive(home, sys.argv[1], Path(sys.argv[3]) if len(sys.argv) > 3 else None) in ("finished", "stopped")
        else 1
    )
