"""Rows of evidence as a table: means over seeds with sample standard deviations, and paired differences to every control.

A pure function of the rows: the README, the dashboard and the tests have the same numbers from it.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from core.evidence.rows import row_of
from core.evidence.tables import TABLES
from core.evidence.wanted import METHOD, Table, Wanted

Row = Mapping[str, Any]


def outcomes(wanted: Wanted, row: Row) -> list[dict[str, Any]]:
    """What a row says, one entry for each network that leaves it: of a nested run every level and the consensus of all.

    Each has `label`, `accuracy` on test images, `macs` and `params` left (0-1), `verdict`, `max_rel` and `speed`.
    """
    if row.get("levels"):
        full = row["levels"][-1]
        found = [
            {
                "label": f"level {one['level']}", "accuracy": one["accuracy"]["test"], "macs": one["macs"] / full["macs"],
                "params": one["density"], "verdict": one["certificate"]["verdict"], "max_rel": one["certificate"]["max_rel"],
            }
            for one in row["levels"]
        ]  # fmt: skip
        together = [
            {"label": f"consensus, {name}", "accuracy": value}
            for name, value in row["consensus"].items()
            if value is not None
        ]
        return found + together
    accuracy, proof, speed = row["accuracy"], row["certificate"], row.get("speed") or {}
    after = {
        "label": "" if wanted.level is None else f"level {wanted.level}", "accuracy": accuracy.get("finetuned") or accuracy["compact"],
        "macs": row["macs_per_image"]["compact"] / row["macs_per_image"]["dense"],
        "params": row["params"]["compact"] / row["params"]["dense"], "verdict": proof["verdict"], "max_rel": proof["max_rel"],
        "speed": speed.get("measured"), "conv_macs": row.get("conv_macs"),
    }  # fmt: skip
    return [after]


def summary(table: Table, rows: Mapping[str, Row]) -> list[dict[str, Any]]:
    """A line for every point, label and role, in the table's order, over the seeds that have it.

    `n` seeds; `accuracy`, `macs`, `params`, `speed`, `conv_macs` as (mean, sd) or None; `difference`: the method's accuracy less this
    line's, seed by seed, as (mean, sd, n); `verdicts` and the largest `max_rel`; `epochs`, `seconds` of training, `tried`.
    """
    said: dict[tuple[str, str, str], dict[int, dict[str, Any]]] = {}
    for wanted in table.wanted:
        if wanted.name in rows:
            row = rows[wanted.name]
            about = {"epochs": wanted.config.epochs, "seconds": row.get("seconds"), "tried": wanted.tried}
            for one in outcomes(wanted, row):
                said.setdefault((wanted.point, one["label"], wanted.role), {})[wanted.config.seed] = one | about
    order = sorted(said, key=lambda key: _place(key, list(said)))
    return [_line(key, said[key], said.get((key[0], key[1], METHOD), {})) for key in order]


def _place(key: tuple[str, str, str], keys: Sequence[tuple[str, str, str]]) -> tuple[int, int, int]:
    """Point by point, label by label, the method first, each in the order in which it came."""
    points, labels = [k[0] for k in keys], [k[1] for k in keys]
    return points.index(key[0]), labels.index(key[1]), 0 if key[2] == METHOD else keys.index(key) + 1


def _line(
    key: tuple[str, str, str], own: dict[int, dict[str, Any]], method: dict[int, dict[str, Any]]
) -> dict[str, Any]:
    both = sorted(own.keys() & method.keys()) if key[2] != METHOD else []
    ones = list(own.values())
    return {
        "point": key[0], "label": key[1], "role": key[2], "n": len(ones),
        **{name: spread([one[name] for one in ones if one.get(name) is not None]) for name in ("accuracy", "macs", "params", "speed", "conv_macs")},
        "difference": (*spread([method[s]["accuracy"] - own[s]["accuracy"] for s in both]), len(both)) if both else None,
        "verdicts": sorted({one["verdict"] for one in ones if one.get("verdict")}),
        "max_rel": max((one["max_rel"] for one in ones if one.get("max_rel") is not None), default=None),
        "epochs": ones[0]["epochs"], "seconds": spread([one["seconds"] for one in ones if one["seconds"] is not None]),
        "tried": ones[0]["tried"],
    }  # fmt: skip


def spread(values: Sequence[float]) -> tuple[float, float | None] | Any:
    """(mean, sample standard deviation); the second None of one value; None of none."""
    if not values:
        return None
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def recorded(table: Table) -> dict[str, Row]:
    """The rows that are there, by name."""
    found = {wanted.name: row_of(wanted) for wanted in table.wanted}
    return {name: row for name, row in found.items() if row is not None}


def markdown(name: str) -> str:
    """The table as the README shows it, and under it what the numbers are of."""
    table = TABLES[name]
    rows = recorded(table)
    lines = summary(table, rows)
    measure = "test error" if table.error else "test accuracy"
    head = ["", "n", measure, "method − this, points", "MACs left", "parameters left"]
    if any(line["speed"] for line in lines):
        head.append("measured speed")
    out = [f"| {' | '.join([*head, 'removal'])} |", "|" + "---|" * (len(head) + 1)]
    for line in lines:
        named = ", ".join(filter(None, (line["point"], line["label"], "" if line["role"] == METHOD else line["role"])))
        accuracy = line["accuracy"]
        value = (1 - accuracy[0], accuracy[1]) if table.error else accuracy
        cells = [
            named,
            str(line["n"]),
            _percent(value, 2),
            _points(line["difference"], table.error),
            _percent(line["macs"]),
            _percent(line["params"]),
        ]
        if "measured speed" in head:
            cells.append(_times(line["speed"]))
        out.append(f"| {' | '.join([*cells, _removal(line)])} |")
    return "\n".join([*out, "", _conditions(table, rows)])


def readme_section() -> str:
    """Every table beyond the default run's that has rows: title, what it asks, the table."""
    parts = [
        f"**{table.title}.** {table.asks}\n\n{markdown(name)}"
        for name, table in TABLES.items()
        if name != "digits" and recorded(table)
    ]
    return "\n\n".join(parts)


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
    return f"{100 * sign * value[0]:+.2f}{more}"


