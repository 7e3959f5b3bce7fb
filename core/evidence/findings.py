"""What a table of evidence shows, in sentences, each made of its rows: what a point reaches, and how it stands against its controls.

Seeds are paired. A difference whose mean has zero in its 95 % interval (paired t) is called none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from core.evidence.costs import cost_of_training
from core.evidence.counting import Difference, judged, recorded, summary
from core.evidence.gains import beside_the_paper, gains
from core.evidence.places import where_they_went
from core.evidence.wanted import ALONE, DENSE, METHOD, SCRATCH, SHUFFLED, Table
from core.papers import Point, points_beside

Line = Mapping[str, Any]
AGAINST = {
    DENSE: "the dense network trained equally long", SCRATCH: "its shape from scratch", SHUFFLED: "a random mask of its shape",
    ALONE: "a network of its own", "student": "one taught by the dense network", "baseline": "the baseline it goes on from, trained shorter",
}  # fmt: skip


def findings(table: Table) -> list[str]:
    """A sentence for every point, or level of one, that has rows; where structures of the first went, stage by stage; of levels, what
    training them together costs, and which of the paper's differences hold."""
    rows = recorded(table)
    lines = summary(table, rows)
    said = []
    for (point, label), here in groupby(lines, key=lambda line: (line["point"], line["label"])):
        group = list(here)
        own = next((line for line in group if line["role"] == METHOD), None)
        if own is not None:
            name = ", ".join(filter(None, (point if _points(table) > 1 or not label else "", label)))
            said.append(_sentence(table, name, own, [line for line in group if line is not own]))
    first = table.wanted[0].point
    learned = [rows[w.name] for w in table.wanted if (w.point, w.role) == (first, METHOD) and w.name in rows]
    went = where_they_went([row for row in learned if not row.get("levels")])
    more = [f"{_capital(first)}, {went}" if went else None, cost_of_training(table, rows)]
    return [*said, *filter(None, more), *beside_the_paper(gains(table))]


def _points(table: Table) -> int:
    return len({wanted.point for wanted in table.wanted})


def _sentence(table: Table, name: str, own: Line, controls: Sequence[Line]) -> str:
    """`Level 0: 24.2 % test error at 50 % of the MACs (n = 1); 0.6 points better than a network of its own.`"""
    mean, deviation = own["accuracy"]
    value = 100 * (1 - mean if table.error else mean)
    spread = f" ± {100 * deviation:.2f}" if deviation is not None else ""
    words = f"{value:.2f}{spread} % test {'error' if table.error else 'accuracy'}"
    if own["macs"] and own["macs"][0] < 1:
        words += (
            f" with {100 * own['macs'][0]:.1f} % of the MACs{' of convolutions' if table.cost == 'conv_macs' else ''}"
        )
    elif own["params"] and own["params"][0] < 1:
        words += f" with {100 * own['params'][0]:.1f} % of the weights"
    if not own["label"] and own["verdicts"] == ["nothing-removed"]:
        words += ", and nothing was removed"
    paper = paper_beside(table, own["point"])
    beside = f"; the paper: {quoted(table, own['point'], paper)}" if paper else ""
    parts = [f"{words} (n = {own['n']}{beside})"]
    if own["over_full"]:
        parts.append(f"{compared(own['over_full'])} the full level")
    parts += [
        f"{compared(line['difference'])} {AGAINST.get(line['role'], line['role'])}"
        for line in controls
        if line["difference"]
    ]
    return f"{_capital(name)}: {'; '.join(parts)}."


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def compared(difference: Difference) -> str:
    """`0.12 ± 0.03 points better than`; `no clear difference (0.02 ± 0.06 points) to`; of one pair without a verdict on chance."""
    mean, deviation, _ = difference
    points, mark = 100 * mean, judged(difference)
    if deviation is None:
        return f"{abs(points):.2f} points {'better' if points >= 0 else 'worse'} (one seed) than"
    if mark == 0:
        return f"no clear difference ({abs(points):.2f} ± {100 * deviation:.2f} points) to"
    return f"{abs(points):.2f} ± {100 * deviation:.2f} points {'better' if mark == 1 else 'worse'} than"


def quoted(table: Table, point: str, paper: Point) -> str:
    """`9.15 % with 45.2 %, quoted by Hinge (CVPR 2020), blocks alone`: what the paper has, how it is known, in what it differs."""
    how = [paper.place] if paper.certainty == "secondary" else ["MACs derived"] if "derived" in paper.note else []
    return ", ".join(
        filter(None, (f"{paper.error} % with {100 * paper.macs_left:.1f} %", *how, table.differs.get(point, "")))
    )


def paper_beside(table: Table, point: str) -> Point | None:
    """The paper's point that stands beside a point of a table."""
    config = next(wanted.config for wanted in table.wanted if wanted.point == point and wanted.role == METHOD)
    known = points_beside(config.network, config.dataset)
    return next((p for p in known if p.point == table.paper.get(point)), None)
