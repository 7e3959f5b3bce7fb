"""The tables of the run store: a run, a control, the states a run can be in, and how an older store becomes one of today."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from sqlalchemy import JSON, Boolean, Float, Integer, String, Text, create_engine, event, text
from sqlalchemy.engine import Engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from core.errors import BadInput

State = Literal["queued", "starting", "running", "paused", "finished", "stopped", "failed", "lost"]
LIVING = ("starting", "running", "paused")
OVER = ("finished", "stopped", "failed", "lost")
SCHEMA_VERSION = 3


class Base(DeclarativeBase):
    """Tables of the store."""


class Run(Base):
    """One run: settings, kinship, state, the process that has it, and its result."""

    __tablename__ = "runs"
    id: Mapped[str] = mapped_column(String, primary_key=True)
    name: Mapped[str] = mapped_column(String, default="")
    created: Mapped[float] = mapped_column(Float)
    preset: Mapped[str] = mapped_column(String)
    config: Mapped[dict[str, Any]] = mapped_column(JSON)
    family: Mapped[str] = mapped_column(String)
    parent: Mapped[str | None] = mapped_column(String, default=None)
    role: Mapped[str] = mapped_column(String, default="method")
    seed: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(String, default="queued", index=True)
    foreground: Mapped[bool] = mapped_column(Boolean, default=False)
    attempt: Mapped[int] = mapped_column(Integer, default=0)
    pid: Mapped[int | None] = mapped_column(Integer, default=None)
    pid_created: Mapped[float | None] = mapped_column(Float, default=None)
    heartbeat: Mapped[float | None] = mapped_column(Float, default=None)
    progress: Mapped[dict[str, Any] | None] = mapped_column(JSON, default=None)
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON, default=None)
    error: Mapped[str | None] = mapped_column(Text, default=None)
    data: Mapped[str | None] = mapped_column(String, default=None)
    deleted: Mapped[bool] = mapped_column(Boolean, default=False)
    tags: Mapped[list[str]] = mapped_column(JSON, default=list)


class Control(Base):
    """One thing a person asked of a run; `applied` is the step at which it took effect."""

    __tablename__ = "controls"
    seq: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    run: Mapped[str] = mapped_column(String, index=True)
    control: Mapped[str] = mapped_column(String)
    kind: Mapped[str] = mapped_column(String, default="")
    value: Mapped[float | None] = mapped_column(Float, default=None)
    created: Mapped[float] = mapped_column(Float)
    applied: Mapped[int | None] = mapped_column(Integer, default=None)


MIGRATIONS: dict[int, list[str]] = {  # from version N to N + 1
    1: ["ALTER TABLE runs ADD COLUMN data VARCHAR"],
    2: ["ALTER TABLE runs ADD COLUMN tags JSON NOT NULL DEFAULT '[]'"],
}


def engine(file: Path) -> Engine:
    """SQLite in WAL mode; transactions are begun by hand."""
    engine = create_engine(f"sqlite:///{file}", connect_args={"timeout": 20})

    @event.listens_for(engine, "connect")
    def _settings(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # IMMEDIATE for writers
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=20000"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def migrate(session: Session) -> None:
    """Create the tables, or bring an older store up to this version; BadInput for a newer one."""
    found = session.execute(text("PRAGMA user_version")).scalar_one()
    if found > SCHEMA_VERSION:
        raise BadInput(
            f"store version must be at most {SCHEMA_VERSION}; got {found}; update Espalier or use another runs folder"
        )
    if found == 0:
        Base.metadata.create_all(session.connection())
    for version in range(found or SCHEMA_VERSION, SCHEMA_VERSION):
        for statement in MIGRATIONS[version]:
            session.execute(text(statement))
    session.execute(text(f"PRAGMA user_version={SCHEMA_VERSION}"))