def _times(value: tuple[float, float | None] | None) -> str:
    return "" if value is None else f"{value[0]:.2f}" + ("" if value[1] is None else f" ± {value[1]:.2f}") + " x"


def _removal(line: Mapping[str, Any]) -> str:
    if not line["verdicts"]:
        return ""
    verdicts = ", ".join("nothing removed" if verdict == "nothing-removed" else verdict for verdict in line["verdicts"])
    return verdicts if line["max_rel"] is None else f"{verdicts}, {line['max_rel']:.0e}"


def _conditions(table: Table, rows: Mapping[str, Row]) -> str:
    """Seeds, lengths, machine and versions, in a sentence."""
    if not rows:
        return "No row yet."
    told = [row["conditions"] for row in rows.values() if row.get("conditions")]
    seeds = sorted({wanted.config.seed for wanted in table.wanted if wanted.name in rows})
    epochs = sorted({wanted.config.epochs for wanted in table.wanted if wanted.name in rows})
    each = lambda key: ", ".join(sorted({str(one[key]) for one in told if key in one}))  # noqa: E731
    tried = max(wanted.tried for wanted in table.wanted)
    chosen = f"; settings chosen on validation images among {tried}" if tried > 1 else ""
    return (
        f"Mean ± sample standard deviation over seeds {', '.join(map(str, seeds))} ({len(rows)} of {len(table.wanted)} runs are there); "
        f"{', '.join(map(str, epochs))} epochs a run{chosen}; {each('cpu')}, {each('precision')}, torch {each('torch')}."
    )
