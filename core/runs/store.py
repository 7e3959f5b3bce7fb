"""The run store: which runs exist, in which state, and what people asked of them.

SQLite in WAL mode through SQLAlchemy, at `RUNS/store.db`: short transactions, readers never block the writer.
What a run recorded (events, histories, checkpoints) lies in its folder (`core.runs.folder`). Every change of state
is one transaction. No torch.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.orm import Session

from core.errors import BadInput, WrongMoment
from core.machine import slots
from core.runs.home import end, is_alive
from core.runs.tables import LIVING, OVER, Control, Run, State, engine, migrate

SILENT_S = 90.0  # a living process without a heartbeat for so long counts as lost
TAG_LENGTH, MAX_TAGS = 40, 12


class TakenOver(WrongMoment):
    """Another attempt has this run now; whoever hears it must write nothing more."""


class Store:
    """Reads and writes the store of one runs folder; safe to use from several processes at once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._engine = engine(root / "store.db")
        with self._write() as session:
            migrate(session)

    @contextmanager
    def _write(self) -> Iterator[Session]:
        with Session(self._engine, expire_on_commit=False) as session:
            session.execute(text("BEGIN IMMEDIATE"))
            yield session
            session.commit()

    @contextmanager
    def _read(self) -> Iterator[Session]:
        with Session(self._engine, expire_on_commit=False) as session:
            yield session

    # reading

    def get(self, run: str) -> Run:
        """The row of `run` (a unique beginning of its name is enough); BadInput where there is none, or several."""
        with self._read() as session:
            row = session.get(Run, run)
            begun = select(Run).where(~Run.deleted, Run.id.startswith(run, autoescape=True)).order_by(Run.id)
            near = list(session.scalars(begun)) if run and row is None else []
        if len(near) > 1:
            some = ", ".join(one.id for one in near[:3])
            raise BadInput(
                f"run must begin the name of one run only; got {run!r}, which begins {some}; write more of it"
            )
        row = near[0] if near else row
        if row is None or row.deleted:
            raise BadInput(f"run must be one that exists in {self.root}; got {run!r}; `python -m core runs` lists them")
        return row

    def all(self) -> list[Run]:
        """Every run that was not deleted, newest first."""
        with self._read() as session:
            return list(session.scalars(select(Run).where(~Run.deleted).order_by(Run.created.desc(), Run.id.desc())))

    def names(self) -> set[str]:
        """The names of all runs, deleted ones too."""
        with self._read() as session:
            return set(session.scalars(select(Run.id)))

    def controls(self, run: str) -> list[Control]:
        """What was asked of `run`, in order."""
        with self._read() as session:
            return list(session.scalars(select(Control).where(Control.run == run).order_by(Control.seq)))

    def recent(self, limit: int) -> tuple[list[Run], int]:
        """The newest runs, at most `limit`, and how many there are in all."""
        with self._read() as session:
            shown = select(Run).where(~Run.deleted).order_by(Run.created.desc(), Run.id.desc()).limit(limit)
            total = session.scalar(select(func.count()).where(~Run.deleted)) or 0
            return list(session.scalars(shown)), total

    def family(self, name: str) -> list[Run]:
        """The runs of a family that were not deleted, in the order in which they were made."""
        with self._read() as session:
            own = select(Run).where(~Run.deleted, Run.family == name)
            return list(session.scalars(own.order_by(Run.created, Run.id)))

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that only reads, for queries of a module of their own."""
        with self._read() as session:
            yield session

    # submitting and claiming

    def add(self, run: Run) -> bool:
        """Queue a new run; False where one of that name stands there already."""
        with self._write() as session:
            if session.get(Run, run.id) is not None:
                return False
            session.add(run)
            return True

    def claim(self, run: str, pid: int, created: float, *, states: tuple[str, ...] = ("queued",)) -> bool:
        """Take a slot for `run` and mark it starting under a new attempt number; False while no slot is free.

        Raises WrongMoment when the run is not in one of `states`, so that two processes never train one run.
        """
        with self._write() as session:
            row = session.get_one(Run, run)
            if row.state not in states:
                raise WrongMoment(f"run {run} must be {' or '.join(states)} to start; it is {row.state}")
            if _busy(session) >= slots():
                return False
            row.state, row.attempt, row.error = "starting", row.attempt + 1, None
            row.pid, row.pid_created, row.heartbeat = pid, created, time.time()
            return True

    def wait_for_slot(self, run: str, pid: int, created: float) -> None:
        """Note which process waits with a foreground run, so that the run is lost, not queued for ever, when it ends."""
        self._set(run, pid=pid, pid_created=created)

    def hand_over(self, run: str, pid: int, created: float) -> None:
        """The slot claimed for `run` now belongs to the process `pid` (the worker just started)."""
        with self._write() as session:
            row = session.get_one(Run, run)
            if row.state in LIVING:
                row.pid, row.pid_created, row.heartbeat = pid, created, time.time()

    def reclaim_slot(self, run: str) -> bool:
        """A paused run takes a slot again; False while none is free."""
        with self._write() as session:
            if _busy(session) >= slots():
                return False
            session.get_one(Run, run).state = "running"
            return True

    def next_queued(self) -> str | None:
        """The oldest run waiting for a background worker whose source, where it starts from one, is not still to come."""
        with self._read() as session:
            query = select(Run).where(Run.state == "queued", ~Run.foreground, ~Run.deleted)
            for row in session.scalars(query.order_by(Run.created)):
                source = session.get(Run, row.config.get("source") or "")
                if source is None or source.deleted or source.state in OVER:  # else it would wait for ever
                    return row.id
            return None

    def requeue(self, run: str, *, foreground: bool = False) -> None:
        """A lost, stopped or failed run waits for a slot again; it will go on from its last checkpoint."""
        with self._write() as session:
            row = session.get_one(Run, run)
            if row.state not in ("lost", "stopped", "failed", "queued"):
                raise WrongMoment(f"run {run} must be lost, stopped or failed to be resumed; it is {row.state}")
            end(row.pid, row.pid_created)  # one that lives but fell silent must not write beside its successor
            row.state, row.foreground, row.pid, row.error = "queued", foreground, None, None
            session.execute(
                delete(Control).where(Control.run == run, Control.applied.is_(None), Control.control != "strength")
            )

    # what a worker writes

    def set_state(
        self,
        run: str,
        state: State,
        *,
        error: str | None = None,
        result: dict[str, Any] | None = None,
        attempt: int | None = None,
    ) -> None:
        """Move `run` to `state`, with the error of a failed or the result of a finished one.

        A worker gives its `attempt`; TakenOver where another one has the run by now.
        """
        with self._write() as session:
            row = _owned(session, run, attempt)
            row.state, row.heartbeat = state, time.time()
            row.error = error if error is not None else row.error
            row.result = result if result is not None else row.result
            if state in OVER:
                row.pid = None

    def beat(
        self, run: str, progress: dict[str, Any] | None, *, attempt: int | None = None, paused: bool = False
    ) -> None:
        """A sign of life, with where training stands. A run taken for lost (a machine that slept) is living again."""
        with self._write() as session:
            row = _owned(session, run, attempt)
            row.heartbeat = time.time()
            row.progress = progress if progress is not None else row.progress
            if row.state == "lost" and attempt is not None:
                row.state, row.error = "paused" if paused else "running", None

    def fix_config(self, run: str, config: dict[str, Any]) -> None:
        """Write down the settings as fixed at the first start (precision, device, threads)."""
        self._set(run, config=config)

    def pending(self, run: str) -> list[Control]:
        """Controls that have not taken effect yet, in order."""
        with self._read() as session:
            query = select(Control).where(Control.run == run, Control.applied.is_(None)).order_by(Control.seq)
            return list(session.scalars(query))

    def applied_from(self, run: str, step: int) -> list[Control]:
        """Strength changes that took effect at `step` or later: what an attempt from there must replay."""
        with self._read() as session:
            query = select(Control).where(Control.run == run, Control.control == "strength", Control.applied >= step)
            return list(session.scalars(query.order_by(Control.applied, Control.seq)))

    def mark_applied(self, seq: int, step: int) -> None:
        """Control `seq` took effect at `step`."""
        with self._write() as session:
            session.execute(update(Control).where(Control.seq == seq).values(applied=step))

    # what a person asks

    def ask(self, run: str, control: str, kind: str = "", value: float | None = None) -> int:
        """Record a control for a living run; returns its number. WrongMoment when the run is over."""
        with self._write() as session:
            row = session.get_one(Run, run)
            if row.state in OVER:
                raise WrongMoment(
                    f"run {run} must be living to {control}; it is {row.state}; start a new one or resume it"
                )
            if control != "strength":  # an impatient second click asks nothing new
                same = select(Control.seq).where(
                    Control.run == run, Control.control == control, Control.applied.is_(None)
                )
                if (seq := session.scalars(same.limit(1)).first()) is not None:
                    return seq
            request = Control(run=run, control=control, kind=kind, value=value, created=time.time())
            session.add(request)
            session.flush()
            if row.state == "queued" and control == "stop":
                row.state, request.applied = "stopped", 0
            return request.seq

    def applied_step(self, seq: int) -> int | None:
        """The step at which control `seq` took effect, None while it has not."""
        with self._read() as session:
            return session.scalar(select(Control.applied).where(Control.seq == seq))

    def rename(self, run: str, name: str) -> None:
        """Give `run` a name of a person's own (up to 80 characters)."""
        self._set(run, name=name.strip()[:80])

    def tag(self, run: str, tags: Iterable[str]) -> None:
        """Give `run` exactly these tags (words of a person's own, up to 40 characters, at most 12); doubles and blanks go."""
        plain = sorted({" ".join(tag.split())[:TAG_LENGTH] for tag in tags} - {""})
        if len(plain) > MAX_TAGS:
            raise BadInput(f"tags of run {run} must be at most {MAX_TAGS}; got {len(plain)}; leave some out")
        self._set(run, tags=plain)

    def set_deleted(self, run: str, deleted: bool) -> None:
        """Hide a run from every list, or bring it back; its files stay. WrongMoment while it is living."""
        row = self.get(run) if deleted else None
        if row is not None and row.state in LIVING:
            raise WrongMoment(f"run {run} must be over before it is deleted; it is {row.state}; stop it first")
        self._set(run, deleted=deleted)

    # watching over the living

    def mark_lost(self) -> list[str]:
        """Mark every run whose process is gone, or silent for 90 s, as lost; returns their names."""
        lost = []
        with self._write() as session:
            waiting = (Run.state == "queued") & Run.foreground & Run.pid.is_not(None)
            for row in session.scalars(select(Run).where(Run.state.in_(LIVING) | waiting)):
                alive = is_alive(row.pid, row.pid_created)
                if alive and (row.state == "queued" or time.time() - (row.heartbeat or 0) <= SILENT_S):
                    continue
                row.state = "lost"
                row.error = (
                    f"its process lives but has said nothing for {SILENT_S:.0f} s"
                    if alive
                    else "the process that trained it ended without a word"
                )
                row.error += "; continue it from its last checkpoint"
                row.pid = row.pid if alive else None
                lost.append(row.id)
        return lost

    def has_work(self) -> bool:
        """Whether a dispatcher still has something to wait for."""
        with self._read() as session:
            background = (Run.state == "queued") & ~Run.foreground & ~Run.deleted
            query = select(func.count()).where(Run.state.in_(LIVING) | background)
            return bool(session.scalar(query))

    def _set(self, run: str, **changes: Any) -> None:
        with self._write() as session:
            session.execute(update(Run).where(Run.id == run).values(**changes))


def _owned(session: Session, run: str, attempt: int | None) -> Run:
    """The row of `run`, provided that `attempt` (if given) is still the one that has it."""
    row = session.get_one(Run, run)
    if attempt is not None and row.attempt != attempt:
        raise TakenOver(
            f"run {run} must be written by attempt {row.attempt}, which has it now; this is attempt {attempt}"
        )
    return row


def _busy(session: Session) -> int:
    return session.scalar(select(func.count()).where(Run.state.in_(("starting", "running")))) or 0
