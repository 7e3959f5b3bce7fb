"""Rows of evidence as a table: what `counting` makes of them, in words and cells, as the README shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.evidence.counting import Row, epochs_of, recorded, signed, summary
from core.evidence.findings import findings, paper_beside, quoted
from core.evidence.glance import table_of_all
from core.evidence.tables import TABLES
from core.evidence.wanted import METHOD, Table, Wanted

COLUMNS = {
    "name": "", "n": "n", "accuracy": "", "difference": "method − this, points", "macs": "MACs left", "params": "parameters left",
    "paper": "the paper", "speed": "measured speed", "removal": "removal",
}  # fmt: skip


def markdown(name: str) -> str:
    """The table as the README shows it, and under it what the numbers are of."""
    table = TABLES[name]
    rows = recorded(table)
    lines = summary(table, rows)
    cells = [_cells(table, line) for line in lines]
    head = [name for name in COLUMNS if any(row[name] for row in cells)]
    titles = [_title(name, table) for name in head]
    out = [f"| {' | '.join(titles)} |", "|" + "---|" * len(head)]
    out += [f"| {' | '.join(row[name] for name in head)} |" for row in cells]
    return "\n".join([*out, "", conditions(table, rows)])


def readme_section() -> str:
    """All points against their controls; then every table beyond the default run's that has rows: what it asks, the table, what it shows."""
    parts = [f"**At a glance.**\n\n{table_of_all()}"]
    for name, table in TABLES.items():
        if name != "digits" and recorded(table):
            shows = "\n".join(f"- {sentence}" for sentence in findings(table))
            parts.append(f"**{table.title}.** {table.asks}\n\n{markdown(name)}\n\n{shows}")
    return "\n\n".join(parts)


def _title(column: str, table: Table) -> str:
    """What stands over a column."""
    if column == "accuracy":
        return "test error" if table.error else "test accuracy"
    if column == "macs" and table.cost == "conv_macs":
        return "MACs of convolutions left"
    return COLUMNS[column]


def _cells(table: Table, line: Mapping[str, Any]) -> dict[str, str]:
    """A line of a table, by column; empty where there is nothing to say."""
    accuracy, macs = line["accuracy"], line["macs"]
    paper = paper_beside(table, line["point"]) if line["role"] == METHOD else None
    return {
        "name": ", ".join(filter(None, (line["point"], line["label"], "" if line["role"] == METHOD else line["role"]))),
        "n": str(line["n"]),
        "accuracy": _percent((1 - accuracy[0], accuracy[1]) if table.error else accuracy, 2),
        "difference": _points(line["difference"], table.error),
        "macs": _percent(macs), "params": _percent(line["params"]),
        "paper": quoted(table, line["point"], paper) if paper else "",
        "speed": _times(line["speed"]), "removal": _removal(line),
    }  # fmt: skip


def _percent(value: tuple[float, float | None] | None, digits: int = 1) -> str:
    if value is None:
        return ""
    more = "" if value[1] is None else f" ± {100 * value[1]:.{digits}f}"
    return f"{100 * value[0]:.{digits}f}{more} %"


def _points(value: tuple[float, float | None, int] | None, error: bool) -> str:
    """A paired difference in percentage points; of errors with the sign of errors."""
    if value is None:
        return ""
    sign = -1 if error else 1
    more = "" if value[1] is None else f" ± {100 * value[1]:.2f}"
    return f"{signed(100 * sign * value[0])}{more}"


def _times(value: tuple[float, float | None] | None) -> str:
    return "" if value is None else f"{value[0]:.2f}" + ("" if value[1] is None else f" ± {value[1]:.2f}") + " x"


def _removal(line: Mapping[str, Any]) -> str:
    if not line["verdicts"]:
        return ""
    verdicts = ", ".join("nothing removed" if verdict == "nothing-removed" else verdict for verdict in line["verdicts"])
    return verdicts if line["max_rel"] is None else f"{verdicts}, {line['max_rel']:.0e}"


def conditions(table: Table, rows: Mapping[str, Row]) -> str:
    """Seeds, lengths, machine and versions, in a sentence."""
    if not rows:
        return "No row yet."
    told = [row["conditions"] for row in rows.values() if row.get("conditions")]
    there = [wanted for name, wanted in table.by_name.items() if name in rows]
    seeds = sorted({wanted.config.seed for wanted in there})
    epochs = sorted({epochs_of(wanted, table) for wanted in there})
    each = lambda key: ", ".join(sorted({str(one[key]) for one in told if key in one}))  # noqa: E731
    return (
        f"{'Mean ± sample standard deviation over seeds' if len(seeds) > 1 else 'One seed,'} {', '.join(map(str, seeds))} ({len(rows)} of {len(table.by_name)} runs are there); "
        f"{', '.join(map(str, epochs))} epochs a run{_choice(table, there)}; {each('cpu')}, trained in {each('precision')}, torch {each('torch')}{_timing(rows)}."
        + (f" {table.note}" if table.note else "")
    )


def _choice(table: Table, there: Sequence[Wanted]) -> str:
    """How many settings were compared, and by what: point by point where they differ; nothing where none were."""
    tried = {w.point: w.tried for w in there if w.role == METHOD}
    most = max(tried.values(), default=1)
    if most == 1:
        return ""
    by_count: dict[int, list[str]] = {}
    for point, count in tried.items():
        by_count.setdefault(count, []).append(point)
    if len(by_count) == 1:
        return f"; settings chosen {table.chosen} among {most}"
    counts = [f"{count} ({'; '.join(points)})" for count, points in sorted(by_count.items(), reverse=True) if count > 1]
    rest = f"; one setting each of {', '.join(by_count[1])}" if 1 in by_count else ""
    return f"; settings chosen {table.chosen} among {' and '.join(counts)}{rest}"


def _timing(rows: Mapping[str, Row]) -> str:
    """Under what the measured speeds were taken, where there are any."""
    speeds = [row["speed"] for row in rows.values() if row.get("speed")]
    if not speeds:
        return ""
    each = {key: ", ".join(sorted({str(one[key]) for one in speeds})) for key in ("precision", "batch", "threads")}
    threads = "one thread" if each["threads"] == "1" else f"{each['threads']} threads"
    return f"; speeds: whole network, {each['precision']}, batch {each['batch']}, {threads}, dense and compact in interleaved pairs"
