"""All tables at a glance: how every recorded point stands against each of its controls, a row a point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from core.evidence.counting import CONSENSUS, Difference, judged, recorded, signed, summary
from core.evidence.tables import TABLES
from core.evidence.wanted import ALONE, DENSE, METHOD, SCRATCH, SHUFFLED, Table

CONTROLS = (DENSE, SCRATCH, SHUFFLED, ALONE)
OTHERS = "others"
MARKS = {1: "▲ ", 0: "≈ ", -1: "▼ ", None: ""}
KEY = (
    "Points of test accuracy, the method less each control, paired by seed, ± sample standard deviation. ▲ better and ▼ worse than the control: the "
    "95 % interval of the mean (paired t) does not hold zero; ≈ it does; without a mark: one seed, not judged."
)


@dataclass(frozen=True)
class Standing:
    """A point of a table, or a level of one, over `n` seeds; what is `left`, in words; by control, the method's accuracy less the control's."""

    table: str
    point: str
    n: int
    left: str
    against: Mapping[str, Difference]


def glance() -> list[Standing]:
    """Every recorded point that has a control beside it, table by table."""
    found = []
    for table in TABLES.values():
        lines = summary(table, recorded(table))
        for (point, label), group in groupby(lines, key=lambda line: (line["point"], line["label"])):
            here = list(group)
            own = next((line for line in here if line["role"] == METHOD), None)
            against = {line["role"]: line["difference"] for line in here if line["difference"]}
            if own and against and not label.startswith(CONSENSUS):
                name = ", ".join(filter(None, (point, label)))
                found.append(Standing(table.title, name, own["n"], _left(table, own), against))
    return found


def _left(table: Table, line: Mapping[str, Any]) -> str:
    """`7.1 % of conv MACs`; of the weights where no MAC is saved."""
    if not line["macs"]:
        return ""
    (macs, _), (params, _) = line["macs"], line["params"]
    if macs >= 1 and params < 1:
        return f"{100 * params:.1f} % of weights"
    return f"{100 * macs:.1f} % of {'conv MACs' if table.cost == 'conv_macs' else 'MACs'}"


def cell(difference: Difference | None) -> str:
    """`▲ 1.00 ± 0.31`; `+0.57` of one seed; nothing without one."""
    if difference is None:
        return ""
    mean, deviation, _ = difference
    mark = judged(difference)
    return f"{MARKS[mark]}{signed(100 * mean)}" + ("" if deviation is None else f" ± {100 * deviation:.2f}")


def cells(rows: Sequence[Standing]) -> list[dict[str, str]]:
    """The glance in words, a dict of the same columns for every row; controls that no point has are left out."""
    known = [role for row in rows for role in row.against]
    columns = [role for role in CONTROLS if role in known]
    more = [OTHERS] if set(known) - set(CONTROLS) else []
    return [
        {"table": row.table, "point": row.point, "n": str(row.n), "left": row.left}
        | {role: cell(row.against.get(role)) for role in columns}
        | {
            name: "; ".join(f"{role} {cell(d)}" for role, d in row.against.items() if role not in CONTROLS)
            for name in more
        }
        for row in rows
    ]


def table_of_all() -> str:
    """The glance as a Markdown table, each table named once, with what its marks mean."""
    rows = cells(glance())
    titles = list(rows[0]) if rows else ["table"]
    out = [f"| {' | '.join(titles)} |", "|" + "---|" * len(titles)]
    for _, group in groupby(rows, key=lambda row: row["table"]):
        for at, row in enumerate(group):
            out.append(f"| {' | '.join([*(row | {'table': ''} if at else row).values()])} |")
    return "\n".join([*out, "", KEY])
