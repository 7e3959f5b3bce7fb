"""The command for the collapse report of a run."""

from __future__ import annotations

from rich.table import Table

from core.cli_shared import Json, RunName, Runs, emit, folder_of, open_store
from core.runs.collapses import report_of


def collapses(
    run: RunName,
    json_: Json = False,
    runs: Runs = None,
) -> None:
    """Show which layers collapsed, when, in which order, what each took along, what it cost, whether it came back."""
    store = open_store(runs, None)
    folder = folder_of(store, run)
    found = report_of(folder)
    if not found.collapses:
        table = Table("nothing collapsed; thinned most", "alive", "first loss at epoch", "half gone since epoch")
        for row in found.thinned:
            half = "" if row.half is None else str(row.half)
            table.add_row(row.name, f"{row.alive} of {row.total}", str(row.first), half)
    else:
        table = Table(
            "",
            "collapsed",
            "at epoch",
            "took along",
            "came back at",
            "gone since",
            "validation accuracy before, at, end",
        )
        for one in found.collapses:
            accuracy = ", ".join("?" if a is None else f"{a:.1%}" for a in (one.before, one.at, one.end))
            since = "lives" if one.since is None else str(one.since)
            back = " ".join(map(str, one.back)) or "never"
            table.add_row(
                str(one.order),
                one.name,
                str(one.epoch),
                " ".join(path.rpartition(".")[2] for path in one.takes),
                back,
                since,
                accuracy,
            )
    emit({"run": folder.path.name, **found.as_json()}, json_, table)
