"""Running what a table lacks: ordinary runs of the store, found again where they stand, one row written after each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from core.config import RunConfig, checked
from core.errors import BadInput, WrongMoment, one_of
from core.evidence.rows import alike, row_of, write_row
from core.evidence.tables import TABLES
from core.evidence.wanted import METHOD, Table, Wanted
from core.runs.control import check_data, new_run
from core.runs.folder import RunFolder
from core.runs.store import Store
from core.runs.tables import LIVING, Run

Train = Callable[[Store, str], Run]  # trains a run in this process to its end


def known(name: str) -> Table:
    """The table of that name; BadInput with the nearest name."""
    if name not in TABLES:
        raise one_of("table", name, TABLES)
    return TABLES[name]


def listed() -> list[dict[str, Any]]:
    """Every table: {name, title, complete, rows, missing}; a row of other settings than today's counts as missing."""
    return [state(table) for table in TABLES.values()]


def state(table: Table) -> dict[str, Any]:
    """How complete a table is."""
    missing = [name for name, wanted in table.by_name.items() if row_of(wanted) is None]
    return {
        "name": table.name, "title": table.title, "complete": not missing, "rows": len(table.by_name) - len(missing),
        "missing": missing,
    }  # fmt: skip


def complete(name: str, store: Store, train: Train, say: Callable[[str], None], only: str = "") -> dict[str, Any]:
    """Run the rows that a table lacks, those alone whose names hold `only`; returns its state.

    Raises BadInput for no such table, or where its data set is not there; WrongMoment where a run did not finish.
    """
    table = known(name)
    by_name = table.by_name
    todo = [wanted for name, wanted in by_name.items() if only in name and row_of(wanted) is None]
    for number, wanted in enumerate(todo):
        check_data(wanted.config)
        say(f"{name}: {wanted.name}, {number + 1} of {len(todo)}")
        run = finished(wanted, by_name, store, train)
        write_row(wanted, run, RunFolder(store.root / run.id))
    return state(table)


def finished(wanted: Wanted, by_name: dict[str, Wanted], store: Store, train: Train) -> Run:
    """The finished run of a row: one that is there, one that stopped and goes on, or a new one; its source before it."""
    config = wanted.config
    if config.source:
        source = finished(by_name[config.source], by_name, store, train)
        config = config.model_copy(update={"source": source.id})
    store.mark_lost()
    there = [run for run in store.all() if _is(run, config)]
    done = next((run for run in there if run.state == "finished"), None)
    if done is not None:
        return done
    if there and there[0].state in LIVING:
        raise WrongMoment(
            f"row {wanted.name} must not be trained twice; its run {there[0].id} is {there[0].state}; wait for it"
        )
    if there:
        name = there[0].id
        store.requeue(name, foreground=True)
    else:
        parent = None if wanted.role == METHOD else _method_run(wanted, by_name, store)
        name = new_run(store, config, role=wanted.role, family=parent, parent=parent, foreground=True)
    run = train(store, name)
    if run.state != "finished":
        raise WrongMoment(
            f"row {wanted.name} must finish; its run {name} is {run.state}: {run.error or 'stopped'}; ask for the table again"
        )
    return run


def _method_run(wanted: Wanted, by_name: dict[str, Wanted], store: Store) -> str | None:
    """The run of the method that a control belongs to, where it is in this store: they are one family."""
    for other in by_name.values():
        if other.role == METHOD and other.point == wanted.point and other.config.seed == wanted.config.seed:
            return next((run.id for run in store.all() if _is(run, other.config)), None)
    return None


def _is(run: Run, config: RunConfig) -> bool:
    try:
        return alike(checked(run.config), config)
    except BadInput:
        return False
